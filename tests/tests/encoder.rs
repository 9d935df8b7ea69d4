//! Whose eyes should a policy have: the world model's, or a pair of its own? Measured once, on the demo's robot; not a part of every check.
//!
//! ```sh
//! ENCODER_SEED=0 cargo test --release -p integration-tests --test encoder -- --ignored --nocapture
//! ```
//! The same flow-matching policy, episodes, updates and batches each time. The encoder is the one that the world model's representation
//! learned (its weights fixed, as everywhere in this house), the same one learning on from the cloning loss, or a fresh one that learns from
//! the cloning loss alone. Sizes are those of configs/demo.toml.

use std::io::Write;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use episodes::{Dataset, LeRobotWriter, OpenOptions, RewardRule};
use policy::{FlowConfig, FlowPolicy};
use rand::rngs::StdRng;
use sim::{SimConfig, episode_seed, run_policy};
use world_model::optimise::{Schedule, Trainee};
use world_model::representation::{Encoder, Seen};
use world_model::train::RepresentationLearner;
use world_model::vision::{floats, to_blocks};
use world_model::{Corpus, WorldModel, WorldModelConfig, noise};

const EPISODES: usize = 300;
const SIZE: usize = 48;
const TRUTH: usize = 300;
/// Held-out moments on which losses are compared.
const MOMENTS: usize = 2048;

#[derive(Module, Debug)]
struct Sighted {
    encoder: Encoder,
    policy: FlowPolicy,
}

struct Rows {
    seen: Vec<Seen>,
    state: Tensor<2>,
    chunk: Tensor<2>,
    noise: Tensor<2>,
    tau: Tensor<2>,
}

struct Data<'a> {
    dataset: &'a Dataset,
    corpus: &'a Corpus,
    flow: FlowConfig,
}

impl Data<'_> {
    fn draw(&self, tracks: &[usize], rows: usize, rng: &mut StdRng, device: &Device) -> Rows {
        let (corpus, s) = (self.corpus, self.corpus.state_len);
        let width = self.flow.chunk * corpus.action_len;
        let at = corpus.draw_steps(tracks, rows, rng);
        let frames = at.iter().map(|&(track, t)| self.dataset.frame(0, corpus.tracks[track].episode, t));
        let seen = vec![Seen { picture: to_blocks(frames, SIZE, device), feature: None }];
        let (mut state, mut chunk) = (Vec::new(), Vec::new());
        for &(track, t) in &at {
            state.extend_from_slice(&corpus.tracks[track].state[t * s..(t + 1) * s]);
            corpus.action_chunk(track, t, self.flow.chunk, &mut chunk);
        }
        Rows {
            seen,
            state: Tensor::from_data(TensorData::new(state, [rows, s]), device),
            chunk: Tensor::from_data(TensorData::new(chunk, [rows, width]), device),
            noise: noise::normal([rows, width], rng, device),
            tau: noise::uniform([rows, 1], rng, device),
        }
    }

    /// Loss, and squared error of the answer under no noise, in normalised units, on the same held-out moments each time.
    fn held_out(&self, eyes: &Sighted) -> (f32, f32) {
        let mut rng = noise::generator(0, "held-out", 0);
        let rows = self.draw(&self.corpus.held_out, MOMENTS, &mut rng, &Device::default());
        let e = eyes.encoder.encode(rows.seen, rows.state);
        let answer = eyes.policy.act(e.clone(), rows.noise.zeros_like());
        let error = (answer - rows.chunk.clone()).square().mean().into_scalar::<f32>();
        let weight = Tensor::ones([MOMENTS], &Device::default());
        (eyes.policy.loss(e, (rows.chunk, rows.noise, rows.tau), weight, None).into_scalar(), error)
    }

    /// Share of true episodes that succeed.
    fn success(&self, eyes: &Sighted, config: &SimConfig, seed: u64) -> f64 {
        let (state, action) = (&self.corpus.state_normaliser, &self.corpus.action_normaliser);
        let device = Device::default();
        let succeeded = |i: u64| {
            let seed = episode_seed(seed ^ 0x7275_7468, i);
            let mut rng = noise::generator(seed, "truth", 0);
            let result = run_policy(config, seed, &mut |at, image| {
                let mut normal = vec![0.0; 2];
                state.normalise(at, &mut normal);
                let seen = Seen { picture: to_blocks([image].into_iter(), SIZE, &device), feature: None };
                let e = eyes.encoder.encode(vec![seen], Tensor::from_data(TensorData::new(normal, [1, 2]), &device));
                let noise = noise::normal([1, eyes.policy.noise_len()], &mut rng, &device);
                let answer = floats(eyes.policy.act(e, noise));
                let mut chunk = vec![0.0; answer.len()];
                answer.chunks_exact(2).zip(chunk.chunks_exact_mut(2)).for_each(|(a, out)| action.denormalise(a, out));
                chunk.chunks_exact(2).take(self.flow.execute).map(|a| [a[0], a[1]]).collect()
            });
            result.success
        };
        (0..TRUTH as u64).filter(|&i| succeeded(i)).count() as f64 / TRUTH as f64
    }
}

