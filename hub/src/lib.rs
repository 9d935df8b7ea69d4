//! Datasets on the Hugging Face hub: `hub:owner/name@revision` becomes a folder.
//!
//! [`Snapshot::find`] asks the hub which commit a revision is and which files that has; [`Snapshot::fetch`] brings
//! those that are wanted, into the same cache and in the same layout as Python's `huggingface_hub`:
//!
//! ```text
//! $HF_HUB_CACHE/datasets--OWNER--NAME/
//!   refs/REVISION               the commit that a branch or tag was when it was last read
//!   snapshots/COMMIT/meta/…     links to the blobs: the folder to read
//!   blobs/HASH                  content by its hash; HASH.incomplete while it is being downloaded
//!   trees/COMMIT.json           every file of the commit, so that a copy is known to be complete without network
//!   .listings/COMMIT.json       the same, made here: Python does not see it
//! $HF_HUB_CACHE/.locks/datasets--OWNER--NAME/HASH.lock
//! ```
//!
//! Architecture invariant: nobody else speaks HTTP, and this crate knows neither formats nor any other crate of the house.
//! It reads the environment where it is asked to ([`HubSettings::from_env`]) and for proxies, and prints nothing.

mod address;
mod client;
mod content;
mod error;
mod listing;
mod settings;
mod snapshot;
mod store;
#[cfg(test)]
mod tests;
mod transfer;
mod workers;

pub use address::Address;
pub use error::Error;
pub use settings::HubSettings;
pub use snapshot::Snapshot;
