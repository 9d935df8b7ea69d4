//! A small sound recording whose files the targets overwrite.

use std::path::Path;

use episodes::{
    CameraFeature, Dataset, DatasetSpec, Episode, LeRobotWriter, OpenOptions, RecordedEpisode, VectorFeature,
};
use tempfile::TempDir;

/// Makes the recording: one episode of four steps.
pub fn sound() -> TempDir {
    let dir = TempDir::new().expect("a temporary folder");
    let vector = |key: &str| VectorFeature {
        key: key.to_owned(),
        names: vec!["x".to_owned(), "y".to_owned()],
        offset: 0,
        len: 2,
    };
    let camera =
        CameraFeature { key: "observation.images.top".to_owned(), native_height: 4, native_width: 4, model_size: 4 };
    let spec = DatasetSpec {
        source: String::new(),
        codebase_version: "v3.0".to_owned(),
        robot_type: None,
        control_rate_hz: 10.0,
        state: vec![vector("observation.state")],
        hints: Vec::new(),
        action: vector("action"),
        cameras: vec![camera],
        tasks: vec!["push".to_owned()],
        has_reward: true,
        has_success: true,
    };
    let episode = Episode {
        index: 0,
        task: "push".to_owned(),
        len: 4,
        state: vec![0.5; 8],
        hint: Vec::new(),
        action: vec![0.25; 8],
        reward: Some(vec![0.0; 4]),
        success: Some(vec![false, false, false, true]),
        intervention: None,
        terminated: true,
        truncated: false,
        first_frame: 0,
    };
    let mut writer = LeRobotWriter::create(dir.path().join("data"), &spec).expect("a fresh folder");
    writer.push(&RecordedEpisode { episode, frames: vec![vec![7; 4 * 4 * 4 * 3]] }).expect("a sound episode");
    writer.finish().expect("writable");
    dir
}

/// Opens the recording with `file` replaced by `bytes`; whatever comes of it, it comes back.
pub fn open_with(dir: &TempDir, file: &str, bytes: &[u8]) {
    let root = dir.path().join("data");
    std::fs::write(root.join(file), bytes).expect("writable");
    open(&root, None);
}

/// Opens the recording, with labels.
pub fn open(root: &Path, labels: Option<std::path::PathBuf>) {
    let options = OpenOptions {
        path: root.to_path_buf(),
        image_size: 8,
        cache_dir: root.join("../cache"),
        labels,
        ..OpenOptions::default()
    };
    let _ = Dataset::open(&options, &mut |_| {});
    let _ = std::fs::remove_dir_all(root.join("../cache"));
}
