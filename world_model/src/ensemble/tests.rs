//! What an ensemble must do, on toys whose truth is known.

use burn::module::ModuleMapper;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};

use super::*;
use crate::noise::{generator, normal, uniform};
use crate::optimise::{Schedule, Trainee};
use crate::vision::floats;

fn config() -> EnsembleConfig {
    EnsembleConfig { members: 3, elites: 2, width: 32, layers: 2, ..EnsembleConfig::default() }
}

/// Sequences `[batch, steps]` of whatever `walk` makes of a first state and actions, all steps recorded.
fn sequences(
    (batch, steps): (usize, usize),
    seed: u64,
    device: &Device,
    walk: impl Fn(f32, &[f32]) -> Vec<f32>,
) -> Sequence {
    let mut rng = generator(seed, "toy", 0);
    let inner = Device::default();
    let first = floats(normal([batch], &mut rng, &inner));
    let actions = floats(uniform([batch, steps], &mut rng, &inner) * 2.0 - 1.0);
    let states: Vec<f32> =
        first.iter().zip(actions.chunks_exact(steps)).flat_map(|(&x, actions)| walk(x, actions)).collect();
    let ones = Tensor::<2>::ones([batch, steps], device);
    let action = Tensor::from_data(TensorData::new(actions, [batch, steps, 1]), device);
    Sequence {
        embedding: Tensor::from_data(TensorData::new(states, [batch, steps + 1, 1]), device),
        reward: action.clone().squeeze_dim::<2>(2) * 2.0,
        action,
        success: ones.zeros_like(),
        failure: ones.zeros_like(),
        taken: ones.clone(),
        observed: ones,
        known: None,
    }
}

fn trained(config: &EnsembleConfig, updates: usize, walk: fn(f32, &[f32]) -> Vec<f32>) -> Ensemble {
    let device = Device::default().autodiff();
    device.seed(4);
    let mut trainee = Trainee::new(Ensemble::new(config, 1, 1, &device).materialize(), 0.0);
    let schedule = Schedule { learning_rate: 3e-3, updates };
    for update in 0..updates {
        let shard = sequences((32, 6), update as u64, &device, walk);
        trainee.update(schedule.at(update), vec![shard], &device, |m, s| {
            m.loss(s, Tensor::ones([6, config.members, 32], &device))
        });
    }
    trainee.frozen()
}

/// Mean squared error of imagining held-out sequences to their ends from step `from`, noise as it is drawn.
fn error_ahead(m: &Ensemble, from: usize, walk: fn(f32, &[f32]) -> Vec<f32>) -> f32 {
    let device = Device::default();
    let s = sequences((64, 6), 1 << 40, &device, walk);
    let mut rng = generator(1, "noise", 0);
    let at = |x: &Tensor<3>, i: usize| x.clone().narrow(1, i, 1).squeeze_dim::<2>(1);
    let mut latent = m.start(at(&s.embedding, 0));
    for i in 0..from {
        latent = m.observe(&latent, at(&s.action, i), at(&s.embedding, i + 1));
    }
    for i in from..6 {
        latent = m.imagine(&latent, at(&s.action, i), normal([64, m.noise_len()], &mut rng, &device)).0;
    }
    (latent.e - at(&s.embedding, 6)).square().mean().into_scalar()
}

/// `x' = x + 0.3 a - 0.2 x`.
fn drifting(x: f32, actions: &[f32]) -> Vec<f32> {
    let mut states = vec![x];
    for a in actions {
        states.push(states[states.len() - 1] * 0.8 + 0.3 * a);
    }
    states
}

/// Only every second state shows where things go: `x_{t+1} = x_t + 0.5 a_{t-1}`, the action of a step before.
fn delayed(x: f32, actions: &[f32]) -> Vec<f32> {
    let mut states = vec![x, x];
    for a in &actions[..actions.len() - 1] {
        states.push(states[states.len() - 1] + 0.5 * a);
    }
    states
}

#[test]
fn imagines_six_steps_of_a_known_system_and_its_reward() {
    let m = trained(&config(), 400, drifting);
    let wrong = error_ahead(&m, 0, drifting);
    assert!(wrong < 0.01, "{wrong}");
    assert_eq!(
        floats(m.view.spread(Tensor::<1>::ones([2], &Device::default()))),
        [1.0, 1.0],
        "statistics do not learn"
    );
    let device = Device::default();
    let latent = m.start(Tensor::from_floats([[0.5], [-0.5]], &device));
    let action = Tensor::<2>::from_floats([[0.5], [-0.9]], &device);
    let noise = Tensor::zeros([2, m.noise_len()], &device);
    let prediction = m.imagine(&latent, action, noise).1;
    for (said, truth) in floats(prediction.reward).into_iter().zip([1.0, -1.8]) {
        assert!((said - truth).abs() < 0.3, "{said} is not {truth}");
    }
    assert!(floats(prediction.failure).into_iter().all(|p| p < 0.1), "nothing ever failed");
}

