//! The pictures of a survey: into the frame cache at model resolution, or handed over at the recorded size.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::contents::join;
use super::pictures;
use super::rows::Sound;
use super::survey::Survey;
use crate::error::Error;
use crate::frames::{self, EpisodePictures, FrameProgress, FrameStore, SegmentFailure, ingest_pixels, stamp};
use crate::holes::Why;
use crate::survey::{Picture, Unseen};
use crate::video::resize_rgb;

impl Survey {
    /// Frames of one camera (position in the spec), episode after episode; what cannot be read is black and named.
    pub fn ingest(
        &self,
        camera: usize,
        cache_dir: &Path,
        progress: &mut dyn FnMut(FrameProgress),
    ) -> Result<(FrameStore, Unseen), Error> {
        let key = &self.spec.cameras[camera].key;
        let size = self.spec.cameras[camera].model_size;
        let mut load = |position: usize, emit: &mut dyn FnMut(Vec<Vec<u8>>) -> Result<(), Error>| {
            let mut trouble = None;
            let outcome = self.batches(position, camera, &mut |pictures| {
                let resized = pictures.into_par_iter().map(|picture| {
                    let (pixels, height, width) = picture.into_rgb()?;
                    let mut out = vec![0; size * size * 3];
                    resize_rgb(&pixels, width, height, size, &mut out);
                    Ok(out)
                });
                match resized.collect::<Result<Vec<_>, String>>() {
                    Ok(frames) if trouble.is_none() => emit(frames),
                    Ok(_) => Ok(()),
                    Err(why) => {
                        trouble.get_or_insert(why);
                        Ok(())
                    }
                }
            })?;
            Ok(outcome.err().or(trouble))
        };
        let cache = frames::Place { cache_dir, dataset: &self.path };
        let (store, failures) = ingest_pixels(key, &self.episodes(camera), size, cache, &mut load, progress)?;
        let unseen = failures.into_iter().filter_map(|SegmentFailure { episode, why }| {
            let position = self.sound.binary_search_by_key(&episode, |sound| sound.episode.index).ok()?;
            let text = format!("a picture of camera {key} cannot be read ({why})");
            Some((position, self.files.why(text, self.sound[position].place.file)))
        });
        Ok((store, unseen.collect()))
    }

    /// What one camera saw in one episode; see [`crate::survey::Survey::pictures`].
    pub fn pictures(
        &self,
        position: usize,
        camera: usize,
        receive: &mut dyn FnMut(Picture) -> Result<(), Error>,
    ) -> Result<Result<(), Why>, Error> {
        let outcome =
            self.batches(position, camera, &mut |pictures| pictures.into_iter().try_for_each(&mut *receive))?;
        let key = &self.spec.cameras[camera].key;
        Ok(outcome.map_err(|why| {
            let text = format!("a picture of camera {key} cannot be read ({why})");
            self.files.why(text, self.sound[position].place.file)
        }))
    }

    fn batches(
        &self,
        position: usize,
        camera: usize,
        receive: &mut dyn FnMut(Vec<Picture>) -> Result<(), Error>,
    ) -> Result<Result<(), String>, Error> {
        let place = &self.sound[position].place;
        let (path, storage) = &self.cameras[camera];
        let path = join(&join(&place.group, self.layout.observations()), path);
        let rows = place.rows.clone().unwrap_or(0..self.sound[position].episode.len);
        match self.files.get(place.file) {
            Ok(h5) => pictures::read(&h5, &path, *storage, rows, receive),
            Err(why) => Ok(Err(why)),
        }
    }

    /// The episodes, each with a hash of where its pictures come from.
    fn episodes(&self, camera: usize) -> Vec<EpisodePictures> {
        let file = |path: &PathBuf| {
            let canonical = path.canonicalize().unwrap_or_else(|_| path.clone());
            format!("{} {}", canonical.display(), stamp(path))
        };
        let files: Vec<String> = self.files.paths.iter().map(file).collect();
        let camera = format!("{:?} {}", self.cameras[camera], self.layout.observations());
        let episode = |sound: &Sound| {
            let mut hasher = blake3::Hasher::new();
            for text in [&files[sound.place.file], &camera, &format!("{:?} {:?}", sound.place.group, sound.place.rows)]
            {
                hasher.update(text.as_bytes());
                hasher.update(b"\n");
            }
            let key = hasher.finalize().to_hex().to_string();
            EpisodePictures { episode: sound.episode.index, len: sound.episode.len, key }
        };
        self.sound.iter().map(episode).collect()
    }
}
