//! The `meta` directory of a written dataset: info, statistics, tasks and the list of episodes.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, ListArray, ListBuilder, RecordBatch, StringArray, StringBuilder, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde_json::{Value, json};

use super::columns::Columns;
use super::existing::Existing;
use super::stats::Stats;
use super::videos::{VIDEO_PATH, VideoRow};
use super::{CHUNK_FILES, DATA_FILE_MB, imagined, io, open_parquet, parquet_error};
use crate::{DatasetSpec, Error};

/// One line of the list of episodes.
pub(super) struct EpisodeRow {
    pub(super) index: usize,
    pub(super) task: String,
    pub(super) length: usize,
    pub(super) chunk_index: usize,
    pub(super) file_index: usize,
    pub(super) first_frame: usize,
    /// One per camera that is video.
    pub(super) videos: Vec<VideoRow>,
    /// One per column.
    pub(super) stats: Vec<Stats>,
}

/// Where data files are, as Python formats it.
pub(super) const DATA_PATH: &str = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet";

/// Path of a data file below the dataset's root.
pub(super) fn data_file(chunk_index: usize, file_index: usize) -> String {
    format!("data/chunk-{chunk_index:03}/file-{file_index:03}.parquet")
}

/// Path of a file of the list of episodes below the dataset's root.
pub(super) fn episodes_file(number: usize) -> String {
    format!("meta/episodes/chunk-{:03}/file-{:03}.parquet", number / CHUNK_FILES, number % CHUNK_FILES)
}

/// Writes all of `meta/` for the rows of this session, after those of `existing`, if any.
pub(super) fn write(
    dir: &Path,
    spec: &DatasetSpec,
    columns: &Columns,
    tasks: &[String],
    rows: &[EpisodeRow],
    existing: Option<&Existing>,
) -> Result<(), Error> {
    let rate_hz = spec.control_rate_hz;
    let frames: usize = rows.iter().map(|r| r.length).sum();
    let mut info = json!({
        "codebase_version": "v3.0",
        "robot_type": spec.robot_type,
        "total_episodes": rows.len(),
        "total_frames": frames,
        "total_tasks": tasks.len(),
        "chunks_size": CHUNK_FILES,
        "data_files_size_in_mb": DATA_FILE_MB,
        "video_files_size_in_mb": 200,
        // LeRobot declares whole numbers here.
        "fps": if rate_hz.fract() == 0.0 { json!(rate_hz as u64) } else { json!(rate_hz) },
        "splits": {"train": format!("0:{}", rows.len())},
        "data_path": DATA_PATH,
        "video_path": columns.has_videos().then_some(VIDEO_PATH),
        "features": columns.info_features(),
    });
    let mut episodes_number = 0;
    if let Some(existing) = existing {
        info = existing.info(rows.len(), frames, tasks.len());
        episodes_number = existing.next_episodes_file;
    }
    let stats = columns.stats().map(|(key, is_camera, added)| {
        let whole = existing.map_or_else(|| added.clone(), |existing| existing.stats(key, added));
        (key.to_owned(), whole.json(is_camera))
    });
    if columns.marks_imagined() {
        imagined::declare(dir, &mut info)?;
    }
    write_json(&dir.join("meta/info.json"), &info)?;
    write_json(&dir.join("meta/stats.json"), &Value::Object(stats.collect()))?;
    write_tasks(&dir.join("meta/tasks.parquet"), tasks)?;
    let list = episode_columns(columns, rows, episodes_number);
    write_list(&dir.join(episodes_file(episodes_number)), list, existing.map(Existing::listed))
}

fn write_json(path: &Path, value: &Value) -> Result<(), Error> {
    fs::write(path, format!("{value:#}\n")).map_err(io("cannot write", path))
}

/// LeRobot looks task texts up in the pandas index, hence the pandas metadata.
fn write_tasks(path: &Path, tasks: &[String]) -> Result<(), Error> {
    let column = |name: &str, pandas_type: &str, numpy_type: &str| json!({"name": name, "field_name": name, "pandas_type": pandas_type, "numpy_type": numpy_type, "metadata": null});
    let pandas = json!({
        "index_columns": ["task"],
        "column_indexes": [{"name": null, "field_name": null, "pandas_type": "unicode", "numpy_type": "object", "metadata": {"encoding": "UTF-8"}}],
        "columns": [column("task_index", "int64", "int64"), column("task", "unicode", "object")],
        "attributes": {},
        "pandas_version": "2.2.0",
    });
    let schema = Schema::new_with_metadata(
        vec![Field::new("task_index", DataType::Int64, true), Field::new("task", DataType::Utf8, true)],
        [("pandas".to_owned(), pandas.to_string())].into(),
    );
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(0..tasks.len() as i64)),
        Arc::new(StringArray::from_iter_values(tasks)),
    ];
    write_table(path, schema, columns)
}

