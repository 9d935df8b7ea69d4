//! Every loss against central differences along random directions, and who receives gradients.

use std::collections::VecDeque;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use policy::{Acting, FlowConfig, FlowPolicy};
use rl::climb::Climb;
use rl::{Critic, CriticConfig, FqeConfig};
use world_model::corpus::ReturnRule;
use world_model::ensemble::{Ensemble, EnsembleConfig};
use world_model::noise::{generator, gumbel, normal, uniform};
use world_model::rssm::{Rssm, RssmConfig};
use world_model::vision::floats;
use world_model::{Latent, Sequence};

/// Adds `step` times the next queued values to each parameter.
struct Move {
    direction: VecDeque<Vec<f32>>,
    step: f32,
}

impl ModuleMapper for Move {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let values = self.direction.pop_front().expect("one direction per parameter");
        let step = self.step;
        param.map(|x| {
            let shift = Tensor::<D>::from_data(TensorData::new(values, x.dims()), &x.device());
            x + shift * step
        })
    }
}

/// Collects parameter sizes, and gradients where there are any; statistics kept beside the parameters do not learn.
struct Read<'a> {
    gradients: Option<&'a GradientsParams>,
    rows: VecDeque<Vec<f32>>,
    learns: Vec<bool>,
}

impl ModuleVisitor for Read<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let x = param.val();
        let zeros = vec![0.0; x.dims().iter().product()];
        let row = self.gradients.map_or(zeros.clone(), |g| g.get::<D>(param.id).map_or(zeros, floats));
        self.rows.push_back(row);
        self.learns.push(x.is_require_grad());
    }
}

/// Asserts that the gradient of `loss` agrees with central differences along five random directions.
fn agrees<M: Module>(name: &str, module: M, loss: impl Fn(&M) -> Tensor<1>) {
    let gradients = GradientsParams::from_grads(loss(&module).backward(), &module);
    let mut read = Read { gradients: Some(&gradients), rows: VecDeque::new(), learns: Vec::new() };
    module.visit(&mut read);
    let gradient = &read.rows;
    let total: usize = gradient.iter().map(Vec::len).sum();
    for seed in 0..5 {
        let mut rng = generator(seed, "direction", 0);
        let all = floats(normal([total], &mut rng, &Device::default()));
        let norm = all.iter().map(|v| v * v).sum::<f32>().sqrt();
        // Statistics stay where they are; a parameter without a gradient moves, and is found out.
        let learns = gradient.iter().zip(&read.learns).flat_map(|(g, &learns)| std::iter::repeat_n(learns, g.len()));
        let mut values = all.into_iter().zip(learns).map(|(v, learns)| if learns { v / norm } else { 0.0 });
        let direction: VecDeque<Vec<f32>> = gradient.iter().map(|g| values.by_ref().take(g.len()).collect()).collect();
        let slope: f32 = gradient.iter().zip(&direction).flat_map(|(g, d)| g.iter().zip(d)).map(|(g, d)| g * d).sum();
        let at = |step: f32| -> f32 {
            let moved = module.valid().map(&mut Move { direction: direction.clone(), step });
            loss(&moved).into_scalar()
        };
        let step = 5e-3;
        let measured = (at(step) - at(-step)) / (2.0 * step);
        assert!(
            (slope - measured).abs() < 0.04 * slope.abs().max(measured.abs()) + 2e-3,
            "{name}: gradient {slope}, difference {measured}"
        );
    }
}

fn sequence(device: &Device, (batch, steps, e, a): (usize, usize, usize, usize)) -> Sequence {
    let mut rng = generator(9, "sequence", 0);
    let ones = Tensor::<2>::ones([batch, steps], device);
    let flags = |rng: &mut rand::rngs::StdRng| uniform([batch, steps], rng, device).lower_elem(0.3).float();
    Sequence {
        embedding: normal([batch, steps + 1, e], &mut rng, device),
        action: normal([batch, steps, a], &mut rng, device),
        reward: uniform([batch, steps], &mut rng, device),
        success: flags(&mut rng),
        failure: flags(&mut rng),
        taken: ones.clone(),
        observed: ones,
        known: None,
    }
}