#[test]
#[ignore = "measures for many minutes and prints what docs/RESULTS.md says"]
fn eyes_of_the_world_model_or_of_its_own() {
    let number = |name: &str, or: u64| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(or);
    let (seed, updates) = (number("ENCODER_SEED", 0), number("ENCODER_UPDATES", 6000) as usize);
    let config = SimConfig { image_size: SIZE, ..SimConfig::default() };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("episodes");
    let mut writer = LeRobotWriter::create(&path, &sim::spec(&config)).expect("a writer");
    for episode in sim::collect(&config, EPISODES, seed, &mut |_| {}) {
        writer.push(&episode).expect("pushed");
    }
    writer.finish().expect("finished");
    let cache_dir = folder.path().join("cache");
    let options = OpenOptions { path, image_size: SIZE, cache_dir, ..OpenOptions::default() };
    let dataset = Dataset::open(&options, &mut |_| {}).expect("opened");
    let corpus = Corpus::new(&dataset, RewardRule::Auto, &dataset.split(0.15, seed), 0.98);
    let flow = FlowConfig { chunk: 8, execute: 4, updates, ..FlowConfig::default() };
    let data = Data { dataset: &dataset, corpus: &corpus, flow };

    let device = Device::default().autodiff();
    let mut world = WorldModelConfig::default();
    (world.representation.updates, world.representation.batch) = (4000, 64);
    let fresh = |seed: u64| {
        device.seed(seed);
        let model = WorldModel::new(&world, &[SIZE], corpus.state_len, corpus.action_len, &device).expect("sizes fit");
        model.representation
    };
    let began = Instant::now();
    let mut learner = RepresentationLearner::new(fresh(seed), &world, (&dataset, &corpus), &device, seed);
    for update in 0..world.representation.updates {
        learner.update(update, world.representation.updates);
    }
    let mut out = std::io::stdout();
    writeln!(out, "the world model's representation: {:.0} s", began.elapsed().as_secs_f64()).expect("said");
    let shared = learner.trainee.network.encoder.clone();
    let own = fresh(seed + 1).encoder;
    for (name, encoder, learns) in [
        ("the world model's, fixed", shared.clone(), false),
        ("the world model's, learning on", shared, true),
        ("its own", own, true),
    ] {
        device.seed(seed + 2);
        let e_len = world.representation.camera_len(0) + corpus.state_len;
        let policy = FlowPolicy::new(&flow, e_len, corpus.action_len, &device);
        let mut trainee = Trainee::new(Sighted { encoder, policy }, 1e-4);
        let schedule = Schedule { learning_rate: flow.learning_rate, updates };
        let began = Instant::now();
        let (before, _) = data.held_out(&trainee.frozen());
        for update in 0..updates {
            let mut rng = noise::generator(seed, "cloning", update as u64);
            let shards = (0..2).map(|_| data.draw(&corpus.train, flow.batch / 2, &mut rng, &device)).collect();
            trainee.update(schedule.at(update), shards, &device, |eyes, rows: Rows| {
                let e = eyes.encoder.encode(rows.seen, rows.state);
                let e = if learns { e } else { e.detach() };
                let weight = Tensor::ones([e.dims()[0]], &device);
                (eyes.policy.loss(e, (rows.chunk, rows.noise, rows.tau), weight, None), Vec::new())
            });
        }
        let (seconds, eyes) = (began.elapsed().as_secs_f64(), trainee.frozen());
        let (loss, error) = data.held_out(&eyes);
        let success = 100.0 * data.success(&eyes, &config, seed);
        writeln!(
            out,
            "{name}: held-out loss {loss:.4}, error of the answer {error:.4}, true success {success:.0} % of {TRUTH}; {seconds:.0} s"
        )
        .expect("said");
        assert!(loss < before, "{name}: {before} to {loss}");
    }
}
