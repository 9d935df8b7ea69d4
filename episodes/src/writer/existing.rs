//! A LeRobot v3.0 dataset that episodes are added to: what it holds, whether they fit, and how they move in.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::columns::Columns;
use super::footage::Medium;
use super::meta::{DATA_PATH, data_file, episodes_file};
use super::videos::VIDEO_PATH;
use super::{CHUNK_FILES, bad, io};
use crate::holes::Holes;
use crate::lerobot::features::height_width;
use crate::lerobot::info::{Feature, Info, Layout};
use crate::lerobot::listing::{self, Listing, files};
use crate::lock::{Claim, LockFile};
use crate::{DatasetSpec, Error};

/// Statistics that two sets of rows have together if each has them. Quantiles are not among them.
const STATS: [&str; 5] = ["min", "max", "mean", "std", "count"];

/// In a dataset while somebody adds to it. Left behind by a killed process it is empty and holds nobody up.
const APPEND_LOCK: &str = "meta/.append.lock";

/// Keeps others from adding to the dataset at `path`. Where there is no dataset, or the file system has no locks, there is
/// nothing to hold.
pub(super) fn claim(path: &Path) -> Result<Option<LockFile>, Error> {
    match LockFile::try_claim(&path.join(APPEND_LOCK)) {
        Claim::Held(lock) => Ok(Some(lock)),
        Claim::NoLocks => Ok(None),
        Claim::Taken => {
            let found = "another process is adding episodes to it".to_owned();
            Err(bad(path, found, "one at a time: run the same command again when that one is done"))
        }
    }
}

/// What a dataset holds, as far as adding to it needs.
#[derive(Debug)]
pub(super) struct Existing {
    path: std::path::PathBuf,
    info: Map<String, Value>,
    stats: Value,
    /// Episodes in its list.
    pub(super) episodes: usize,
    /// Steps in its list.
    pub(super) frames: usize,
    /// Task texts in `task_index` order.
    pub(super) tasks: Vec<String>,
    /// Number of the first data file that does not exist, nor any after it.
    pub(super) next_data_file: usize,
    /// The same for the list of episodes.
    pub(super) next_episodes_file: usize,
}

impl Existing {
    /// Reads the metadata of a dataset; a damaged one is refused, since adding would hide the damage.
    pub(super) fn read(path: &Path) -> Result<Existing, Error> {
        let info = Info::read(path)?;
        if info.layout() != Layout::SharedFiles {
            return Err(Error::NotADataset {
                found: format!("its codebase_version is {}", info.codebase_version),
                expected: "a LeRobot dataset of version v3.0 to append to (convert it first)".to_owned(),
                path: path.to_path_buf(),
            });
        }
        let mut holes = Holes::default();
        let (tasks, _) = listing::tasks(path, &info, &mut holes);
        let listing = Listing::read(path, &info, &[], &mut holes);
        holes.refuse_if(true, &path.join("meta"))?;
        let object = |name: &str| -> Result<Map<String, Value>, Error> {
            let file = path.join(name);
            let text = fs::read_to_string(&file).map_err(io("cannot read", &file))?;
            serde_json::from_str(&text)
                .map_err(|err| bad(&file, format!("not a JSON object ({err})"), "a LeRobot dataset to append to"))
        };
        let (info, stats) = (object("meta/info.json")?, object("meta/stats.json")?);
        for (name, ours) in [("data_path", DATA_PATH), ("video_path", VIDEO_PATH)] {
            if let Some(theirs) = info.get(name).and_then(Value::as_str).filter(|theirs| *theirs != ours) {
                let found = format!("{name} is '{theirs}'");
                return Err(bad(&path.join("meta/info.json"), found, &format!("'{ours}' to append to")));
            }
        }
        let (said, listed) = (info.get("total_episodes").and_then(Value::as_u64), listing.episodes.len());
        if let Some(said) = said.filter(|&said| said != listed as u64) {
            let expected = "as many: an append that was killed at its last step has added its episodes already. They can be \
                            read; convert the dataset to a new directory, which counts anew, and append to that";
            return Err(bad(
                &path.join("meta/info.json"),
                format!("says {said} episodes, {listed} are listed"),
                expected,
            ));
        }
        let episodes = listing.episodes.last().map_or(0, |last| last.index + 1);
        if episodes != listing.episodes.len() {
            let found = format!("{} episodes are listed, the last is {}", listing.episodes.len(), episodes - 1);
            return Err(bad(&path.join("meta/episodes"), found, "episodes 0, 1, 2, … to append to"));
        }
        Ok(Existing {
            path: path.to_path_buf(),
            info,
            stats: Value::Object(stats),
            episodes,
            frames: listing.episodes.iter().map(|episode| episode.length).sum(),
            tasks,
            next_data_file: next_number(path, "data", "parquet"),
            next_episodes_file: next_number(path, "meta/episodes", "parquet"),
        })
    }

