//! A LeRobot v3.0 dataset of many short episodes, laid out as recorders leave it: in data files one row group per
//! episode, in the listing one per ten episodes with ten statistics of every feature, files cut off at about 100 MB.

use std::error::Error;
use std::fs::{File, create_dir_all, write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, Float64Array, Int64Array, ListArray, RecordBatch,
    StringArray,
};
use arrow::datatypes::{Float32Type, Float64Type};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};

/// Elements of state and of action.
const WIDTH: usize = 6;
/// Steps a second.
const RATE_HZ: f64 = 10.0;
/// The one camera.
const CAMERA: &str = "observation.images.top";
/// Statistics that a recorder keeps of every feature in every episode.
const STATISTICS: [&str; 10] = ["min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"];
/// What the episodes are about, in turns.
const TASKS: [&str; 3] = ["push", "pull", "lift"];
/// Episodes of which the listing is written at once.
const LISTED_AT_ONCE: usize = 10;
/// A file is followed by another one from this size on.
const FILE_BYTES: usize = 100_000_000;
/// A parquet file numbers its row groups in 16 bits.
const ROW_GROUPS: usize = 32_767;

/// What to make.
#[derive(Clone, Copy)]
pub struct Many<'a> {
    /// Number of episodes.
    pub episodes: usize,
    /// Steps of each.
    pub steps: usize,
    /// A video of (at least) `steps` frames at 10 Hz, which every episode claims as its own, and its height and width.
    pub video: Option<(&'a Path, [usize; 2])>,
}

impl Many<'_> {
    /// Writes the dataset into an empty folder.
    pub fn write(&self, root: &Path) -> Result<(), Box<dyn Error>> {
        let features = self.features();
        create_dir_all(root.join("meta"))?;
        write(root.join("meta/info.json"), serde_json::to_vec_pretty(&self.info(&features))?)?;
        write(root.join("meta/stats.json"), b"{}")?;
        let texts: ArrayRef = Arc::new(StringArray::from(TASKS.to_vec()));
        let tasks = table(vec![("task_index".into(), whole(0..TASKS.len())), ("__index_level_0__".into(), texts)])?;
        let mut file = parquet(&root.join("meta/tasks.parquet"), &tasks)?;
        file.write(&tasks)?;
        file.close()?;
        if let Some((video, _)) = self.video {
            let folder = root.join(format!("videos/{CAMERA}/chunk-000"));
            create_dir_all(&folder)?;
            std::fs::copy(video, folder.join("file-000.mp4"))?;
        }
        let mut data = Shared::new(root, "data");
        let mut listing = Shared::new(root, "meta/episodes");
        let mut places = Vec::new();
        for episode in 0..self.episodes {
            places.push(data.row_group(self.rows(episode)?)?);
            if places.len() == LISTED_AT_ONCE || episode + 1 == self.episodes {
                listing.row_group(self.entries(episode + 1 - places.len(), &places, &features)?)?;
                places.clear();
            }
        }
        data.close()?;
        listing.close()
    }

    fn features(&self) -> Vec<(String, Value)> {
        let vector = json!({ "dtype": "float32", "shape": [WIDTH], "names": null });
        let scalar = |dtype: &str| json!({ "dtype": dtype, "shape": [1], "names": null });
        let mut features = vec![
            ("observation.state".to_owned(), vector.clone()),
            ("action".to_owned(), vector),
            ("next.reward".to_owned(), scalar("float32")),
            ("next.success".to_owned(), scalar("bool")),
            ("timestamp".to_owned(), scalar("float32")),
        ];
        let indices = ["frame_index", "episode_index", "index", "task_index"];
        features.extend(indices.map(|key| (key.to_owned(), scalar("int64"))));
        if let Some((_, [height, width])) = self.video {
            let camera =
                json!({ "dtype": "video", "shape": [height, width, 3], "names": ["height", "width", "channels"] });
            features.push((CAMERA.to_owned(), camera));
        }
        features
    }

    fn info(&self, features: &[(String, Value)]) -> Value {
        json!({
            "codebase_version": "v3.0",
            "robot_type": "made up",
            "total_episodes": self.episodes,
            "total_frames": self.episodes * self.steps,
            "total_tasks": TASKS.len(),
            "chunks_size": 1000,
            "fps": RATE_HZ,
            "splits": { "train": format!("0:{}", self.episodes) },
            "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
            "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
            "features": features.iter().cloned().collect::<serde_json::Map<_, _>>(),
        })
    }

    /// The rows of one episode.
    fn rows(&self, episode: usize) -> Result<RecordBatch, Box<dyn Error>> {
        let steps = self.steps;
        let value = |t: usize, i: usize| ((episode * 31 + t * 7 + i * 3) % 1000) as f32 * 1e-3;
        let vectors = |shift: usize| -> ArrayRef {
            let rows = (0..steps).map(|t| Some((0..WIDTH).map(move |i| Some(value(t + shift, i)))));
            Arc::new(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(rows, WIDTH as i32))
        };
        let floats = |of: &dyn Fn(usize) -> f32| -> ArrayRef { Arc::new((0..steps).map(of).collect::<Float32Array>()) };
        let solved: BooleanArray = (0..steps).map(|t| Some(episode.is_multiple_of(2) && t + 1 == steps)).collect();
        table(vec![
            ("observation.state".into(), vectors(0)),
            ("action".into(), vectors(1)),
            ("next.reward".into(), floats(&|t| value(t, 0))),
            ("next.success".into(), Arc::new(solved)),
            ("timestamp".into(), floats(&|t| t as f32 / RATE_HZ as f32)),
            ("frame_index".into(), whole(0..steps)),
            ("episode_index".into(), whole((0..steps).map(|_| episode))),
            ("index".into(), whole((0..steps).map(|t| episode * steps + t))),
            ("task_index".into(), whole((0..steps).map(|_| episode % TASKS.len()))),
        ])
    }

    /// The listing of the episodes from `first` on, whose rows are in the files `places`.
    fn entries(
        &self,
        first: usize,
        places: &[usize],
        features: &[(String, Value)],
    ) -> Result<RecordBatch, Box<dyn Error>> {
        let n = places.len();
        let episodes = || first..first + n;
        let same = |value: usize| whole((0..n).map(|_| value));
        let tasks = StringArray::from_iter_values(episodes().map(|e| TASKS[e % TASKS.len()]));
        let mut columns: Vec<(String, ArrayRef)> = vec![
            ("episode_index".into(), whole(episodes())),
            ("tasks".into(), Arc::new(lists_of_one(Arc::new(tasks))?)),
            ("length".into(), same(self.steps)),
            ("data/chunk_index".into(), same(0)),
            ("data/file_index".into(), whole(places.iter().copied())),
            ("dataset_from_index".into(), whole(episodes().map(|e| e * self.steps))),
            ("dataset_to_index".into(), whole(episodes().map(|e| (e + 1) * self.steps))),
        ];
        if self.video.is_some() {
            let name = |what: &str| format!("videos/{CAMERA}/{what}");
            let times = |s: f64| -> ArrayRef { Arc::new(Float64Array::from(vec![s; n])) };
            columns.extend([(name("chunk_index"), same(0)), (name("file_index"), same(0))]);
            columns.push((name("from_timestamp"), times(0.0)));
            columns.push((name("to_timestamp"), times(self.steps as f64 / RATE_HZ)));
        }
        for (key, feature) in features {
            // A picture's statistics are those of its three colours.
            let width =
                if feature["dtype"] == "video" { 3 } else { feature["shape"][0].as_u64().unwrap_or(1) as usize };
            for (i, statistic) in STATISTICS.iter().enumerate() {
                let rows = episodes().map(|e| Some((0..width).map(move |k| Some(((e + i) * width + k) as f64))));
                let lists = ListArray::from_iter_primitive::<Float64Type, _, _>(rows);
                columns.push((format!("stats/{key}/{statistic}"), Arc::new(lists)));
            }
        }
        columns.extend([("meta/episodes/chunk_index".into(), same(0)), ("meta/episodes/file_index".into(), same(0))]);
        table(columns)
    }
}

