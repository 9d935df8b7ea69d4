//! Two robots that do the opposite of each other in the same situation, learned from at once.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use episodes::{
    Dataset, DatasetSpec, Episode, Error, Joining, LeRobotWriter, OpenOptions, RecordedEpisode, RewardRule,
    VectorFeature, split,
};
use policy::{CloneLearner, FlowConfig, FlowPolicy};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use world_model::vision::floats;
use world_model::{Corpus, Embeddings, noise};

/// Episodes of a robot with `extra` unused action elements that answers a state in [-1, 1] with `sign` times that state.
fn record(path: &Path, name: &str, extra: usize, sign: f32) -> Result<(), Error> {
    let vector = |key: &str, len: usize| VectorFeature {
        key: key.into(),
        names: (0..len).map(|i| format!("{name}{i}")).collect(),
        offset: 0,
        len,
    };
    let spec = DatasetSpec {
        source: String::new(),
        codebase_version: "v3.0".into(),
        robot_type: None,
        control_rate_hz: 10.0,
        state: vec![vector("observation.state", 1)],
        hints: Vec::new(),
        action: vector("action", 1 + extra),
        cameras: Vec::new(),
        tasks: Vec::new(),
        has_reward: true,
        has_success: true,
    };
    let mut rng = StdRng::seed_from_u64(3);
    let mut writer = LeRobotWriter::create(path, &spec)?;
    for index in 0..6 {
        let state: Vec<f32> = (0..40).map(|_| 2.0 * rng.random::<f32>() - 1.0).collect();
        let action = state
            .iter()
            .flat_map(|s| std::iter::once(sign * s).chain((0..extra).map(move |i| (i + 1) as f32 * s)))
            .collect();
        writer.push(&RecordedEpisode {
            episode: Episode {
                index,
                task: String::new(),
                len: 40,
                state,
                hint: Vec::new(),
                action,
                reward: Some(vec![0.0; 40]),
                success: Some(vec![false; 40]),
                intervention: None,
                terminated: false,
                truncated: true,
                first_frame: 0,
            },
            frames: Vec::new(),
        })?;
    }
    writer.finish()
}

#[test]
fn the_mark_tells_robots_apart_that_do_the_opposite() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    record(&dir.path().join("home"), "arm", 0, 1.0)?;
    record(&dir.path().join("other"), "leg", 2, -1.0)?;
    let open = |name: &str| {
        let options = OpenOptions { path: dir.path().join(name), ..OpenOptions::default() };
        Dataset::open(&options, &mut |_| {})
    };
    let mut dataset = open("home")?;
    dataset.join(open("other")?, &Joining::default())?;
    let corpus = Corpus::new(&dataset, RewardRule::Auto, &split::split(dataset.home_episodes(), 0.2, 0), 0.9);
    let dim = corpus.state_len;
    assert_eq!((dim, corpus.action_len, corpus.home_action_len()), (3, 3, 1));
    let embeddings = Embeddings { dim, rows: corpus.tracks.iter().map(|track| track.state.clone()).collect() };

    let device = Device::default().autodiff();
    device.seed(0);
    let config = FlowConfig { chunk: 1, width: 48, batch: 128, learning_rate: 3e-3, ..FlowConfig::default() };
    let policy = FlowPolicy::padded(&config, dim, (corpus.action_len, corpus.home_action_len()), &device);
    let mut learner = CloneLearner::new(policy, &config, (&corpus, &embeddings), 1, &device, 0);
    for update in 0..600 {
        learner.update(update, 600);
    }
    let inner = Device::default();
    let trained = learner.trainee.frozen();
    // Home's mark, then the other's, in the same situation.
    let states = [-1.0f32, -0.5, 0.5, 1.0];
    let ask = |mark: [f32; 2]| {
        let rows: Vec<f32> = states.iter().flat_map(|s| [*s, mark[0], mark[1]]).collect();
        let e = Tensor::from_data(TensorData::new(rows, [4, 3]), &inner);
        floats(trained.act(e, noise::normal([4, 3], &mut noise::generator(0, "ask", 0), &inner)))
    };
    for (action, state) in ask([1.0, 0.0]).chunks(3).zip(states) {
        assert!((action[0] - state).abs() < 0.35, "home's robot answers {state} with {action:?}");
        assert_eq!(action[1..], [0.0, 0.0], "and moves nothing that it does not have");
    }
    for (action, state) in ask([0.0, 1.0]).chunks(3).zip(states) {
        assert!((action[0] + state).abs() < 0.35, "the other one answers {state} with {action:?}");
    }
    Ok(())
}
