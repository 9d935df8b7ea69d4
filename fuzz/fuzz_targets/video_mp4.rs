//! A video file may hold anything.

#![no_main]

use std::sync::LazyLock;

use episodes::video::Video;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static PLACE: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().expect("a temporary folder"));

fuzz_target!(|bytes: &[u8]| {
    let path = PLACE.path().join("film.mp4");
    std::fs::write(&path, bytes).expect("writable");
    if let Ok(video) = Video::open(&path) {
        let wanted: Vec<usize> = (0..video.times_s().len().min(16)).collect();
        let _ = video.decode(&wanted, &mut |_, _, _| Ok(()));
    }
});
