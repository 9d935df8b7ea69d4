//! The door: open a recorded dataset, get episodes, pictures and an account of what was left out.

use std::path::{Path, PathBuf};

use crate::companion::Companion;
use crate::episode::Episode;
use crate::error::Error;
use crate::frames::FrameStore;
use crate::spec::{DatasetSpec, Skipped};
use crate::survey::Survey;
use crate::{hdf5, lerobot};

/// Stands for every observation in [`OpenOptions::state_keys`].
pub const ALL: &str = "all";

/// What to read, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenOptions {
    /// The dataset: a folder with `meta/info.json`, an HDF5 file, or a folder of those.
    pub path: PathBuf,
    /// Height and width of the square frames the model sees, pixels.
    pub image_size: usize,
    /// Where decoded frames are kept between runs.
    pub cache_dir: PathBuf,
    /// How many steps a second has.
    pub control_rate: ControlRate,
    /// Columns that make up the state, in order; empty for `observation.state`, in an HDF5 file without it for every
    /// vector observation; [`ALL`] alone for every vector observation anyway.
    pub state_keys: Vec<String>,
    /// Vector columns to learn from that the robot will not have when it acts, in order; empty for none.
    pub hint_keys: Vec<String>,
    /// The action column; in an HDF5 file it is always called `action`.
    pub action_key: String,
    /// Cameras in model order; `None` for every colour camera, an empty list for none.
    pub cameras: Option<Vec<String>>,
    /// Per-episode labels that take the place of recorded success: see [`Labels`](crate::outcome::Labels). Unlabelled
    /// episodes are left out.
    pub labels: Option<PathBuf>,
    /// Refuse a dataset of which anything would have to be left out.
    pub strict: bool,
    /// Read only the episodes that robomimic lists in `mask/` under this name.
    pub filter_key: Option<String>,
    /// Read only the first so many sound episodes.
    pub max_episodes: Option<usize>,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions {
            path: PathBuf::new(),
            control_rate: ControlRate::Recorded,
            image_size: 96,
            cache_dir: std::env::temp_dir().join("rehearsal-frames"),
            state_keys: Vec::new(),
            hint_keys: Vec::new(),
            action_key: "action".to_owned(),
            cameras: None,
            labels: None,
            strict: false,
            filter_key: None,
            max_episodes: None,
        }
    }
}

/// Where the control rate comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ControlRate {
    /// The dataset says it; one that does not is refused.
    #[default]
    Recorded,
    /// So many Hz, for a dataset that does not say it.
    Given(f64),
    /// The dataset says it, or nobody knows: [`DatasetSpec::control_rate_hz`] is then 0. To look at, not to learn from.
    IfRecorded,
}

/// How far a long step has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Units done.
    pub done: usize,
    /// Units in all.
    pub total: usize,
    /// What is counted, e.g. `files` or `frames`.
    pub unit: &'static str,
    /// What is being read, e.g. `data` or `camera observation.images.top`.
    pub what: String,
}

/// How evenly the recorded steps follow each other, by the dataset's own clock.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Timing {
    /// Mean time from step to step, seconds.
    pub mean_step_s: f64,
    /// Standard deviation of that time, seconds.
    pub jitter_s: f64,
    /// Longest time from step to step, seconds.
    pub longest_step_s: f64,
}

/// A dataset in memory, its pictures mapped from the frame cache.
#[derive(Debug)]
pub struct Dataset {
    /// Names, shapes and rates.
    pub spec: DatasetSpec,
    /// The sound episodes, ascending by `index`.
    pub episodes: Vec<Episode>,
    /// What was left out, and why.
    pub skipped: Vec<Skipped>,
    /// One store per camera, in the order of the spec, of the episodes that are no companion's. Stores may also hold (black) frames of skipped episodes.
    pub frames: Vec<FrameStore>,
    /// The dataset's clock; absent where it has none.
    pub timing: Option<Timing>,
    /// Its episodes were imagined by a world model, not recorded.
    pub is_imagined: bool,
    /// Hash (hex) of what was read: metadata, settings and which episodes were kept. Independent of where it lies.
    pub content_id: String,
    /// How often this dataset itself is drawn from, relative to its companions; 1 unless set.
    pub weight: f64,
    /// Datasets that joined this one, in the order of their episodes.
    pub companions: Vec<Companion>,
    /// A picture of a camera that a companion does not have; empty without companions.
    pub(crate) black: Vec<u8>,
}

