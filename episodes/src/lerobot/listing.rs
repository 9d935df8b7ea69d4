//! The tasks and the list of episodes in `meta/`: what the dataset claims to hold, and where.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::columns::{doubles, first_texts, integers, texts};
use super::info::{Info, Layout};
use super::table::{Table, convert};
use crate::holes::{Holes, Why};

/// Where an episode's frames of one camera begin.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VideoPlace {
    /// The video, relative to the dataset.
    pub file: PathBuf,
    /// Presentation time of the first frame, seconds.
    pub from_s: f64,
}

/// One episode as the dataset lists it.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    /// `episode_index`.
    pub index: usize,
    /// Promised number of frames.
    pub length: usize,
    /// First task text; empty where there is none.
    pub task: String,
    /// The data file, relative to the dataset.
    pub data_file: PathBuf,
    /// One place per camera key asked for.
    pub videos: Vec<VideoPlace>,
}

/// What `meta/` says beside `info.json`.
pub(crate) struct Listing {
    /// Episodes in ascending order.
    pub episodes: Vec<Listed>,
    /// The listing for messages, e.g. `meta/episodes.jsonl`.
    pub name: &'static str,
    /// The files that were read, relative to the dataset.
    pub files: Vec<PathBuf>,
}

impl Listing {
    /// Reads the list of episodes; `video_keys` are the cameras whose videos will be wanted.
    pub fn read(root: &Path, info: &Info, video_keys: &[&str], holes: &mut Holes) -> Listing {
        let mut listing = Listing { episodes: Vec::new(), name: "", files: Vec::new() };
        match info.layout() {
            Layout::FilePerEpisode => listing.read_lines(root, info, video_keys, holes),
            Layout::SharedFiles => listing.read_tables(root, info, video_keys, holes),
        }
        listing.episodes.sort_by_key(|episode| episode.index);
        let name = listing.name;
        listing.episodes.dedup_by(|later, first| {
            let twice = later.index == first.index;
            if twice {
                holes.fault(format!("second entry of episode {}", first.index), format!("is listed twice in {name}"));
            }
            twice
        });
        listing
    }

    fn read_lines(&mut self, root: &Path, info: &Info, video_keys: &[&str], holes: &mut Holes) {
        #[derive(Deserialize)]
        struct Line {
            episode_index: usize,
            length: usize,
            #[serde(default)]
            tasks: Vec<String>,
        }
        self.name = "meta/episodes.jsonl";
        self.files.push(PathBuf::from(self.name));
        for line in json_lines::<Line>(root, self.name, holes) {
            let videos = video_keys.iter().map(|key| {
                let file = info.video_file(key, line.episode_index, (0, 0))?;
                Ok(VideoPlace { file, from_s: 0.0 })
            });
            let data_file = info.data_file(line.episode_index, (0, 0));
            match data_file.and_then(|data_file| Ok((data_file, videos.collect::<Result<_, String>>()?))) {
                Ok((data_file, videos)) => self.episodes.push(Listed {
                    index: line.episode_index,
                    length: line.length,
                    task: line.tasks.into_iter().next().unwrap_or_default(),
                    data_file,
                    videos,
                }),
                Err(why) => holes.episode(line.episode_index, Why::new(why)),
            }
        }
    }

    fn read_tables(&mut self, root: &Path, info: &Info, video_keys: &[&str], holes: &mut Holes) {
        self.name = "meta/episodes";
        let files = parquet_files(root, Path::new(self.name));
        if files.is_empty() {
            holes.fault(self.name, "holds no parquet file, so no episode is known");
        }
        for file in files {
            let rows = Table::read_all(&root.join(&file), |column| !column.starts_with("stats/"))
                .and_then(|table| rows(&table, info, video_keys));
            match rows {
                Ok(rows) => self.episodes.extend(rows),
                Err(why) => holes.fault(file.display().to_string(), format!("cannot be read ({why})")),
            }
            self.files.push(file);
        }
    }
}

