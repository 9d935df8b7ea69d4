//! Conversion there and back, and adding to what is there.

mod elsewhere;
mod pictures;

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use crate::dataset::{ControlRate, Dataset};
use crate::{CameraFeature, DatasetSpec, Episode, RecordedEpisode, VectorFeature};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const HEIGHT: usize = 4;
const WIDTH: usize = 6;

fn spec() -> DatasetSpec {
    let vector = |key: &str, offset, len: usize| VectorFeature {
        key: key.to_owned(),
        names: (0..len).map(|i| format!("n{i}")).collect(),
        offset,
        len,
    };
    DatasetSpec {
        source: String::new(),
        codebase_version: "v3.0".to_owned(),
        robot_type: Some("toy".to_owned()),
        control_rate_hz: 10.0,
        state: vec![vector("observation.force", 0, 1), vector("observation.state", 1, 2)],
        hints: Vec::new(),
        action: vector("action", 0, 2),
        cameras: vec![CameraFeature {
            key: "observation.images.top".to_owned(),
            native_height: HEIGHT,
            native_width: WIDTH,
            model_size: 4,
        }],
        tasks: Vec::new(),
        has_reward: true,
        has_success: true,
    }
}

/// An episode of `len` steps whose numbers start at `start`.
fn recorded(start: usize, len: usize, task: &str, terminated: bool) -> RecordedEpisode {
    let from = |n: usize| (0..n).map(|i| (start + i) as f32 / 4.0).collect::<Vec<f32>>();
    RecordedEpisode {
        episode: Episode {
            index: 0,
            task: task.to_owned(),
            len,
            state: from(3 * len),
            hint: Vec::new(),
            action: from(2 * len),
            reward: Some(from(len)),
            success: Some((0..len).map(|t| terminated && t + 1 == len).collect()),
            intervention: None,
            terminated,
            truncated: !terminated,
            first_frame: 0,
        },
        frames: vec![(0..len * HEIGHT * WIDTH * 3).map(|i| ((start + 7 * i) % 256) as u8).collect()],
    }
}

fn write(dir: &Path, spec: &DatasetSpec, episodes: &[RecordedEpisode]) -> Result<(), Error> {
    let mut writer = LeRobotWriter::create(dir, spec)?;
    for episode in episodes {
        writer.push(episode)?;
    }
    writer.finish()
}

fn options(path: &Path) -> OpenOptions {
    OpenOptions {
        path: path.to_owned(),
        image_size: 4,
        cache_dir: path.with_file_name("frames"),
        state_keys: vec![crate::ALL.to_owned()],
        ..OpenOptions::default()
    }
}

fn open(path: &Path) -> Result<Dataset, Error> {
    Dataset::open(&options(path), &mut |_| {})
}

/// Without loss where the cameras are pictures.
fn run(from: &Path, to: &Path, append: bool) -> Result<Converted, Error> {
    convert(&options(from), &to_path(to, append), &|| false, &mut |_| {})
}

fn to_path(path: &Path, append: bool) -> Destination<'_> {
    Destination { path, append, pictures: Pictures::Embedded }
}

/// Every file below a folder, with its content.
fn files(root: &Path) -> std::io::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let content = std::fs::read(&path)?;
                    found.insert(path, content);
                }
            }
        }
    }
    Ok(found)
}

/// All that a learner sees of two datasets is the same.
fn assert_same(a: &Dataset, b: &Dataset) {
    let names = |d: &Dataset| DatasetSpec { source: String::new(), codebase_version: String::new(), ..d.spec.clone() };
    assert_eq!(names(a), names(b));
    assert_eq!(a.episodes, b.episodes);
    for (camera, _) in a.spec.cameras.iter().enumerate() {
        for (position, episode) in a.episodes.iter().enumerate() {
            assert!((0..episode.len).all(|t| a.frame(camera, position, t) == b.frame(camera, position, t)));
        }
    }
}

