//! What planning must do, in a world whose truth is known.

use super::*;
use crate::critic::CriticConfig;
use burn::module::Module;
use policy::FlowConfig;
use world_model::WorldModelConfig;
use world_model::corpus::Sequence;
use world_model::ensemble::{Ensemble, EnsembleConfig};
use world_model::model::{Dynamics, Kind};
use world_model::noise::{generator, normal, uniform};
use world_model::optimise::{Schedule, Trainee};

pub(crate) const RULE: ReturnRule =
    ReturnRule { gamma: 0.9, success_reward: 1.0, failure_reward: -3.0, low: -3.0, high: 1.0 };

/// A point that moves by 0.5 a step at most and is paid for being near the middle: `x' = x + a/2`, `r = -|x'|`.
pub(crate) fn world(device: &Device) -> WorldModel {
    let ensemble = EnsembleConfig {
        members: 2,
        elites: 2,
        width: 32,
        noise: 0.0,
        reward_of_next: true,
        ..EnsembleConfig::default()
    };
    let config = WorldModelConfig { kind: Kind::Ensemble, ensemble, ..WorldModelConfig::default() };
    let training = device.clone().autodiff();
    training.seed(3);
    let mut trainee = Trainee::new(Ensemble::new(&ensemble, 1, 1, &training).materialize(), 0.0);
    let schedule = Schedule { learning_rate: 5e-3, updates: 300 };
    for update in 0..300 {
        let mut rng = generator(0, "plan-world", update as u64);
        let x = normal([64, 1], &mut rng, &training) * 2.0;
        let action = uniform([64, 1], &mut rng, &training) * 2.0 - 1.0;
        let next = x.clone() + action.clone() * 0.5;
        let ones = Tensor::<2>::ones([64, 1], &training);
        let sequence = Sequence {
            embedding: Tensor::stack::<3>(vec![x, next.clone()], 1),
            reward: next.abs().neg(),
            action: action.unsqueeze_dim(1),
            success: ones.zeros_like(),
            failure: ones.zeros_like(),
            taken: ones.clone(),
            observed: ones,
            known: None,
        };
        trainee.update(schedule.at(update), vec![sequence], &training, |m, s| {
            m.loss(s, Tensor::ones([1, 2, 64], &training))
        });
    }
    let mut model = WorldModel::new(&config, &[], 1, 1, device).expect("no pictures");
    model.dynamics = Dynamics::Ensemble(trainee.frozen());
    model
}

pub(crate) fn bounds() -> Bounds {
    Bounds { low: vec![-1.0], high: vec![1.0] }
}

fn with_planner(config: &PlanConfig, use_it: impl FnOnce(&Planner<'_>, &WorldModel, &Device)) {
    let device = Device::default();
    let model = world(&device);
    let critic = Critic::new(&CriticConfig { width: 8, ..CriticConfig::default() }, 1, &RULE, &device);
    let prior = FlowPolicy::new(&FlowConfig { chunk: 2, width: 8, ..FlowConfig::default() }, 1, 1, &device);
    use_it(&Planner::new((&model, &critic, &prior), (RULE, 1.0), bounds(), config), &model, &device);
}

#[test]
fn plans_lead_to_where_the_reward_is_and_stay_there() {
    let config = PlanConfig { candidates: 64, horizon: 8, knots: 8, execute: 1, ..PlanConfig::default() };
    with_planner(&config, |planner, model, device| {
        let starts = [-2.0f32, -0.7, 0.0, 1.4];
        let e = Tensor::from_data(TensorData::new(starts.to_vec(), [4, 1]), device);
        let mut rng = generator(1, "plan", 0);
        let latent = model.start(e, model.draw_noise(4, &mut rng, device));
        let mut x = starts;
        let (mut latent, mut knots) = (latent, None::<Vec<f32>>);
        for _ in 0..6 {
            let plan = planner.plan(&latent, knots.as_deref(), &mut rng, device);
            let actions = floats(plan.actions.clone().narrow(1, 0, 1));
            assert!(actions.iter().all(|a| (-1.0..=1.0).contains(a)), "{actions:?}");
            // The true world, not the learned one.
            x.iter_mut().zip(&actions).for_each(|(x, a)| *x += 0.5 * a);
            knots = Some(planner.moved_on(&plan.knots, 1));
            let e = Tensor::from_data(TensorData::new(x.to_vec(), [4, 1]), device);
            latent = model.start(e, model.draw_noise(4, &mut rng, device));
        }
        assert!(x.iter().all(|x| x.abs() < 0.4), "the points end at {x:?}");
    });
}

#[test]
fn the_same_noise_gives_the_same_plan_and_more_rounds_never_a_worse_one() {
    let score = |rounds: usize| {
        let mut score = Vec::new();
        let config = PlanConfig { candidates: 16, horizon: 6, knots: 3, elites: 4, rounds, ..PlanConfig::default() };
        with_planner(&config, |planner, model, device| {
            let mut rng = generator(2, "plan", 0);
            let latent = model.start(Tensor::full([3, 1], 1.5, device), model.draw_noise(3, &mut rng, device));
            score = planner.plan(&latent, None, &mut rng, device).score;
        });
        score
    };
    assert_eq!(score(1), score(1));
    assert!(score(1).iter().zip(score(3)).all(|(one, three)| three >= *one));
}

#[test]
fn lines_through_knots_by_hand() {
    let knots = [0.0, 10.0, 2.0, 20.0, 4.0, 0.0];
    // Three knots of two elements over five steps.
    assert_eq!(along(&knots, (3, 2), 5), [0.0, 10.0, 1.0, 15.0, 2.0, 20.0, 3.0, 10.0, 4.0, 0.0]);
    let config = PlanConfig { horizon: 5, knots: 3, ..PlanConfig::default() };
    with_planner(&config, |planner, _, _| {
        // A step is half of the way from knot to knot; beyond the end it stays.
        assert_eq!(planner.moved_on(&[0.0, 2.0, 4.0], 1), [1.0, 3.0, 4.0]);
    });
}

#[test]
fn better_elites_weigh_more() {
    let weights = weights(&[3.0, 2.0, 1.0]);
    assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    // Their deviation is the root of 2/3: each is e^1.2247 times as heavy as the next.
    assert!((weights[0] / weights[1] - 3.403).abs() < 1e-2, "{weights:?}");
}
