//! Datasets learned from beside the one that a policy is for: another robot's, a simulator's.
//!
//! The first dataset, home, says what the policy will see and do. A companion has its own columns, cameras, rule of
//! rewards and labels; its episodes follow those of home. Cameras are matched by name or as told; one that a companion
//! lacks is black there. Vectors stay as they were recorded: who learns pads and masks them, see [`Companion::is_same_robot`].

use std::path::PathBuf;

use crate::dataset::Dataset;
use crate::error::Error;
use crate::frames::FrameStore;
use crate::spec::DatasetSpec;
use crate::split::{Split, split};

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

impl Joining {
    /// What speaks against joining `theirs` to `home`, as far as metadata tell.
    ///
    /// # Errors
    /// [`Error::BadFile`] for no weight above 0, another control rate, not one camera (or none) for each of home's, one named
    /// twice or one that `theirs` does not have.
    pub fn check(&self, home: &DatasetSpec, theirs: &DatasetSpec) -> Result<(), Error> {
        let refuse = |found: String, expected: String| refusal(theirs, found, expected);
        if !(self.weight.is_finite() && self.weight > 0.0) {
            return refuse(format!("weight {}", self.weight), "a weight above 0".to_owned());
        }
        let (rate_hz, own_hz) = (home.control_rate_hz, theirs.control_rate_hz);
        if (rate_hz - own_hz).abs() > SAME_RATE * rate_hz {
            return refuse(
                format!("its control rate is {own_hz} Hz"),
                format!("{rate_hz} Hz, as {}: a chunk of actions would last another time", home.source),
            );
        }
        let Some(cameras) = &self.cameras else { return Ok(()) };
        if cameras.len() != home.cameras.len() {
            return refuse(
                format!("{} cameras are named for it", cameras.len()),
                format!("{}, one (or \"\" for none) for each of {}", home.cameras.len(), home.source),
            );
        }
        for (i, wanted) in cameras.iter().enumerate().filter(|(_, wanted)| !wanted.is_empty()) {
            if cameras[..i].contains(wanted) {
                return refuse(
                    format!("camera {wanted} is named twice"),
                    "another camera, or \"\" for none".to_owned(),
                );
            }
            if !theirs.cameras.iter().any(|camera| camera.key == *wanted) {
                let available: Vec<&str> = theirs.cameras.iter().map(|camera| camera.key.as_str()).collect();
                return refuse(format!("it has no camera {wanted}"), format!("one of: {}", available.join(", ")));
            }
        }
        Ok(())
    }

    /// The companion's camera that stands for camera `i` of home.
    fn camera<'a>(&'a self, home: &'a DatasetSpec, i: usize) -> &'a str {
        self.cameras.as_ref().map_or(&home.cameras[i].key, |cameras| &cameras[i])
    }

    /// The companion's cameras that are of use at all, to read no others; after [`Joining::check`].
    pub fn cameras_to_read(&self, home: &DatasetSpec, theirs: &DatasetSpec) -> Vec<String> {
        let wanted = (0..home.cameras.len()).map(|i| self.camera(home, i));
        wanted.filter(|key| theirs.cameras.iter().any(|camera| camera.key == *key)).map(str::to_owned).collect()
    }
}

