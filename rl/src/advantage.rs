//! Cloning that knows how good each chunk was, by counterfactual advantage, and is asked for good ones.
//!
//! Advantage-conditioned cloning (Physical Intelligence 2025, π*0.6, arXiv:2511.14759, sec. IV; earlier Chen et al. 2021,
//! arXiv:2106.01345) takes the advantage from what was recorded. Here it is *counterfactual*: from a recorded state the recorded chunk and
//! `N - 1` of the clone's are imagined under the *same* noise, so that their differences are differences between actions:
//! ```text
//! A_i = score_i - mean score,   good where A_i is among the best share of its group
//! L   = |v(x_τ, τ, e, advice) - (a - ε)|²,   advice = good or bad, none for some rows
//! ```
//! At run time the answer is guided (Ho & Salimans 2022, arXiv:2207.12598, eq. 6): `v = v(none) + w [v(good) - v(none)]`. Nothing is climbed
//! and nothing weighed away: bad chunks teach what is to be left.

use burn::tensor::{Device, Tensor, TensorData};
use policy::flow::ADVICE;
use policy::{Acting, FlowConfig, FlowPolicy};
use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use world_model::optimise::{Metrics, Schedule, Trainee};
use world_model::shards::side_by_side;
use world_model::train::latents_at;
use world_model::vision::floats;
use world_model::{Corpus, Embeddings, WorldModel, noise};

use crate::chunk_critic::action_range;
use crate::critic::Critic;
use crate::improve::ahead::Ahead;
use crate::improve::inconsistency::inconsistency;
use crate::improve::scores::{Penalties, believed_return, scores};
use crate::improve::{ImproveConfig, Prior};

/// Advantage-conditioned cloning.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdvantageConfig {
    /// Share of a group of chunks that is called good.
    pub good: f32,
    /// Share of chunks that are learned without advice.
    pub unadvised: f32,
    /// Weight `w` of the guidance at run time: 0 acts as the clone, 1 as good chunks do, more goes further in that direction.
    pub guidance: f32,
}

impl Default for AdvantageConfig {
    fn default() -> Self {
        Self { good: 0.25, unadvised: 0.2, guidance: 4.0 }
    }
}

/// Improves a copy of the clone.
pub struct AdvantageLearner<'a> {
    /// The copy that improves.
    pub actor: Trainee<FlowPolicy>,
    /// Values of the recorded behaviour, behind the chunks; they do not learn here.
    values: Critic,
    prior: Prior<'a>,
    members: Vec<WorldModel>,
    corpus: &'a Corpus,
    embeddings: &'a Embeddings,
    config: ImproveConfig,
    flow: FlowConfig,
    shards: usize,
    device: Device,
    seed: u64,
}

/// Chunks from some states and what was said of them, plain rows.
#[derive(Default)]
struct Compared {
    e: Vec<f32>,
    chunk: Vec<f32>,
    /// Good and bad, 0 and 0 for no advice `[N, 2]`.
    advice: Vec<f32>,
    /// By how much good chunks are better than all, in units of the return.
    gain: f32,
    /// Share of the recorded chunks that are good.
    recorded_good: f32,
}

impl<'a> AdvantageLearner<'a> {
    /// `actor` must live on `device`, an autodiff device, and begins as a copy of the clone; `values` are without gradients.
    pub fn new(
        (actor, values): (FlowPolicy, Critic),
        prior: Prior<'a>,
        (corpus, embeddings): (&'a Corpus, &'a Embeddings),
        (config, flow): (&ImproveConfig, &FlowConfig),
        shards: usize,
        (device, seed): (&Device, u64),
    ) -> Self {
        let acting = Acting::Guided { steps: flow.flow_steps, weight: config.advantage.guidance };
        let actor = actor.with_acting(acting).within(action_range(corpus));
        Self {
            actor: Trainee::new(actor, 1e-5),
            values,
            members: prior.members(config),
            prior,
            corpus,
            embeddings,
            config: *config,
            flow: *flow,
            shards,
            device: device.clone(),
            seed,
        }
    }

    /// Update number `update` of a planned `updates`.
    pub fn update(&mut self, update: usize, updates: usize) -> Metrics {
        let inner = self.device.clone().inner();
        let per_shard = self.config.starts.div_ceil(self.shards);
        let compared: Vec<Compared> = side_by_side((0..self.shards).collect(), |_, shard| {
            let mut rng = noise::generator(self.seed, "advantage", (update * self.shards + shard) as u64);
            self.compare(per_shard, &mut rng, &inner)
        });
        let count = compared.len().max(1) as f32;
        let mean = |of: fn(&Compared) -> f32| compared.iter().map(of).sum::<f32>() / count;
        let (gain, recorded_good) = (mean(|c| c.gain), mean(|c| c.recorded_good));
        let mut rng = noise::generator(self.seed, "advantage-fit", update as u64);
        let (e_width, chunk_width) = (self.embeddings.dim, self.actor.network.noise_len());
        let shards: Vec<_> = compared
            .into_iter()
            .map(|c| {
                let n = c.advice.len() / ADVICE;
                let rows = |values: Vec<f32>, width: usize| {
                    Tensor::<2>::from_data(TensorData::new(values, [n, width]), &self.device)
                };
                let flow = (
                    rows(c.chunk, chunk_width),
                    noise::normal([n, chunk_width], &mut rng, &self.device),
                    noise::uniform([n, 1], &mut rng, &self.device),
                );
                (rows(c.e, e_width), rows(c.advice, ADVICE), flow, Tensor::<1>::ones([n], &self.device))
            })
            .collect();
        let schedule = Schedule { learning_rate: self.config.learning_rate, updates };
        // Everything here is done by home's robot.
        let (corpus, device) = (self.corpus, &self.device);
        let (gaps, home) = (corpus.has_gaps(), corpus.train_home.first().copied().unwrap_or(0));
        let chunk = self.actor.network.chunk();
        let mut metrics =
            self.actor.update(schedule.at(update), shards, &self.device, |policy, (e, advice, flow, weight)| {
                let known = gaps.then(|| corpus.known_actions(std::iter::repeat_n(home, e.dims()[0]), chunk, device));
                (policy.advised_loss(e, advice, flow, weight, known), Vec::new())
            });
        metrics.extend([("gain", gain), ("recorded_good", recorded_good)]);
        metrics
    }

