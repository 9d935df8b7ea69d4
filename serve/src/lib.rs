//! The openpi websocket policy protocol: a server around a closure (observation in, chunk of actions out), and a client.
//!
//! A robot client that speaks the protocol (for example `openpi-client` from PyPI) connects, is told the
//! server's metadata, and then sends one observation at a time and is answered with one chunk of actions.
//! The [`Server`] decodes, calls the closure it was given, checks the answer and encodes it.
//!
//! Architecture invariant: this crate knows no policy, no tensors and no robot. Which key of the request is
//! the state and which is a camera is decided by whoever wrote the closure.
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//! use serve::{Observation, Options, Reply, Server};
//!
//! # fn main() -> Result<(), serve::Error> {
//! let stop = AtomicBool::new(false);
//! let server = Server::bind(&Options { port: 8000, ..Options::default() })?;
//! server.run(&stop, &|observation: &Observation| {
//!     let state = observation.vectors.get("observation.state").ok_or("observation.state is missing")?;
//!     Ok(Reply { actions: state.clone(), horizon: 1, action_len: state.len(), ..Reply::default() })
//! })
//! # }
//! ```

mod client;
mod door;
mod error;
mod link;
mod ndarray;
mod observation;
mod reply;
mod server;

pub use client::Client;
pub use error::Error;
pub use observation::{Camera, Observation};
pub use reply::{Reply, Timing};
pub use server::{Options, Policies, Policy, Server};
