//! Values, offline improvement, evaluation and the gate.
//!
//! [`critic`] says what a state is worth; [`improve`] rehearses: it compares what the cloned policy and its copy could do
//! from recorded states, under shared noise, and lets the copy learn from the better futures; [`advantage`] tells a copy which of
//! them are better, and asks it for those. [`iql`], [`rebrac`] and [`fql`]
//! do without a model, over one [`chunk_critic`]: the floors that tell what a model buys. [`plan`] searches for the best future each
//! time the robot asks; [`evaluate`] judges policies in imagination and decides GO, NO-GO or ABSTAIN, beside [`doubly_robust`], which
//! corrects them by what was recorded, and [`fqe`], which asks recorded steps alone; [`selection`] says which policy leaves `improve`;
//! [`scorecard`] says how far that judge is to be believed where
//! outcomes are known, [`conformal`] what that asks of its intervals; [`track_record`] makes intervals as wide as the model has
//! been wrong, and [`members`] as wide as its members disagree. [`slices`] says for which starts a score holds, and [`optimism`] whether imagination takes for a success what it should not.
//! Then the hardware: [`trials`] plans and reads real trials, on bets ([`betting`]) that allow to look at any time.

pub mod advantage;
pub mod betting;
pub mod chunk_critic;
pub mod climb;
pub mod conformal;
pub mod critic;
pub mod doubly_robust;
pub mod evaluate;
pub mod fqe;
pub mod fql;
pub mod improve;
pub mod iql;
pub mod lambda_return;
pub mod members;
pub mod optimism;
pub mod plan;
pub mod plan_distil;
pub mod rebrac;
pub mod scorecard;
pub mod selection;
pub mod slices;
#[cfg(test)]
mod toys;
pub mod track_record;
pub mod trials;

pub use advantage::AdvantageLearner;
pub use chunk_critic::ChunkCritic;
pub use critic::{Critic, CriticConfig, CriticLearner};
pub use evaluate::{Estimate, Verdict};
pub use fqe::{FqeConfig, FqeLearner};
pub use fql::FqlLearner;
pub use improve::{ImproveConfig, ImproveLearner, Method};
pub use iql::IqlLearner;
pub use plan::{Bounds, Plan, PlanConfig, Planner};
pub use plan_distil::{PlanDistilConfig, PlanDistilLearner};
pub use rebrac::RebracLearner;
pub use track_record::TrackRecord;
