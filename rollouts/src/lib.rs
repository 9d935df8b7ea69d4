//! Imagination: what would have followed.
//!
//! [`imagine`](mod@imagine) carries a batch of latent states forward under an actor; [`score`] reads returns and success off the
//! predictions; [`branch`] forks a recorded episode under shared noise and lets several arms act otherwise.
//! Actors are closures over embeddings, so this crate knows no policy.
//!
//! Architecture invariant: rollouts and policy do not know each other.

pub mod branch;
pub mod imagine;
pub mod score;

pub use branch::{Arm, Branch, fork};
pub use imagine::{Actor, Imagined, imagine};
pub use score::{Outcome, outcome};
