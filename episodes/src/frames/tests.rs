//! Ingest, cache reuse, and what happens when files are broken, changed or in the way.

mod growing;
mod kills;

use std::cell::Cell;
use std::fs::OpenOptions;
use std::thread;
use std::time::{Duration, SystemTime};

use super::*;
use crate::error::Error;
use crate::video::{ffmpeg_is_there, was_missing};

const FRAMES: usize = 12;

fn fixture(codec: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/colours_{codec}.mp4"))
}

fn job(path: PathBuf, segments: &[(usize, f64, usize)]) -> VideoJob {
    let segment = |&(episode, from_s, len): &(usize, f64, usize)| Segment { episode, from_s, len };
    VideoJob { path, fps: 10.0, segments: segments.iter().map(segment).collect() }
}

fn ingest(jobs: &[VideoJob], dir: &Path) -> Result<(FrameStore, Vec<SegmentFailure>), Error> {
    ingest_videos("camera", jobs, 16, place(dir), &mut |_| {})
}

fn place(cache_dir: &Path) -> Place<'_> {
    Place { cache_dir, dataset: cache_dir }
}

/// Frames done and frames in all.
fn done(step: FrameProgress) -> (usize, usize) {
    match step {
        FrameProgress::At { done, total } => (done, total),
        FrameProgress::Waiting { .. } => panic!("nobody else is here"),
    }
}

/// Red of the first pixel; `make_colours.py` drew 20 k in frame k.
fn red(store: &FrameStore, i: usize) -> u8 {
    store.frame(i)[0]
}

fn assert_red(store: &FrameStore, i: usize, k: usize) {
    assert!(red(store, i).abs_diff(20 * k as u8) < 5, "frame {i} has red {}, expected {}", red(store, i), 20 * k);
}

fn cache_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn segments_land_in_order_and_bad_ones_are_black_and_named() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let cut = dir.path().join("cut.mp4");
    fs::write(&cut, &fs::read(fixture("h264")).expect("the fixture")[..1000]).expect("a file");
    let jobs = [
        job(fixture("av1"), &[(7, 0.6, 4), (3, 0.0, 5)]),
        job(dir.path().join("none.mp4"), &[(11, 0.0, 2)]),
        job(cut, &[(12, 0.0, 2)]),
        job(fixture("h264"), &[(5, 0.4, 20), (6, 0.42, 3)]),
    ];
    let cache_dir = dir.path().join("cache");
    let mut calls = Vec::new();
    let (store, failures) = ingest_videos("camera", &jobs, 16, place(&cache_dir), &mut |step| calls.push(done(step)))
        .expect("ingest succeeds");
    assert_eq!((store.len(), store.size(), store.frame(0).len()), (36, 16, 16 * 16 * 3));
    for k in 0..4 {
        assert_red(&store, k, 6 + k);
    }
    for k in 0..5 {
        assert_red(&store, 4 + k, k);
    }
    assert!((9..33).all(|i| store.frame(i).iter().all(|&v| v == 0)));
    for k in 0..3 {
        assert_red(&store, 33 + k, 4 + k);
    }
    assert_eq!(failures.iter().map(|f| f.episode).collect::<Vec<_>>(), [11, 12, 5]);
    assert!(failures[0].why.ends_with("none.mp4 is missing"), "{failures:?}");
    assert!(failures[1].why.contains("is not a complete mp4 file"), "{failures:?}");
    assert_eq!(failures[2].why, "video has 8 of 20 frames");
    assert_eq!(calls.first(), Some(&(0, 36)));
    assert!(calls.is_sorted() && calls.last() == Some(&(36, 36)), "{calls:?}");

    let (again, failures_again) = ingest(&jobs, &cache_dir).expect("the cache opens");
    assert_eq!(failures_again, failures);
    assert!((0..36).all(|i| again.frame(i) == store.frame(i)));
    assert_eq!(cache_files(&cache_dir).len(), 1);
}

