//! The methods that improve a cloned policy, as the training loop handles them, and how a policy is kept that acts otherwise
//! than its clone.

use std::path::Path;

use anyhow::{Context, Result};
use burn::module::Module;
use burn::tensor::Device;
use policy::{Acting, FlowPolicy};
use rl::chunk_critic::action_range;
use rl::improve::Prior;
use rl::{AdvantageLearner, ChunkCritic, Critic, FqlLearner, ImproveLearner, IqlLearner, Method, RebracLearner};
use world_model::optimise::Metrics;
use world_model::{Corpus, Embeddings};

use super::training::{restore_module, restore_trainee, save_module, save_trainee};
use crate::config::RunConfig;
use crate::run_dir::write_json_atomic;

/// A learner of one of the methods.
pub enum Improver<'a> {
    /// Comparison of imagined futures.
    Imagination(Box<ImproveLearner<'a>>),
    /// Cloning that knows imagined advantages.
    Advantage(Box<AdvantageLearner<'a>>),
    /// Implicit Q-learning.
    Iql(Box<IqlLearner<'a>>),
    /// TD3+BC.
    Rebrac(Box<RebracLearner<'a>>),
    /// Flow Q-learning.
    Fql(Box<FqlLearner<'a>>),
}

/// Where the values of states are after improvement, `(stage, file)`: a method that learns none leaves those of the behaviour.
pub fn values_of(method: Method) -> (&'static str, &'static str) {
    match method {
        Method::Imagination => ("improve", "slow"),
        Method::Iql => ("improve", "value"),
        Method::Advantage | Method::Rebrac | Method::Fql => ("value", "slow"),
    }
}

impl<'a> Improver<'a> {
    /// A learner of the configured method; `actor`, a copy of the clone, and `critic`, the behaviour's values, live on `device`,
    /// an autodiff device.
    pub fn new(
        (actor, critic): (FlowPolicy, Critic),
        prior: Prior<'a>,
        data: (&'a Corpus, &'a Embeddings),
        config: &RunConfig,
        device: &Device,
    ) -> Self {
        let RunConfig { improve, value, policy, seed, .. } = config;
        let (shards, shared) = (config.world_model.shards, (&improve.model_free, value, policy));
        // Values of chunks begin afresh; initialisation depends on the seed alone.
        device.seed(seed.wrapping_add(3));
        let random = (device, *seed);
        match improve.method {
            Method::Imagination => {
                let sizes = (improve, value, policy);
                Self::Imagination(Box::new(ImproveLearner::new((actor, critic), prior, data, sizes, shards, random)))
            }
            Method::Advantage => {
                let values = critic.valid();
                let sizes = (improve, policy);
                Self::Advantage(Box::new(AdvantageLearner::new((actor, values), prior, data, sizes, shards, random)))
            }
            Method::Iql => {
                Self::Iql(Box::new(IqlLearner::new((actor, critic), data, &improve.iql, shared, shards, random)))
            }
            Method::Rebrac => {
                Self::Rebrac(Box::new(RebracLearner::new(actor, data, &improve.rebrac, shared, shards, random)))
            }
            Method::Fql => {
                let both = (actor, prior.clone);
                Self::Fql(Box::new(FqlLearner::new(both, data, &improve.fql, shared, shards, random)))
            }
        }
    }

    /// Update number `update` of a planned `updates`.
    pub fn update(&mut self, update: usize, updates: usize) -> Metrics {
        match self {
            Self::Imagination(l) => l.update(update, updates),
            Self::Advantage(l) => l.update(update, updates),
            Self::Iql(l) => l.update(update, updates),
            Self::Rebrac(l) => l.update(update, updates),
            Self::Fql(l) => l.update(update, updates),
        }
    }

    /// The policy as it is now, without gradients.
    pub fn actor(&self) -> FlowPolicy {
        match self {
            Self::Imagination(l) => l.actor.frozen(),
            Self::Advantage(l) => l.actor.frozen(),
            Self::Iql(l) => l.actor.frozen(),
            Self::Rebrac(l) => l.actor.frozen(),
            Self::Fql(l) => l.actor.frozen(),
        }
    }

    /// Puts a factor on every learning rate.
    pub fn pace(&mut self, pace: f64) {
        match self {
            Self::Imagination(l) => (l.actor.pace, l.critic.pace) = (pace, pace),
            Self::Advantage(l) => l.actor.pace = pace,
            Self::Iql(l) => (l.actor.pace, l.value.pace, l.q.critic.pace) = (pace, pace, pace),
            Self::Rebrac(l) => (l.actor.pace, l.q.critic.pace) = (pace, pace),
            Self::Fql(l) => (l.actor.pace, l.q.critic.pace) = (pace, pace),
        }
    }

    /// Goes on with the values that a learner of the same method wrote into `dir`; its policy begins anew.
    ///
    /// # Errors
    /// As [`restore_module`].
    pub fn inherit_values(&mut self, dir: &Path) -> Result<()> {
        match self {
            Self::Imagination(l) => {
                restore_trainee(&mut l.critic, dir, "critic")?;
                l.slow = restore_module(l.slow.clone(), dir, "slow")?;
                Ok(())
            }
            // Its values are those of the behaviour, which were read already.
            Self::Advantage(_) => Ok(()),
            Self::Iql(l) => {
                restore_trainee(&mut l.value, dir, "value")?;
                restore_chunks(&mut l.q, dir)
            }
            Self::Rebrac(l) => restore_chunks(&mut l.q, dir),
            Self::Fql(l) => restore_chunks(&mut l.q, dir),
        }
    }

    /// Writes the learner into a directory.
    ///
    /// # Errors
    /// As [`save_module`].
    pub fn save(&self, dir: &Path) -> Result<()> {
        match self {
            Self::Imagination(l) => {
                save_trainee(&l.actor, dir, "actor")?;
                save_trainee(&l.critic, dir, "critic")?;
                save_module(&l.slow, dir, "slow")
            }
            Self::Advantage(l) => save_trainee(&l.actor, dir, "actor"),
            Self::Iql(l) => {
                save_trainee(&l.actor, dir, "actor")?;
                save_trainee(&l.value, dir, "value")?;
                save_chunks(&l.q, dir)
            }
            Self::Rebrac(l) => {
                save_trainee(&l.actor, dir, "actor")?;
                save_module(&l.slow_actor, dir, "slow_actor")?;
                save_chunks(&l.q, dir)
            }
            Self::Fql(l) => {
                save_trainee(&l.actor, dir, "actor")?;
                save_chunks(&l.q, dir)
            }
        }
    }

    /// Reads it back.
    ///
    /// # Errors
    /// As [`restore_module`].
    pub fn restore(&mut self, dir: &Path) -> Result<()> {
        match self {
            Self::Imagination(l) => {
                restore_trainee(&mut l.actor, dir, "actor")?;
                restore_trainee(&mut l.critic, dir, "critic")?;
                l.slow = restore_module(l.slow.clone(), dir, "slow")?;
                Ok(())
            }
            Self::Advantage(l) => restore_trainee(&mut l.actor, dir, "actor"),
            Self::Iql(l) => {
                restore_trainee(&mut l.actor, dir, "actor")?;
                restore_trainee(&mut l.value, dir, "value")?;
                restore_chunks(&mut l.q, dir)
            }
            Self::Rebrac(l) => {
                restore_trainee(&mut l.actor, dir, "actor")?;
                l.slow_actor = restore_module(l.slow_actor.clone(), dir, "slow_actor")?;
                restore_chunks(&mut l.q, dir)
            }
            Self::Fql(l) => {
                restore_trainee(&mut l.actor, dir, "actor")?;
                restore_chunks(&mut l.q, dir)
            }
        }
    }
}

fn save_chunks(q: &ChunkCritic<'_>, dir: &Path) -> Result<()> {
    save_trainee(&q.critic, dir, "chunk_critic")?;
    save_module(&q.slow, dir, "slow_chunk_critic")
}

fn restore_chunks(q: &mut ChunkCritic<'_>, dir: &Path) -> Result<()> {
    restore_trainee(&mut q.critic, dir, "chunk_critic")?;
    q.slow = restore_module(q.slow.clone(), dir, "slow_chunk_critic")?;
    Ok(())
}

/// Writes a policy as `NAME.bpk`, and how it is asked as `NAME.json`.
///
/// # Errors
/// As [`save_module`].
pub fn save_policy(policy: &FlowPolicy, dir: &Path, name: &str) -> Result<()> {
    save_module(policy, dir, name)?;
    write_json_atomic(&dir.join(format!("{name}.json")), &policy.acting())
}

/// Reads what [`save_policy`] wrote into a policy of the same sizes, for the robot of `corpus`.
///
/// # Errors
/// As [`restore_module`].
pub fn restore_policy(policy: FlowPolicy, dir: &Path, name: &str, corpus: &Corpus) -> Result<FlowPolicy> {
    let path = dir.join(format!("{name}.json"));
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let acting = serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?;
    // Before its weights are read: a network that takes advice is larger.
    let policy = restore_module(policy.with_acting(acting), dir, name)?;
    // Recorded chunks were matched by a flow; the others climbed a critic or were guided.
    Ok(if matches!(acting, Acting::Flow { .. }) { policy } else { policy.within(action_range(corpus)) })
}
