//! Frames of cameras that are recorded as single pictures (PNG or JPEG) inside the dataset.

use rayon::prelude::*;

use super::build::{Build, Outcome, PartWriter, Slot};
use super::cache::{KeyHasher, Scope};
use super::gather::{Part, gather};
use super::{EpisodePictures, FrameProgress, FrameStore, Place, SegmentFailure, frame_bytes};
use crate::error::Error;
use crate::guard::guarded;
use crate::video::resize_rgb;

/// Pictures that are decoded together: enough for every core, little enough to hold in memory.
const BATCH: usize = 128;
/// Fewer where they are large.
const BATCH_BYTES: usize = 64 << 20;

/// Hands over pictures: the episode's position, the encoded bytes or why there are none, and whether the picture lies
/// in a file of its own, for whose content the episode's key does not stand.
pub(crate) type Emit<'e> = dyn FnMut(usize, Result<&[u8], &str>, bool) -> Result<(), Error> + 'e;

/// Frames of one camera that is recorded as encoded pictures, `size` x `size` pixels, in the order of `episodes`.
///
/// Where cache files do not hold all of them, `load` is called once with the positions of the episodes that are wanted,
/// ascending, and calls the function it is given with every picture's PNG or JPEG bytes (or why they cannot be had), in order.
/// The last argument of that function says whether the picture lies in a file of its own, which may change though the
/// episode's key does not: what is wrong with it is then not remembered. Episodes of which a picture cannot be read,
/// and those that do not come out at their length, are black and listed. `progress` is called from the calling thread.
///
/// # Errors
/// What `load` returns; [`Error::Io`] when the cache cannot be written. Nothing half-written is then left under a
/// final name.
pub fn ingest_images(
    camera_key: &str,
    episodes: &[EpisodePictures],
    size: usize,
    place: Place<'_>,
    load: &mut dyn FnMut(&[usize], &mut Emit<'_>) -> Result<(), Error>,
    progress: &mut dyn FnMut(FrameProgress),
) -> Result<(FrameStore, Vec<SegmentFailure>), Error> {
    let parts: Vec<Part> = episodes.iter().map(|episode| part("images", episode)).collect();
    let scope = Scope::new(place, camera_key, size);
    let mut read = |build: &mut Build<'_>, progress: &mut dyn FnMut(FrameProgress)| {
        let slots = build.slots().to_vec();
        let positions: Vec<usize> = slots.iter().map(|slot| slot.position).collect();
        let mut pictures =
            Pictures { build, slots, next: 0, size, batch: Vec::new(), batch_bytes: 0, at: None, progress };
        load(&positions, &mut |position, picture, may_change| pictures.take(position, picture, may_change))?;
        pictures.end()
    };
    let (store, unreadable) = gather(&scope, &parts, &|_| false, progress, &mut read)?;
    let failure = |(position, why): (usize, String)| SegmentFailure { episode: episodes[position].episode, why };
    Ok((store, unreadable.into_iter().map(failure).collect()))
}

/// An episode whose content its own key stands for.
pub(super) fn part(kind: &str, episode: &EpisodePictures) -> Part {
    let mut key = KeyHasher::new(kind);
    key.add(episode.key.as_bytes());
    key.add(&(episode.len as u64).to_le_bytes());
    Part { key: key.finish(), frames: episode.len }
}

/// A PNG or JPEG picture; the error says what is wrong with it.
pub(crate) fn decode_picture(encoded: &[u8]) -> Result<image::RgbImage, String> {
    let decoded = guarded(|| image::load_from_memory(encoded).map(|picture| picture.into_rgb8()));
    decoded.ok_or_else(|| "its content is corrupt".to_owned())?.map_err(|err| err.to_string())
}

/// One picture on its way.
struct Encoded {
    position: usize,
    bytes: Result<Vec<u8>, String>,
    may_change: bool,
}

/// Decodes pictures batch by batch and writes them episode by episode.
struct Pictures<'b, 's> {
    build: &'b mut Build<'s>,
    /// Ascending by position.
    slots: Vec<Slot>,
    /// Those before are settled or being written.
    next: usize,
    size: usize,
    batch: Vec<Encoded>,
    batch_bytes: usize,
    at: Option<Current>,
    progress: &'b mut dyn FnMut(FrameProgress),
}

/// The episode that is written.
struct Current {
    slot: Slot,
    writer: PartWriter,
    /// What is wrong with it.
    trouble: Option<Outcome>,
    counted: usize,
}

impl Pictures<'_, '_> {
    fn take(&mut self, position: usize, picture: Result<&[u8], &str>, may_change: bool) -> Result<(), Error> {
        self.batch_bytes += picture.map_or(0, <[u8]>::len);
        let bytes = picture.map(<[u8]>::to_vec).map_err(str::to_owned);
        self.batch.push(Encoded { position, bytes, may_change });
        match self.batch.len() >= BATCH || self.batch_bytes >= BATCH_BYTES {
            true => self.write(),
            false => Ok(()),
        }
    }

    /// Decodes and writes the batch.
    fn write(&mut self) -> Result<(), Error> {
        let (batch, size) = (std::mem::take(&mut self.batch), self.size);
        self.batch_bytes = 0;
        let decoded: Vec<(usize, Result<Vec<u8>, Outcome>)> = batch
            .into_par_iter()
            .map(|Encoded { position, bytes, may_change }| {
                let frame = bytes.and_then(|bytes| {
                    let rgb = decode_picture(&bytes)?;
                    let mut resized = vec![0; frame_bytes(size)];
                    resize_rgb(&rgb, rgb.width() as usize, rgb.height() as usize, size, &mut resized);
                    Ok(resized)
                });
                let outcome = |why| if may_change { Outcome::NotNow(why) } else { Outcome::Unreadable(why) };
                (position, frame.map_err(outcome))
            })
            .collect();
        for (position, frame) in decoded {
            while self.at.as_ref().is_none_or(|at| at.slot.position < position) && self.next()? {}
            let Some(at) = self.at.as_mut().filter(|at| at.slot.position == position) else { continue };
            match frame {
                Ok(frame) => at.writer.write(&frame).map_err(|source| self.build.cannot_write(source))?,
                Err(trouble) if at.trouble.is_none() => at.trouble = Some(trouble),
                Err(_) => {}
            }
            if at.counted < at.slot.frames {
                at.counted += 1;
                self.build.advance(1, self.progress);
            }
        }
        Ok(())
    }

    /// Settles the current episode and goes on to the next, if there is one.
    fn next(&mut self) -> Result<bool, Error> {
        if let Some(Current { slot, writer, trouble, counted }) = self.at.take() {
            self.build.settle(slot, trouble.unwrap_or_else(|| writer.close()));
            self.build.advance(slot.frames - counted, self.progress);
        }
        let Some(&slot) = self.slots.get(self.next) else { return Ok(false) };
        self.next += 1;
        self.at = Some(Current { slot, writer: self.build.writer(slot)?, trouble: None, counted: 0 });
        Ok(true)
    }

    /// Writes what is left; episodes that nothing came of are settled too.
    fn end(mut self) -> Result<(), Error> {
        self.write()?;
        while self.next()? {}
        Ok(())
    }
}
