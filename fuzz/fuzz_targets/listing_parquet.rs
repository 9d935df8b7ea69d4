//! `meta/episodes/chunk-000/file-000.parquet` may hold anything.

#![no_main]

mod recording;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static SOUND: LazyLock<TempDir> = LazyLock::new(recording::sound);

fuzz_target!(|bytes: &[u8]| recording::open_with(&SOUND, "meta/episodes/chunk-000/file-000.parquet", bytes));
