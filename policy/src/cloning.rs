//! Behaviour cloning: the flow policy fitted to every recorded chunk. The clone is the prior and the floor.

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use world_model::noise;
use world_model::optimise::{Metrics, Schedule, Trainee};
use world_model::shards::Ahead;
use world_model::{Corpus, Embeddings};

use crate::flow::{FlowConfig, FlowPolicy};

/// Trains the clone on cached embeddings.
pub struct CloneLearner<'a> {
    /// Policy and optimiser.
    pub trainee: Trainee<FlowPolicy>,
    config: FlowConfig,
    corpus: &'a Corpus,
    embeddings: &'a Embeddings,
    shards: usize,
    ahead: Ahead<Shard>,
    device: Device,
    seed: u64,
}

/// One shard of recorded chunks: embedding `[B, E]`, chunk and noise `[B, chunk*A]`, time `[B, 1]`.
type Shard = (Tensor<2>, Tensor<2>, Tensor<2>, Tensor<2>);

impl<'a> CloneLearner<'a> {
    /// `policy` must live on `device`, an autodiff device.
    pub fn new(
        policy: FlowPolicy,
        config: &FlowConfig,
        data: (&'a Corpus, &'a Embeddings),
        shards: usize,
        device: &Device,
        seed: u64,
    ) -> Self {
        let (corpus, embeddings) = data;
        Self {
            trainee: Trainee::new(policy, 1e-4),
            config: *config,
            corpus,
            embeddings,
            shards,
            ahead: Ahead::default(),
            device: device.clone(),
            seed,
        }
    }

    /// Update number `update` of a planned `updates`.
    pub fn update(&mut self, update: usize, updates: usize) -> Metrics {
        let Self { trainee, config, corpus, embeddings, shards, ahead, device, seed } = self;
        let rows = config.batch.div_ceil(*shards);
        let draw = |update: usize| -> Vec<Shard> {
            let mut rng = noise::generator(*seed, "cloning", update as u64);
            let data = (*corpus, *embeddings);
            (0..*shards).map(|_| shard(data, &corpus.train, (rows, config.chunk), &mut rng, device)).collect()
        };
        let schedule = Schedule { learning_rate: config.learning_rate, updates };
        ahead.learn(update, draw, |shards| {
            trainee.update(schedule.at(update), shards, device, |policy, (e, chunk, noise, tau)| {
                let weight = Tensor::ones([e.dims()[0]], &e.device());
                (policy.loss(e, chunk, noise, tau, weight), Vec::new())
            })
        })
    }

    /// The same loss on held-out episodes.
    pub fn held_out(&self, update: usize) -> Option<f32> {
        if self.corpus.held_out.is_empty() {
            return None;
        }
        let device = self.device.clone().inner();
        let mut rng = noise::generator(self.seed, "cloning-held-out", update as u64);
        let (data, sizes) = ((self.corpus, self.embeddings), (self.config.batch, self.config.chunk));
        let (e, chunk, noise, tau) = shard(data, &self.corpus.held_out, sizes, &mut rng, &device);
        let weight = Tensor::ones([self.config.batch], &device);
        Some(self.trainee.frozen().loss(e, chunk, noise, tau, weight).into_scalar())
    }
}

/// `rows` recorded chunks of `chunk` actions from the given tracks.
fn shard(
    (corpus, embeddings): (&Corpus, &Embeddings),
    tracks: &[usize],
    (rows, chunk): (usize, usize),
    rng: &mut rand::rngs::StdRng,
    device: &Device,
) -> Shard {
    let width = chunk * corpus.action_len;
    let mut chunks = Vec::with_capacity(rows * width);
    let at = draw_steps(corpus, tracks, rows, rng);
    for &(track, t) in &at {
        corpus.action_chunk(track, t, chunk, &mut chunks);
    }
    (
        embeddings.gather(&at, device),
        Tensor::from_data(TensorData::new(chunks, [rows, width]), device),
        noise::normal([rows, width], rng, device),
        noise::uniform([rows, 1], rng, device),
    )
}

/// Draws `rows` (track, step) pairs, uniform over steps.
pub fn draw_steps(corpus: &Corpus, tracks: &[usize], rows: usize, rng: &mut rand::rngs::StdRng) -> Vec<(usize, usize)> {
    let total: usize = tracks.iter().map(|&t| corpus.tracks[t].len).sum();
    (0..rows)
        .map(|_| {
            let mut at = rng.random_range(0..total.max(1));
            for &track in tracks {
                let len = corpus.tracks[track].len;
                if at < len {
                    return (track, at);
                }
                at -= len;
            }
            (tracks[0], 0)
        })
        .collect()
}
