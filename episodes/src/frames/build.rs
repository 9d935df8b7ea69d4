//! A cache file under construction: room for every part that is wanted, and what became of each.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::cache::{CacheFile, Hash, Placed, Scope, half, open_at};
use super::gather::{Found, Part};
use super::journal::{self, Finished, Journal};
use super::{FrameProgress, frame_bytes};
use crate::error::Error;
use crate::lock::LockFile;

/// The room for one part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// Position among the parts asked for.
    pub(super) position: usize,
    /// The first of its frames in the file.
    pub(super) first: usize,
    pub(super) frames: usize,
}

/// What became of a part.
pub(super) enum Outcome {
    /// Its frames are written; their hash.
    Written(Hash),
    /// It cannot be read, and could not another time: the reason is kept with the frames of the others.
    Unreadable(String),
    /// It cannot be read now, for a reason that its key knows nothing of. Nothing is kept.
    NotNow(String),
}

/// A cache file under construction. Dropped without [`Build::finish`], what is finished stays for the next process,
/// unless there are no locks.
pub(super) struct Build<'a> {
    scope: &'a Scope<'a>,
    parts: &'a [Part],
    path: PathBuf,
    /// Room for frames.
    frames: usize,
    /// What is to be read.
    slots: Vec<Slot>,
    /// Files whose parts are copied: the slot and where its frames are now.
    copies: Vec<(Slot, &'a CacheFile, usize)>,
    settled: Vec<Placed>,
    /// Why parts cannot be read now.
    not_now: HashMap<Hash, String>,
    journal: Option<Journal>,
    done: usize,
    total: usize,
    is_finished: bool,
    _lock: Option<LockFile>,
}

