//! Rehearsal: offline improvement of a cloned policy by counterfactual comparison in imagination.
//!
//! From a recorded state, `N` chunks are drawn, half from a frozen clone of all that was recorded, half from the copy of the clone that improves
//! (half of those nudged by a smooth offset, if `nudge` is above zero). All are imagined under the *same* noise and scored by
//! ```text
//! score = Σ_k γ^k m_k [(1-γ) r_k + γ p_k R] + γ^C m_C (V - std V)(ê_C) - κ · disagreement / d95 - η · inconsistency
//! ```
//! so the differences within a group are differences between actions; with `ahead` the copy acts on behind each chunk, and with `lambda` below 1
//! the sum is a λ-return (`rollouts::score::fading`), cut at the trust horizon. The copy learns, by flow matching, from chunks drawn
//! with probability `softmax(β · score / spread)`; imagination goes on from where its own chunk leads. The leash is in
//! the construction: candidates come from the clone and its neighbourhood, and a share of the batch is plain cloning of recorded chunks (of all, or by
//! `leash_to_clone` of what the clone learned from), weighted by advantage. `d95` is the 95th percentile of disagreement on held-out data, so κ needs no tuning per dataset;
//! inconsistency (`improve/inconsistency.rs`) is off unless asked for.
//! Values learn from imagined outcomes of the copy's own chunks, and from recorded steps.

pub(crate) mod ahead;
mod config;
pub(crate) mod inconsistency;
pub(crate) mod scores;
#[cfg(test)]
mod tests;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use policy::cloning::cloned;
use policy::{FlowConfig, FlowPolicy};
use rand::RngExt;
use rand::rngs::StdRng;
use world_model::corpus::Track;
use world_model::optimise::{Metrics, Schedule, Trainee};
use world_model::shards::side_by_side;
use world_model::train::latents_at;
use world_model::trust::Limits;
use world_model::vision::floats;
use world_model::{Corpus, Embeddings, Latent, WorldModel, noise};

use ahead::Ahead;
pub use config::{ImproveConfig, Method};
use inconsistency::inconsistency;
use scores::{Penalties, believed_return, scores};

use crate::chunk_critic::action_range;
use crate::critic::{Critic, CriticConfig, blend, n_step_target};

/// What improvement starts from; all networks without gradients.
pub struct Prior<'a> {
    /// World model.
    pub model: &'a WorldModel,
    /// A clone of all that was recorded: where alternatives come from.
    pub clone: &'a FlowPolicy,
    /// Where the model stops being believed.
    pub limits: Limits,
}

impl Prior<'_> {
    /// The members of the world model, each alone, where chunks are told by how differently these value them.
    pub(crate) fn members(&self, config: &ImproveConfig) -> Vec<WorldModel> {
        if config.inconsistency > 0.0 { self.model.members() } else { Vec::new() }
    }
}

/// Improves a copy of the clone.
pub struct ImproveLearner<'a> {
    /// The copy that improves.
    pub actor: Trainee<FlowPolicy>,
    /// Its values.
    pub critic: Trainee<Critic>,
    /// Slow copy of the values, without gradients.
    pub slow: Critic,
    prior: Prior<'a>,
    members: Vec<WorldModel>,
    corpus: &'a Corpus,
    embeddings: &'a Embeddings,
    /// The tracks that the clone learned from.
    cloned: Vec<usize>,
    config: ImproveConfig,
    critic_config: CriticConfig,
    flow: FlowConfig,
    shards: usize,
    device: Device,
    seed: u64,
}

/// What one shard of imagination hands to the learners, plain rows.
#[derive(Default)]
struct Rehearsed {
    e: Vec<f32>,
    chunk: Vec<f32>,
    value_e: Vec<f32>,
    value: Vec<f32>,
    weight: Vec<f32>,
    gain: f32,
    disagreement: f32,
}

