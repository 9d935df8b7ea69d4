//! Labels, interventions, codecs and versions of made-up datasets: what else a sound dataset may hold.

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::json;

use super::*;
use crate::inspect::inspect;
use crate::outcome::{OutcomeRule, RewardRule};

const FILE_0: &str = "data/chunk-000/file-000.parquet";

/// Episodes 0 to 3; even ones end in a recorded success.
fn four_episodes() -> Made {
    let made = Made::v3(&[(0, 4, 0), (1, 3, 0), (2, 5, 0), (3, 2, 0)]);
    Rows::new(&[(0, 4), (1, 3), (2, 5), (3, 2)]).write(made.root(), FILE_0);
    made
}

fn labelled(made: &Made, text: &str) -> OpenOptions {
    let labels = made.root().join("labels.csv");
    write(&labels, text).expect("writable");
    OpenOptions { labels: Some(labels), ..made.options() }
}

#[test]
fn labels_take_the_place_of_recorded_success() -> Result<(), Error> {
    let made = four_episodes();
    let options = labelled(&made, "episode,success,by\n0,no,Ann\n1,yes,Bo\n2,1,Bo\n");
    let dataset = Dataset::open(&options, &mut |_| {})?;
    assert_eq!(indices(&dataset), [0, 1, 2]);
    assert_eq!(dataset.skipped, [skipped("episode 3", "no label (data.labels)")]);
    let ends = |e: &crate::Episode| (e.succeeded(), e.terminated, e.truncated);
    let found: Vec<_> = dataset.episodes.iter().map(ends).collect();
    // Episode 0 has recorded a success, which the label denies: nothing says any more that it ended.
    assert_eq!(found, [(Some(false), false, true), (Some(true), true, false), (Some(true), true, false)]);
    assert_eq!(dataset.episodes[1].success.as_deref(), Some([false, false, true].as_slice()));

    let rule = OutcomeRule { labels: options.labels.clone(), step_cost: 0.5, ..OutcomeRule::default() };
    let report = inspect(&dataset, &rule);
    assert_eq!(report.success.map(|s| s.episodes), Some(2));
    assert!(report.reward_rule.contains("labelled per episode in") && report.reward_rule.contains("costs 0.5"));
    let resolved = rule.resolve(&dataset.spec);
    assert_eq!(resolved.reward, RewardRule::Column);
    assert_eq!(resolved.apply(&dataset.episodes[0]).reward, [-0.5, -0.25, 0.0, 0.25]);

    let unlabelled = made.open()?;
    assert_ne!(unlabelled.content_id, dataset.content_id);
    let strict = OpenOptions { strict: true, ..options };
    let refusal = Dataset::open(&strict, &mut |_| {}).expect_err("strict").to_string();
    assert!(refusal.contains("episode 3 (no label (data.labels))"), "{refusal}");
    Ok(())
}

#[test]
fn labels_without_a_success_column_are_enough() -> Result<(), Error> {
    let made = Made::v3(&[(0, 4, 0), (1, 3, 0)]);
    Rows { success: vec![], ..Rows::new(&[(0, 4), (1, 3)]) }.write(made.root(), FILE_0);
    let dataset = Dataset::open(&labelled(&made, "episode,success\n1,true\n"), &mut |_| {})?;
    assert_eq!((indices(&dataset), dataset.spec.has_success), (vec![1], true));
    assert_eq!(dataset.skipped, [skipped("episode 0", "no label (data.labels)")]);
    Ok(())
}

#[test]
fn labels_that_lie_are_one_error_that_names_file_and_line() {
    let made = four_episodes();
    let words = |text: &str| Dataset::open(&labelled(&made, text), &mut |_| {}).expect_err("wrong labels").to_string();
    let unknown = words("episode,success\n0,1\n9,1\n");
    assert!(unknown.ends_with("labels.csv: line 3 labels episode 9; expected an episode that the dataset lists"));
    assert!(words("episode,success\n0,1\n0,1\n").contains("labels.csv: line 3 labels episode 0 again"));
    assert!(words("episode,success\n0,perhaps\n").contains("labels.csv: line 2 says episode '0'"));
    let nowhere = OpenOptions { labels: Some(made.root().join("none.csv")), ..made.options() };
    let missing = Dataset::open(&nowhere, &mut |_| {}).expect_err("no labels").to_string();
    assert!(missing.starts_with("cannot read the labels (data.labels) in") && missing.contains("none.csv"));
}