#[test]
fn ensemble_loss() {
    let device = Device::default().autodiff();
    device.seed(1);
    let config = EnsembleConfig { members: 2, elites: 1, width: 12, history: 2, ..EnsembleConfig::default() };
    let module = Ensemble::new(&config, 3, 2, &device).materialize();
    agrees("ensemble", module, |m| {
        let inner = Device::default();
        m.losses(sequence(&inner, (3, 3, 3, 2)), Tensor::ones([3, 2, 3], &inner)).0
    });
}

/// The last element is carried, as the code of a task is: it must be in no loss but as an input.
#[test]
fn losses_where_the_task_is_carried() {
    let (device, inner) = (Device::default().autodiff(), Device::default());
    device.seed(1);
    let config = EnsembleConfig { members: 2, elites: 1, width: 12, ..EnsembleConfig::default() };
    let module =
        Ensemble::carrying(&config, (3, 1), (2, &world_model::differences::Differences::NONE), &device).materialize();
    agrees("ensemble", module, |m| m.losses(sequence(&inner, (3, 2, 3, 2)), Tensor::ones([2, 2, 3], &inner)).0);
    let config = RssmConfig { hidden: 8, groups: 2, classes: 1, width: 10, members: 2, ..RssmConfig::default() };
    let module = Rssm::carrying(&config, 4, (2, 1), 2, &device).materialize();
    let noise = gumbel([2, 4, 3, 2], &mut generator(0, "g", 0), &inner);
    agrees("rssm", module, |m| {
        m.dynamics_loss(sequence(&inner, (3, 3, 4, 2)), noise.clone(), Tensor::ones([3, 2, 3], &inner)).0
    });
}

/// With one class per group nothing is sampled, so the straight-through gradient is the true one.
#[test]
fn rssm_loss_where_nothing_is_sampled() {
    let device = Device::default().autodiff();
    device.seed(2);
    let config = RssmConfig { hidden: 8, groups: 2, classes: 1, width: 10, members: 2, ..RssmConfig::default() };
    let module = Rssm::new(&config, 4, 1, 2, &device).materialize();
    let noise = gumbel([2, 4, 3, 2], &mut generator(0, "g", 0), &Device::default());
    let dynamics = |m: &Rssm| {
        let inner = Device::default();
        m.dynamics_loss(sequence(&inner, (3, 3, 4, 2)), noise.clone(), Tensor::ones([3, 2, 3], &inner))
    };
    agrees("rssm dynamics", module.clone(), |m| dynamics(m).0);
    let foreseen = dynamics(&module.valid()).1;
    agrees("rssm outcomes", module, |m| m.outcome_loss(foreseen.clone()).0);
}

/// Nothing is observed after an end, so an outcome that could move the embedding there would write itself into it and be
/// read off again, on training episodes only. It must be read off what is foreseen, and move nothing but its own head.
#[test]
fn outcomes_are_read_off_embeddings_and_not_written_into_them() {
    let device = Device::default().autodiff();
    device.seed(2);
    let config = RssmConfig { hidden: 8, groups: 2, classes: 3, width: 10, members: 2, ..RssmConfig::default() };
    let module = Rssm::new(&config, 4, 1, 2, &device).materialize();
    let noise = gumbel([2, 4, 3, 6], &mut generator(0, "g", 0), &Device::default());
    let inner = Device::default();
    let foreseen = module.dynamics_loss(sequence(&inner, (3, 3, 4, 2)), noise, Tensor::ones([3, 2, 3], &inner)).1;
    let gradients = GradientsParams::from_grads(module.outcome_loss(foreseen).0.backward(), &module);
    let mut read = Read { gradients: Some(&gradients), rows: VecDeque::new(), learns: Vec::new() };
    module.visit(&mut read);
    let moved = read.rows.iter().filter(|g| g.iter().any(|v| *v != 0.0)).count();
    assert_eq!(moved, 4, "two layers of the outcome head, weights and biases, out of {}", read.rows.len());
}