#[test]
fn undecodable_segments_are_black_from_the_first_frame() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("broken.mp4");
    let mut bytes = fs::read(fixture("h264")).expect("the fixture");
    // The second half of the media data, i.e. everything from about the second keyframe on.
    let tables = bytes.windows(4).position(|w| w == b"moov").expect("tables");
    bytes[tables * 3 / 4..tables - 8].fill(0xFF);
    fs::write(&path, &bytes).expect("a file");
    let (store, failures) =
        ingest(&[job(path, &[(0, 0.0, FRAMES)])], dir.path()).expect("a broken video is not an error");
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert!((0..FRAMES).all(|i| store.frame(i).iter().all(|&v| v == 0)));
}

#[test]
fn cache_is_rebuilt_when_a_source_changes_and_only_then() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (path, cache_dir) = (dir.path().join("copy.mp4"), dir.path().join("cache"));
    fs::copy(fixture("h264"), &path).expect("a copy");
    let jobs = [job(path.clone(), &[(0, 0.0, FRAMES)])];
    ingest(&jobs, &cache_dir).expect("ingest succeeds");
    ingest(&jobs, &cache_dir).expect("ingest succeeds");
    assert_eq!(cache_files(&cache_dir).len(), 1);
    let file = OpenOptions::new().write(true).open(&path).expect("the copy");
    file.set_modified(SystemTime::now() - Duration::from_secs(5)).expect("a new time");
    ingest(&jobs, &cache_dir).expect("ingest succeeds");
    assert_eq!(cache_files(&cache_dir).len(), 2);
    ingest(&[job(path, &[(0, 0.1, FRAMES - 1)])], &cache_dir).expect("ingest succeeds");
    assert_eq!(cache_files(&cache_dir).len(), 3);
}

#[test]
fn damaged_cache_files_are_rebuilt_and_temporary_ones_ignored() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let jobs = [job(fixture("av1"), &[(0, 0.0, FRAMES)])];
    ingest(&jobs, dir.path()).expect("ingest succeeds");
    let file = cache_files(dir.path()).pop().expect("one file");
    let whole = fs::read(&file).expect("the cache file");
    let fresh = file.with_extension("1-0.tmp");
    let abandoned = file.with_extension("2-0.tmp");
    for path in [&fresh, &abandoned] {
        fs::write(path, b"half a file").expect("a file");
    }
    let old = SystemTime::now() - Duration::from_secs(7200);
    let handle = OpenOptions::new().write(true).open(&abandoned).expect("a file");
    handle.set_modified(old).expect("an old time");
    for damaged in [&whole[..whole.len() - 1], &whole[..100], &[], &vec![0; whole.len()]] {
        fs::write(&file, damaged).expect("a damaged file");
        let (store, failures) = ingest(&jobs, dir.path()).expect("the cache is rebuilt");
        assert_eq!((store.len(), failures.len()), (FRAMES, 0));
        assert_red(&store, 11, 11);
        assert_eq!(fs::read(&file).expect("the cache file"), whole);
    }
    assert!(fresh.exists() && !abandoned.exists());
}

#[test]
fn a_cache_that_cannot_be_written_is_an_error_with_its_path() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let in_the_way = dir.path().join("file");
    fs::write(&in_the_way, b"").expect("a file");
    let cache_dir = in_the_way.join("cache");
    let error = ingest(&[job(fixture("av1"), &[(0, 0.0, 2)])], &cache_dir).expect_err("no directory there");
    assert!(matches!(&error, Error::Io { path, .. } if *path == cache_dir), "{error}");
}

#[test]
fn no_frames_is_a_store_too() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for _ in 0..2 {
        let (store, failures) = ingest(&[], dir.path()).expect("an empty store");
        assert!(store.is_empty() && failures.is_empty());
    }
}

#[test]
fn two_builders_at_once_agree() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let jobs = [job(fixture("h264"), &[(0, 0.0, FRAMES)])];
    thread::scope(|scope| {
        let builders: Vec<_> = (0..4).map(|_| scope.spawn(|| ingest(&jobs, dir.path()))).collect();
        for builder in builders {
            let (store, failures) = builder.join().expect("no panic").expect("ingest succeeds");
            assert!(failures.is_empty());
            assert_red(&store, 5, 5);
        }
    });
    assert_eq!(cache_files(dir.path()).len(), 1);
}

