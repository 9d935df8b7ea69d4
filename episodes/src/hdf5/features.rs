//! From what the episodes hold to a [`DatasetSpec`]: what most of them have is what the dataset promises.

use std::collections::BTreeMap;
use std::path::Path;

use super::contents::{Contents, Kind, Storage};
use super::layout::Layout;
use crate::dataset::{ALL, OpenOptions};
use crate::error::Error;
use crate::holes::Holes;
use crate::spec::{CameraFeature, VectorFeature};

/// The one name of the action.
const ACTION: &str = "action";
const STATE: &str = "observation.state";

/// The observations and the action of a dataset, by LeRobot's names.
#[derive(Debug, Default)]
pub(super) struct Promise {
    vectors: BTreeMap<String, (String, usize)>,
    cameras: BTreeMap<String, (String, Storage)>,
    action_len: usize,
}

/// What is to be read of it, in order.
#[derive(Debug)]
pub(super) struct Selected {
    /// Paths of the state's datasets below the observations, as in `state`.
    pub state_paths: Vec<String>,
    /// Vector observations.
    pub state: Vec<VectorFeature>,
    /// Paths of the hints' datasets below the observations, as in `hints`.
    pub hint_paths: Vec<String>,
    /// Vectors that the robot will not have.
    pub hints: Vec<VectorFeature>,
    /// The action.
    pub action: VectorFeature,
    /// Path and storage of each camera.
    pub cameras: Vec<(String, Storage)>,
    /// Names of the cameras, in the same order.
    pub camera_keys: Vec<String>,
}

impl Promise {
    /// What more than half of the episodes hold; what is never read is mentioned.
    pub fn new(layout: Layout, contents: &[Contents], holes: &mut Holes) -> Promise {
        let mut counts: BTreeMap<(&str, Kind), usize> = BTreeMap::new();
        let mut action_lens: BTreeMap<usize, usize> = BTreeMap::new();
        let mut notes: BTreeMap<&str, &str> = BTreeMap::new();
        for episode in contents {
            for (path, kind) in &episode.observations {
                *counts.entry((path, *kind)).or_default() += 1;
            }
            if let Some(len) = episode.action_len {
                *action_lens.entry(len).or_default() += 1;
            }
            notes.extend(episode.notes.iter().map(|(path, why)| (path.as_str(), why.as_str())));
        }
        for (path, why) in notes {
            holes.note(format!("observation {path}"), why);
        }
        let mut promise = Promise {
            action_len: action_lens.into_iter().max_by_key(|(_, count)| *count).map_or(0, |(len, _)| len),
            ..Promise::default()
        };
        for ((path, kind), _) in counts.into_iter().filter(|(_, count)| 2 * count > contents.len()) {
            match kind {
                Kind::Vector(len) => {
                    promise.vectors.insert(layout.state_key(path), (path.to_owned(), len));
                }
                Kind::Camera(storage) => {
                    promise.cameras.insert(layout.camera_key(path), (path.to_owned(), storage));
                }
            }
        }
        promise
    }

    /// What to read where nobody has chosen: `observation.state`, else every vector observation.
    pub fn default_state_keys(&self) -> Vec<String> {
        if self.vectors.contains_key(STATE) {
            return vec![STATE.to_owned()];
        }
        self.vectors.keys().cloned().collect()
    }

    /// Picks what the options ask for.
    pub fn select(&self, options: &OpenOptions) -> Result<Selected, Error> {
        let root = options.path.as_path();
        let keys = match options.state_keys.as_slice() {
            [] => self.default_state_keys(),
            [all] if all == ALL => self.vectors.keys().cloned().collect(),
            keys => keys.to_vec(),
        };
        if options.action_key != ACTION {
            return Err(missing(root, &options.action_key, "data.action_key", &[ACTION]));
        }
        if keys.is_empty() || self.action_len == 0 {
            return Err(Error::BadFile {
                found: if keys.is_empty() { "no vector observation" } else { "no action vector" }.to_owned(),
                expected: "vectors of numbers for state and action in most of its episodes".to_owned(),
                path: root.to_path_buf(),
            });
        }
        let (state, state_paths) = self.vectors_at(root, &keys, "data.state_keys")?;
        let (hints, hint_paths) = self.vectors_at(root, &options.hint_keys, "data.hints")?;
        let camera_keys = match &options.cameras {
            None => self.cameras.keys().cloned().collect(),
            Some(keys) => keys.clone(),
        };
        let mut cameras = Vec::new();
        for key in &camera_keys {
            let Some(camera) = self.cameras.get(key) else {
                let have: Vec<&str> = self.cameras.keys().map(String::as_str).collect();
                return Err(missing(root, key, "data.cameras", &have));
            };
            cameras.push(camera.clone());
        }
        let action = vector(ACTION, 0, self.action_len);
        Ok(Selected { state_paths, state, hint_paths, hints, action, cameras, camera_keys })
    }

    /// The vectors under these names, and the paths of their datasets.
    fn vectors_at(
        &self,
        root: &Path,
        keys: &[String],
        setting: &str,
    ) -> Result<(Vec<VectorFeature>, Vec<String>), Error> {
        let mut offset = 0;
        let place = |key: &String| {
            let Some((path, len)) = self.vectors.get(key) else {
                let have: Vec<&str> = self.vectors.keys().map(String::as_str).collect();
                return Err(missing(root, key, setting, &have));
            };
            offset += len;
            Ok((vector(key, offset - len, *len), path.clone()))
        };
        keys.iter().map(place).collect()
    }
}

/// HDF5 names no elements.
fn vector(key: &str, offset: usize, len: usize) -> VectorFeature {
    VectorFeature { key: key.to_owned(), names: (0..len).map(|i| format!("{key}[{i}]")).collect(), offset, len }
}

/// A camera of the spec.
pub(super) fn camera(key: &str, (height, width): (usize, usize), model_size: usize) -> CameraFeature {
    CameraFeature { key: key.to_owned(), native_height: height, native_width: width, model_size }
}

/// The error for something that was asked for and is not there.
pub(super) fn missing(root: &Path, wanted: &str, setting: &str, have: &[&str]) -> Error {
    Error::MissingFeature {
        wanted: wanted.to_owned(),
        available: if have.is_empty() { "nothing of this kind".to_owned() } else { have.join(", ") },
        setting: setting.to_owned(),
        path: root.to_path_buf(),
    }
}
