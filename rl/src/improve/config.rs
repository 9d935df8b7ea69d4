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
    /// Updates.
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
    /// Sharpness β of the choice between candidates.
    pub sharpness: f32,
    /// Weight κ of the disagreement penalty, in units of the spread of scores.
    pub penalty: f32,
    /// Share λ of a chunk's model-Bellman inconsistency (`improve/inconsistency.rs`) that is taken off its return; only of ensembles, and slow:
    /// every member imagines every chunk.
    pub inconsistency: f32,
    /// Size of the smooth offset on nudged candidates, standard deviations of the recorded actions.
    pub nudge: f32,
    /// Weight of advantage-weighted cloning of recorded chunks.
    pub leash: f32,
    /// Peak learning rate of the policy.
    pub learning_rate: f64,
    /// Recorded steps observed before imagination.
    pub context: usize,
    /// Updates between two offline judgements of the policy.
    pub judge_every: usize,
    /// `method = "advantage"`, which shares `updates`, `starts`, `candidates`, `penalty`, `learning_rate`, `context` and `judge_every` with
    /// `imagination`.
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
    /// Updates of the chosen method.
    pub fn planned(&self) -> usize {
        if self.method.imagines() { self.updates } else { self.model_free.updates }
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
            updates: 1500,
            starts: 32,
            recorded: 64,
            n_step: 1,
            candidates: 12,
            segments: 3,
            sharpness: 3.0,
            penalty: 1.0,
            inconsistency: 0.0,
            nudge: 0.0,
            leash: 1.0,
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