fn png(value: u8, width: u32, height: u32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(width, height, image::Rgb([value, 0, 255 - value]));
    picture.write_to(&mut bytes, image::ImageFormat::Png).expect("a PNG");
    bytes.into_inner()
}

fn pictures(episodes: &[(usize, usize)]) -> Vec<EpisodePictures> {
    let episode = |&(episode, len): &(usize, usize)| EpisodePictures { episode, len, key: format!("file {episode}") };
    episodes.iter().map(episode).collect()
}

#[test]
fn pictures_are_loaded_once_and_resized() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let loads = Cell::new(0);
    let episodes = pictures(&[(3, 150), (8, 50)]);
    let mut load = |wanted: &[usize], push: &mut images::Emit<'_>| {
        loads.set(loads.get() + 1);
        assert_eq!(wanted, [0, 1]);
        (0..200).try_for_each(|i| push(usize::from(i >= 150), Ok(&png(i, 20, 10)), false))
    };
    for _ in 0..2 {
        let mut last = (0, 0);
        let place = place(dir.path());
        let (store, failures) = ingest_images("camera", &episodes, 8, place, &mut load, &mut |step| last = done(step))?;
        assert_eq!((store.len(), failures.len(), last), (200, 0, (200, 200)));
        for i in 0..200 {
            assert!(store.frame(i).chunks_exact(3).all(|p| p == [i as u8, 0, 255 - i as u8]));
        }
    }
    assert_eq!(loads.get(), 1);
    Ok(())
}

#[test]
fn episodes_with_wrong_pictures_are_black_and_named_and_cost_no_other() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let episodes = pictures(&[(0, 2), (1, 2), (2, 2), (3, 2), (4, 2), (5, 2)]);
    let wanted_before = std::cell::RefCell::new(Vec::new());
    let mut load = |wanted: &[usize], push: &mut images::Emit<'_>| {
        wanted_before.borrow_mut().push(wanted.to_vec());
        wanted.iter().try_for_each(|&position| {
            let good = png(1 + position as u8, 4, 4);
            push(position, Ok(&good), false)?;
            match position {
                1 => push(1, Ok(b"no picture"), false),
                2 => Ok(()),
                3 => push(3, Ok(&good), false).and_then(|()| push(3, Ok(&good), false)),
                4 => push(4, Err("the file is gone"), true),
                _ => push(position, Ok(&good), false),
            }
        })
    };
    for _ in 0..2 {
        let (store, failures) = ingest_images("camera", &episodes, 8, place(dir.path()), &mut load, &mut |_| {})?;
        let why: Vec<(usize, &str)> = failures.iter().map(|failure| (failure.episode, failure.why.as_str())).collect();
        assert!(why[0].1.contains("format could not be determined"), "{why:?}");
        assert_eq!(why[1..], [(2, "1 pictures of 2 steps"), (3, "3 pictures of 2 steps"), (4, "the file is gone")]);
        let reds: Vec<u8> = (0..12).map(|i| red(&store, i)).collect();
        assert_eq!(reds, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 6, 6]);
    }
    // What may be right the next time is looked at again, and nothing else.
    assert_eq!(wanted_before.into_inner(), [vec![0, 1, 2, 3, 4, 5], vec![4]]);
    assert_eq!(cache_files(dir.path()).len(), 1);
    Ok(())
}

#[test]
fn an_error_of_the_loader_is_passed_on_and_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut load = |_: &[usize], push: &mut images::Emit<'_>| {
        push(0, Ok(&png(1, 4, 4)), false)?;
        Err(Error::Stopped { path: PathBuf::from("here") })
    };
    let episodes = pictures(&[(0, 2)]);
    let outcome = ingest_images("camera", &episodes, 8, place(dir.path()), &mut load, &mut |_| {});
    assert!(matches!(outcome, Err(Error::Stopped { .. })));
    assert!(cache_files(dir.path()).is_empty());
}

