//! IQL, implicit Q-learning (Kostrikov et al. 2022, arXiv:2110.06169, sec. 4), over action chunks.
//!
//! ```text
//! V: expectile τ of min_m Q̄_m(e, a) over recorded chunks     Q: y = G + γ^n V(e')
//! π: flow matching of recorded chunks, weight exp(β A / rms A), A = min_m Q̄_m(e, a) - V(e)
//! ```
//! No action that was not recorded is ever asked about. The expectile comes from cross-entropy weighted by `|τ - 1(Q < V)|`: at its
//! minimum `Σ w (Q - V) = 0`, which is what defines an expectile. Advantages are in units of their size, so that β depends on
//! neither rewards nor γ. The policy is the clone's flow, and acts like it.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use policy::{FlowConfig, FlowPolicy};
use serde::{Deserialize, Serialize};
use world_model::optimise::{Metrics, Trainee};
use world_model::shards::side_by_side;
use world_model::vision::floats;
use world_model::{Corpus, Embeddings};

use crate::chunk_critic::{ChunkCritic, ModelFreeConfig, Moments, beside, joined};
use crate::critic::{Critic, CriticConfig, expectile_weight};

/// IQL.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IqlConfig {
    /// The expectile: 0.5 is the mean over recorded actions, towards 1 the best of them.
    pub expectile: f32,
    /// Sharpness β of the preference for recorded chunks that were better than expected.
    pub sharpness: f32,
}

impl Default for IqlConfig {
    fn default() -> Self {
        Self { expectile: 0.7, sharpness: 1.0 }
    }
}

/// No recorded chunk counts more than so many average ones (IQL, app. B).
const MOST_WEIGHT: f32 = 100.0;
/// Advantages smaller than this share of the range of returns are taken for alike.
const LEAST_ADVANTAGE: f32 = 1e-3;

/// Improves a copy of the clone.
pub struct IqlLearner<'a> {
    /// The copy that improves.
    pub actor: Trainee<FlowPolicy>,
    /// Values of states.
    pub value: Trainee<Critic>,
    /// Values of chunks.
    pub q: ChunkCritic<'a>,
    config: IqlConfig,
    known: Option<Tensor<2>>,
}

impl<'a> IqlLearner<'a> {
    /// `actor`, a copy of the clone, and `value`, the values of the behaviour, must live on `device`, an autodiff device.
    pub fn new(
        (actor, value): (FlowPolicy, Critic),
        data: (&'a Corpus, &'a Embeddings),
        config: &IqlConfig,
        (shared, values, flow): (&ModelFreeConfig, &CriticConfig, &FlowConfig),
        shards: usize,
        random: (&Device, u64),
    ) -> Self {
        let (corpus, _) = data;
        // Everything here is done by home's robot.
        let home = corpus.train_home.first().copied().unwrap_or(0);
        let known = corpus.known_actions(std::iter::once(home), flow.chunk, &random.0.clone().inner());
        Self {
            actor: Trainee::new(actor, 1e-5),
            value: Trainee::new(value, 1e-4),
            q: ChunkCritic::new((shared, values, flow), data, shards, random),
            config: *config,
            known: corpus.has_gaps().then_some(known),
        }
    }

    /// Update number `update` of a planned `updates`.
    pub fn update(&mut self, update: usize, updates: usize) -> Metrics {
        let Self { actor, value, q, config, known } = self;
        let (moments, learning_rate) = (q.draw(update), q.learning_rate(update, updates));
        let (frozen, slow, executed) = (value.frozen(), &q.slow, q.executed());
        // Value of the recorded chunk, and of the state, per shard.
        let judged: Vec<[Tensor<1>; 2]> = side_by_side(moments.iter().collect(), |_, m: &Moments| {
            [slow.least(&beside(m.e.clone(), m.chunk.clone(), executed)), frozen.mean(&m.e)]
        });
        let shards = moments.iter().zip(&judged).map(|(m, [of_chunk, of_state])| {
            let weight = expectile_weight(of_chunk.clone() - of_state.clone(), config.expectile);
            (m.e.clone(), of_chunk.clone(), weight)
        });
        let of_states = value.update(learning_rate, shards.collect(), &q.device, |value, (e, target, weight)| {
            (value.loss(e, target, weight), Metrics::new())
        });
        let of_chunks = q.update(learning_rate, &moments, |_, m| frozen.mean(&m.next_e));
        let advantage: Vec<f32> = judged.iter().flat_map(|[q, v]| floats(q.clone() - v.clone())).collect();
        let weight = preference(&advantage, config.sharpness, LEAST_ADVANTAGE * frozen.range());
        let effective = weight.iter().sum::<f32>().powi(2) / weight.iter().map(|w| w * w).sum::<f32>();
        let rows = weight.len() / moments.len().max(1);
        let shards = moments.into_iter().zip(weight.chunks(rows.max(1))).map(|(m, weight)| {
            let weight = Tensor::<1>::from_data(TensorData::new(weight.to_vec(), [weight.len()]), &m.e.device());
            (m, weight)
        });
        let of_policy = actor.update(learning_rate, shards.collect(), &q.device, |policy, (m, weight)| {
            let known = known.clone().map(|known| known.expand(m.chunk.dims()));
            (policy.loss(m.e, (m.chunk, m.noise, m.tau), weight * m.said, known), Metrics::new())
        });
        let mut metrics = joined(of_chunks, of_policy);
        metrics.push(("value_loss", of_states.first().map_or(f32::NAN, |m| m.1)));
        metrics.push(("effective_share", effective / advantage.len().max(1) as f32));
        metrics
    }

