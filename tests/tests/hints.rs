//! Where an object lies is recorded, and the robot will not know it: the camera learns to tell it, and the served policy acts on that.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use episodes::{
    CameraFeature, Dataset, DatasetSpec, Episode, LeRobotWriter, OpenOptions, RecordedEpisode, RewardRule,
    VectorFeature, split,
};
use policy::bundle::{Bundle, BundleSpec, FORMAT_VERSION, HintSpec};
use policy::{CloneLearner, FlowConfig, FlowPolicy};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use world_model::hints::{HintConfig, hint_errors};
use world_model::model::{Inputs, Kind};
use world_model::quality::{QualityConfig, error_by_horizon};
use world_model::representation::{RepresentationConfig, embed_all};
use world_model::train::{DynamicsLearner, RepresentationLearner};
use world_model::vision::floats;
use world_model::{Corpus, Embeddings, WorldModel, WorldModelConfig, noise};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const SIZE: usize = 32;
const STEPS: usize = 20;

/// A white square on grey at `(x, y)` from -1 to 1.
fn picture([x, y]: [f32; 2]) -> Vec<u8> {
    let place = |i: usize| (i as f32 + 0.5) * 2.0 / SIZE as f32 - 1.0;
    (0..SIZE * SIZE)
        .flat_map(|i| {
            let inside = (place(i % SIZE) - x).abs() < 0.2 && (place(i / SIZE) - y).abs() < 0.2;
            [if inside { 240 } else { 80 }; 3]
        })
        .collect()
}

/// A square that an action moves by a tenth of itself; what drives it pushes it to the middle, and looks aside now and then.
fn record(dir: &Path) -> Result<Dataset, episodes::Error> {
    let vector = |key: &str, names: &[&str], offset: usize| VectorFeature {
        key: key.into(),
        names: names.iter().map(|&name| name.to_owned()).collect(),
        offset,
        len: names.len(),
    };
    let camera = CameraFeature {
        key: "observation.images.top".into(),
        native_height: SIZE,
        native_width: SIZE,
        model_size: SIZE,
    };
    let spec = DatasetSpec {
        source: String::new(),
        codebase_version: "v3.0".into(),
        robot_type: None,
        control_rate_hz: 10.0,
        state: vec![vector("observation.state", &["clock"], 0), vector("observation.object", &["x", "y"], 1)],
        hints: Vec::new(),
        action: vector("action", &["dx", "dy"], 0),
        cameras: vec![camera],
        tasks: Vec::new(),
        has_reward: true,
        has_success: true,
    };
    let mut rng = StdRng::seed_from_u64(1);
    let mut writer = LeRobotWriter::create(dir.join("data"), &spec)?;
    for index in 0..40 {
        let mut at = [(); 2].map(|()| rng.random_range(-0.7f32..0.7));
        let (mut state, mut action, mut reward, mut frames) = (vec![], vec![], vec![], vec![]);
        for t in 0..STEPS {
            state.extend([t as f32, at[0], at[1]]);
            frames.extend(picture(at));
            let push = at.map(|x| if rng.random_bool(0.2) { rng.random_range(-1.0..1.0) } else { -x });
            action.extend(push);
            at = [0, 1].map(|i| (at[i] + 0.1 * push[i]).clamp(-0.75, 0.75));
            reward.push(1.0 - at[0].hypot(at[1]));
        }
        writer.push(&RecordedEpisode {
            episode: Episode {
                index,
                task: "push".into(),
                len: STEPS,
                state,
                hint: Vec::new(),
                action,
                reward: Some(reward),
                success: Some(vec![false; STEPS]),
                intervention: None,
                terminated: false,
                truncated: true,
                first_frame: 0,
            },
            frames: vec![frames],
        })?;
    }
    writer.finish()?;
    let options = OpenOptions {
        path: dir.join("data"),
        cache_dir: dir.join("cache"),
        image_size: SIZE,
        state_keys: vec!["observation.state".into()],
        hint_keys: vec!["observation.object".into()],
        ..OpenOptions::default()
    };
    Dataset::open(&options, &mut |_| {})
}

/// Of recorded hints, of what the camera tells of held-out episodes, and of what is imagined from there.
fn told_and_imagined_differences_belong_to_their_elements(
    model: &WorldModel,
    corpus: &Corpus,
    embeddings: &Embeddings,
    device: &Device,
) {
    let at = [(corpus.train[0], 3), (corpus.held_out[0], 3)];
    let start = model.start(embeddings.gather(&at, device), Tensor::zeros([2, model.noise_len()], device));
    let next = model.imagine(&start, Tensor::ones([2, 2], device), Tensor::zeros([2, model.noise_len()], device)).0;
    for row in floats(Tensor::cat(vec![start.e, next.e], 0)).chunks_exact(4) {
        let mut renewed = row.to_vec();
        renewed[3] = 0.0;
        corpus.differences.renew(&mut renewed);
        assert!((renewed[3] - row[3]).abs() < 1e-4 && row[3] != 0.0, "{row:?}, not {renewed:?}");
    }
}