#[test]
fn a_delay_is_learned_with_a_past_and_not_without() {
    let blind = error_ahead(&trained(&config(), 300, delayed), 2, delayed);
    let remembering = EnsembleConfig { history: 2, ..config() };
    let seeing = error_ahead(&trained(&remembering, 300, delayed), 2, delayed);
    // The action before the first imagined step decides 0.25 · Var(a) = 0.083 that the blind cannot know.
    assert!(seeing < 0.02 && blind > 0.06, "{seeing} with a past, {blind} without");
}

#[test]
fn the_members_with_the_least_loss_speak() {
    let device = Device::default();
    let mut m = Ensemble::new(&EnsembleConfig { members: 4, ..config() }, 3, 2, &device);
    m.elect(&[0.3, f32::NAN, -1.0, 0.2]);
    assert_eq!(m.elites.val().try_into_vec_as::<i64>().expect("integers"), [2, 3]);
    let noise = normal([5, m.noise_len()], &mut generator(0, "n", 0), &device);
    let e = normal([5, 3], &mut generator(0, "e", 0), &device);
    let action = Tensor::zeros([5, 2], &device);
    let before = m.imagine(&m.start(e.clone()), action.clone(), noise.clone()).0.e;
    // Who is not elected may say what it likes.
    m.elect(&[9.0, 9.0, 0.0, 1.0]);
    let same = m.imagine(&m.start(e.clone()), action.clone(), noise.clone()).0.e;
    m.elect(&[0.0, 1.0, 9.0, 9.0]);
    let others = m.imagine(&m.start(e), action, noise).0.e;
    assert_eq!(floats(before.clone()), floats(same));
    assert_ne!(floats(before), floats(others));
}

#[test]
fn errors_of_members_average_to_the_loss() {
    let device = Device::default();
    device.seed(2);
    let m = Ensemble::new(&config(), 1, 1, &device);
    let s = sequences((8, 5), 0, &device, drifting);
    let all = Tensor::ones([5, 3, 8], &device);
    let (loss, metrics) = m.loss(s.clone(), all);
    let metric = |name: &str| metrics.iter().find(|m| m.0 == name).map_or(f32::NAN, |m| m.1);
    let rest = metric("success") + metric("failure") + metric("nll");
    let mean = m.errors(s).iter().sum::<f32>() / 3.0;
    let loss: f32 = loss.into_scalar();
    assert!((loss - rest - mean).abs() < 1e-4, "{loss} - {rest} is not {mean}");
}

#[test]
fn what_was_never_observed_teaches_no_change() {
    let device = Device::default().autodiff();
    device.seed(3);
    let m = Ensemble::new(&config(), 1, 1, &device).materialize();
    let whole = sequences((8, 4), 0, &device, drifting);
    let loss = |last: f32| -> f32 {
        let mut s = whole.clone();
        s.observed = Tensor::cat(vec![s.observed.narrow(1, 0, 3), Tensor::zeros([8, 1], &device)], 1);
        let end = Tensor::full([8, 1, 1], last, &device);
        s.embedding = Tensor::cat(vec![s.embedding.narrow(1, 0, 4), end], 1);
        m.loss(s, Tensor::ones([4, 3, 8], &device)).0.into_scalar()
    };
    assert!((loss(0.0) - loss(7.0)).abs() < 1e-5, "{} {}", loss(0.0), loss(7.0));
}

/// Adds a constant to the biases of the log-variances, or of the means, of the last layer.
struct Push {
    by: f32,
    variances: bool,
}

impl ModuleMapper for Push {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        // Members, one row, mean and log-variance of one element and the reward.
        let dims = param.dims();
        if dims.as_slice() != [3, 1, 4] {
            return param;
        }
        let row = if self.variances { [0.0, 0.0, 1.0, 1.0] } else { [1.0, 1.0, 0.0, 0.0] }.repeat(3);
        let by = self.by;
        param.map(|x| {
            let shift = Tensor::<D>::from_data(TensorData::new(row, dims), &x.device());
            x + shift * by
        })
    }
}

#[test]
fn variances_learn_by_differences_and_leave_the_means_alone() {
    let device = Device::default().autodiff();
    device.seed(5);
    let m = Ensemble::new(&config(), 1, 1, &device).materialize();
    let spread = |m: &Ensemble, device: &Device| {
        m.losses(sequences((8, 4), 0, device, drifting), Tensor::ones([4, 3, 8], device)).1
    };
    let mut gradients = Read(GradientsParams::from_grads(spread(&m, &device).backward(), &m), Vec::new());
    m.visit(&mut gradients);
    let of_bias = gradients.1;
    assert_eq!(of_bias.len(), 12);
    let sum_over =
        |range: std::ops::Range<usize>| -> f32 { of_bias.chunks_exact(4).flat_map(|b| &b[range.clone()]).sum() };
    assert_eq!(sum_over(0..2), 0.0, "means");
    let at = |by: f32| -> f32 {
        spread(&m.valid().map(&mut Push { by, variances: true }), &Device::default()).into_scalar()
    };
    let (slope, measured) = (sum_over(2..4), (at(1e-2) - at(-1e-2)) / 2e-2);
    assert!((slope - measured).abs() < 0.02 * measured.abs(), "gradient {slope}, difference {measured}");
    let moved: f32 = spread(&m.valid().map(&mut Push { by: 0.5, variances: false }), &Device::default()).into_scalar();
    assert!((moved - at(0.0)).abs() > 1e-3, "what is left over of the means is what variances learn");
}

