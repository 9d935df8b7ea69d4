//! Planning at run time: model predictive path integral control in latent space, with a value behind the horizon (Williams et al.
//! 2017, arXiv:1707.02342; Hansen et al. 2024, TD-MPC2, arXiv:2310.16828, sec. 3).
//!
//! A plan is a line through `K` knots in the space of actions, `H` steps long. From where the robot is, `N` candidates are
//! imagined under the *same* noise: drawn around the plan made a moment ago, from the prior policy, and from anywhere among the recorded
//! actions. The better ones say where the next round looks:
//! ```text
//! score = return of H steps + γ^H (V - std V)(e_H) - κ · spread of the first round · disagreement / d95
//! w_i ∝ exp((score_i - max) / std),  over the E best
//! mean = Σ w_i knots_i,  deviation² = Σ w_i (knots_i - mean)²,  no less than a share of the first
//! ```
//! What is done is the best candidate that was ever imagined.

#[cfg(test)]
pub(crate) mod tests;

use burn::tensor::{Device, Tensor, TensorData};
use policy::FlowPolicy;
use rand::RngExt;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};
use rollouts::imagine::{imagine, shared_noise, split_chunk};
use rollouts::score::outcome;
use serde::{Deserialize, Serialize};
use world_model::corpus::ReturnRule;
use world_model::vision::floats;
use world_model::{Corpus, Latent, WorldModel, noise};

use crate::chunk_critic::action_range;
use crate::critic::Critic;

/// Planning.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlanConfig {
    /// Whether `run`, `improve` and `demo` judge the planned policy, too, and let what leaves `improve` plan where the evidence is for it; it
    /// can be served and evaluated either way.
    pub report: bool,
    /// Action sequences compared in a round, `N`, at least 8.
    pub candidates: usize,
    /// Rounds.
    pub rounds: usize,
    /// Steps imagined ahead, `H`.
    pub horizon: usize,
    /// Knots of a plan, `K`, at least 2; as many as steps for robots whose actions are not places to go to.
    pub knots: usize,
    /// Candidates that say where the next round looks, `E`.
    pub elites: usize,
    /// Deviation of the first round, in standard deviations of the recorded actions.
    pub deviation: f32,
    /// Least deviation of a round, as a share of the first.
    pub least_deviation: f32,
    /// Weight κ of disagreement, in units of the spread of the scores.
    pub penalty: f32,
    /// Planned actions that are executed before the next plan.
    pub execute: usize,
}

impl Default for PlanConfig {
    fn default() -> Self {
        Self {
            report: false,
            candidates: 128,
            rounds: 3,
            horizon: 16,
            knots: 4,
            elites: 12,
            deviation: 0.7,
            least_deviation: 0.1,
            penalty: 0.0,
            execute: 4,
        }
    }
}

/// What a plan is made of, besides where the robot is.
pub struct Planner<'a> {
    model: &'a WorldModel,
    critic: &'a Critic,
    prior: &'a FlowPolicy,
    rule: ReturnRule,
    disagreement_95: f32,
    config: PlanConfig,
    bounds: Bounds,
}

/// Smallest and largest recorded action, normalised, `[A]` each: nothing beyond it was ever tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// Smallest.
    pub low: Vec<f32>,
    /// Largest.
    pub high: Vec<f32>,
}

impl Bounds {
    /// Of the training episodes of `corpus`.
    pub fn of(corpus: &Corpus) -> Self {
        let (low, high) = action_range(corpus).into_iter().map(|[low, high]| (low, high)).unzip();
        Self { low, high }
    }
}

/// Plans of `B` robots.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Knots `[B, K, A]`.
    pub knots: Vec<f32>,
    /// Normalised actions `[B, H*A]`.
    pub actions: Tensor<2>,
    /// The same of the middle of the last round's better candidates, which hangs less on what was drawn.
    pub centre: Tensor<2>,
    /// Score of each, units of the reward `[B]`.
    pub score: Vec<f32>,
}

