//! A network learns from a planner where to go, in a world whose truth is known.

use burn::module::Module;
use policy::FlowConfig;

use super::*;
use crate::critic::{Critic, CriticConfig};
use crate::plan::PlanConfig;
use crate::plan::tests::{RULE, bounds, world};
use crate::toys;

/// A point that is paid for being near the middle, a planner that knows how it moves, and a clone that knows nothing.
fn with_learner(config: &PlanDistilConfig, use_it: impl FnOnce(&mut PlanDistilLearner<'_>)) {
    let device = Device::default();
    let (model, training) = (world(&device), device.clone().autodiff());
    let critic = Critic::new(&CriticConfig { width: 8, ..CriticConfig::default() }, 1, &RULE, &device);
    let flow = FlowConfig { chunk: 3, width: 48, flow_steps: 4, ..FlowConfig::default() };
    training.seed(5);
    let student = FlowPolicy::new(&flow, 1, 1, &training);
    let prior = student.valid();
    let plan = PlanConfig { candidates: 48, horizon: 6, knots: 6, execute: 2, ..PlanConfig::default() };
    let (corpus, _) = toys::slope();
    let embeddings = Embeddings { dim: 1, rows: corpus.tracks.iter().map(|track| track.state.clone()).collect() };
    let room = Classroom {
        world: &model,
        planner: Planner::new((&model, &critic, &prior), (RULE, 1.0), bounds(), &plan),
        data: (&corpus, &embeddings),
        context: 1,
    };
    use_it(&mut PlanDistilLearner::new(student, room, config, 2, (&training, 0)));
}

const QUICK: PlanDistilConfig = PlanDistilConfig {
    updates: 500,
    batch: 128,
    learning_rate: 3e-3,
    rounds: 5,
    episodes: 16,
    steps: 6,
    own_share: 0.5,
};

#[test]
fn the_copy_goes_where_plans_lead_in_the_true_world() {
    with_learner(&QUICK, |learner| {
        for update in 0..QUICK.updates {
            learner.update(update, QUICK.updates);
        }
        let (student, device) = (learner.student.frozen(), Device::default());
        let mut x = [-1.0f32, -0.4, 0.5, 1.0];
        for _ in 0..8 {
            let e = Tensor::from_data(TensorData::new(x.to_vec(), [4, 1]), &device);
            let action = floats(student.act(e, Tensor::zeros([4, 3], &device)).narrow(1, 0, 1));
            x.iter_mut().zip(action).for_each(|(x, a)| *x += 0.5 * a);
        }
        assert!(x.iter().all(|x| x.abs() < 0.3), "the points end at {x:?}");
    });
}

#[test]
fn lessons_are_of_whoever_drives_and_the_same_noise_gives_the_same() {
    // Of 16 episodes of 6 steps, answered every second: all steps where the planner drives, every second one where the copy does.
    let taught = |own_share: f32| {
        let mut lessons = Lessons::default();
        with_learner(&PlanDistilConfig { rounds: 1, own_share, ..QUICK }, |learner| {
            let metrics = learner.update(0, QUICK.updates);
            assert_eq!(metrics.last(), Some(&("lessons", learner.taught() as f32)));
            lessons = learner.lessons.clone();
        });
        lessons
    };
    // The first round of one is in no first third.
    let (all, half) = (taught(0.0), taught(0.5));
    assert_eq!((all.e.len(), all.chunk.len(), half.e.len()), (96, 3 * 96, 8 * 6 + 8 * 3));
    assert_eq!(taught(0.5), half);
    assert!(all.chunk.iter().all(|a| (-1.0..=1.0).contains(a)));
}

#[test]
fn what_is_left_of_a_plan_by_hand() {
    // Two rows of three actions of two elements.
    let planned: Vec<f32> = (0..12).map(|i| i as f32).collect();
    let rest = |row, k, chunk| {
        let mut out = Vec::new();
        rest_of(&planned, (row, 2), k, (2, chunk), &mut out);
        out
    };
    assert_eq!(rest(0, 0, 2), [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(rest(1, 1, 3), [8.0, 9.0, 10.0, 11.0, 10.0, 11.0], "the last one is held");
}
