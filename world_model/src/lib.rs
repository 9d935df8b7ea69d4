//! What happens next: a world model learned from recorded episodes.
//!
//! Two parts, trained one after the other on the same episodes. The [`representation`] turns each observation
//! (cameras and state) into one embedding `e_t`, shaped by reconstruction *and* by the task (reward, return, control).
//! The dynamics ([`rssm`] for cameras, [`ensemble`] for state-only data) imagine how `e_t` goes on under actions,
//! with reward, success and continuation, and with a disagreement that says where the model is guessing.
//!
//! Architecture invariant: no printing, no files it was not handed, no policy.

pub mod agreement;
pub mod angles;
pub mod corpus;
pub mod differences;
pub mod dropout;
pub mod ensemble;
mod error;
mod events;
pub mod foresight;
pub mod health;
pub mod hints;
pub mod kernels;
pub mod layers;
pub mod model;
pub mod noise;
pub mod optimise;
pub mod picture;
pub mod quality;
pub mod representation;
pub mod rssm;
pub mod shards;
pub mod task;
pub mod train;
pub mod trust;
pub mod two_hot;
pub mod vision;
pub mod vit;
pub mod walk;

pub use corpus::{Corpus, Embeddings, Sequence};
pub use error::Error;
pub use model::{Latent, Prediction, WorldModel, WorldModelConfig};
