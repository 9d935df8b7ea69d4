//! The named cases. Sizes not given here are the defaults of the crates, which are those of configs/demo.toml.

use std::error::Error;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use policy::bundle::{Bundle, BundleSpec, FORMAT_VERSION};
use policy::{CloneLearner, FlowConfig, FlowPolicy};
use rl::evaluate::{EvaluateConfig, imagine_policy, starts};
use rl::improve::Prior;
use rl::{Critic, CriticConfig, ImproveConfig, ImproveLearner};
use rollouts::branch::{Arm, ForkOptions, fork};
use world_model::ensemble::EnsembleConfig;
use world_model::model::{Inputs, Kind};
use world_model::representation::{Encoder, Representation};
use world_model::train::{DynamicsLearner, RepresentationLearner};
use world_model::trust::Limits;
use world_model::vision::{VisionConfig, floats, to_blocks, to_frames};
use world_model::{Corpus, Embeddings, Sequence, WorldModel, WorldModelConfig, noise};

use crate::measure::Step;
use crate::{data, recorded};

/// Steps are believed as long as their doubt is of the order of the data.
const LIMITS: Limits = Limits { disagreement_95: 1.0, doubt_budget: f32::INFINITY };

/// A step, or why there is none.
pub type Built = Result<Step, Box<dyn Error>>;

/// One thing whose time is of interest.
pub struct Case {
    /// Name, also in `tests/interop/torch_steps.py`.
    pub name: &'static str,
    /// Threads it may use.
    pub threads: usize,
    /// Whether it reads the recordings in `DATA`.
    pub is_recorded: bool,
    /// Sets it up in an empty directory.
    pub build: fn(&Path) -> Built,
}

/// Every case.
///
/// An embedding has the same number of elements for a camera of 64 and of 96 pixels, so the dynamics have one case for
/// both; the representation, which sees the pictures, has one for each size.
pub const ALL: &[Case] = &[
    case("rssm_b8_t32", 2, |dir| rssm(dir, 8, 32)),
    case("rssm_demo", 2, |dir| rssm(dir, 48, 16)),
    case("representation_demo", 2, |dir| representation(dir, 48)),
    case("representation_64", 2, |dir| representation(dir, 64)),
    case("representation_96", 2, |dir| representation(dir, 96)),
    case("ensemble", 2, ensemble),
    case("cloning", 2, cloning),
    case("improvement", 2, improvement),
    case("imagination_b1024_h15", 2, imagination),
    case("branches_k64_h20", 2, |dir| branches(dir, 64, 20)),
    case("branches_k1024_h50", 2, |dir| branches(dir, 1024, 50)),
    case("pusht_branches_k1024_h50", 2, |dir| pusht_branches(dir, 1024, false)),
    case("pusht_branches_k16_h50_decoded", 2, |dir| pusht_branches(dir, 16, true)),
    case("latency_state", 1, |_| latency(None, FlowConfig::default().chunk)),
    case("latency_camera_96", 1, |_| latency(Some(96), FlowConfig::default().chunk)),
    case("latency_camera_96_chunk_16", 1, |_| latency(Some(96), 16)),
    case("sampling", 2, sampling),
    case("ingest", 2, ingest),
    recording("ingest_pusht_96", |dir| recorded::ingest(dir, "pusht_v3", 8, 96)),
    recording("ingest_pusht_64", |dir| recorded::ingest(dir, "pusht_v3", 8, 64)),
    recording("ingest_g1_96", |dir| recorded::ingest(dir, "g1_bottle_v21", 2, 96)),
    recording("ingest_g1_64", |dir| recorded::ingest(dir, "g1_bottle_v21", 2, 64)),
    recording("windows_f32", recorded::windows_f32),
    recording("windows_u8", recorded::windows_u8),
];

const fn case(name: &'static str, threads: usize, build: fn(&Path) -> Built) -> Case {
    Case { name, threads, is_recorded: false, build }
}

