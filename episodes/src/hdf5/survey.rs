//! HDF5 files before their pictures: which of their episodes are sound, and what is left out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::contents::{Storage, join};
use super::features::{self, Promise, Selected};
use super::file::H5;
use super::find::{Files, Found, find};
use super::layout::{About, Layout};
use super::pictures;
use super::rows::{self, Sound};
use crate::dataset::{ControlRate, OpenOptions, Progress};
use crate::episode::Episode;
use crate::error::Error;
use crate::holes::Holes;
use crate::outcome::Labels;
use crate::spec::DatasetSpec;
use crate::survey::name_unlabelled;

/// Everything read of the files except pictures.
pub(crate) struct Survey {
    pub(super) files: Files,
    /// Names, shapes and rates.
    pub spec: DatasetSpec,
    /// What was left out so far.
    pub holes: Holes,
    /// Sound episodes in ascending order; `first_frame` is set.
    pub sound: Vec<Sound>,
    /// What takes the place of recorded success.
    pub labels: Option<Labels>,
    /// What was asked for, as it was written.
    pub(super) path: PathBuf,
    /// Path below the observations and storage of every camera of the spec.
    pub(super) cameras: Vec<(String, Storage)>,
    pub(super) layout: Layout,
}

/// The rate of the file, or the one given; they must not contradict each other.
fn rate(path: &Path, recorded_hz: Option<f64>, wanted: ControlRate) -> Result<f64, Error> {
    let bad = |found: String, expected: &str| Error::BadFile {
        found,
        expected: expected.to_owned(),
        path: path.to_path_buf(),
    };
    match (recorded_hz, wanted) {
        (Some(recorded), ControlRate::Given(hz)) if recorded != hz => Err(bad(
            format!("it was recorded at {recorded} Hz, data.control_rate_hz says {hz}"),
            "no data.control_rate_hz for a file that says its rate: leave it out",
        )),
        (_, ControlRate::Given(hz)) if !(hz.is_finite() && hz > 0.0) => {
            Err(bad(format!("data.control_rate_hz is {hz}"), "a positive rate in Hz"))
        }
        (_, ControlRate::Given(hz)) => Ok(hz),
        (Some(recorded), _) => Ok(recorded),
        (None, ControlRate::IfRecorded) => Ok(0.0),
        (None, ControlRate::Recorded) => Err(Error::NoRate { path: path.to_path_buf() }),
    }
}

impl Survey {
    /// Reads everything but pictures.
    pub fn read(options: &OpenOptions, progress: &mut dyn FnMut(Progress)) -> Result<Survey, Error> {
        let mut holes = Holes::default();
        let found = find(&options.path, options.filter_key.as_deref(), &mut holes)?;
        let rate_hz = rate(&options.path, found.about.rate_hz, options.control_rate)?;
        let labels = options.labels.as_deref().map(Labels::read).transpose()?;
        if let (Some(labels), Some(file)) = (&labels, &options.labels) {
            labels.check(|index| found.listed.contains(&index), file)?;
        }
        let (places, contents) = found.contents(&mut holes);
        let promise = Promise::new(found.layout, &contents, &mut holes);
        if places.is_empty() {
            return Err(holes.nothing_left(&options.path));
        }
        let selected = promise.select(options)?;
        let mut sound = Vec::new();
        let total = places.len();
        for (done, place) in places.iter().enumerate() {
            if sound.len() >= options.max_episodes.unwrap_or(usize::MAX) {
                break;
            }
            progress(Progress { done, total, unit: "episodes", what: "data".to_owned() });
            let h5 = found.files.get(place.file);
            let read = h5.and_then(|h5| rows::read(&h5, found.layout, place, &selected, labels.as_ref()));
            match read {
                Ok(episode) => sound.push(episode),
                Err(why) => holes.episode(place.index, found.files.why(why, place.file)),
            }
        }
        progress(Progress { done: total, total, unit: "episodes", what: "data".to_owned() });
        found.finish(options, rate_hz, selected, sound, labels, holes)
    }