#[test]
fn flow_loss() {
    let device = Device::default().autodiff();
    device.seed(3);
    let module = FlowPolicy::new(&FlowConfig { chunk: 2, width: 10, ..FlowConfig::default() }, 3, 2, &device);
    let inner = Device::default();
    let mut rng = generator(0, "flow", 0);
    let (e, a) = (normal([4, 3], &mut rng, &inner), normal([4, 4], &mut rng, &inner));
    let (n, t, w) =
        (normal([4, 4], &mut rng, &inner), uniform([4, 1], &mut rng, &inner), uniform([4], &mut rng, &inner));
    agrees("flow", module, |m| m.loss(e.clone(), (a.clone(), n.clone(), t.clone()), w.clone(), None));
}

#[test]
fn critic_loss() {
    let device = Device::default().autodiff();
    device.seed(4);
    let rule = ReturnRule { gamma: 0.9, success_reward: 1.0, failure_reward: 0.0, low: 0.0, high: 1.0 };
    let module =
        Critic::new(&CriticConfig { members: 2, width: 10, bins: 7, ..CriticConfig::default() }, 3, &rule, &device);
    let inner = Device::default();
    let mut rng = generator(0, "critic", 0);
    let (e, g, w) = (normal([5, 3], &mut rng, &inner), uniform([5], &mut rng, &inner), uniform([5], &mut rng, &inner));
    agrees("critic", module, |m| m.loss(e.clone(), g.clone(), w.clone()));
}

#[test]
fn climbing_loss_inside_the_range_and_beyond_it() {
    let device = Device::default().autodiff();
    device.seed(6);
    let rule = ReturnRule { gamma: 0.9, success_reward: 1.0, failure_reward: 0.0, low: 0.0, high: 1.0 };
    // Embeddings of 3, chunks of two actions of 2, the first of which is executed.
    let sizes = CriticConfig { members: 2, width: 10, bins: 7, ..CriticConfig::default() };
    let trained = Critic::new(&sizes, 5, &rule, &device);
    let critic = trained.valid();
    let flow = FlowConfig { chunk: 2, width: 10, ..FlowConfig::default() };
    let policy = FlowPolicy::new(&flow, 3, 2, &device);
    let mut rng = generator(0, "climb", 0);
    let inner = Device::default();
    let mut draw = |width: usize| normal([6, width], &mut rng, &inner);
    let (e, noise, reference) = (draw(3), draw(4), draw(4));
    let climb = |unit: f32, cloning: f32| Climb { critic: &critic, worth: Critic::mean, executed: 2, unit, cloning };
    let said = Tensor::<1>::from_floats([1.0, 0.1, 2.0, 1.0, 1.5, 1.0], &inner);
    let loss = |climb: Climb<'_>, policy: &FlowPolicy| {
        climb.loss(policy, (e.clone(), noise.clone()), (reference.clone(), said.clone())).0
    };
    for acting in [Acting::OneStep, Acting::Deterministic] {
        // Values weigh so much that their gradient is most of it.
        agrees("climb", policy.clone().with_acting(acting), |policy| loss(climb(0.01, 0.3), policy));
    }
    let of = |policy: FlowPolicy, climb: Climb<'_>| -> f32 {
        let gradients = loss(climb, &policy).backward();
        let mut read = Read {
            gradients: Some(&GradientsParams::from_grads(gradients, &policy)),
            rows: VecDeque::new(),
            learns: Vec::new(),
        };
        policy.visit(&mut read);
        read.rows.iter().flatten().map(|g| g.abs()).sum()
    };
    // Where no proposed action is inside the range, values have nothing to say and the distance still has.
    let beyond = policy.clone().with_acting(Acting::OneStep).within(vec![[40.0, 50.0]; 2]);
    assert_eq!(of(beyond.clone(), climb(0.01, 0.0)), 0.0);
    assert!(of(beyond, climb(0.01, 0.3)) > 0.0 && of(policy, climb(0.01, 0.0)) > 0.0);
}

