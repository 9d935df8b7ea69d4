//! Recordings of a robot that sees nothing, whose actions, interventions and successes a test chooses.

use std::path::Path;

use episodes::{
    Dataset, DatasetSpec, Episode, Error, LeRobotWriter, OpenOptions, RecordedEpisode, RewardRule, VectorFeature,
};
use world_model::Corpus;

/// Steps of an episode.
const STEPS: usize = 40;

/// Episodes at 10 Hz in which nothing is seen and an action of `action(episode, step)` taken; with the steps at which a person had
/// the controls, and the episodes that succeed.
pub fn record(
    path: &Path,
    action: fn(usize, usize) -> f32,
    taken: Option<fn(usize) -> bool>,
    succeeds: fn(usize) -> bool,
) -> Result<(), Error> {
    let vector = |key: &str| VectorFeature { key: key.into(), names: vec!["x".into()], offset: 0, len: 1 };
    let spec = DatasetSpec {
        source: String::new(),
        codebase_version: "v3.0".into(),
        robot_type: None,
        control_rate_hz: 10.0,
        state: vec![vector("observation.state")],
        action: vector("action"),
        cameras: Vec::new(),
        hints: Vec::new(),
        tasks: Vec::new(),
        has_reward: false,
        has_success: true,
    };
    let mut writer = LeRobotWriter::create(path, &spec)?;
    for index in 0..8 {
        writer.push(&RecordedEpisode {
            episode: Episode {
                index,
                task: String::new(),
                len: STEPS,
                state: (0..STEPS).map(|t| (t % 2) as f32).collect(),
                hint: Vec::new(),
                action: (0..STEPS).map(|t| action(index, t)).collect(),
                reward: None,
                success: Some((0..STEPS).map(|t| t + 1 == STEPS && succeeds(index)).collect()),
                intervention: taken.map(|taken| (0..STEPS).map(taken).collect()),
                terminated: succeeds(index),
                truncated: !succeeds(index),
                first_frame: 0,
            },
            frames: Vec::new(),
        })?;
    }
    writer.finish()
}

/// What learners see of them; one episode at least is held out.
pub fn corpus(path: &Path) -> Result<Corpus, Error> {
    let options = OpenOptions { path: path.into(), cache_dir: path.into(), ..OpenOptions::default() };
    let dataset = Dataset::open(&options, &mut |_| {})?;
    Ok(Corpus::new(&dataset, RewardRule::Auto, &dataset.split(0.01, 0), 0.9))
}
