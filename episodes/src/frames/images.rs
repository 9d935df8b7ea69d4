//! Frames of cameras that are recorded as single pictures (PNG or JPEG) inside the dataset.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use rayon::prelude::*;

use super::cache::{Building, CacheFile, Header, KeyHasher, open_at};
use super::{FrameStore, Place, frame_bytes};
use crate::error::Error;
use crate::guard::guarded;
use crate::video::resize_rgb;

/// Pictures that are decoded together: enough for every core, little enough to hold in memory.
const BATCH: usize = 128;

/// Frames of one camera that is recorded as `count` encoded pictures, `size` x `size` pixels.
///
/// `key` stands for the content (a hash of where the pictures come from). Only when the cache does not have it,
/// `load` is called, once; it calls the function it is given with every picture's PNG or JPEG bytes, in order.
/// `progress` is called with frames done and frames in all, from the calling thread.
///
/// # Errors
/// What `load` returns; [`Error::BadFile`] for a picture that does not decode or when there are not `count` of them;
/// [`Error::Io`] when the cache cannot be written. Nothing half-written is then left under a final name.
#[expect(clippy::type_complexity, reason = "a loader that is handed the function to call for each picture")]
pub fn ingest_images(
    camera_key: &str,
    key: &str,
    count: usize,
    size: usize,
    place: Place<'_>,
    load: &mut dyn FnMut(&mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<FrameStore, Error> {
    let header = Header {
        camera: camera_key.to_owned(),
        frames: count,
        size,
        sources: vec![key.to_owned()],
        failures: Vec::new(),
        dataset: place.dataset(),
    };
    let mut hasher = KeyHasher::new("images", camera_key, size);
    hasher.add(format!("{count} {key}").as_bytes());
    let cache = CacheFile::new(place.cache_dir, &hasher.finish());
    if let Some((store, _)) = cache.open(&header) {
        progress(count, count);
        return Ok(store);
    }
    let building = cache.create(&header)?;
    let file = open_at(building.path(), 0).map_err(|source| building.cannot_write(source))?;
    let mut batch = Batch { camera_key, size, file, building: &building, encoded: Vec::new(), done: 0 };
    progress(0, count);
    load(&mut |picture| {
        batch.encoded.push(picture.to_vec());
        if batch.done + batch.encoded.len() > count {
            return Err(batch.bad(format!("more than {count} pictures"), format!("{count}")));
        }
        if batch.encoded.len() == BATCH {
            batch.write()?;
            progress(batch.done, count);
        }
        Ok(())
    })?;
    batch.write()?;
    if batch.done < count {
        return Err(batch.bad(format!("{} pictures", batch.done), format!("{count}")));
    }
    progress(count, count);
    drop(batch);
    building.finish(header)
}

/// A PNG or JPEG picture; the error says what is wrong with it.
pub(crate) fn decode_picture(encoded: &[u8]) -> Result<image::RgbImage, String> {
    let decoded = guarded(|| image::load_from_memory(encoded).map(|picture| picture.into_rgb8()));
    decoded.ok_or_else(|| "its content is corrupt".to_owned())?.map_err(|err| err.to_string())
}

struct Batch<'a> {
    camera_key: &'a str,
    size: usize,
    file: File,
    building: &'a Building<'a>,
    encoded: Vec<Vec<u8>>,
    /// Frames written.
    done: usize,
}

impl Batch<'_> {
    fn write(&mut self) -> Result<(), Error> {
        let (size, first) = (self.size, self.done);
        let decoded: Result<Vec<Vec<u8>>, (usize, String)> = self
            .encoded
            .par_iter()
            .enumerate()
            .map(|(i, bytes)| {
                let rgb = decode_picture(bytes).map_err(|why| (first + i, why))?;
                let mut resized = vec![0; frame_bytes(size)];
                resize_rgb(&rgb, rgb.width() as usize, rgb.height() as usize, size, &mut resized);
                Ok(resized)
            })
            .collect();
        let frames = decoded
            .map_err(|(i, e)| self.bad(format!("picture {i} does not decode ({e})"), "PNG or JPEG".to_owned()))?;
        for frame in frames {
            self.file.write_all(&frame).map_err(|source| self.building.cannot_write(source))?;
        }
        self.done += self.encoded.len();
        self.encoded.clear();
        Ok(())
    }

    fn bad(&self, found: String, expected: String) -> Error {
        Error::BadFile { found, expected, path: PathBuf::from(self.camera_key) }
    }
}