const fn recording(name: &'static str, build: fn(&Path) -> Built) -> Case {
    Case { name, threads: 2, is_recorded: true, build }
}

/// Elements of the demo's state: where the pusher is.
const STATE: usize = 2;
/// Elements of the state where there is no camera.
const STATE_ONLY: usize = 8;
/// Planned updates: far more than are measured, so the learning rate stays near its peak.
const PLANNED: usize = 100_000;

fn training_device() -> Device {
    let device = Device::default().autodiff();
    device.seed(0);
    device
}

fn embedded(dir: &Path) -> Result<(&'static Corpus, &'static Embeddings), Box<dyn Error>> {
    let (_, corpus) = data::corpus(dir, STATE, None)?;
    Ok((corpus, data::embeddings(corpus, VisionConfig::default().embedding() + STATE)))
}

/// A world model for one camera, without gradients, and the data it would have been trained on.
fn imaginer(dir: &Path) -> Result<(WorldModel, &'static Corpus, &'static Embeddings), Box<dyn Error>> {
    let (corpus, embeddings) = embedded(dir)?;
    let device = training_device().inner();
    Ok((WorldModel::new(&WorldModelConfig::default(), &[48], STATE, data::ACTION, &device)?, corpus, embeddings))
}

fn rssm(dir: &Path, batch: usize, horizon: usize) -> Built {
    let (corpus, embeddings) = embedded(dir)?;
    let device = training_device();
    let config = WorldModelConfig { batch, horizon, ..WorldModelConfig::default() };
    let dynamics = WorldModel::new(&config, &[48], STATE, data::ACTION, &device)?.dynamics;
    let mut learner = DynamicsLearner::new(dynamics, &config, (corpus, embeddings), &device, 0);
    Ok(Box::new(move |i| drop(learner.update(i, PLANNED))))
}

fn ensemble(dir: &Path) -> Built {
    let (_, corpus) = data::corpus(dir, STATE_ONLY, None)?;
    let embeddings = data::embeddings(corpus, STATE_ONLY);
    let device = training_device();
    // What its twin in PyTorch has: single steps, all members, ReLU.
    let plain = EnsembleConfig { members: 5, smooth: false, many_step: 0.0, ..EnsembleConfig::default() };
    let config = WorldModelConfig { ensemble: plain, ..WorldModelConfig::default() };
    let dynamics = WorldModel::new(&config, &[], STATE_ONLY, data::ACTION, &device)?.dynamics;
    let mut learner = DynamicsLearner::new(dynamics, &config, (corpus, embeddings), &device, 0);
    Ok(Box::new(move |i| drop(learner.update(i, PLANNED))))
}

fn representation(dir: &Path, size: usize) -> Built {
    let data = data::corpus(dir, STATE, Some(size))?;
    let device = training_device();
    let config = WorldModelConfig::default();
    let network = Representation::new(&config.representation, &[size], (STATE, data::ACTION), &device)?.materialize();
    let mut learner = RepresentationLearner::new(network, &config, data, &device, 0);
    Ok(Box::new(move |i| drop(learner.update(i, PLANNED))))
}

fn cloning(dir: &Path) -> Built {
    let (corpus, embeddings) = embedded(dir)?;
    let device = training_device();
    let config = FlowConfig::default();
    let policy = FlowPolicy::new(&config, embeddings.dim, data::ACTION, &device);
    let shards = WorldModelConfig::default().shards;
    let mut learner = CloneLearner::new(policy, &config, (corpus, embeddings), shards, &device, 0);
    Ok(Box::new(move |i| drop(learner.update(i, PLANNED))))
}

