//! What can go wrong between a result and its picture.

use std::io;
use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A frame whose bytes do not fit its size.
    #[error("found {found} bytes in {what}, expected {expected} for {size} x {size} pixels of red, green, blue")]
    Frame {
        /// Which frame, in words.
        what: String,
        /// Bytes found.
        found: usize,
        /// Side of the square, pixels.
        size: usize,
        /// Bytes expected.
        expected: usize,
    },
    /// A picture whose bytes do not fit its sides.
    #[error(
        "found {found} bytes in the picture of step {step}, expected {height} x {width} pixels of red, green, blue"
    )]
    Still {
        /// Step of the episode.
        step: usize,
        /// Bytes found.
        found: usize,
        /// Pixels.
        height: usize,
        /// Pixels.
        width: usize,
    },
    /// Rows of numbers that do not all have the same length, or not one name per element.
    #[error("found {found} numbers in row {row} of {what}, expected {expected}")]
    Row {
        /// Which series, in words.
        what: String,
        /// Position of the row.
        row: usize,
        /// Numbers found.
        found: usize,
        /// Numbers expected.
        expected: usize,
    },
    /// A frame rate that is not a positive number.
    #[error("found {fps} frames per second in {what}, expected a positive number")]
    Fps {
        /// Which view, in words.
        what: String,
        /// The rate found.
        fps: f64,
    },
    /// The recording could not be written.
    #[error("cannot write {what} to the recording: {message}")]
    Recording {
        /// Which part, in words.
        what: String,
        /// What rerun said.
        message: String,
    },
    /// A picture could not be encoded.
    #[error("cannot encode {what}: {message}")]
    Picture {
        /// Which picture, in words.
        what: String,
        /// What the encoder said.
        message: String,
    },
    /// A file could not be written or renamed.
    #[error("cannot write {path}: {source}", path = path.display())]
    File {
        /// What the operating system said.
        source: io::Error,
        /// The file.
        path: PathBuf,
    },
    /// No viewer answers at an address, or it stopped to.
    #[error(
        "no rerun viewer at {address} ({reason}); start one with `rerun`, or name its address as rerun+http://HOST:PORT/proxy"
    )]
    NoViewerThere {
        /// As the user gave it.
        address: String,
        /// What was found instead.
        reason: String,
    },
    /// There is no viewer on this computer.
    #[error(
        "found no `rerun` program to open the recording with; run `uvx --from rerun-sdk=={version} rerun {path}`, \
         or `pip install rerun-sdk=={version}` and then `rerun {path}`",
        version = crate::RERUN_VERSION, path = path.display()
    )]
    ViewerMissing {
        /// The recording.
        path: PathBuf,
    },
    /// The viewer was found but ended with an error.
    #[error(
        "the `rerun` viewer could not show the recording ({reason}); copy {path} to a computer with a display, or \
         run `rerun --web-viewer {path}`",
        path = path.display()
    )]
    ViewerFailed {
        /// How it ended.
        reason: String,
        /// The recording.
        path: PathBuf,
    },
}

impl Error {
    pub(crate) fn recording(what: &str, error: impl std::fmt::Display) -> Error {
        Error::Recording { what: what.to_owned(), message: error.to_string() }
    }
}
