//! The written files, read back with plain parquet and JSON readers.

use super::*;
use crate::{CameraFeature, Episode, VectorFeature};
use arrow::array::AsArray;
use arrow::datatypes::{Float32Type, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn vector(key: &str, offset: usize, len: usize) -> VectorFeature {
    VectorFeature { key: key.to_owned(), names: (0..len).map(|i| format!("n{i}")).collect(), offset, len }
}

fn spec() -> DatasetSpec {
    DatasetSpec {
        source: String::new(),
        codebase_version: "v3.0".to_owned(),
        robot_type: Some("toy".to_owned()),
        control_rate_hz: 10.0,
        state: vec![vector("observation.state", 0, 2), vector("observation.force", 2, 1)],
        hints: Vec::new(),
        action: vector("action", 0, 2),
        cameras: vec![CameraFeature {
            key: "observation.image".to_owned(),
            native_height: 4,
            native_width: 5,
            model_size: 4,
        }],
        tasks: Vec::new(),
        has_reward: true,
        has_success: true,
    }
}

fn recorded(len: usize, task: &str) -> RecordedEpisode {
    RecordedEpisode {
        episode: Episode {
            index: 99,
            task: task.to_owned(),
            len,
            state: (0..3 * len).map(|i| i as f32).collect(),
            hint: Vec::new(),
            action: (0..2 * len).map(|i| -(i as f32)).collect(),
            reward: Some(vec![0.5; len]),
            success: Some((0..len).map(|t| t + 1 == len).collect()),
            intervention: None,
            terminated: true,
            truncated: false,
            first_frame: 99,
        },
        frames: vec![(0..len * 60).map(|i| (i % 251) as u8).collect()],
    }
}

fn read(path: &Path) -> Result<Vec<arrow::array::RecordBatch>, Box<dyn std::error::Error>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?.build()?;
    Ok(reader.collect::<Result<_, _>>()?)
}

#[test]
fn what_goes_in_comes_out() -> Outcome {
    let dir = tempfile::tempdir()?;
    let root = dir.path().join("set");
    let mut writer = LeRobotWriter::create(&root, &spec())?;
    writer.push(&recorded(3, "push"))?;
    writer.push(&recorded(2, "pull"))?;
    assert!(!root.exists(), "the dataset appears only when it is complete");
    writer.finish()?;

    let path = root.join(meta::data_file(0, 0));
    assert_eq!(ParquetRecordBatchReaderBuilder::try_new(File::open(&path)?)?.metadata().num_row_groups(), 2);
    let rows = arrow::compute::concat_batches(&read(&path)?[0].schema(), &read(&path)?)?;
    let column = |name: &str| rows.column_by_name(name).expect("the column was written").clone();
    assert_eq!(rows.num_rows(), 5);
    assert_eq!(column("index").as_primitive::<Int64Type>().values().to_vec(), vec![0, 1, 2, 3, 4]);
    assert_eq!(column("frame_index").as_primitive::<Int64Type>().values().to_vec(), vec![0, 1, 2, 0, 1]);
    assert_eq!(column("task_index").as_primitive::<Int64Type>().values().to_vec(), vec![0, 0, 0, 1, 1]);
    assert_eq!(column("timestamp").as_primitive::<Float32Type>().value(2), 0.2);
    assert_eq!(
        column("observation.force").as_primitive::<Float32Type>().values().to_vec(),
        vec![2.0, 5.0, 8.0, 2.0, 5.0]
    );
    let state = column("observation.state");
    assert_eq!(state.as_fixed_size_list().value(1).as_primitive::<Float32Type>().values().to_vec(), vec![3.0, 4.0]);
    let done: Vec<bool> = column("next.terminated").as_boolean().iter().flatten().collect();
    assert_eq!(done, vec![false, false, true, false, true]);

    let picture = column("observation.image");
    let bytes = picture.as_struct().column(0).clone();
    let decoded = image::load_from_memory(bytes.as_binary::<i32>().value(1))?.to_rgb8();
    assert_eq!((decoded.height(), decoded.width()), (4, 5));
    assert_eq!(decoded.as_raw()[..], recorded(3, "push").frames[0][60..120]);

    let stats: serde_json::Value = serde_json::from_str(&fs::read_to_string(root.join("meta/stats.json"))?)?;
    assert_eq!(stats["observation.state"]["max"], serde_json::json!([6.0, 7.0]));
    assert_eq!(stats["observation.image"]["min"].as_array().map(Vec::len), Some(3));
    let episodes = &read(&root.join("meta/episodes/chunk-000/file-000.parquet"))?[0];
    let to = episodes.column_by_name("dataset_to_index").expect("the column was written");
    assert_eq!(to.as_primitive::<Int64Type>().values().to_vec(), vec![3, 5]);
    Ok(())
}

