//! Values of action chunks, what IQL, ReBRAC and FQL share: `Q_m(e_t, a_t .. a_{t+n-1})` over the `n` actions that are executed
//! before the robot looks again, backed up over all of them (Q-chunking: Li et al. 2025, arXiv:2507.07969, sec. 4).
//!
//! ```text
//! y_t = Σ_{k<n} γ^k (1-γ) r_{t+k} + γ^n V(e_{t+n})
//! ```
//! where `V` is what the algorithm says of the state after the chunk, from a slow copy `Q̄`. The sum ends with the episode as in
//! [`n_step_target`]: a cut-off episode bootstraps from its last observation, an ended one does not. An ensemble of two-hot
//! heads over the range of returns, so that no value runs away.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use policy::FlowConfig;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use world_model::optimise::{Metrics, Schedule, Trainee};
use world_model::shards::side_by_side;
use world_model::{Corpus, Embeddings, noise};

use crate::critic::{Critic, CriticConfig, blend, n_step_target};
use crate::improve::said;

/// Training without a model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelFreeConfig {
    /// Updates.
    pub updates: usize,
    /// Recorded chunks in a batch.
    pub batch: usize,
    /// Peak learning rate of policy and values.
    pub learning_rate: f64,
    /// Members of the ensemble of values.
    pub members: usize,
    /// Width of its two hidden layers.
    pub width: usize,
    /// Share of the way that slow copies move at each update.
    pub target_rate: f32,
    /// Updates between two offline judgements of the policy.
    pub judge_every: usize,
}

impl Default for ModelFreeConfig {
    fn default() -> Self {
        Self {
            updates: 10_000,
            batch: 256,
            learning_rate: 3e-4,
            members: 2,
            width: 256,
            target_rate: 0.02,
            judge_every: 2000,
        }
    }
}

/// Recorded chunks and what came of them, `B` rows, without gradients.
pub struct Moments {
    /// Embedding `[B, E]`.
    pub e: Tensor<2>,
    /// Recorded actions from there `[B, chunk*A]`.
    pub chunk: Tensor<2>,
    /// What the executed actions earned `[B]`.
    pub earned: Tensor<1>,
    /// Discount of what comes after them `[B]`, 0 after an end.
    pub discount: Tensor<1>,
    /// 1 where it was recorded what came of at least one action, 0 at the last observation of a cut-off episode `[B]`.
    pub seen: Tensor<1>,
    /// What a person said of the chunk, 1 for nothing `[B]`.
    pub said: Tensor<1>,
    /// Embedding after the executed actions `[B, E]`; that of the last step where the episode is over.
    pub next_e: Tensor<2>,
    /// Recorded actions from there `[B, chunk*A]`.
    pub next_chunk: Tensor<2>,
    /// Normal noise `[B, chunk*A]`.
    pub noise: Tensor<2>,
    /// Other normal noise `[B, chunk*A]`.
    pub next_noise: Tensor<2>,
    /// Times of the flow `[B, 1]`.
    pub tau: Tensor<2>,
}

/// The ensemble and its slow copy, learned from recorded chunks of home's robot.
pub struct ChunkCritic<'a> {
    /// Network and optimiser; a [`Critic`] of embedding and executed actions.
    pub critic: Trainee<Critic>,
    /// Slow copy, without gradients.
    pub slow: Critic,
    /// Settings.
    pub config: ModelFreeConfig,
    /// Shards of a batch.
    pub shards: usize,
    /// The autodiff device.
    pub device: Device,
    data: (&'a Corpus, &'a Embeddings),
    flow: FlowConfig,
    seed: u64,
}

/// What a [`Critic`] of chunks is asked: `e [B, E]` and the first `executed` elements of `chunk [B, chunk*A]`.
pub fn beside(e: Tensor<2>, chunk: Tensor<2>, executed: usize) -> Tensor<2> {
    Tensor::cat(vec![e, chunk.narrow(1, 0, executed)], 1)
}

/// Mean size `[1]` of values `[B]`: the unit in which a policy's loss weighs them (Fujimoto and Gu 2021, TD3+BC, eq. 5).
pub fn size(values: &Tensor<1>, critic: &Critic) -> Tensor<1> {
    values.clone().abs().mean().clamp_min(LEAST_SIZE * critic.range())
}

/// Share of the range of returns that values are at least taken for, where they happen to lie about 0.
const LEAST_SIZE: f32 = 0.05;

/// The range of home's recorded actions, normalised: `[low, high]` per element.
pub fn action_range(corpus: &Corpus) -> Vec<[f32; 2]> {
    corpus.action_normaliser.range()
}

