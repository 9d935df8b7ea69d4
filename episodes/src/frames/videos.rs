//! Frames of cameras that are recorded as video.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::thread;

use rayon::prelude::*;

use super::build::{Build, Outcome, PartWriter, Slot};
use super::cache::{KeyHasher, Scope};
use super::gather::{Part, gather};
use super::{FrameProgress, FrameStore, Place, SegmentFailure, canonical, stamp};
use crate::error::Error;
use crate::video::{DecodeError, Video, ffmpeg_is_there, match_times, was_missing};

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

/// Frames of one camera that is recorded as video, `size` x `size` pixels, in the order of `jobs` and their segments.
///
/// Decodes the segments that no cache file of this dataset and camera holds for the same file (path, length and
/// modification time), rate, start and number of frames. `progress` is called from the calling thread. Segments that
/// cannot be read completely (file missing or cut off, undecodable, shorter than the episode) are black and listed.
///
/// # Errors
/// [`Error::Io`] when the cache cannot be written; nothing half-written is then left under a final name.
pub fn ingest_videos(
    camera_key: &str,
    jobs: &[VideoJob],
    size: usize,
    place: Place<'_>,
    progress: &mut dyn FnMut(FrameProgress),
) -> Result<(FrameStore, Vec<SegmentFailure>), Error> {
    let parts: Vec<Part> = jobs.iter().flat_map(parts_of).collect();
    let segments: Vec<&Segment> = jobs.iter().flat_map(|job| &job.segments).collect();
    let scope = Scope::new(place, camera_key, size);
    // What was black only for want of an ffmpeg is decoded once there is one.
    let is_worth_another_try = |why: &str| was_missing(why) && ffmpeg_is_there();
    let mut read = |build: &mut Build<'_>, progress: &mut dyn FnMut(FrameProgress)| {
        let work = Work { jobs: wanted(jobs, build.slots()), path: build.path().to_path_buf(), size };
        let (sender, receiver) = mpsc::channel();
        let decoded = thread::scope(|scope| {
            // The sender moves in, so that the receiver ends with the work.
            let worker = scope.spawn(move || work.decode(&sender));
            for event in receiver {
                match event {
                    Event::Frames(frames) => build.advance(frames, progress),
                    Event::Settled(slot, outcome) => build.settle(slot, outcome),
                }
            }
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        decoded.map_err(|source| build.cannot_write(source))
    };
    let (store, unreadable) = gather(&scope, &parts, &is_worth_another_try, progress, &mut read)?;
    let failure = |(position, why): (usize, String)| SegmentFailure { episode: segments[position].episode, why };
    Ok((store, unreadable.into_iter().map(failure).collect()))
}

fn parts_of(job: &VideoJob) -> impl Iterator<Item = Part> {
    let file = (canonical(&job.path), stamp(&job.path));
    job.segments.iter().map(move |segment| {
        let mut key = KeyHasher::new("video");
        key.add(file.0.as_os_str().as_encoded_bytes());
        key.add(file.1.as_bytes());
        key.add(format!("{:?} {:?} {}", job.fps, segment.from_s, segment.len).as_bytes());
        Part { key: key.finish(), frames: segment.len }
    })
}

/// What is to be decoded, by file.
fn wanted<'j>(jobs: &'j [VideoJob], slots: &[Slot]) -> Vec<(&'j VideoJob, Vec<(&'j Segment, Slot)>)> {
    let mut slots = slots.iter().copied().peekable();
    let mut first = 0;
    let mut wanted = Vec::new();
    for job in jobs {
        let end = first + job.segments.len();
        let inside = std::iter::from_fn(|| slots.next_if(|slot| slot.position < end));
        let inside: Vec<_> = inside.map(|slot| (&job.segments[slot.position - first], slot)).collect();
        if !inside.is_empty() {
            wanted.push((job, inside));
        }
        first = end;
    }
    wanted
}

/// What a decoding thread has to say.
enum Event {
    /// So many more frames are done with.
    Frames(usize),
    Settled(Slot, Outcome),
}

/// Progress is told once in so many frames: to wake its thread for each one takes as long as a tenth of the decoding.
const FRAMES_PER_WORD: usize = 64;

struct Work<'j> {
    jobs: Vec<(&'j VideoJob, Vec<(&'j Segment, Slot)>)>,
    /// The file under construction.
    path: PathBuf,
    size: usize,
}

impl Work<'_> {
    /// Decodes everything, in parallel over files and episodes. An error is the cache's.
    fn decode(&self, events: &Sender<Event>) -> io::Result<()> {
        self.jobs.par_iter().try_for_each(|(job, segments)| {
            let video = Video::open(&job.path);
            segments.par_iter().try_for_each(|&(segment, slot)| {
                let mut counted = 0;
                let outcome = match &video {
                    Ok(video) => self.decode_segment(video, job.fps, segment, slot, &mut counted, events)?,
                    Err(why) => Outcome::Unreadable(why.clone()),
                };
                // The receiver is gone only when its thread is unwinding.
                let _ = events.send(Event::Settled(slot, outcome));
                let _ = events.send(Event::Frames(slot.frames - counted));
                Ok(())
            })
        })
    }

    fn decode_segment(
        &self,
        video: &Video,
        fps: f64,
        segment: &Segment,
        slot: Slot,
        counted: &mut usize,
        events: &Sender<Event>,
    ) -> io::Result<Outcome> {
        let wanted = match match_times(video.times_s(), segment.from_s, fps, segment.len) {
            Ok(wanted) => wanted,
            Err(why) => return Ok(Outcome::Unreadable(why)),
        };
        let mut writer = PartWriter::open(&self.path, slot, self.size)?;
        let mut written = 0;
        let decoded = video.decode_resized(&wanted, self.size, &mut |frame| {
            writer.write(frame)?;
            written += 1;
            if written % FRAMES_PER_WORD == 0 {
                *counted += FRAMES_PER_WORD;
                let _ = events.send(Event::Frames(FRAMES_PER_WORD));
            }
            Ok(())
        });
        match decoded {
            Ok(()) => Ok(writer.close()),
            Err(DecodeError::Output(error)) => Err(error),
            Err(DecodeError::Video(why)) => Ok(Outcome::Unreadable(why)),
        }
    }
}
