//! One file of the cache: frames from byte 0, then a table of the parts in it, a JSON header, its length and a magic word.
//!
//! A part is one episode seen by one camera. Its key is a hash of everything its frames depend on, so a part is
//! decoded once, whatever the files that ever hold it. A file is built under another name ([`super::build`]) and renamed
//! when complete, so a final name always holds a complete file. Whoever has a file open holds a shared lock on it, which
//! goes with the process; [`super::evict`] removes only what it can lock alone. Using a file makes its modification
//! time now.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

use super::{Place, canonical, frame_bytes};
use crate::error::Error;

/// Part of every file name: another number means that old files are not looked at.
const FORMAT_VERSION: u32 = 2;
const MAGIC: &[u8; 8] = b"frames\r\n";
/// Length of the header and the magic word.
const FOOTER_BYTES: u64 = 16;
/// A part in the table: its key, the first of its frames in the file, their number.
const ENTRY_BYTES: usize = 32;
/// No header is longer: a broken length must not exhaust the memory.
const MAX_HEADER_BYTES: u64 = 256 << 20;

static TEMPORARY_FILES: AtomicU32 = AtomicU32::new(0);

/// Half of a BLAKE3 hash: of what frames depend on, or of the frames.
pub(super) type Hash = [u8; 16];

/// Hash of everything that the frames of one part depend on.
pub(super) struct KeyHasher(blake3::Hasher);

impl KeyHasher {
    pub(super) fn new(kind: &str) -> KeyHasher {
        let mut key = KeyHasher(blake3::Hasher::new());
        key.add(kind.as_bytes());
        key
    }

    /// Adds a piece; pieces are kept apart by their length.
    pub(super) fn add(&mut self, piece: &[u8]) {
        self.0.update(&(piece.len() as u64).to_le_bytes());
        self.0.update(piece);
    }

    pub(super) fn finish(self) -> Hash {
        half(&self.0)
    }
}

/// The first half of a finished hash.
pub(super) fn half(hasher: &blake3::Hasher) -> Hash {
    let mut half = Hash::default();
    hasher.finalize_xof().fill(&mut half);
    half
}

pub(super) fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whose frames: one camera of one dataset at one size. Files of a scope are looked at together, and one process at a
/// time adds to it.
pub(super) struct Scope<'a> {
    pub(super) dir: &'a Path,
    pub(super) dataset: PathBuf,
    pub(super) camera: &'a str,
    /// Height and width, pixels.
    pub(super) size: usize,
    name: String,
}

impl<'a> Scope<'a> {
    pub(super) fn new(place: Place<'a>, camera: &'a str, size: usize) -> Scope<'a> {
        let dataset = canonical(place.dataset);
        let mut key = KeyHasher::new(&format!("{FORMAT_VERSION} {size}"));
        key.add(camera.as_bytes());
        key.add(dataset.as_os_str().as_encoded_bytes());
        Scope { dir: place.cache_dir, dataset, camera, size, name: hex(&key.finish()) }
    }

    /// The file under construction.
    pub(super) fn build_path(&self) -> PathBuf {
        self.dir.join(format!("{}.build", self.name))
    }

    /// The same where there are no locks: a name of its own.
    pub(super) fn temporary_path(&self) -> PathBuf {
        let number = TEMPORARY_FILES.fetch_add(1, Ordering::Relaxed);
        self.dir.join(format!("{}.{}-{number}.tmp", self.name, std::process::id()))
    }

    /// All its complete files, the largest first, each with a shared lock.
    pub(super) fn files(&self) -> Vec<CacheFile> {
        let prefix = format!("{}.", self.name);
        let is_ours = |path: &PathBuf| {
            let name = path.file_name().and_then(OsStr::to_str);
            name.is_some_and(|name| name.starts_with(&prefix) && name.ends_with(".frames"))
        };
        let paths = fs::read_dir(self.dir).into_iter().flatten().flatten().map(|entry| entry.path()).filter(is_ours);
        let mut files: Vec<CacheFile> = paths.filter_map(|path| CacheFile::open(path, self)).collect();
        files.sort_by(|a, b| (b.frames, &a.path).cmp(&(a.frames, &b.path)));
        files
    }
}