impl<'a> ImproveLearner<'a> {
    /// `actor` and `critic` must live on `device`, an autodiff device; the actor begins as a copy of the clone.
    pub fn new(
        (actor, critic): (FlowPolicy, Critic),
        prior: Prior<'a>,
        (corpus, embeddings): (&'a Corpus, &'a Embeddings),
        (config, critic_config, flow): (&ImproveConfig, &CriticConfig, &FlowConfig),
        shards: usize,
        (device, seed): (&Device, u64),
    ) -> Self {
        let slow = critic.valid();
        let home = |track: &usize| corpus.train_home.contains(track);
        Self {
            cloned: cloned(flow, corpus).into_iter().filter(home).collect(),
            actor: Trainee::new(actor, 1e-5),
            critic: Trainee::new(critic, 1e-4),
            slow,
            members: prior.members(config),
            prior,
            corpus,
            embeddings,
            config: *config,
            critic_config: *critic_config,
            flow: *flow,
            shards,
            device: device.clone(),
            seed,
        }
    }

    /// Update number `update` of a planned `updates`.
    pub fn update(&mut self, update: usize, updates: usize) -> Metrics {
        let inner = self.device.clone().inner();
        let actor = self.actor.frozen();
        let per_shard = self.config.starts.div_ceil(self.shards);
        let rehearsed: Vec<Rehearsed> = side_by_side((0..self.shards).collect(), |_, shard| {
            let mut rng = noise::generator(self.seed, "improve", (update * self.shards + shard) as u64);
            self.rehearse(&actor, per_shard, &mut rng, &inner)
        });
        let schedule = Schedule { learning_rate: self.config.learning_rate, updates };
        let mut rng = noise::generator(self.seed, "improve-fit", update as u64);
        let recorded = self.corpus.draw_steps(&self.corpus.train_home, self.config.recorded, &mut rng);
        let leashed = self.leash(&recorded, &mut rng);
        let leashed_weight = self.weight(&leashed);

        // Values: imagined outcomes of the copy, and as many recorded one-step targets.
        let (e_width, chunk_width) = (self.embeddings.dim, self.flow.chunk * self.corpus.action_len);
        let rows = |values: Vec<f32>, width: usize| {
            let n = values.len() / width;
            Tensor::<2>::from_data(TensorData::new(values, [n, width]), &self.device)
        };
        let line = |values: Vec<f32>| {
            let n = values.len();
            Tensor::<1>::from_data(TensorData::new(values, [n]), &self.device)
        };
        let critic_shards: Vec<_> = rehearsed
            .iter()
            .map(|r| (rows(r.value_e.clone(), e_width), line(r.value.clone()), line(r.weight.clone())))
            .chain(std::iter::once(self.recorded_values(&recorded)))
            .collect();
        let critic_metrics = self.critic.update(
            Schedule { learning_rate: self.critic_config.learning_rate, updates }.at(update),
            critic_shards,
            &self.device,
            |critic, (e, target, weight)| (critic.loss(e, target, weight), Vec::new()),
        );
        self.slow = blend(self.slow.clone(), &self.critic.network, self.critic_config.target_rate);

        // Policy: chosen chunks, and the leash of recorded chunks weighted by their advantage.
        let leash = self.config.leash;
        let mut chunks = Vec::new();
        for &(track, t) in &leashed {
            self.corpus.action_chunk(track, t, self.flow.chunk, &mut chunks);
        }
        let mut shards = Vec::new();
        for r in &rehearsed {
            let n = r.e.len() / e_width;
            // Each chosen chunk is seen at three points of the flow.
            let e = rows(r.e.repeat(3), e_width);
            shards.push((e, rows(r.chunk.repeat(3), chunk_width), line(r.weight.repeat(3)), 1.0, n * 3));
        }
        let n = leashed.len();
        shards.push((
            self.embeddings.gather(&leashed, &self.device),
            rows(chunks, chunk_width),
            line(leashed_weight),
            leash,
            n,
        ));
        let shards = shards
            .into_iter()
            .map(|(e, chunk, weight, factor, n)| {
                let noise = noise::normal([n, chunk_width], &mut rng, &self.device);
                let tau = noise::uniform([n, 1], &mut rng, &self.device);
                (e, chunk, noise, tau, weight, factor)
            })
            .collect();
        // Everything here is done by home's robot.
        let (corpus, chunk_len, device) = (self.corpus, self.flow.chunk, &self.device);
        let (gaps, home) = (corpus.has_gaps(), corpus.train_home.first().copied().unwrap_or(0));
        let mut metrics = self.actor.update(
            schedule.at(update),
            shards,
            &self.device,
            |policy, (e, chunk, noise, tau, weight, factor)| {
                let known =
                    gaps.then(|| corpus.known_actions(std::iter::repeat_n(home, e.dims()[0]), chunk_len, device));
                (policy.loss(e, (chunk, noise, tau), weight, known) * factor, Vec::new())
            },
        );
        let count = rehearsed.len().max(1) as f32;
        let of_critic = |name: &str| critic_metrics.iter().find(|m| m.0 == name).map_or(f32::NAN, |m| m.1);
        metrics.push(("value_loss", of_critic("loss")));
        metrics.push(("value_gradient_norm", of_critic("gradient_norm")));
        metrics.push(("gain", rehearsed.iter().map(|r| r.gain).sum::<f32>() / count));
        metrics.push(("disagreement", rehearsed.iter().map(|r| r.disagreement).sum::<f32>() / count));
        metrics
    }

