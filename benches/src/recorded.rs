//! Cases on recorded data: decoding into the cache, windows out of it, opening datasets of many episodes.
//!
//! `DATA` names the folder that holds `pusht_v3` and `g1_bottle_v21`; `SCRATCH` a folder that outlives the process, for
//! what peers read too (`benches/episodes.sh` sets both).

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use episodes::{Dataset, OpenOptions, WindowSampler};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rayon::prelude::*;
use world_model::vision::to_blocks;

use crate::cases::Built;
use crate::measure;

/// Windows of a batch, and steps of a window.
const BATCH: usize = 16;
const WINDOW: usize = 32;
/// Pixels along a side of the windows' frames.
const SIZE: usize = 96;
/// Episodes that windows are drawn from.
const WINDOW_EPISODES: usize = 40;

/// The first `episodes` sound episodes of a recorded dataset decoded and resized, every step into a cache of its own.
pub fn ingest(scratch: &Path, name: &str, episodes: usize, size: usize) -> Built {
    let (dir, path) = (scratch.to_path_buf(), recorded(name)?);
    Ok(Box::new(move |i| {
        let cache = dir.join(format!("cache{i}"));
        let read = first(&path, episodes, size, &cache).map(|dataset| dataset.total_frames());
        assert!(read.is_ok_and(|frames| frames > 0), "the first episodes are sound");
        fs::remove_dir_all(&cache).ok();
    }))
}

/// Random windows as training gets them: f32 blocks, -0.5 to 0.5.
pub fn windows_f32(scratch: &Path) -> Built {
    let (dataset, sampler) = windows(scratch)?;
    let (mut rng, device) = (StdRng::seed_from_u64(0), Device::default());
    Ok(Box::new(move |_| {
        let frames = draw(&dataset, &sampler, &mut rng);
        assert_eq!(to_blocks(frames.into_iter(), SIZE, &device).dims()[0], BATCH * WINDOW);
    }))
}

/// Random windows as they are in the cache, side by side: u8 `[BATCH, WINDOW, SIZE, SIZE, 3]`, the same memory again and again.
pub fn windows_u8(scratch: &Path) -> Built {
    let (dataset, sampler) = windows(scratch)?;
    let mut rng = StdRng::seed_from_u64(0);
    let mut batch = vec![0; BATCH * WINDOW * SIZE * SIZE * 3];
    Ok(Box::new(move |_| {
        let frames = draw(&dataset, &sampler, &mut rng);
        batch.par_chunks_mut(SIZE * SIZE * 3).zip(frames).for_each(|(to, frame)| to.copy_from_slice(frame));
    }))
}

fn draw<'a>(dataset: &'a Dataset, sampler: &WindowSampler, rng: &mut StdRng) -> Vec<&'a [u8]> {
    let steps = sampler.sample(rng, BATCH).into_iter().flat_map(|w| (w.start..w.start + WINDOW).map(move |t| (w, t)));
    steps.map(|(w, t)| dataset.frame(0, w.episode, t)).collect()
}

/// The frames to draw from, which peers find in `SCRATCH/frames.u8`, one after the other.
fn windows(scratch: &Path) -> Result<(Dataset, WindowSampler), Box<dyn Error>> {
    let shared = std::env::var_os("SCRATCH").map_or_else(|| scratch.to_path_buf(), PathBuf::from);
    let dataset = first(&recorded("pusht_v3")?, WINDOW_EPISODES, SIZE, &shared.join("cache"))?;
    let lens: Vec<(usize, usize)> = dataset.episodes.iter().enumerate().map(|(i, e)| (i, e.len)).collect();
    let frames = lens.iter().flat_map(|&(i, len)| (0..len).map(move |t| (i, t)));
    let bytes: Vec<u8> = frames.flat_map(|(i, t)| dataset.frame(0, i, t)).copied().collect();
    fs::write(shared.join("frames.u8"), bytes)?;
    fs::write(shared.join("lengths"), lens.iter().map(|(_, len)| format!("{len}\n")).collect::<String>())?;
    Ok((dataset, WindowSampler::new(&lens, WINDOW)))
}

/// Whether `DATA` says where recordings are.
pub fn is_there() -> bool {
    std::env::var_os("DATA").is_some()
}

fn recorded(name: &str) -> Result<PathBuf, Box<dyn Error>> {
    let data =
        std::env::var_os("DATA").ok_or("DATA is not set; expected the folder that holds pusht_v3 and g1_bottle_v21")?;
    Ok(Path::new(&data).join(name))
}

fn first(path: &Path, episodes: usize, size: usize, cache_dir: &Path) -> Result<Dataset, episodes::Error> {
    let options = OpenOptions {
        path: path.into(),
        image_size: size,
        cache_dir: cache_dir.into(),
        max_episodes: Some(episodes),
        ..OpenOptions::default()
    };
    Dataset::open(&options, &mut |_| ())
}

/// Opens a dataset once, pictures at 16 pixels; returns what that took.
pub fn opened(path: &Path) -> Result<String, Box<dyn Error>> {
    let began = Instant::now();
    let options = OpenOptions {
        path: path.into(),
        image_size: 16,
        cache_dir: path.with_extension("cache"),
        ..OpenOptions::default()
    };
    let dataset = Dataset::open(&options, &mut |_| ())?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(format!(
        "opened {} episodes, {} cameras, {} skipped: {seconds:.2} s, cpu {:.2} s, {:.0} MiB",
        dataset.episodes.len(),
        dataset.spec.cameras.len(),
        dataset.skipped.len(),
        measure::cpu_ms() / 1e3,
        measure::peak_rss_mb() * 1e6 / f64::from(1 << 20),
    ))
}
