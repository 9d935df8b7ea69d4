//! Tests of the reader on small made-up datasets, sound and broken, and on real ones where they are at hand.

mod broken;
mod needs;
mod outcomes;
mod pictures;
mod real;
mod sound;

use std::fs::{create_dir_all, write};
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, FixedSizeListArray, Float32Array, Int64Array, LargeStringArray, ListArray,
    RecordBatch, StringArray, StructArray,
};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::dataset::{Dataset, OpenOptions};
use crate::error::Error;
use crate::spec::Skipped;

/// The camera of [`Rows::with_pictures`].
const CAMERA: &str = "observation.images.top";

/// Rows of one or more episodes as they will be written; tests spoil single cells before that.
#[derive(Clone, Default)]
struct Rows {
    episode: Vec<i64>,
    frame: Vec<i64>,
    time_s: Vec<f32>,
    state: Vec<[f32; 2]>,
    action: Vec<Vec<f64>>,
    reward: Vec<f32>,
    /// Empty: the column is not written.
    success: Vec<bool>,
    pictures: Option<Vec<Vec<u8>>>,
    /// Further flags, by column.
    flags: Vec<(&'static str, Vec<bool>)>,
}

impl Rows {
    /// Sound episodes of the given (index, length) at 10 Hz. State is (episode, frame), action the negative of it;
    /// even episodes end in success.
    fn new(episodes: &[(i64, i64)]) -> Rows {
        let mut rows = Rows::default();
        for &(episode, len) in episodes {
            for frame in 0..len {
                rows.episode.push(episode);
                rows.frame.push(frame);
                rows.time_s.push(frame as f32 / 10.0);
                rows.state.push([episode as f32, frame as f32]);
                rows.action.push(vec![-episode as f64, -frame as f64]);
                rows.reward.push(frame as f32 / len as f32);
                rows.success.push(episode % 2 == 0 && frame == len - 1);
            }
        }
        rows
    }

    /// Adds a picture to every row whose colour says which row it is.
    fn with_pictures(mut self) -> Rows {
        let rows = self.episode.iter().zip(&self.frame);
        self.pictures = Some(rows.map(|(&episode, &frame)| png([episode as u8 * 20, frame as u8 * 10, 7])).collect());
        self
    }

    fn write(&self, root: &Path, file: &str) {
        let n = self.episode.len();
        let scalars = |values: &[f32]| Arc::new(Float32Array::from(values.to_vec())) as ArrayRef;
        let indices = |values: &[i64]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        let state = self.state.iter().map(|row| Some(row.map(Some)));
        let action = self.action.iter().map(|row| Some(row.iter().copied().map(Some)));
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            ("observation.state", Arc::new(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(state, 2))),
            ("action", Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(action))),
            ("next.reward", scalars(&self.reward)),
            ("timestamp", scalars(&self.time_s)),
            ("frame_index", indices(&self.frame)),
            ("episode_index", indices(&self.episode)),
            ("index", indices(&(0..n as i64).collect::<Vec<_>>())),
            ("task_index", indices(&vec![0; n])),
        ];
        if !self.success.is_empty() {
            columns.push(("next.success", Arc::new(BooleanArray::from(self.success.clone()))));
        }
        for (name, values) in &self.flags {
            columns.push((name, Arc::new(BooleanArray::from(values.clone()))));
        }
        if let Some(pictures) = &self.pictures {
            let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(pictures));
            let path: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>; n]));
            let field = |name: &str, kind| Arc::new(Field::new(name, kind, true));
            let cells = vec![(field("bytes", DataType::Binary), bytes), (field("path", DataType::Utf8), path)];
            columns.push((CAMERA, Arc::new(StructArray::from(cells))));
        }
        write_table(&root.join(file), columns);
    }
}

/// A 4x4 picture of one colour.
fn png(colour: [u8; 3]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(4, 4, image::Rgb(colour));
    picture.write_to(&mut bytes, image::ImageFormat::Png).expect("memory can be written");
    bytes.into_inner()
}

fn write_table(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    create_dir_all(path.parent().expect("a file in a folder")).expect("the folder can be made");
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let file = std::fs::File::create(path).expect("the file can be made");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a parquet schema");
    writer.write(&batch).expect("the rows can be written");
    writer.close().expect("the footer can be written");
}

/// A made-up dataset in a temporary folder.
struct Made {
    dir: TempDir,
}

