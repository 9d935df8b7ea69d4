//! Small sound recordings to be damaged: LeRobot v3.0 with shared files, v2.1 with a file per episode (AV1 and H.264),
//! and a folder of HDF5 files.

use std::fs::{create_dir_all, write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, Int64Array, ListArray, RecordBatch, StringArray,
};
use arrow::datatypes::Float32Type;
use hdf5_pure::FileBuilder;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::json;
use tempfile::TempDir;

/// The camera.
const FILM: &str = "observation.images.film";

/// How a file is damaged.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Json,
    /// One line of a JSON-lines file.
    JsonLine(usize),
    Parquet,
    Video,
    Hdf5,
}

/// A file to damage.
#[derive(Clone, Debug)]
pub struct Target {
    pub file: String,
    pub kind: Kind,
    /// Episodes that have nothing to do with it and must come out as before.
    pub untouched: Vec<usize>,
}

/// A sound recording in a temporary folder.
pub struct Recording {
    dir: TempDir,
    targets: Vec<Target>,
}

impl Recording {
    /// Episodes 0 and 1 (6 steps each) share data file 0 and an AV1 file; episode 2 (12 steps) has file 1, H.264.
    pub fn v3() -> Recording {
        let mut made = Recording::with_info("v3.0", "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet");
        let integers = |values: &[i64]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        let starts = Arc::new(Float32Array::from(vec![0.0, 0.6, 0.0])) as ArrayRef;
        let texts = StringArray::from(vec!["push"]);
        made.table(
            "meta/tasks.parquet",
            Compression::SNAPPY,
            vec![("task_index", integers(&[0])), ("__index_level_0__", Arc::new(texts))],
        );
        let video = |name: &str| format!("videos/{FILM}/{name}");
        let names = ["chunk_index", "file_index", "from_timestamp"].map(video);
        made.table(
            "meta/episodes/chunk-000/file-000.parquet",
            Compression::SNAPPY,
            vec![
                ("episode_index", integers(&[0, 1, 2])),
                ("length", integers(&[6, 6, 12])),
                ("data/chunk_index", integers(&[0; 3])),
                ("data/file_index", integers(&[0, 0, 1])),
                (&names[0], integers(&[0; 3])),
                (&names[1], integers(&[0, 0, 1])),
                (&names[2], starts),
            ],
        );
        made.rows("data/chunk-000/file-000.parquet", Compression::SNAPPY, &[(0, 6), (1, 6)], &[2]);
        made.rows("data/chunk-000/file-001.parquet", Compression::UNCOMPRESSED, &[(2, 12)], &[0, 1]);
        made.film(&format!("videos/{FILM}/chunk-000/file-000.mp4"), "av1", &[2]);
        made.film(&format!("videos/{FILM}/chunk-000/file-001.mp4"), "h264", &[0, 1]);
        made
    }

    /// Three episodes of 12 steps.
    pub fn v21() -> Recording {
        let mut made =
            Recording::with_info("v2.1", "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet");
        let line = |i: usize| json!({"episode_index": i, "tasks": ["push"], "length": 12}).to_string();
        let lines = [0, 1, 2].map(line).join("\n");
        write(made.root().join("meta/episodes.jsonl"), lines).expect("writable");
        write(made.root().join("meta/tasks.jsonl"), "{\"task_index\": 0, \"task\": \"push\"}\n").expect("writable");
        for index in 0..3 {
            let others: Vec<usize> = (0..3).filter(|other| *other != index).collect();
            // A damaged line may name another episode; then that one is listed twice, and which line is meant is unknown.
            made.target("meta/episodes.jsonl", Kind::JsonLine(index), &[]);
            let codec = [Compression::UNCOMPRESSED, Compression::ZSTD(ZstdLevel::default()), Compression::LZ4][index];
            let data = format!("data/chunk-000/episode_{index:06}.parquet");
            made.rows(&data, codec, &[(index as i64, 12)], &others);
            let video = format!("videos/chunk-000/{FILM}/episode_{index:06}.mp4");
            made.film(&video, ["av1", "h264", "av1"][index], &others);
        }
        made.target("meta/tasks.jsonl", Kind::JsonLine(0), &[]);
        made
    }

