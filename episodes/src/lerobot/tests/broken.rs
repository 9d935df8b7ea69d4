//! Broken made-up datasets: what is sound is read, what is not is named.

use serde_json::json;

use super::*;

const FILE_0: &str = "data/chunk-000/file-000.parquet";
const FILE_1: &str = "data/chunk-000/file-001.parquet";

/// A v3 dataset with one data file and the given rows of episodes 0, 1 and 2, four steps each, after spoiling.
fn spoilt(spoil: impl FnOnce(&mut Rows)) -> Made {
    let made = Made::v3(&[(0, 4, 0), (1, 4, 0), (2, 4, 0)]);
    let mut rows = Rows::new(&[(0, 4), (1, 4), (2, 4)]);
    spoil(&mut rows);
    rows.write(made.root(), FILE_0);
    made
}

fn assert_skips_episode_1(made: &Made, why: &str) -> Result<(), Error> {
    let dataset = made.open()?;
    assert_eq!(indices(&dataset), [0, 2]);
    assert_eq!(dataset.skipped, [skipped("episode 1", why)]);
    Ok(())
}

#[test]
fn numbers_that_are_none() -> Result<(), Error> {
    let nan = spoilt(|rows| {
        rows.state[6][1] = f32::NAN;
        rows.state[7][0] = f32::NAN;
    });
    assert_skips_episode_1(&nan, "observation.state element 1 (y) is NaN at frame 2")?;
    let infinite = spoilt(|rows| rows.action[4][0] = f64::INFINITY);
    assert_skips_episode_1(&infinite, "action element 0 (x) is inf at frame 0")?;
    assert_skips_episode_1(&spoilt(|rows| rows.reward[5] = f32::NAN), "next.reward is NaN at frame 1")
}

#[test]
fn frames_out_of_order() -> Result<(), Error> {
    assert_skips_episode_1(&spoilt(|rows| rows.frame[6] = 1), "frame_index 1 appears twice")?;
    assert_skips_episode_1(&spoilt(|rows| rows.frame[7] = 9), "frame_index jumps from 2 to 9")?;
    let back = spoilt(|rows| rows.time_s.swap(5, 6));
    assert_skips_episode_1(&back, "timestamp goes back from 0.200 s to 0.100 s at frame 2")?;
    let still = spoilt(|rows| rows.time_s[6] = rows.time_s[5]);
    assert_skips_episode_1(&still, "timestamp stands still from 0.100 s to 0.100 s at frame 2")
}

#[test]
fn lengths_that_lie() -> Result<(), Error> {
    let made = spoilt(|_| {});
    made.list(&[(0, 4, 0), (1, 6, 0), (2, 4, 0)]);
    assert_skips_episode_1(&made, "has 4 rows, its length is listed as 6")?;
    made.list(&[(0, 4, 0), (1, 3, 0), (2, 4, 0)]);
    assert_skips_episode_1(&made, "has 4 rows, its length is listed as 3")?;
    made.list(&[(0, 4, 0), (2, 4, 0)]);
    assert_skips_episode_1(&made, &format!("has rows but is not listed in meta/episodes: {FILE_0}"))
}

#[test]
fn a_truncated_file_costs_only_its_episodes() -> Result<(), Error> {
    let made = Made::v3(&[(0, 4, 0), (1, 4, 1), (2, 4, 1)]);
    Rows::new(&[(0, 4)]).write(made.root(), FILE_0);
    Rows::new(&[(1, 4), (2, 4)]).write(made.root(), FILE_1);
    let path = made.root().join(FILE_1);
    let bytes = std::fs::read(&path).expect("readable");
    write(&path, &bytes[..bytes.len() - 20]).expect("writable");
    let dataset = made.open()?;
    assert_eq!(indices(&dataset), [0]);
    let episodes = dataset.skipped.last().expect("named");
    assert_eq!(episodes.what, "2 episodes (1, 2)");
    assert!(
        episodes.why.starts_with("data file cannot be read (") && episodes.why.ends_with(FILE_1),
        "{}",
        episodes.why
    );
    assert!(episodes.why.contains("interrupted recording"), "{}", episodes.why);
    Ok(())
}