impl<'a> ChunkCritic<'a> {
    /// A fresh ensemble of the sizes that `config` and `values` say, on `device`, an autodiff device.
    pub fn new(
        (config, values, flow): (&ModelFreeConfig, &CriticConfig, &FlowConfig),
        data: (&'a Corpus, &'a Embeddings),
        shards: usize,
        (device, seed): (&Device, u64),
    ) -> Self {
        let (corpus, embeddings) = data;
        let execute = flow.execute.clamp(1, flow.chunk);
        let sizes = CriticConfig { members: config.members, width: config.width, ..*values };
        let critic = Critic::new(&sizes, embeddings.dim + execute * corpus.action_len, &corpus.returns, device);
        Self {
            slow: critic.valid(),
            critic: Trainee::new(critic, 1e-4),
            config: *config,
            shards: shards.max(1),
            device: device.clone(),
            data,
            flow: FlowConfig { execute, ..*flow },
            seed,
        }
    }

    /// Elements of the executed actions, `n*A`.
    pub fn executed(&self) -> usize {
        self.flow.execute * self.data.0.action_len
    }

    /// Discount of `n` steps.
    pub fn discount(&self) -> f32 {
        self.data.0.returns.gamma.powi(self.flow.execute as i32)
    }

    /// Learning rate at an update of so many.
    pub fn learning_rate(&self, update: usize, updates: usize) -> f64 {
        Schedule { learning_rate: self.config.learning_rate, updates }.at(update)
    }

    /// The batch of an update, in shards.
    pub fn draw(&self, update: usize) -> Vec<Moments> {
        let rows = self.config.batch.div_ceil(self.shards);
        side_by_side((0..self.shards).collect(), |_, shard| {
            let mut rng = noise::generator(self.seed, "model-free", (update * self.shards + shard) as u64);
            let at = self.data.0.draw_steps(&self.data.0.train_home, rows, &mut rng);
            self.moments(&at, &mut rng)
        })
    }

    /// What is recorded of the given (track, step) pairs.
    fn moments(&self, at: &[(usize, usize)], rng: &mut StdRng) -> Moments {
        let ((corpus, embeddings), inner) = (self.data, self.device.clone().inner());
        let (rows, width) = (at.len(), self.flow.chunk * corpus.action_len);
        let parts: Vec<_> = at.iter().map(|&(track, t)| n_step_target(corpus, track, t, self.flow.execute)).collect();
        let ends: Vec<_> = at.iter().zip(&parts).map(|(&(track, _), part)| (track, part.2)).collect();
        let line = |of: &dyn Fn(usize) -> f32| {
            Tensor::<1>::from_data(TensorData::new((0..rows).map(of).collect(), [rows]), &inner)
        };
        let chunks = |at: &[(usize, usize)]| {
            let mut chunks = Vec::with_capacity(rows * width);
            at.iter().for_each(|&(track, t)| corpus.action_chunk(track, t, self.flow.chunk, &mut chunks));
            Tensor::<2>::from_data(TensorData::new(chunks, [rows, width]), &inner)
        };
        Moments {
            e: embeddings.gather(at, &inner),
            chunk: chunks(at),
            earned: line(&|i| parts[i].0),
            discount: line(&|i| parts[i].1),
            // Nothing was executed where the state to bootstrap from is the state itself.
            seen: line(&|i| f32::from(u8::from(ends[i] != at[i] || parts[i].1 == 0.0))),
            said: line(&|i| said(&corpus.tracks[at[i].0], at[i].1, &self.flow)),
            next_e: embeddings.gather(&ends, &inner),
            next_chunk: chunks(&ends),
            noise: noise::normal([rows, width], rng, &inner),
            next_noise: noise::normal([rows, width], rng, &inner),
            tau: noise::uniform([rows, 1], rng, &inner),
        }
    }

    /// One update towards the target; `value` maps the slow copy and moments to `V [B]` of the states after the chunks.
    /// The metrics tell the targets' mean as `q`, and their [`size`] as `size`.
    pub fn update(
        &mut self,
        learning_rate: f64,
        moments: &[Moments],
        value: impl Fn(&Critic, &Moments) -> Tensor<1> + Sync,
    ) -> Metrics {
        let (slow, executed) = (&self.slow, self.executed());
        let shards = side_by_side(moments.iter().collect(), |_, m: &Moments| {
            let target = m.earned.clone() + m.discount.clone() * value(slow, m);
            (beside(m.e.clone(), m.chunk.clone(), executed), target, m.seen.clone())
        });
        let metrics = self.critic.update(learning_rate, shards, &self.device, |critic, (x, target, seen)| {
            let (mean, size) = (target.clone().mean().into_scalar(), size(&target, critic).into_scalar());
            (critic.loss(x, target, seen), vec![("q", mean), ("size", size)])
        });
        self.slow = blend(self.slow.clone(), &self.critic.network, self.config.target_rate);
        metrics
    }
}

