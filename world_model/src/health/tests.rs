//! Toys of which it is known what a model can learn from them.

use episodes::{Normaliser, OutcomeRule};
use rand::RngExt;

use super::*;
use crate::corpus::{Corpus, Embeddings, Part, ReturnRule, Track};
use crate::ensemble::EnsembleConfig;
use crate::model::{Kind, WorldModel, WorldModelConfig};
use crate::noise;
use crate::rssm::RssmConfig;
use crate::train::DynamicsLearner;

/// Eight episodes of 40 steps, two of them held out. A state of two elements goes on as `next(state, action, coin)` says, with
/// actions and coins from -1 to 1 that nobody foresees; there is no camera, so the embedding is the state.
fn toy(next: fn([f32; 2], f32, f32) -> [f32; 2]) -> (Corpus, Embeddings) {
    const STEPS: usize = 40;
    let mut rng = noise::generator(1, "toy", 0);
    let mut draw = || 2.0 * rng.random::<f32>() - 1.0;
    let tracks: Vec<Track> = (0..8)
        .map(|episode| {
            let (mut x, mut state, mut action) = ([draw(), draw()], Vec::new(), Vec::new());
            for _ in 0..STEPS {
                let a = draw();
                state.extend(x);
                action.push(a);
                x = next(x, a, draw());
            }
            let (part, reward) = (0, vec![0.0; STEPS]);
            Track { episode, part, len: STEPS, state, action, reward, ..Track::default() }
        })
        .collect();
    let returns = ReturnRule { gamma: 0.9, success_reward: 1.0, failure_reward: 0.0, low: 0.0, high: 1.0 };
    let embeddings = Embeddings { dim: 2, rows: tracks.iter().map(|t| t.state.clone()).collect() };
    let corpus = Corpus {
        tracks,
        train: (0..6).collect(),
        train_home: (0..6).collect(),
        held_out: vec![6, 7],
        parts: vec![Part {
            embodiment: 0,
            is_later: false,
            state_len: 2,
            action_len: 1,
            sees: Vec::new(),
            weight: 1.0,
        }],
        state_len: 2,
        action_len: 1,
        state_angles: crate::angles::Angles::none(2),
        differences: crate::differences::Differences::NONE,
        state_normaliser: Normaliser::identity(2),
        action_normaliser: Normaliser::identity(1),
        returns,
        rule: OutcomeRule::default(),
        task_len: 0,
        hints: None,
        tasks: None,
    };
    (corpus, embeddings)
}

fn trained(kind: Kind, rssm: RssmConfig, toy: (Corpus, Embeddings)) -> Reactions {
    let device = Device::default().autodiff();
    device.seed(7);
    let ensemble = EnsembleConfig { members: 2, width: 32, ..EnsembleConfig::default() };
    let config = WorldModelConfig {
        kind,
        rssm: RssmConfig { hidden: 32, width: 32, members: 2, ..rssm },
        ensemble,
        batch: 32,
        horizon: 6,
        learning_rate: 4e-3,
        shards: 1,
        ..WorldModelConfig::default()
    };
    let model = WorldModel::new(&config, &[], 2, 1, &device).expect("no cameras, no sizes");
    let mut learner = DynamicsLearner::new(model.dynamics, &config, (&toy.0, &toy.1), &device, 0);
    for update in 0..200 {
        learner.update(update, 200);
    }
    learner.reactions()
}

/// It goes where it is pushed.
fn pushed([x, y]: [f32; 2], a: f32, _: f32) -> [f32; 2] {
    [0.9 * x + 0.3 * a, 0.9 * y + 0.1 * x]
}

/// It wanders, whatever is done.
fn wandering([x, y]: [f32; 2], _: f32, coin: f32) -> [f32; 2] {
    [0.9 * x + 0.3 * coin, 0.9 * y + 0.1 * x]
}

/// It leaps to one side or the other.
fn leaping(_: [f32; 2], a: f32, coin: f32) -> [f32; 2] {
    [coin.signum(), a]
}

#[test]
fn actions_that_do_nothing_are_told_and_those_that_push_are_not() {
    for kind in [Kind::Ensemble, Kind::Rssm] {
        let ignored = trained(kind, RssmConfig::default(), toy(wandering));
        let words = ignored.warnings();
        assert!(words.iter().any(|w| w.starts_with("actions are ignored: ")), "{kind:?} {ignored:?}");
        let heeded = trained(kind, RssmConfig::default(), toy(pushed));
        assert!(heeded.to_actions().expect("there is an error") > 2.0, "{kind:?} {heeded:?}");
        assert!(!heeded.warnings().iter().any(|w| w.starts_with("actions")), "{:?}", heeded.warnings());
    }
}

#[test]
fn a_stochastic_state_that_carries_nothing_is_told_and_one_that_knows_the_coin_is_not() {
    // With one class there is nothing that `z` could say.
    let dumb = trained(Kind::Rssm, RssmConfig { groups: 1, classes: 1, ..RssmConfig::default() }, toy(leaping));
    assert!(dumb.warnings().iter().any(|w| w.starts_with("posterior collapse: ")), "{dumb:?}");
    let told = trained(Kind::Rssm, RssmConfig { groups: 2, classes: 4, ..RssmConfig::default() }, toy(leaping));
    assert_eq!(told.warnings(), Vec::<String>::new(), "{told:?}");
}

#[test]
fn a_constant_embedding_is_told_unless_the_pictures_are_constant_too() {
    let device = Device::default();
    let rows = |values: [[f32; 2]; 2]| Tensor::<2>::from_floats(values, &device);
    let (same, other) = (rows([[0.3, 0.1], [0.3, 0.1]]), rows([[0.0, 0.2], [0.4, 0.2]]));
    // Spread down the rows: 0.2 of the first element, 0 of the second.
    let lively = Spread::of("top", other.clone(), same.clone());
    assert!((lively.embedding - 0.1).abs() < 1e-6 && lively.pictures.abs() < 1e-6);
    assert_eq!(lively.warning(), None);
    let collapsed = Spread::of("top", same.clone(), other).warning().expect("constant");
    assert!(collapsed.starts_with("representation collapse: the embedding of top is constant"), "{collapsed}");
    let covered = Spread::of("top", same.clone(), same).warning().expect("constant");
    assert!(covered.starts_with("top: every picture is the same"), "{covered}");
}