    /// Recorded steps that the leash holds to: some of those that values learn from, and as large a share as configured of what the clone
    /// learned from, where that is less than all.
    fn leash(&self, recorded: &[(usize, usize)], rng: &mut StdRng) -> Vec<(usize, usize)> {
        if self.cloned.is_empty() || self.cloned.len() == self.corpus.train_home.len() {
            return recorded.to_vec();
        }
        let of_clone = (self.config.leash_to_clone.clamp(0.0, 1.0) * recorded.len() as f32).round() as usize;
        let mut at = recorded[of_clone..].to_vec();
        at.extend(self.corpus.draw_steps(&self.cloned, of_clone, rng));
        at
    }

    /// The weight `exp(A / spread)` of cloning recorded steps, `A` from n-step returns.
    fn weight(&self, at: &[(usize, usize)]) -> Vec<f32> {
        let inner = self.device.clone().inner();
        let n = self.config.n_step.max(self.flow.chunk);
        let parts: Vec<_> = at.iter().map(|&(track, t)| n_step_target(self.corpus, track, t, n)).collect();
        let ends: Vec<_> = at.iter().zip(&parts).map(|(&(track, _), p)| (track, p.2)).collect();
        let end = floats(self.slow.mean(&self.embeddings.gather(&ends, &inner)));
        let begin = floats(self.slow.mean(&self.embeddings.gather(at, &inner)));
        let advantage: Vec<f32> = parts.iter().zip(end).zip(begin).map(|((p, v), v0)| p.0 + p.1 * v - v0).collect();
        let spread = (advantage.iter().map(|a| a * a).sum::<f32>() / advantage.len().max(1) as f32).sqrt().max(1e-4);
        let said = |&(track, t): &(usize, usize)| said(&self.corpus.tracks[track], t, &self.flow);
        let by_advantage = advantage.iter().map(|a| (self.config.sharpness * a / spread).clamp(-10.0, 3.0).exp());
        by_advantage.zip(at).map(|(weight, at)| weight * said(at)).collect()
    }

    fn recorded_values(&self, at: &[(usize, usize)]) -> (Tensor<2>, Tensor<1>, Tensor<1>) {
        let inner = self.device.clone().inner();
        let parts: Vec<_> = at.iter().map(|&(track, t)| n_step_target(self.corpus, track, t, 1)).collect();
        let ends: Vec<_> = at.iter().zip(&parts).map(|(&(track, _), p)| (track, p.2)).collect();
        let end = floats(self.slow.mean(&self.embeddings.gather(&ends, &inner)));
        let target: Vec<f32> = parts.iter().zip(end).map(|(p, v)| p.0 + p.1 * v).collect();
        let n = at.len();
        let target = Tensor::<1>::from_data(TensorData::new(target, [n]), &self.device);
        let weight = target.ones_like();
        (self.embeddings.gather(at, &self.device), target, weight)
    }

