//! Settings of improvement, and which method it is.

use serde::{Deserialize, Serialize};

use crate::advantage::AdvantageConfig;
use crate::chunk_critic::ModelFreeConfig;
use crate::fql::FqlConfig;
use crate::iql::IqlConfig;
use crate::rebrac::RebracConfig;

/// How a cloned policy is improved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// By comparing imagined futures ([`crate::improve`]).
    #[default]
    Imagination,
    /// By cloning that knows which chunks are imagined better, and is asked for those ([`crate::advantage`]).
    Advantage,
    /// By recorded actions that were better than expected ([`crate::iql`]).
    Iql,
    /// By climbing a critic, close to the recorded actions ([`crate::rebrac`]).
    Rebrac,
    /// By climbing a critic, close to the clone ([`crate::fql`]).
    Fql,
}

impl Method {
    /// Whether it learns from what the world model imagines.
    pub fn imagines(self) -> bool {
        matches!(self, Self::Imagination | Self::Advantage)
    }

    /// What made the improved policy, for every report.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Imagination => "comparison of imagined futures from recorded moments",
            Self::Advantage => "cloning that knows the imagined advantage of every chunk, asked for good ones",
            Self::Iql => "IQL, from recorded steps alone; the world model was asked only to judge it",
            Self::Rebrac => "ReBRAC (TD3+BC), from recorded steps alone; the world model was asked only to judge it",
            Self::Fql => "FQL, from recorded steps alone; the world model was asked only to judge it",
        }
    }
}

/// Improvement. What stands between `method` and the sections below it is for improvement in imagination.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImproveConfig {
    /// How the cloned policy is improved: `imagination`, `advantage`, `iql`, `rebrac`, `fql`.
    pub method: Method,
    /// Copies of the clone that are improved, one after the other; the best judged one of them all is kept. The first has the coefficients
    /// that stand here, each further one is more daring or more careful than those before ([`ImproveConfig::of_copy`]).
    pub copies: usize,
    /// Factor between the coefficients of neighbouring copies.
    pub apart: f32,
    /// Updates of a copy.
    pub updates: usize,
    /// Recorded states that are imagined onward per update.
    pub starts: usize,
    /// Recorded steps per update that values and leash learn from.
    pub recorded: usize,
    /// Recorded steps after which it shows how good a recorded chunk was; at least the chunk itself.
    pub n_step: usize,
    /// Chunks compared from each state, `N`.
    pub candidates: usize,
    /// Chunks imagined one after the other from each recorded state.
    pub segments: usize,
    /// Chunks of the policy itself that are imagined behind each candidate; each costs as much as the candidates do.
    pub ahead: usize,
    /// λ of the return of what is imagined: 1 is its sum with one value behind it, less trusts the values of earlier states more.
    pub lambda: f32,
    /// Sharpness β of the choice between candidates.
    pub sharpness: f32,
    /// Weight κ of the disagreement penalty, in units of the spread of scores.
    pub penalty: f32,
    /// Share η of a chunk's model-Bellman inconsistency (`improve/inconsistency.rs`) that is taken off its return; only of ensembles, and slow:
    /// every member imagines every chunk.
    pub inconsistency: f32,
    /// Size of the smooth offset on nudged candidates, standard deviations of the recorded actions.
    pub nudge: f32,
    /// Weight of advantage-weighted cloning of recorded chunks.
    pub leash: f32,
    /// Share of these chunks that come from what the clone learned from (`policy.learn_from`), the others from all.
    pub leash_to_clone: f32,
    /// Peak learning rate of the policy.
    pub learning_rate: f64,
    /// Recorded steps observed before imagination.
    pub context: usize,
    /// Updates between two offline judgements of the policy.
    pub judge_every: usize,
    /// `method = "advantage"`, which shares `updates`, `starts`, `candidates`, `ahead`, `lambda`, `penalty`, `inconsistency`, `learning_rate`, `context` and
    /// `judge_every` with `imagination`.
    pub advantage: AdvantageConfig,
    /// What the methods without a model share.
    pub model_free: ModelFreeConfig,
    /// `method = "iql"`.
    pub iql: IqlConfig,
    /// `method = "rebrac"`.
    pub rebrac: RebracConfig,
    /// `method = "fql"`.
    pub fql: FqlConfig,
}

