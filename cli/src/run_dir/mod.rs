//! A run directory: configuration, manifest, metrics, checkpoints; what lets the same command continue a killed run.
//!
//! ```text
//! runs/<name>/
//!   run.toml        resolved, complete      manifest.json   format version, config hash, device, stages
//!   metrics.jsonl   one line per step       events.log      what happened when
//!   report.html, .md, .json                 outcomes.json   every start's and episode's outcome
//!   checkpoints/<stage>/step_00005000/ …    checkpoints/<stage>/last
//! ```
//! Stages run one after another; `metrics.jsonl` holds no times, so that a continued run ends with the same bytes
//! as an undisturbed one.

mod checkpoints;
mod files;
mod lock;
mod manifest;
mod opening;
#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

use crate::errors::UsageError;
use crate::memory;

pub use checkpoints::{Checkpoint, Resume};
pub use files::{write_atomic, write_dir_atomic, write_error, write_json_atomic};
pub use manifest::{Manifest, StageRecord, Status};
pub use opening::OpenRun;

/// An open run directory; holds its lock until dropped.
#[derive(Debug)]
pub struct RunDir {
    root: PathBuf,
    manifest: Manifest,
    config_toml: String,
    metrics: File,
    current: Option<Clock>,
    _lock: lock::Lock,
}

/// The stage in progress.
#[derive(Debug)]
struct Clock {
    stage: String,
    started: Instant,
    wall_s_before: f64,
    peak_rss_mb_before: Option<f64>,
}

impl RunDir {
    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `name` inside the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The text of `run.toml`.
    pub fn config_toml(&self) -> &str {
        &self.config_toml
    }

    /// The manifest as it stands.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Notes what the run learns from.
    ///
    /// # Errors
    /// The run was begun on other data, or the manifest cannot be written.
    pub fn set_dataset(&mut self, dataset_id: &str) -> Result<()> {
        if let Some(before) = self.manifest.dataset_id.as_deref().filter(|before| *before != dataset_id) {
            return Err(UsageError(format!(
                "{} was begun on other data (then {}, now {}); choose another directory with --out DIR, or add \
                 --fresh to start it over",
                self.root.display(),
                &before[..before.len().min(12)],
                &dataset_id[..dataset_id.len().min(12)],
            ))
            .into());
        }
        self.manifest.dataset_id = Some(dataset_id.to_owned());
        self.save_manifest()
    }

    /// Whether the stage is done and need not be done again.
    pub fn is_complete(&self, stage: &str) -> bool {
        self.manifest.stage(stage).is_some_and(|s| s.status == Status::Complete)
    }

