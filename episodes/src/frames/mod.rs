//! Camera frames at model resolution: decoded once, then read from a memory-mapped cache file.
//!
//! [`ingest_videos`], [`ingest_images`] and [`ingest_pixels`] answer from the cache when nothing changed (a matter of milliseconds)
//! and otherwise decode everything once, in parallel over episodes. Training never decodes.

mod cache;
mod images;
mod keeping;
mod pixels;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::{fs, thread};

use cache::{CacheFile, Header, KeyHasher};
pub(crate) use images::decode_picture;
pub use images::ingest_images;
pub use keeping::{CacheEntry, cache_entries, evict};
use memmap2::Mmap;
pub use pixels::ingest_pixels;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::video::{DecodeError, Video, ffmpeg_is_there, match_times, was_missing};

/// All frames of one camera, `[N, size, size, 3]` RGB, memory-mapped.
#[derive(Debug)]
pub struct FrameStore {
    map: Mmap,
    frames: usize,
    size: usize,
    /// Holds the shared lock that keeps the file from being evicted.
    _in_use: fs::File,
}

/// Where frames are kept, and whose they are.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The cache.
    pub cache_dir: &'a Path,
    /// The dataset that the cache file will name as its own.
    pub dataset: &'a Path,
}

impl Place<'_> {
    fn dataset(&self) -> Option<String> {
        Some(canonical(self.dataset).display().to_string())
    }
}

impl FrameStore {
    /// Frame `i` as RGB `[size, size, 3]`.
    ///
    /// # Panics
    /// When `i` is not below [`FrameStore::len`].
    pub fn frame(&self, i: usize) -> &[u8] {
        assert!(i < self.frames, "frame {i} of {}", self.frames);
        let bytes = frame_bytes(self.size);
        &self.map[i * bytes..(i + 1) * bytes]
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

fn frame_bytes(size: usize) -> usize {
    size * size * 3
}

/// The part of a video file that belongs to one episode.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// `episode_index` in the dataset.
    pub episode: usize,
    /// Presentation time of the episode's first frame, seconds from the start of the file.
    pub from_s: f64,
    /// Number of frames.
    pub len: usize,
}

/// One video file and the episodes in it.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoJob {
    /// The mp4 file.
    pub path: PathBuf,
    /// Frames per second of the episodes.
    pub fps: f64,
    /// The episodes, in any order.
    pub segments: Vec<Segment>,
}

/// An episode whose frames could not all be read; its frames in the store are black.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentFailure {
    /// `episode_index` in the dataset.
    pub episode: usize,
    /// Why, in one sentence.
    pub why: String,
}

