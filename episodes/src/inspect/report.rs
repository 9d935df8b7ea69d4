//! The report's parts, all of them plain numbers and words.

use serde::Serialize;

use crate::Skipped;
use crate::dataset::Timing;

/// The content of a dataset in numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// Where the data came from.
    pub source: String,
    /// LeRobot codebase version, or the name of another format.
    pub codebase_version: String,
    /// The episodes were imagined by a world model, not recorded.
    pub is_imagined: bool,
    /// Robot type, where the dataset names one.
    pub robot_type: Option<String>,
    /// Sound episodes.
    pub episodes: usize,
    /// Steps in the sound episodes.
    pub frames: usize,
    /// Recording rate, Hz; absent where nobody knows it.
    pub fps: Option<f64>,
    /// Episode lengths, steps; absent without episodes.
    pub lengths: Option<Lengths>,
    /// Colour cameras.
    pub cameras: Vec<CameraReport>,
    /// Everything a model can see or learn from.
    pub features: Vec<FeatureReport>,
    /// Ranges of the observed state, element by element.
    pub state: Vec<ElementReport>,
    /// Ranges of the action, element by element.
    pub action: Vec<ElementReport>,
    /// What the elements of the action are to the state that follows; empty where no two are the same quantity.
    pub follow: Vec<Follow>,
    /// Range of the recorded reward; absent where there is none.
    pub reward: Option<ElementReport>,
    /// Share of steps whose action hardly changed from the step before.
    pub idle_share: f64,
    /// How much of what was recorded is not a repetition.
    pub coverage: Coverage,
    /// Recorded successes; absent where the dataset has no success column.
    pub success: Option<SuccessReport>,
    /// Episodes that ended in a state with no future.
    pub terminated: usize,
    /// Steps at which a person had the controls; absent where that was not recorded.
    pub intervention: Option<InterventionReport>,
    /// How rewards and success are read, one sentence.
    pub reward_rule: String,
    /// Task texts.
    pub tasks: Vec<String>,
    /// How evenly the steps follow each other; absent where the dataset has no clock.
    pub timing: Option<Timing>,
    /// What training would learn from and what it would hold out; absent where nobody said how to split.
    pub split: Option<SplitReport>,
    /// What is sound but looks like a mistake, one sentence each.
    pub doubts: Vec<String>,
    /// What was left out, and why.
    pub skipped: Vec<Skipped>,
    /// The sound episodes one by one, ascending by index.
    pub episode_list: Vec<EpisodeReport>,
}

/// Episode lengths, steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lengths {
    /// Shortest.
    pub min: usize,
    /// Middle one (the lower of the two middle ones).
    pub median: usize,
    /// Longest.
    pub max: usize,
}

/// One colour camera.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CameraReport {
    /// Column name.
    pub key: String,
    /// Recorded height, pixels.
    pub height: usize,
    /// Recorded width, pixels.
    pub width: usize,
    /// Share of the steps at which the state moved whose picture hardly differs from the one before; absent where
    /// nothing moved.
    pub still_share: Option<f64>,
    /// Smallest value of any channel among the pictures looked at, 0 to 255.
    pub darkest: u8,
    /// Largest value of any channel among the pictures looked at, 0 to 255.
    pub brightest: u8,
}

/// One feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FeatureReport {
    /// Column name.
    pub key: String,
    /// `state`, `action`, `camera`, `reward`, `success` or `intervention`.
    pub kind: &'static str,
    /// Shape of one step.
    pub shape: Vec<usize>,
}

/// Distribution of one vector element over all steps, raw units.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ElementReport {
    /// Column and element name, e.g. `observation.state/x`.
    pub name: String,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub std: f64,
    /// Share of steps within 1 % of the range of the smallest or largest value; 0 for a constant element.
    pub saturation_share: f64,
    /// Steps in each of the equal parts between smallest and largest value; one part for a constant element.
    pub histogram: Vec<u64>,
}

/// What an element of the action is to the state that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// Where the state shall be: the next state goes with it.
    Target,
    /// How the state shall change: the change of the state goes with it.
    Change,
    /// Neither clearly.
    Unclear,
}

/// One element of the action beside the same quantity of the state.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Follow {
    /// Element of the action.
    pub action: String,
    /// Element of the state.
    pub state: String,
    /// Correlation of the action with the state of the next step, -1 to 1.
    pub r_next: f64,
    /// Correlation of the action with the change of the state until the next step, -1 to 1.
    pub r_change: f64,
    /// What follows from the two.
    pub meaning: Meaning,
}

/// How much of what was recorded is not a repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Steps that were compared, spread evenly over the dataset.
    pub moments: usize,
    /// Of these, steps whose state and action differ from those of every other one counted by more than a quarter of a
    /// standard deviation (root mean square over the elements).
    pub distinct: usize,
}

/// Recorded successes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SuccessReport {
    /// Episodes with at least one step recorded as success.
    pub episodes: usize,
    /// Share of all episodes, 0 to 1.
    pub share: f64,
}

/// Recorded interventions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct InterventionReport {
    /// Episodes with at least one step at which a person had the controls.
    pub episodes: usize,
    /// Such steps.
    pub steps: usize,
    /// Share of all steps for which it was recorded, 0 to 1.
    pub step_share: f64,
}

/// What training would learn from and what it would hold out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SplitReport {
    /// Episodes to learn from.
    pub train_episodes: usize,
    /// Steps in them.
    pub train_frames: usize,
    /// Episodes never learned from.
    pub held_out_episodes: usize,
    /// Steps in them.
    pub held_out_frames: usize,
    /// Indices of the latter.
    pub held_out: Vec<usize>,
}

/// One sound episode.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EpisodeReport {
    /// `episode_index` in the dataset.
    pub index: usize,
    /// Steps.
    pub len: usize,
    /// Whether it was a success, where that was recorded.
    pub success: Option<bool>,
    /// Share of its steps whose action hardly changed from the step before.
    pub idle_share: f64,
    /// Whether training would hold it out.
    pub is_held_out: bool,
}
