//! A label file may hold anything.

#![no_main]

#[expect(dead_code, reason = "the other targets overwrite files of the recording")]
mod recording;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static SOUND: LazyLock<TempDir> = LazyLock::new(recording::sound);

fuzz_target!(|bytes: &[u8]| {
    let labels = SOUND.path().join("labels.csv");
    std::fs::write(&labels, bytes).expect("writable");
    recording::open(&SOUND.path().join("data"), Some(labels));
});
