//! Adding to a dataset that somebody else's recorder wrote: its columns and types are kept to.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use super::*;

const DATA: &str = "data/chunk-000/file-000.parquet";
const LIST: &str = "meta/episodes/chunk-000/file-000.parquet";
/// Ends that only we record.
const OURS: [&str; 2] = ["next.terminated", "next.truncated"];

fn table(path: &Path) -> Result<RecordBatch, Box<dyn std::error::Error>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?.build()?;
    let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>()?;
    Ok(arrow::compute::concat_batches(&batches[0].schema(), &batches)?)
}

fn rewrite(path: &Path, columns: Vec<(String, ArrayRef)>) -> Outcome {
    let fields: Vec<Field> = columns.iter().map(|(n, a)| Field::new(n, a.data_type().clone(), true)).collect();
    let (schema, arrays) = (Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, a)| a).collect());
    let batch = RecordBatch::try_new(schema, arrays)?;
    let mut writer = ArrowWriter::try_new(File::create(path)?, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}

fn columns(batch: &RecordBatch) -> Vec<(String, ArrayRef)> {
    batch.schema().fields().iter().map(|f| f.name().clone()).zip(batch.columns().iter().cloned()).collect()
}

/// Turns a dataset into one as other recorders leave it: no column of ours, names by motor, actions in `float64`, flags as
/// such in the statistics, a column in the list of episodes that nobody here knows.
fn as_others_record(root: &Path) -> Outcome {
    let file = root.join("meta/info.json");
    let mut info: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    let features = info["features"].as_object_mut().ok_or("features are an object")?;
    features.retain(|key, _| !OURS.contains(&key.as_str()));
    for feature in features.values_mut() {
        feature["fps"] = json!(10);
    }
    features["observation.state"]["names"] = json!({"motors": ["n0", "n1"]});
    features["action"]["dtype"] = json!("float64");
    std::fs::write(&file, info.to_string())?;

    let mut rows = columns(&table(&root.join(DATA))?);
    rows.retain(|(key, _)| !OURS.contains(&key.as_str()));
    let list_of = |dtype| DataType::List(Arc::new(Field::new("element", dtype, true)));
    for (key, values) in &mut rows {
        if key == "action" {
            *values = cast(values, &list_of(DataType::Float64))?;
        }
    }
    rewrite(&root.join(DATA), rows)?;

    let mut list = columns(&table(&root.join(LIST))?);
    list.retain(|(key, _)| !OURS.iter().any(|ours| key.starts_with(&format!("stats/{ours}/"))));
    for (key, values) in &mut list {
        if ["stats/next.success/min", "stats/next.success/max"].contains(&key.as_str()) {
            *values = cast(values, &list_of(DataType::Boolean))?;
        }
    }
    let notes: ArrayRef = Arc::new(StringArray::from_iter_values((0..list[0].1.len()).map(|i| format!("note {i}"))));
    list.push(("operator".to_owned(), notes));
    rewrite(&root.join(LIST), list)
}

#[test]
fn episodes_are_added_in_the_columns_and_types_that_are_there() -> Outcome {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    let episodes = [recorded(0, 5, "push", true), recorded(40, 3, "pull", false), recorded(7, 4, "push", true)];
    write(&path("old"), &spec(), &episodes[..1])?;
    as_others_record(&path("old"))?;
    write(&path("new"), &spec(), &episodes[1..])?;
    let before = files(&path("old"))?;
    let known: Value = serde_json::from_slice(&before[&path("old").join("meta/info.json")])?;
    run(&path("new"), &path("old"), true)?;

    let whole = open(&path("old"))?;
    assert!(whole.skipped.is_empty(), "{:?}", whole.skipped);
    for (read, written) in whole.episodes.iter().zip(&episodes) {
        let Episode { index, first_frame, .. } = *read;
        assert_eq!(*read, Episode { index, first_frame, ..written.episode.clone() });
    }
    let info: Value = serde_json::from_slice(&std::fs::read(path("old").join("meta/info.json"))?)?;
    assert_eq!((&info["features"], &info["total_episodes"]), (&known["features"], &json!(3)));
    assert_eq!(files(&path("old"))?[&path("old").join(DATA)], before[&path("old").join(DATA)]);

    let added = table(&path("old").join("data/chunk-000/file-001.parquet"))?;
    let action = added.column_by_name("action").ok_or("there are actions")?;
    assert_eq!(action.as_fixed_size_list().value_type(), DataType::Float64);
    assert!(OURS.iter().all(|key| added.column_by_name(key).is_none()));
    let (old, new) = (table(&path("old").join(LIST))?, table(&path("old").join(LIST.replace("file-000", "file-001")))?);
    assert_eq!(old.schema().fields(), new.schema().fields());
    let column = |name: &str| new.column_by_name(name).cloned().ok_or(format!("{name} is listed"));
    assert_eq!(column("operator")?.null_count(), 2);
    let success = column("stats/next.success/max")?;
    let success: Vec<Option<bool>> = success.as_list::<i32>().values().as_boolean().iter().collect();
    assert_eq!(success, [Some(false), Some(true)]);
    let brightness = column("stats/observation.images.top/q50")?;
    assert_eq!(brightness.as_list::<i32>().value(0).as_list::<i32>().value(0).as_list::<i32>().value_length(0), 1);
    Ok(())
}

#[test]
fn an_end_that_the_columns_cannot_tell_is_refused() -> Outcome {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    write(&path("old"), &spec(), &[recorded(0, 5, "push", true)])?;
    as_others_record(&path("old"))?;
    let mut fallen = recorded(9, 4, "push", true);
    fallen.episode.success = Some(vec![false; 4]);
    write(&path("new"), &spec(), &[fallen])?;
    let before = files(&path("old"))?;
    let error = run(&path("new"), &path("old"), true).expect_err("nothing there could say it").to_string();
    assert!(error.contains("it ended without success") && error.contains("convert that dataset first"), "{error}");
    assert_eq!(files(&path("old"))?, before);
    // As the sentence says: converted, it has the column.
    run(&path("old"), &path("ours"), false)?;
    run(&path("new"), &path("ours"), true)?;
    let ends: Vec<bool> = open(&path("ours"))?.episodes.iter().map(|episode| episode.terminated).collect();
    assert_eq!(ends, [true, true]);
    Ok(())
}

#[test]
fn columns_that_nothing_is_made_of_are_named() -> Outcome {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    write(&path("in"), &spec(), &[recorded(0, 5, "push", true)])?;
    let file = path("in").join("meta/info.json");
    let mut info: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    info["features"]["complementary_info.discrete_penalty"] = json!({"dtype": "float32", "shape": [1], "names": null});
    std::fs::write(&file, info.to_string())?;
    let strict = OpenOptions { strict: true, ..options(&path("in")) };
    let converted = convert(&strict, &to_path(&path("out"), false), &|| false, &mut |_| {})?;
    assert_eq!(converted.skipped.len(), 1);
    assert!(converted.skipped[0].what.contains("discrete_penalty"), "{:?}", converted.skipped);
    Ok(())
}