#[test]
#[ignore = "decodes two whole datasets: minutes without optimisation (cargo test --release -- --ignored)"]
#[expect(clippy::print_stderr, reason = "says why nothing was tested")]
fn real_recordings_decode() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let recordings = [
        ("pusht_v3/videos/observation.image/chunk-000/file-000.mp4", 10.0, 161, 118),
        ("g1_bottle_v21/videos/chunk-000/observation.images.cam_high/episode_000010.mp4", 30.0, 0, 30),
    ];
    for (path, fps, first, len) in recordings {
        let path = data.join(path);
        if !path.exists() {
            eprintln!("skipped: {} is not here", path.display());
            continue;
        }
        let segments = vec![Segment { episode: 0, from_s: first as f64 / fps, len }];
        let jobs = [VideoJob { path, fps, segments }];
        let (store, failures) =
            ingest_videos("camera", &jobs, 96, place(dir.path()), &mut |_| {}).expect("ingest succeeds");
        assert!(failures.is_empty(), "{failures:?}");
        // Real pictures: neither flat nor noise, and neighbours in time look alike.
        let mean =
            |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(&x, &y)| f64::from(x.abs_diff(y))).sum::<f64>() / a.len() as f64;
        let frame = store.frame(0);
        assert!(mean(frame, &vec![frame[0]; frame.len()]) > 3.0);
        assert!((1..len).all(|i| mean(store.frame(i - 1), store.frame(i)) < 12.0));
        assert!(mean(store.frame(0), store.frame(len - 1)) > 0.1);
    }
}

#[test]
fn the_cache_says_what_it_holds_and_gives_up_what_nobody_uses() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    assert_eq!(cache_entries(&dir.path().join("nowhere")).expect("an empty cache"), []);
    let jobs = [[job(fixture("av1"), &[(0, 0.0, 3)])], [job(fixture("h264"), &[(0, 0.0, 5)])]];
    let (store, _) = ingest(&jobs[0], dir.path()).expect("ingest succeeds");
    let (other, _) = ingest(&jobs[1], dir.path()).expect("ingest succeeds");
    drop(other);
    fs::write(dir.path().join("broken.frames"), "no frames").expect("writable");
    // The least recently used comes first: what is opened again moves to the end.
    let old = SystemTime::now() - Duration::from_secs(5000);
    for entry in cache_entries(dir.path()).expect("readable") {
        OpenOptions::new().write(true).open(&entry.path).and_then(|f| f.set_modified(old)).expect("its own file");
    }
    drop(ingest(&jobs[1], dir.path()).expect("from the cache"));
    let entries = cache_entries(dir.path()).expect("readable");
    assert_eq!(entries.iter().map(|e| e.frames).max(), Some(5));
    assert_eq!((entries.len(), entries[2].frames, entries[2].in_use), (3, 5, false));
    let name = canonical(dir.path()).display().to_string();
    assert_eq!((entries[2].dataset.as_deref(), entries[2].camera.as_str()), (Some(name.as_str()), "camera"));
    assert_eq!((entries[2].size, entries[2].bytes >= 5 * 16 * 16 * 3), (16, true));
    assert!(entries[2].last_use.elapsed().is_ok_and(|age| age < Duration::from_secs(1000)));

    let gone: Vec<bool> = entries.iter().map(|entry| evict(entry).expect("removable")).collect();
    let kept: Vec<&CacheEntry> = entries.iter().zip(gone).filter(|(_, gone)| !gone).map(|(entry, _)| entry).collect();
    assert_eq!(kept.iter().map(|e| (e.frames, e.in_use)).collect::<Vec<_>>(), [(3, true)]);
    assert_red(&store, 2, 2);
    drop(store);
    assert!(evict(kept[0]).expect("removable") && cache_entries(dir.path()).expect("readable").is_empty());
    // A second time there is nothing left to remove.
    assert!(evict(kept[0]).expect("gone"));
}

#[test]
fn what_wanted_an_ffmpeg_is_black_until_there_is_one() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let jobs = [job(fixture("hevc"), &[(4, 0.3, 3)])];
    let (store, failures) = ingest(&jobs, dir.path()).expect("ingest succeeds");
    if ffmpeg_is_there() {
        assert_eq!(failures, []);
        (0..3).for_each(|k| assert_red(&store, k, 3 + k));
    } else {
        assert!(was_missing(&failures[0].why), "{failures:?}");
        assert!(store.frame(1).iter().all(|&v| v == 0));
    }
}
