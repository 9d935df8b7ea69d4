//! The run file: one section per stage; a missing key takes its default, an unknown one is an error.

mod companion;
mod improving;
mod more;

use std::path::PathBuf;

pub use companion::CompanionConfig;
use episodes::{ControlRate, DatasetSpec, OpenOptions, OutcomeRule, RewardRule};
pub use more::{LaterConfig, MoreConfig};
use policy::{DistilConfig, FlowConfig};
use rl::evaluate::EvaluateConfig;
use rl::{CriticConfig, ImproveConfig, PlanConfig, PlanDistilConfig};
use serde::{Deserialize, Serialize};
use world_model::WorldModelConfig;
use world_model::differences::SeenFrom;
use world_model::quality::QualityConfig;
use world_model::vit::PretrainedConfig;

use crate::errors::UsageError;
use crate::tools;

/// What to read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// LeRobot dataset directory, HDF5 file, directory of HDF5 files, or `hub:owner/name@revision` on the Hugging Face
    /// hub (`@revision` may be left out).
    pub path: PathBuf,
    /// Steps per second, Hz, of HDF5 files that do not say it; 0 for what the dataset says.
    pub control_rate_hz: f64,
    /// Read only the episodes a robomimic file lists in `mask/` under this name; empty for all.
    pub filter_key: String,
    /// Height and width of the pictures the model sees, pixels; a multiple of 16.
    pub image_size: usize,
    /// Columns that make up the state; empty for `observation.state`, or all vectors of an HDF5 file without it;
    /// `["all"]` for every vector observation.
    pub state_keys: Vec<String>,
    /// Elements of the state, by name, that are angles in radians: they wrap, and are learned from as cosine and sine.
    pub state_angles: Vec<String>,
    /// Vector columns that recordings hold but the robot will not have when it acts, such as where objects lie: every camera learns
    /// to tell them, and what it tells stands in for them; empty for none.
    pub hints: Vec<String>,
    /// Elements of the hints, by name, that are angles in radians: they wrap.
    pub hint_angles: Vec<String>,
    /// Elements of state, hints and action, by name, that are measured along one axis from one origin in one unit: a list for each
    /// axis. How far they are from one another is learned from, too.
    pub same_axis: Vec<Vec<String>>,
    /// Bodies that turn in the plane, and points told as they see them: how a thing lies to the gripper, whichever way it is turned.
    pub seen_from: Vec<SeenFrom>,
    /// The action column.
    pub action_key: String,
    /// Cameras to use; `["all"]` for every colour camera, an empty list for none.
    pub cameras: Vec<String>,
    /// Refuse a dataset of which anything would have to be left out.
    pub strict: bool,
    /// How rewards and success are read: `auto`, `column`, `success`, `end_of_demonstration`.
    pub reward: RewardRule,
    /// CSV file with the columns `episode` and `success`, in the place of recorded success; empty for none.
    pub labels: PathBuf,
    /// Taken off the reward of every step, in units of the reward; 0 or more.
    pub step_cost: f32,
    /// Share of episodes kept out of all training.
    pub held_out: f64,
    /// How often this dataset is drawn from, relative to those it is learned with.
    pub weight: f64,
    /// Datasets to learn from beside this one, which says what the policy sees and does: `[[data.with]]`.
    pub with: Vec<CompanionConfig>,
    /// Episodes that the same robot recorded later: `[[data.more]]`, written by `improve --more`.
    pub more: Vec<LaterConfig>,
}

impl DataConfig {
    /// What the reader is told.
    pub fn options(&self) -> OpenOptions {
        OpenOptions {
            // An address on the hub gives way to a folder: see `Source::fetch`.
            path: self.path.clone(),
            image_size: self.image_size,
            cache_dir: tools::cache_dir(),
            control_rate: self.control_rate(),
            state_keys: self.state_keys.clone(),
            hint_keys: self.hints.clone(),
            action_key: self.action_key.clone(),
            cameras: (self.cameras != ["all"]).then(|| self.cameras.clone()),
            labels: self.labels(),
            strict: self.strict,
            filter_key: (!self.filter_key.is_empty()).then(|| self.filter_key.clone()),
            max_episodes: None,
        }
    }

    /// Where the control rate comes from.
    pub fn control_rate(&self) -> ControlRate {
        if self.control_rate_hz == 0.0 { ControlRate::Recorded } else { ControlRate::Given(self.control_rate_hz) }
    }

    /// The label file, where there is one.
    pub fn labels(&self) -> Option<PathBuf> {
        Some(self.labels.clone()).filter(|file| !file.as_os_str().is_empty())
    }

    /// The one rule of rewards and success.
    pub fn rule(&self) -> OutcomeRule {
        OutcomeRule { reward: self.reward, step_cost: self.step_cost, labels: self.labels() }
    }

    /// The rules of this dataset and of those it is learned with, in order.
    pub fn rules(&self) -> Vec<OutcomeRule> {
        let labels = |later: &LaterConfig| DataConfig { labels: later.labels.clone(), ..self.clone() };
        let later = self.more.iter().map(|later| labels(later).rule());
        std::iter::once(self.rule()).chain(self.with.iter().map(CompanionConfig::rule)).chain(later).collect()
    }

