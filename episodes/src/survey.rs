//! A dataset before its pictures, whatever its format: what [`crate::Dataset`] and [`crate::convert`] start from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::dataset::{OpenOptions, Progress, Timing};
use crate::episode::Episode;
use crate::error::Error;
use crate::frames::{FrameProgress, FrameStore, decode_picture};
use crate::guard::guarded;
use crate::holes::{Holes, Why};
use crate::outcome::Labels;
use crate::spec::DatasetSpec;
use crate::writer::imagined::IS_IMAGINED;
use crate::{hdf5, lerobot};

/// Episodes without usable pictures of one camera: position among the sound ones, and why.
pub(crate) type Unseen = BTreeMap<usize, Why>;

/// One picture at its recorded size.
pub(crate) enum Picture {
    /// PNG or JPEG as it was recorded.
    Encoded(Vec<u8>),
    /// RGB `[height, width, 3]`.
    Rgb {
        /// Row-major, u8.
        pixels: Vec<u8>,
        /// Pixels.
        height: usize,
        /// Pixels.
        width: usize,
    },
}

impl Picture {
    /// RGB `[height, width, 3]`, its height and width; or what is wrong with the picture.
    pub fn into_rgb(self) -> Result<(Vec<u8>, usize, usize), String> {
        match self {
            Picture::Rgb { pixels, height, width } => Ok((pixels, height, width)),
            Picture::Encoded(bytes) => {
                let rgb = decode_picture(&bytes)?;
                let (width, height) = (rgb.width() as usize, rgb.height() as usize);
                Ok((rgb.into_raw(), height, width))
            }
        }
    }

    /// Height and width, pixels, from the header alone; none where there is no telling.
    pub fn size(&self) -> Option<(usize, usize)> {
        match self {
            Picture::Rgb { height, width, .. } => Some((*height, *width)),
            Picture::Encoded(bytes) => {
                let reader = image::ImageReader::new(std::io::Cursor::new(bytes)).with_guessed_format().ok()?;
                guarded(|| reader.into_dimensions().ok())?.map(|(width, height)| (height as usize, width as usize))
            }
        }
    }
}

/// Metadata and rows of the sound episodes, and what was left out.
pub(crate) enum Survey {
    /// A LeRobot dataset.
    LeRobot(lerobot::survey::Survey),
    /// HDF5 files.
    Hdf5(hdf5::survey::Survey),
}

impl Survey {
    /// Reads everything but pictures; errors as [`crate::Dataset::open`].
    pub fn read(options: &OpenOptions, progress: &mut dyn FnMut(Progress)) -> Result<Survey, Error> {
        if hdf5::is_at(&options.path) {
            return hdf5::survey::Survey::read(options, progress).map(Survey::Hdf5);
        }
        if let Some(key) = &options.filter_key {
            return Err(Error::MissingFeature {
                wanted: key.clone(),
                available: "nothing of this kind, which only robomimic files have".to_owned(),
                setting: "data.filter_key".to_owned(),
                path: options.path.clone(),
            });
        }
        lerobot::survey::Survey::read(options, progress).map(Survey::LeRobot)
    }

    /// Names, shapes and rates.
    pub fn spec(&self) -> &DatasetSpec {
        match self {
            Survey::LeRobot(survey) => &survey.spec,
            Survey::Hdf5(survey) => &survey.spec,
        }
    }

    /// [`Survey::spec`], when nothing else is needed any more.
    pub fn into_spec(self) -> DatasetSpec {
        match self {
            Survey::LeRobot(survey) => survey.spec,
            Survey::Hdf5(survey) => survey.spec,
        }
    }

    /// What was left out.
    pub fn holes(&self) -> &Holes {
        match self {
            Survey::LeRobot(survey) => &survey.holes,
            Survey::Hdf5(survey) => &survey.holes,
        }
    }

    /// Takes out what was left out.
    pub fn take_holes(&mut self) -> Holes {
        match self {
            Survey::LeRobot(survey) => std::mem::take(&mut survey.holes),
            Survey::Hdf5(survey) => std::mem::take(&mut survey.holes),
        }
    }

    /// Columns that nothing is made of; HDF5 files may hold anything, and are asked for what is known only.
    pub fn unread(&self) -> &[String] {
        match self {
            Survey::LeRobot(survey) => &survey.unread,
            Survey::Hdf5(_) => &[],
        }
    }

    /// Whether its episodes were imagined by a world model rather than recorded.
    pub fn is_imagined(&self) -> bool {
        self.unread().iter().any(|key| key == IS_IMAGINED)
    }