    /// Whether its episodes say when a person had the controls.
    pub(super) fn has_intervention(&self) -> bool {
        self.info.get("features").is_some_and(|features| features.get("intervention").is_some())
    }

    /// How it keeps a camera.
    pub(super) fn medium(&self, key: &str) -> Medium {
        match self.info.get("features").and_then(|features| features[key]["dtype"].as_str()) {
            Some("video") => Medium::Video,
            _ => Medium::Embedded,
        }
    }

    /// Number of the first video file of a camera that does not exist, nor any after it.
    pub(super) fn next_video_file(&self, key: &str) -> usize {
        next_number(&self.path, &format!("videos/{key}"), "mp4")
    }

    /// Compares rate, features and shapes; the first difference is the reason.
    pub(super) fn refuse_unless_same(&self, spec: &DatasetSpec, columns: &Columns) -> Result<(), Error> {
        let refuse = |found: String, expected: String| {
            Err(bad(&self.path.join("meta/info.json"), found, &format!("{expected} to append to")))
        };
        let fps = self.info.get("fps").and_then(Value::as_f64).unwrap_or(0.0);
        if fps != spec.control_rate_hz {
            return refuse(format!("fps is {fps}"), format!("{}, the rate of what is appended,", spec.control_rate_hz));
        }
        let size = |feature: &Value| serde_json::from_value::<Feature>(feature.clone()).ok().map(|f| height_width(&f));
        let ours = columns.info_features();
        let none = Map::new();
        let theirs = self.info.get("features").and_then(Value::as_object).unwrap_or(&none);
        if let Some(key) = theirs.keys().find(|key| ours.get(key.as_str()).is_none()) {
            return refuse(format!("it has feature '{key}', what is appended has not"), "the same features".to_owned());
        }
        for (key, ours) in ours.as_object().unwrap_or(&none) {
            let Some(theirs) = theirs.get(key) else {
                return refuse(
                    format!("it has no feature '{key}', what is appended has"),
                    "the same features".to_owned(),
                );
            };
            let is_camera = matches!(ours["dtype"].as_str(), Some("image" | "video"));
            for part in ["dtype", "shape", "names"] {
                let (found, wanted) = (&theirs[part], &ours[part]);
                // Names in other forms than a list cannot be compared, and datasets may do without.
                let is_same = found == wanted
                    || part == "names" && (is_camera || !found.is_array() || wanted.is_null())
                    // Axes may come in another order.
                    || part == "shape" && is_camera && size(theirs) == size(ours);
                if !is_same {
                    return refuse(format!("{part} of feature '{key}' is {found}"), wanted.to_string());
                }
            }
            let has = |name: &&str| self.stats[key.as_str()].get(*name).is_some();
            if let Some(name) = STATS.iter().find(|name| !has(name)) {
                let found = format!("has no {name} of '{key}'");
                return Err(bad(&self.path.join("meta/stats.json"), found, "statistics of every feature to append to"));
            }
        }
        Ok(())
    }

    /// `info.json` with so many more episodes and steps, and so many tasks in all.
    pub(super) fn info(&self, episodes: usize, frames: usize, tasks: usize) -> Value {
        let mut info = self.info.clone();
        let episodes = self.episodes + episodes;
        info.insert("total_episodes".to_owned(), json!(episodes));
        info.insert("total_frames".to_owned(), json!(self.frames + frames));
        info.insert("total_tasks".to_owned(), json!(tasks));
        info.insert("splits".to_owned(), json!({"train": format!("0:{episodes}")}));
        Value::Object(info)
    }

    /// Statistics of what was there and what is added, together.
    pub(super) fn stats(&self, added: Value) -> Value {
        let mut stats = Map::new();
        for (key, added) in added.as_object().into_iter().flatten() {
            stats.insert(key.clone(), merge(&self.stats[key.as_str()], added));
        }
        Value::Object(stats)
    }

