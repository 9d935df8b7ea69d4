//! `meta/info.json`: version, rates, path templates and the list of features.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;

/// What can be read, as said in errors.
const SUPPORTED: &str =
    "a LeRobot dataset of version v2.0, v2.1 or v3.0, or HDF5 files (robomimic, ALOHA, Minari, D4RL)";

/// How a dataset is spread over files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// v2.0, v2.1: one parquet file and one video per episode and camera.
    FilePerEpisode,
    /// v3.0: many episodes per file.
    SharedFiles,
}

/// The part of `info.json` that matters here; unknown keys are ignored.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Info {
    /// E.g. `v3.0`.
    pub codebase_version: String,
    /// E.g. `so100`.
    pub robot_type: Option<String>,
    /// Promised number of episodes.
    pub total_episodes: Option<usize>,
    /// Promised number of frames.
    pub total_frames: Option<usize>,
    /// Control and recording rate, Hz.
    pub fps: f64,
    /// Episodes per chunk folder (v2).
    chunks_size: Option<usize>,
    data_path: Option<String>,
    video_path: Option<String>,
    /// Columns and cameras by name.
    pub features: BTreeMap<String, Feature>,
}

/// One column or camera.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Feature {
    /// A numpy type name, `image`, `video`, `string`, …
    pub dtype: String,
    /// Elements per axis of one row.
    #[serde(default)]
    pub shape: Vec<usize>,
    /// Axis or element names in one of several historical forms.
    #[serde(default)]
    pub names: Value,
    #[serde(default)]
    info: Value,
    #[serde(default)]
    video_info: Value,
}

impl Feature {
    /// Whether this is a camera.
    pub fn is_camera(&self) -> bool {
        matches!(self.dtype.as_str(), "image" | "video")
    }

    /// Whether this is a column of numbers.
    pub fn is_numeric(&self) -> bool {
        let dtype = self.dtype.as_str();
        dtype == "bool" || ["float", "int", "uint"].iter().any(|prefix| dtype.starts_with(prefix))
    }

    /// An entry of the nested video description (`info`, in older datasets `video_info`).
    pub fn detail(&self, key: &str) -> Option<&Value> {
        self.info.get(key).or_else(|| self.video_info.get(key))
    }

    /// Numbers per row; absurd shapes saturate.
    pub fn len(&self) -> usize {
        self.shape.iter().fold(1, |len, axis| len.saturating_mul(*axis))
    }
}

impl Info {
    /// Reads `meta/info.json` below `root` and checks that the version is one that can be read.
    pub fn read(root: &Path) -> Result<Info, Error> {
        let path = root.join("meta/info.json");
        let not_a_dataset =
            |found: String| Error::NotADataset { found, expected: SUPPORTED.to_owned(), path: root.to_path_buf() };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(_) if !root.exists() => return Err(not_a_dataset("nothing is there".to_owned())),
            Err(source)
                if matches!(source.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
            {
                return Err(not_a_dataset("it has no meta/info.json".to_owned()));
            }
            Err(source) => {
                return Err(Error::Io { doing: "cannot read", source, path });
            }
        };
        let bad =
            |found: String, expected: &str| Error::BadFile { found, expected: expected.to_owned(), path: path.clone() };
        let value: Value =
            serde_json::from_str(&text).map_err(|err| bad(format!("not valid JSON ({err})"), "a LeRobot info.json"))?;
        match value.get("codebase_version").and_then(Value::as_str) {
            Some("v2.0" | "v2.1" | "v3.0") => {}
            Some(version) => return Err(not_a_dataset(format!("its codebase_version is {version}"))),
            None => {
                return Err(not_a_dataset("its meta/info.json has no codebase_version".to_owned()));
            }
        }
        let info: Info = serde_json::from_value(value).map_err(|err| bad(err.to_string(), "a LeRobot info.json"))?;
        if !(info.fps.is_finite() && info.fps > 0.0) {
            return Err(bad(format!("fps is {}", info.fps), "a positive rate in Hz"));
        }
        let templates = [info.data_template(), info.video_path.as_deref().unwrap_or_default()];
        for template in templates {
            if !stays_inside(template) {
                return Err(bad(format!("the path template '{template}'"), "a path inside the dataset"));
            }
        }
        Ok(info)
    }

