//! ReBRAC, TD3+BC with the behaviour in both losses (Tarasov et al. 2023, arXiv:2305.09836, sec. 3), over action chunks.
//!
//! ```text
//! y = G + γ^n [min_m Q̄_m(e', a') - β_Q (1-γ^n) u |a' - a_data'|²],  a' = π̄(e') + clipped noise
//! L_π = -min_m Q_m(e, π(e)) / u + β_π |π(e) - a_data|²
//! ```
//! with `u` the mean size of values and `|·|²` as in [`crate::climb`]: neither weight depends on the units of rewards or actions, nor
//! on γ. The policy is deterministic: the clone's network asked
//! from zero noise, where flow matching has fitted it to the mean of the recorded actions; its actions stay in their range.

use burn::tensor::{Device, Tensor};
use policy::{Acting, FlowConfig, FlowPolicy};
use serde::{Deserialize, Serialize};
use world_model::optimise::{Metrics, Trainee};
use world_model::{Corpus, Embeddings};

use crate::chunk_critic::{ChunkCritic, ModelFreeConfig, Moments, action_range, beside, joined, named, size};
use crate::climb::{Climb, strayed};
use crate::critic::{Critic, CriticConfig, blend};

/// ReBRAC.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RebracConfig {
    /// Weight β_π of staying close to the recorded actions.
    pub actor_cloning: f32,
    /// Weight β_Q of the distance in the values.
    pub critic_cloning: f32,
    /// Standard deviation of the noise on the next action, in those of the recorded actions.
    pub smoothing: f32,
}

impl Default for RebracConfig {
    fn default() -> Self {
        Self { actor_cloning: 0.2, critic_cloning: 0.05, smoothing: 0.2 }
    }
}

/// Standard deviations at which the noise on the next action is clipped: 0.5 / 0.2 (TD3, app. C).
const CLIPPED_AT: f32 = 2.5;
/// Updates of the values for each of the policy (TD3, sec. 5.2).
const DELAY: usize = 2;

/// Improves a copy of the clone.
pub struct RebracLearner<'a> {
    /// The copy that improves.
    pub actor: Trainee<FlowPolicy>,
    /// Its slow copy, without gradients.
    pub slow_actor: FlowPolicy,
    /// Values of chunks.
    pub q: ChunkCritic<'a>,
    config: RebracConfig,
}

impl<'a> RebracLearner<'a> {
    /// `actor`, a copy of the clone, must live on `device`, an autodiff device.
    pub fn new(
        actor: FlowPolicy,
        data: (&'a Corpus, &'a Embeddings),
        config: &RebracConfig,
        (shared, values, flow): (&ModelFreeConfig, &CriticConfig, &FlowConfig),
        shards: usize,
        random: (&Device, u64),
    ) -> Self {
        let actor = Trainee::new(actor.with_acting(Acting::Deterministic).within(action_range(data.0)), 1e-5);
        let q = ChunkCritic::new((shared, values, flow), data, shards, random);
        Self { slow_actor: actor.frozen(), actor, q, config: *config }
    }

    /// Update number `update` of a planned `updates`; the policy learns at every second one.
    pub fn update(&mut self, update: usize, updates: usize) -> Metrics {
        let Self { actor, slow_actor, q, config } = self;
        let (moments, learning_rate) = (q.draw(update), q.learning_rate(update, updates));
        let (executed, discount) = (q.executed(), q.discount());
        let of_values = q
            .update(learning_rate, &moments, |slow, m| next_value(config, (slow_actor, slow), m, (executed, discount)));
        if update % DELAY != DELAY - 1 {
            return of_values;
        }
        let critic = q.critic.frozen();
        let (unit, cloning) = (named(&of_values, "size"), config.actor_cloning);
        let climb = Climb { critic: &critic, worth: Critic::least, executed, unit, cloning };
        let of_policy = actor
            .update(learning_rate, moments, &q.device, |actor, m| climb.loss(actor, (m.e, m.noise), (m.chunk, m.said)));
        *slow_actor = blend(slow_actor.clone(), &actor.network, DELAY as f32 * q.config.target_rate);
        joined(of_values, of_policy)
    }
}

