//! Opening a run directory: begin, continue, reopen, or refuse with a reason.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::lock::Lock;
use super::manifest::{FORMAT_VERSION, Manifest, Status};
use super::{RunDir, files, write_atomic, write_error};
use crate::config_file;
use crate::errors::UsageError;

/// What [`RunDir::open`] needs to know.
#[derive(Clone, Copy, Debug)]
pub struct OpenRun<'a> {
    /// The directory; made where it does not exist.
    pub dir: &'a Path,
    /// The complete configuration ([`config_file::to_toml`]).
    pub config_toml: &'a str,
    /// The verb, e.g. `demo`.
    pub command: &'a str,
    /// The device in words.
    pub device: &'a str,
    /// See [`Manifest::dataset_source`].
    pub dataset_source: Option<&'a str>,
    /// Remove what an earlier run left and start over.
    pub fresh: bool,
}

impl RunDir {
    /// Starts a run in `open.dir`, or continues the one that is there.
    ///
    /// # Errors
    /// The directory cannot be written, is in use, holds something else, or holds a run with another configuration
    /// (a [`UsageError`] that names the keys).
    pub fn open(open: &OpenRun) -> Result<RunDir> {
        let root = open.dir;
        fs::create_dir_all(root).map_err(|e| write_error(root, &e))?;
        let lock = Lock::take(root)?;
        files::sweep(root)?;
        if !root.join("manifest.json").exists() {
            refuse_foreign(root)?;
        } else if open.fresh || Self::is_untouched(root) {
            // What was refused before any stage began must not be in the way of what is asked for now.
            clear(root)?;
        } else {
            let run = Self::load(root, lock)?;
            return run.continue_with(open);
        }
        write_atomic(&root.join("run.toml"), open.config_toml.as_bytes())?;
        let manifest = Manifest {
            format_version: FORMAT_VERSION,
            rehearsal_version: env!("CARGO_PKG_VERSION").to_owned(),
            command: open.command.to_owned(),
            config_hash: blake3::hash(open.config_toml.as_bytes()).to_hex().to_string(),
            dataset_id: None,
            dataset_source: open.dataset_source.map(str::to_owned),
            device: open.device.to_owned(),
            status: Status::Running,
            stages: Vec::new(),
        };
        let metrics = open_metrics(root)?;
        metrics.set_len(0).map_err(|e| write_error(&root.join("metrics.jsonl"), &e))?;
        let config_toml = open.config_toml.to_owned();
        let mut run = RunDir { root: root.to_owned(), manifest, config_toml, metrics, current: None, _lock: lock };
        run.save_manifest()?;
        run.event(&format!("begun: {} on {}", open.command, open.device))?;
        if let Some(source) = open.dataset_source {
            run.event(&format!("dataset: {source}"))?;
        }
        Ok(run)
    }

    /// Whether no stage of the run in `root` has begun.
    fn is_untouched(root: &Path) -> bool {
        Self::read_manifest(root).is_ok_and(|manifest| manifest.stages.is_empty())
    }

    /// Opens the run that is in `dir`, whatever its configuration (for verbs that take a finished run).
    ///
    /// # Errors
    /// There is no run in `dir`, it is in use, or of another format version.
    pub fn reopen(dir: &Path) -> Result<RunDir> {
        if !dir.join("manifest.json").exists() {
            return Err(UsageError(format!(
                "{} is no run directory: it has no manifest.json; expected the --out directory of an earlier command",
                dir.display()
            ))
            .into());
        }
        let lock = Lock::take(dir)?;
        files::sweep(dir)?;
        Self::load(dir, lock)
    }

    /// Reads the manifest of the run in `dir` without opening it for work.
    ///
    /// # Errors
    /// No readable manifest, or one of another format version.
    pub fn read_manifest(dir: &Path) -> Result<Manifest> {
        let file = dir.join("manifest.json");
        let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let damaged =
            || format!("{} is damaged; the command that began the run starts it over with --fresh", file.display());
        let value: Value = serde_json::from_slice(&text).with_context(damaged)?;
        let version = value["format_version"].as_u64();
        anyhow::ensure!(
            version == Some(u64::from(FORMAT_VERSION)),
            "{}: format version {}; this rehearsal reads version {FORMAT_VERSION}. Use the rehearsal that made it \
             (version {}), or choose another directory with --out DIR",
            file.display(),
            value["format_version"],
            value["rehearsal_version"],
        );
        serde_json::from_value(value).with_context(damaged)
    }

    fn load(root: &Path, lock: Lock) -> Result<RunDir> {
        let manifest = Self::read_manifest(root)?;
        let file = root.join("run.toml");
        let config_toml = fs::read_to_string(&file).with_context(|| {
            format!(
                "{} cannot be read: the run is damaged; the command that began it starts it over with --fresh",
                file.display()
            )
        })?;
        let metrics = open_metrics(root)?;
        Ok(RunDir { root: root.to_owned(), manifest, config_toml, metrics, current: None, _lock: lock })
    }

    fn continue_with(mut self, open: &OpenRun) -> Result<RunDir> {
        let changed = config_file::differences(&self.config_toml, open.config_toml)?;
        let verb_changed = self.manifest.command != open.command;
        if !changed.is_empty() || verb_changed {
            let what = if verb_changed {
                format!("by '{}', not '{}'", self.manifest.command, open.command)
            } else {
                format!("with another configuration ({})", changed.join(", "))
            };
            return Err(UsageError(format!(
                "{} was begun {what}; continue it as it was begun, choose another directory with --out DIR, or add \
                 --fresh to start it over",
                self.root.display()
            ))
            .into());
        }
        self.manifest.device = open.device.to_owned();
        if self.manifest.dataset_source.is_none() {
            self.manifest.dataset_source = open.dataset_source.map(str::to_owned);
        }
        self.event(&format!("continued: {} on {}", open.command, open.device))?;
        self.save_manifest()?;
        Ok(self)
    }
}

fn open_metrics(root: &Path) -> Result<File> {
    let path = root.join("metrics.jsonl");
    OpenOptions::new().create(true).append(true).open(&path).map_err(|e| write_error(&path, &e))
}

/// A directory without manifest may hold nothing but what a run killed at birth leaves.
fn refuse_foreign(root: &Path) -> Result<()> {
    let ours = ["lock", "run.toml", "metrics.jsonl"];
    for entry in fs::read_dir(root).with_context(|| format!("cannot list {}", root.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !ours.contains(&name.as_str()) {
            return Err(UsageError(format!(
                "{} is no run directory and not empty (it holds '{name}'); choose another with --out DIR",
                root.display()
            ))
            .into());
        }
    }
    Ok(())
}

/// Removes everything a run left, except the lock that is being held.
fn clear(root: &Path) -> Result<()> {
    // The manifest goes last: without it the rest would look like a stranger's directory.
    let mut paths: Vec<PathBuf> = fs::read_dir(root)
        .with_context(|| format!("cannot list {}", root.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| name != "lock"))
        .collect();
    paths.sort_by_key(|path| path.ends_with("manifest.json"));
    paths.iter().try_for_each(|path| files::remove(path))
}