/// Gradients of the biases of the members' last layer.
struct Read(GradientsParams, Vec<f32>);

impl burn::module::ModuleVisitor for Read {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.dims().as_slice() == [3, 1, 4] {
            self.1.extend(self.0.get::<D>(param.id).map(floats).unwrap_or_default());
        }
    }
}

#[test]
fn each_elite_alone_is_a_model_and_their_means_are_what_all_say_together() {
    let device = Device::default();
    device.seed(6);
    let config = EnsembleConfig { noise: 0.0, ..config() };
    let mut all = Ensemble::new(&config, 2, 1, &device);
    all.elect(&[0.3, 0.1, 0.2]);
    let mut rng = generator(6, "alone", 0);
    let latent = all.start(normal([4, 2], &mut rng, &device));
    let (action, noise) = (normal([4, 1], &mut rng, &device), normal([4, all.noise_len()], &mut rng, &device));
    let next = |model: &Ensemble| {
        let (next, prediction) = model.imagine(&latent, action.clone(), noise.clone());
        (floats(next.e), floats(prediction.reward), floats(prediction.disagreement))
    };
    let ((e, reward, disagreement), first, second) = (next(&all), next(&all.alone(0)), next(&all.alone(1)));
    let mean = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| 0.5 * (a + b)).collect::<Vec<_>>();
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(close(&e, &mean(&first.0, &second.0)) && close(&reward, &mean(&first.1, &second.1)));
    assert!(first.0 != second.0 && disagreement.iter().all(|d| *d > 0.0));
    assert_eq!(first.2, [0.0; 4], "one that is alone has nobody to disagree with");
    // The members elected: the second and the third of three.
    let mut third = all.clone();
    third.elect(&[0.3, 0.2, 0.1]);
    assert_eq!(next(&third.alone(0)).0, second.0);
}

#[test]
fn what_is_read_of_an_unseen_end_is_what_imagination_reads_of_the_step() {
    let device = Device::default();
    device.seed(4);
    let config = EnsembleConfig { elites: 3, reward_of_next: true, noise: 0.0, ..config() };
    let ensemble = Ensemble::new(&config, 1, 1, &device);
    let mut s = sequences((3, 1), 0, &device, |x, a| vec![x, x + 0.1 * a[0]]);
    s.observed = s.observed.zeros_like();
    s.taken = Tensor::from_floats([[1.0], [0.0], [1.0]], &device);
    s.success = Tensor::from_floats([[0.0], [0.0], [1.0]], &device);
    let first = s.embedding.clone().narrow(1, 0, 1).squeeze_dim::<2>(1);
    let action = s.action.clone().squeeze_dim::<2>(1);
    let (_, imagined) = ensemble.imagine(&ensemble.start(first), action, Tensor::zeros([3, 2], &device));
    let (imagined, recorded) = (floats(imagined.reward), floats(s.reward.clone()));
    let readings = ensemble.readings(s.clone());
    assert_eq!(readings.iter().map(|r| r.success).collect::<Vec<_>>(), [false, true], "steps that were not taken");
    for (reading, row) in readings.iter().zip([0, 2]) {
        assert!((reading.read - imagined[row]).abs() < 1e-5, "{} is not {}", reading.read, imagined[row]);
        assert_eq!(reading.reward, recorded[row]);
    }
    assert!(Ensemble::new(&super::EnsembleConfig::default(), 1, 1, &device).readings(s).is_empty());
}

#[test]
fn a_robot_that_was_not_looking_knows_how_it_moved_from_what_it_foresaw_and_where_it_is_from_what_it_sees() {
    let device = Device::default();
    let ensemble = Ensemble::new(&EnsembleConfig { history: 2, ..config() }, 1, 1, &device);
    let at = |x: f32| Tensor::<2>::from_floats([[x]], &device);
    let before = ensemble.start(at(0.2));
    // It foresaw to go from 0.2 to 0.5, and is at 0.9: looking, it went 0.7.
    let past = |unseen: usize| {
        let latent = ensemble.observe_late(&before, at(0.3), (&at(0.5), unseen), at(0.9));
        assert_eq!(floats(latent.e), [0.9]);
        floats(latent.h.expect("a past"))
    };
    assert_eq!(past(0), [0.2, 0.3]);
    for (x, expected) in past(1).into_iter().zip([0.6, 0.3]) {
        assert!((x - expected).abs() < 1e-6, "{x} is not {expected}");
    }
}