fn improvement(dir: &Path) -> Built {
    let (model, corpus, embeddings) = imaginer(dir)?;
    let device = training_device();
    let (flow, values) = (FlowConfig::default(), CriticConfig::default());
    let actor = FlowPolicy::new(&flow, embeddings.dim, data::ACTION, &device);
    let critic = Critic::new(&values, embeddings.dim, &corpus.returns, &device);
    let (model, clone) = (Box::leak(Box::new(model)), Box::leak(Box::new(actor.valid())));
    let prior = Prior { model, clone, limits: LIMITS };
    let mut learner = ImproveLearner::new(
        (actor, critic),
        prior,
        (corpus, embeddings),
        (&ImproveConfig::default(), &values, &flow),
        WorldModelConfig::default().shards,
        (&device, 0),
    );
    Ok(Box::new(move |i| drop(learner.update(i, PLANNED))))
}

/// A policy judged from 256 starts, four draws of noise each: 1024 rows, 15 steps, a new chunk every 4.
fn imagination(dir: &Path) -> Built {
    let (model, corpus, embeddings) = imaginer(dir)?;
    let device = Device::default();
    let flow = FlowConfig::default();
    let policy = FlowPolicy::new(&flow, embeddings.dim, data::ACTION, &device);
    let config = EvaluateConfig { horizon: 15, samples: 4, starts: 256, ..EvaluateConfig::default() };
    let few = starts(corpus, config.starts);
    let from: Vec<(usize, usize)> = few.iter().copied().cycle().take(config.starts).collect();
    Ok(Box::new(move |i| {
        let act = |e: &Tensor<2>, rng: &mut rand::rngs::StdRng| {
            policy.act(e.clone(), noise::normal([e.dims()[0], policy.noise_len()], rng, &device))
        };
        let (data, judge) = ((corpus, embeddings), (&config, LIMITS.into()));
        let judged = imagine_policy(&model, data, (&act, flow.execute), judge, &from, (i as u64, &device));
        assert_eq!(judged.value.len(), config.starts);
    }))
}

/// A recorded moment forked into `samples` branches of `horizon` steps, after three steps of context.
fn branches(dir: &Path, samples: usize, horizon: usize) -> Built {
    let (model, corpus, embeddings) = imaginer(dir)?;
    let device = Device::default();
    Ok(Box::new(move |i| {
        let options = ForkOptions { track: 0, step: 10, horizon, samples, context: 3, seed: i as u64 };
        let value = |e: &Tensor<2>| e.clone().narrow(1, 0, 1).squeeze_dim::<1>(1);
        let branch = fork(&model, (corpus, embeddings), &Arm::Scaled(0.5), &options, &value, &device);
        assert_eq!(branch.values().len(), samples);
    }))
}

/// The world model of configs/pusht.toml: a recorded moment forked into `branches` of 50 steps; with `decoded`, every imagined step also
/// becomes a picture of 64 pixels.
fn pusht_branches(dir: &Path, branches: usize, decoded: bool) -> Built {
    const SIZE: usize = 64;
    const HORIZON: usize = 50;
    /// Block position and, as cosine and sine, its angle.
    const HINT: usize = 4;
    let (_, corpus) = data::corpus(dir, STATE, None)?;
    let ensemble = EnsembleConfig {
        members: 4,
        elites: 4,
        width: 256,
        layers: 3,
        history: 2,
        noise: 0.0,
        robust_beyond: 0.25,
        reward_of_next: true,
        ..EnsembleConfig::default()
    };
    let config = WorldModelConfig { kind: Kind::Ensemble, ensemble, ..WorldModelConfig::default() };
    let differences = &world_model::differences::Differences::NONE;
    let (state, action) = (STATE, data::ACTION);
    let inputs = Inputs { camera_sizes: &[SIZE], feature: 0, hint: HINT, state, task: 0, differences, action };
    let device = training_device().inner();
    let model = WorldModel::of(&config, &inputs, &device)?;
    let embeddings = data::embeddings(corpus, config.representation.camera_len(HINT) + STATE);
    let picture = vec![128; SIZE * SIZE * 3];
    Ok(Box::new(move |i| {
        let (seed, samples) = (i as u64, branches);
        let options = ForkOptions { track: 0, step: 5, horizon: HORIZON, samples, context: 3, seed };
        let value = |e: &Tensor<2>| e.clone().narrow(1, 0, 1).squeeze_dim::<1>(1);
        let branch = fork(&model, (corpus, embeddings), &Arm::Scaled(0.5), &options, &value, &device);
        assert_eq!(branch.values().len(), branches);
        for latent in branch.imagined.latents.iter().filter(|_| decoded) {
            let [rows, width] = latent.e.dims();
            let reference = to_blocks([picture.as_slice()].into_iter(), SIZE, &device);
            let [_, blocks, values] = reference.dims();
            let (like, from) = (branch.start.clone(), reference.expand([rows, blocks, values]));
            assert_eq!(like.dims(), [rows, width]);
            let shown = to_frames(model.representation.decode(0, latent.e.clone(), like, from), SIZE);
            assert_eq!(shown.len(), branches);
        }
    }))
}