impl<'a> Build<'a> {
    /// Makes room for what is missing and for what is copied from other files. With a lock, what becomes of it is kept in
    /// a journal.
    pub(super) fn start(
        scope: &'a Scope<'a>,
        parts: &'a [Part],
        found: &'a Found,
        lock: Option<LockFile>,
    ) -> Result<Build<'a>, Error> {
        let total = parts.iter().map(|part| part.frames).sum();
        let path = if lock.is_some() { scope.build_path() } else { scope.temporary_path() };
        let mut build = Build {
            scope,
            parts,
            path,
            frames: 0,
            slots: Vec::new(),
            copies: Vec::new(),
            settled: Vec::new(),
            not_now: HashMap::new(),
            journal: None,
            done: total,
            total,
            is_finished: false,
            _lock: lock,
        };
        for wanted in found.to_build() {
            let Part { key, frames } = parts[wanted.position];
            let slot = Slot { position: wanted.position, first: build.frames, frames };
            match wanted.from.map(|(file, at)| at.as_ref().map(|&first| (file, first))) {
                None => build.slots.push(slot),
                Some(Ok((file, first))) => build.copies.push((slot, file, first)),
                Some(Err(why)) => {
                    build.settled.push(Placed { key, frames, at: Err(why.clone()) });
                    continue;
                }
            }
            build.frames += frames;
            build.done -= frames;
        }
        if build._lock.is_some() {
            journal::clear(scope);
        }
        let created = File::create(&build.path)
            .and_then(|file| file.set_len((frame_bytes(scope.size) * build.frames) as u64))
            .and_then(|()| build._lock.as_ref().map(|_| Journal::start(scope)).transpose());
        build.journal = created.map_err(|source| build.cannot_write(source))?;
        Ok(build)
    }

    /// What is to be read, in order.
    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn cannot_write(&self, source: io::Error) -> Error {
        Error::Io { doing: "cannot write the frame cache", source, path: self.path.clone() }
    }

    /// The place to write the frames of a slot to.
    pub(super) fn writer(&self, slot: Slot) -> Result<PartWriter, Error> {
        PartWriter::open(&self.path, slot, self.scope.size).map_err(|source| self.cannot_write(source))
    }

    /// Reports so many more frames.
    pub(super) fn advance(&mut self, frames: usize, progress: &mut dyn FnMut(FrameProgress)) {
        self.done = (self.done + frames).min(self.total);
        progress(FrameProgress::At { done: self.done, total: self.total });
    }

    /// Says what became of a slot.
    pub(super) fn settle(&mut self, slot: Slot, outcome: Outcome) {
        let key = self.parts[slot.position].key;
        let at = match outcome {
            Outcome::Written(sum) => {
                if let Some(journal) = &mut self.journal {
                    journal.add(&Finished { key, first: slot.first, frames: slot.frames, sum });
                }
                Ok(slot.first)
            }
            Outcome::Unreadable(why) => Err(why),
            Outcome::NotNow(why) => {
                self.not_now.insert(key, why);
                return;
            }
        };
        self.settled.push(Placed { key, frames: slot.frames, at });
    }

    /// Copies what other files hold. That is not in the journal: after a kill it is copied again.
    pub(super) fn copy(&mut self, progress: &mut dyn FnMut(FrameProgress)) -> Result<(), Error> {
        for (slot, source, first) in std::mem::take(&mut self.copies) {
            let bytes = frame_bytes(self.scope.size);
            let copied = || -> io::Result<()> {
                let mut from = &source.file;
                from.seek(SeekFrom::Start((first * bytes) as u64))?;
                let mut to = open_at(&self.path, slot.first * bytes)?;
                let wanted = (slot.frames * bytes) as u64;
                match io::copy(&mut from.take(wanted), &mut to)? == wanted {
                    true => Ok(()),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                }
            };
            copied().map_err(|source| self.cannot_write(source))?;
            let key = self.parts[slot.position].key;
            self.settled.push(Placed { key, frames: slot.frames, at: Ok(slot.first) });
            self.advance(slot.frames, progress);
        }
        Ok(())
    }

    /// Completes the file, unless there is nothing in it, and says why parts cannot be read now.
    pub(super) fn finish(mut self) -> Result<(Option<CacheFile>, HashMap<Hash, String>), Error> {
        let mut settled = std::mem::take(&mut self.settled);
        // In the order of the file, whichever thread was first.
        settled.sort_by(|a, b| (&a.at, a.key).cmp(&(&b.at, b.key)));
        let complete = match settled.is_empty() {
            true => None,
            false => Some(CacheFile::complete(self.scope, &self.path, self.frames, &settled)?),
        };
        self.is_finished = true;
        Ok((complete, std::mem::take(&mut self.not_now)))
    }
}

impl Drop for Build<'_> {
    fn drop(&mut self) {
        let can_go_on = self.journal.as_ref().is_some_and(|journal| !journal.is_empty);
        if can_go_on && !self.is_finished {
            return;
        }
        match self._lock.is_some() {
            true => journal::clear(self.scope),
            // Under its final name it is no longer there.
            false => drop(fs::remove_file(&self.path)),
        }
    }
}

/// Writes the frames of one part to their place in the file. Every part has its own file handle, and plain writes
/// rather than a mapping: a full disk is then an error and not a killed process.
pub(super) struct PartWriter {
    file: File,
    hasher: blake3::Hasher,
    frames: usize,
    written: usize,
}

impl PartWriter {
    pub(super) fn open(path: &Path, slot: Slot, size: usize) -> io::Result<PartWriter> {
        let file = open_at(path, slot.first * frame_bytes(size))?;
        Ok(PartWriter { file, hasher: blake3::Hasher::new(), frames: slot.frames, written: 0 })
    }

    /// Writes one frame; more than there is room for are only counted.
    pub(super) fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        self.written += 1;
        if self.written <= self.frames {
            self.file.write_all(frame)?;
            self.hasher.update(frame);
        }
        Ok(())
    }

    /// Frames written, in their place or beyond.
    pub(super) fn written(&self) -> usize {
        self.written
    }

    pub(super) fn close(self) -> Outcome {
        match self.written == self.frames {
            true => Outcome::Written(half(&self.hasher)),
            false => Outcome::Unreadable(format!("{} pictures of {} steps", self.written, self.frames)),
        }
    }
}
