//! Episodes out of the simulator: recorded demonstrations, and any policy's results.

use std::sync::mpsc;

use episodes::{CameraFeature, DatasetSpec, Episode, RecordedEpisode, VectorFeature};
use rayon::prelude::*;

use crate::config::{Recording, SimConfig};
use crate::demonstrator::Demonstrator;
use crate::random::{SplitMix64, episode_seed};
use crate::scene::CONTROL_RATE_HZ;
use crate::world::Sim;

/// Keeps a demonstrator's choices apart from the start pose drawn with the same episode seed.
const DEMONSTRATOR_STREAM: u64 = 0x5EED_0DE5_0157_8A70;

/// Names and shapes of what the simulated robot records.
pub fn spec(config: &SimConfig) -> DatasetSpec {
    let vector = |key: &str, names: [&str; 2]| VectorFeature {
        key: key.to_owned(),
        names: names.map(str::to_owned).to_vec(),
        offset: 0,
        len: 2,
    };
    DatasetSpec {
        source: "simulated pusher".to_owned(),
        codebase_version: "v3.0".to_owned(),
        robot_type: Some("simulated_pusher".to_owned()),
        control_rate_hz: CONTROL_RATE_HZ,
        state: vec![vector("observation.state", ["pusher_x", "pusher_y"])],
        hints: Vec::new(),
        action: vector("action", ["target_x", "target_y"]),
        cameras: vec![CameraFeature {
            key: "observation.image".to_owned(),
            native_height: config.image_size,
            native_width: config.image_size,
            model_size: config.image_size,
        }],
        tasks: vec![config.task.text().to_owned()],
        has_reward: true,
        has_success: true,
    }
}

/// Records `episodes` demonstrations, of mixed quality unless `config` asks for poor ones, in parallel; the result depends on
/// `config`, `episodes` and `seed` only. Episode `i` runs with [`episode_seed`]`(seed, i)`.
///
/// `progress` is called with the number of episodes done so far.
pub fn collect(
    config: &SimConfig,
    episodes: usize,
    seed: u64,
    progress: &mut dyn FnMut(usize),
) -> Vec<RecordedEpisode> {
    let (done, finished) = mpsc::channel();
    let mut recorded: Vec<RecordedEpisode> = std::thread::scope(|scope| {
        let work = scope.spawn(move || {
            (0..episodes)
                .into_par_iter()
                .map_with(done, |done, i| {
                    let seed = episode_seed(seed, i as u64);
                    let mut recorded =
                        record(config, seed, &mut Demonstrator::of(config.recording, seed ^ DEMONSTRATOR_STREAM));
                    recorded.episode.index = i;
                    // Nobody is left to count when the receiver is gone; the episode is still good.
                    let _ = done.send(());
                    recorded
                })
                .collect()
        });
        for (i, ()) in finished.iter().enumerate() {
            progress(i + 1);
        }
        match work.join() {
            Ok(recorded) => recorded,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
    if config.recording == Recording::ShuffledOutcomes {
        shuffle_outcomes(&mut recorded, seed);
    }
    recorded
}

/// Gives every episode the rewards and the outcome of another one; where that one was shorter, its last reward goes on.
fn shuffle_outcomes(recorded: &mut [RecordedEpisode], seed: u64) {
    let mut rng = SplitMix64::new(seed);
    let mut from: Vec<usize> = (0..recorded.len()).collect();
    // Sattolo's shuffle: one cycle, nobody keeps what is theirs.
    for i in (1..from.len()).rev() {
        from.swap(i, rng.integer(0, i));
    }
    let outcomes: Vec<(Vec<f32>, bool)> = recorded
        .iter()
        .map(|r| (r.episode.reward.clone().unwrap_or_default(), r.episode.succeeded().unwrap_or(false)))
        .collect();
    for (recorded, from) in recorded.iter_mut().zip(from) {
        let (rewards, succeeded) = &outcomes[from];
        let episode = &mut recorded.episode;
        let reward = |t: usize| rewards[t.min(rewards.len() - 1)];
        episode.reward = Some((0..episode.len).map(reward).collect());
        episode.success = Some((0..episode.len).map(|t| *succeeded && t + 1 == episode.len).collect());
        (episode.terminated, episode.truncated) = (*succeeded, !succeeded);
    }
}

/// Records one episode; row `t` holds picture and state *before* action `t`, and the reward that followed it.
pub fn record(config: &SimConfig, seed: u64, demonstrator: &mut Demonstrator) -> RecordedEpisode {
    let mut sim = Sim::new(config, seed);
    let mut episode = Episode {
        index: 0,
        task: config.task.text().to_owned(),
        len: 0,
        state: Vec::new(),
        hint: Vec::new(),
        action: Vec::new(),
        reward: None,
        success: None,
        intervention: None,
        terminated: false,
        truncated: false,
        first_frame: 0,
    };
    let (mut frames, mut reward, mut success) = (Vec::new(), Vec::new(), Vec::new());
    while !(episode.terminated || episode.truncated) {
        let action = demonstrator.act(&sim);
        frames.extend(sim.image());
        episode.state.extend(sim.state());
        episode.action.extend(action);
        let step = sim.step(action);
        reward.push(step.reward);
        success.push(step.success);
        episode.len += 1;
        episode.terminated = step.terminated;
        episode.truncated = step.truncated;
    }
    episode.reward = Some(reward);
    episode.success = Some(success);
    RecordedEpisode { episode, frames: vec![frames] }
}

/// What a policy achieved in one episode.
#[derive(Clone, Debug, PartialEq)]
pub struct EpisodeResult {
    /// The block reached the goal.
    pub success: bool,
    /// Control steps taken.
    pub steps: usize,
    /// Reward after each step `[steps]`.
    pub rewards: Vec<f32>,
}

/// Runs one episode under a policy that sees the state and the picture `[size, size, 3]` and answers with a chunk of
/// actions, which is executed whole (or to the end of the episode) before it is asked again.
///
/// An empty chunk holds the pusher where it is for one step.
pub fn run_policy(
    config: &SimConfig,
    seed: u64,
    act: &mut dyn FnMut(&[f32; 2], &[u8]) -> Vec<[f32; 2]>,
) -> EpisodeResult {
    let mut sim = Sim::new(config, seed);
    let mut rewards = Vec::new();
    loop {
        let state = sim.state();
        let mut chunk = act(&state, &sim.image());
        if chunk.is_empty() {
            chunk.push(state);
        }
        for action in chunk {
            let step = sim.step(action);
            rewards.push(step.reward);
            if step.terminated || step.truncated {
                return EpisodeResult { success: step.success, steps: rewards.len(), rewards };
            }
        }
    }
}