#[test]
fn the_camera_tells_the_model_foresees_and_the_served_policy_acts_without_being_told() -> Outcome {
    let dir = tempfile::tempdir()?;
    let dataset = record(dir.path())?;
    let split = split::split(dataset.episodes.len(), 0.2, 0);
    let axes = [["x", "y", "dx"].map(String::from).to_vec()];
    let corpus = Corpus::new(&dataset, RewardRule::Column, &split, 0.9);
    let corpus = corpus.with_hints(&dataset, &[])?.with_differences(&dataset, &axes, &[])?;
    assert_eq!((corpus.differences.len(), corpus.differences.ways().len()), (1, 2));
    let (inner, device) = (Device::default(), Device::default().autodiff());
    device.seed(0);

    let network = HintConfig { channels: [8, 8, 8], points: 6, width: 32, ..HintConfig::default() };
    let mut representation = RepresentationConfig { hints: network, batch: 16, ..RepresentationConfig::default() };
    (representation.vision.width, representation.updates, representation.learning_rate) = (24, 300, 4e-3);
    let mut config =
        WorldModelConfig { kind: Kind::Ensemble, representation, batch: 32, horizon: 5, ..Default::default() };
    (config.ensemble.members, config.ensemble.elites, config.ensemble.width) = (3, 2, 32);
    config.ensemble.noise = 0.0;
    let inputs = Inputs {
        camera_sizes: &[SIZE],
        feature: 0,
        hint: corpus.hint_len(),
        state: corpus.state_len,
        task: 0,
        differences: &corpus.differences,
        action: corpus.action_len,
    };
    let fresh = WorldModel::of(&config, &inputs, &device)?;
    let mut learner =
        RepresentationLearner::new(fresh.representation.clone(), &config, (&dataset, &corpus), &device, 0);
    let before = learner.held_out_hint().ok_or("there are hints")?;
    for update in 0..representation.updates {
        learner.update(update, representation.updates);
    }
    let after = learner.held_out_hint().ok_or("there are hints")?;
    assert!(after < 0.2 * before, "the error of what the camera tells went from {before} to {after}");
    let representation = learner.trainee.frozen();

    let mut embeddings = embed_all(&representation.encoder, (&dataset, &corpus, None), &inner);
    assert_eq!(embeddings.dim, 4, "two elements of the hint, one of the state, one difference");
    world_model::hints::learn_from_recorded(&corpus, &mut embeddings);
    let mut learner = DynamicsLearner::new(fresh.dynamics.clone(), &config, (&corpus, &embeddings), &device, 0);
    for update in 0..400 {
        learner.update(update, 400);
    }
    let mut model = fresh.valid();
    (model.representation, model.dynamics) = (representation, learner.trainee.frozen());
    told_and_imagined_differences_belong_to_their_elements(&model, &corpus, &embeddings, &inner);
    let quality = QualityConfig { horizon: 8, starts: 64, context: 0, ..QualityConfig::default() };
    let errors = error_by_horizon(&model, (&dataset, &corpus, &embeddings), &quality, 0, &inner);
    let far: Vec<_> = errors.iter().filter(|e| e.h == 8).collect();
    let modalities: Vec<&str> = far.iter().map(|e| e.modality.as_str()).collect();
    assert_eq!(modalities, ["state", "hints", "observation.images.top"]);
    assert!(far.iter().all(|e| e.model < 0.5 * e.copy_last), "{far:?}");
    let told = hint_errors(&model, (&dataset.spec, &corpus, &embeddings), &quality, 0, &inner);
    let of = |h: usize| told.iter().filter(move |e| e.h == h && e.element == "x").map(|e| e.model[0]).sum::<f64>();
    // A pixel is 0.06 wide.
    assert!(of(0) < 0.06 && of(8) < 0.12, "{told:?}");

    let flow = FlowConfig { chunk: 1, execute: 1, width: 48, batch: 128, learning_rate: 3e-3, ..FlowConfig::default() };
    let policy = FlowPolicy::new(&flow, embeddings.dim, corpus.action_len, &device);
    let mut learner = CloneLearner::new(policy, &flow, (&corpus, &embeddings), 1, &device, 0);
    for update in 0..500 {
        learner.update(update, 500);
    }
    let spec = BundleSpec {
        format_version: FORMAT_VERSION,
        kind: "flow".into(),
        dataset: dataset.spec.clone(),
        state_angles: world_model::angles::Angles::none(1),
        differences: corpus.differences.clone(),
        state_normaliser: corpus.state_normaliser.clone(),
        tasks: None,
        action_normaliser: corpus.action_normaliser.clone(),
        vision: config.representation.vision,
        hints: corpus.hints.clone().map(|code| HintSpec { code, network }),
        pretrained: None,
        flow,
        farthest: Vec::new(),
        policies: Default::default(),
    };
    spec.save(dir.path(), (&model.representation.encoder, None), &[("cloned", &learner.trainee.frozen())])?;
    let bundle = Bundle::load(dir.path(), "cloned", &inner)?;
    let mut wrong = Vec::new();
    for i in 0..40u64 {
        let mut rng = StdRng::seed_from_u64(100 + i);
        let at = [(); 2].map(|()| rng.random_range(-0.6f32..0.6));
        let action = bundle.act(&[&picture(at)], &[5.0], None, &mut noise::generator(i, "act", 0))?;
        wrong.extend((0..2).map(|k| (action[k] + at[k]).abs()));
    }
    wrong.sort_by(f32::total_cmp);
    assert!(wrong[40] < 0.15, "half of the pushes are wrong by {}", wrong[40]);
    Ok(())
}
