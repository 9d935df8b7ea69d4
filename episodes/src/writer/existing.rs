//! A LeRobot v3.0 dataset that episodes are added to: what it holds, whether they fit, and how they move in.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value, json};

use super::columns::Columns;
use super::footage::Medium;
use super::meta::{DATA_PATH, data_file, episodes_file};
use super::stats::Stats;
use super::videos::VIDEO_PATH;
use super::{CHUNK_FILES, INTERVENTION, bad, io, parquet_error};
use crate::holes::Holes;
use crate::lerobot::features::{element_names, height_width};
use crate::lerobot::info::{Feature, Info, Layout};
use crate::lerobot::listing::{self, Listing, files};
use crate::lock::{Claim, LockFile};
use crate::{DatasetSpec, Error};

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
    features: BTreeMap<String, Feature>,
    stats: Map<String, Value>,
    /// Columns of its list of episodes.
    listed: SchemaRef,
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
        let known = Info::read(path)?;
        if known.layout() != Layout::SharedFiles {
            return Err(Error::NotADataset {
                found: format!("its codebase_version is {}", known.codebase_version),
                expected: "a LeRobot dataset of version v3.0 to append to (convert it first)".to_owned(),
                path: path.to_path_buf(),
            });
        }
        let mut holes = Holes::default();
        let (tasks, _) = listing::tasks(path, &known, &mut holes);
        let listing = Listing::read(path, &known, &[], &mut holes);
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
            features: known.features,
            stats,
            listed: list_columns(path)?,
            episodes,
            frames: listing.episodes.iter().map(|episode| episode.length).sum(),
            tasks,
            next_data_file: next_number(path, "data", "parquet"),
            next_episodes_file: next_number(path, "meta/episodes", "parquet"),
        })
    }

    /// Its columns and cameras.
    pub(super) fn features(&self) -> &BTreeMap<String, Feature> {
        &self.features
    }

    /// Columns of its list of episodes; those of files that are added must be the same.
    pub(super) fn listed(&self) -> SchemaRef {
        self.listed.clone()
    }

    /// The column that says when a person had the controls, if it has one.
    pub(super) fn intervention(&self) -> Option<&'static str> {
        INTERVENTION.into_iter().find(|name| self.features.contains_key(*name))
    }

    /// How it keeps a camera.
    pub(super) fn medium(&self, key: &str) -> Medium {
        match self.features.get(key).map(|feature| feature.dtype.as_str()) {
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
        let ours: BTreeMap<String, Feature> = serde_json::from_value(columns.info_features()).unwrap_or_default();
        if let Some(key) = self.features.keys().find(|key| !ours.contains_key(*key)) {
            return refuse(format!("it has feature '{key}', what is appended has not"), "the same features".to_owned());
        }
        for (key, ours) in &ours {
            let Some(theirs) = self.features.get(key) else {
                return refuse(
                    format!("it has no feature '{key}', what is appended has"),
                    "the same features".to_owned(),
                );
            };
            let differs = |part: &str, found: &dyn std::fmt::Debug, wanted: &dyn std::fmt::Debug| {
                refuse(format!("{part} of feature '{key}' is {found:?}"), format!("{wanted:?}"))
            };
            if theirs.dtype != ours.dtype {
                return differs("dtype", &theirs.dtype, &ours.dtype);
            }
            // Axes of pictures may come in another order, and numbers in a scalar's place.
            let is_same_shape = match ours.is_camera() {
                true => height_width(theirs) == height_width(ours),
                false => theirs.shape == ours.shape || theirs.len() == 1 && ours.len() == 1,
            };
            if !is_same_shape {
                return differs("shape", &theirs.shape, &ours.shape);
            }
            // Datasets may do without names; elements are then numbered.
            let names = |feature: &Feature| element_names(key, &feature.names, feature.len());
            let numbered = element_names(key, &Value::Null, ours.len());
            if !ours.is_camera() && names(theirs) != names(ours) && ![names(theirs), names(ours)].contains(&numbered) {
                return differs("names", &names(theirs), &names(ours));
            }
            if let Err(name) = Stats::read(&self.stats.get(key).cloned().unwrap_or_default()) {
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

    /// Statistics of a feature over what was there and what is added.
    pub(super) fn stats(&self, key: &str, added: &Stats) -> Stats {
        let known = self.stats.get(key).and_then(|entry| Stats::read(entry).ok());
        known.map_or_else(|| added.clone(), |known| known.merge(added))
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

/// Columns of the list of episodes below a dataset's root; files of the list agree on them.
fn list_columns(root: &Path) -> Result<SchemaRef, Error> {
    let Some(file) = files(root, Path::new("meta/episodes"), "parquet").into_iter().next() else {
        return Err(bad(&root.join("meta/episodes"), "has no file".to_owned(), "a list of episodes to append to"));
    };
    let path = root.join(file);
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).map_err(io("cannot read", &path))?);
    Ok(reader.map_err(|e| parquet_error(&path, e))?.schema().clone())
}