    /// Hash of what was read: names, and every number of the episodes; pictures by the length of their files.
    pub fn content_id(&self, episodes: &[Episode]) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut add = |part: &[u8]| {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        };
        for path in &self.files.paths {
            add(path.file_name().unwrap_or_default().as_encoded_bytes());
            add(&std::fs::metadata(path).map_or(0, |about| about.len()).to_le_bytes());
        }
        let spec = &self.spec;
        let state_keys: Vec<&str> = spec.state.iter().map(|feature| feature.key.as_str()).collect();
        add(format!("{state_keys:?} {} {:?} {}", spec.action.key, spec.cameras, spec.control_rate_hz).as_bytes());
        if !spec.hints.is_empty() {
            let hint_keys: Vec<&str> = spec.hints.iter().map(|feature| feature.key.as_str()).collect();
            add(format!("hints {hint_keys:?}").as_bytes());
        }
        for episode in episodes {
            let Episode { index, len, terminated, success, intervention, .. } = episode;
            add(format!("{index} {len} {terminated} {success:?} {intervention:?}").as_bytes());
            let hint = (!spec.hints.is_empty()).then_some(&episode.hint);
            for values in [&episode.state, &episode.action].into_iter().chain(&episode.reward).chain(hint) {
                add(&values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
            }
        }
        hasher.finalize().to_hex().to_string()
    }
}

impl Found {
    /// Puts the survey together: sizes of the cameras, tasks, first frames; reward and success in all episodes or none.
    fn finish(
        self,
        options: &OpenOptions,
        rate_hz: f64,
        selected: Selected,
        mut sound: Vec<Sound>,
        labels: Option<Labels>,
        mut holes: Holes,
    ) -> Result<Survey, Error> {
        let reward: fn(&Episode) -> bool = |episode| episode.reward.is_some();
        let success: fn(&Episode) -> bool = |episode| episode.success.is_some();
        let [has_reward, recorded_success] = [(reward, "rewards"), (success, "infos/success")].map(|(has, name)| {
            if labels.is_some() && name == "infos/success" {
                // Success is what the labels say.
                return false;
            }
            let promised = 2 * sound.iter().filter(|sound| has(&sound.episode)).count() > sound.len();
            sound.retain(|sound| {
                let kept = !promised || has(&sound.episode);
                if !kept {
                    let why = self.files.why(format!("{name} is missing"), sound.place.file);
                    holes.episode(sound.episode.index, why);
                }
                kept
            });
            promised
        });
        if let Some(labels) = &labels {
            name_unlabelled(labels, sound.iter().map(|sound| &sound.episode), &mut holes);
        }
        let has_success = recorded_success || labels.is_some();
        let mut tasks: Vec<String> = Vec::new();
        let mut first_frame = 0;
        let mut told: BTreeMap<usize, String> = BTreeMap::new();
        for Sound { episode, place, .. } in &mut sound {
            episode.reward = episode.reward.take().filter(|_| has_reward);
            episode.success = episode.success.take().filter(|_| has_success);
            if episode.task.is_empty() {
                // Every file tells its own: where there are several tasks, there is often one file of each.
                let of_file = |h5: Rc<H5>| About::read(&h5).task;
                let read = || self.files.get(place.file).ok().and_then(of_file).unwrap_or_default();
                episode.task = told.entry(place.file).or_insert_with(read).clone();
            }
            if !episode.task.is_empty() && !tasks.contains(&episode.task) {
                tasks.push(episode.task.clone());
            }
            episode.first_frame = first_frame;
            first_frame += episode.len;
        }
        let mut cameras = Vec::new();
        for (key, (path, storage)) in selected.camera_keys.iter().zip(&selected.cameras) {
            // The first episode whose picture opens speaks for all; broken ones are named when they are read.
            let size = sound.iter().find_map(|sound| {
                let path = join(&join(&sound.place.group, self.layout.observations()), path);
                pictures::size(&*self.files.get(sound.place.file).ok()?, &path, *storage).ok()
            });
            cameras.push(features::camera(key, size.unwrap_or_default(), options.image_size));
        }
        let spec = DatasetSpec {
            source: options.path.display().to_string(),
            codebase_version: self.layout.name().to_owned(),
            robot_type: self.about.robot_type,
            control_rate_hz: rate_hz,
            state: selected.state,
            hints: selected.hints,
            action: selected.action,
            cameras,
            tasks,
            has_reward,
            has_success,
        };
        Ok(Survey {
            files: self.files,
            spec,
            holes,
            sound,
            labels,
            path: options.path.clone(),
            cameras: selected.cameras,
            layout: self.layout,
        })
    }
}

/// The spec without reading whole episodes, see [`crate::dataset::probe`]: the first sound episode speaks for all.
pub(crate) fn probe(path: &Path, rate: ControlRate) -> Result<DatasetSpec, Error> {
    let options =
        OpenOptions { path: path.to_path_buf(), control_rate: rate, max_episodes: Some(1), ..OpenOptions::default() };
    Survey::read(&options, &mut |_| {}).map(|survey| survey.spec)
}