    /// Values of states under the policy that improves, without gradients.
    pub fn values(&self) -> Critic {
        self.value.network.valid()
    }
}

/// `exp(β A / rms A)`, at most [`MOST_WEIGHT`].
fn preference(advantage: &[f32], sharpness: f32, least: f32) -> Vec<f32> {
    let square = advantage.iter().map(|a| a * a).sum::<f32>() / advantage.len().max(1) as f32;
    let unit = square.sqrt().max(least);
    advantage.iter().map(|a| (sharpness * a / unit).exp().min(MOST_WEIGHT)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toys;
    use world_model::corpus::ReturnRule;
    use world_model::noise::{generator, normal};

    #[test]
    fn weights_by_hand() {
        let difference = Tensor::<1>::from_floats([0.5, -0.5], &Device::default());
        let weight = floats(expectile_weight(difference, 0.7));
        assert!((weight[0] - 0.7).abs() < 1e-6 && (weight[1] - 0.3).abs() < 1e-6, "{weight:?}");
        // The root of (9 + 16) / 2 is 3.5355.
        let found = preference(&[3.0, -4.0], 2.0, 0.0);
        assert!(
            (found[0] - (6.0f32 / 3.5355).exp()).abs() < 1e-3 && (found[1] - (-8.0f32 / 3.5355).exp()).abs() < 1e-4
        );
        assert_eq!(preference(&[9.0, 0.0, 0.0, 0.0], 9.0, 0.0)[0], MOST_WEIGHT);
        let alike = preference(&[1e-6, -1e-6], 2.0, 1e-3);
        assert!(alike.iter().all(|w| (w - 1.0).abs() < 0.01), "{alike:?}");
    }

    #[test]
    fn weighted_cross_entropy_finds_the_expectile() {
        let device = Device::default().autodiff();
        device.seed(5);
        let rule = ReturnRule { gamma: 0.9, success_reward: 1.0, failure_reward: 0.0, low: 0.0, high: 1.0 };
        let critic = Critic::new(&CriticConfig { width: 16, members: 1, ..CriticConfig::default() }, 1, &rule, &device);
        let mut trainee = Trainee::new(critic, 0.0);
        // Half of the targets are 0, half 1: at the expectile τ the sum τ/2 (1 - v) - (1-τ)/2 v is 0, so v = τ.
        let inner = Device::default();
        let (e, target) = (Tensor::<2>::ones([2, 1], &inner), Tensor::<1>::from_floats([0.0, 1.0], &inner));
        for _ in 0..600 {
            let value = trainee.frozen().mean(&e);
            let shard = (e.clone(), target.clone(), expectile_weight(target.clone() - value, 0.8));
            trainee.update(3e-3, vec![shard], &device, |c, (e, y, w)| (c.loss(e, y, w), Metrics::new()));
        }
        let value = floats(trainee.frozen().mean(&e))[0];
        assert!((value - 0.8).abs() < 0.02, "{value}");
    }

    #[test]
    fn what_ends_is_left_for_what_goes_on_where_a_clone_imitates_the_mixture() {
        let (corpus, embeddings) = toys::mixture();
        let device = Device::default().autodiff();
        device.seed(4);
        let data = (&corpus, &embeddings);
        let clone = toys::clone(&toys::flow(32, 4), data, &device);
        let noise = normal([300, 1], &mut generator(0, "ask", 0), &Device::default());
        let start = toys::start(300);
        let onward = |policy: &FlowPolicy| {
            let actions = floats(policy.act(start.clone(), noise.clone()));
            actions.iter().filter(|a| **a > 0.5).count() as f32 / 300.0
        };
        let before = onward(&clone.valid());
        assert!((0.05..0.45).contains(&before), "three in ten of the recorded ones, found {before}");
        let values = toys::values();
        let value = Critic::new(&values, 2, &corpus.returns, &device);
        let sizes = (&toys::QUICK, &values, &toys::flow(32, 4));
        let mut learner = IqlLearner::new((clone, value), data, &IqlConfig::default(), sizes, 2, (&device, 0));
        for update in 0..1500 {
            learner.update(update, 1500);
        }
        let after = onward(&learner.actor.frozen());
        assert!(after > 0.9, "{before} before, {after} after");
        // The better of the two is worth 0.9; seven of ten recorded ones are not.
        let value = floats(learner.values().mean(&toys::start(1)))[0];
        assert!((0.45..0.95).contains(&value), "{value}");
    }
}
