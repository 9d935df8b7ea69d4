//! Writes a made-up LeRobot v3.0 dataset of many short episodes, to measure how it is opened (benches/episodes.sh).
//!
//! ```text
//! cargo run --release -p episodes --example many -- DIR EPISODES            no camera, 20 steps each
//! cargo run --release -p episodes --example many -- DIR EPISODES VIDEO.mp4  all share a video of 12 frames of 64x48
//! ```

mod dataset;

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (path, episodes, video) = match arguments.as_slice() {
        [path, episodes] => (path, episodes, None),
        [path, episodes, video] => (path, episodes, Some(Path::new(video))),
        _ => return Err("expected DIR EPISODES [VIDEO]".into()),
    };
    let steps = if video.is_some() { 12 } else { 20 };
    let many = dataset::Many { episodes: episodes.parse()?, steps, video: video.map(|video| (video, [48, 64])) };
    many.write(Path::new(path))
}
