//! What is finished of a file under construction, so that a killed process costs only the episodes it was at.
//!
//! The journal lies beside the file: a first line says whose frames they are, then one line per finished part, with a
//! hash of its frames. Lines that are torn, and frames that did not reach the disk, count as never written.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::cache::{CacheFile, Hash, Placed, Scope, half, hex};
use super::{FrameProgress, frame_bytes};
use crate::error::Error;

/// Parts that are checked together, between two reports.
const BATCH: usize = 64;
/// Bytes read at a time to check frames.
const CHUNK_BYTES: usize = 1 << 20;

/// Whose frames: the first line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) camera: String,
    /// Height and width, pixels.
    pub(super) size: usize,
    pub(super) dataset: String,
}

/// A part all of whose frames are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finished {
    pub(super) key: Hash,
    /// The first of its frames in the file.
    pub(super) first: usize,
    pub(super) frames: usize,
    /// Hash of its frames.
    pub(super) sum: Hash,
}

/// The journal of the file at `build`.
pub(super) fn path(build: &Path) -> PathBuf {
    build.with_extension("journal")
}

/// A journal that is written.
pub(super) struct Journal {
    file: File,
    pub(super) is_empty: bool,
}

impl Journal {
    pub(super) fn start(scope: &Scope<'_>) -> io::Result<Journal> {
        let mut file = File::create(path(&scope.build_path()))?;
        let (camera, dataset) = (scope.camera.to_owned(), scope.dataset.display().to_string());
        let about = serde_json::to_string(&About { camera, size: scope.size, dataset })?;
        file.write_all(format!("{about}\n").as_bytes())?;
        Ok(Journal { file, is_empty: true })
    }

    pub(super) fn add(&mut self, part: &Finished) {
        let line = format!("{} {} {} {}\n", hex(&part.key), part.first, part.frames, hex(&part.sum));
        // A part without its line is decoded again after a kill, and that is all.
        self.is_empty &= self.file.write_all(line.as_bytes()).is_err();
    }
}

/// The journal of the file at `build`, as far as it makes sense.
pub(super) fn read(build: &Path) -> Option<(About, Vec<Finished>)> {
    let bytes = fs::read(path(build)).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    let about = serde_json::from_str(lines.next()?).ok()?;
    Some((about, lines.filter_map(parse).collect()))
}

fn parse(line: &str) -> Option<Finished> {
    let mut words = line.split(' ');
    let mut next = || words.next();
    let (key, first, frames, sum) = (next()?, next()?, next()?, next()?);
    let is_whole = next().is_none();
    let finished =
        Finished { key: hash(key)?, first: first.parse().ok()?, frames: frames.parse().ok()?, sum: hash(sum)? };
    is_whole.then_some(finished)
}

fn hash(hex: &str) -> Option<Hash> {
    let mut hash = Hash::default();
    if hex.len() != 2 * hash.len() {
        return None;
    }
    for (i, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(hash)
}

/// Removes the file under construction of a scope and its journal.
pub(super) fn clear(scope: &Scope<'_>) {
    let build = scope.build_path();
    // The journal last: without it nobody would know whose file the other is.
    let _ = fs::remove_file(&build);
    let _ = fs::remove_file(path(&build));
}

/// Makes what a killed process had finished a complete file of its own. For the holder of the scope's lock.
///
/// Frames that were on their way stay behind as a hole in the file. Those checked are reported as done, of `total`.
pub(super) fn salvage(scope: &Scope<'_>, total: usize, progress: &mut dyn FnMut(FrameProgress)) -> Result<(), Error> {
    let build = scope.build_path();
    let finished = read(&build).map_or(Vec::new(), |(_, finished)| finished);
    let mut sound: Vec<&Finished> = Vec::with_capacity(finished.len());
    let mut checked = 0;
    for batch in finished.chunks(BATCH) {
        sound
            .par_extend(batch.par_iter().filter(|part| sum(&build, part, scope.size).is_ok_and(|sum| sum == part.sum)));
        checked += batch.iter().map(|part| part.frames).sum::<usize>();
        progress(FrameProgress::At { done: checked.min(total), total });
    }
    sound.sort_by_key(|part| part.first);
    let frames = sound.iter().map(|part| part.first + part.frames).max().unwrap_or(0);
    if frames > 0 {
        let placed = |part: &&Finished| Placed { key: part.key, frames: part.frames, at: Ok(part.first) };
        let parts: Vec<Placed> = sound.iter().map(placed).collect();
        CacheFile::complete(scope, &build, frames, &parts)?;
    }
    clear(scope);
    Ok(())
}

/// Hash of the frames that lie in the file where a part should be.
fn sum(build: &Path, part: &Finished, size: usize) -> io::Result<Hash> {
    let too_far = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let bytes = |frames: usize| frames.checked_mul(frame_bytes(size)).ok_or_else(too_far);
    let (start, len) = (bytes(part.first)?, bytes(part.frames)?);
    let mut file = File::open(build)?;
    if start.checked_add(len).is_none_or(|end| end as u64 > file.metadata().map_or(0, |about| about.len())) {
        return Err(too_far());
    }
    file.seek(SeekFrom::Start(start as u64))?;
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut left = len;
    while left > 0 {
        let now = left.min(CHUNK_BYTES);
        file.read_exact(&mut chunk[..now])?;
        hasher.update(&chunk[..now]);
        left -= now;
    }
    Ok(half(&hasher))
}
