//! The frames of one camera, mapped from the cache files that hold its parts.

use std::fs::File;
use std::io;
use std::time::SystemTime;

use memmap2::Mmap;

use super::cache::CacheFile;
use super::frame_bytes;

/// All frames of one camera, `[N, size, size, 3]` RGB, memory-mapped.
#[derive(Debug)]
pub struct FrameStore {
    files: Vec<Mapped>,
    /// Ascending and without gaps; none is empty.
    runs: Vec<Run>,
    /// A frame of which nothing could be read.
    black: Vec<u8>,
    frames: usize,
    size: usize,
}

#[derive(Debug)]
struct Mapped {
    map: Mmap,
    /// Holds the shared lock that keeps the file from being evicted.
    _in_use: File,
}

/// Frames that follow each other in the store as in a file.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// The first of them in the store.
    first: usize,
    /// Position in the list of files, and the first of them there; none where they are black.
    source: Option<(usize, usize)>,
}

impl FrameStore {
    /// Maps so many frames at a time, in order: each from a file (its position in `files`) and the first there, or
    /// black. What is not used of `files` is let go.
    pub(super) fn new(
        files: Vec<CacheFile>,
        size: usize,
        pieces: impl Iterator<Item = (usize, Option<(usize, usize)>)>,
    ) -> io::Result<FrameStore> {
        let (mut runs, mut frames): (Vec<Run>, usize) = (Vec::new(), 0);
        for (len, source) in pieces.filter(|&(len, _)| len > 0) {
            let goes_on = runs.last().is_some_and(|last| match (last.source, source) {
                (Some((file, first)), Some(next)) => next == (file, first + frames - last.first),
                (None, None) => true,
                _ => false,
            });
            if !goes_on {
                runs.push(Run { first: frames, source });
            }
            frames += len;
        }
        let mut mapped = Vec::new();
        for (position, file) in files.into_iter().enumerate() {
            let number = mapped.len();
            let mut is_used = false;
            for run in &mut runs {
                if let Some((file, _)) = run.source.as_mut().filter(|(file, _)| *file == position) {
                    *file = number;
                    is_used = true;
                }
            }
            if is_used {
                // The time of the last use; where it cannot be set, the cache works all the same.
                let _ = file.file.set_modified(SystemTime::now());
                mapped.push(Mapped { map: map(&file.file)?, _in_use: file.file });
            }
        }
        Ok(FrameStore { files: mapped, runs, black: vec![0; frame_bytes(size)], frames, size })
    }

    /// Frame `i` as RGB `[size, size, 3]`.
    ///
    /// # Panics
    /// When `i` is not below [`FrameStore::len`].
    pub fn frame(&self, i: usize) -> &[u8] {
        assert!(i < self.frames, "frame {i} of {}", self.frames);
        let run = self.runs[self.runs.partition_point(|run| run.first <= i) - 1];
        let Some((file, first)) = run.source else { return &self.black };
        let (bytes, at) = (frame_bytes(self.size), first + i - run.first);
        &self.files[file].map[at * bytes..(at + 1) * bytes]
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.frames
    }

    /// Whether there is no frame at all.
    pub fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// Height and width of a frame, pixels.
    pub fn size(&self) -> usize {
        self.size
    }
}

#[expect(unsafe_code, reason = "reading 10^4 frames per second at random needs a mapping, which is unsafe to create")]
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: files under a final name are complete and never written again; they are only replaced by renaming,
    // which leaves the mapped file as it is. Whoever truncates a cache file by hand while it is in use gets SIGBUS.
    unsafe { Mmap::map(file) }
}