/// The episodes in one table of the v3 listing.
fn rows(table: &RecordBatch, info: &Info, video_keys: &[&str]) -> Result<Vec<Listed>, String> {
    let index = whole(table, "episode_index")?;
    let length = whole(table, "length")?;
    let (chunk, file) = (whole(table, "data/chunk_index")?, whole(table, "data/file_index")?);
    let tasks = convert(table, "tasks", first_texts).unwrap_or_default();
    let mut videos: Vec<Vec<VideoPlace>> = vec![Vec::with_capacity(video_keys.len()); index.len()];
    for key in video_keys {
        let column = |name: &str| format!("videos/{key}/{name}");
        let chunk = whole(table, &column("chunk_index"))?;
        let file = whole(table, &column("file_index"))?;
        let from_s = convert(table, &column("from_timestamp"), doubles)?;
        for (row, places) in videos.iter_mut().enumerate() {
            let file = info.video_file(key, index[row], (chunk[row], file[row]))?;
            places.push(VideoPlace { file, from_s: from_s[row] });
        }
    }
    videos
        .into_iter()
        .enumerate()
        .map(|(row, videos)| {
            let data_file = info.data_file(index[row], (chunk[row], file[row]))?;
            let task = tasks.get(row).cloned().unwrap_or_default();
            Ok(Listed { index: index[row], length: length[row], task, data_file, videos })
        })
        .collect()
}

fn whole(table: &RecordBatch, name: &str) -> Result<Vec<usize>, String> {
    let values = convert(table, name, integers)?;
    values.into_iter().map(|n| usize::try_from(n).map_err(|_| format!("column '{name}' holds {n}"))).collect()
}

/// Task texts in `task_index` order and the file they came from; none where the dataset has no task list.
pub(crate) fn tasks(root: &Path, info: &Info, holes: &mut Holes) -> (Vec<String>, PathBuf) {
    #[derive(Deserialize)]
    struct Line {
        task_index: usize,
        task: String,
    }
    let mut by_index: BTreeMap<usize, String> = BTreeMap::new();
    let name = match info.layout() {
        Layout::FilePerEpisode => {
            const NAME: &str = "meta/tasks.jsonl";
            by_index.extend(json_lines::<Line>(root, NAME, holes).into_iter().map(|line| (line.task_index, line.task)));
            NAME
        }
        Layout::SharedFiles => {
            const NAME: &str = "meta/tasks.parquet";
            let found = Table::read_all(&root.join(NAME), |_| true).and_then(|table| {
                let index = whole(&table, "task_index")?;
                let task = convert(&table, "task", texts).or_else(|_| convert(&table, "__index_level_0__", texts))?;
                Ok(index.into_iter().zip(task))
            });
            match found {
                Ok(found) => by_index.extend(found),
                Err(why) => holes.fault(NAME, format!("cannot be read ({why}), task texts may be missing")),
            }
            NAME
        }
    };
    let len = by_index.last_key_value().map_or(0, |(index, _)| index + 1).min(MAX_TASKS);
    let tasks = (0..len).map(|index| by_index.remove(&index).unwrap_or_default()).collect();
    (tasks, PathBuf::from(name))
}

/// More tasks than any dataset has; a broken index must not exhaust the memory.
const MAX_TASKS: usize = 1_000_000;

/// Reads a JSON-lines file; broken lines and a missing file are named and passed over.
fn json_lines<T: DeserializeOwned>(root: &Path, name: &str, holes: &mut Holes) -> Vec<T> {
    let text = match std::fs::read(root.join(name)) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(err) => {
            holes.fault(name, format!("cannot be read ({err})"));
            return Vec::new();
        }
    };
    let mut parsed = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match serde_json::from_str(line) {
            Ok(value) => parsed.push(value),
            Err(err) => {
                holes.fault(format!("{name} line {}", number + 1), format!("is not what belongs there ({err})"))
            }
        }
    }
    parsed
}

/// The parquet files in a folder of the dataset and the folders below it, sorted, relative to the dataset.
pub(crate) fn parquet_files(root: &Path, folder: &Path) -> Vec<PathBuf> {
    files(root, folder, "parquet")
}

/// The files of one kind in a folder of the dataset and the folders below it, sorted, relative to the dataset.
pub(crate) fn files(root: &Path, folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(root.join(&folder)) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = folder.join(entry.file_name());
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