    /// # Errors
    /// A rule that would teach a policy to put off success, a weight that is none, a dataset without a path.
    pub fn check(&self) -> Result<(), UsageError> {
        if let Some(words) = self.rules().iter().find_map(OutcomeRule::fault) {
            return Err(UsageError(words));
        }
        let others = self.with.iter().map(|with| with.weight).chain(self.more.iter().map(|later| later.weight));
        let mut weights = std::iter::once(self.weight).chain(others);
        if let Some(weight) = weights.find(|weight| !(weight.is_finite() && *weight > 0.0)) {
            return Err(UsageError(format!("a weight of {weight} under data; expected more than 0")));
        }
        if !self.state_angles.is_empty() && !self.with.is_empty() {
            let words = "data.state_angles beside data.with; expected one of them: other robots have other angles";
            return Err(UsageError(words.into()));
        }
        let measures = !self.same_axis.is_empty() || !self.seen_from.is_empty();
        if measures && !self.with.is_empty() {
            let words =
                "data.same_axis or data.seen_from beside data.with; expected only one: other robots have other axes";
            return Err(UsageError(words.into()));
        }
        if !self.hints.is_empty() && !self.with.is_empty() {
            let words = "data.hints beside data.with; expected one of them: what a camera is taught to tell must be recorded in every dataset";
            return Err(UsageError(words.into()));
        }
        if let Some(key) = self.hints.iter().find(|key| self.state_keys.contains(key)) {
            let words = format!(
                "'{key}' in data.hints and in data.state_keys; expected one of them: what the robot will have needs no hint"
            );
            return Err(UsageError(words));
        }
        if self.with.iter().any(|with| with.path.as_os_str().is_empty()) {
            return Err(UsageError("data.with has an entry without a path; expected a dataset to learn from".into()));
        }
        Ok(())
    }
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            control_rate_hz: 0.0,
            filter_key: String::new(),
            image_size: 64,
            state_keys: Vec::new(),
            state_angles: Vec::new(),
            hints: Vec::new(),
            hint_angles: Vec::new(),
            same_axis: Vec::new(),
            seen_from: Vec::new(),
            action_key: "action".into(),
            cameras: vec!["all".into()],
            strict: false,
            reward: RewardRule::Auto,
            labels: PathBuf::new(),
            step_cost: 0.0,
            held_out: 0.15,
            weight: 1.0,
            with: Vec::new(),
            more: Vec::new(),
        }
    }
}

/// The embedded robot of `demo`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DemoConfig {
    /// Simulated robot.
    pub sim: sim::SimConfig,
    /// Episodes the demonstrator records.
    pub episodes: usize,
    /// Episodes driven in the true simulator by each policy, to check the judgement.
    pub truth_episodes: usize,
}

/// A complete run file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// What to read.
    pub data: DataConfig,
    /// The embedded robot; only `demo` uses it.
    pub demo: DemoConfig,
    /// World model.
    pub world_model: WorldModelConfig,
    /// A vision transformer that others trained.
    pub pretrained: PretrainedConfig,
    /// Quality report of the world model.
    pub quality: QualityConfig,
    /// Cloned policy; the improved one has the same sizes.
    pub policy: FlowConfig,
    /// Values.
    pub value: CriticConfig,
    /// Improvement.
    pub improve: ImproveConfig,
    /// Planning at run time, on top of the policies.
    pub plan: PlanConfig,
    /// Judgement.
    pub evaluate: EvaluateConfig,
    /// The improved policy in one pass of its network: `rehearsal distil`.
    pub distil: DistilConfig,
    /// A network in the place of planning: `rehearsal distil --policy planned`.
    pub distil_plan: PlanDistilConfig,
    /// How the run goes on from another one, if it does.
    pub more: MoreConfig,
}

impl RunConfig {
    /// Defaults that fit a dataset: chunks of 0.8 s, values that look some 5 s ahead.
    pub fn for_dataset(spec: &DatasetSpec) -> Self {
        let rate = spec.control_rate_hz.max(1.0);
        let mut config = Self::default();
        config.policy.chunk = ((0.8 * rate).round() as usize).clamp(4, 24);
        config.policy.execute = (config.policy.chunk / 2).max(1);
        config.value.gamma = (1.0 - 1.0 / (5.0 * rate)) as f32;
        config
    }

    /// The smallest run that goes through every stage.
    pub fn quick(mut self) -> Self {
        let w = &mut self.world_model;
        w.representation.updates = w.representation.updates.min(800);
        w.representation.batch = w.representation.batch.min(64);
        w.updates = w.updates.min(800);
        w.batch = w.batch.min(32);
        self.policy.updates = self.policy.updates.min(2000);
        self.value.updates = self.value.updates.min(400);
        self.improve.updates = self.improve.updates.min(200);
        self.improve.judge_every = self.improve.judge_every.min(100);
        self.improve.copies = 1;
        let floor = &mut self.improve.model_free;
        floor.updates = floor.updates.min(1000);
        floor.judge_every = floor.judge_every.min(500);
        self.demo.episodes = self.demo.episodes.min(150);
        self.demo.truth_episodes = self.demo.truth_episodes.min(30);
        self.evaluate.samples = self.evaluate.samples.min(2);
        self.evaluate.fqe.updates = self.evaluate.fqe.updates.min(600);
        self
    }
}
