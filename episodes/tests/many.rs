//! Datasets of many short episodes, as recorders leave them: opening takes time and memory in proportion.

#[path = "../examples/many/dataset.rs"]
mod dataset;
#[path = "damage/memory.rs"]
mod memory;

use std::error::Error;
use std::path::Path;

use dataset::Many;
use episodes::{Dataset, OpenOptions};

const STEPS: usize = 12;

/// Most bytes held while a dataset of so many episodes is opened, and how many episodes it is found to have.
fn open(episodes: usize, camera: bool) -> Result<(usize, usize), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("dataset");
    let video = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/colours_av1.mp4");
    let video = camera.then_some((video.as_path(), [48, 64]));
    Many { episodes, steps: STEPS, video }.write(&path)?;
    let cache_dir = dir.path().join("cache");
    let options = OpenOptions { path, cache_dir, image_size: 4, ..OpenOptions::default() };
    memory::restart();
    let before = memory::peak();
    let dataset = Dataset::open(&options, &mut |_| ())?;
    assert!(dataset.skipped.is_empty(), "{:?}", dataset.skipped);
    assert_eq!(dataset.total_frames(), episodes * STEPS);
    let last = dataset.episodes.last().ok_or("there are episodes")?;
    assert_eq!((last.index, last.task.as_str()), (episodes - 1, ["push", "pull", "lift"][(episodes - 1) % 3]));
    assert_eq!(dataset.spec.cameras.len(), usize::from(camera));
    Ok((memory::peak() - before, dataset.episodes.len()))
}

#[test]
fn many_episodes_open_in_memory_that_grows_no_faster_than_they_do() -> Result<(), Box<dyn Error>> {
    let (few_bytes, few) = open(250, false)?;
    let (many_bytes, many) = open(2000, false)?;
    assert_eq!((few, many), (250, 2000));
    // Eight times as many. What is held anyway counts for the few.
    assert!(many_bytes < 9 * few_bytes, "{few_bytes} bytes for {few} episodes, {many_bytes} for {many}");
    assert!(many_bytes < 40_000_000, "{many_bytes} bytes for {many} episodes");
    // And all that share one video.
    assert_eq!(open(200, true)?.1, 200);
    Ok(())
}
