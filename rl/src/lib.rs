//! Values, offline improvement, evaluation and the gate.
//!
//! [`critic`] says what a state is worth; [`improve`] rehearses: it compares what the cloned policy and its copy could do
//! from recorded states, under shared noise, and lets the copy learn from the better futures; [`evaluate`] judges
//! policies in imagination and decides GO, NO-GO or ABSTAIN, beside [`doubly_robust`], which corrects them by what was
//! recorded, and [`fqe`], which asks recorded steps alone; [`selection`] says which policy leaves `improve`; [`scorecard`] says how far that judge is to be believed where
//! outcomes are known, and [`track_record`] makes intervals as wide as the model has been wrong.

pub mod critic;
pub mod doubly_robust;
pub mod evaluate;
pub mod fqe;
pub mod improve;
pub mod scorecard;
pub mod selection;
pub mod track_record;

pub use critic::{Critic, CriticConfig, CriticLearner};
pub use evaluate::{Estimate, Verdict};
pub use fqe::{ChunkCritic, FqeConfig, FqeLearner};
pub use improve::{ImproveConfig, ImproveLearner};
pub use track_record::TrackRecord;