#[test]
fn what_was_converted_reads_back_identical() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (from, to) = (dir.path().join("in"), dir.path().join("out"));
    write(&from, &spec(), &[recorded(0, 5, "push", true), recorded(40, 3, "pull", false)])?;
    let camera = "observation.images.top".to_owned();
    let cameras = vec![KeptCamera { camera, kept: Kept::PicturesEmbedded, size: (HEIGHT, WIDTH) }];
    assert_eq!(run(&from, &to, false)?, Converted { episodes: 2, frames: 8, cameras, skipped: Vec::new() });
    assert_same(&open(&from)?, &open(&to)?);
    let stats = |root: &Path| std::fs::read_to_string(root.join("meta/stats.json"));
    assert_eq!(stats(&from)?, stats(&to)?, "the same numbers have the same statistics");
    let error = run(&from, &to, false).expect_err("it is there already").to_string();
    assert!(error.contains("already exists") && error.contains("--append"), "{error}");
    Ok(())
}

#[test]
fn hdf5_becomes_lerobot_with_identical_values() -> Outcome {
    let dir = tempfile::tempdir()?;
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/h5py_robomimic.hdf5");
    let to = dir.path().join("out");
    let options = OpenOptions { cache_dir: dir.path().join("frames"), ..options(&from) };
    assert_eq!(convert(&options, &to_path(&to, false), &|| false, &mut |_| {})?.frames, 90);
    let (before, after) = (Dataset::open(&options, &mut |_| {})?, open(&to)?);
    assert!(after.skipped.is_empty(), "{:?}", after.skipped);
    // Only the numbering is new: 0, 2, 10 in the file.
    let renumbered = before.episodes.iter().enumerate().map(|(index, e)| Episode { index, ..e.clone() }).collect();
    assert_same(&Dataset { episodes: renumbered, ..before }, &after);
    Ok(())
}

#[test]
fn appending_leaves_every_data_file_as_it_is_and_the_whole_reads_as_one() -> Outcome {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    let all = [recorded(0, 5, "push", true), recorded(40, 3, "pull", false), recorded(90, 4, "lift", true)];
    write(&path("first"), &spec(), &all[..1])?;
    write(&path("second"), &spec(), &all[1..])?;
    write(&path("whole"), &spec(), &all)?;
    let before = files(&path("first"))?;
    assert_eq!(run(&path("second"), &path("first"), true)?.episodes, 2);
    let after = files(&path("first"))?;
    let rewritten: Vec<&str> = before
        .iter()
        .filter(|(file, content)| after.get(*file) != Some(*content))
        .filter_map(|(file, _)| file.file_name()?.to_str())
        .collect();
    assert_eq!(rewritten, ["info.json", "stats.json", "tasks.parquet"], "data and list of episodes are untouched");
    assert_eq!(after.len(), before.len() + 2, "one file of data, one of the list");
    let (appended, whole) = (open(&path("first"))?, open(&path("whole"))?);
    assert!(appended.skipped.is_empty(), "{:?}", appended.skipped);
    assert_same(&appended, &whole);
    // Statistics of the parts together are those of the whole.
    let stats = |name: &str| -> Result<serde_json::Value, Box<dyn std::error::Error>> {
        Ok(serde_json::from_str(&std::fs::read_to_string(path(name).join("meta/stats.json"))?)?)
    };
    let (appended, whole) = (stats("first")?, stats("whole")?);
    for (key, of_whole) in whole.as_object().ok_or("an object")? {
        for (name, expected) in of_whole.as_object().ok_or("an object")? {
            assert_close(&appended[key][name], expected, &format!("{key} {name}"));
        }
    }
    let leftovers =
        std::fs::read_dir(dir.path())?.flatten().filter(|e| e.file_name().to_string_lossy().starts_with('.'));
    assert_eq!(leftovers.count(), 0);
    Ok(())
}

fn assert_close(a: &serde_json::Value, b: &serde_json::Value, what: &str) {
    match (a, b) {
        (serde_json::Value::Array(a), serde_json::Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).for_each(|(a, b)| assert_close(a, b, what));
        }
        _ => {
            let close = a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| (a - b).abs() <= 1e-9 * (1.0 + b.abs()));
            assert!(close, "{what}: {a} and {b}");
        }
    }
}