    /// Three ALOHA files of 12 steps, with compressed vectors and pictures.
    pub fn hdf5() -> Recording {
        let mut made = Recording { dir: TempDir::new().expect("a temporary folder"), targets: Vec::new() };
        for index in 0..3 {
            let others: Vec<usize> = (0..3).filter(|other| *other != index).collect();
            let name = format!("episode_{index}.hdf5");
            let values = |sign: f64| (0..24).map(|i| sign * (index as f64 + f64::from(i))).collect::<Vec<f64>>();
            let mut file = FileBuilder::new();
            file.create_dataset("action").with_f64_data(&values(-1.0)).with_shape(&[12, 2]);
            let mut observations = file.create_group("observations");
            let state = observations.create_dataset("qpos").with_f64_data(&values(1.0)).with_shape(&[12, 2]);
            state.with_chunks(&[5, 2]).with_deflate(6);
            let mut images = observations.create_group("images");
            let pixels: Vec<u8> = (0..12 * 16 * 16 * 3).map(|i| (i / 7 % 256) as u8).collect();
            let film = images.create_dataset("film").with_u8_data(&pixels).with_shape(&[12, 16, 16, 3]);
            film.with_chunks(&[4, 16, 16, 3]).with_deflate(6);
            observations.add_group(images.finish());
            file.add_group(observations.finish());
            file.write(made.root().join(&name)).expect("writable");
            made.target(&name, Kind::Hdf5, &others);
        }
        made
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    fn with_info(version: &str, data_path: &str) -> Recording {
        let made = Recording { dir: TempDir::new().expect("a temporary folder"), targets: Vec::new() };
        create_dir_all(made.root().join("meta")).expect("writable");
        let scalar = |dtype: &str| json!({"dtype": dtype, "shape": [1], "names": null});
        let info = json!({
            "codebase_version": version,
            "robot_type": "made_up",
            "total_episodes": 3,
            "total_frames": if version == "v3.0" { 24 } else { 36 },
            "chunks_size": 1000,
            "fps": 10,
            "data_path": data_path,
            "features": {
                "observation.state": {"dtype": "float32", "shape": [2], "names": {"motors": ["x", "y"]}},
                "action": {"dtype": "float32", "shape": [2], "names": [["x", "y"]]},
                (FILM): {"dtype": "video", "shape": [48, 64, 3], "names": ["height", "width", "channels"],
                         "info": {"video.height": 48, "video.width": 64, "video.is_depth_map": false}},
                "next.reward": scalar("float32"),
                "next.success": scalar("bool"),
                "timestamp": scalar("float32"),
                "frame_index": scalar("int64"),
                "episode_index": scalar("int64"),
                "task_index": scalar("int64"),
            },
        });
        write(made.root().join("meta/info.json"), info.to_string()).expect("writable");
        let mut made = made;
        made.target("meta/info.json", Kind::Json, &[]);
        made
    }

    fn target(&mut self, file: &str, kind: Kind, untouched: &[usize]) {
        self.targets.push(Target { file: file.to_owned(), kind, untouched: untouched.to_vec() });
    }

    /// Rows of the given (episode, length).
    fn rows(&mut self, file: &str, codec: Compression, episodes: &[(i64, i64)], untouched: &[usize]) {
        let rows: Vec<(i64, i64, bool)> =
            episodes.iter().flat_map(|&(e, len)| (0..len).map(move |t| (e, t, t + 1 == len && e != 1))).collect();
        let pair = |sign: f32| rows.iter().map(move |&(e, t, _)| Some([Some(sign * e as f32), Some(sign * t as f32)]));
        let integers = |pick: fn(&(i64, i64, bool)) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from(rows.iter().map(pick).collect::<Vec<_>>()))
        };
        let floats = |pick: fn(&(i64, i64, bool)) -> f32| -> ArrayRef {
            Arc::new(Float32Array::from(rows.iter().map(pick).collect::<Vec<_>>()))
        };
        let success: Vec<bool> = rows.iter().map(|row| row.2).collect();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("observation.state", Arc::new(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(pair(1.0), 2))),
            ("action", Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(pair(-1.0)))),
            ("next.reward", floats(|row| row.1 as f32 / 10.0)),
            ("next.success", Arc::new(BooleanArray::from(success))),
            ("timestamp", floats(|row| row.1 as f32 / 10.0)),
            ("frame_index", integers(|row| row.1)),
            ("episode_index", integers(|row| row.0)),
            ("task_index", integers(|_| 0)),
        ];
        self.table_of(file, codec, columns, untouched);
    }

    fn table(&mut self, file: &str, codec: Compression, columns: Vec<(&str, ArrayRef)>) {
        self.table_of(file, codec, columns, &[]);
    }

    fn table_of(&mut self, file: &str, codec: Compression, columns: Vec<(&str, ArrayRef)>, untouched: &[usize]) {
        let path = self.root().join(file);
        create_dir_all(path.parent().expect("a folder")).expect("writable");
        let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
        let properties = WriterProperties::builder().set_compression(codec).build();
        let file_handle = std::fs::File::create(&path).expect("writable");
        let mut writer = ArrowWriter::try_new(file_handle, batch.schema(), Some(properties)).expect("a schema");
        writer.write(&batch).expect("writable");
        writer.close().expect("writable");
        self.target(file, Kind::Parquet, untouched);
    }

    /// The twelve frames of a fixture.
    fn film(&mut self, file: &str, codec: &str, untouched: &[usize]) {
        let path = self.root().join(file);
        create_dir_all(path.parent().expect("a folder")).expect("writable");
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/colours_{codec}.mp4"));
        std::fs::copy(fixture, path).expect("the fixture is there");
        self.target(file, Kind::Video, untouched);
    }
}