    /// Imagines the recorded chunk and the clone's from `starts` recorded states, and says which are good.
    fn compare(&self, starts: usize, rng: &mut StdRng, device: &Device) -> Compared {
        let (n, model, a) = (self.config.candidates.max(2), self.prior.model, self.corpus.action_len);
        let clone = self.prior.clone;
        let (chunk, width) = (clone.chunk(), clone.noise_len());
        let at = self.corpus.draw_steps(&self.corpus.train_home, starts, rng);
        let latent = latents_at(model, (self.corpus, self.embeddings), &at, self.config.context, rng, device);
        let mut recorded = Vec::with_capacity(starts * width);
        for &(track, t) in &at {
            self.corpus.action_chunk(track, t, chunk, &mut recorded);
        }
        // Choice needs variety, whatever the noise it acts with.
        let noise = noise::normal([starts * (n - 1), width], rng, device);
        let others = clone.clone().with_noise(1.0).act(latent.repeat_rows(n - 1).e, noise);
        let recorded = Tensor::<2>::from_data(TensorData::new(recorded, [starts, width]), device);
        let grouped = vec![recorded.reshape([starts, 1, width]), others.reshape([starts, n - 1, width])];
        let actions = clone.own(Tensor::cat(grouped, 1).reshape([starts * n, width]));
        let wide = latent.repeat_rows(n);
        let ahead = Ahead { model, policy: clone, flow: &self.flow, action_len: a, chunks: self.config.ahead };
        let imagined = ahead.imagine((&wide, &actions), (starts, n), rng, device);
        let behind = (&self.corpus.returns, self.prior.limits, &self.values);
        let result =
            believed_return(behind, self.config.lambda, &wide.e, &imagined, Tensor::zeros([starts * n], device));
        let (value, doubt) = (floats(result.value), floats(result.disagreement));
        let inconsistent = inconsistency(&self.members, (&self.corpus.returns, &self.values), &imagined);
        let scored = scores(&value, &doubt, &inconsistent, n, Penalties::of(&self.config, self.prior.limits));
        let mut out = Compared { e: floats(wide.e), chunk: floats(actions), ..Compared::default() };
        for (s, group) in scored.chunks_exact(n).enumerate() {
            let mut good = best(group, self.config.advantage.good);
            out.recorded_good += f32::from(u8::from(good[0])) / starts as f32;
            out.gain += better(&value[s * n..(s + 1) * n], &good) / starts as f32;
            // What a person did counts as good, what a person had to stop as bad, whatever is imagined of it.
            let (track, t) = at[s];
            let execute = self.flow.execute.clamp(1, self.flow.chunk);
            // Whatever it weighs when it is cloned.
            match self.corpus.tracks[track].human_weight(t, execute, 2.0) {
                said if said > 1.0 => good[0] = true,
                said if said < 1.0 => good[0] = false,
                _ => {}
            }
            for good in good {
                let told = !rng.random_bool(f64::from(self.config.advantage.unadvised.clamp(0.0, 1.0)));
                out.advice.extend([good, !good].map(|yes| f32::from(u8::from(told && yes))));
            }
        }
        out
    }
}

/// Which of a group are among the best `share` of it, at least one; ties go to none beyond that number.
fn best(scores: &[f32], share: f32) -> Vec<bool> {
    let count = ((share * scores.len() as f32).round() as usize).clamp(1, scores.len());
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut good = vec![false; scores.len()];
    order.into_iter().take(count).for_each(|i| good[i] = true);
    good
}

/// Mean of the good ones less the mean of all.
fn better(values: &[f32], good: &[bool]) -> f32 {
    let mean = |of: &mut dyn Iterator<Item = f32>| {
        let (sum, count) = of.fold((0.0, 0.0), |(sum, count), v| (sum + v, count + 1.0));
        sum / f32::max(count, 1.0)
    };
    let chosen = mean(&mut values.iter().zip(good).filter(|(_, good)| **good).map(|(v, _)| *v));
    chosen - mean(&mut values.iter().copied())
}

#[cfg(test)]
mod tests;