    /// The folders that data and videos may lie in, beside the usual ones.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        let templates = [Some(self.data_template()), self.video_path.as_deref()];
        let first = templates.into_iter().flatten().filter_map(|template| Some(template.split_once('/')?.0));
        first.filter(|folder| !folder.contains('{'))
    }

    /// Whether a feature is a camera recorded as video.
    pub fn is_video(&self, key: &str) -> bool {
        self.features.get(key).is_some_and(|feature| feature.dtype == "video")
    }

    /// How the episodes are spread over files.
    pub fn layout(&self) -> Layout {
        if self.codebase_version == "v3.0" { Layout::SharedFiles } else { Layout::FilePerEpisode }
    }

    /// The data file of an episode, relative to the dataset; `shared` is (chunk, file) in v3.
    pub fn data_file(&self, episode: usize, shared: (usize, usize)) -> Result<PathBuf, String> {
        self.expand(self.data_template(), "", episode, shared)
    }

    /// The video file of an episode, relative to the dataset; `shared` is (chunk, file) in v3.
    pub fn video_file(&self, key: &str, episode: usize, shared: (usize, usize)) -> Result<PathBuf, String> {
        let template = self.video_path.as_deref().unwrap_or(match self.layout() {
            Layout::FilePerEpisode => "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
            Layout::SharedFiles => "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        });
        self.expand(template, key, episode, shared)
    }

    fn data_template(&self) -> &str {
        self.data_path.as_deref().unwrap_or(match self.layout() {
            Layout::FilePerEpisode => "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
            Layout::SharedFiles => "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        })
    }

    fn expand(&self, template: &str, key: &str, episode: usize, shared: (usize, usize)) -> Result<PathBuf, String> {
        let chunk = episode / self.chunks_size.unwrap_or(1000).max(1);
        expand(template, |name| match name {
            "video_key" => Some(Part::Text(key)),
            "episode_chunk" => Some(Part::Number(chunk)),
            "episode_index" => Some(Part::Number(episode)),
            "chunk_index" => Some(Part::Number(shared.0)),
            "file_index" => Some(Part::Number(shared.1)),
            _ => None,
        })
        .and_then(|path| match stays_inside(&path) {
            // A camera's name is part of the path, and may be anything.
            false => Err(format!("the path '{path}' leads out of the dataset")),
            true => Ok(PathBuf::from(path)),
        })
    }
}

/// Whether a relative path cannot lead out of the folder it starts from.
pub(crate) fn stays_inside(path: &str) -> bool {
    Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

/// More digits than any index has; a broken width must not exhaust the memory.
const MAX_DIGITS: usize = 20;

/// What a placeholder of a path template stands for.
enum Part<'a> {
    Text(&'a str),
    Number(usize),
}

/// Expands a Python format string such as `file-{file_index:03d}.parquet`.
fn expand<'a>(template: &str, lookup: impl Fn(&str) -> Option<Part<'a>>) -> Result<String, String> {
    let mut out = String::with_capacity(template.len() + 16);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let (field, tail) =
            after.split_once('}').ok_or_else(|| format!("the path template '{template}' has an unclosed brace"))?;
        let (name, format) = field.split_once(':').unwrap_or((field, ""));
        let part =
            lookup(name).ok_or_else(|| format!("the path template '{template}' uses the unknown name '{name}'"))?;
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Number(number) => {
                let width = format.trim_end_matches('d').parse().unwrap_or(0_usize).min(MAX_DIGITS);
                out.push_str(&format!("{number:0width$}"));
            }
        }
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_expand_like_python() {
        let lookup = |name: &str| match name {
            "video_key" => Some(Part::Text("observation.images.top")),
            "file_index" => Some(Part::Number(7)),
            "big" => Some(Part::Number(12345)),
            _ => None,
        };
        assert_eq!(
            expand("videos/{video_key}/file-{file_index:03d}.mp4", lookup).as_deref(),
            Ok("videos/observation.images.top/file-007.mp4")
        );
        assert_eq!(expand("{big:03d}/{file_index}", lookup).as_deref(), Ok("12345/7"));
        assert_eq!(expand("{file_index:99999999999999d}", lookup).as_deref(), Ok("00000000000000000007"));
        assert!(expand("{nonsense}", lookup).is_err());
        assert!(expand("{file_index", lookup).is_err());
    }
}
