//! What to simulate: the task, the size of its pictures, the length of an episode.

use serde::{Deserialize, Serialize};

/// What the robot is asked to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Push a disc onto a round goal; only its position counts.
    #[default]
    Disc,
    /// Push a T-shaped block onto a T-shaped goal; position and angle count.
    Tee,
}

impl Task {
    /// The task in words, as recorded with every episode.
    pub fn text(self) -> &'static str {
        match self {
            Task::Disc => "Push the disc onto the round goal.",
            Task::Tee => "Push the T-shaped block onto the T-shaped goal.",
        }
    }
}

/// What is recorded of the robot. All but the first are deliberately poor: nothing that deserves trust can be learned from them,
/// and whoever claims an improvement has to be caught.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recording {
    /// A crowd of demonstrators of mixed quality.
    #[default]
    Mixed,
    /// Every action uniform over the arena.
    RandomActions,
    /// The crowd's episodes, each with the rewards and the outcome of another one.
    ShuffledOutcomes,
}

/// Settings of the simulated robot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimConfig {
    /// What the robot is asked to do: `disc` or `tee`.
    pub task: Task,
    /// Height and width of the camera picture, pixels.
    pub image_size: usize,
    /// Steps after which an episode is cut off; 100 suits `disc`, 200 suits `tee`.
    pub max_steps: usize,
    /// Discs that drift over the table under everything else and have nothing to do with the task.
    pub distractors: usize,
    /// What is recorded: `mixed`, or one of the deliberately poor `random_actions` and `shuffled_outcomes`.
    pub recording: Recording,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self::new(Task::Disc)
    }
}

impl SimConfig {
    /// The usual settings of a task: 48-pixel pictures, 100 steps for the disc, 200 for the T.
    pub fn new(task: Task) -> Self {
        let max_steps = match task {
            Task::Disc => 100,
            Task::Tee => 200,
        };
        Self { task, image_size: 48, max_steps, distractors: 0, recording: Recording::Mixed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_keys_are_defaults_and_unknown_keys_are_errors() -> Result<(), serde_json::Error> {
        let config: SimConfig = serde_json::from_str(r#"{"task": "tee", "max_steps": 50}"#)?;
        assert_eq!(config, SimConfig { max_steps: 50, ..SimConfig::new(Task::Tee) });
        assert!(serde_json::from_str::<SimConfig>(r#"{"imagesize": 96}"#).is_err());
        Ok(())
    }
}
