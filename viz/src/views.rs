//! The plain results this crate can draw. Filling one needs nothing but vectors.

use crate::{Frame, SheetRow, Still};

/// One lived episode of `T` steps.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EpisodeView {
    /// Unique among the episodes of a recording, such as `episode 12`.
    pub name: String,
    /// Control rate, frames per second.
    pub fps: f64,
    /// Per camera its name and frames `[T]`. A name that does not start with `observation.` is shown as
    /// `observation.images.NAME`.
    pub cameras: Vec<(String, Vec<Frame>)>,
    /// `[T, S]`, in the data's units.
    pub state: Vec<Vec<f32>>,
    /// `[S]`, or empty for 0, 1, 2, …
    pub state_names: Vec<String>,
    /// `[T, A]`, in the data's units.
    pub action: Vec<Vec<f32>>,
    /// `[A]`, or empty for 0, 1, 2, …
    pub action_names: Vec<String>,
    /// `[T]`, following each action; empty when the data has none.
    pub reward: Vec<f32>,
    /// `[T]`, expected discounted return from each step; empty when there is no value function.
    pub value: Vec<f32>,
}

/// One recorded episode of `T` steps as it lies in a dataset.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RecordedView {
    /// Unique among the episodes of a recording, such as `episode 12`.
    pub name: String,
    /// Why it is shown, such as `longest, failure`; may be empty.
    pub note: String,
    /// Control rate, frames per second; `None` where nobody knows it, and there is no timeline `timestamp` then.
    pub fps: Option<f64>,
    /// Per camera its name, as in [`EpisodeView`], and pictures of some or all steps, ascending.
    pub cameras: Vec<(String, Vec<Still>)>,
    /// `[T, S]`, in the data's units.
    pub state: Vec<Vec<f32>>,
    /// `[S]`, or empty for 0, 1, 2, …
    pub state_names: Vec<String>,
    /// `[T, A]`, in the data's units.
    pub action: Vec<Vec<f32>>,
    /// `[A]`, or empty for 0, 1, 2, …
    pub action_names: Vec<String>,
    /// `[T]`, following each action; empty when none was recorded, like the next two.
    pub reward: Vec<f32>,
    /// `[T]`, whether the task counted as solved after each action.
    pub success: Vec<bool>,
    /// `[T]`, whether a person had the controls.
    pub intervention: Vec<bool>,
}

/// A dataset as a whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DatasetView {
    /// Pages of markdown with their names, the most important first.
    pub pages: Vec<(String, String)>,
    /// Charts shown beside the pages.
    pub charts: Vec<Chart>,
    /// Further charts under a title each, such as one per element of the state.
    pub groups: Vec<(String, Vec<Chart>)>,
}

/// A bar chart.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chart {
    /// Unique in the recording; parts separated by `/`.
    pub name: String,
    /// What is shown, with its units.
    pub title: String,
    /// Width of a bar, in units of the horizontal axis.
    pub bar_width: f64,
    /// Bars of one colour each.
    pub bars: Vec<Bars>,
}

/// Bars of one colour.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bars {
    /// What they have in common, such as `success`; may be empty where a chart has one colour.
    pub name: String,
    /// `(place of the middle, height)`.
    pub points: Vec<(f64, f64)>,
}

/// A stretch of a real episode beside what the world model imagined for the same actions, `H` steps long.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImaginedView {
    /// Unique among the comparisons of a recording, such as `episode 12 from step 40`.
    pub name: String,
    /// Control rate, frames per second.
    pub fps: f64,
    /// Per camera its name, the real frames and the imagined frames, `[H]` each.
    pub cameras: Vec<(String, Vec<Frame>, Vec<Frame>)>,
    /// `[H, S]`, in the data's units.
    pub state_real: Vec<Vec<f32>>,
    /// `[H, S]`, in the data's units.
    pub state_imagined: Vec<Vec<f32>>,
    /// `[S]`, or empty for 0, 1, 2, …
    pub state_names: Vec<String>,
    /// `[H]`, how far the model's ensemble disagrees with itself; empty when unknown.
    pub disagreement: Vec<f32>,
}