/// Frames of one camera that is recorded as video, `size` x `size` pixels, in the order of `jobs` and their segments.
///
/// `progress` is called with frames done and frames in all, from the calling thread. Segments that cannot be read
/// completely (file missing or cut off, undecodable, shorter than the episode) are black and listed.
///
/// # Errors
/// [`Error::Io`] when the cache cannot be written; nothing half-written is then left under a final name.
pub fn ingest_videos(
    camera_key: &str,
    jobs: &[VideoJob],
    size: usize,
    place: Place<'_>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(FrameStore, Vec<SegmentFailure>), Error> {
    let total: usize = jobs.iter().flat_map(|job| &job.segments).map(|segment| segment.len).sum();
    let header = Header {
        camera: camera_key.to_owned(),
        frames: total,
        size,
        sources: jobs.iter().map(|job| canonical(&job.path).display().to_string()).collect(),
        failures: Vec::new(),
        dataset: place.dataset(),
    };
    let cache = CacheFile::new(place.cache_dir, &videos_key(camera_key, jobs, size));
    // What was black only for want of an ffmpeg is decoded once there is one.
    let could_be_better =
        |failures: &[SegmentFailure]| failures.iter().any(|f| was_missing(&f.why)) && ffmpeg_is_there();
    if let Some((store, failures)) = cache.open(&header).filter(|(_, failures)| !could_be_better(failures)) {
        progress(total, total);
        return Ok((store, failures));
    }
    let building = cache.create(&header)?;
    let output = building.path();
    let (done_sender, done_receiver) = mpsc::channel();
    let failures = thread::scope(|scope| {
        let worker = scope.spawn(move || decode_jobs(jobs, size, output, &done_sender));
        let mut done = 0;
        progress(0, total);
        for frames in done_receiver {
            done += frames;
            progress(done, total);
        }
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
    .map_err(|source| building.cannot_write(source))?;
    let store = building.finish(Header { failures: failures.clone(), ..header })?;
    Ok((store, failures))
}

/// One name per file, however it was written; as it was written where there is no such file.
fn canonical(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}

fn videos_key(camera_key: &str, jobs: &[VideoJob], size: usize) -> String {
    let mut key = KeyHasher::new("videos", camera_key, size);
    for job in jobs {
        key.add(canonical(&job.path).as_os_str().as_encoded_bytes());
        let stamp = fs::metadata(&job.path).ok().map(|meta| {
            let since_epoch = meta.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
            (meta.len(), since_epoch.map_or(0, |t| t.as_nanos()))
        });
        key.add(format!("{stamp:?} {:?}", job.fps).as_bytes());
        for segment in &job.segments {
            key.add(format!("{} {:?} {}", segment.episode, segment.from_s, segment.len).as_bytes());
        }
    }
    key.finish()
}

/// Decodes all segments into the file at `output`, sending the number of finished frames now and then.
fn decode_jobs(
    jobs: &[VideoJob],
    size: usize,
    output: &Path,
    done: &mpsc::Sender<usize>,
) -> io::Result<Vec<SegmentFailure>> {
    let mut first_frame = 0;
    let firsts: Vec<Vec<usize>> = jobs
        .iter()
        .map(|job| {
            let next = |segment: &Segment| {
                first_frame += segment.len;
                first_frame - segment.len
            };
            job.segments.iter().map(next).collect()
        })
        .collect();
    let reasons: Vec<Vec<Option<SegmentFailure>>> = jobs
        .par_iter()
        .zip(&firsts)
        .map(|(job, firsts)| {
            let video = Video::open(&job.path);
            job.segments
                .par_iter()
                .zip(firsts)
                .map(|(segment, &first)| {
                    let writer = SegmentWriter { output, first, size, done };
                    let why = match &video {
                        Ok(video) => writer.write(video, segment, job.fps)?,
                        Err(why) => writer.skip(segment.len, why.clone()),
                    };
                    Ok(why.map(|why| SegmentFailure { episode: segment.episode, why }))
                })
                .collect()
        })
        .collect::<io::Result<_>>()?;
    Ok(reasons.into_iter().flatten().flatten().collect())
}

/// Progress is told once in so many frames: to wake its thread for each one takes as long as a tenth of the decoding.
const FRAMES_PER_WORD: usize = 64;

/// Writes the frames of one segment to their place in the cache file. Every segment has its own file handle, and
/// plain writes rather than a mapping: a full disk is then an error and not a killed process.
struct SegmentWriter<'a> {
    output: &'a Path,
    first: usize,
    size: usize,
    done: &'a mpsc::Sender<usize>,
}

impl SegmentWriter<'_> {
    /// Returns why the segment is left black, if it is.
    fn write(&self, video: &Video, segment: &Segment, fps: f64) -> io::Result<Option<String>> {
        let wanted = match match_times(video.times_s(), segment.from_s, fps, segment.len) {
            Ok(wanted) => wanted,
            Err(why) => return Ok(self.skip(segment.len, why)),
        };
        let mut file = cache::open_at(self.output, self.first * frame_bytes(self.size))?;
        let mut written = 0;
        let decoded = video.decode_resized(&wanted, self.size, &mut |frame| {
            file.write_all(frame)?;
            written += 1;
            if written % FRAMES_PER_WORD == 0 {
                self.count(FRAMES_PER_WORD);
            }
            Ok(())
        });
        self.count(written % FRAMES_PER_WORD);
        match decoded {
            Ok(()) => Ok(None),
            Err(DecodeError::Output(e)) => Err(e),
            Err(DecodeError::Video(why)) => {
                let mut file = cache::open_at(self.output, self.first * frame_bytes(self.size))?;
                for _ in 0..written {
                    file.write_all(&vec![0; frame_bytes(self.size)])?;
                }
                Ok(self.skip(segment.len - written, why))
            }
        }
    }

    fn skip(&self, frames: usize, why: String) -> Option<String> {
        self.count(frames);
        Some(why)
    }

    fn count(&self, frames: usize) {
        // Only progress depends on the receiver; it is gone when its thread is unwinding.
        let _ = self.done.send(frames);
    }
}

#[cfg(test)]
mod tests;