#[test]
fn totals_that_lie() -> Result<(), Error> {
    let made = Made::v21(&[4; 9]);
    for index in [0, 1, 5] {
        Rows::new(&[(index, 4)]).write(made.root(), &format!("data/chunk-000/episode_{index:06}.parquet"));
    }
    let dataset = made.open()?;
    assert_eq!(indices(&dataset), [0, 1, 5]);
    let expected = [
        skipped("info.json total_episodes", "says 9, 3 episodes found"),
        skipped("info.json total_frames", "says 36, 12 frames found"),
        skipped("6 episodes (2-4, 6-8)", "data file missing: data/chunk-000/episode_000002.parquet and 5 more"),
    ];
    assert_eq!(dataset.skipped, expected);
    let refusal = Dataset::open(&OpenOptions { strict: true, ..made.options() }, &mut |_| {}).expect_err("strict");
    assert!(matches!(refusal, Error::NothingLeft { .. }));
    assert!(refusal.to_string().contains("6 episodes (2-4, 6-8)"), "{refusal}");
    Ok(())
}

#[test]
fn a_rate_that_lies() -> Result<(), Error> {
    let made = spoilt(|_| {});
    made.set("/fps", json!(30));
    assert_eq!(made.open()?.skipped, [skipped("info.json fps", "says 30, the timestamps advance at 10.00 Hz")]);
    Ok(())
}

#[test]
fn the_same_episode_twice() -> Result<(), Error> {
    let made = Made::v21(&[4, 4]);
    for index in [0, 1] {
        Rows::new(&[(0, 4)]).write(made.root(), &format!("data/chunk-000/episode_{index:06}.parquet"));
    }
    let dataset = made.open()?;
    assert_eq!(indices(&dataset), [0]);
    let named: Vec<&str> = dataset.skipped.iter().map(|entry| entry.what.as_str()).collect();
    assert_eq!(named, ["rows in data/chunk-000/episode_000001.parquet", "info.json total_episodes", "episode 1"]);
    Ok(())
}

#[test]
fn no_dataset_at_all() {
    let made = Made::v3(&[(0, 4, 0)]);
    let message = |made: &Made| made.open().expect_err("nothing to read").to_string();
    made.set("/codebase_version", json!("v1.6"));
    assert!(
        message(&made)
            .contains("its codebase_version is v1.6; expected a LeRobot dataset of version v2.0, v2.1 or v3.0")
    );
    std::fs::remove_file(made.root().join("meta/info.json")).expect("was there");
    assert!(message(&made).contains("it has no meta/info.json"));
    write(made.root().join("meta/info.json"), "{").expect("writable");
    assert!(matches!(made.open(), Err(Error::BadFile { .. })));
    let nowhere = OpenOptions { path: made.root().join("nowhere"), ..OpenOptions::default() };
    assert!(matches!(Dataset::open(&nowhere, &mut |_| {}), Err(Error::NotADataset { .. })));
}

#[test]
fn missing_features_name_the_setting_and_the_choice() {
    let made = spoilt(|_| {});
    let wrong = [
        (OpenOptions { state_keys: vec!["observation.joints".to_owned()], ..made.options() }, "data.state_keys"),
        (OpenOptions { action_key: "actions".to_owned(), ..made.options() }, "data.action_key"),
        (OpenOptions { cameras: Some(vec!["top".to_owned()]), ..made.options() }, "data.cameras"),
    ];
    for (options, setting) in wrong {
        let error = Dataset::open(&options, &mut |_| {}).expect_err("not there");
        assert!(matches!(error, Error::MissingFeature { .. }), "{error}");
        assert!(error.to_string().contains(setting), "{error}");
    }
    let options = OpenOptions { action_key: "actions".to_owned(), ..made.options() };
    let message = Dataset::open(&options, &mut |_| {}).expect_err("not there").to_string();
    assert!(message.contains("feature 'actions'") && message.contains("it has: action, episode_index"), "{message}");
}

#[test]
fn shapes_that_lie() {
    let made = spoilt(|_| {});
    made.set("/features/action/shape", json!([7]));
    let message = made.open().expect_err("no action fits").to_string();
    assert!(message.contains("column 'action' has 2 elements a row, meta/info.json says 7"), "{message}");
    for shape in [json!([1_u64 << 40, 1_u64 << 40]), json!([0])] {
        made.set("/features/action/shape", shape);
        assert!(matches!(made.open(), Err(Error::BadFile { .. })));
    }
}

