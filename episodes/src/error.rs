//! What can go wrong with recorded data, one sentence each: what was found, what was expected, where.

use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path holds nothing this crate can read.
    #[error("{path}: {found}; expected {expected}")]
    NotADataset {
        /// What is there.
        found: String,
        /// What would be read.
        expected: String,
        /// Where.
        path: PathBuf,
    },
    /// A file exists but its content is not what its place promises.
    #[error("{path}: {found}; expected {expected}")]
    BadFile {
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
        /// Where.
        path: PathBuf,
    },
    /// A feature that was asked for is not in the dataset.
    #[error("feature '{wanted}' is not in {path}; it has: {available}. Set it with --set {}", set_to_name(.setting))]
    MissingFeature {
        /// The name that was asked for.
        wanted: String,
        /// What the dataset has, comma-separated.
        available: String,
        /// The configuration key that selects it.
        setting: String,
        /// The dataset.
        path: PathBuf,
    },
    /// Nobody knows how many steps a second has.
    #[error("{path}: the file does not say its control rate; set it with --set data.control_rate_hz=HZ")]
    NoRate {
        /// The dataset.
        path: PathBuf,
    },
    /// Nothing sound is left after skipping what is broken (or `strict` forbids skipping).
    #[error("{path}: {found}; expected {expected}")]
    NothingLeft {
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
        /// Where.
        path: PathBuf,
    },
    /// Somebody asked to stop.
    #[error("stopped; {path} is as it was before")]
    Stopped {
        /// What would have been written.
        path: PathBuf,
    },
    /// Reading or writing failed.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done, e.g. `cannot write`.
        doing: &'static str,
        /// The underlying error.
        source: std::io::Error,
        /// Where.
        path: PathBuf,
    },
}

/// How a name is set: most of these settings are lists.
fn set_to_name(setting: &str) -> String {
    match setting {
        "data.cameras" | "data.state_keys" | "data.hints" => format!("'{setting}=[\"NAME\"]'"),
        _ => format!("{setting}=NAME"),
    }
}
