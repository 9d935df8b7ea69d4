//! What a run that goes on takes over from the run before: checkpoints, what was embedded, and the policy that was returned there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rl::selection::Kept;

use super::super::ALL;
use super::super::improver::save_policy;
use super::super::learn::EXPLORER;
use super::super::selecting::Selected;
use super::super::training::restore_module;
use super::super::workshop::{Workshop, read_rows};
use crate::run_dir::{RunDir, write_dir_atomic, write_error};

/// Where a run keeps what it began with.
pub(super) const INHERITED: &str = "inherited";

impl Workshop {
    /// What the run began with of a stage; `None` where it began from nothing.
    pub(in super::super) fn inherited(&self, stage: &str) -> Option<PathBuf> {
        Some(self.run.path(INHERITED).join(stage)).filter(|dir| dir.is_dir())
    }

    /// Rows that the run began with, of the tracks that were there before; none where there are none that fit.
    pub(in super::super) fn inherited_rows(&self, file: &str, lens: &[usize]) -> Vec<Vec<f32>> {
        read_rows(&self.run.path(INHERITED).join(file), &lens[..self.tracks_before()]).unwrap_or_default()
    }

    /// Copies what the run in `old` came to: after this, the run stands alone.
    pub(super) fn inherit(&mut self, old: &Path) -> Result<()> {
        if self.run.is_complete("inherit") {
            return Ok(());
        }
        self.run.begin("inherit")?;
        write_dir_atomic(&self.run.path(INHERITED), |target| {
            for stage in ALL {
                let checkpoint = RunDir::checkpoint_in(old, stage)?;
                let checkpoint =
                    checkpoint.with_context(|| format!("{}: {stage}: its checkpoint is gone", old.display()))?;
                copy_files(&checkpoint.dir, &target.join(stage))?;
            }
            if let Some(explorer) = RunDir::checkpoint_in(old, EXPLORER)? {
                copy_files(&explorer.dir, &target.join(EXPLORER))?;
            }
            self.return_what_was_returned(old, target)?;
            for file in ["embeddings.bin", "features.bin", "report.json"].iter().filter(|file| old.join(file).exists())
            {
                copy(&old.join(file), &target.join(file))?;
            }
            Ok(())
        })?;
        self.run.complete()?;
        self.run.begin("representation")?;
        let from = self.run.path(INHERITED).join("representation");
        self.run.checkpoint(0, |dir| copy_files(&from, dir))?;
        self.run.complete()
    }

    /// In what was copied to `target`, the policy that the run in `old` returned in the place of a copy that it refused.
    fn return_what_was_returned(&self, old: &Path, target: &Path) -> Result<()> {
        if Selected::kept(old) != Some(Kept::Cloned) {
            return Ok(());
        }
        let improve = target.join("improve");
        let before = old.join(INHERITED).join("improve");
        if before.is_dir() {
            return ["best.bpk", "best.json"].iter().try_for_each(|file| copy(&before.join(file), &improve.join(file)));
        }
        let clone = restore_module(self.fresh_policy(&self.inner()), &target.join("policy"), "policy")?;
        save_policy(&clone, &improve, "best")
    }
}

pub(in super::super) fn copy_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).map_err(|e| write_error(to, &e))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let path = entry?.path();
        if let Some(name) = path.file_name().filter(|name| path.is_file() && *name != "resume.json") {
            copy(&path, &to.join(name))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(|_| ()).map_err(|e| write_error(to, &e))
}
