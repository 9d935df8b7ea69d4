//! An HDF5 file may hold anything.

#![no_main]

#[expect(dead_code, reason = "the other targets overwrite files of a LeRobot recording")]
mod recording;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let dir = TempDir::new().expect("a temporary folder");
    std::fs::create_dir(dir.path().join("data")).expect("writable");
    dir
});

fuzz_target!(|bytes: &[u8]| {
    let folder = FOLDER.path().join("data");
    std::fs::write(folder.join("recording.hdf5"), bytes).expect("writable");
    recording::open(&folder, None);
});
