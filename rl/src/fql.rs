//! FQL, flow Q-learning (Park et al. 2025, arXiv:2502.02538, sec. 4), over action chunks.
//!
//! ```text
//! y = G + γ^n mean_m Q̄_m(e', π(e', ε'))
//! L_π = -mean_m Q_m(e, π(e, ε)) / u + α |π(e, ε) - clone(e, ε)|²
//! ```
//! The clone answers noise `ε` in many steps; the policy is a copy of its network that answers in one, close to what the clone makes
//! of the same noise and better by the values. So no gradient has to go back through the steps of a flow. With the weight of the
//! values at 0 what is left is distillation: the same policy at a fraction of the latency.

use burn::tensor::Device;
use policy::{Acting, FlowConfig, FlowPolicy};
use serde::{Deserialize, Serialize};
use world_model::optimise::{Metrics, Trainee};
use world_model::shards::side_by_side;
use world_model::{Corpus, Embeddings};

use crate::chunk_critic::{ChunkCritic, ModelFreeConfig, Moments, action_range, beside, joined, named};
use crate::climb::Climb;
use crate::critic::{Critic, CriticConfig};

/// FQL.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FqlConfig {
    /// Weight α of staying close to the clone.
    pub cloning: f32,
}

impl Default for FqlConfig {
    fn default() -> Self {
        Self { cloning: 0.5 }
    }
}

/// Improves a copy of the clone.
pub struct FqlLearner<'a> {
    /// The copy that improves.
    pub actor: Trainee<FlowPolicy>,
    /// Values of chunks.
    pub q: ChunkCritic<'a>,
    clone: &'a FlowPolicy,
    config: FqlConfig,
}

impl<'a> FqlLearner<'a> {
    /// `actor`, a copy of `clone`, must live on `device`, an autodiff device, the clone on its inner one.
    pub fn new(
        (actor, clone): (FlowPolicy, &'a FlowPolicy),
        data: (&'a Corpus, &'a Embeddings),
        config: &FqlConfig,
        (shared, values, flow): (&ModelFreeConfig, &CriticConfig, &FlowConfig),
        shards: usize,
        random: (&Device, u64),
    ) -> Self {
        let actor = actor.with_acting(Acting::OneStep).within(action_range(data.0));
        Self {
            actor: Trainee::new(actor, 1e-5),
            q: ChunkCritic::new((shared, values, flow), data, shards, random),
            clone,
            config: *config,
        }
    }

    /// Update number `update` of a planned `updates`.
    pub fn update(&mut self, update: usize, updates: usize) -> Metrics {
        let Self { actor, q, clone, config } = self;
        let (moments, learning_rate) = (q.draw(update), q.learning_rate(update, updates));
        let (frozen, executed) = (actor.frozen(), q.executed());
        let of_values = q.update(learning_rate, &moments, |slow, m| {
            let action = frozen.act(m.next_e.clone(), m.next_noise.clone());
            slow.mean(&beside(m.next_e.clone(), action, executed))
        });
        let critic = q.critic.frozen();
        let (unit, cloning) = (named(&of_values, "size"), config.cloning);
        let climb = Climb { critic: &critic, worth: Critic::mean, executed, unit, cloning };
        let shards = side_by_side(moments, |_, m: Moments| {
            let reference = frozen.kept(clone.act(m.e.clone(), m.noise.clone()));
            // The clone has heard already what persons said.
            let said = m.seen.ones_like();
            ((m.e, m.noise), (reference, said))
        });
        let of_policy = actor.update(learning_rate, shards, &q.device, |actor, (at, to)| climb.loss(actor, at, to));
        joined(of_values, of_policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toys;
    use burn::module::Module;
    use burn::tensor::Tensor;
    use world_model::noise::{generator, normal};
    use world_model::vision::floats;

    /// The clone of some episodes; what has become of its copy after some updates; and noise to ask both with.
    fn learned((corpus, embeddings): (Corpus, Embeddings), cloning: f32) -> (FlowPolicy, FlowPolicy, Tensor<2>) {
        let device = Device::default().autodiff();
        device.seed(4);
        let data = (&corpus, &embeddings);
        let actor = toys::clone(&toys::flow(48, 6), data, &device);
        let clone = actor.valid();
        let sizes = (&toys::QUICK, &toys::values(), &toys::flow(48, 6));
        let mut learner = FqlLearner::new((actor, &clone), data, &FqlConfig { cloning }, sizes, 2, (&device, 0));
        for update in 0..1500 {
            learner.update(update, 1500);
        }
        let improved = learner.actor.frozen();
        drop(learner);
        (clone, improved, normal([300, 1], &mut generator(0, "ask", 0), &Device::default()))
    }

    #[test]
    fn a_policy_climbs_to_better_actions_than_the_clones_and_stays_inside_the_range() {
        let (clone, improved, noise) = learned(toys::slope(), 0.2);
        let actions = |policy: &FlowPolicy| floats(policy.act(toys::start(300), noise.clone()));
        let mean = |actions: &[f32]| actions.iter().sum::<f32>() / 300.0;
        let (before, after) = (actions(&clone), actions(&improved));
        assert!(after.iter().all(|a| a.abs() <= 1.0));
        assert!(mean(&before).abs() < 0.3, "the mean of the recorded actions is 0, found {}", mean(&before));
        assert!(mean(&after) > mean(&before) + 0.3, "{} before, {} after", mean(&before), mean(&after));
    }

    #[test]
    fn held_to_the_clone_it_answers_in_one_step_what_the_clone_answers_in_six() {
        let (clone, improved, noise) = learned(toys::mixture(), 1000.0);
        let start = toys::start(300);
        let [one, six] = [&improved, &clone].map(|policy| floats(policy.act(start.clone(), noise.clone())));
        let (mut error, mut size) = (0.0, 0.0);
        for (a, b) in one.iter().zip(&six) {
            error += (a - b).powi(2) / 300.0;
            size += b.powi(2) / 300.0;
        }
        assert!(error < 0.15 * size, "mean squared difference {error} of actions of {size}");
    }
}
