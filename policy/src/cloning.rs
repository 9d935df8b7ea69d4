//! Behaviour cloning: the flow policy fitted to recorded chunks, of all episodes, of successful ones, or of the best. The clone is the prior and
//! the floor. Where a person took the controls, what the person did counts for more, and what the robot did just before for nothing
//! ([`world_model::corpus::human`]).

use burn::tensor::{Device, Tensor, TensorData};
use world_model::dropout::CameraDropout;
use world_model::noise;
use world_model::optimise::{Metrics, Schedule, Trainee};
use world_model::shards::Ahead;
use world_model::{Corpus, Embeddings};

use crate::flow::{FlowConfig, FlowPolicy, LearnFrom};

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
    dropout: Option<CameraDropout>,
    /// Tracks that are cloned.
    tracks: Vec<usize>,
    successes: usize,
}

/// The training tracks that are cloned: all, those that succeed, or the best.
pub fn cloned(config: &FlowConfig, corpus: &Corpus) -> Vec<usize> {
    let successful = || corpus.train.iter().copied().filter(|&t| corpus.tracks[t].success);
    match config.learn_from {
        LearnFrom::Successes if successful().count() >= config.least_successes.max(1) => successful().collect(),
        LearnFrom::Best => corpus.best_tracks(&corpus.train, config.best_share),
        LearnFrom::All | LearnFrom::Successes => corpus.train.clone(),
    }
}

/// One shard of recorded chunks.
struct Shard {
    /// Embedding `[B, E]`.
    e: Tensor<2>,
    /// Recorded chunk `[B, chunk*A]`.
    chunk: Tensor<2>,
    /// Normal noise, alike.
    noise: Tensor<2>,
    /// Time `[B, 1]`.
    tau: Tensor<2>,
    /// What a person's signals make of the row `[B]`.
    weight: Tensor<1>,
    /// 1 for the elements of the chunk that the robot has `[B, chunk*A]`; `None` where all have all.
    known: Option<Tensor<2>>,
}

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
            tracks: cloned(config, corpus),
            successes: corpus.train.iter().filter(|&&t| corpus.tracks[t].success).count(),
            trainee: Trainee::new(policy, 1e-4),
            config: *config,
            corpus,
            embeddings,
            shards,
            ahead: Ahead::default(),
            device: device.clone(),
            seed,
            dropout: None,
        }
    }

    /// The same, learning from observations that have lost a camera.
    pub fn with_dropout(mut self, dropout: Option<CameraDropout>) -> Self {
        self.dropout = dropout;
        self
    }

    /// What should be known of the episodes that are cloned.
    pub fn warning(&self) -> Option<String> {
        let (least, all) = (self.config.least_successes.max(1), self.corpus.train.len());
        (self.config.learn_from == LearnFrom::Successes && self.successes < least).then(|| {
            format!(
                "{} training episodes succeed, fewer than policy.least_successes = {least}: all {all} are cloned; record more successes, or \
                 set policy.learn_from = \"all\"",
                self.successes
            )
        })
    }

    /// Update number `update` of a planned `updates`.
    pub fn update(&mut self, update: usize, updates: usize) -> Metrics {
        let Self { trainee, config, corpus, embeddings, shards, ahead, device, seed, dropout, tracks, .. } = self;
        let rows = config.batch.div_ceil(*shards);
        let draw = |update: usize| -> Vec<Shard> {
            let mut rng = noise::generator(*seed, "cloning", update as u64);
            let data = (*corpus, *embeddings);
            let one = |_| {
                let mut shard = shard(data, tracks, (rows, config), &mut rng, device);
                if let Some(dropout) = dropout.as_ref() {
                    shard.e = dropout.apply(shard.e.unsqueeze_dim(1), &mut rng).squeeze_dim(1);
                }
                shard
            };
            (0..*shards).map(one).collect()
        };
        let schedule = Schedule { learning_rate: config.learning_rate, updates };
        ahead.learn(update, draw, |shards| {
            trainee.update(schedule.at(update), shards, device, |policy, shard| (shard.loss(policy), Vec::new()))
        })
    }

    /// The same loss on held-out episodes.
    pub fn held_out(&self, update: usize) -> Option<f32> {
        if self.corpus.held_out.is_empty() {
            return None;
        }
        let device = self.device.clone().inner();
        let mut rng = noise::generator(self.seed, "cloning-held-out", update as u64);
        let (data, sizes) = ((self.corpus, self.embeddings), (self.config.batch, &self.config));
        let shard = shard(data, &self.corpus.held_out, sizes, &mut rng, &device);
        Some(shard.loss(&self.trainee.frozen()).into_scalar())
    }
}

impl Shard {
    fn loss(self, policy: &FlowPolicy) -> Tensor<1> {
        let Self { e, chunk, noise, tau, weight, known } = self;
        policy.loss(e, (chunk, noise, tau), weight, known)
    }
}

/// `rows` recorded chunks from the given tracks.
fn shard(
    (corpus, embeddings): (&Corpus, &Embeddings),
    tracks: &[usize],
    (rows, config): (usize, &FlowConfig),
    rng: &mut rand::rngs::StdRng,
    device: &Device,
) -> Shard {
    let FlowConfig { chunk, execute, intervention_weight, .. } = *config;
    let width = chunk * corpus.action_len;
    let mut chunks = Vec::with_capacity(rows * width);
    let at = corpus.draw_steps(tracks, rows, rng);
    for &(track, t) in &at {
        corpus.action_chunk(track, t, chunk, &mut chunks);
    }
    let weight: Vec<f32> = at
        .iter()
        .map(|&(track, t)| corpus.tracks[track].human_weight(t, execute.min(chunk), intervention_weight))
        .collect();
    Shard {
        weight: Tensor::from_data(TensorData::new(weight, [rows]), device),
        e: embeddings.gather(&at, device),
        chunk: Tensor::from_data(TensorData::new(chunks, [rows, width]), device),
        noise: noise::normal([rows, width], rng, device),
        tau: noise::uniform([rows, 1], rng, device),
        known: corpus.has_gaps().then(|| corpus.known_actions(at.iter().map(|&(track, _)| track), chunk, device)),
    }
}
