//! What planning finds out, taught to a network that answers at once: the planner as the expert whom a copy of the clone imitates where the
//! copy itself gets to (DAgger; Ross, Gordon & Bagnell 2011, arXiv:1011.0686, alg. 3.1, with a share of the copy's own driving in the place of β;
//! a planner as the expert: Guo et al. 2014, NeurIPS, sec. 3).
//!
//! Episodes are imagined from recorded moments, half of them from where episodes begin. Every few steps of each the planner is asked, whoever
//! drives, and the copy is among those that propose to it. The middle `a` of the better candidates, from wherever on its way it is still to be
//! executed, is a lesson `(e, a)`; the copy answers the same observation with the same chunk and is fitted to all lessons so far:
//! ```text
//! L = mean |π(e) - a|²
//! ```
//! What is learned is therefore where plans go on average; that they go one way about an obstacle is the proposals' doing, which the plans
//! improve on. In the first third of the rounds the planner drives, afterwards the copy drives a share of the episodes: what it does badly it is
//! shown, too. No lesson is taken where an episode has probably ended.

#[cfg(test)]
mod tests;

use burn::tensor::{Device, Tensor, TensorData};
use policy::{Acting, FlowPolicy};
use rand::RngExt;
use rand::rngs::StdRng;
use rollouts::imagine::split_chunk;
use serde::{Deserialize, Serialize};
use world_model::optimise::{Metrics, Schedule, Trainee};
use world_model::shards::side_by_side;
use world_model::train::latents_at;
use world_model::vision::floats;
use world_model::{Corpus, Embeddings, Latent, WorldModel, noise};

use crate::plan::Planner;

/// Learning from plans.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlanDistilConfig {
    /// Updates.
    pub updates: usize,
    /// Lessons in a batch.
    pub batch: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Times that episodes are imagined, evenly over the updates.
    pub rounds: usize,
    /// Episodes imagined in a round.
    pub episodes: usize,
    /// Steps of each.
    pub steps: usize,
    /// Share of the episodes that the copy drives, after the first third of the rounds.
    pub own_share: f32,
}

impl Default for PlanDistilConfig {
    fn default() -> Self {
        Self { updates: 12_000, batch: 256, learning_rate: 1e-3, rounds: 24, episodes: 32, steps: 96, own_share: 0.5 }
    }
}

/// Plain rows: embeddings `[N, E]` and planned chunks `[N, chunk*A]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lessons {
    /// What is seen.
    pub e: Vec<f32>,
    /// What planning would do.
    pub chunk: Vec<f32>,
}

/// Who plans and in which world; networks without gradients.
pub struct Classroom<'a> {
    /// The world in which episodes are imagined.
    pub world: &'a WorldModel,
    /// The expert.
    pub planner: Planner<'a>,
    /// What was recorded: where episodes begin.
    pub data: (&'a Corpus, &'a Embeddings),
    /// Recorded steps observed before imagination begins.
    pub context: usize,
}

/// Teaches a copy of the clone.
pub struct PlanDistilLearner<'a> {
    /// The copy.
    pub student: Trainee<FlowPolicy>,
    /// All lessons so far; part of a checkpoint.
    pub lessons: Lessons,
    room: Classroom<'a>,
    config: PlanDistilConfig,
    shards: usize,
    device: Device,
    seed: u64,
}

/// `L` for lessons `(e [B, E], a [B, chunk*A])`: before answers are kept inside a range, where they would have no gradient.
pub fn loss(student: &FlowPolicy, (e, chunk): (Tensor<2>, Tensor<2>)) -> Tensor<1> {
    assert_eq!(chunk.dims()[1], student.noise_len(), "lessons are chunks [B, chunk*A]");
    (student.propose(e, chunk.zeros_like()) - chunk).square().mean()
}

impl<'a> PlanDistilLearner<'a> {
    /// `student` begins as a copy of the clone, is kept within what was recorded, and lives on `device`, an autodiff device.
    pub fn new(
        student: FlowPolicy,
        room: Classroom<'a>,
        config: &PlanDistilConfig,
        shards: usize,
        (device, seed): (&Device, u64),
    ) -> Self {
        let student = Trainee::new(student.with_acting(Acting::Deterministic), 1e-5);
        Self { student, lessons: Lessons::default(), room, config: *config, shards, device: device.clone(), seed }
    }

    /// Update number `update` of a planned `updates`; before every so many of them a round of episodes.
    pub fn update(&mut self, update: usize, updates: usize) -> Metrics {
        let PlanDistilConfig { rounds, batch, learning_rate, .. } = self.config;
        let every = (self.config.updates / rounds.max(1)).max(1);
        if update.is_multiple_of(every) {
            self.round(update / every);
        }
        let mut rng = noise::generator(self.seed, "plan-distil", update as u64);
        let rows = batch.div_ceil(self.shards);
        let shards = (0..self.shards).map(|_| self.draw(rows, &mut rng)).collect();
        let schedule = Schedule { learning_rate, updates };
        let mut metrics = self
            .student
            .update(schedule.at(update), shards, &self.device, |policy, lessons| (loss(policy, lessons), Vec::new()));
        metrics.push(("lessons", self.taught() as f32));
        metrics
    }

    /// Lessons so far.
    pub fn taught(&self) -> usize {
        self.lessons.e.len() / self.room.data.1.dim.max(1)
    }