impl Made {
    /// A v3.0 dataset that lists the given (episode, length, data file), without data files.
    fn v3(episodes: &[(i64, i64, i64)]) -> Made {
        let made = Made::with_info("v3.0", episodes.iter().map(|&(_, len, _)| len).collect());
        let text = |tasks: Vec<&str>| -> ArrayRef { Arc::new(LargeStringArray::from(tasks)) };
        let tasks: Vec<(&str, ArrayRef)> =
            vec![("task_index", Arc::new(Int64Array::from(vec![0]))), ("__index_level_0__", text(vec!["push"]))];
        write_table(&made.root().join("meta/tasks.parquet"), tasks);
        made.list(episodes);
        made
    }

    /// (Re)writes the v3 list of (episode, length, data file).
    fn list(&self, episodes: &[(i64, i64, i64)]) {
        let column = |pick: fn(&(i64, i64, i64)) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from(episodes.iter().map(pick).collect::<Vec<_>>()))
        };
        let from_s = || Arc::new(Float32Array::from(vec![0.0; episodes.len()]));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("episode_index", column(|e| e.0)),
            ("length", column(|e| e.1)),
            ("data/chunk_index", column(|_| 0)),
            ("data/file_index", column(|e| e.2)),
            ("videos/observation.images.film/chunk_index", column(|_| 0)),
            ("videos/observation.images.film/file_index", column(|e| e.2)),
            ("videos/observation.images.film/from_timestamp", from_s()),
            ("stats/action/min", from_s()),
        ];
        write_table(&self.root().join("meta/episodes/chunk-000/file-000.parquet"), columns);
    }

    /// A v2.1 dataset that lists the given lengths, without data files.
    fn v21(lengths: &[i64]) -> Made {
        let made = Made::with_info("v2.1", lengths.to_vec());
        let lines = lengths.iter().enumerate();
        let lines =
            lines.map(|(i, len)| format!("{}\n", json!({"episode_index": i, "tasks": ["push"], "length": len})));
        write(made.root().join("meta/episodes.jsonl"), lines.collect::<String>()).expect("writable");
        write(made.root().join("meta/tasks.jsonl"), "{\"task_index\": 0, \"task\": \"push\"}\n").expect("writable");
        made
    }

    fn with_info(version: &str, lengths: Vec<i64>) -> Made {
        let made = Made { dir: TempDir::new().expect("a temporary folder") };
        create_dir_all(made.root().join("meta")).expect("writable");
        let scalar = |dtype: &str| json!({"dtype": dtype, "shape": [1], "names": null});
        made.write_info(&json!({
            "codebase_version": version,
            "robot_type": "made_up",
            "total_episodes": lengths.len(),
            "total_frames": lengths.iter().sum::<i64>(),
            "chunks_size": 1000,
            "fps": 10,
            "features": {
                "observation.state": {"dtype": "float32", "shape": [2], "names": {"motors": ["x", "y"]}},
                "action": {"dtype": "float32", "shape": [2], "names": [["x", "y"]]},
                "next.reward": scalar("float32"),
                "next.success": scalar("bool"),
                "timestamp": scalar("float32"),
                "frame_index": scalar("int64"),
                "episode_index": scalar("int64"),
                "index": scalar("int64"),
                "task_index": scalar("int64"),
            },
        }));
        made
    }

    fn root(&self) -> &Path {
        self.dir.path()
    }

    fn write_info(&self, info: &Value) {
        write(self.root().join("meta/info.json"), info.to_string()).expect("writable");
    }

    /// Changes one entry of `info.json`, addressed by a JSON pointer.
    fn set(&self, pointer: &str, value: Value) {
        let text = std::fs::read_to_string(self.root().join("meta/info.json")).expect("readable");
        let mut info: Value = serde_json::from_str(&text).expect("JSON");
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        info.pointer_mut(parent).expect("the parent")[key] = value;
        self.write_info(&info);
    }

    fn options(&self) -> OpenOptions {
        OpenOptions {
            path: self.root().to_path_buf(),
            image_size: 8,
            cache_dir: self.root().join("cache"),
            ..OpenOptions::default()
        }
    }

    fn open(&self) -> Result<Dataset, Error> {
        Dataset::open(&self.options(), &mut |_| {})
    }
}

fn indices(dataset: &Dataset) -> Vec<usize> {
    dataset.episodes.iter().map(|episode| episode.index).collect()
}

fn skipped(what: &str, why: &str) -> Skipped {
    Skipped { what: what.to_owned(), why: why.to_owned() }
}