    /// Moves everything from the partial directory into the dataset: videos, data, tasks, list of episodes, statistics
    /// and `info.json`, in this order. A kill in between leaves files that nothing refers to, or totals that lag behind.
    pub(super) fn move_in(
        &self,
        from: &Path,
        to: &Path,
        new_videos: impl Iterator<Item = String>,
        end_data_file: usize,
    ) -> Result<(), Error> {
        let new_data =
            (self.next_data_file..end_data_file).map(|number| data_file(number / CHUNK_FILES, number % CHUNK_FILES));
        let mut new: Vec<String> = new_videos.chain(new_data).collect();
        let episodes = episodes_file(self.next_episodes_file);
        if let Some(taken) = new.iter().chain([&episodes]).find(|name| to.join(name).exists()) {
            let expected = "nothing there: another process seems to append as well; run the same command again";
            return Err(bad(&to.join(taken), "already exists".to_owned(), expected));
        }
        new.extend(["meta/tasks.parquet".to_owned(), episodes]);
        new.extend(["meta/stats.json", "meta/info.json"].map(str::to_owned));
        for name in new {
            let (from, to) = (from.join(&name), to.join(&name));
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent).map_err(io("cannot create", parent))?;
            }
            fs::rename(&from, &to).map_err(io("cannot move a finished file to", &to))?;
        }
        Ok(())
    }
}

/// One more than the number of the last `chunk-CCC/file-FFF` of a kind below a folder.
fn next_number(root: &Path, folder: &str, extension: &str) -> usize {
    let number = |path: &Path| -> Option<usize> {
        let file = path.file_stem()?.to_str()?.strip_prefix("file-")?.parse::<usize>().ok()?;
        let chunk = path.parent()?.file_name()?.to_str()?.strip_prefix("chunk-")?.parse::<usize>().ok()?;
        Some(chunk * CHUNK_FILES + file)
    };
    let files = files(root, Path::new(folder), extension);
    files.iter().filter_map(|path| number(path)).max().map_or(0, |last| last + 1)
}

/// Statistics of two sets of rows together, element by element, in the shape of `added`.
fn merge(old: &Value, added: &Value) -> Value {
    let of = |stats: &Value, name: &str| {
        let mut leaves = Vec::new();
        flatten(&stats[name], &mut leaves);
        leaves
    };
    let count = |stats: &Value| of(stats, "count").first().copied().unwrap_or(0.0);
    let (n, m) = (count(old), count(added));
    let pair = |name: &str| -> Vec<(f64, f64)> { of(old, name).into_iter().zip(of(added, name)).collect() };
    let (mins, maxs, means, stds) = (pair("min"), pair("max"), pair("mean"), pair("std"));
    let share = |a: f64, b: f64| (n * a + m * b) / (n + m);
    let mean: Vec<f64> = means.iter().map(|&(a, b)| share(a, b)).collect();
    // The mean of squares is additive; the square of the mean is taken off again.
    let std: Vec<f64> = stds
        .iter()
        .zip(&means)
        .zip(&mean)
        .map(|((&(sa, sb), &(a, b)), mean)| {
            let spread = |s: f64, x: f64| s * s + (x - mean) * (x - mean);
            share(spread(sa, a), spread(sb, b)).sqrt()
        })
        .collect();
    let min: Vec<f64> = mins.iter().map(|&(a, b)| a.min(b)).collect();
    let max: Vec<f64> = maxs.iter().map(|&(a, b)| a.max(b)).collect();
    let mut merged = json!({"count": [n + m]});
    if (n + m).fract() == 0.0 {
        merged["count"] = json!([(n + m) as u64]);
    }
    for (name, values) in [("min", min), ("max", max), ("mean", mean), ("std", std)] {
        merged[name] = refill(&added[name], &mut values.into_iter());
    }
    merged
}

/// The numbers in nested lists, in order; booleans count as 0 and 1.
fn flatten(value: &Value, leaves: &mut Vec<f64>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| flatten(item, leaves)),
        Value::Bool(flag) => leaves.push(f64::from(u8::from(*flag))),
        value => leaves.push(value.as_f64().unwrap_or(0.0)),
    }
}

/// The same nesting with other numbers.
fn refill(shape: &Value, leaves: &mut dyn Iterator<Item = f64>) -> Value {
    match shape {
        Value::Array(items) => Value::Array(items.iter().map(|item| refill(item, leaves)).collect()),
        value => leaves.next().map_or_else(|| value.clone(), Value::from),
    }
}
