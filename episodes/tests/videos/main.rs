//! Recordings with videos are converted and added to: files are copied as they are, and what is read from the copy is what
//! is read from the recording.

// The recordings that other tests damage.
#[path = "../damage/recordings.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod recordings;

use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use episodes::{Converted, Dataset, Destination, Error, Kept, OpenOptions, Pictures, convert};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use recordings::Recording;
use serde_json::Value;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const FILM: &str = "observation.images.film";

fn options(path: &Path, cache: &Path) -> OpenOptions {
    OpenOptions { path: path.to_owned(), image_size: 16, cache_dir: cache.to_owned(), ..OpenOptions::default() }
}

/// With a fresh cache each time.
fn open(path: &Path) -> Result<Dataset, Box<dyn std::error::Error>> {
    let cache = tempfile::tempdir()?;
    Ok(Dataset::open(&options(path, cache.path()), &mut |_| {})?)
}

fn run(from: &Path, to: &Path, append: bool) -> Result<Converted, Error> {
    // Videos stay videos whatever becomes of pictures.
    let to = Destination { path: to, append, pictures: Pictures::Embedded };
    convert(&options(from, Path::new("")), &to, &|| false, &mut |_| {})
}

fn video(root: &Path, number: usize) -> PathBuf {
    root.join(format!("videos/{FILM}/chunk-000/file-{number:03}.mp4"))
}

fn json(root: &Path, name: &str) -> Result<Value, Box<dyn std::error::Error>> {
    Ok(serde_json::from_str(&fs::read_to_string(root.join("meta").join(name))?)?)
}

/// The list of episodes written last.
fn list(root: &Path, number: usize) -> Result<RecordBatch, Box<dyn std::error::Error>> {
    let file = fs::File::open(root.join(format!("meta/episodes/chunk-000/file-{number:03}.parquet")))?;
    let mut batches = ParquetRecordBatchReaderBuilder::try_new(file)?.build()?;
    Ok(batches.next().ok_or("a row")??)
}

fn integers(list: &RecordBatch, name: &str) -> Vec<i64> {
    list[&*format!("videos/{FILM}/{name}")].as_primitive::<Int64Type>().values().to_vec()
}

fn seconds(list: &RecordBatch, name: &str) -> Vec<f64> {
    list[&*format!("videos/{FILM}/{name}")].as_primitive::<Float64Type>().values().to_vec()
}

/// What is seen in two datasets is the same, episode by episode.
fn assert_same_frames(a: &Dataset, of_a: &[usize], b: &Dataset, of_b: &[usize]) {
    assert_eq!(of_a.len(), of_b.len());
    for (&a_position, &b_position) in of_a.iter().zip(of_b) {
        let (one, other) = (&a.episodes[a_position], &b.episodes[b_position]);
        assert_eq!((&one.state, &one.action), (&other.state, &other.action));
        for t in 0..one.len {
            assert!(a.frame(0, a_position, t) == b.frame(0, b_position, t), "episode {a_position}, step {t}");
        }
    }
}

#[test]
fn shared_files_are_copied_once_byte_for_byte() -> Outcome {
    let (from, dir) = (Recording::v3(), tempfile::tempdir()?);
    let to = dir.path().join("out");
    let converted = run(from.root(), &to, false)?;
    assert_eq!((converted.episodes, converted.skipped.len()), (3, 0));
    assert_eq!((converted.cameras[0].kept, converted.cameras[0].size), (Kept::VideoCopied, (48, 64)));
    for number in 0..2 {
        assert!(fs::read(video(from.root(), number))? == fs::read(video(&to, number))?);
    }
    assert!(!video(&to, 2).exists());
    let list = list(&to, 0)?;
    assert_eq!((integers(&list, "chunk_index"), integers(&list, "file_index")), (vec![0; 3], vec![0, 0, 1]));
    let (starts, ends) = (seconds(&list, "from_timestamp"), seconds(&list, "to_timestamp"));
    for (found, expected) in starts.iter().chain(&ends).zip([0.0, 0.6, 0.0, 0.6, 1.2, 1.2]) {
        assert!((found - expected).abs() < 1e-6, "{starts:?} {ends:?}");
    }
    assert_same_frames(&open(from.root())?, &[0, 1, 2], &open(&to)?, &[0, 1, 2]);
    Ok(())
}

#[test]
fn info_and_statistics_say_what_lerobot_wants_to_know_of_videos() -> Outcome {
    let (from, dir) = (Recording::v3(), tempfile::tempdir()?);
    let to = dir.path().join("out");
    run(from.root(), &to, false)?;
    let info = json(&to, "info.json")?;
    assert_eq!(info["video_path"], "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4");
    let expected = serde_json::json!({
        "dtype": "video",
        "shape": [48, 64, 3],
        "names": ["height", "width", "channels"],
        "info": {
            "video.height": 48, "video.width": 64, "video.codec": "av1", "video.pix_fmt": "yuv420p",
            "video.is_depth_map": false, "video.fps": 10, "video.channels": 3, "has_audio": false,
        },
    });
    assert_eq!(info["features"][FILM], expected);
    let stats = &json(&to, "stats.json")?[FILM];
    // All 24 frames, or the keyframe before each.
    assert_eq!(stats["count"], serde_json::json!([24]));
    for name in ["min", "max", "mean", "std"] {
        let shape = |value: &Value| value.as_array().map(Vec::len);
        assert_eq!(
            (shape(&stats[name]), shape(&stats[name][0]), shape(&stats[name][0][0])),
            (Some(3), Some(1), Some(1))
        );
        let values: Vec<f64> = (0..3).filter_map(|c| stats[name][c][0][0].as_f64()).collect();
        assert!(values.len() == 3 && values.iter().all(|x| (0.0..=1.0).contains(x)), "{name}: {values:?}");
    }
    Ok(())
}

