//! The pictures of the sound episodes: every camera ends up in one frame store, in the order of the episodes.

use std::path::Path;

use super::check::Sound;
use super::images::Pictures;
use super::listing::VideoPlace;
use crate::error::Error;
use crate::frames::{FrameProgress, FrameStore, Place, Segment, VideoJob, ingest_videos};
use crate::holes::Why;
use crate::spec::DatasetSpec;
use crate::survey::{Picture, Unseen};
use crate::video::{DecodeError, Video, match_times};

/// What all cameras have in common.
pub(crate) struct Cameras<'a> {
    /// The dataset.
    pub root: &'a Path,
    /// Its shapes and names.
    pub spec: &'a DatasetSpec,
    /// The camera keys that are videos, in the order of [`Sound::videos`].
    pub video_keys: &'a [String],
    /// The episodes whose pictures are wanted.
    pub sound: &'a [Sound],
    /// What [`super::rows::Source::file`] counts.
    pub data_files: &'a [std::path::PathBuf],
    /// Where frame stores are kept.
    pub cache_dir: &'a Path,
}

impl Cameras<'_> {
    /// Frames of one camera (position in the spec), episode after episode; what cannot be read is black and named.
    pub fn ingest(
        &self,
        camera: usize,
        progress: &mut dyn FnMut(FrameProgress),
    ) -> Result<(FrameStore, Unseen), Error> {
        let camera = &self.spec.cameras[camera];
        match self.video_keys.iter().position(|key| *key == camera.key) {
            Some(video) => self.ingest_videos(video, camera.model_size, progress),
            None => {
                let pictures = Pictures::new(self.root, &camera.key, self.sound, self.data_files);
                pictures.ingest(camera.model_size, self.place(), progress)
            }
        }
    }

    fn place(&self) -> Place<'_> {
        Place { cache_dir: self.cache_dir, dataset: self.root }
    }

    /// Where the video of a camera in an episode is; none where the camera is recorded as pictures.
    pub fn video(&self, position: usize, camera: usize) -> Option<&VideoPlace> {
        let key = &self.spec.cameras[camera].key;
        let video = self.video_keys.iter().position(|video| video == key)?;
        Some(&self.sound[position].videos[video])
    }

    /// What one camera saw in one episode, at the recorded size; see [`crate::survey::Survey::pictures`].
    pub fn pictures(
        &self,
        position: usize,
        camera: usize,
        receive: &mut dyn FnMut(Picture) -> Result<(), Error>,
    ) -> Result<Result<(), Why>, Error> {
        let key = &self.spec.cameras[camera].key;
        let Some(video) = self.video_keys.iter().position(|video| video == key) else {
            let only = std::slice::from_ref(&self.sound[position]);
            return Pictures::new(self.root, key, only, self.data_files).each(receive);
        };
        let sound = &self.sound[position];
        let place = &sound.videos[video];
        let unusable = |why: String| Why::in_file(format!("video of camera {key} is unusable ({why})"), &place.file);
        let opened = Video::open(&self.root.join(&place.file)).and_then(|video| {
            let wanted = match_times(video.times_s(), place.from_s, self.spec.control_rate_hz, sound.episode.len)?;
            Ok((video, wanted))
        });
        let (video, wanted) = match opened {
            Ok(opened) => opened,
            Err(why) => return Ok(Err(unusable(why))),
        };
        let mut refused = None;
        let decoded = video.decode(&wanted, &mut |rgb, width, height| {
            receive(Picture::Rgb { pixels: rgb.to_vec(), height, width }).map_err(|error| {
                refused = Some(error);
                std::io::Error::other("the receiver of the pictures failed")
            })
        });
        match (decoded, refused) {
            (_, Some(error)) => Err(error),
            (Ok(()), None) => Ok(Ok(())),
            (Err(DecodeError::Video(why)), None) => Ok(Err(unusable(why))),
            (Err(DecodeError::Output(error)), None) => Ok(Err(unusable(error.to_string()))),
        }
    }

    fn ingest_videos(
        &self,
        video: usize,
        size: usize,
        progress: &mut dyn FnMut(FrameProgress),
    ) -> Result<(FrameStore, Unseen), Error> {
        let key = &self.video_keys[video];
        let jobs = self.jobs(video);
        let (store, failures) = ingest_videos(key, &jobs, size, self.place(), progress)?;
        let place = |index: usize| self.sound.binary_search_by_key(&index, |sound| sound.episode.index).ok();
        let unseen = failures.into_iter().filter_map(|failure| {
            let position = place(failure.episode)?;
            let file = &self.sound[position].videos[video].file;
            Some((position, Why::in_file(format!("video of camera {key} is unusable ({})", failure.why), file)))
        });
        let unseen = unseen.collect();
        Ok((store, unseen))
    }

    /// Videos to decode such that the frames come out in episode order.
    ///
    /// Neighbours in one file share a job; a file that is returned to later is simply opened again.
    fn jobs(&self, video: usize) -> Vec<VideoJob> {
        let mut jobs: Vec<VideoJob> = Vec::new();
        for sound in self.sound {
            let place = &sound.videos[video];
            let path = self.root.join(&place.file);
            let segment = Segment { episode: sound.episode.index, from_s: place.from_s, len: sound.episode.len };
            match jobs.last_mut() {
                Some(job) if job.path == path => job.segments.push(segment),
                _ => jobs.push(VideoJob { path, fps: self.spec.control_rate_hz, segments: vec![segment] }),
            }
        }
        jobs
    }
}