#[test]
fn an_existing_directory_is_left_alone() -> Outcome {
    let dir = tempfile::tempdir()?;
    let error = LeRobotWriter::create(dir.path(), &spec()).err().expect("the directory exists");
    assert!(error.to_string().contains("already exists"), "{error}");
    Ok(())
}

#[test]
fn a_wrong_shape_is_refused_and_the_rest_still_written() -> Outcome {
    let dir = tempfile::tempdir()?;
    let root = dir.path().join("set");
    let mut writer = LeRobotWriter::create(&root, &spec())?;
    let mut bad = recorded(3, "push");
    bad.episode.action.pop();
    let error = writer.push(&bad).expect_err("an action is missing").to_string();
    assert!(error.contains("5 action values") && error.contains("expected 6"), "{error}");
    let mut bad = recorded(3, "push");
    bad.episode.reward = None;
    let error = writer.push(&bad).expect_err("the reward is missing").to_string();
    assert!(error.contains("no reward column"), "{error}");
    writer.push(&recorded(3, "push"))?;
    writer.finish()?;
    assert!(root.join("meta/info.json").exists());
    Ok(())
}

#[test]
fn an_abandoned_writer_leaves_nothing_behind() -> Outcome {
    let dir = tempfile::tempdir()?;
    let mut writer = LeRobotWriter::create(dir.path().join("set"), &spec())?;
    writer.push(&recorded(3, "push"))?;
    drop(writer);
    assert_eq!(fs::read_dir(dir.path())?.count(), 0);
    let empty = LeRobotWriter::create(dir.path().join("set"), &spec())?.finish();
    assert!(empty.is_err());
    Ok(())
}

#[test]
fn imagined_episodes_are_marked_at_every_step_and_wherever_they_are_read() -> Outcome {
    let dir = tempfile::tempdir()?;
    let root = dir.path().join("imagined");
    let mut writer = LeRobotWriter::create(&root, &spec())?;
    let origin = |doubt: &[f32]| Origin { from_episode: 7, from_step: 12, doubt: doubt.to_vec() };
    let refused = writer.push_imagined(&recorded(3, "push"), origin(&[0.5])).map_err(|error| error.to_string());
    assert!(refused.is_err_and(|words| words.contains("1 doubt values") && words.contains("3 for 3 steps")));
    writer.push_imagined(&recorded(3, "push"), origin(&[0.25, 0.5, 0.75]))?;
    let refused = writer.push(&recorded(2, "push")).map_err(|error| error.to_string());
    assert!(refused.is_err_and(|words| words.contains("no doubt column")), "what was recorded stays apart");
    writer.finish()?;

    let path = root.join(meta::data_file(0, 0));
    let rows = arrow::compute::concat_batches(&read(&path)?[0].schema(), &read(&path)?)?;
    let column = |name: &str| rows.column_by_name(name).expect("the column was written").clone();
    assert_eq!(column("is_imagined").as_boolean().true_count(), 3);
    assert_eq!(column("imagined.doubt").as_primitive::<Float32Type>().values().to_vec(), vec![0.25, 0.5, 0.75]);
    assert_eq!(column("imagined.from_episode").as_primitive::<Int64Type>().values().to_vec(), vec![7; 3]);
    assert_eq!(column("imagined.from_step").as_primitive::<Int64Type>().values().to_vec(), vec![12; 3]);
    let info: serde_json::Value = serde_json::from_str(&fs::read_to_string(root.join("meta/info.json"))?)?;
    assert_eq!(info["imagined"], crate::IMAGINED);
    assert_eq!(info["features"]["is_imagined"]["dtype"], "bool");
    assert!(fs::read_to_string(root.join("README.md"))?.contains(crate::IMAGINED));

    let options = crate::OpenOptions {
        path: root.clone(),
        cache_dir: dir.path().join("cache"),
        state_keys: vec![crate::dataset::ALL.to_owned()],
        ..crate::OpenOptions::default()
    };
    let dataset = crate::Dataset::open(&options, &mut |_| ())?;
    assert!(dataset.is_imagined);
    let inspection = crate::inspect(&dataset, &crate::OutcomeRule::from(crate::RewardRule::Auto));
    assert!(inspection.is_imagined && inspection.to_string().contains(crate::IMAGINED));
    let out = dir.path().join("converted");
    let to = crate::Destination { path: &out, append: false, pictures: Pictures::Embedded };
    let refused = crate::convert(&options, &to, &|| false, &mut |_| ()).map_err(|error| error.to_string());
    assert!(refused.is_err_and(|words| words.contains("imagined by a world model")));
    assert!(!out.exists());
    Ok(())
}
