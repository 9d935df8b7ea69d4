//! One recorded episode: what was observed, what was done, what came of it.

/// One episode of `T` steps in row-major vectors.
///
/// Row `t` holds the observation `o_t`, the action `a_t` taken there, and what followed from that action
/// (`reward[t]`, `success[t]`, LeRobot's `next.*` columns). The observation after the last action is not recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// `episode_index` in the dataset.
    pub index: usize,
    /// Task text; empty where there is none.
    pub task: String,
    /// Number of steps `T`.
    pub len: usize,
    /// Observed state `[T, S]`, raw units.
    pub state: Vec<f32>,
    /// What the robot will not know when it acts `[T, H]`, raw units; empty where nothing of the kind was asked for.
    pub hint: Vec<f32>,
    /// Actions `[T, A]`, raw units.
    pub action: Vec<f32>,
    /// Reward that followed each action `[T]`, where recorded.
    pub reward: Option<Vec<f32>>,
    /// Whether the task counted as solved after each action `[T]`, where recorded.
    pub success: Option<Vec<bool>>,
    /// Steps at which a person had the controls `[T]`, where recorded.
    pub intervention: Option<Vec<bool>>,
    /// The episode ended in a state with no future (success or failure), not for lack of time.
    pub terminated: bool,
    /// The episode was cut off; its last state has a future nobody saw.
    pub truncated: bool,
    /// Index of this episode's first frame in every camera's frame store.
    pub first_frame: usize,
}

impl Episode {
    /// State `o_t` `[S]`.
    pub fn state_at(&self, t: usize, state_len: usize) -> &[f32] {
        &self.state[t * state_len..(t + 1) * state_len]
    }

    /// Action `a_t` `[A]`.
    pub fn action_at(&self, t: usize, action_len: usize) -> &[f32] {
        &self.action[t * action_len..(t + 1) * action_len]
    }

    /// Whether the episode ever counted as a success, where that was recorded.
    pub fn succeeded(&self) -> Option<bool> {
        self.success.as_ref().map(|s| s.iter().any(|&x| x))
    }
}

/// An episode as a robot or simulator records it, before it is written: [`Episode`] plus its pictures.
#[derive(Clone, Debug)]
pub struct RecordedEpisode {
    /// Vectors and outcome; `index` and `first_frame` are assigned by the writer.
    pub episode: Episode,
    /// Per camera (in spec order) the RGB frames `[T, height, width, 3]`, row-major u8.
    pub frames: Vec<Vec<u8>>,
}
