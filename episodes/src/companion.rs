//! Datasets learned from beside the one that a policy is for: another robot's, a simulator's.
//!
//! The first dataset, home, says what the policy will see and do. A companion has its own columns, cameras, rule of
//! rewards and labels; its episodes follow those of home. Cameras are matched by name or as told; one that a companion
//! lacks is black there. Vectors stay as they were recorded: who learns pads and masks them, see [`Companion::is_same_robot`].

use std::path::Path;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::frames::FrameStore;
use crate::spec::DatasetSpec;

/// Rates closer than this share are the same: 29.97 Hz is not resampled to 30 Hz by anybody.
const SAME_RATE: f64 = 0.01;

/// How a dataset joins another.
#[derive(Clone, Debug, PartialEq)]
pub struct Joining {
    /// How often it is drawn from, against 1 for a dataset of which nothing is said.
    pub weight: f64,
    /// Whether its vectors mean what those of home mean, element by element; `None` for: if they are named alike.
    pub same_robot: Option<bool>,
    /// The companion's camera for each camera of home, in home's order, empty for none; `None` for: named alike.
    pub cameras: Option<Vec<String>>,
}

impl Default for Joining {
    fn default() -> Joining {
        Joining { weight: 1.0, same_robot: None, cameras: None }
    }
}

/// A dataset that joined another.
#[derive(Debug)]
pub struct Companion {
    /// Its own names, shapes and rates.
    pub spec: DatasetSpec,
    /// Position of its first episode in [`Dataset::episodes`].
    pub first_episode: usize,
    /// Number of its episodes.
    pub episodes: usize,
    /// How often it is drawn from, relative to the others.
    pub weight: f64,
    /// Its vectors mean what those of home mean: one normaliser for both. If not, they are another embodiment's.
    pub is_same_robot: bool,
    /// Store per camera of home; `None` where it has no such camera.
    frames: Vec<Option<FrameStore>>,
}

impl Companion {
    /// Whether it has camera `camera` (position in home's spec).
    pub fn sees(&self, camera: usize) -> bool {
        self.frames[camera].is_some()
    }

    pub(crate) fn frames(&self, camera: usize) -> Option<&FrameStore> {
        self.frames[camera].as_ref()
    }
}

impl Dataset {
    /// Takes in the episodes of another dataset, read at the same picture size.
    ///
    /// # Errors
    /// [`Error::BadFile`] if its control rate is another, or it is said to be the same robot and has other sizes, or no
    /// weight above 0; [`Error::MissingFeature`] if it has no camera that was named for it.
    pub fn join(&mut self, other: Dataset, how: &Joining) -> Result<(), Error> {
        let refuse = |found: String, expected: String| Error::BadFile {
            found,
            expected,
            path: Path::new(&other.spec.source).to_path_buf(),
        };
        let (home, theirs) = (self.spec.control_rate_hz, other.spec.control_rate_hz);
        if (home - theirs).abs() > SAME_RATE * home {
            return Err(refuse(
                format!("its control rate is {theirs} Hz"),
                format!("{home} Hz, as {}: a chunk of actions would last another time", self.spec.source),
            ));
        }
        if !(how.weight.is_finite() && how.weight > 0.0) {
            return Err(refuse(format!("weight {}", how.weight), "a weight above 0".to_owned()));
        }
        let sizes = |spec: &DatasetSpec| (spec.state_len(), spec.action_len());
        if how.same_robot == Some(true) && sizes(&other.spec) != sizes(&self.spec) {
            let ((s, a), (hs, ha)) = (sizes(&other.spec), sizes(&self.spec));
            return Err(refuse(
                format!("a state of {s} and an action of {a} elements"),
                format!("{hs} and {ha}, as {}, since same_robot is set", self.spec.source),
            ));
        }
        let is_same_robot = how.same_robot.unwrap_or_else(|| names(&other.spec) == names(&self.spec));
        let mut stores: Vec<Option<FrameStore>> = other.frames.into_iter().map(Some).collect();
        let mut frames = Vec::with_capacity(self.spec.cameras.len());
        for (i, camera) in self.spec.cameras.iter().enumerate() {
            let wanted = match &how.cameras {
                Some(cameras) => cameras.get(i).map_or("", String::as_str),
                None => camera.key.as_str(),
            };
            let found = other.spec.cameras.iter().position(|theirs| theirs.key == wanted);
            if found.is_none() && how.cameras.is_some() && !wanted.is_empty() {
                let available: Vec<&str> = other.spec.cameras.iter().map(|c| c.key.as_str()).collect();
                return Err(Error::MissingFeature {
                    wanted: wanted.to_owned(),
                    available: available.join(", "),
                    setting: "data.with.cameras".to_owned(),
                    path: Path::new(&other.spec.source).to_path_buf(),
                });
            }
            frames.push(found.and_then(|position| stores[position].take()));
        }
        let size = self.spec.cameras.iter().map(|camera| camera.model_size).max().unwrap_or(0);
        self.black.resize(size * size * 3, 0);
        let mut id = blake3::Hasher::new();
        for part in [&self.content_id, &other.content_id, &format!("{how:?} {is_same_robot}")] {
            id.update(part.as_bytes());
        }
        self.content_id = id.finalize().to_hex().to_string();
        self.skipped.extend(other.skipped.into_iter().map(|mut hole| {
            hole.what = format!("{}: {}", other.spec.source, hole.what);
            hole
        }));
        self.companions.push(Companion {
            first_episode: self.episodes.len(),
            episodes: other.episodes.len(),
            spec: other.spec,
            weight: how.weight,
            is_same_robot,
            frames,
        });
        self.episodes.extend(other.episodes);
        Ok(())
    }

    /// The companion whose episode stands at `position`; `None` for one of home.
    pub fn companion_of(&self, position: usize) -> Option<&Companion> {
        self.companions.iter().rev().find(|companion| position >= companion.first_episode)
    }

    /// Episodes of home: the first so many.
    pub fn home_episodes(&self) -> usize {
        self.companions.first().map_or(self.episodes.len(), |companion| companion.first_episode)
    }
}

/// Keys and element names of state and action, in order.
fn names(spec: &DatasetSpec) -> Vec<(&str, &[String])> {
    spec.state.iter().chain([&spec.action]).map(|feature| (feature.key.as_str(), feature.names.as_slice())).collect()
}