/// What the slow policy would make of the state after the recorded chunk `[B]`, less what it strays from the recorded actions.
fn next_value(
    config: &RebracConfig,
    (slow_actor, slow): (&FlowPolicy, &Critic),
    m: &Moments,
    (executed, discount): (usize, f32),
) -> Tensor<1> {
    let clipped = CLIPPED_AT * config.smoothing;
    let noise = slow_actor.own((m.next_noise.clone() * config.smoothing).clamp(-clipped, clipped));
    let action = slow_actor.kept(slow_actor.act(m.next_e.clone(), m.next_noise.clone()) + noise);
    let value = slow.least(&beside(m.next_e.clone(), action.clone(), executed));
    let first = |x: Tensor<2>| x.narrow(1, 0, executed);
    let unit = size(&value, slow) * (config.critic_cloning * (1.0 - discount));
    value - strayed(first(action), first(m.next_chunk.clone())) * unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toys;
    use burn::module::Module;
    use burn::tensor::TensorData;
    use world_model::noise::{generator, normal};
    use world_model::vision::floats;

    #[test]
    fn the_value_after_a_chunk_is_charged_for_straying_by_hand() {
        let device = Device::default();
        device.seed(2);
        let (corpus, _) = toys::mixture();
        let critic = Critic::new(&CriticConfig { width: 8, ..CriticConfig::default() }, 2, &corpus.returns, &device);
        let actor = FlowPolicy::new(&toys::flow(32, 4), 1, 1, &device)
            .with_acting(Acting::Deterministic)
            .within(vec![[-1.0, 1.0]]);
        let rows = |values: [f32; 3]| Tensor::<2>::from_data(TensorData::new(values.to_vec(), [3, 1]), &device);
        let line = |values: [f32; 3]| rows(values).squeeze_dim::<1>(1);
        let (e, next) = ([0.0, 0.7, -0.7], [0.2, -0.4, 1.0]);
        let m = Moments {
            e: rows([0.0; 3]),
            chunk: rows([0.0; 3]),
            earned: line([0.0; 3]),
            discount: line([0.9; 3]),
            seen: line([1.0; 3]),
            said: line([1.0; 3]),
            next_e: rows(e),
            next_chunk: rows(next),
            noise: rows([0.0; 3]),
            next_noise: rows([9.0; 3]),
            tau: rows([0.0; 3]),
        };
        let config = RebracConfig { critic_cloning: 0.5, smoothing: 0.1, ..RebracConfig::default() };
        let found = floats(next_value(&config, (&actor, &critic), &m, (1, 0.9)));
        // Noise of 9 standard deviations is clipped to 2.5 of 0.1.
        let acts = floats(actor.act(rows(e), rows([0.0; 3])));
        let acts = [0, 1, 2].map(|i| (acts[i] + 0.25).clamp(-1.0, 1.0));
        let q = floats(critic.least(&Tensor::cat(vec![rows(e), rows(acts)], 1)));
        let unit = (q.iter().map(|q| q.abs()).sum::<f32>() / 3.0).max(0.05);
        for i in 0..3 {
            let expected = q[i] - 0.5 * 0.1 * unit * (acts[i] - next[i]).powi(2);
            assert!((found[i] - expected).abs() < 1e-5, "{} for {expected}", found[i]);
        }
    }

    #[test]
    fn a_policy_climbs_to_better_actions_than_the_mean_and_stays_inside_the_range() {
        let (corpus, embeddings) = toys::slope();
        let device = Device::default().autodiff();
        device.seed(4);
        let clone = toys::clone(&toys::flow(32, 4), (&corpus, &embeddings), &device);
        let noise = normal([200, 1], &mut generator(0, "ask", 0), &Device::default());
        let mean = |policy: &FlowPolicy| policy.act(toys::start(200), noise.clone()).mean().into_scalar::<f32>();
        let before = mean(&clone.valid().with_acting(Acting::Deterministic));
        assert!(before.abs() < 0.25, "the mean of the recorded actions is 0, found {before}");
        let sizes = (&toys::QUICK, &toys::values(), &toys::flow(32, 4));
        let data = (&corpus, &embeddings);
        let mut learner = RebracLearner::new(clone, data, &RebracConfig::default(), sizes, 2, (&device, 0));
        for update in 0..1500 {
            learner.update(update, 1500);
        }
        let after = mean(&learner.actor.frozen());
        assert!(after > before + 0.2 && after <= 1.0, "{before} before, {after} after");
    }
}
