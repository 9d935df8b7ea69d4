//! The door: open a recorded dataset, get episodes, pictures and an account of what was left out.

use std::path::{Path, PathBuf};

use crate::episode::Episode;
use crate::error::Error;
use crate::frames::FrameStore;
use crate::lerobot::cameras::{Cameras, Unseen};
use crate::lerobot::check::Sound;
use crate::lerobot::collect::{Collected, Request, collect};
use crate::lerobot::features::{self, Selection};
use crate::lerobot::holes::{Holes, Why};
use crate::lerobot::info::Info;
use crate::lerobot::listing::{self, Listing};
use crate::normaliser::Moments;
use crate::outcome::Labels;
use crate::spec::{DatasetSpec, Skipped};

/// What to read, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenOptions {
    /// The dataset: a folder with `meta/info.json`.
    pub path: PathBuf,
    /// Height and width of the square frames the model sees, pixels.
    pub image_size: usize,
    /// Where decoded frames are kept between runs.
    pub cache_dir: PathBuf,
    /// Columns that make up the state, in order; empty for `observation.state`.
    pub state_keys: Vec<String>,
    /// The action column.
    pub action_key: String,
    /// Cameras in model order; `None` for every colour camera, an empty list for none.
    pub cameras: Option<Vec<String>>,
    /// Per-episode labels that take the place of recorded success: see [`Labels`]. Unlabelled episodes are left out.
    pub labels: Option<PathBuf>,
    /// Refuse a dataset of which anything would have to be left out.
    pub strict: bool,
    /// Read only the first so many sound episodes.
    pub max_episodes: Option<usize>,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions {
            path: PathBuf::new(),
            image_size: 96,
            cache_dir: std::env::temp_dir().join("rehearsal-frames"),
            state_keys: Vec::new(),
            action_key: "action".to_owned(),
            cameras: None,
            labels: None,
            strict: false,
            max_episodes: None,
        }
    }
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
    /// One store per camera, in the order of the spec. Stores may also hold (black) frames of skipped episodes.
    pub frames: Vec<FrameStore>,
    /// The dataset's clock; absent where it has none.
    pub timing: Option<Timing>,
    /// Hash (hex) of what was read: metadata, settings and which episodes were kept. Independent of where it lies.
    pub content_id: String,
}

impl Dataset {
    /// Reads a dataset, leaving out what is broken.
    ///
    /// The first time, every selected camera is decoded into `options.cache_dir`; after that opening takes moments.
    ///
    /// # Errors
    /// [`Error::NotADataset`] if there is none or its version is unknown, [`Error::MissingFeature`] if a selected
    /// column or camera does not exist, [`Error::NothingLeft`] if no episode is sound or if `strict` is set and
    /// anything would be left out, [`Error::BadFile`] and [`Error::Io`] if `info.json`, the labels or the cache are
    /// unusable.
    pub fn open(options: &OpenOptions, progress: &mut dyn FnMut(Progress)) -> Result<Dataset, Error> {
        let root = options.path.as_path();
        let info = Info::read(root)?;
        let mut holes = Holes::default();
        let state_keys = match options.state_keys.as_slice() {
            [] => &["observation.state".to_owned()][..],
            keys => keys,
        };
        let selection = Selection {
            state_keys,
            action_key: &options.action_key,
            cameras: options.cameras.as_deref(),
            image_size: options.image_size,
        };
        let mut spec = features::spec(root, &info, &selection, &mut holes)?;
        let (tasks, tasks_file) = listing::tasks(root, &info, &mut holes);
        spec.tasks = tasks;
        let keys: Vec<String> = spec.cameras.iter().map(|camera| camera.key.clone()).collect();
        let video_keys: Vec<&str> = keys.iter().map(String::as_str).filter(|key| info.is_video(key)).collect();
        let listing = Listing::read(root, &info, &video_keys, &mut holes);
        let labels = options.labels.as_deref().map(Labels::read).transpose()?;
        if let (Some(labels), Some(file)) = (&labels, &options.labels) {
            let listed = |index| listing.episodes.binary_search_by_key(&index, |episode| episode.index).is_ok();
            labels.check(listed, file)?;
            // Success is what the labels say; the column plays no part.
            spec.has_success = false;
        }

        let request = Request {
            root,
            info: &info,
            spec: &spec,
            listing: &listing,
            video_keys: &video_keys,
            labels: labels.as_ref(),
            limit: options.max_episodes.unwrap_or(usize::MAX),
        };
        let Collected { mut sound, data_files } = collect(&request, &mut holes, progress);
        settle_columns(&mut spec, &mut sound, &mut holes);
        let is_unlabelled = |index: usize| labels.as_ref().is_some_and(|labels| labels.get(index).is_none());
        for sound in sound.iter().filter(|sound| is_unlabelled(sound.episode.index)) {
            holes.episode(sound.episode.index, Why::new("no label (data.labels)"));
        }
        spec.has_success |= labels.is_some();
        holes.refuse_if(options.strict, root)?;
        if sound.is_empty() {
            return Err(holes.nothing_left(root));
        }
        let timing = timing(&sound);
        let mut first_frame = 0;
        for sound in &mut sound {
            sound.episode.first_frame = first_frame;
            first_frame += sound.episode.len;
        }

        let cameras = Cameras {
            root,
            spec: &spec,
            video_keys: &video_keys,
            sound: &sound,
            data_files: &data_files,
            cache_dir: &options.cache_dir,
        };
        let mut frames = Vec::with_capacity(spec.cameras.len());
        let mut unseen = Unseen::new();
        for (number, camera) in spec.cameras.iter().enumerate() {
            let what = format!("camera {}", camera.key);
            let mut report = |done, total| progress(Progress { done, total, unit: "frames", what: what.clone() });
            let (store, failed) = cameras.ingest(number, &mut report)?;
            frames.push(store);
            for (position, why) in failed {
                unseen.entry(position).or_insert(why);
            }
        }
        let mut episodes = Vec::with_capacity(sound.len());
        for (position, sound) in sound.into_iter().enumerate() {
            match unseen.remove(&position) {
                Some(why) => holes.episode(sound.episode.index, why),
                // Their frames are kept all the same: the next label must not cost another decoding.
                None if is_unlabelled(sound.episode.index) => {}
                None => episodes.push(sound.episode),
            }
        }
        holes.refuse_if(options.strict, root)?;
        if episodes.is_empty() {
            return Err(holes.nothing_left(root));
        }
        let mut meta_files = vec![PathBuf::from("meta/info.json"), tasks_file];
        meta_files.extend(listing.files);
        let labels_file = options.labels.as_deref();
        let content_id = content_id(root, &meta_files, &data_files, labels_file, &spec, &episodes);
        Ok(Dataset { spec, episodes, skipped: holes.into_skipped(), frames, timing, content_id })
    }

