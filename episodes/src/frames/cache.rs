//! The cache file of one camera: frames from byte 0, then a JSON header, its length and a magic word.
//!
//! A file is built under a temporary name in the same directory and renamed when complete, so a final name always
//! holds a complete file: killed processes leave only temporary files, and of two processes that build the same
//! file the last to finish wins with equal content. Whoever has a file open holds a shared lock on it, which goes with
//! the process; [`super::evict`] removes only what it can lock alone. Opening a file makes its modification time now.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use super::{FrameStore, SegmentFailure, frame_bytes};
use crate::error::Error;

/// Part of every key: another number means that old files are not looked at.
const FORMAT_VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"frames\r\n";
/// Length of the header and the magic word.
const FOOTER_BYTES: u64 = 16;
/// Temporary files untouched for this long belong to nobody.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);

static TEMPORARY_FILES: AtomicU32 = AtomicU32::new(0);

/// What a cache file says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) camera: String,
    pub(super) frames: usize,
    /// Height and width, pixels.
    pub(super) size: usize,
    pub(super) sources: Vec<String>,
    pub(super) failures: Vec<SegmentFailure>,
    /// Where the dataset lay when its frames were decoded; no part of what the frames depend on.
    #[serde(default)]
    pub(super) dataset: Option<String>,
}

impl Header {
    /// Reads the header at the end of a file and checks that the file is as long as it says.
    pub(super) fn read(file: &mut File) -> Option<Header> {
        let len_bytes = file.metadata().ok()?.len();
        let mut footer = [0; FOOTER_BYTES as usize];
        file.seek(SeekFrom::Start(len_bytes.checked_sub(FOOTER_BYTES)?)).ok()?;
        file.read_exact(&mut footer).ok()?;
        let (header_bytes, magic) = footer.split_first_chunk::<8>()?;
        let header_bytes = u64::from_le_bytes(*header_bytes);
        let pixel_bytes = len_bytes.checked_sub(FOOTER_BYTES)?.checked_sub(header_bytes)?;
        if magic != MAGIC {
            return None;
        }
        let mut json = Vec::new();
        file.seek(SeekFrom::Start(pixel_bytes)).ok()?;
        file.take(header_bytes).read_to_end(&mut json).ok()?;
        let header: Header = serde_json::from_slice(&json).ok()?;
        let promised = header.size.checked_mul(header.size)?.checked_mul(3)?.checked_mul(header.frames)?;
        (promised as u64 == pixel_bytes).then_some(header)
    }
}

/// Hash of everything the frames depend on; it becomes the file name.
pub(super) struct KeyHasher(blake3::Hasher);

impl KeyHasher {
    pub(super) fn new(kind: &str, camera_key: &str, size: usize) -> KeyHasher {
        let mut key = KeyHasher(blake3::Hasher::new());
        key.add(format!("{FORMAT_VERSION} {kind} {size}").as_bytes());
        key.add(camera_key.as_bytes());
        key
    }