fn refusal(theirs: &DatasetSpec, found: String, expected: String) -> Result<(), Error> {
    Err(Error::BadFile { found, expected, path: PathBuf::from(&theirs.source) })
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
    /// Home's own robot recorded it after home was learned from ([`Dataset::go_on`]): partly held out, and judged on.
    pub is_later: bool,
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
    /// As [`Joining::check`]; [`Error::BadFile`] if it is said to be the same robot and has other sizes.
    pub fn join(&mut self, other: Dataset, how: &Joining) -> Result<(), Error> {
        how.check(&self.spec, &other.spec)?;
        let sizes = |spec: &DatasetSpec| (spec.state_len(), spec.action_len());
        if how.same_robot == Some(true) && sizes(&other.spec) != sizes(&self.spec) {
            let ((s, a), (hs, ha)) = (sizes(&other.spec), sizes(&self.spec));
            return refusal(
                &other.spec,
                format!("a state of {s} and an action of {a} elements"),
                format!("{hs} and {ha}, as {}, since same_robot is set", self.spec.source),
            );
        }
        let is_same_robot = how.same_robot.unwrap_or_else(|| names(&other.spec) == names(&self.spec));
        let mut stores: Vec<Option<FrameStore>> = other.frames.into_iter().map(Some).collect();
        let mut frames = Vec::with_capacity(self.spec.cameras.len());
        for i in 0..self.spec.cameras.len() {
            let wanted = how.camera(&self.spec, i);
            let found = other.spec.cameras.iter().position(|camera| camera.key == wanted);
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
            is_later: false,
            frames,
        });
        self.episodes.extend(other.episodes);
        Ok(())
    }

    /// Takes in episodes that home's own robot recorded later, read at the same picture size; their `index` goes on behind those
    /// that are there.
    ///
    /// # Errors
    /// As [`Joining::check`]; [`Error::BadFile`] if state, action or cameras are not home's.
    pub fn go_on(&mut self, mut other: Dataset, weight: f64) -> Result<(), Error> {
        let [home, new] = [&self.spec, &other.spec];
        for (what, own, theirs) in
            [("state and action", names(home), names(new)), ("cameras", cameras(home), cameras(new))]
        {
            if own != theirs {
                let found = format!("its {what} are {}", in_words(&theirs));
                let words = in_words(&own);
                let expected =
                    format!("{words}, as {}: later episodes are of the same robot, recorded alike", self.spec.source);
                return refusal(&other.spec, found, expected);
            }
        }
        let next = self.episodes.iter().map(|episode| episode.index + 1).max().unwrap_or(0);
        other.episodes.iter_mut().for_each(|episode| episode.index += next);
        self.join(other, &Joining { weight, same_robot: Some(true), cameras: None })?;
        if let Some(companion) = self.companions.last_mut() {
            companion.is_later = true;
        }
        Ok(())
    }

    /// Splits home's episodes and, each dataset for itself, those recorded later ([`crate::split::split`]); what other companions hold is
    /// not in it. What was held out stays held out whatever comes later.
    pub fn split(&self, held_out_fraction: f64, seed: u64) -> Split {
        let mut all = split(self.home_episodes(), held_out_fraction, seed);
        for (i, later) in self.companions.iter().enumerate().filter(|(_, companion)| companion.is_later) {
            let own = split(later.episodes, held_out_fraction, seed.wrapping_add(1 + i as u64));
            all.train.extend(own.train.iter().map(|position| later.first_episode + position));
            all.held_out.extend(own.held_out.iter().map(|position| later.first_episode + position));
        }
        all
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

/// Keys of the cameras, in order.
fn cameras(spec: &DatasetSpec) -> Vec<(&str, &[String])> {
    spec.cameras.iter().map(|camera| (camera.key.as_str(), &[][..])).collect()
}

fn in_words(features: &[(&str, &[String])]) -> String {
    let word = |(key, names): &(&str, &[String])| match names {
        [] => (*key).to_owned(),
        names => format!("{key} [{}]", names.join(", ")),
    };
    if features.is_empty() { "none".to_owned() } else { features.iter().map(word).collect::<Vec<_>>().join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{CameraFeature, VectorFeature};

    fn spec(source: &str, rate_hz: f64, cameras: &[&str]) -> DatasetSpec {
        let camera =
            |key: &&str| CameraFeature { key: (*key).to_owned(), native_height: 8, native_width: 8, model_size: 8 };
        DatasetSpec {
            source: source.to_owned(),
            codebase_version: "v3.0".to_owned(),
            robot_type: None,
            control_rate_hz: rate_hz,
            state: Vec::new(),
            hints: Vec::new(),
            action: VectorFeature { key: "action".to_owned(), names: Vec::new(), offset: 0, len: 0 },
            cameras: cameras.iter().map(camera).collect(),
            tasks: Vec::new(),
            has_reward: false,
            has_success: false,
        }
    }

    fn named(cameras: &[&str]) -> Joining {
        Joining { cameras: Some(cameras.iter().map(|&key| key.to_owned()).collect()), ..Joining::default() }
    }

    #[test]
    fn only_cameras_of_use_are_read_by_name_or_as_told() -> Result<(), Error> {
        let (home, theirs) = (spec("real", 30.0, &["top", "wrist"]), spec("sim", 29.97, &["side", "wrist", "front"]));
        let read = |how: Joining| how.check(&home, &theirs).map(|()| how.cameras_to_read(&home, &theirs));
        assert_eq!(read(Joining::default())?, ["wrist"]);
        assert_eq!(read(named(&["front", ""]))?, ["front"]);
        assert!(read(named(&["", ""]))?.is_empty());
        Ok(())
    }

    #[test]
    fn what_would_mislead_without_a_word_is_refused() {
        let (home, theirs) = (spec("real", 30.0, &["top", "wrist"]), spec("sim", 30.0, &["side", "front"]));
        let refused = |how: &Joining, theirs: &DatasetSpec| how.check(&home, theirs).err().map(|e| e.to_string());
        // The second of two would have been black.
        let twice = refused(&named(&["front", "front"]), &theirs);
        assert_eq!(
            twice.as_deref(),
            Some("sim: camera front is named twice; expected another camera, or \"\" for none")
        );
        let few = refused(&named(&["front"]), &theirs);
        assert_eq!(
            few.as_deref(),
            Some("sim: 1 cameras are named for it; expected 2, one (or \"\" for none) for each of real")
        );
        let rate = refused(&Joining::default(), &spec("slow", 10.0, &[])).unwrap_or_default();
        assert!(rate.contains("its control rate is 10 Hz; expected 30 Hz, as real"), "{rate}");
    }
}
