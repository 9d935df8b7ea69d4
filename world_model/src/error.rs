//! What can go wrong while learning or loading a model.

use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data and the configuration do not fit each other.
    #[error("{found}; expected {expected}")]
    Mismatch {
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A weights file cannot be used with this model.
    #[error("{path}: {found}; expected weights of {expected}")]
    Weights {
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
        /// Where.
        path: PathBuf,
    },
    /// Training produced numbers that are not finite.
    #[error(
        "{stage}: the loss became {loss} at update {update}; lower the learning rate ({setting}) or check the data for outliers with `rehearsal inspect`"
    )]
    Diverged {
        /// The stage that diverged.
        stage: &'static str,
        /// The loss.
        loss: f32,
        /// The update at which it happened.
        update: usize,
        /// The configuration key of the learning rate.
        setting: &'static str,
    },
}