#[test]
fn a_broken_video_is_not_copied_and_its_episode_left_out() -> Outcome {
    let (from, dir) = (Recording::v21(), tempfile::tempdir()?);
    let recorded = |index: usize| from.root().join(format!("videos/chunk-000/{FILM}/episode_{index:06}.mp4"));
    // Cut off behind the tables, in front of the frames that they name.
    let whole = fs::read(recorded(1))?;
    fs::write(recorded(1), &whole[..whole.len() / 2])?;
    let to = dir.path().join("out");
    let converted = run(from.root(), &to, false)?;
    assert_eq!(converted.episodes, 2);
    let [skipped] = &converted.skipped[..] else { return Err(format!("{:?}", converted.skipped).into()) };
    assert_eq!(skipped.what, "episode 1");
    assert!(skipped.why.starts_with(&format!("video of camera {FILM} is unusable (")), "{}", skipped.why);
    assert!(fs::read(recorded(0))? == fs::read(video(&to, 0))? && fs::read(recorded(2))? == fs::read(video(&to, 1))?);
    assert!(!video(&to, 2).exists());
    assert_eq!(seconds(&list(&to, 0)?, "to_timestamp"), [1.2; 2]);
    assert_same_frames(&open(from.root())?, &[0, 1], &open(&to)?, &[0, 1]);
    Ok(())
}

#[test]
fn a_file_that_no_kept_episode_uses_is_not_copied() -> Outcome {
    let (from, dir) = (Recording::v3(), tempfile::tempdir()?);
    let to = dir.path().join("out");
    fs::remove_file(from.root().join("data/chunk-000/file-001.parquet"))?;
    assert_eq!(run(from.root(), &to, false)?.episodes, 2);
    assert!(video(&to, 0).exists() && !video(&to, 1).exists());
    Ok(())
}

#[test]
fn what_is_appended_gets_the_next_numbers_and_leaves_videos_as_they_are() -> Outcome {
    let (first, second, dir) = (Recording::v3(), Recording::v21(), tempfile::tempdir()?);
    let to = dir.path().join("out");
    run(first.root(), &to, false)?;
    let (before, stats) = (fs::read(video(&to, 1))?, json(&to, "stats.json")?);
    assert_eq!(run(second.root(), &to, true)?.episodes, 3);
    assert!(fs::read(video(&to, 1))? == before);
    assert_eq!(integers(&list(&to, 1)?, "file_index"), [2, 3, 4]);
    let (first, second, both) = (open(first.root())?, open(second.root())?, open(&to)?);
    assert!(both.skipped.is_empty(), "{:?}", both.skipped);
    assert_same_frames(&first, &[0, 1, 2], &both, &[0, 1, 2]);
    assert_same_frames(&second, &[0, 1, 2], &both, &[3, 4, 5]);
    let count = |stats: &Value| stats[FILM]["count"][0].as_u64();
    assert_eq!((count(&stats), count(&json(&to, "stats.json")?)), (Some(24), Some(60)));
    Ok(())
}

#[test]
fn a_kill_while_videos_move_in_leaves_the_old_dataset_readable() -> Outcome {
    let (first, second, dir) = (Recording::v3(), Recording::v21(), tempfile::tempdir()?);
    let to = dir.path().join("out");
    run(first.root(), &to, false)?;
    let old = open(&to)?;
    // Killed after the first video had moved in: a file that nothing refers to.
    fs::write(video(&to, 2), b"half of a video")?;
    let after = open(&to)?;
    assert_eq!((&after.episodes, after.skipped.len()), (&old.episodes, 0));
    // The same command then succeeds, beside what was left behind.
    assert_eq!(run(second.root(), &to, true)?.episodes, 3);
    assert_eq!(integers(&list(&to, 1)?, "file_index"), [3, 4, 5]);
    assert_same_frames(&open(second.root())?, &[0, 1, 2], &open(&to)?, &[3, 4, 5]);
    Ok(())
}

#[test]
fn a_recording_that_cannot_be_written_to_becomes_a_dataset_that_can() -> Outcome {
    let (from, dir) = (Recording::v3(), tempfile::tempdir()?);
    let mut permissions = fs::metadata(video(from.root(), 0))?.permissions();
    permissions.set_readonly(true);
    fs::set_permissions(video(from.root(), 0), permissions)?;
    let to = dir.path().join("out");
    run(from.root(), &to, false)?;
    assert!(!fs::metadata(video(&to, 0))?.permissions().readonly());
    Ok(())
}