/// Several futures imagined from the same moment of an episode, `H` steps long.
///
/// What is seen at element `i` (pictures, state, value) is of step `fork_step + 1 + i`; what leads there (action, reward, disagreement,
/// doubt) is of step `fork_step + i`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BranchView {
    /// Unique among the branches of a recording, such as `episode 12 at step 40`.
    pub name: String,
    /// Control rate, frames per second.
    pub fps: f64,
    /// Step of the episode at which the futures part.
    pub fork_step: usize,
    /// What was recorded after the fork; shorter where the episode ends, empty where nobody asked.
    pub real: RealView,
    /// The futures, the most telling alternative first, the replay of the logged actions anywhere.
    pub arms: Vec<ArmView>,
    /// `[A]`, or empty for 0, 1, 2, …
    pub action_names: Vec<String>,
    /// Noise draws over which spreads and bands are taken.
    pub draws: usize,
    /// Summed doubt at which a future is no longer believed; `None` where nobody knows.
    pub doubt_budget: Option<f32>,
    /// Disagreement beyond which the model is on unknown ground; `None` where nobody knows.
    pub disagreement_limit: Option<f32>,
    /// Markdown: a row per future. May be empty, like the verdict.
    pub table: String,
    /// Markdown: what to make of it.
    pub verdict: String,
}

/// What was recorded after a fork.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RealView {
    /// Per camera its name and the frames.
    pub cameras: Vec<(String, Vec<Frame>)>,
    /// Rewards that were recorded.
    pub reward: Vec<f32>,
}

/// One imagined future of `H` steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ArmView {
    /// Unique within the branch: `logged`, `improved`, `scaled:0.5`, …
    pub name: String,
    /// The recorded actions once more: what the others are compared with.
    pub is_logged: bool,
    /// Per camera its name and the imagined frames `[H]`.
    pub cameras: Vec<(String, Vec<Frame>)>,
    /// Per camera its name and how far the noise draws disagree about each pixel, drawn by [`Frame::heat`], `[H]`; may be empty.
    pub spread: Vec<(String, Vec<Frame>)>,
    /// `[H, A]`, actions of the first draw, in the data's units.
    pub action: Vec<Vec<f32>>,
    /// `[H]`, expected discounted return from each step, mean over draws; may be empty, like all series of an arm.
    pub value: Vec<f32>,
    /// `[H]`, tenth and ninetieth percentile of the same over draws.
    pub value_band: [Vec<f32>; 2],
    /// `[H]`, probability 0 to 1 that the task succeeds by each step.
    pub success_probability: Vec<f32>,
    /// `[H]`, how far the model's ensemble disagrees with itself.
    pub disagreement: Vec<f32>,
    /// `[H]`, doubt of all steps so far, summed.
    pub doubt: Vec<f32>,
    /// `[H]`, predicted reward following each action.
    pub reward: Vec<f32>,
    /// Score of the whole future: predicted return, mean over noise.
    pub return_mean: f32,
}

/// Policies judged side by side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EvaluationView {
    /// Markdown: the decision and why.
    pub verdict: String,
    /// Scores on one axis each.
    pub charts: Vec<ScoreChart>,
    /// Film strips, such as real against imagined.
    pub strips: Vec<SheetRow>,
}

/// One kind of score, a row per policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScoreChart {
    /// Unique, such as `success`.
    pub name: String,
    /// What is shown, with its unit.
    pub title: String,
    /// In the order of the rows.
    pub rows: Vec<ScoreRow>,
}

/// The score of one policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScoreRow {
    /// The policy.
    pub name: String,
    /// By each way to know it, its name with a value and a 95 % interval, such as `imagined` and `true`; bounds that are not known are NaN.
    pub scores: Vec<(String, f64, [f64; 2])>,
}

/// One line of a training plot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Curve {
    /// Each name has a plot of its own, except that what follows a `:` names the line in a shared one:
    /// `world_model/loss:train` and `world_model/loss:held_out` share a plot if they share the unit.
    pub name: String,
    /// Unit of `y`, such as `nats` or `pixels`; may be empty.
    pub unit: String,
    /// `(update, y)`, updates ascending.
    pub points: Vec<(u64, f64)>,
}