fn whole(values: impl IntoIterator<Item = usize>) -> ArrayRef {
    Arc::new(values.into_iter().map(|value| value as i64).collect::<Int64Array>())
}

fn lists_of_one(values: ArrayRef) -> Result<ListArray, Box<dyn Error>> {
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::Field;
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(1, values.len()));
    Ok(ListArray::try_new(field, offsets, values, None)?)
}

fn table(columns: Vec<(String, ArrayRef)>) -> Result<RecordBatch, Box<dyn Error>> {
    Ok(RecordBatch::try_from_iter(columns)?)
}

/// A parquet file for rows like `rows`.
fn parquet(path: &Path, rows: &RecordBatch) -> Result<ArrowWriter<File>, Box<dyn Error>> {
    let how = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    Ok(ArrowWriter::try_new(File::create(path)?, rows.schema(), Some(how))?)
}

fn is_full(writer: &ArrowWriter<File>) -> bool {
    writer.bytes_written() >= FILE_BYTES || writer.flushed_row_groups().len() == ROW_GROUPS
}

/// `chunk-000/file-NNN.parquet` in a folder, one after the other.
struct Shared<'a> {
    root: &'a Path,
    folder: &'a str,
    number: usize,
    open: Option<ArrowWriter<File>>,
}

impl<'a> Shared<'a> {
    fn new(root: &'a Path, folder: &'a str) -> Shared<'a> {
        Shared { root, folder, number: 0, open: None }
    }

    /// Appends a row group; returns the number of the file that took it.
    fn row_group(&mut self, rows: RecordBatch) -> Result<usize, Box<dyn Error>> {
        if self.open.as_ref().is_some_and(is_full) {
            self.close()?;
            self.number += 1;
        }
        let writer = match &mut self.open {
            Some(writer) => writer,
            closed => {
                let folder = self.root.join(self.folder).join("chunk-000");
                create_dir_all(&folder)?;
                closed.insert(parquet(&folder.join(format!("file-{:03}.parquet", self.number)), &rows)?)
            }
        };
        writer.write(&rows)?;
        writer.flush()?;
        Ok(self.number)
    }

    /// Ends the present file.
    fn close(&mut self) -> Result<(), Box<dyn Error>> {
        if let Some(writer) = self.open.take() {
            writer.close()?;
        }
        Ok(())
    }
}