/// The list of episodes: names of columns and their values.
fn episode_columns(columns: &Columns, rows: &[EpisodeRow], number: usize) -> Vec<(String, ArrayRef)> {
    let mut tasks = ListBuilder::new(StringBuilder::new());
    for r in rows {
        tasks.values().append_value(&r.task);
        tasks.append(true);
    }
    let tasks: ArrayRef = Arc::new(tasks.finish());
    let integers = |of: &dyn Fn(&EpisodeRow) -> usize| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| of(r) as i64)))
    };
    let name = |text: &str| text.to_owned();
    let mut list = vec![
        (name("episode_index"), integers(&|r| r.index)),
        (name("tasks"), tasks),
        (name("length"), integers(&|r| r.length)),
        (name("data/chunk_index"), integers(&|r| r.chunk_index)),
        (name("data/file_index"), integers(&|r| r.file_index)),
        (name("dataset_from_index"), integers(&|r| r.first_frame)),
        (name("dataset_to_index"), integers(&|r| r.first_frame + r.length)),
    ];
    // Every episode has the same cameras.
    for (camera, video) in rows.first().map_or(&[][..], |row| &row.videos).iter().enumerate() {
        let seconds = |of: &dyn Fn(&VideoRow) -> f64| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| of(&r.videos[camera]))))
        };
        let name = |what: &str| format!("videos/{}/{what}", video.key);
        list.extend([
            (name("chunk_index"), integers(&|r| r.videos[camera].number / CHUNK_FILES)),
            (name("file_index"), integers(&|r| r.videos[camera].number % CHUNK_FILES)),
            (name("from_timestamp"), seconds(&|video| video.from_s)),
            (name("to_timestamp"), seconds(&|video| video.to_s)),
        ]);
    }
    for (i, (key, is_camera, _)) in columns.stats().enumerate() {
        // Nested as LeRobot has them: a list of elements, and each colour channel a picture of one pixel.
        let depth = if is_camera { 3 } else { 1 };
        let named: Vec<_> = rows.iter().map(|r| r.stats[i].named()).collect();
        for (which, (statistic, elements)) in named.first().into_iter().flatten().enumerate() {
            let values = named.iter().flat_map(|row| row[which].1.iter().copied());
            let values: ArrayRef = Arc::new(Float64Array::from_iter_values(values));
            let nested = (1..depth).fold(values, |values, _| lists_of(values, 1));
            list.push((format!("stats/{key}/{statistic}"), lists_of(nested, elements.len())));
        }
        list.push((format!("stats/{key}/count"), lists_of(integers(&|r| r.stats[i].count() as usize), 1)));
    }
    list.extend([
        (name("meta/episodes/chunk_index"), integers(&|_| number / CHUNK_FILES)),
        (name("meta/episodes/file_index"), integers(&|_| number % CHUNK_FILES)),
    ]);
    list
}

/// Values as lists of `len` each.
fn lists_of(values: ArrayRef, len: usize) -> ArrayRef {
    let field = Field::new("element", values.data_type().clone(), true);
    let lengths = std::iter::repeat_n(len, values.len() / len.max(1));
    Arc::new(ListArray::new(Arc::new(field), OffsetBuffer::from_lengths(lengths), values, None))
}

/// Writes the list of episodes; with `like`, in the columns and types of a list that there is.
fn write_list(path: &Path, list: Vec<(String, ArrayRef)>, like: Option<SchemaRef>) -> Result<(), Error> {
    let Some(like) = like else {
        let fields: Vec<Field> = list.iter().map(|(name, a)| Field::new(name, a.data_type().clone(), true)).collect();
        return write_table(path, Schema::new(fields), list.into_iter().map(|(_, a)| a).collect());
    };
    let rows = list.first().map_or(0, |(_, a)| a.len());
    let column = |field: &Arc<Field>| match list.iter().find(|(name, _)| name == field.name()) {
        Some((_, values)) => cast(values, field.data_type()).map_err(|e| parquet_error(path, e)),
        // What others keep there cannot be known.
        None => Ok(new_null_array(field.data_type(), rows)),
    };
    let columns: Vec<ArrayRef> = like.fields().iter().map(column).collect::<Result<_, _>>()?;
    write_table(path, Schema::clone(&like), columns)
}

fn write_table(path: &Path, schema: Schema, columns: Vec<ArrayRef>) -> Result<(), Error> {
    let batch = RecordBatch::try_new(Arc::new(schema), columns).map_err(|e| parquet_error(path, e))?;
    let mut file = open_parquet(path, batch.schema())?;
    file.write(&batch).map_err(|e| parquet_error(path, e))?;
    file.close().map_err(|e| parquet_error(path, e))?;
    Ok(())
}