    /// Imagines `starts` recorded states onward, comparing candidates at each segment.
    fn rehearse(&self, actor: &FlowPolicy, starts: usize, rng: &mut StdRng, device: &Device) -> Rehearsed {
        let ImproveConfig { candidates: n, segments, context, .. } = self.config;
        let (model, a, chunk) = (self.prior.model, self.corpus.action_len, self.flow.chunk);
        let (flow, chunks) = (&self.flow, self.config.ahead);
        let ahead = Ahead { model, policy: actor, flow, action_len: a, chunks };
        let at = self.corpus.draw_steps(&self.corpus.train_home, starts, rng);
        let mut latent = latents_at(model, (self.corpus, self.embeddings), &at, context, rng, device);
        let mut alive = vec![1.0f32; starts];
        let mut spent = Tensor::<1>::zeros([starts], device);
        let mut out = Rehearsed::default();
        let half = n / 2;
        for _ in 0..segments {
            let wide = latent.repeat_rows(n);
            let actions = self.candidates(actor, &latent, n, rng, device);
            let imagined = ahead.imagine((&wide, &actions), (starts, n), rng, device);
            let spent_wide = spent.clone().unsqueeze_dim::<2>(1).expand([starts, n]).reshape([starts * n]);
            let behind = (&self.corpus.returns, self.prior.limits, &self.slow);
            let result = believed_return(behind, self.config.lambda, &wide.e, &imagined, spent_wide.clone());
            let (value, doubt) = (floats(result.value), floats(result.disagreement));
            let e = floats(latent.e.clone());
            let width = self.embeddings.dim;
            let flat_actions = floats(actions);
            let inconsistent = inconsistency(&self.members, (&self.corpus.returns, &self.slow), &imagined);
            let scores = scores(&value, &doubt, &inconsistent, n, Penalties::of(&self.config, self.prior.limits));
            let mut onward = Vec::with_capacity(starts);
            for s in 0..starts {
                let group = &scores[s * n..(s + 1) * n];
                let top = group.iter().copied().fold(f32::MIN, f32::max);
                let weights: Vec<f32> = group.iter().map(|x| (self.config.sharpness * (x - top)).exp()).collect();
                let chosen = draw(&weights, rng);
                let row = s * n + chosen;
                out.e.extend_from_slice(&e[s * width..(s + 1) * width]);
                out.chunk.extend_from_slice(&flat_actions[row * chunk * a..(row + 1) * chunk * a]);
                // Candidates half.. are the copy's own as it will act, those behind them nudged: their plain mean is its value here.
                let own = &value[s * n + half..s * n + half + self.kept()];
                let own_mean = own.iter().sum::<f32>() / own.len() as f32;
                out.value_e.extend_from_slice(&e[s * width..(s + 1) * width]);
                out.value.push(own_mean);
                out.weight.push(alive[s]);
                let clones = value[s * n..s * n + half].iter().sum::<f32>() / half.max(1) as f32;
                out.gain += (own_mean - clones) / (starts * segments) as f32;
                out.disagreement += doubt[row] / (starts * segments) as f32;
                // Go on where the copy itself leads, half the time where the chosen chunk does.
                let next = if rng.random_bool(0.5) { half + rng.random_range(0..self.kept()) } else { chosen };
                onward.push((s * n + next) as i64);
            }
            // Where the model is guessing, imagination stops being believed: nothing later on that branch is learned from.
            let step = self.flow.execute.clamp(1, chunk);
            let spent_now = imagined.predictions[..step].iter().fold(spent_wide, |sum, p| sum + p.doubt.clone());
            let over = floats(spent_now.clone().greater_equal_elem(self.prior.limits.doubt_budget).float());
            alive.iter_mut().zip(&onward).for_each(|(m, &row)| {
                if doubt[row as usize] > self.prior.limits.disagreement_95 || over[row as usize] > 0.0 {
                    *m = 0.0;
                }
            });
            for p in &imagined.predictions[..step] {
                let ends: Vec<f32> = floats((p.success.clone().neg() + 1.0) * (p.failure.clone().neg() + 1.0));
                alive.iter_mut().zip(&onward).for_each(|(m, &row)| *m *= ends[row as usize]);
            }
            let index = Tensor::<1, burn::tensor::Int>::from_data(TensorData::new(onward, [starts]), device);
            spent = spent_now.select(0, index.clone());
            latent = imagined.latents[step - 1].select(index);
        }
        out
    }

