//! Frames of cameras whose pictures somebody else reads: already at model resolution, episode after episode.

use std::io::Write;

use super::cache::{CacheFile, Header, KeyHasher, open_at};
use super::{FrameStore, Place, SegmentFailure, frame_bytes};
use crate::error::Error;

/// Frames of one camera, `size` x `size` pixels, in the order of `episodes`: (`episode_index`, steps) each.
///
/// `key` stands for the content (a hash of where the pictures come from). Only when the cache does not have it, `load`
/// is called with the position of every episode, and calls the function it is given with frames
/// `[size, size, 3]` in order; it returns why the episode could not be read completely, if so. Such episodes, and those
/// that do not come out at their length, are black from there on and listed. `progress` is called with frames done and
/// frames in all.
///
/// # Errors
/// What `load` returns; [`Error::Io`] when the cache cannot be written; nothing half-written is then left under a
/// final name.
pub fn ingest_pixels(
    camera_key: &str,
    key: &str,
    episodes: &[(usize, usize)],
    size: usize,
    place: Place<'_>,
    load: &mut dyn FnMut(usize, &mut dyn FnMut(Vec<Vec<u8>>) -> Result<(), Error>) -> Result<Option<String>, Error>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(FrameStore, Vec<SegmentFailure>), Error> {
    let total = episodes.iter().map(|(_, len)| len).sum();
    let header = Header {
        camera: camera_key.to_owned(),
        frames: total,
        size,
        sources: vec![key.to_owned()],
        failures: Vec::new(),
        dataset: place.dataset(),
    };
    let mut hasher = KeyHasher::new("pixels", camera_key, size);
    hasher.add(format!("{total} {key}").as_bytes());
    let cache = CacheFile::new(place.cache_dir, &hasher.finish());
    if let Some(found) = cache.open(&header) {
        progress(total, total);
        return Ok(found);
    }
    let building = cache.create(&header)?;
    let mut failures = Vec::new();
    let mut first = 0;
    progress(0, total);
    for (position, &(episode, len)) in episodes.iter().enumerate() {
        let start = first * frame_bytes(size);
        let mut file = open_at(building.path(), start).map_err(|source| building.cannot_write(source))?;
        let mut written = 0;
        let why = load(position, &mut |frames| {
            for frame in frames {
                written += 1;
                if written <= len && frame.len() == frame_bytes(size) {
                    file.write_all(&frame).map_err(|source| building.cannot_write(source))?;
                }
            }
            progress(first + written.min(len), total);
            Ok(())
        })?;
        let count = (written != len).then(|| format!("{written} pictures of {len} steps"));
        failures.extend(why.or(count).map(|why| SegmentFailure { episode, why }));
        first += len;
        progress(first, total);
    }
    let store = building.finish(Header { failures: failures.clone(), ..header })?;
    Ok((store, failures))
}