#[test]
fn a_kill_while_appending_leaves_the_old_dataset_readable() -> Outcome {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    write(&path("first"), &spec(), &[recorded(0, 5, "push", true)])?;
    write(&path("second"), &spec(), &[recorded(40, 3, "pull", false)])?;
    let (old, before) = (open(&path("first"))?, files(&path("first"))?);
    run(&path("second"), &path("first"), true)?;
    // Killed before info.json and stats.json moved in: the new episode is there, the totals lag behind.
    for name in ["info.json", "stats.json"] {
        let file = path("first").join("meta").join(name);
        std::fs::write(&file, &before[&file])?;
    }
    let lagging = open(&path("first"))?;
    assert_eq!((lagging.episodes.len(), &lagging.episodes[0]), (2, &old.episodes[0]));
    assert_eq!(lagging.skipped[0].why, "says 1, 2 episodes found");
    // The same command must not add the same episodes once more.
    let refused = run(&path("second"), &path("first"), true).expect_err("it is all there").to_string();
    assert!(refused.contains("says 1 episodes, 2 are listed; expected as many"), "{refused}");
    assert_eq!(open(&path("first"))?.episodes.len(), 2);
    // Killed before the list of episodes moved in: data that nothing refers to.
    std::fs::remove_file(path("first").join("meta/episodes/chunk-000/file-001.parquet"))?;
    let unlisted = open(&path("first"))?;
    assert_eq!(unlisted.episodes, old.episodes);
    assert_eq!(unlisted.skipped.len(), 1);
    // The same command then succeeds, beside what was left behind.
    run(&path("second"), &path("first"), true)?;
    assert_eq!(open(&path("first"))?.episodes.len(), 2);
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_changes() -> Outcome {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    write(&path("first"), &spec(), &[recorded(0, 5, "push", true)])?;
    let before = files(&path("first"))?;
    let plain = |recorded: RecordedEpisode| recorded;
    let mut rate = spec();
    rate.control_rate_hz = 20.0;
    let mut size = spec();
    size.cameras[0].native_height = 2 * HEIGHT;
    let mut names = spec();
    names.action.names[1] = "other".to_owned();
    let mut columns = spec();
    columns.has_success = false;
    let tall = |mut r: RecordedEpisode| {
        r.frames[0] = r.frames[0].repeat(2);
        r
    };
    let no_success = |mut r: RecordedEpisode| {
        r.episode.success = None;
        r
    };
    let cases: [(&DatasetSpec, &dyn Fn(RecordedEpisode) -> RecordedEpisode, &str); 4] = [
        (&rate, &plain, "fps is 10; expected 20"),
        (&size, &tall, "shape of feature 'observation.images.top' is [4, 6, 3]; expected [8, 6, 3]"),
        (&names, &plain, "names of feature 'action' is [\"n0\", \"n1\"]; expected [\"n0\", \"other\"]"),
        (&columns, &no_success, "it has feature 'next.success', what is appended has not"),
    ];
    for (i, (spec, change, words)) in cases.into_iter().enumerate() {
        let from = path(&format!("other{i}"));
        write(&from, spec, &[change(recorded(0, 4, "push", true))])?;
        let error = run(&from, &path("first"), true).expect_err("it does not fit").to_string();
        assert!(error.contains(words), "{error}");
    }
    let error = run(&path("first"), &path("first"), true).expect_err("onto itself").to_string();
    assert!(error.contains("both read and written"), "{error}");
    assert_eq!(files(&path("first"))?, before);
    Ok(())
}

#[test]
fn holes_are_left_out_and_strict_writes_nothing() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (from, to) = (dir.path().join("in"), dir.path().join("out"));
    let mut broken = recorded(9, 4, "push", false);
    broken.episode.state[5] = f32::NAN;
    write(&from, &spec(), &[recorded(0, 5, "push", true), broken])?;
    let strict = OpenOptions { strict: true, ..options(&from) };
    assert!(convert(&strict, &to_path(&to, false), &|| false, &mut |_| {}).is_err() && !to.exists());
    let converted = run(&from, &to, false)?;
    assert_eq!((converted.episodes, converted.skipped[0].what.as_str()), (1, "episode 1"));
    assert_eq!(open(&to)?.episodes.len(), 1);
    let given = OpenOptions { control_rate: ControlRate::Given(30.0), ..options(&from) };
    assert!(
        convert(&given, &to_path(&dir.path().join("other"), false), &|| false, &mut |_| {}).is_err(),
        "LeRobot says its rate itself"
    );
    Ok(())
}