    /// Adds one part; parts are kept apart by their length.
    pub(super) fn add(&mut self, part: &[u8]) {
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    pub(super) fn finish(self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

/// The place of one cache file.
pub(super) struct CacheFile {
    dir: PathBuf,
    key: String,
}

impl CacheFile {
    pub(super) fn new(dir: &Path, key: &str) -> CacheFile {
        CacheFile { dir: dir.to_path_buf(), key: key.to_owned() }
    }

    fn final_path(&self) -> PathBuf {
        self.dir.join(format!("{}.frames", self.key))
    }

    /// Opens the file when it exists and is what `expected` describes (failures apart); `None` means rebuild.
    pub(super) fn open(&self, expected: &Header) -> Option<(FrameStore, Vec<SegmentFailure>)> {
        let mut file = File::open(self.final_path()).ok()?;
        // Whoever looks whether the file is in use, or evicts it, holds it alone for a moment: this waits so long. An
        // evicted file stays whole for whoever has it open. Some network file systems have no locks: then without.
        let _ = file.lock_shared();
        let found = Header::read(&mut file)?;
        let same = Header { failures: found.failures.clone(), dataset: found.dataset.clone(), ..expected.clone() };
        if found != same {
            return None;
        }
        // The time of the last use; where it cannot be set, the cache works all the same.
        let _ = file.set_modified(SystemTime::now());
        let store = FrameStore { map: map(&file).ok()?, frames: found.frames, size: found.size, _in_use: file };
        Some((store, found.failures))
    }

    /// Starts a new file with black frames under a temporary name.
    pub(super) fn create(&self, header: &Header) -> Result<Building<'_>, Error> {
        fs::create_dir_all(&self.dir).map_err(|source| Error::Io {
            doing: "cannot create the cache directory",
            source,
            path: self.dir.clone(),
        })?;
        self.remove_abandoned();
        let number = TEMPORARY_FILES.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}.{}-{number}.tmp", self.key, std::process::id());
        let building = Building { cache: self, temporary: self.dir.join(name), is_finished: false };
        File::create(&building.temporary)
            .and_then(|file| file.set_len((frame_bytes(header.size) * header.frames) as u64))
            .map_err(|source| building.cannot_write(source))?;
        Ok(building)
    }

    /// Removes what killed processes left behind, as far as that is possible.
    fn remove_abandoned(&self) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let is_temporary = Path::new(&entry.file_name()).extension().is_some_and(|e| e == "tmp");
            let modified = entry.metadata().and_then(|meta| meta.modified());
            let is_old = modified.is_ok_and(|t| t.elapsed().is_ok_and(|age| age > ABANDONED_AFTER));
            if is_temporary && is_old {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// A cache file under construction; dropped without [`Building::finish`], it is removed.
pub(super) struct Building<'a> {
    cache: &'a CacheFile,
    temporary: PathBuf,
    is_finished: bool,
}

impl Building<'_> {
    pub(super) fn path(&self) -> &Path {
        &self.temporary
    }

    pub(super) fn cannot_write(&self, source: io::Error) -> Error {
        Error::Io { doing: "cannot write the frame cache", source, path: self.temporary.clone() }
    }

    /// Completes the file, gives it its final name and opens it.
    pub(super) fn finish(mut self, header: Header) -> Result<FrameStore, Error> {
        let written = || -> io::Result<()> {
            let json = serde_json::to_vec(&header)?;
            let mut file = open_at(&self.temporary, frame_bytes(header.size) * header.frames)?;
            file.write_all(&json)?;
            file.write_all(&(json.len() as u64).to_le_bytes())?;
            file.write_all(MAGIC)?;
            file.sync_data()
        };
        written().map_err(|source| self.cannot_write(source))?;
        let path = self.cache.final_path();
        match fs::rename(&self.temporary, &path) {
            Ok(()) => self.is_finished = true,
            // Some systems do not replace a file that another process has mapped; that file is as good as ours.
            Err(source) => {
                if self.cache.open(&header).is_none() {
                    return Err(Error::Io { doing: "cannot write the frame cache", source, path });
                }
            }
        }
        self.cache.open(&header).map(|(store, _)| store).ok_or_else(|| Error::Io {
            doing: "cannot map the frame cache",
            source: io::Error::other("the file was changed while it was opened"),
            path,
        })
    }
}

impl Drop for Building<'_> {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Opens a file for writing at an offset in bytes.
pub(super) fn open_at(path: &Path, offset_bytes: usize) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.seek(SeekFrom::Start(offset_bytes as u64))?;
    Ok(file)
}

#[expect(unsafe_code, reason = "reading 10^4 frames per second at random needs a mapping, which is unsafe to create")]
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: files under a final name are complete and never written again; they are only replaced by renaming,
    // which leaves the mapped file as it is. Whoever truncates a cache file by hand while it is in use gets SIGBUS.
    unsafe { Mmap::map(file) }
}
