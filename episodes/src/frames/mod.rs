//! Camera frames at model resolution: decoded once, then read from memory-mapped cache files.
//!
//! [`ingest_videos`], [`ingest_images`] and [`ingest_pixels`] answer from the cache when nothing changed (a matter of
//! milliseconds) and otherwise decode what no file of the cache holds, episode by episode and in parallel. Training never
//! decodes. What is decoded goes into one new file; files that are there stay as they are, so adding episodes costs
//! those episodes. A process that is killed costs the episodes it was at, and of two that want the same one waits.

mod build;
mod cache;
mod gather;
mod images;
mod journal;
mod keeping;
mod pixels;
mod store;
mod videos;

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) use images::decode_picture;
pub use images::ingest_images;
pub use keeping::{CacheEntry, cache_entries, evict};
pub use pixels::ingest_pixels;
use serde::{Deserialize, Serialize};
pub use store::FrameStore;
pub use videos::{Segment, VideoJob, ingest_videos};

/// Where frames are kept, and whose they are.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The cache.
    pub cache_dir: &'a Path,
    /// The dataset that the cache files will name as their own.
    pub dataset: &'a Path,
}

/// How far the frames of one camera have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameProgress {
    /// So many frames are there.
    At {
        /// Those that are there.
        done: usize,
        /// All.
        total: usize,
    },
    /// Another process decodes frames of the same camera; this one waits for it, and takes over should it die.
    Waiting {
        /// All.
        total: usize,
    },
}

/// One episode of a camera whose pictures somebody else reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpisodePictures {
    /// `episode_index` in the dataset.
    pub episode: usize,
    /// Number of pictures.
    pub len: usize,
    /// Stands for their content (a hash of where they come from): the same key, the same pictures.
    pub key: String,
}

/// An episode whose frames could not all be read; its frames in the store are black.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentFailure {
    /// `episode_index` in the dataset.
    pub episode: usize,
    /// Why, in one sentence.
    pub why: String,
}

fn frame_bytes(size: usize) -> usize {
    size * size * 3
}

/// One name per file, however it was written; as it was written where there is no such file.
fn canonical(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}

/// What changes when a file does, hashed into keys: its length and modification time.
pub(crate) fn stamp(path: &Path) -> String {
    let about = fs::metadata(path).ok().map(|about| {
        let since_epoch = about.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        (about.len(), since_epoch.map_or(0, |time| time.as_nanos()))
    });
    format!("{about:?}")
}

#[cfg(test)]
mod tests;
