//! `[[data.with]]`: a dataset to learn from beside the main one, the same robot elsewhere, a simulated one, another one.

use std::path::PathBuf;

use episodes::{Joining, OpenOptions, OutcomeRule, RewardRule};
use serde::{Deserialize, Serialize};

use super::DataConfig;

/// What to read beside the main dataset. Every key but the first four is as under `data`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompanionConfig {
    /// LeRobot dataset directory, HDF5 file, directory of HDF5 files, or `hub:owner/name@revision`.
    pub path: PathBuf,
    /// How often it is drawn from, relative to the others.
    pub weight: f64,
    /// Whether its states and actions mean what those of the main dataset mean: `true`, `false`, or left out for: if they are
    /// named alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_robot: Option<bool>,
    /// Its camera for each camera of the main dataset, in order, `""` for none; empty for: named alike.
    pub cameras: Vec<String>,
    /// Steps per second, Hz, where the file does not say it.
    pub control_rate_hz: f64,
    /// Demonstrations to read of a robomimic file.
    pub filter_key: String,
    /// Columns that make up the state.
    pub state_keys: Vec<String>,
    /// The action column.
    pub action_key: String,
    /// How rewards and success are read.
    pub reward: RewardRule,
    /// File of per-episode labels.
    pub labels: PathBuf,
    /// Taken off the reward of every step.
    pub step_cost: f32,
}

impl CompanionConfig {
    /// What the reader is told, except for cameras, which the main dataset decides; size and strictness are as there.
    pub fn options(&self, main: &DataConfig) -> OpenOptions {
        DataConfig { image_size: main.image_size, strict: main.strict, ..self.as_data() }.options()
    }

    /// How it joins the main dataset.
    pub fn joining(&self) -> Joining {
        let cameras = (!self.cameras.is_empty()).then(|| self.cameras.clone());
        Joining { weight: self.weight, same_robot: self.same_robot, cameras }
    }

    /// Its rule of rewards and success.
    pub fn rule(&self) -> OutcomeRule {
        self.as_data().rule()
    }

    fn as_data(&self) -> DataConfig {
        DataConfig {
            path: self.path.clone(),
            control_rate_hz: self.control_rate_hz,
            filter_key: self.filter_key.clone(),
            state_keys: self.state_keys.clone(),
            action_key: self.action_key.clone(),
            reward: self.reward,
            labels: self.labels.clone(),
            step_cost: self.step_cost,
            ..DataConfig::default()
        }
    }
}

impl Default for CompanionConfig {
    fn default() -> Self {
        let data = DataConfig::default();
        Self {
            path: data.path,
            weight: data.weight,
            same_robot: None,
            cameras: Vec::new(),
            control_rate_hz: data.control_rate_hz,
            filter_key: data.filter_key,
            state_keys: data.state_keys,
            action_key: data.action_key,
            reward: data.reward,
            labels: data.labels,
            step_cost: data.step_cost,
        }
    }
}