/// One of the metrics by its name.
pub fn named(metrics: &Metrics, name: &str) -> f32 {
    metrics.iter().find(|m| m.0 == name).map_or(f32::NAN, |m| m.1)
}

/// Metrics of values and policy as one list, in which `loss` and `gradient_norm` are those of the values.
pub fn joined(mut of_values: Metrics, of_policy: Metrics) -> Metrics {
    of_values.extend(of_policy.into_iter().map(|(name, value)| match name {
        "loss" => ("policy_loss", value),
        "gradient_norm" => ("policy_gradient_norm", value),
        other => (other, value),
    }));
    of_values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toys::{self, Ending};
    use world_model::corpus::human::Human;
    use world_model::vision::floats;

    #[test]
    fn moments_by_hand_where_episodes_go_on_end_and_are_cut_off() {
        // Two episodes of 4 steps with the rewards 0, 1, 1, 1 and the states 0, s, s, s: one ends, one is cut off.
        let (mut corpus, embeddings) =
            toys::corpus(&[(-1.0, Ending::Failure), (1.0, Ending::CutOff), (0.5, Ending::Success)]);
        // In the first one a person takes over for the last two steps, and the step before them was wrong.
        corpus.tracks[0].human = vec![Human::Silent, Human::AboutTo, Human::TookOver, Human::TookOver];
        let device = Device::default().autodiff();
        let flow = FlowConfig { chunk: 3, execute: 2, ..FlowConfig::default() };
        let config = (&ModelFreeConfig::default(), &CriticConfig::default(), &flow);
        let critic = ChunkCritic::new(config, (&corpus, &embeddings), 1, (&device, 0));
        let at = [(0, 0), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3), (2, 3)];
        let m = critic.moments(&at, &mut noise::generator(0, "moments", 0));
        let near = |x: Tensor<1>, expected: [f32; 7]| {
            let found = floats(x);
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?} for {expected:?}");
        };
        // γ is 0.9. From step 0: 0.1*0 + 0.9*0.1*1. From step 2 to a failure: 0.1 + 0.09, and nothing after it. Cut off: step 3
        // is only the state to bootstrap from. A success holds 1 for ever: 0.1*1 + 0.9*1.
        near(m.earned, [0.09, 0.19, 0.1, 0.19, 0.1, 0.0, 1.0]);
        near(m.discount, [0.81, 0.0, 0.0, 0.81, 0.9, 1.0, 0.0]);
        near(m.said, [0.1, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0]);
        near(m.seen, [1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0]);
        near(m.next_e.narrow(1, 0, 1).squeeze_dim(1), [-1.0, -1.0, -1.0, 1.0, 1.0, 1.0, 0.5]);
        // The action at step 0 is the state that it leads to, afterwards 0.
        assert_eq!(floats(m.chunk)[..3], [-1.0, 0.0, 0.0]);
        assert_eq!(floats(beside(m.e, m.next_chunk, 2))[..4], [0.0, 1.0, 0.0, 0.0]);
        assert_eq!((critic.executed(), critic.discount()), (2, 0.9f32.powi(2)));
    }

    #[test]
    fn values_of_a_recorded_chunk_are_what_follows_from_it() {
        let (corpus, embeddings) = toys::mixture();
        let device = Device::default().autodiff();
        device.seed(1);
        let flow = FlowConfig { chunk: 1, execute: 1, ..FlowConfig::default() };
        let data = (&corpus, &embeddings);
        let mut q = ChunkCritic::new((&toys::QUICK, &toys::values(), &flow), data, 2, (&device, 0));
        for update in 0..1500 {
            let (shards, rate) = (q.draw(update), q.learning_rate(update, 1500));
            // The next recorded action: the value of the behaviour.
            q.update(rate, &shards, |slow, m| slow.mean(&beside(m.next_e.clone(), m.next_chunk.clone(), 1)));
        }
        let ask = Tensor::<2>::from_floats([[0.0, 1.0, -1.0], [0.0, 1.0, 1.0]], &Device::default());
        let values = floats(q.slow.mean(&ask));
        // Three rewards of 1 and an end: 0.9 * (1 - 0.9^3) = 0.244. Cut off, 1 for ever: 0.9.
        assert!((values[0] - 0.244).abs() < 0.08 && (values[1] - 0.9).abs() < 0.15, "{values:?}");
    }
}