    /// Number of sound episodes.
    pub fn len(&self) -> usize {
        match self {
            Survey::LeRobot(survey) => survey.sound.len(),
            Survey::Hdf5(survey) => survey.sound.len(),
        }
    }

    /// Whether there are labels, and none for this (sound) episode. The survey has named it among what was left out.
    pub fn is_unlabelled(&self, index: usize) -> bool {
        let labels = match self {
            Survey::LeRobot(survey) => &survey.labels,
            Survey::Hdf5(survey) => &survey.labels,
        };
        labels.as_ref().is_some_and(|labels| labels.get(index).is_none())
    }

    /// The clock of the sound episodes; absent where there is none.
    pub fn timing(&self) -> Option<Timing> {
        match self {
            Survey::LeRobot(survey) => survey.timing,
            // None of the formats has times.
            Survey::Hdf5(_) => None,
        }
    }

    /// The sound episode at a position.
    pub fn episode(&self, position: usize) -> &Episode {
        match self {
            Survey::LeRobot(survey) => &survey.sound[position].episode,
            Survey::Hdf5(survey) => &survey.sound[position].episode,
        }
    }

    /// Takes the vectors out; pictures are then no longer to be had.
    pub fn take_episodes(&mut self) -> Vec<Episode> {
        match self {
            Survey::LeRobot(survey) => std::mem::take(&mut survey.sound).into_iter().map(|s| s.episode).collect(),
            Survey::Hdf5(survey) => std::mem::take(&mut survey.sound).into_iter().map(|s| s.episode).collect(),
        }
    }

    /// Frames of all cameras at model resolution, and the episodes (by position) that lack some.
    pub fn ingest(
        &self,
        cache_dir: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Vec<FrameStore>, Unseen), Error> {
        let mut frames = Vec::with_capacity(self.spec().cameras.len());
        let mut unseen = Unseen::new();
        for (number, camera) in self.spec().cameras.iter().enumerate() {
            let what = format!("camera {}", camera.key);
            let mut report = |step| {
                progress(match step {
                    FrameProgress::At { done, total } => Progress { done, total, unit: "frames", what: what.clone() },
                    FrameProgress::Waiting { total } => {
                        let what = format!("{what}: waiting for another process that decodes it");
                        Progress { done: 0, total, unit: "frames", what }
                    }
                });
            };
            let (store, failed) = match self {
                Survey::LeRobot(survey) => survey.cameras(cache_dir).ingest(number, &mut report)?,
                Survey::Hdf5(survey) => survey.ingest(number, cache_dir, &mut report)?,
            };
            frames.push(store);
            for (position, why) in failed {
                unseen.entry(position).or_insert(why);
            }
        }
        Ok((frames, unseen))
    }

    /// Hands over what camera `camera` saw in the episode at a position, in order and at the recorded size.
    ///
    /// `Ok(Err)` says why a picture could not be read; `Err` is what `receive` failed with.
    pub fn pictures(
        &self,
        position: usize,
        camera: usize,
        receive: &mut dyn FnMut(Picture) -> Result<(), Error>,
    ) -> Result<Result<(), Why>, Error> {
        match self {
            // Nothing is cached, so there is no cache directory to name.
            Survey::LeRobot(survey) => survey.cameras(Path::new("")).pictures(position, camera, receive),
            Survey::Hdf5(survey) => survey.pictures(position, camera, receive),
        }
    }

    /// The video file of a camera in an episode, relative to `path` of the options, and the time of the first frame in
    /// it, seconds; none where the camera is recorded as pictures.
    pub fn video(&self, position: usize, camera: usize) -> Option<(PathBuf, f64)> {
        match self {
            Survey::LeRobot(survey) => {
                let cameras = survey.cameras(Path::new(""));
                cameras.video(position, camera).map(|place| (place.file.clone(), place.from_s))
            }
            Survey::Hdf5(_) => None,
        }
    }

    /// See [`crate::Dataset::content_id`].
    pub fn content_id(&self, episodes: &[Episode]) -> String {
        match self {
            Survey::LeRobot(survey) => survey.content_id(episodes),
            Survey::Hdf5(survey) => survey.content_id(episodes),
        }
    }
}

/// Names the sound episodes without a label.
pub(crate) fn name_unlabelled<'a>(labels: &Labels, sound: impl Iterator<Item = &'a Episode>, holes: &mut Holes) {
    for episode in sound.filter(|episode| labels.get(episode.index).is_none()) {
        holes.episode(episode.index, Why::new("no label (data.labels)"));
    }
}
