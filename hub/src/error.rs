//! What can go wrong between a dataset's address and its folder, one sentence each.

use std::io;
use std::path::{Path, PathBuf};

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Text that begins like an address and is none.
    #[error("'{text}': {found}; expected hub:OWNER/NAME or hub:OWNER/NAME@REVISION (a branch, tag or commit)")]
    BadAddress {
        /// What was written.
        text: String,
        /// What is wrong with it.
        found: String,
    },
    /// The hub, or what is in the cache in its place, does not give what was asked for.
    #[error("{asked}: {found}; {remedy}")]
    NotToBeHad {
        /// The address.
        asked: String,
        /// What was found or answered.
        found: String,
        /// What to do.
        remedy: String,
    },
    /// The disk is full.
    #[error(
        "no space left to write {path}; free some, or name a folder on another disk with HF_HUB_CACHE: what has been \
         downloaded stays, and the same command continues"
    )]
    DiskFull {
        /// What was being written.
        path: PathBuf,
    },
    /// Somebody asked to stop.
    #[error("stopped; what has been downloaded stays in {path}, and the same command continues")]
    Stopped {
        /// The dataset's folder in the cache.
        path: PathBuf,
    },
    /// Reading or writing the cache failed.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done, e.g. `cannot write`.
        doing: &'static str,
        /// The underlying error.
        source: io::Error,
        /// Where.
        path: PathBuf,
    },
}

impl Error {
    /// For `map_err`: a failure to do something with `path`.
    pub(crate) fn io<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::DiskFull { path: path.to_path_buf() },
            _ => Error::Io { doing, source, path: path.to_path_buf() },
        }
    }
}
