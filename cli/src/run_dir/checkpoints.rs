//! `checkpoints/<stage>/step_00005000/`: what a stage needs to continue, with a `last` file naming the newest.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::files::{remove, sweep, write_atomic, write_dir_atomic, write_json_atomic};

/// Checkpoints kept per stage: the newest and one to fall back on.
const KEPT: usize = 2;

const POINTER: &str = "last";
const RESUME: &str = "resume.json";

/// A finished checkpoint on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Its directory.
    pub dir: PathBuf,
    /// Steps done when it was written, and what the run had come to.
    pub resume: Resume,
}

/// What the run directory notes with every checkpoint (`resume.json`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resume {
    /// Steps done.
    pub step: u64,
    /// Length of `metrics.jsonl`, bytes; a continued run cuts it there.
    pub metrics_bytes: u64,
    /// Time the stage had taken, seconds.
    pub wall_s: f64,
    /// Highest memory of the stage, MB.
    pub peak_rss_mb: Option<f64>,
}

/// Writes one checkpoint, moves the pointer, and removes those beyond [`KEPT`].
pub(super) fn save(stage_dir: &Path, resume: &Resume, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let name = format!("step_{:08}", resume.step);
    fs::create_dir_all(stage_dir).map_err(|e| super::files::write_error(stage_dir, &e))?;
    write_dir_atomic(&stage_dir.join(&name), |dir| {
        fill(dir)?;
        write_json_atomic(&dir.join(RESUME), resume)
    })?;
    write_atomic(&stage_dir.join(POINTER), format!("{name}\n").as_bytes())?;
    let all = step_dirs(stage_dir);
    for old in &all[..all.len().saturating_sub(KEPT)] {
        if old.file_name().is_none_or(|n| n != name.as_str()) {
            remove(old)?;
        }
    }
    sweep(stage_dir)
}

/// The newest finished checkpoint: the one `last` names, or the highest step should that one be missing.
pub(super) fn last(stage_dir: &Path) -> Result<Option<Checkpoint>> {
    let named = fs::read_to_string(stage_dir.join(POINTER)).ok().map(|name| stage_dir.join(name.trim()));
    let Some(dir) = named.filter(|dir| dir.join(RESUME).exists()).or_else(|| step_dirs(stage_dir).pop()) else {
        return Ok(None);
    };
    let file = dir.join(RESUME);
    let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let resume = serde_json::from_slice(&text).with_context(|| {
        format!("{} is damaged; the command that began the run starts it over with --fresh", file.display())
    })?;
    Ok(Some(Checkpoint { dir, resume }))
}

/// Finished checkpoints, oldest first.
fn step_dirs(stage_dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(stage_dir) else {
        return Vec::new();
    };
    let mut dirs: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("step_")))
        .filter(|path| path.join(RESUME).exists())
        .collect();
    dirs.sort();
    dirs
}
