//! Distillation: a copy of a policy that answers in one pass of its network what the policy answers in many, for robots that ask often
//! or compute slowly (the one-step policy of FQL without its values; Park et al. 2025, arXiv:2502.02538, sec. 4.1).
//!
//! ```text
//! L = mean |π₁(e, ε) - π(e, ε)|²
//! ```
//! over recorded observations `e` and noise `ε`. The same noise gives nearly the same chunk, so the copy is as manifold as the policy is.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};
use world_model::optimise::{Metrics, Schedule, Trainee};
use world_model::shards::Ahead;
use world_model::{Corpus, Embeddings, noise};

use crate::flow::{Acting, FlowPolicy};

/// Distillation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DistilConfig {
    /// Updates.
    pub updates: usize,
    /// Observations in a batch.
    pub batch: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
}

impl Default for DistilConfig {
    fn default() -> Self {
        Self { updates: 4000, batch: 256, learning_rate: 1e-3 }
    }
}

/// Teaches a copy of a policy.
pub struct DistilLearner<'a> {
    /// The copy.
    pub student: Trainee<FlowPolicy>,
    teacher: FlowPolicy,
    data: (&'a Corpus, &'a Embeddings),
    config: DistilConfig,
    shards: usize,
    ahead: Ahead<Shard>,
    device: Device,
    seed: u64,
}

/// Embeddings `[B, E]`, noise `[B, chunk*A]` and what the policy makes of them, alike.
type Shard = (Tensor<2>, Tensor<2>, Tensor<2>);

/// `L` for `e [B, E]`, standard normal noise and the policy's answers `[B, chunk*A]`: before it is kept inside a range, where it would have no
/// gradient.
pub fn loss(student: &FlowPolicy, (e, noise, answers): Shard) -> Tensor<1> {
    assert_eq!(answers.dims(), noise.dims(), "answers have the shape of the noise [B, chunk*A]");
    (student.propose(e, noise) - answers).square().mean()
}

impl<'a> DistilLearner<'a> {
    /// `student` begins as a copy of the `teacher`'s network and lives on `device`, an autodiff device, the teacher on its inner one.
    pub fn new(
        (student, teacher): (FlowPolicy, FlowPolicy),
        data: (&'a Corpus, &'a Embeddings),
        config: &DistilConfig,
        shards: usize,
        (device, seed): (&Device, u64),
    ) -> Self {
        let student = Trainee::new(student.with_acting(Acting::OneStep), 1e-5);
        Self { student, teacher, data, config: *config, shards, ahead: Ahead::default(), device: device.clone(), seed }
    }

    /// Update number `update` of a planned `updates`.
    pub fn update(&mut self, update: usize, updates: usize) -> Metrics {
        let Self { student, teacher, data, config, shards, ahead, device, seed } = self;
        let rows = config.batch.div_ceil(*shards);
        let draw = |update: usize| -> Vec<Shard> {
            let mut rng = noise::generator(*seed, "distil", update as u64);
            (0..*shards).map(|_| asked(teacher, *data, &data.0.train_home, rows, &mut rng)).collect()
        };
        let schedule = Schedule { learning_rate: config.learning_rate, updates };
        ahead.learn(update, draw, |shards| {
            student.update(schedule.at(update), shards, device, |student, shard| (loss(student, shard), Vec::new()))
        })
    }

    /// Root mean square difference of the copy's executed actions from the policy's, in standard deviations of the recorded ones, on
    /// held-out episodes; `None` where there are none.
    pub fn held_out(&self, rows: usize) -> Option<f32> {
        let corpus = self.data.0;
        if corpus.held_out.is_empty() {
            return None;
        }
        let mut rng = noise::generator(self.seed, "distil-held-out", 0);
        let (e, noise, answers) = asked(&self.teacher, self.data, &corpus.held_out, rows, &mut rng);
        let error = (self.student.frozen().act(e, noise) - answers).square().mean();
        Some(error.into_scalar::<f32>().sqrt())
    }
}

/// `rows` recorded observations of the given tracks, noise, and what the policy answers.
fn asked(
    policy: &FlowPolicy,
    (corpus, embeddings): (&Corpus, &Embeddings),
    tracks: &[usize],
    rows: usize,
    rng: &mut rand::rngs::StdRng,
) -> Shard {
    let device = policy.devices().into_iter().next().unwrap_or_default();
    let at = corpus.draw_steps(tracks, rows, rng);
    let (e, noise) = (embeddings.gather(&at, &device), noise::normal([rows, policy.noise_len()], rng, &device));
    let answers = policy.act(e.clone(), noise.clone());
    (e, noise, answers)
}