/// What a cache file says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) camera: String,
    /// Frames the file has room for.
    pub(super) frames: usize,
    /// Height and width, pixels.
    pub(super) size: usize,
    /// Where the dataset lay when its frames were decoded.
    #[serde(default)]
    pub(super) dataset: Option<String>,
    /// Entries in the table; files of format 1 have none.
    #[serde(default)]
    parts: usize,
    /// Positions in the table of parts that cannot be read, and why; the file holds nothing of them.
    #[serde(default)]
    unreadable: Vec<(usize, String)>,
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
        let before = len_bytes.checked_sub(FOOTER_BYTES)?.checked_sub(header_bytes)?;
        if magic != MAGIC || header_bytes > MAX_HEADER_BYTES {
            return None;
        }
        let mut json = Vec::new();
        file.seek(SeekFrom::Start(before)).ok()?;
        file.take(header_bytes).read_to_end(&mut json).ok()?;
        let header: Header = serde_json::from_slice(&json).ok()?;
        let pixels = header.size.checked_mul(header.size)?.checked_mul(3)?.checked_mul(header.frames)?;
        let promised = header.parts.checked_mul(ENTRY_BYTES)?.checked_add(pixels)?;
        (promised as u64 == before).then_some(header)
    }

    fn read_table(&self, file: &mut File) -> Option<Vec<Placed>> {
        file.seek(SeekFrom::Start((frame_bytes(self.size) * self.frames) as u64)).ok()?;
        let mut table = vec![0; self.parts * ENTRY_BYTES];
        file.read_exact(&mut table).ok()?;
        let entry = |bytes: &[u8]| -> Option<Placed> {
            let (key, numbers) = bytes.split_first_chunk::<16>()?;
            let (first, frames) = numbers.split_first_chunk::<8>()?;
            let first = usize::try_from(u64::from_le_bytes(*first)).ok()?;
            let frames = usize::try_from(u64::from_le_bytes(frames.try_into().ok()?)).ok()?;
            Some(Placed { key: *key, frames, at: Ok(first) })
        };
        let mut parts: Vec<Placed> = table.chunks_exact(ENTRY_BYTES).map(entry).collect::<Option<_>>()?;
        for (part, why) in &self.unreadable {
            parts.get_mut(*part)?.at = Err(why.clone());
        }
        let fits = |part: &Placed| match part.at {
            Ok(first) => first.checked_add(part.frames).is_some_and(|end| end <= self.frames),
            Err(_) => true,
        };
        parts.iter().all(fits).then_some(parts)
    }
}

/// One part in a cache file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) key: Hash,
    pub(super) frames: usize,
    /// The first of its frames in the file, or why it cannot be read.
    pub(super) at: Result<usize, String>,
}

/// A complete file, open and in use.
pub(super) struct CacheFile {
    pub(super) path: PathBuf,
    /// Holds the shared lock that keeps the file from being evicted.
    pub(super) file: File,
    /// Frames the file has room for.
    pub(super) frames: usize,
    pub(super) parts: Vec<Placed>,
}

impl CacheFile {
    /// Opens a file of a scope; `None` where it is gone, damaged, or another's.
    fn open(path: PathBuf, scope: &Scope<'_>) -> Option<CacheFile> {
        let mut file = File::open(&path).ok()?;
        // Whoever looks whether the file is in use, or evicts it, holds it alone for a moment: this waits so long. An
        // evicted file stays whole for whoever has it open. Some network file systems have no locks: then without.
        let _ = file.lock_shared();
        let header = Header::read(&mut file)?;
        if (header.camera.as_str(), header.size) != (scope.camera, scope.size) {
            return None;
        }
        let parts = header.read_table(&mut file)?;
        Some(CacheFile { path, file, frames: header.frames, parts })
    }

    /// Completes the file at `unfinished`, which has room for so many frames, gives it its final name and opens it.
    pub(super) fn complete(
        scope: &Scope<'_>,
        unfinished: &Path,
        frames: usize,
        parts: &[Placed],
    ) -> Result<CacheFile, Error> {
        let unreadable =
            parts.iter().enumerate().filter_map(|(i, part)| Some((i, part.at.as_ref().err()?.clone()))).collect();
        let header = Header {
            camera: scope.camera.to_owned(),
            frames,
            size: scope.size,
            dataset: Some(scope.dataset.display().to_string()),
            parts: parts.len(),
            unreadable,
        };
        let mut tail = Vec::with_capacity(parts.len() * ENTRY_BYTES);
        for part in parts {
            tail.extend_from_slice(&part.key);
            tail.extend_from_slice(&(part.at.as_ref().map_or(0, |&first| first) as u64).to_le_bytes());
            tail.extend_from_slice(&(part.frames as u64).to_le_bytes());
        }
        let cannot_write =
            |source| Error::Io { doing: "cannot write the frame cache", source, path: unfinished.to_path_buf() };
        let json = serde_json::to_vec(&header).map_err(|err| cannot_write(err.into()))?;
        tail.extend_from_slice(&json);
        let content = half(blake3::Hasher::new().update(&tail));
        tail.extend_from_slice(&(json.len() as u64).to_le_bytes());
        tail.extend_from_slice(MAGIC);
        let written = || -> io::Result<()> {
            let pixels = frame_bytes(scope.size) * frames;
            let mut file = open_at(unfinished, pixels)?;
            file.set_len(pixels as u64)?;
            file.write_all(&tail)?;
            file.sync_data()
        };
        written().map_err(cannot_write)?;
        let path = scope.dir.join(format!("{}.{}.frames", scope.name, hex(&content)));
        if let Err(source) = fs::rename(unfinished, &path) {
            // Some systems do not replace a file that another process has mapped; that file is as good as ours.
            return match CacheFile::open(path.clone(), scope).filter(|there| there.parts == parts) {
                Some(there) => {
                    let _ = fs::remove_file(unfinished);
                    Ok(there)
                }
                None => Err(Error::Io { doing: "cannot write the frame cache", source, path }),
            };
        }
        CacheFile::open(path.clone(), scope).ok_or_else(|| Error::Io {
            doing: "cannot open the frame cache",
            source: io::Error::other("the file was changed while it was opened"),
            path,
        })
    }
}

/// Opens a file for writing at an offset in bytes.
pub(super) fn open_at(path: &Path, offset_bytes: usize) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.seek(SeekFrom::Start(offset_bytes as u64))?;
    Ok(file)
}