impl ImproveConfig {
    /// Updates of the chosen method, of all copies together.
    pub fn planned(&self) -> usize {
        self.copies.max(1) * if self.method.imagines() { self.updates } else { self.model_free.updates }
    }

    /// Of copy number `copy`: the coefficients that hold it to what was recorded and to what is known, times 1, 1/3, 3, 1/9, 9 … (with
    /// `apart = 3`); those that draw it away by as much the other way.
    #[must_use]
    pub fn of_copy(mut self, copy: usize) -> Self {
        let steps = copy.div_ceil(2) as i32;
        let caution = self.apart.powi(if copy % 2 == 1 { -steps } else { steps });
        for careful in [
            &mut self.penalty,
            &mut self.inconsistency,
            &mut self.leash,
            &mut self.rebrac.actor_cloning,
            &mut self.rebrac.critic_cloning,
            &mut self.fql.cloning,
        ] {
            *careful *= caution;
        }
        self.advantage.guidance /= caution;
        self.iql.sharpness /= caution;
        self
    }

    /// The coefficients of the chosen method that differ between copies, by their keys.
    pub fn coefficients(&self) -> Vec<(&'static str, f32)> {
        match self.method {
            Method::Imagination => vec![("improve.penalty", self.penalty), ("improve.leash", self.leash)],
            Method::Advantage => {
                vec![("improve.penalty", self.penalty), ("improve.advantage.guidance", self.advantage.guidance)]
            }
            Method::Iql => vec![("improve.iql.sharpness", self.iql.sharpness)],
            Method::Rebrac => vec![
                ("improve.rebrac.actor_cloning", self.rebrac.actor_cloning),
                ("improve.rebrac.critic_cloning", self.rebrac.critic_cloning),
            ],
            Method::Fql => vec![("improve.fql.cloning", self.fql.cloning)],
        }
    }

    /// Configuration key of the chosen method's learning rate.
    pub fn learning_rate_key(&self) -> &'static str {
        if self.method.imagines() { "improve.learning_rate" } else { "improve.model_free.learning_rate" }
    }

    /// Updates between two judgements of the chosen method.
    pub fn judged_every(&self) -> usize {
        if self.method.imagines() { self.judge_every } else { self.model_free.judge_every }
    }
}

impl Default for ImproveConfig {
    fn default() -> Self {
        Self {
            method: Method::default(),
            copies: 1,
            apart: 3.0,
            updates: 1500,
            starts: 32,
            recorded: 64,
            n_step: 1,
            candidates: 12,
            segments: 3,
            ahead: 0,
            lambda: 1.0,
            sharpness: 3.0,
            penalty: 1.0,
            inconsistency: 0.0,
            nudge: 0.0,
            leash: 1.0,
            leash_to_clone: 0.0,
            learning_rate: 4e-4,
            context: 3,
            judge_every: 250,
            advantage: AdvantageConfig::default(),
            model_free: ModelFreeConfig::default(),
            iql: IqlConfig::default(),
            rebrac: RebracConfig::default(),
            fql: FqlConfig::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_go_from_the_middle_outwards_and_every_method_has_something_to_vary() {
        let config = ImproveConfig { copies: 5, penalty: 2.0, updates: 40, ..ImproveConfig::default() };
        assert_eq!(config.planned(), 200);
        let penalties: Vec<f32> = (0..5).map(|copy| config.of_copy(copy).penalty).collect();
        for (found, expected) in penalties.iter().zip([2.0, 2.0 / 3.0, 6.0, 2.0 / 9.0, 18.0]) {
            assert!((found - expected).abs() < 1e-5, "{penalties:?}");
        }
        assert_eq!(config.of_copy(0), config);
        for method in [Method::Imagination, Method::Advantage, Method::Iql, Method::Rebrac, Method::Fql] {
            let config = ImproveConfig { method, ..config };
            let (first, second) = (config.coefficients(), config.of_copy(1).coefficients());
            assert!(
                !first.is_empty() && first.iter().zip(&second).all(|(a, b)| a.0 == b.0 && a.1 != b.1),
                "{method:?}"
            );
        }
    }
}
