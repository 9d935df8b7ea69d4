//! The simulated robot as a client of a policy server: drives episodes as hardware would, and records them.
//!
//! ```sh
//! rehearsal serve runs/demo --policy improved --port 8000
//! cargo run --release -p integration-tests --example robot -- ws://127.0.0.1:8000 60 7 new_episodes
//! ```
//! Arguments: address, episodes, seed, and (to record) the directory of a LeRobot dataset to write. Every episode is a connection of
//! its own. Says how many succeeded; the same seed gives the same starts. Seed 1920300136 and 100 episodes are the starts on
//! which `demo --seed 0` checks its judgement.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use episodes::{Episode, LeRobotWriter, RecordedEpisode};
use serve::{Camera, Client, Observation};
use sim::{Sim, SimConfig};

/// Longest time an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

fn drive(address: &str, config: &SimConfig, seed: u64) -> Result<RecordedEpisode, Box<dyn Error>> {
    let mut client = Client::connect(address, None, PATIENCE)?;
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
        let size = config.image_size;
        let camera = Camera { height: size, width: size, rgb: sim.image() };
        let reply = client.ask(&Observation {
            vectors: BTreeMap::from([("observation.state".to_owned(), sim.state().to_vec())]),
            images: BTreeMap::from([("observation.image".to_owned(), camera)]),
            ..Observation::default()
        })?;
        for action in reply.actions.chunks_exact(2) {
            frames.extend(sim.image());
            episode.state.extend(sim.state());
            episode.action.extend(action);
            let step = sim.step([action[0], action[1]]);
            reward.push(step.reward);
            success.push(step.success);
            episode.len += 1;
            episode.terminated = step.terminated;
            episode.truncated = step.truncated;
            if step.terminated || step.truncated {
                break;
            }
        }
    }
    episode.reward = Some(reward);
    episode.success = Some(success);
    Ok(RecordedEpisode { episode, frames: vec![frames] })
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, episodes, seed, rest @ ..] = &words[..] else {
        return Err("expected: ADDRESS EPISODES SEED [DATASET_TO_WRITE]".into());
    };
    let (config, episodes, seed) = (SimConfig::default(), episodes.parse::<u64>()?, seed.parse::<u64>()?);
    let mut writer = match rest.first() {
        Some(path) => Some(LeRobotWriter::create(Path::new(path), &sim::spec(&config))?),
        None => None,
    };
    let (mut successes, mut steps) = (Vec::new(), 0);
    for i in 0..episodes {
        let mut recorded = drive(address, &config, sim::episode_seed(seed, i))?;
        recorded.episode.index = i as usize;
        let succeeded = recorded.episode.succeeded().unwrap_or(false);
        successes.push(if succeeded { '1' } else { '0' });
        steps += recorded.episode.len;
        if let Some(writer) = &mut writer {
            writer.push(&recorded)?;
        }
    }
    if let Some(writer) = writer {
        writer.finish()?;
    }
    let count = successes.iter().filter(|s| **s == '1').count();
    let each: String = successes.into_iter().collect();
    writeln!(std::io::stdout(), "{count} of {episodes} succeeded, {steps} steps; each: {each}")?;
    Ok(())
}
