//! Observation to action.
//!
//! [`flow`] is the action expert: a flow-matching policy that turns an embedding and noise into a chunk of actions.
//! [`mod@blend`] joins chunks that overlap; [`cloning`] fits it to recorded episodes; `rl` improves a copy of it; [`distil`] makes one of them
//! quick. [`bundle`] is what a robot loads.
//!
//! Architecture invariant: nothing here knows rollouts, rl or rerun; a robot computer links this crate and `world_model`'s encoder.

pub mod blend;
pub mod bundle;
pub mod cloning;
pub mod distil;
pub mod flow;

pub use blend::{Memory, Receding};
pub use bundle::{Bundle, BundleError};
pub use cloning::CloneLearner;
pub use distil::{DistilConfig, DistilLearner};
pub use flow::{Acting, FlowConfig, FlowPolicy};