    /// Steps of all episodes together.
    pub fn total_frames(&self) -> usize {
        self.episodes.iter().map(|episode| episode.len).sum()
    }

    /// What camera `camera` (position in the spec) saw at step `t` of the episode at position `episode`, as RGB
    /// `[size, size, 3]`.
    pub fn frame(&self, camera: usize, episode: usize, t: usize) -> &[u8] {
        let episode = &self.episodes[episode];
        assert!(t < episode.len, "step {t} of an episode of {} steps", episode.len);
        self.frames[camera].frame(episode.first_frame + t)
    }
}

/// Looks only at the metadata of a dataset, to choose what to read.
///
/// Where there is no `observation.state`, every numeric observation counts as state; where there is no `action`,
/// the first numeric column that is called so does. Cameras get the default model size.
///
/// # Errors
/// [`Error::NotADataset`], [`Error::BadFile`] and [`Error::Io`] as [`Dataset::open`]; [`Error::MissingFeature`] if
/// nothing could serve as state or action.
pub fn probe(path: &Path) -> Result<DatasetSpec, Error> {
    let info = Info::read(path)?;
    let mut holes = Holes::default();
    let selection = Selection {
        state_keys: &features::default_state_keys(&info),
        action_key: &features::default_action_key(&info),
        cameras: None,
        image_size: OpenOptions::default().image_size,
    };
    let mut spec = features::spec(path, &info, &selection, &mut holes)?;
    spec.tasks = listing::tasks(path, &info, &mut holes).0;
    Ok(spec)
}

/// Holds optional columns to their promise: in every episode, or (with a word) in none.
fn settle_columns(spec: &mut DatasetSpec, sound: &mut Vec<Sound>, holes: &mut Holes) {
    let has_reward: fn(&Episode) -> bool = |episode| episode.reward.is_some();
    let has_success: fn(&Episode) -> bool = |episode| episode.success.is_some();
    let columns =
        [(&mut spec.has_reward, "next.reward", has_reward), (&mut spec.has_success, "next.success", has_success)];
    for (promised, name, has) in columns {
        if *promised && !sound.is_empty() && !sound.iter().any(|sound| has(&sound.episode)) {
            *promised = false;
            holes.fault(format!("column {name}"), "is promised in meta/info.json, but no data file has it");
        }
        sound.retain(|sound| {
            let kept = !*promised || has(&sound.episode);
            if !kept {
                holes.episode(sound.episode.index, Why::new(format!("column {name} is not in its data file")));
            }
            kept
        });
    }
}

fn timing(sound: &[Sound]) -> Option<Timing> {
    let mut all = Moments::default();
    sound.iter().flat_map(|sound| &sound.steps_s).for_each(|&step_s| all.add(step_s));
    (all.count > 0).then(|| Timing { mean_step_s: all.mean(), jitter_s: all.std(), longest_step_s: all.max() })
}

/// Hashes what was read; see [`Dataset::content_id`].
fn content_id(
    root: &Path,
    meta_files: &[PathBuf],
    data_files: &[PathBuf],
    labels: Option<&Path>,
    spec: &DatasetSpec,
    episodes: &[Episode],
) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |part: &[u8]| {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    };
    for file in meta_files {
        // A file that cannot be read has been named; here its absence is part of the content.
        add(file.as_os_str().as_encoded_bytes());
        add(&std::fs::read(root.join(file)).unwrap_or_default());
    }
    for file in data_files {
        let len = std::fs::metadata(root.join(file)).map_or(0, |about| about.len());
        add(file.as_os_str().as_encoded_bytes());
        add(&len.to_le_bytes());
    }
    if let Some(labels) = labels {
        add(b"labels");
        add(&std::fs::read(labels).unwrap_or_default());
    }
    let state_keys: Vec<&str> = spec.state.iter().map(|feature| feature.key.as_str()).collect();
    add(format!("{state_keys:?} {} {:?}", spec.action.key, spec.cameras).as_bytes());
    for episode in episodes {
        add(format!("{} {}", episode.index, episode.len).as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}
