//! A small dataset of a made-up robot: a bright square that follows the actions, recorded and read through the usual doors.

use std::path::Path;

use episodes::{
    CameraFeature, Dataset, DatasetSpec, Episode, Error, LeRobotWriter, OpenOptions, RecordedEpisode, RewardRule,
    VectorFeature, split,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use world_model::{Corpus, Embeddings};

/// Recorded pictures, pixels along a side.
pub const NATIVE: usize = 96;
const EPISODES: usize = 24;
const STEPS: usize = 60;
/// Elements of an action.
pub const ACTION: usize = 2;

/// Names and shapes for a state of `state` elements and, where `size` is given, a camera shown to models at that size.
pub fn spec(state: usize, size: Option<usize>) -> DatasetSpec {
    let vector = |key: &str, len: usize| VectorFeature {
        key: key.into(),
        names: (0..len).map(|i| format!("{key}{i}")).collect(),
        offset: 0,
        len,
    };
    let camera = |model_size| CameraFeature {
        key: "observation.images.top".into(),
        native_height: NATIVE,
        native_width: NATIVE,
        model_size,
    };
    DatasetSpec {
        source: "made up".into(),
        codebase_version: "v3.0".into(),
        robot_type: None,
        control_rate_hz: 10.0,
        state: vec![vector("observation.state", state)],
        hints: Vec::new(),
        action: vector("action", ACTION),
        cameras: size.map(camera).into_iter().collect(),
        tasks: Vec::new(),
        has_reward: true,
        has_success: true,
    }
}

/// Records the dataset at `path`.
pub fn record(path: &Path, state: usize, pictures: bool) -> Result<(), Error> {
    let mut rng = StdRng::seed_from_u64(0);
    let mut writer = LeRobotWriter::create(path, &spec(state, pictures.then_some(NATIVE)))?;
    for index in 0..EPISODES {
        let mut at = [0.3f32 + 0.4 * rng.random::<f32>(), 0.3 + 0.4 * rng.random::<f32>()];
        let [mut states, mut actions, mut reward] = [(); 3].map(|()| Vec::new());
        let mut frames = Vec::new();
        for _ in 0..STEPS {
            let action = [(); ACTION].map(|()| rng.random::<f32>() - 0.5);
            states.extend((0..state).map(|i| at[i % 2] + 0.1 * i as f32));
            actions.extend(action);
            if pictures {
                frames.extend(picture(at));
            }
            at.iter_mut().zip(action).for_each(|(x, a)| *x = (*x + 0.1 * a).clamp(0.1, 0.9));
            reward.push(1.0 - (at[0] - 0.5).hypot(at[1] - 0.5));
        }
        let success = index % 2 == 0;
        let episode = Episode {
            index,
            task: "move".into(),
            len: STEPS,
            state: states,
            hint: Vec::new(),
            action: actions,
            reward: Some(reward),
            success: Some((0..STEPS).map(|t| success && t + 1 == STEPS).collect()),
            intervention: None,
            terminated: success,
            truncated: !success,
            first_frame: 0,
        };
        let frames = if pictures { vec![frames] } else { Vec::new() };
        writer.push(&RecordedEpisode { episode, frames })?;
    }
    writer.finish()
}

/// A square at `at` on a ramp of grey, RGB `[NATIVE, NATIVE, 3]`.
pub fn picture(at: [f32; 2]) -> Vec<u8> {
    let near = |pixel: usize, centre: f32| (pixel as f32 / NATIVE as f32 - centre).abs() < 0.08;
    (0..NATIVE * NATIVE)
        .flat_map(|i| {
            let (x, y) = (i % NATIVE, i / NATIVE);
            if near(x, at[0]) && near(y, at[1]) { [230, 60, 40] } else { [(x + y) as u8; 3] }
        })
        .collect()
}

/// Reads a recorded dataset, pictures at `size` pixels or none.
pub fn open(path: &Path, size: Option<usize>, cache_dir: &Path) -> Result<Dataset, Error> {
    let cameras = if size.is_some() { None } else { Some(Vec::new()) };
    let options = OpenOptions {
        path: path.into(),
        image_size: size.unwrap_or(NATIVE),
        cache_dir: cache_dir.into(),
        cameras,
        ..OpenOptions::default()
    };
    Dataset::open(&options, &mut |_| ())
}

/// Records and reads a dataset under `scratch`, as learners see it. Lives as long as the process, as the learners' borrows do.
pub fn corpus(scratch: &Path, state: usize, size: Option<usize>) -> Result<(&'static Dataset, &'static Corpus), Error> {
    let path = scratch.join("dataset");
    record(&path, state, size.is_some())?;
    let dataset: &'static Dataset = Box::leak(Box::new(open(&path, size, &scratch.join("cache"))?));
    let split = split::split(dataset.episodes.len(), 0.25, 0);
    Ok((dataset, Box::leak(Box::new(Corpus::new(dataset, RewardRule::Auto, &split, 0.98)))))
}

/// Made-up embeddings of `dim` elements for every step: what is measured does not depend on their values.
pub fn embeddings(corpus: &Corpus, dim: usize) -> &'static Embeddings {
    let mut rng = StdRng::seed_from_u64(1);
    let rows = corpus.tracks.iter().map(|t| (0..t.len * dim).map(|_| rng.random::<f32>() - 0.5).collect()).collect();
    Box::leak(Box::new(Embeddings { dim, rows }))
}
