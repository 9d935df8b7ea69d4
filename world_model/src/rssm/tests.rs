//! The loss against the same loss composed step by step, each pass on its own and with logarithms throughout.

use super::*;
use crate::noise::{generator, gumbel, normal, uniform};

const E: usize = 7;
const STATE: usize = 3;
const A: usize = 2;

fn sequence(batch: usize, steps: usize, device: &Device) -> Sequence {
    let mut rng = generator(3, "sequence", 0);
    let mut flags = |below: f32| uniform([batch, steps], &mut rng, device).lower_elem(below).float();
    let (success, failure, observed) = (flags(0.2), flags(0.1), flags(0.8));
    Sequence {
        embedding: normal([batch, steps + 1, E], &mut rng, device),
        action: normal([batch, steps, A], &mut rng, device),
        reward: normal([batch, steps], &mut rng, device),
        success,
        failure,
        taken: Tensor::ones([batch, steps], device),
        observed,
        known: None,
    }
}

/// `[1]` over rows where `seen`.
fn mean(x: Tensor<1>, seen: &Tensor<1>) -> f32 {
    ((x * seen.clone()).sum() / seen.clone().sum()).into_scalar()
}

#[test]
fn both_passes_in_one_batch_give_what_each_gives_alone() {
    [0, 2].into_iter().for_each(passes_agree);
}

fn passes_agree(burn_in: usize) {
    let device = Device::default();
    device.seed(5);
    let config =
        RssmConfig { hidden: 12, groups: 3, classes: 4, width: 10, free_nats: 0.02, burn_in, ..RssmConfig::default() };
    let model = Rssm::new(&config, E, STATE, A, &device);
    let (batch, steps, k) = (6, 5, config.members);
    let s = sequence(batch, steps, &device);
    let noise = gumbel([2, steps + 1, batch, model.noise_len()], &mut generator(4, "gumbel", 0), &device);
    let learns = uniform([steps, k, batch], &mut generator(4, "learns", 0), &device).lower_elem(0.7).float();
    let (_, foreseen, metrics) = model.dynamics_loss(s.clone(), noise.clone(), learns.clone());

    let at = |x: &Tensor<3>, i: usize| x.clone().narrow(1, i, 1).squeeze_dim::<2>(1);
    let draw =
        |pass: usize, i: usize| noise.clone().narrow(0, pass, 1).narrow(1, i, 1).reshape([batch, model.noise_len()]);
    let kl = |p: &Tensor<3>, r: &Tensor<3>| {
        let each = p.clone() * (p.clone().log() - r.clone().log());
        each.reshape([batch, model.noise_len()]).sum_dim(1).squeeze_dim::<1>(1).clamp_min(config.free_nats)
    };
    let first = at(&s.embedding, 0);
    let mut observed = model.start(first.clone(), draw(0, 0));
    let mut imagined = model.start(first, draw(1, 0));
    let [mut one_step, mut many_step, mut kls, mut seen] = [(); 4].map(|()| Vec::new());
    let mut imagined_next = Vec::new();
    for i in 0..steps {
        let (action, next) = (at(&s.action, i), at(&s.embedding, i + 1));
        let now = model.observe(&observed, action.clone(), next.clone(), draw(0, i + 1));
        let (h, z) = now.recurrent();
        one_step.push(model.embedding_error(model.changed(&observed.e, &h, &z), next.clone(), None));
        let q = model.believe(&h, &next);
        let each = model.heads(&h).0;
        let mut heads = Tensor::<1>::zeros([batch], &device);
        for member in 0..k {
            let learns = learns.clone().narrow(0, i, 1).narrow(1, member, 1).reshape([batch]);
            heads = heads + kl(&q, &each.clone().narrow(0, member * batch, batch)) * learns / k as f64;
        }
        kls.push(heads * 0.5 + kl(&q, &model.mean_prior(each)) * 0.1);
        let before = imagined.e.clone();
        imagined = if i < burn_in {
            model.observe(&imagined, action, next.clone(), draw(1, i + 1))
        } else {
            model.imagine(&imagined, action, draw(1, i + 1)).0
        };
        // What is foreseen of a step that is observed in the end.
        let (h, z) = imagined.recurrent();
        let foreseen = if i < burn_in { model.changed(&before, &h, &z) } else { imagined.e.clone() };
        many_step.push(model.embedding_error(foreseen.clone(), next, None));
        imagined_next.push(foreseen);
        seen.push(s.observed.clone().narrow(1, i, 1).reshape([batch]));
        observed = now;
    }
    let seen = Tensor::cat(seen, 0);
    let expected = [("one_step", one_step), ("many_step", many_step), ("kl", kls)];
    for (name, rows) in expected {
        let alone = mean(Tensor::cat(rows, 0), &seen);
        let together = metrics.iter().find(|m| m.0 == name).map(|m| m.1).expect("a metric of that name");
        assert!((alone - together).abs() < 1e-4 * alone.abs().max(1.0), "{name}: alone {alone}, together {together}");
    }
    let foreseen = foreseen.next.narrow(0, steps * batch, steps * batch);
    let difference: f32 = (foreseen - Tensor::cat(imagined_next, 0)).abs().max().into_scalar();
    assert!(difference < 1e-4, "imagined embeddings differ by {difference}");
}

#[test]
fn what_a_robot_does_not_have_is_no_error() {
    let device = Device::default();
    device.seed(6);
    let model = Rssm::new(&RssmConfig::default(), E, STATE, A, &device);
    // Four elements of a camera and three of the state; the second row has no camera and one element of the state.
    let seen = Tensor::zeros([2, E], &device);
    let predicted =
        Tensor::from_floats([[1.0, 1.0, 1.0, 1.0, 3.0, 0.0, 0.0], [9.0, 9.0, 9.0, 9.0, 2.0, 9.0, 9.0]], &device);
    let known = Tensor::from_floats([[1.0; E], [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]], &device);
    let error = model.embedding_error(predicted.clone(), seen.clone(), Some(&known));
    assert_eq!(error.try_into_vec_as::<f32>().expect("floats"), [1.0 + 3.0, 4.0]);
    let all = model.embedding_error(predicted, seen, Some(&Tensor::ones([2, E], &device)));
    assert_eq!(all.try_into_vec_as::<f32>().expect("floats")[0], 4.0);
}