impl<'a> Planner<'a> {
    /// Networks are without gradients; `bounds` has the length of an action.
    pub fn new(
        (model, critic, prior): (&'a WorldModel, &'a Critic, &'a FlowPolicy),
        (rule, disagreement_95): (ReturnRule, f32),
        bounds: Bounds,
        config: &PlanConfig,
    ) -> Self {
        let config = PlanConfig {
            candidates: config.candidates.max(8),
            rounds: config.rounds.max(1),
            horizon: config.horizon.max(2),
            knots: config.knots.clamp(2, config.horizon.max(2)),
            elites: config.elites.clamp(2, config.candidates.max(8)),
            execute: config.execute.clamp(1, config.horizon.max(2)),
            ..*config
        };
        Self { model, critic, prior, rule, disagreement_95: disagreement_95.max(1e-6), config, bounds }
    }

    /// The same planner, to which another policy proposes.
    pub fn proposed_by<'b>(&'b self, prior: &'b FlowPolicy) -> Planner<'b> {
        Planner { prior, bounds: self.bounds.clone(), ..*self }
    }

    /// Actions of a plan that are executed.
    pub fn execute(&self) -> usize {
        self.config.execute
    }

    /// Plans for `latent [B]`; `before [B, K, A]` are the knots of the plans made before, moved on by what was executed since.
    pub fn plan(&self, latent: &Latent, before: Option<&[f32]>, rng: &mut StdRng, device: &Device) -> Plan {
        let PlanConfig { candidates: n, rounds, horizon, knots: k, deviation: most, .. } = self.config;
        let (rows, a) = (latent.len(), self.action_len());
        let width = k * a;
        let prior = self.prior_knots(latent, n / 4, rng, device);
        let mut mean = match before {
            Some(before) => before.to_vec(),
            None => prior.chunks_exact(n / 4 * width).flat_map(|of_row| of_row[..width].to_vec()).collect(),
        };
        assert_eq!(mean.len(), rows * width, "a plan has knots [B, K, A]");
        let mut deviation = vec![most; rows * width];
        let wide = latent.repeat_rows(n);
        let noise = shared_noise(self.model, (rows, n), horizon, rng, device);
        let (mut best, mut best_score) = (mean.clone(), vec![f32::MIN; rows]);
        // Scores of all rounds must be comparable: what disagreement costs is set by the first.
        let mut spread = None;
        for round in 0..rounds {
            let mut drawn = Vec::with_capacity(rows * n * width);
            for row in 0..rows {
                let (of_row, of_prior) =
                    (row * width..(row + 1) * width, row * (n / 4) * width..(row + 1) * (n / 4) * width);
                let prior = if round == 0 { &prior[of_prior] } else { &[] };
                self.draw((&mean[of_row.clone()], &deviation[of_row]), prior, rng, &mut drawn);
            }
            let scores = self.scores(&wide, &drawn, (rows, n), (&noise, &mut spread), device);
            for row in 0..rows {
                let of_row = row * width..(row + 1) * width;
                let (scores, drawn) = (&scores[row * n..(row + 1) * n], &drawn[row * n * width..(row + 1) * n * width]);
                let order = self.elites(scores);
                if scores[order[0]] > best_score[row] {
                    best_score[row] = scores[order[0]];
                    best[of_row.clone()].copy_from_slice(&drawn[order[0] * width..(order[0] + 1) * width]);
                }
                self.refit((scores, drawn), &order, (&mut mean[of_row.clone()], &mut deviation[of_row]));
            }
        }
        let [actions, centre] = [&best, &mean].map(|knots| {
            Tensor::from_data(TensorData::new(along(knots, (k, a), horizon), [rows, horizon * a]), device)
        });
        Plan { knots: best, actions, centre, score: best_score }
    }

    fn action_len(&self) -> usize {
        self.bounds.low.len()
    }

    /// Appends the candidates `[N, K, A]` of one robot: the mean itself, in the first round the prior's and a quarter from anywhere
    /// among the recorded actions, the rest around the mean.
    fn draw(&self, (mean, deviation): (&[f32], &[f32]), prior: &[f32], rng: &mut StdRng, drawn: &mut Vec<f32>) {
        let (n, a, width) = (self.config.candidates, self.action_len(), mean.len());
        let start = drawn.len();
        drawn.extend_from_slice(mean);
        drawn.extend_from_slice(prior);
        let anywhere = if prior.is_empty() { 0 } else { n / 4 };
        for _ in 0..anywhere {
            // From the mean, so far on the way to a random line.
            let share: f32 = rng.random();
            drawn.extend(mean.iter().enumerate().map(|(j, m)| {
                let (low, high) = (self.bounds.low[j % a], self.bounds.high[j % a]);
                m + share * (low + (high - low) * rng.random::<f32>() - m)
            }));
        }
        while drawn.len() < start + n * width {
            drawn.extend(mean.iter().zip(deviation).map(|(m, s)| {
                let z: f32 = StandardNormal.sample(rng);
                m + s * z
            }));
        }
        for (j, x) in drawn[start..].iter_mut().enumerate() {
            *x = x.clamp(self.bounds.low[j % a], self.bounds.high[j % a]);
        }
    }

    /// Candidates that say where the next round looks, best first.
    fn elites(&self, scores: &[f32]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&i, &j| scores[j].total_cmp(&scores[i]));
        order.truncate(self.config.elites);
        order
    }