/// From one observation, raw, to the actions of a chunk, raw: what a robot waits for.
fn latency(size: Option<usize>, chunk: usize) -> Built {
    let device = Device::default();
    device.seed(0);
    let state = if size.is_some() { STATE } else { STATE_ONLY };
    let dataset = data::spec(state, size);
    let (vision, flow) = (VisionConfig::default(), FlowConfig { chunk, ..FlowConfig::default() });
    let sizes: Vec<usize> = size.into_iter().collect();
    let embedding = sizes.len() * vision.embedding() + state;
    let spec = BundleSpec {
        format_version: FORMAT_VERSION,
        kind: "flow".into(),
        dataset,
        state_angles: world_model::angles::Angles::none(state),
        differences: world_model::differences::Differences::NONE,
        state_normaliser: episodes::Normaliser::identity(state),
        tasks: None,
        action_normaliser: episodes::Normaliser::identity(data::ACTION),
        vision,
        hints: None,
        pretrained: None,
        farthest: Vec::new(),
        flow,
        policies: Default::default(),
    };
    let encoder = Encoder::new(&vision, &sizes, &device)?.materialize();
    let policy = FlowPolicy::new(&flow, embedding, data::ACTION, &device);
    let bundle = Bundle::new(spec, encoder, policy, &device);
    let picture = data::picture([0.4, 0.6]);
    let state = vec![0.1; state];
    let mut rng = noise::generator(0, "latency", 0);
    Ok(Box::new(move |_| {
        let pictures: Vec<&[u8]> = size.iter().map(|_| picture.as_slice()).collect();
        let actions = bundle.act(&pictures, &state, None, &mut rng);
        assert_eq!(actions.map_or(0, |a| a.len()), flow.execute * data::ACTION, "the bundle acts on its own spec");
    }))
}

/// A batch of the demo's sequences drawn and gathered, nothing learned.
fn sampling(dir: &Path) -> Built {
    let (corpus, embeddings) = embedded(dir)?;
    let sampler = corpus.sampler(&corpus.train, 8);
    let device = Device::default();
    Ok(Box::new(move |i| {
        let mut rng = noise::generator(0, "sampling", i as u64);
        let shards = Sequence::sample((corpus, embeddings), &sampler, (48, 16, 2), &mut rng, &device);
        assert_eq!(floats(shards[0].reward.clone()).len(), 24 * 16);
    }))
}

/// A dataset of pictures read for the first time: every picture is decoded and resized.
fn ingest(dir: &Path) -> Built {
    let dir = dir.to_path_buf();
    data::record(&dir.join("dataset"), STATE, true)?;
    Ok(Box::new(move |i| {
        let cache = dir.join(format!("cache{i}"));
        let read = data::open(&dir.join("dataset"), Some(64), &cache).map(|d| d.total_frames());
        assert!(read.is_ok_and(|frames| frames > 0), "the recorded dataset is sound");
        std::fs::remove_dir_all(&cache).ok();
    }))
}