#[test]
fn promised_columns_that_are_not_there() -> Result<(), Error> {
    let made = spoilt(|rows| rows.success.clear());
    let dataset = made.open()?;
    assert_eq!(indices(&dataset), [0, 1, 2]);
    assert!(!dataset.spec.has_success);
    let why = "is promised in meta/info.json, but no data file has it";
    assert_eq!(dataset.skipped, [skipped("column next.success", why)]);

    let made = Made::v3(&[(0, 4, 0), (1, 4, 1)]);
    Rows::new(&[(0, 4)]).write(made.root(), FILE_0);
    Rows { success: vec![], ..Rows::new(&[(1, 4)]) }.write(made.root(), FILE_1);
    let dataset = made.open()?;
    assert_eq!(indices(&dataset), [0]);
    assert_eq!(dataset.skipped, [skipped("episode 1", "column next.success is not in its data file")]);

    made.set("/features/observation.extra", json!({"dtype": "float32", "shape": [1], "names": null}));
    let options = OpenOptions { state_keys: vec!["observation.extra".to_owned()], ..made.options() };
    let message = Dataset::open(&options, &mut |_| {}).expect_err("no such column").to_string();
    assert!(message.contains("no column 'observation.extra'"), "{message}");
    Ok(())
}

#[test]
fn a_broken_list_is_read_as_far_as_it_goes() -> Result<(), Error> {
    let made = Made::v21(&[4, 4]);
    let list = made.root().join("meta/episodes.jsonl");
    let mut text = std::fs::read_to_string(&list).expect("readable");
    text.push_str("{\"episode_index\": 2, \"len");
    write(&list, text).expect("writable");
    for index in [0, 1, 2] {
        Rows::new(&[(index, 4)]).write(made.root(), &format!("data/chunk-000/episode_{index:06}.parquet"));
    }
    let dataset = made.open()?;
    assert_eq!(indices(&dataset), [0, 1]);
    assert_eq!(dataset.skipped[0].what, "meta/episodes.jsonl line 3");
    let stray =
        skipped("data file data/chunk-000/episode_000002.parquet", "no episode in meta/episodes.jsonl refers to it");
    assert_eq!(dataset.skipped[1], stray);
    Ok(())
}

#[test]
fn a_list_nobody_can_read() {
    let made = spoilt(|_| {});
    let list = made.root().join("meta/episodes/chunk-000/file-000.parquet");
    write(&list, "PAR1").expect("writable");
    let message = made.open().expect_err("nothing is known").to_string();
    assert!(
        message.contains("no sound episode: meta/episodes/chunk-000/file-000.parquet (cannot be read"),
        "{message}"
    );
    std::fs::remove_file(&list).expect("was there");
    let message = made.open().expect_err("nothing is known").to_string();
    assert!(message.contains("meta/episodes (holds no parquet file"), "{message}");
}

#[test]
fn nonsense_in_the_list_does_no_harm() -> Result<(), Error> {
    let made = spoilt(|_| {});
    made.list(&[(0, 4, 0), (1, 1 << 60, 0), (2, 4, 0), (2, 4, 0), (1 << 60, 4, 0)]);
    let dataset = made.open()?;
    assert_eq!(indices(&dataset), [0, 2]);
    let named: Vec<&str> = dataset.skipped.iter().map(|entry| entry.what.as_str()).collect();
    assert_eq!(named, ["second entry of episode 2", "episode 1", "episode 1152921504606846976"]);
    Ok(())
}

#[test]
fn stray_rows_cannot_spoil_the_episode_of_another_file() -> Result<(), Error> {
    let made = Made::v3(&[(0, 4, 0), (1, 4, 0), (2, 4, 1)]);
    let mut rows = Rows::new(&[(0, 4), (1, 4)]);
    // The last rows of file 0 claim to belong to episode 2, which file 1 holds whole, and to an episode that cannot be.
    rows.episode[6] = 2;
    rows.episode[7] = -7;
    rows.write(made.root(), FILE_0);
    Rows::new(&[(2, 4)]).write(made.root(), FILE_1);
    let dataset = made.open()?;
    assert_eq!(indices(&dataset), [0, 2]);
    let strays = format!("rows in {FILE_0}");
    let expected = [
        skipped(&strays, "have a negative episode_index (1 different ones)"),
        skipped(&strays, &format!("belong to episode 2, which is listed in {FILE_1}")),
    ];
    assert_eq!(dataset.skipped[..2], expected);
    Ok(())
}
