//! Data with a known truth, for the tests of learners without a model.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use episodes::{Normaliser, OutcomeRule, RewardRule};
use policy::{CloneLearner, FlowConfig, FlowPolicy};
use rand::RngExt;
use world_model::corpus::{Part, ReturnRule, Track};
use world_model::train::DynamicsLearner;
use world_model::trust::Limits;
use world_model::{Corpus, Embeddings, WorldModel, WorldModelConfig, noise};

use crate::chunk_critic::ModelFreeConfig;
use crate::critic::{Critic, CriticConfig, CriticLearner};

/// Training for tests: slow copies that are hardly slow.
pub const QUICK: ModelFreeConfig = ModelFreeConfig {
    updates: 1500,
    batch: 256,
    learning_rate: 3e-3,
    members: 2,
    width: 48,
    target_rate: 0.2,
    judge_every: 1500,
};

/// Values that need not creep over many bins.
pub fn values() -> CriticConfig {
    CriticConfig { width: 48, bins: 6, ..CriticConfig::default() }
}

/// How an episode is over.
#[derive(Clone, Copy, PartialEq)]
pub enum Ending {
    /// It was cut off.
    CutOff,
    /// It ended without success.
    Failure,
    /// It ended in success.
    Success,
}

/// Single actions, executed one by one.
pub fn flow(width: usize, flow_steps: usize) -> FlowConfig {
    FlowConfig { chunk: 1, execute: 1, width, flow_steps, batch: 64, ..FlowConfig::default() }
}

/// Episodes of 4 steps: from the state 0 the action `a` leads to the state `a`, where every step pays 1 whatever is done.
/// γ is 0.9, embeddings are the state and a 1.
pub fn corpus(episodes: &[(f32, Ending)]) -> (Corpus, Embeddings) {
    let track = |(episode, &(a, ending)): (usize, &(f32, Ending))| Track {
        episode,
        part: 0,
        len: 4,
        state: vec![0.0, a, a, a],
        hint: Vec::new(),
        human: vec![world_model::corpus::human::Human::Silent; 4],
        action: vec![a, 0.0, 0.0, 0.0],
        reward: vec![0.0, 1.0, 1.0, 1.0],
        success: ending == Ending::Success,
        terminated: ending != Ending::CutOff,
    };
    let tracks: Vec<Track> = episodes.iter().enumerate().map(track).collect();
    let rule = OutcomeRule { reward: RewardRule::Column, ..OutcomeRule::default() };
    let embedded = |track: &Track| track.state.iter().flat_map(|&x| [x, 1.0]).collect();
    let embeddings = Embeddings { dim: 2, rows: tracks.iter().map(embedded).collect() };
    let all: Vec<usize> = (0..tracks.len()).collect();
    let corpus = Corpus {
        train: all.clone(),
        train_home: all,
        held_out: Vec::new(),
        parts: vec![Part {
            weight: 1.0,
            embodiment: 0,
            is_later: false,
            state_len: 1,
            action_len: 1,
            sees: Vec::new(),
        }],
        state_angles: world_model::angles::Angles::none(1),
        differences: world_model::differences::Differences::NONE,
        state_len: 1,
        task_len: 0,
        action_len: 1,
        state_normaliser: Normaliser::identity(1),
        action_normaliser: Normaliser::identity(1),
        tasks: None,
        hints: None,
        returns: ReturnRule::new(0.9, &rule, [0.0, 1.0].into_iter()),
        rule,
        tracks,
    };
    (corpus, embeddings)
}

/// Embeddings of the state 0 `[B, 2]`.
pub fn start(rows: usize) -> Tensor<2> {
    Tensor::<2>::from_floats([[0.0, 1.0]], &Device::default()).expand([rows, 2])
}

/// Seven in ten episodes go to about -1 and end there in failure, the others to about +1, where they are cut off: what they
/// pay until then is the same. A clone imitates the mixture; only -1 has no future.
pub fn mixture() -> (Corpus, Embeddings) {
    let mut rng = noise::generator(0, "mixture", 0);
    let episodes: Vec<(f32, Ending)> = (0..100)
        .map(|i| {
            let size = rng.random_range(0.9..1.0f32);
            if i % 10 < 7 { (-size, Ending::Failure) } else { (size, Ending::CutOff) }
        })
        .collect();
    corpus(&episodes)
}

/// Actions from -1 to 1 alike, the better the larger: from the state `a` every step pays `(1 + a)/2`. A clone of all of them is as
/// good as their mean.
pub fn slope() -> (Corpus, Embeddings) {
    let episodes: Vec<(f32, Ending)> = (0..100).map(|i| (i as f32 / 49.5 - 1.0, Ending::CutOff)).collect();
    let (mut corpus, embeddings) = corpus(&episodes);
    for (track, (a, _)) in corpus.tracks.iter_mut().zip(&episodes) {
        track.reward[1..].fill((1.0 + a) / 2.0);
    }
    (corpus, embeddings)
}

/// A model is believed wherever it goes.
pub const LIMITS: Limits = Limits { disagreement_95: 10.0, doubt_budget: f32::INFINITY };

/// What came of what was done, learned from a corpus; without gradients.
pub fn world(data: (&Corpus, &Embeddings), device: &Device) -> WorldModel {
    let config = WorldModelConfig { updates: 600, batch: 64, horizon: 2, ..WorldModelConfig::default() };
    let mut model =
        WorldModel::new(&config, &[], data.1.dim, data.0.action_len, device).expect("no pictures, no misfit");
    let mut learner = DynamicsLearner::new(model.dynamics.clone(), &config, data, device, 0);
    (0..config.updates).for_each(|update| drop(learner.update(update, config.updates)));
    model.dynamics = learner.trainee.frozen();
    model.valid()
}

/// Values of what was done, on an autodiff device.
pub fn valued(data: (&Corpus, &Embeddings), device: &Device) -> Critic {
    let config = CriticConfig { updates: 400, learning_rate: 3e-3, ..values() };
    let critic = Critic::new(&config, data.1.dim, &data.0.returns, device);
    let mut learner = CriticLearner::new(critic, &config, data, 1, device, 0);
    (0..config.updates).for_each(|update| drop(learner.update(update, config.updates)));
    learner.trainee.network
}

/// The policy cloned from a corpus, on an autodiff device.
pub fn clone(flow: &FlowConfig, data: (&Corpus, &Embeddings), device: &Device) -> FlowPolicy {
    let config = FlowConfig { updates: 500, batch: 128, learning_rate: 3e-3, ..*flow };
    let policy = FlowPolicy::new(&config, data.1.dim, data.0.action_len, device);
    let mut learner = CloneLearner::new(policy, &config, data, 1, device, 0);
    for update in 0..config.updates {
        learner.update(update, config.updates);
    }
    learner.trainee.network
}