    /// The newest checkpoint of a stage.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn last_checkpoint(&self, stage: &str) -> Result<Option<Checkpoint>> {
        checkpoints::last(&self.stage_dir(stage))
    }

    /// [`Self::last_checkpoint`] of the run in `root`, which is not opened for work.
    ///
    /// # Errors
    /// As there.
    pub fn checkpoint_in(root: &Path, stage: &str) -> Result<Option<Checkpoint>> {
        checkpoints::last(&root.join("checkpoints").join(stage))
    }

    /// Begins a stage, or continues it from the checkpoint that is returned; `metrics.jsonl` is cut to match.
    ///
    /// # Errors
    /// The run directory cannot be read or written.
    pub fn begin(&mut self, stage: &str) -> Result<Option<Checkpoint>> {
        assert!(self.current.is_none(), "stages run one after another: '{stage}' begins inside another");
        let checkpoint = self.last_checkpoint(stage)?;
        let metrics_bytes = self.metrics_bytes()?;
        let known = self.manifest.stage(stage).map(|s| s.metrics_bytes_at_start);
        let keep_bytes = match (&checkpoint, known) {
            (Some(checkpoint), _) => checkpoint.resume.metrics_bytes,
            (None, Some(start)) => start,
            (None, None) => metrics_bytes,
        };
        if keep_bytes < metrics_bytes {
            self.metrics.set_len(keep_bytes).map_err(|e| write_error(&self.path("metrics.jsonl"), &e))?;
        }
        memory::reset_peak();
        let before = checkpoint.as_ref().map(|c| c.resume);
        self.current = Some(Clock {
            stage: stage.to_owned(),
            started: Instant::now(),
            wall_s_before: before.map_or(0.0, |r| r.wall_s),
            peak_rss_mb_before: before.and_then(|r| r.peak_rss_mb),
        });
        let record = self.manifest.stage_mut(stage);
        record.status = Status::Running;
        record.metrics_bytes_at_start = known.unwrap_or(metrics_bytes);
        self.manifest.status = Status::Running;
        match before {
            Some(resume) => self.event(&format!("{stage}: continued at step {}", resume.step))?,
            None => self.event(&format!("{stage}: begun"))?,
        }
        self.save_manifest()?;
        Ok(checkpoint)
    }

    /// Writes a checkpoint of the stage in progress: `fill` puts its files into the directory it is given.
    ///
    /// # Errors
    /// What `fill` says; the directory cannot be written.
    pub fn checkpoint(&mut self, step: u64, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        self.metrics.sync_all().map_err(|e| write_error(&self.path("metrics.jsonl"), &e))?;
        let (stage, wall_s, peak_rss_mb) = self.clock();
        let resume = Resume { step, metrics_bytes: self.metrics_bytes()?, wall_s, peak_rss_mb };
        checkpoints::save(&self.stage_dir(&stage), &resume, fill)?;
        self.note_clock()
    }

    /// The newest checkpoint of the stage in progress, to go back to; `metrics.jsonl` is cut to match.
    ///
    /// # Errors
    /// The run directory cannot be read or written.
    pub fn rewind(&mut self) -> Result<Option<Checkpoint>> {
        let (stage, ..) = self.clock();
        let checkpoint = self.last_checkpoint(&stage)?;
        if let Some(checkpoint) = &checkpoint {
            self.metrics
                .set_len(checkpoint.resume.metrics_bytes)
                .map_err(|e| write_error(&self.path("metrics.jsonl"), &e))?;
        }
        Ok(checkpoint)
    }

    /// Notes what a reader of the report should know of the stage in progress, once.
    ///
    /// # Errors
    /// The manifest cannot be written.
    pub fn warn(&mut self, words: &str) -> Result<()> {
        let (stage, ..) = self.clock();
        let warnings = &mut self.manifest.stage_mut(&stage).warnings;
        if !warnings.iter().any(|known| known == words) {
            warnings.push(words.to_owned());
        }
        self.save_manifest()
    }

    /// Ends the stage in progress as complete.
    ///
    /// # Errors
    /// The manifest cannot be written.
    pub fn complete(&mut self) -> Result<()> {
        self.note_clock()?;
        let (stage, wall_s, _) = self.clock();
        self.manifest.stage_mut(&stage).status = Status::Complete;
        self.current = None;
        self.event(&format!("{stage}: complete after {wall_s:.1} s"))?;
        self.save_manifest()
    }

    /// Ends the stage in progress unfinished, for a reason in words: the same command continues it.
    ///
    /// # Errors
    /// The manifest cannot be written.
    pub fn pause(&mut self, why: &str) -> Result<()> {
        self.note_clock()?;
        let (stage, ..) = self.clock();
        self.current = None;
        self.event(&format!("{stage}: {why}"))
    }

    /// Marks the whole run complete.
    ///
    /// # Errors
    /// The manifest cannot be written.
    pub fn finish(&mut self) -> Result<()> {
        self.manifest.status = Status::Complete;
        self.event("complete")?;
        self.save_manifest()
    }

    /// Appends one line to `metrics.jsonl`: `values` (a map or struct of numbers) with `stage` and `step` added.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn metric(&mut self, stage: &str, step: u64, values: &impl Serialize) -> Result<()> {
        let mut line = match serde_json::to_value(values)? {
            Value::Object(map) => map,
            other => serde_json::Map::from_iter([("value".to_owned(), other)]),
        };
        line.insert("stage".to_owned(), stage.into());
        line.insert("step".to_owned(), step.into());
        crate::live::metric(&self.root, stage, step, &line);
        let text = format!("{}\n", Value::Object(line));
        self.metrics.write_all(text.as_bytes()).map_err(|e| write_error(&self.path("metrics.jsonl"), &e))
    }

    /// Appends one line with the time to `events.log`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn event(&self, words: &str) -> Result<()> {
        let path = self.path("events.log");
        let line = format!("{} {words}\n", crate::clock::now_utc());
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .map_err(|e| write_error(&path, &e))
    }

    fn stage_dir(&self, stage: &str) -> PathBuf {
        self.root.join("checkpoints").join(stage)
    }

    fn metrics_bytes(&self) -> Result<u64> {
        let path = self.path("metrics.jsonl");
        Ok(self.metrics.metadata().with_context(|| format!("cannot read {}", path.display()))?.len())
    }

    /// Name, time and peak memory of the stage in progress.
    fn clock(&self) -> (String, f64, Option<f64>) {
        let clock = self.current.as_ref().expect("begin() comes before checkpoint(), complete() and pause()");
        let wall_s = clock.wall_s_before + clock.started.elapsed().as_secs_f64();
        let peak = match (memory::peak_rss_mb(), clock.peak_rss_mb_before) {
            (Some(now), Some(before)) => Some(now.max(before)),
            (now, before) => now.or(before),
        };
        (clock.stage.clone(), wall_s, peak)
    }

    fn note_clock(&mut self) -> Result<()> {
        let (stage, wall_s, peak_rss_mb) = self.clock();
        let record = self.manifest.stage_mut(&stage);
        record.wall_s = wall_s;
        record.peak_rss_mb = peak_rss_mb;
        self.save_manifest()
    }

    fn save_manifest(&mut self) -> Result<()> {
        write_json_atomic(&self.path("manifest.json"), &self.manifest)
    }
}
