//! What the frame cache holds, and how it is made smaller without taking anything from a running process.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::cache::Header;
use super::gather::lock_path;
use super::journal;
use crate::error::Error;
use crate::lock::{Claim, LockFile};

/// One file of the frame cache: frames of one camera of one dataset at one size, not always all of them.
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
    /// Disk that the file takes, bytes: room in it that nobody wrote to takes none.
    pub bytes: u64,
    /// When a process last opened it.
    pub last_use: SystemTime,
    /// Whether a process has it open now.
    pub in_use: bool,
    /// Whether it is complete. One that is not and is not in use was left by a killed process; the next one that wants
    /// these frames goes on with it.
    pub is_complete: bool,
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
    let paths = listing.flatten().map(|entry| entry.path());
    let entry = |path: PathBuf| match path.extension()?.to_str()? {
        "frames" => complete(path).ok(),
        "build" => unfinished(path).ok(),
        _ => None,
    };
    // A file that goes while it is looked at belongs to nobody any more.
    let mut entries: Vec<CacheEntry> = paths.filter_map(entry).collect();
    entries.sort_by(|a, b| (a.last_use, &a.path).cmp(&(b.last_use, &b.path)));
    Ok(entries)
}

fn complete(path: PathBuf) -> io::Result<CacheEntry> {
    let mut file = File::open(&path)?;
    let about = file.metadata()?;
    let in_use = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
    let header = Header::read(&mut file);
    let (camera, size, frames) =
        header.as_ref().map_or_else(Default::default, |h| (h.camera.clone(), h.size, h.frames));
    Ok(CacheEntry {
        dataset: header.and_then(|h| h.dataset),
        camera,
        size,
        frames,
        bytes: taken_bytes(&about),
        last_use: about.modified()?,
        in_use,
        is_complete: true,
        path,
    })
}

fn unfinished(path: PathBuf) -> io::Result<CacheEntry> {
    let about = fs::metadata(&path)?;
    let (whose, finished) = journal::read(&path).unzip();
    Ok(CacheEntry {
        dataset: whose.as_ref().map(|whose| whose.dataset.clone()),
        size: whose.as_ref().map_or(0, |whose| whose.size),
        camera: whose.map_or_else(String::new, |whose| whose.camera),
        frames: finished.iter().flatten().map(|part| part.frames).sum(),
        bytes: taken_bytes(&about),
        last_use: about.modified()?,
        in_use: LockFile::is_taken(&lock_path(&path)),
        is_complete: false,
        path,
    })
}

#[cfg(unix)]
fn taken_bytes(about: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    // The system's unit here, whatever the blocks of the disk are.
    about.len().min(512 * about.blocks())
}

#[cfg(not(unix))]
fn taken_bytes(about: &fs::Metadata) -> u64 {
    about.len()
}

/// Removes one file of the cache, unless a process has it open; says whether it is gone.
///
/// Decoding puts it back: nothing is lost but time.
///
/// # Errors
/// [`Error::Io`] when it cannot be removed.
pub fn evict(entry: &CacheEntry) -> Result<bool, Error> {
    let removed = match entry.is_complete {
        true => remove_unless_used(&entry.path),
        false => remove_unfinished(&entry.path),
    };
    removed.map_err(|source| Error::Io { doing: "cannot remove", source, path: entry.path.clone() })
}

/// Removes a complete file that nobody has open; says whether it is gone.
pub(super) fn remove_unless_used(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(false),
        // Without locks nobody can tell who uses it; where files may be removed while they are open, that does no harm.
        Err(TryLockError::Error(_)) if cfg!(unix) => {}
        Err(TryLockError::Error(_)) => return Ok(false),
    }
    // The lock is held until the name is gone, so that nobody begins to use what is being removed.
    fs::remove_file(path).map(|()| true)
}

fn remove_unfinished(build: &Path) -> io::Result<bool> {
    let lock = LockFile::try_claim(&lock_path(build));
    if matches!(lock, Claim::Taken) {
        return Ok(false);
    }
    let gone = |removed: io::Result<()>| match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    gone(fs::remove_file(build))?;
    gone(fs::remove_file(journal::path(build)))?;
    Ok(true)
}
