//! `manifest.json`: what a run directory holds and how far it has come.

use serde::{Deserialize, Serialize};

/// Version of the run directory's layout; a run of another version is refused rather than misread.
pub const FORMAT_VERSION: u32 = 4;

/// How far a stage, or the whole run, has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not begun.
    #[default]
    Pending,
    /// Begun; it continues from its last checkpoint.
    Running,
    /// Done; the same command does not do it again.
    Complete,
}

/// One stage of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// Name, also that of its folder under `checkpoints/`.
    pub name: String,
    /// How far it has come.
    pub status: Status,
    /// Time spent on it over all its starts, seconds; of a killed one up to its last checkpoint.
    pub wall_s: f64,
    /// Highest memory over all its starts, MB.
    pub peak_rss_mb: Option<f64>,
    /// Length of `metrics.jsonl` when the stage began, bytes: where a restart without checkpoint cuts it.
    pub metrics_bytes_at_start: u64,
    /// What went wrong while it trained, and what is wrong with what it trained.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The content of `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// `FORMAT_VERSION` of the program that made the run.
    pub format_version: u32,
    /// Version of the program that made the run.
    pub rehearsal_version: String,
    /// The verb that made the run, e.g. `demo`.
    pub command: String,
    /// blake3 of `run.toml`, hex.
    pub config_hash: String,
    /// Identity of what was learned from (`Dataset::content_id`), once known.
    pub dataset_id: Option<String>,
    /// The commit that was read, as `hub:owner/name@COMMIT`, of a dataset on the hub: what every later command reads.
    pub dataset_source: Option<String>,
    /// Device of the latest start.
    pub device: String,
    /// How far the run has come.
    pub status: Status,
    /// Its stages, in the order in which they began.
    pub stages: Vec<StageRecord>,
}

impl Manifest {
    /// The stage `name`, where it has begun.
    pub fn stage(&self, name: &str) -> Option<&StageRecord> {
        self.stages.iter().find(|stage| stage.name == name)
    }

    /// The stage `name`, added at the end where it is new.
    pub(super) fn stage_mut(&mut self, name: &str) -> &mut StageRecord {
        let position = self.stages.iter().position(|stage| stage.name == name).unwrap_or_else(|| {
            self.stages.push(StageRecord { name: name.to_owned(), ..StageRecord::default() });
            self.stages.len() - 1
        });
        &mut self.stages[position]
    }
}