#[test]
fn interventions_are_read_under_both_names_and_reported() -> Result<(), Error> {
    for name in ["intervention", "complementary_info.is_intervention"] {
        let made = Made::v3(&[(0, 4, 0), (1, 3, 0)]);
        let mut rows = Rows::new(&[(0, 4), (1, 3)]);
        rows.flags = vec![(
            name,
            [1, 2].iter().fold(vec![false; 7], |mut flags, &row| {
                flags[row] = true;
                flags
            }),
        )];
        made.set(&format!("/features/{name}"), json!({"dtype": "bool", "shape": [1], "names": null}));
        rows.write(made.root(), FILE_0);
        let dataset = made.open()?;
        assert_eq!(dataset.episodes[0].intervention.as_deref(), Some([false, true, true, false].as_slice()));
        assert_eq!(dataset.episodes[1].intervention.as_deref(), Some([false; 3].as_slice()));
        let report = inspect(&dataset, &OutcomeRule::default()).intervention.expect("recorded");
        assert_eq!((report.episodes, report.steps, report.step_share), (1, 2, 2.0 / 7.0));
    }
    assert_eq!(inspect(&four_episodes().open()?, &OutcomeRule::default()).intervention, None);
    Ok(())
}

#[test]
fn every_codec_of_parquet_is_read() -> Result<(), Error> {
    let made = four_episodes();
    let plain = made.open()?;
    let path = made.root().join(FILE_0);
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&path).expect("readable"));
    let batches: Vec<RecordBatch> =
        reader.expect("parquet").build().expect("rows").collect::<Result<_, _>>().expect("sound rows");
    for codec in [
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ] {
        let properties = WriterProperties::builder().set_compression(codec).build();
        let file = std::fs::File::create(&path).expect("writable");
        let mut writer = ArrowWriter::try_new(file, batches[0].schema(), Some(properties)).expect("a writer");
        batches.iter().for_each(|batch| writer.write(batch).expect("written"));
        writer.close().expect("closed");
        let dataset = made.open()?;
        assert_eq!((&dataset.episodes, &dataset.skipped), (&plain.episodes, &vec![]), "{codec:?}");
    }
    Ok(())
}

/// v2.0 differs from v2.1 in its statistics: one `stats.json` instead of a line per episode.
#[test]
fn v20_reads_like_v21() -> Result<(), Error> {
    let made = Made::v21(&[4, 3]);
    for (index, len) in [(0, 4), (1, 3)] {
        Rows::new(&[(index, len)]).write(made.root(), &format!("data/chunk-000/episode_{index:06}.parquet"));
    }
    let newer = made.open()?;
    made.set("/codebase_version", json!("v2.0"));
    made.set("/total_chunks", json!(1));
    write(made.root().join("meta/stats.json"), json!({"action": {"min": [0, 0]}}).to_string()).expect("writable");
    let older = made.open()?;
    assert_eq!((&older.episodes, &older.skipped), (&newer.episodes, &vec![]));
    assert_eq!(older.spec.codebase_version, "v2.0");
    Ok(())
}

#[test]
fn no_path_leads_out_of_the_dataset() -> Result<(), Error> {
    let made = four_episodes();
    for (key, template) in [
        ("/data_path", "../{file_index}.parquet"),
        ("/data_path", "/etc/{file_index}.parquet"),
        ("/data_path", "data/../../{file_index}.parquet"),
        ("/video_path", "../{video_key}.mp4"),
    ] {
        made.set(key, json!(template));
        let words = made.open().expect_err("leads out").to_string();
        assert!(words.contains(&format!("the path template '{template}'; expected a path inside")), "{words}");
        made.set(key, json!(null));
    }
    // A camera's name becomes a part of the path.
    let made = Made::v21(&[4]);
    Rows::new(&[(0, 4)]).write(made.root(), "data/chunk-000/episode_000000.parquet");
    let text = std::fs::read_to_string(made.root().join("meta/info.json")).expect("readable");
    let mut info: Value = serde_json::from_str(&text).expect("JSON");
    let features = info["features"].as_object_mut().expect("features");
    features.insert("../../film".to_owned(), json!({"dtype": "video", "shape": [4, 4, 3], "names": null}));
    made.write_info(&info);
    let words = made.open().expect_err("leads out").to_string();
    assert!(words.contains("leads out of the dataset"), "{words}");
    Ok(())
}
