//! Values, offline improvement, evaluation and the gate.
//!
//! [`critic`] says what a state is worth; [`improve`] rehearses: it compares what the cloned policy and its copy could do
//! from recorded states, under shared noise, and lets the copy learn from the better futures; [`plan`] searches for the best future each time the robot asks; [`evaluate`] judges
//! policies in imagination and decides GO, NO-GO or ABSTAIN; [`scorecard`] says how far that judge is to be believed where
//! outcomes are known, and [`track_record`] makes intervals as wide as the model has been wrong.

pub mod critic;
pub mod evaluate;
pub mod improve;
pub mod plan;
pub mod scorecard;
pub mod track_record;

pub use critic::{Critic, CriticConfig, CriticLearner};
pub use evaluate::{Estimate, Verdict};
pub use improve::{ImproveConfig, ImproveLearner};
pub use plan::{Bounds, Plan, PlanConfig, Planner};
pub use track_record::TrackRecord;