    /// Mean and deviation `[K, A]` of the next round.
    fn refit(&self, (scores, drawn): (&[f32], &[f32]), order: &[usize], (mean, deviation): (&mut [f32], &mut [f32])) {
        let weights = weights(&order.iter().map(|&i| scores[i]).collect::<Vec<_>>());
        let (width, most) = (mean.len(), self.config.deviation);
        for j in 0..width {
            let elites = || order.iter().zip(&weights).map(|(&i, w)| (drawn[i * width + j], w));
            let centre: f32 = elites().map(|(x, w)| w * x).sum();
            let variance: f32 = elites().map(|(x, w)| w * (x - centre).powi(2)).sum();
            mean[j] = centre;
            deviation[j] = variance.sqrt().clamp(most * self.config.least_deviation, most);
        }
    }

    /// Chunks of the prior `[B, count, K, A]`, its last action held beyond their end.
    fn prior_knots(&self, latent: &Latent, count: usize, rng: &mut StdRng, device: &Device) -> Vec<f32> {
        let PlanConfig { horizon, knots: k, .. } = self.config;
        let a = self.bounds.low.len();
        let rows = latent.len() * count;
        let chunks =
            self.prior.act(latent.repeat_rows(count).e, noise::normal([rows, self.prior.noise_len()], rng, device));
        let last = self.prior.chunk() - 1;
        floats(chunks)
            .chunks_exact(self.prior.noise_len())
            .flat_map(|chunk| {
                (0..k).flat_map(move |knot| {
                    let step = (knot * (horizon - 1) + (k - 1) / 2) / (k - 1);
                    let from = step.min(last) * a;
                    chunk[from..from + a].to_vec()
                })
            })
            .collect()
    }

    /// Scores `[B*N]` of candidates `knots [B, N, K, A]`; `spread [B]` of the values is that of the first round, which finds none.
    fn scores(
        &self,
        wide: &Latent,
        knots: &[f32],
        (rows, n): (usize, usize),
        (noise, spread): (&[Tensor<2>], &mut Option<Vec<f32>>),
        device: &Device,
    ) -> Vec<f32> {
        let PlanConfig { horizon, knots: k, penalty, .. } = self.config;
        let a = self.action_len();
        let actions = TensorData::new(along(knots, (k, a), horizon), [rows * n, horizon * a]);
        let actions = Tensor::<2>::from_data(actions, device);
        let imagined = imagine(self.model, wide, &mut |_, _| split_chunk(&actions, a, horizon), noise);
        let end = imagined.latents.last().map_or_else(|| wide.e.clone(), |latent| latent.e.clone());
        let result = outcome(&imagined.predictions, &self.rule, self.critic.cautious(&end));
        let (value, doubt) = (floats(result.value), floats(result.disagreement));
        let spread = spread.get_or_insert_with(|| value.chunks_exact(n).map(spread_of).collect());
        let less = |row: usize| penalty * spread[row / n] / self.disagreement_95;
        value.iter().zip(doubt).enumerate().map(|(row, (v, d))| v - less(row) * d).collect()
    }

    /// Knots `[B, K, A]` of a plan after `steps` of it have been executed; its end is held.
    pub fn moved_on(&self, knots: &[f32], steps: usize) -> Vec<f32> {
        let PlanConfig { horizon, knots: k, .. } = self.config;
        let a = self.bounds.low.len();
        let shift = steps as f32 * (k - 1) as f32 / (horizon - 1) as f32;
        knots
            .chunks_exact(k * a)
            .flat_map(|plan| (0..k).flat_map(move |knot| on_line(plan, knot as f32 + shift, (k, a))))
            .collect()
    }
}

/// Deviation of values from their mean.
fn spread_of(values: &[f32]) -> f32 {
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / values.len() as f32).sqrt()
}

/// Weights of elites, best first.
fn weights(scores: &[f32]) -> Vec<f32> {
    let spread = spread_of(scores).max(1e-9);
    let raw: Vec<f32> = scores.iter().map(|s| ((s - scores[0]) / spread).exp()).collect();
    let total: f32 = raw.iter().sum();
    raw.into_iter().map(|w| w / total).collect()
}

/// The point `[A]` at `position` on the line through knots `[K, A]`.
fn on_line(knots: &[f32], position: f32, (k, a): (usize, usize)) -> Vec<f32> {
    let position = position.clamp(0.0, (k - 1) as f32);
    let before = (position as usize).min(k - 2);
    let share = position - before as f32;
    (0..a).map(|i| knots[before * a + i] * (1.0 - share) + knots[(before + 1) * a + i] * share).collect()
}

/// Knots `[N, K, A]` to the actions of every step `[N, H, A]`.
fn along(knots: &[f32], (k, a): (usize, usize), horizon: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(knots.len() / k * horizon);
    for plan in knots.chunks_exact(k * a) {
        for step in 0..horizon {
            out.extend(on_line(plan, (step * (k - 1)) as f32 / (horizon - 1) as f32, (k, a)));
        }
    }
    out
}