    /// `rows` lessons: embeddings `[B, E]` and chunks `[B, chunk*A]`.
    fn draw(&self, rows: usize, rng: &mut StdRng) -> (Tensor<2>, Tensor<2>) {
        let (e_len, chunk_len) = (self.room.data.1.dim, self.student.network.noise_len());
        let taught = self.taught().max(1);
        let (mut e, mut chunk) = (Vec::with_capacity(rows * e_len), Vec::with_capacity(rows * chunk_len));
        for _ in 0..rows {
            let i = rng.random_range(0..taught);
            e.extend_from_slice(&self.lessons.e[i * e_len..(i + 1) * e_len]);
            chunk.extend_from_slice(&self.lessons.chunk[i * chunk_len..(i + 1) * chunk_len]);
        }
        let device = &self.device;
        let tensor = |values, width| Tensor::<2>::from_data(TensorData::new(values, [rows, width]), device);
        (tensor(e, e_len), tensor(chunk, chunk_len))
    }

    /// Imagines the episodes of one round and takes their lessons.
    fn round(&mut self, round: usize) {
        let own_share = if round < self.config.rounds / 3 { 0.0 } else { self.config.own_share };
        let (student, inner) = (self.student.frozen(), self.device.clone().inner());
        let (shards, seed, per_shard) = (self.shards, self.seed, self.config.episodes.div_ceil(self.shards).max(1));
        // The planner drives one at least.
        let own = ((per_shard as f32 * own_share).round() as usize).min(per_shard - 1);
        let (room, steps) = (&self.room, self.config.steps);
        let taken = side_by_side((0..shards).collect(), |_, shard| {
            let mut rng = noise::generator(seed, "plan-distil-round", (round * shards + shard) as u64);
            room.episodes(&student, (per_shard, own), steps, &mut rng, &inner)
        });
        for Lessons { e, chunk } in taken {
            self.lessons.e.extend(e);
            self.lessons.chunk.extend(chunk);
        }
    }
}

impl Classroom<'_> {
    /// Lessons of `rows` imagined episodes, the first `own` of which the student drives.
    fn episodes(
        &self,
        student: &FlowPolicy,
        (rows, own): (usize, usize),
        steps: usize,
        rng: &mut StdRng,
        device: &Device,
    ) -> Lessons {
        let (corpus, embeddings) = self.data;
        let (a, execute, width) = (corpus.action_len, self.planner.execute(), embeddings.dim);
        let mut at = corpus.draw_steps(&corpus.train_home, rows, rng);
        at.iter_mut().step_by(2).for_each(|(_, t)| *t = 0);
        let mut latent = latents_at(self.world, self.data, &at, self.context, rng, device);
        let mut going = vec![1.0f32; rows];
        let planner = self.planner.proposed_by(student);
        let (mut knots, mut lessons) = (None::<Vec<f32>>, Lessons::default());
        for _ in 0..steps.div_ceil(execute) {
            let plan = planner.plan(&latent, knots.as_deref(), rng, device);
            knots = Some(planner.moved_on(&plan.knots, execute));
            let planned = floats(plan.centre);
            let driven = self.driven((student, own), &latent, &plan.actions);
            for (k, action) in split_chunk(&driven, a, execute).into_iter().enumerate() {
                let e = floats(latent.e.clone());
                for row in (0..rows).filter(|&row| going[row] > 0.5 && (k == 0 || row >= own)) {
                    lessons.e.extend_from_slice(&e[row * width..(row + 1) * width]);
                    rest_of(&planned, (row, rows), k, (a, student.chunk()), &mut lessons.chunk);
                }
                let noise = self.world.draw_noise(rows, rng, device);
                let (next, prediction) = self.world.imagine(&latent, action, noise);
                let ended = [floats(prediction.success), floats(prediction.failure)];
                going.iter_mut().enumerate().for_each(|(row, g)| *g *= (1.0 - ended[0][row]) * (1.0 - ended[1][row]));
                latent = next;
            }
        }
        lessons
    }

    /// What is executed `[B, n*A]`: of the first `own` rows what the student answers, of the others what is planned.
    fn driven(&self, (student, own): (&FlowPolicy, usize), latent: &Latent, planned: &Tensor<2>) -> Tensor<2> {
        let (rows, a, execute) = (latent.len(), self.data.0.action_len, self.planner.execute());
        if own == 0 {
            return planned.clone();
        }
        let e = latent.e.clone().narrow(0, 0, own);
        let noise = Tensor::zeros([own, student.noise_len()], &e.device());
        let chunk = student.act(e, noise);
        // Of a chunk shorter than what a plan executes the last action is held.
        let last = student.chunk() - 1;
        let answered = (0..execute).map(|k| chunk.clone().narrow(1, k.min(last) * a, a)).collect();
        let answered = Tensor::cat(answered, 1);
        let planned = planned.clone().narrow(0, own, rows - own).narrow(1, 0, execute * a);
        Tensor::cat(vec![answered, planned], 0)
    }
}

/// Appends what is left of a row's plan `[rows, H, A]` from step `k` on, `chunk` actions, the last one held.
fn rest_of(planned: &[f32], (row, rows): (usize, usize), k: usize, (a, chunk): (usize, usize), out: &mut Vec<f32>) {
    let len = planned.len() / rows;
    let plan = &planned[row * len..(row + 1) * len];
    let last = len / a - 1;
    for step in k..k + chunk {
        out.extend_from_slice(&plan[step.min(last) * a..][..a]);
    }
}
