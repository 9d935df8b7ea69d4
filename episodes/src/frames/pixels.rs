//! Frames of cameras whose pictures somebody else reads: already at model resolution, episode after episode.

use super::build::{Build, Outcome};
use super::cache::Scope;
use super::gather::{Part, gather};
use super::images::part;
use super::{EpisodePictures, FrameProgress, FrameStore, Place, SegmentFailure, frame_bytes};
use crate::error::Error;

/// Frames of one camera, `size` x `size` pixels, in the order of `episodes`.
///
/// For every episode that no cache file holds, `load` is called with its position, and calls the function it is given with
/// frames `[size, size, 3]` in order; it returns why the episode could not be read completely, if so. Such episodes,
/// and those that do not come out at their length, are black and listed. `progress` is called from the calling thread.
///
/// # Errors
/// What `load` returns; [`Error::Io`] when the cache cannot be written; nothing half-written is then left under a
/// final name.
pub fn ingest_pixels(
    camera_key: &str,
    episodes: &[EpisodePictures],
    size: usize,
    place: Place<'_>,
    load: &mut dyn FnMut(usize, &mut dyn FnMut(Vec<Vec<u8>>) -> Result<(), Error>) -> Result<Option<String>, Error>,
    progress: &mut dyn FnMut(FrameProgress),
) -> Result<(FrameStore, Vec<SegmentFailure>), Error> {
    let parts: Vec<Part> = episodes.iter().map(|episode| part("pixels", episode)).collect();
    let scope = Scope::new(place, camera_key, size);
    let mut read = |build: &mut Build<'_>, progress: &mut dyn FnMut(FrameProgress)| {
        for slot in build.slots().to_vec() {
            let mut writer = build.writer(slot)?;
            let mut odd = None;
            let why = load(slot.position, &mut |frames| {
                let before = writer.written();
                for frame in frames {
                    if frame.len() != frame_bytes(size) {
                        odd.get_or_insert(format!("a picture of {} bytes", frame.len()));
                    }
                    writer.write(&frame).map_err(|source| build.cannot_write(source))?;
                }
                let fits = |written: usize| written.min(slot.frames);
                build.advance(fits(writer.written()) - fits(before), progress);
                Ok(())
            })?;
            let rest = slot.frames.saturating_sub(writer.written());
            build.settle(slot, why.or(odd).map_or_else(|| writer.close(), Outcome::Unreadable));
            build.advance(rest, progress);
        }
        Ok(())
    };
    let (store, unreadable) = gather(&scope, &parts, &|_| false, progress, &mut read)?;
    let failure = |(position, why): (usize, String)| SegmentFailure { episode: episodes[position].episode, why };
    Ok((store, unreadable.into_iter().map(failure).collect()))
}