#[test]
fn a_conversion_that_is_stopped_leaves_nothing_behind() -> Outcome {
    let dir = tempfile::tempdir()?;
    let from = dir.path().join("from");
    write(&from, &spec(), &[recorded(0, 3, "push", true), recorded(9, 4, "push", false)])?;
    let before = std::fs::read_dir(dir.path())?.count();
    // The second time somebody asks, in the middle of the first episode's pictures, and later in the second episode.
    for after in [1, 6] {
        let asked = std::cell::Cell::new(0);
        let stop = || asked.replace(asked.get() + 1) >= after;
        let stopped = convert(&options(&from), &to_path(&dir.path().join("to"), false), &stop, &mut |_| {});
        assert!(matches!(stopped, Err(Error::Stopped { .. })), "{stopped:?}");
        assert_eq!(std::fs::read_dir(dir.path())?.count(), before);
    }
    Ok(())
}

/// The step with which the frames of the only camera begin: how many are there, and how many are wanted.
fn frames_at_first(path: &Path) -> Result<(usize, usize), Error> {
    let mut first = None;
    Dataset::open(&options(path), &mut |step| {
        if step.unit == "frames" {
            first.get_or_insert((step.done, step.total));
        }
    })?;
    Ok(first.unwrap_or_default())
}

#[test]
fn only_appended_episodes_are_decoded() -> Outcome {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    write(&path("first"), &spec(), &[recorded(0, 5, "push", true)])?;
    write(&path("second"), &spec(), &[recorded(40, 3, "pull", false), recorded(90, 4, "lift", true)])?;
    assert_eq!(frames_at_first(&path("first"))?, (0, 5));
    run(&path("second"), &path("first"), true)?;
    assert_eq!(frames_at_first(&path("first"))?, (5, 12));
    assert_eq!(frames_at_first(&path("first"))?, (12, 12));
    let fewer = OpenOptions { max_episodes: Some(2), ..options(&path("first")) };
    assert_eq!(Dataset::open(&fewer, &mut |_| {})?.frames[0].len(), 8);
    let fresh = OpenOptions { cache_dir: path("other frames"), ..options(&path("first")) };
    assert_same(&open(&path("first"))?, &Dataset::open(&fresh, &mut |_| {})?);
    Ok(())
}

#[test]
fn two_cannot_append_at_once_and_a_killed_one_is_no_trap() -> Outcome {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    write(&path("first"), &spec(), &[recorded(0, 5, "push", true)])?;
    write(&path("second"), &spec(), &[recorded(40, 3, "pull", false)])?;
    let before = files(&path("first"))?;
    let mut first = LeRobotWriter::append(path("first"), &spec())?;
    first.push(&recorded(60, 2, "push", true))?;
    let error = run(&path("second"), &path("first"), true).expect_err("somebody else appends").to_string();
    let words = "first: another process is adding episodes to it; expected one at a time: run the same command again";
    assert!(error.contains(words), "{error}");
    drop(first);
    assert_eq!(files(&path("first"))?, before, "no lock is left");

    // Killed after so many files had moved in: what is left is read, and added to.
    run(&path("second"), &path("first"), true)?;
    let order = [
        "data/chunk-000/file-001.parquet",
        "meta/tasks.parquet",
        "meta/episodes/chunk-000/file-001.parquet",
        "meta/stats.json",
        "meta/info.json",
    ];
    let moved: Vec<(&str, Vec<u8>)> = order
        .into_iter()
        .map(|name| Ok((name, std::fs::read(path("first").join(name))?)))
        .collect::<std::io::Result<_>>()?;
    for kept in 0..=order.len() {
        let killed = path(&format!("killed after {kept}"));
        write(&killed, &spec(), &[recorded(0, 5, "push", true)])?;
        std::fs::write(killed.join("meta/.append.lock"), "")?;
        for (name, content) in &moved[..kept] {
            std::fs::write(killed.join(name), content)?;
        }
        // Listed, and only the totals lag: the episodes are in, and must not come in twice.
        let is_in = (3..5).contains(&kept);
        assert_eq!(run(&path("second"), &killed, true).is_err(), is_in, "killed after {kept} files");
        let dataset = open(&killed)?;
        let lengths: Vec<usize> = dataset.episodes.iter().map(|episode| episode.len).collect();
        assert_eq!(lengths, if kept < 5 { vec![5, 3] } else { vec![5, 3, 3] }, "killed after {kept} files");
        // Data that no list names stay where they are, and are named; so are totals that lag.
        let named = match kept {
            1 | 2 => 1,
            3 | 4 => 2,
            _ => 0,
        };
        assert_eq!(dataset.skipped.len(), named, "{:?}", dataset.skipped);
        assert!(!killed.join("meta/.append.lock").exists());
    }
    Ok(())
}
