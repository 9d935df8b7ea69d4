//! What the frame cache holds, and how it is made smaller without taking anything from a running process.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::cache::Header;
use crate::error::Error;

/// One file of the frame cache: all frames of one camera of one dataset at one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    /// The file.
    pub path: PathBuf,
    /// Where the dataset lay when its frames were decoded; `None` where the file does not say.
    pub dataset: Option<String>,
    /// Column name of the camera; empty where the file cannot be read.
    pub camera: String,
    /// Height and width of its frames, pixels.
    pub size: usize,
    /// Number of frames.
    pub frames: usize,
    /// Length of the file, bytes.
    pub bytes: u64,
    /// When a process last opened it.
    pub last_use: SystemTime,
    /// Whether a process has it open now.
    pub in_use: bool,
}

/// Everything in a frame cache, the least recently used first; a cache that does not exist is empty.
///
/// # Errors
/// [`Error::Io`] when the directory cannot be read.
pub fn cache_entries(cache_dir: &Path) -> Result<Vec<CacheEntry>, Error> {
    let listing = match fs::read_dir(cache_dir) {
        Ok(listing) => listing,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(Error::Io { doing: "cannot read the frame cache", source, path: cache_dir.to_path_buf() });
        }
    };
    let frames =
        listing.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "frames"));
    // A file that goes while it is looked at belongs to nobody any more.
    let mut entries: Vec<CacheEntry> = frames.filter_map(|path| entry(path).ok()).collect();
    entries.sort_by(|a, b| (a.last_use, &a.path).cmp(&(b.last_use, &b.path)));
    Ok(entries)
}

fn entry(path: PathBuf) -> io::Result<CacheEntry> {
    let mut file = File::open(&path)?;
    let about = file.metadata()?;
    let in_use = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
    let header = Header::read(&mut file);
    let (camera, size, frames) =
        header.as_ref().map_or_else(Default::default, |h| (h.camera.clone(), h.size, h.frames));
    Ok(CacheEntry {
        dataset: header.and_then(|h| h.dataset.or_else(|| h.sources.first().and_then(|source| dataset_of(source)))),
        camera,
        size,
        frames,
        bytes: about.len(),
        last_use: about.modified()?,
        in_use,
        path,
    })
}

/// The dataset that a video file belongs to, for cache files that do not name it: the folder with `meta/info.json`.
fn dataset_of(source: &str) -> Option<String> {
    let mut folders = Path::new(source).ancestors().skip(1);
    folders.find(|folder| folder.join("meta/info.json").is_file()).map(|folder| folder.display().to_string())
}

/// Removes one file of the cache, unless a process has it open; says whether it is gone.
///
/// Decoding puts it back: nothing is lost but time.
///
/// # Errors
/// [`Error::Io`] when it cannot be removed.
pub fn evict(entry: &CacheEntry) -> Result<bool, Error> {
    let io = |source| Error::Io { doing: "cannot remove", source, path: entry.path.clone() };
    let file = match File::open(&entry.path) {
        Ok(file) => file,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(source) => return Err(io(source)),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(false),
        // Without locks nobody can tell who uses it; where files may be removed while they are open, that does no harm.
        Err(TryLockError::Error(_)) if cfg!(unix) => {}
        Err(TryLockError::Error(_)) => return Ok(false),
    }
    // The lock is held until the name is gone, so that nobody begins to use what is being removed.
    fs::remove_file(&entry.path).map(|()| true).map_err(io)
}