impl Dataset {
    /// Reads a dataset, leaving out what is broken.
    ///
    /// The first time, every selected camera is decoded into `options.cache_dir`; after that opening takes moments.
    ///
    /// # Errors
    /// [`Error::NotADataset`] if there is none or its version is unknown, [`Error::MissingFeature`] if a selected
    /// column or camera does not exist, [`Error::NothingLeft`] if no episode is sound or if `strict` is set and
    /// anything would be left out, [`Error::NoRate`] if neither dataset nor options know the control rate,
    /// [`Error::BadFile`] and [`Error::Io`] if `info.json`, the labels or the cache are unusable.
    pub fn open(options: &OpenOptions, progress: &mut dyn FnMut(Progress)) -> Result<Dataset, Error> {
        let root = options.path.as_path();
        let mut survey = Survey::read(options, progress)?;
        survey.holes().refuse_if(options.strict, root)?;
        if survey.len() == 0 {
            return Err(survey.take_holes().nothing_left(root));
        }
        let (frames, mut unseen) = survey.ingest(&options.cache_dir, progress)?;
        let mut holes = survey.take_holes();
        let mut episodes = Vec::new();
        for (position, episode) in survey.take_episodes().into_iter().enumerate() {
            match unseen.remove(&position) {
                Some(why) => holes.episode(episode.index, why),
                // Their frames are kept all the same: the next label must not cost another decoding.
                None if survey.is_unlabelled(episode.index) => {}
                None => episodes.push(episode),
            }
        }
        holes.refuse_if(options.strict, root)?;
        if episodes.is_empty() {
            return Err(holes.nothing_left(root));
        }
        let content_id = survey.content_id(&episodes);
        let (timing, is_imagined) = (survey.timing(), survey.is_imagined());
        Ok(Dataset {
            spec: survey.into_spec(),
            episodes,
            skipped: holes.into_skipped(),
            frames,
            timing,
            is_imagined,
            content_id,
            weight: 1.0,
            companions: Vec::new(),
            black: Vec::new(),
        })
    }

    /// Steps of all episodes together.
    pub fn total_frames(&self) -> usize {
        self.episodes.iter().map(|episode| episode.len).sum()
    }

    /// What camera `camera` (position in the spec) saw at step `t` of the episode at position `episode`, as RGB
    /// `[size, size, 3]`; black where a companion has no such camera.
    pub fn frame(&self, camera: usize, episode: usize, t: usize) -> &[u8] {
        let store = match self.companion_of(episode) {
            None => Some(&self.frames[camera]),
            Some(companion) => companion.frames(camera),
        };
        let episode = &self.episodes[episode];
        assert!(t < episode.len, "step {t} of an episode of {} steps", episode.len);
        match store {
            Some(store) => store.frame(episode.first_frame + t),
            None => {
                let size = self.spec.cameras[camera].model_size;
                &self.black[..size * size * 3]
            }
        }
    }
}

/// Looks only at the metadata of a dataset, to choose what to read.
///
/// Where there is no `observation.state`, every numeric observation counts as state; where there is no `action`,
/// the first numeric column that is called so does. Cameras get the default model size.
///
/// # Errors
/// [`Error::NotADataset`], [`Error::BadFile`] and [`Error::Io`] as [`Dataset::open`]; [`Error::MissingFeature`] if
/// nothing could serve as state or action; [`Error::NoRate`] as [`Dataset::open`].
pub fn probe(path: &Path, rate: ControlRate) -> Result<DatasetSpec, Error> {
    if hdf5::is_at(path) { hdf5::survey::probe(path, rate) } else { lerobot::survey::probe(path, rate) }
}