#[test]
fn distillation_loss_of_one_pass_even_where_answers_are_kept_in_a_range() {
    let device = Device::default().autodiff();
    device.seed(8);
    let flow = FlowConfig { chunk: 2, width: 10, ..FlowConfig::default() };
    let teacher = FlowPolicy::new(&flow, 3, 2, &Device::default());
    let student = FlowPolicy::new(&flow, 3, 2, &device).with_acting(Acting::OneStep).within(vec![[-0.1, 0.1]; 2]);
    let (inner, mut rng) = (Device::default(), generator(0, "distil", 0));
    let (e, noise) = (normal([6, 3], &mut rng, &inner), normal([6, 4], &mut rng, &inner));
    let answers = teacher.act(e.clone(), noise.clone());
    agrees("distillation", student, |s| policy::distil::loss(s, (e.clone(), noise.clone(), answers.clone())));
}

#[test]
fn loss_of_lessons_from_plans_even_where_answers_are_kept_in_a_range() {
    let device = Device::default().autodiff();
    device.seed(9);
    let flow = FlowConfig { chunk: 2, width: 10, ..FlowConfig::default() };
    let student = FlowPolicy::new(&flow, 3, 2, &device).with_acting(Acting::Deterministic).within(vec![[-0.1, 0.1]; 2]);
    let (inner, mut rng) = (Device::default(), generator(0, "plan-distil", 0));
    let (e, chunk) = (normal([6, 3], &mut rng, &inner), normal([6, 4], &mut rng, &inner));
    agrees("lessons from plans", student, |s| rl::plan_distil::loss(s, (e.clone(), chunk.clone())));
}

#[test]
fn fqe_loss() {
    let device = Device::default().autodiff();
    device.seed(6);
    let rule = ReturnRule { gamma: 0.9, success_reward: 1.0, failure_reward: 0.0, low: 0.0, high: 1.0 };
    let config = FqeConfig { members: 2, width: 10, bins: 7, ..FqeConfig::default() };
    let module = config.critic((3, 2), &rule, &device);
    let (inner, mut rng) = (Device::default(), generator(0, "fqe", 0));
    let x = normal([5, 5], &mut rng, &inner);
    let (g, w) = (uniform([2, 5], &mut rng, &inner), uniform([2, 5], &mut rng, &inner));
    agrees("fqe", module, |m| m.loss_each(x.clone(), g.clone(), w.clone()));
}

/// A frozen model lets gradients through to the actions and receives none itself.
#[test]
fn a_frozen_model_passes_gradients_on_and_keeps_none() {
    let device = Device::default().autodiff();
    device.seed(5);
    let config = RssmConfig { hidden: 8, groups: 2, classes: 3, width: 10, members: 2, ..RssmConfig::default() };
    let trained = Rssm::new(&config, 4, 1, 2, &device).materialize();
    let frozen = trained.valid();
    let inner = Device::default();
    let mut rng = generator(0, "frozen", 0);
    let action = Tensor::from_inner(normal([3, 2], &mut rng, &inner)).require_grad();
    let start = frozen.start(normal([3, 4], &mut rng, &inner), gumbel([3, 6], &mut rng, &inner));
    let lift = |x: Tensor<2>| Tensor::from_inner(x);
    let latent = Latent { e: lift(start.e), h: start.h.map(lift), z: start.z.map(lift) };
    let noise = Tensor::from_inner(gumbel([3, 6], &mut rng, &inner));
    let (_, prediction) = frozen.imagine(&latent, action.clone(), noise);
    let gradients = prediction.reward.sum().backward();
    let to_action: f32 = action.grad(&gradients).expect("the action is part of the graph").abs().sum().into_scalar();
    assert!(to_action > 0.0);
    assert_eq!(GradientsParams::from_grads(gradients, &frozen).len(), 0);
}
