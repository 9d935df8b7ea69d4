//! Real datasets, where a copy lies beside the repository.

use std::path::PathBuf;

use serde_json::json;

use super::*;

/// A dataset beside the repository; `None` (with a word) where there is no copy.
#[expect(clippy::print_stderr, reason = "a test that checks nothing should say so")]
fn beside_the_repository(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: there is no {}", path.display());
    None
}

#[test]
fn pusht_v3() -> Result<(), Error> {
    let Some(path) = beside_the_repository("pusht_v3") else {
        return Ok(());
    };
    let cache = TempDir::new().expect("a temporary folder");
    let blind = OpenOptions { path, cameras: Some(vec![]), cache_dir: cache.path().into(), ..OpenOptions::default() };
    let dataset = Dataset::open(&blind, &mut |_| {})?;
    assert_eq!(dataset.spec.codebase_version, "v3.0");
    assert_eq!(dataset.spec.state[0].names, ["agent_x", "agent_y"]);
    assert!(dataset.spec.has_reward && dataset.spec.has_success);
    assert_eq!(dataset.episodes.len(), 177);

    let seeing = OpenOptions { cameras: None, max_episodes: Some(2), image_size: 32, ..blind };
    let mut counted = 0;
    let dataset = Dataset::open(&seeing, &mut |progress| {
        if progress.unit == "frames" {
            counted = progress.done;
        }
    })?;
    assert_eq!(dataset.episodes.len(), 2);
    assert_eq!(counted, dataset.total_frames());
    let frame = dataset.frame(0, 1, dataset.episodes[1].len - 1);
    assert_eq!(frame.len(), 32 * 32 * 3);
    let mean = frame.iter().map(|&x| f64::from(x)).sum::<f64>() / frame.len() as f64;
    assert!(mean > 100.0, "the arena is mostly white, the mean brightness is {mean}");
    Ok(())
}

#[test]
#[ignore = "decodes a whole dataset: minutes without optimisation (cargo test --release -- --ignored)"]
fn g1_v21_with_holes() -> Result<(), Error> {
    let Some(path) = beside_the_repository("g1_bottle_v21") else {
        return Ok(());
    };
    let cache = TempDir::new().expect("a temporary folder");
    let blind = OpenOptions { path, cameras: Some(vec![]), cache_dir: cache.path().into(), ..OpenOptions::default() };
    let dataset = Dataset::open(&blind, &mut |_| {})?;
    assert_eq!(dataset.episodes.len(), 24);
    assert_eq!(dataset.spec.state_len(), 26);
    assert_eq!(dataset.spec.action.names[3], "kLeftElbow");
    let named: Vec<&str> = dataset.skipped.iter().map(|entry| entry.what.as_str()).collect();
    assert_eq!(named, ["info.json total_episodes", "info.json total_frames", "76 episodes (24-99)"]);
    assert_eq!(dataset.skipped[0].why, "says 100, 24 episodes found");

    let seeing = OpenOptions { cameras: None, max_episodes: Some(1), image_size: 32, ..blind };
    let dataset = Dataset::open(&seeing, &mut |_| {})?;
    assert_eq!(indices(&dataset), [1]);
    assert_eq!(dataset.skipped[0].what, "episode 0");
    assert!(dataset.skipped[0].why.contains("video of camera observation.images.cam_high missing"));
    Ok(())
}

#[test]
fn a_broken_video_costs_only_its_episodes() -> Result<(), Error> {
    let Some(path) = beside_the_repository("pusht_v3") else {
        return Ok(());
    };
    // Episode 1 has its own, broken, file; the others share one. A second camera is sound everywhere.
    let made = Made::v3(&[(0, 4, 0), (1, 3, 1), (2, 5, 0)]);
    Rows::new(&[(0, 4), (2, 5)]).with_pictures().write(made.root(), "data/chunk-000/file-000.parquet");
    Rows::new(&[(1, 3)]).with_pictures().write(made.root(), "data/chunk-000/file-001.parquet");
    let camera = |dtype: &str| json!({"dtype": dtype, "shape": [4, 4, 3], "names": null});
    made.set("/features/observation.images.film", camera("video"));
    made.set("/features/observation.images.top", camera("image"));
    let videos = made.root().join("videos/observation.images.film/chunk-000");
    create_dir_all(&videos).expect("writable");
    std::fs::copy(path.join("videos/observation.image/chunk-000/file-000.mp4"), videos.join("file-000.mp4"))
        .expect("the video can be copied");
    write(videos.join("file-001.mp4"), "no video").expect("writable");
    for _ in 0..2 {
        let dataset = made.open()?;
        assert_eq!(indices(&dataset), [0, 2]);
        assert_eq!(dataset.skipped[0].what, "episode 1");
        let why = &dataset.skipped[0].why;
        assert!(why.starts_with("video of camera observation.images.film is unusable ("), "{why}");
        assert!(why.ends_with("file-001.mp4"), "{why}");
        // Both cameras stay in step with the episodes around the gap.
        let film_starts = [dataset.frame(0, 0, 0), dataset.frame(0, 1, 0)];
        assert_eq!(film_starts[0], film_starts[1]);
        assert!(film_starts[0].iter().any(|&x| x > 0));
        assert_eq!(&dataset.frame(1, 1, 4)[..3], [40, 40, 7]);
    }
    Ok(())
}

#[test]
#[ignore = "decodes everything, which takes minutes"]
#[expect(clippy::print_stderr, reason = "whoever asks for this test wants to see what it found")]
fn everything_decodes() -> Result<(), Error> {
    for name in ["pusht_v3", "g1_bottle_v21"] {
        let Some(path) = beside_the_repository(name) else {
            continue;
        };
        let cache = TempDir::new().expect("a temporary folder");
        let options = OpenOptions { path, cache_dir: cache.path().into(), ..OpenOptions::default() };
        let start = std::time::Instant::now();
        let dataset = Dataset::open(&options, &mut |_| {})?;
        let first_s = start.elapsed().as_secs_f64();
        let again = Dataset::open(&options, &mut |_| {})?;
        let again_s = start.elapsed().as_secs_f64() - first_s;
        eprintln!("{name}: {} episodes, {} frames", dataset.episodes.len(), dataset.total_frames());
        eprintln!("  first {first_s:.1} s, again {again_s:.3} s, {}", dataset.content_id);
        eprintln!("  skipped: {:#?}", dataset.skipped);
        assert_eq!((&dataset.episodes, &dataset.skipped), (&again.episodes, &again.skipped));
        let mut positions = dataset.episodes.iter().enumerate();
        // No sound episode shows the same (black) picture from beginning to end.
        let moves = |(i, e): (usize, &crate::Episode)| dataset.frame(0, i, 0) != dataset.frame(0, i, e.len - 1);
        assert!(positions.all(moves));
    }
    Ok(())
}