    /// How many candidates are the copy's own, not nudged: half of its share, or one where it always answers the same.
    fn kept(&self) -> usize {
        let n = self.config.candidates;
        if self.flow.noise == 0.0 { 1 } else { (n - n / 2).div_ceil(2) }
    }

    /// `[starts * n, chunk*A]`: the clone's, the copy's, and the copy's nudged, for every start.
    fn candidates(
        &self,
        actor: &FlowPolicy,
        latent: &Latent,
        n: usize,
        rng: &mut StdRng,
        device: &Device,
    ) -> Tensor<2> {
        let (starts, width) = (latent.len(), actor.noise_len());
        let (half, kept) = (n / 2, self.kept());
        let nudged = n - half - kept;
        // Choice needs variety: only the copy's kept chunks are drawn as it will act.
        let act = |policy: &FlowPolicy, times: usize, noise: Tensor<2>| {
            let e = latent.repeat_rows(times).e;
            policy.clone().with_noise(1.0).act(e, noise).reshape([starts, times, width])
        };
        let from_clone = act(self.prior.clone, half, noise::normal([starts * half, width], rng, device));
        let drawn = noise::normal([starts * (n - half), width], rng, device).reshape([starts, n - half, width]);
        let as_acting = drawn.clone().narrow(1, 0, kept) * f64::from(self.flow.noise);
        let drawn = Tensor::cat(vec![as_acting, drawn.narrow(1, kept, nudged)], 1);
        let own = act(actor, n - half, drawn.reshape([starts * (n - half), width]));
        let a = self.corpus.action_len;
        let offset = noise::normal([starts, nudged, 1, a], rng, device)
            .expand([starts, nudged, width / a, a])
            .reshape([starts, nudged, width]);
        let mut moved = own.clone().narrow(1, kept, nudged);
        if self.config.nudge > 0.0 {
            // What leaves the policy is kept within what was recorded: a nudge beyond it would be judged for what no robot will do.
            let nudge = (moved + offset * self.config.nudge).reshape([starts * nudged, width]);
            let robot = actor.clone().within(action_range(self.corpus));
            moved = robot.kept(nudge).reshape([starts, nudged, width]);
        }
        let kept = own.narrow(1, 0, kept);
        actor.own(Tensor::cat(vec![from_clone, kept, moved], 1).reshape([starts * n, width]))
    }
}

/// Weight of cloning a recorded chunk just before a person took over, against 1.
const OBJECTED: f32 = 0.1;

/// Weight of a recorded chunk from step `t` by what a person said of it, against 1 for nothing. What a person had to stop is hardly cloned,
/// whatever came of it: the outcome is the person's.
pub(crate) fn said(track: &Track, t: usize, flow: &FlowConfig) -> f32 {
    track.human_weight(t, flow.execute.clamp(1, flow.chunk), flow.intervention_weight).max(OBJECTED)
}

/// Index drawn with probability proportional to `weights`.
fn draw(weights: &[f32], rng: &mut StdRng) -> usize {
    let total: f32 = weights.iter().sum();
    let mut at = rng.random::<f32>() * total;
    for (i, w) in weights.iter().enumerate() {
        if at < *w {
            return i;
        }
        at -= w;
    }
    weights.len() - 1
}
