//! A LeRobot dataset before its pictures: what it promises, the episodes whose rows are sound, and what is left out.

use std::path::{Path, PathBuf};

use super::cameras::Cameras;
use super::check::Sound;
use super::collect::{Collected, Request, collect};
use super::features::{self, Selection};
use super::info::Info;
use super::listing::{self, Listing};
use super::rows::unread;
use crate::dataset::{ControlRate, OpenOptions, Progress, Timing};
use crate::episode::Episode;
use crate::error::Error;
use crate::holes::{Holes, Why};
use crate::normaliser::Moments;
use crate::outcome::Labels;
use crate::spec::DatasetSpec;
use crate::survey::name_unlabelled;

/// Everything read of a dataset except its pictures.
pub(crate) struct Survey {
    root: PathBuf,
    /// Names, shapes and rates.
    pub spec: DatasetSpec,
    /// What was left out so far.
    pub holes: Holes,
    /// Sound episodes in ascending order; `first_frame` is set.
    pub sound: Vec<Sound>,
    /// What takes the place of recorded success.
    pub labels: Option<Labels>,
    /// Columns that nothing is made of.
    pub unread: Vec<String>,
    /// The dataset's clock; absent where it has none.
    pub timing: Option<Timing>,
    labels_file: Option<PathBuf>,
    video_keys: Vec<String>,
    data_files: Vec<PathBuf>,
    meta_files: Vec<PathBuf>,
}

impl Survey {
    /// Reads metadata and rows.
    pub fn read(options: &OpenOptions, progress: &mut dyn FnMut(Progress)) -> Result<Survey, Error> {
        let root = options.path.as_path();
        let info = Info::read(root)?;
        check_rate(root, &info, options.control_rate)?;
        let mut holes = Holes::default();
        let state_keys = features::chosen_state_keys(&info, &options.state_keys);
        let selection = Selection {
            state_keys: &state_keys,
            hint_keys: &options.hint_keys,
            action_key: &options.action_key,
            cameras: options.cameras.as_deref(),
            image_size: options.image_size,
        };
        let mut spec = features::spec(root, &info, &selection, &mut holes)?;
        let (tasks, tasks_file) = listing::tasks(root, &info, &mut holes);
        spec.tasks = tasks;
        let keys: Vec<String> = spec.cameras.iter().map(|camera| camera.key.clone()).collect();
        let video_keys: Vec<String> = keys.into_iter().filter(|key| info.is_video(key)).collect();
        let wanted: Vec<&str> = video_keys.iter().map(String::as_str).collect();
        let listing = Listing::read(root, &info, &wanted, &mut holes);
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
            video_keys: &wanted,
            labels: labels.as_ref(),
            limit: options.max_episodes.unwrap_or(usize::MAX),
        };
        let Collected { mut sound, data_files } = collect(&request, &mut holes, progress);
        settle_columns(&mut spec, &mut sound, &mut holes);
        if let Some(labels) = &labels {
            name_unlabelled(labels, sound.iter().map(|sound| &sound.episode), &mut holes);
            spec.has_success = true;
        }
        let timing = timing(&sound);
        let mut first_frame = 0;
        for sound in &mut sound {
            sound.episode.first_frame = first_frame;
            first_frame += sound.episode.len;
        }
        let mut meta_files = vec![PathBuf::from("meta/info.json"), tasks_file];
        meta_files.extend(listing.files);
        let (root, labels_file) = (root.to_path_buf(), options.labels.clone());
        let unread = unread(&info);
        Ok(Survey { root, spec, holes, sound, labels, unread, timing, labels_file, video_keys, data_files, meta_files })
    }

    /// The pictures of all sound episodes.
    pub fn cameras<'a>(&'a self, cache_dir: &'a Path) -> Cameras<'a> {
        Cameras {
            root: &self.root,
            spec: &self.spec,
            video_keys: &self.video_keys,
            sound: &self.sound,
            data_files: &self.data_files,
            cache_dir,
        }
    }

    /// Hash of what was read: metadata as it is, data files by name and length, and which episodes were kept.
    pub fn content_id(&self, episodes: &[Episode]) -> String {
        let mut hasher = blake3::Hasher::new();
        for file in &self.meta_files {
            add(&mut hasher, file.as_os_str().as_encoded_bytes());
            add_file(&mut hasher, &self.root.join(file));
        }
        let mut add = |part: &[u8]| add(&mut hasher, part);
        for file in &self.data_files {
            let len = std::fs::metadata(self.root.join(file)).map_or(0, |about| about.len());
            add(file.as_os_str().as_encoded_bytes());
            add(&len.to_le_bytes());
        }
        if let Some(labels) = &self.labels_file {
            add(b"labels");
            add(&std::fs::read(labels).unwrap_or_default());
        }
        let state_keys: Vec<&str> = self.spec.state.iter().map(|feature| feature.key.as_str()).collect();
        add(format!("{state_keys:?} {} {:?}", self.spec.action.key, self.spec.cameras).as_bytes());
        if !self.spec.hints.is_empty() {
            let hint_keys: Vec<&str> = self.spec.hints.iter().map(|feature| feature.key.as_str()).collect();
            add(format!("hints {hint_keys:?}").as_bytes());
        }
        for episode in episodes {
            add(format!("{} {}", episode.index, episode.len).as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// Adds one part; parts are kept apart by their length.
fn add(hasher: &mut blake3::Hasher, part: &[u8]) {
    hasher.update(&(part.len() as u64).to_le_bytes());
    hasher.update(part);
}

/// Adds the content of a file without holding it in memory. A file that cannot be read has been named; here its absence
/// is part of the content.
fn add_file(hasher: &mut blake3::Hasher, path: &Path) {
    let opened = std::fs::File::open(path).and_then(|file| Ok((file.metadata()?, file)));
    let Some((about, file)) = opened.ok().filter(|(about, _)| about.is_file()) else {
        return add(hasher, &[]);
    };
    hasher.update(&about.len().to_le_bytes());
    // What breaks off in between has another hash than what does not.
    let _ = hasher.update_reader(file);
}

/// The spec from the metadata alone, see [`crate::dataset::probe`].
pub(crate) fn probe(path: &Path, rate: ControlRate) -> Result<DatasetSpec, Error> {
    let info = Info::read(path)?;
    check_rate(path, &info, rate)?;
    let mut holes = Holes::default();
    let selection = Selection {
        state_keys: &features::default_state_keys(&info),
        hint_keys: &[],
        action_key: &features::default_action_key(&info),
        cameras: None,
        image_size: OpenOptions::default().image_size,
    };
    let mut spec = features::spec(path, &info, &selection, &mut holes)?;
    spec.tasks = listing::tasks(path, &info, &mut holes).0;
    Ok(spec)
}

/// A LeRobot dataset states its rate, by which its videos are read; another one is a mistake.
fn check_rate(root: &Path, info: &Info, rate: ControlRate) -> Result<(), Error> {
    match rate {
        ControlRate::Given(hz) if hz != info.fps => Err(Error::BadFile {
            found: format!("it was recorded at {} Hz, data.control_rate_hz says {hz}", info.fps),
            expected: "no data.control_rate_hz for a LeRobot dataset: leave it out".to_owned(),
            path: root.join("meta/info.json"),
        }),
        _ => Ok(()),
    }
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
