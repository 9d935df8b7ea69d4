//! What a dataset contains: names, shapes, rates. One [`DatasetSpec`] per dataset, also stored in a policy bundle.

use serde::{Deserialize, Serialize};

/// One named vector column, e.g. `observation.state` with its motor names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VectorFeature {
    /// Column name in the dataset.
    pub key: String,
    /// One name per element; generated (`key[0]`, …) where the dataset gives none.
    pub names: Vec<String>,
    /// First element of this feature in the concatenated vector.
    pub offset: usize,
    /// Number of elements.
    pub len: usize,
}

/// One colour camera.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CameraFeature {
    /// Column name in the dataset, e.g. `observation.images.cam_high`.
    pub key: String,
    /// Recorded height, pixels.
    pub native_height: usize,
    /// Recorded width, pixels.
    pub native_width: usize,
    /// Height and width of the square frames the model sees, pixels.
    pub model_size: usize,
}

/// Shapes and names of a dataset as the rest of the house sees it.
///
/// `state` is the concatenation of the selected vector observations, `S` elements; `action` has `A` elements; a hint is the
/// concatenation of the selected hints, `H` elements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetSpec {
    /// Where the data came from, as the user wrote it.
    pub source: String,
    /// LeRobot codebase version, e.g. `v3.0`, or the name of another format, e.g. `robomimic HDF5`.
    pub codebase_version: String,
    /// Robot type, where the dataset names one.
    pub robot_type: Option<String>,
    /// Control and recording rate, Hz; 0 only where [`crate::ControlRate::IfRecorded`] let it be unknown.
    pub control_rate_hz: f64,
    /// Vector observations, in the order in which they are concatenated.
    pub state: Vec<VectorFeature>,
    /// Recorded vectors that the robot will not have when it acts, in the order in which they are concatenated.
    pub hints: Vec<VectorFeature>,
    /// The action vector.
    pub action: VectorFeature,
    /// Colour cameras, in model order.
    pub cameras: Vec<CameraFeature>,
    /// Task texts, in `task_index` order.
    pub tasks: Vec<String>,
    /// Whether a per-step reward column exists.
    pub has_reward: bool,
    /// Whether a per-step success column exists.
    pub has_success: bool,
}

impl DatasetSpec {
    /// Elements of the concatenated state vector.
    pub fn state_len(&self) -> usize {
        self.state.iter().map(|f| f.len).sum()
    }

    /// Elements of a hint.
    pub fn hint_len(&self) -> usize {
        self.hints.iter().map(|f| f.len).sum()
    }

    /// Elements of the action vector.
    pub fn action_len(&self) -> usize {
        self.action.len
    }
}

/// The first value that is no number, in words; `values` are rows of the concatenated features.
pub(crate) fn first_not_finite(values: &[f32], features: &[VectorFeature]) -> Option<String> {
    let bad = values.iter().position(|x| !x.is_finite())?;
    let width: usize = features.iter().map(|feature| feature.len).sum();
    let (frame, element) = (bad / width, bad % width);
    // Features are ordered by offset: the last that starts at or before the element contains it.
    let feature = features.iter().rev().find(|feature| feature.offset <= element);
    let name = feature.map_or(String::new(), |feature| {
        let inside = element - feature.offset;
        format!("{} element {inside} ({})", feature.key, feature.names[inside])
    });
    Some(format!("{name} is {} at frame {frame}", values[bad]))
}

/// Something that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// What was left out, e.g. `episode 13` or `camera observation.images.depth`.
    pub what: String,
    /// Why, in one sentence.
    pub why: String,
}
