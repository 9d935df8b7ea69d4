//! What a run came to: `report.json` for programs, `report.md` and `report.html` for people.

mod checks;
mod drawing;
mod film;
mod foreseen;
mod html;
mod imagined;
mod improvement;
mod judge;
mod judged;
mod markdown;
mod more;
mod policies;
mod prose;
mod scope;
#[cfg(test)]
pub mod tests;
pub mod unknown;

use std::path::Path;

pub use film::{Film, FilmRow};
pub use html::Pictures;
pub use imagined::{PolicyTrust, TOO_KIND, TimeToSuccess, too_kind};
pub use improvement::{Chosen, EpisodeGain, Gained, Gains, Improvement, Planning};
pub use judge::{JudgeReport, card_words};
pub use markdown::{between, points, share};
pub use more::{ForeseenChange, MoreReport, RecordedReport};
pub use policies::{EstimatedReturn, Estimators, ImaginedScore, KnownScore, ModelScores, PolicyReport, TrueScore};
pub use scope::{SliceGain, SliceKind, SlicePolicy, SliceReport};

use anyhow::Result;
use episodes::Skipped;
use rl::TrackRecord;
use rl::members::Column;
use rl::optimism::Optimism;
use serde::{Deserialize, Serialize};
use world_model::foresight::Foresight;
pub use world_model::hints::HintError;
pub use world_model::quality::HorizonError;
use world_model::trust::Trust;

use crate::run_dir::write_atomic;

/// The content of `report.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The verb, e.g. `demo`.
    pub command: String,
    /// Version of the program.
    pub rehearsal_version: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Device in words.
    pub device: String,
    /// GO, NO-GO or ABSTAIN, and why.
    pub verdict: Verdict,
    /// Named policies, judged in imagination and, where there is a simulator, in truth.
    pub policies: Vec<PolicyReport>,
    /// Paired differences between policies: the same starts, the same noise.
    pub comparisons: Vec<Comparison>,
    /// For which starts the policies' scores hold: the scope of competence.
    #[serde(default)]
    pub slices: Vec<SliceReport>,
    /// What `improve` returns, why, and from which starts it is better; `None` where nothing was improved.
    #[serde(default)]
    pub improvement: Option<Improvement>,
    /// How far imagination agrees with the truth over all policies; `None` where there is no truth.
    #[serde(default)]
    pub scorecard: Option<JudgeReport>,
    /// How well the model foresees held-out episodes.
    pub world_model: WorldModelReport,
    /// Forks of recorded moments against the simulator; `None` where there is none.
    #[serde(default)]
    pub counterfactuals: Option<CounterfactualCheck>,
    /// What newly recorded episodes changed; `None` where the run does not go on from another one.
    #[serde(default)]
    pub more: Option<MoreReport>,
    /// What was learned from.
    pub dataset: DatasetReport,
    /// How rewards and success were read, one sentence.
    pub reward_rule: String,
    /// Stages in order.
    pub stages: Vec<StageReport>,
    /// What went wrong, and what to do about it: training that was set back, actions that are ignored, an embedding or a
    /// stochastic state that carries nothing. Empty where all is well.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Anything a reader should know before believing the numbers.
    pub notes: Vec<String>,
    /// The complete configuration.
    pub config: serde_json::Value,
}

/// May the improved policy go to the robot?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The answer.
    pub decision: Decision,
    /// The reason, one sentence.
    pub why: String,
}

/// The three answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// The improvement is believed.
    #[serde(rename = "GO")]
    Go,
    /// There is no improvement to believe.
    #[serde(rename = "NO-GO")]
    NoGo,
    /// The estimates do not allow an answer.
    #[serde(rename = "ABSTAIN")]
    Abstain,
}

/// One policy against another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The policy that should be better.
    pub policy: String,
    /// The one it is compared with.
    pub baseline: String,
    /// Difference of imagined return.
    pub imagined_return: Difference,
    /// Difference of imagined success, -1 to 1.
    pub imagined_success: Difference,
    /// Difference of true success, -1 to 1; `None` without a simulator.
    pub true_success: Option<Difference>,
}

/// A paired difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Mean.
    pub mean: f64,
    /// Its 95 % interval.
    pub ci95: [f64; 2],
}

/// How well the model foresees.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorldModelReport {
    /// Errors on held-out episodes, by modality and horizon.
    pub error_by_horizon: Vec<HorizonError>,
    /// What the model says of held-out episodes whose outcome is recorded; `None` where the behaviour was not judged.
    #[serde(default)]
    pub calibration: Option<Calibration>,
    /// Whether actions that should fail are imagined as successes; `None` with fewer than two episodes to imagine, and where no
    /// success was recorded.
    #[serde(default)]
    pub optimism: Option<Optimism>,
    /// Whole held-out episodes imagined without looking; `None` in reports of older versions.
    #[serde(default)]
    pub whole_episodes: Option<WholeEpisodes>,
    /// Agreement with recorded rewards and successes of held-out episodes; `None` in reports of older versions.
    #[serde(default)]
    pub foresight: Option<Foresight>,
    /// What the cameras tell of the hints, and what the model foresees of them; empty where there are none.
    #[serde(default)]
    pub hints: Vec<HintError>,
    /// How far imagination may be believed; `None` with too few held-out episodes to promise anything.
    #[serde(default)]
    pub trust: Option<Trust>,
}

/// Held-out episodes imagined from their first observation to their end along their own actions, without looking: as far ahead
/// as policies are judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WholeEpisodes {
    /// Held-out episodes.
    pub episodes: usize,
    /// Mean return, imagined.
    pub imagined_return: f64,
    /// Mean return, as recorded.
    pub recorded_return: f64,
    /// Pearson's r between the two over episodes; `None` where it cannot be told.
    pub return_r: Option<f64>,
    /// Returns of every episode.
    #[serde(default)]
    pub value: TrackRecord,
    /// The same of success: a probability as imagined, 0 or 1 as recorded.
    #[serde(default)]
    pub success: TrackRecord,
}

/// Held-out episodes as they were recorded, and as the model imagines them along their own actions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Held-out episodes.
    pub episodes: usize,
    /// Mean return, as recorded.
    pub recorded_return: f64,
    /// Mean return, imagined.
    pub imagined_return: f64,
    /// Imagined minus recorded return, paired by episode.
    pub return_difference: Difference,
    /// Share of successes, as recorded.
    pub recorded_success: f64,
    /// Share of successes, imagined.
    pub imagined_success: f64,
    /// Imagined minus recorded success, paired by episode.
    pub success_difference: Difference,
}

/// Ways to act from recorded moments, ranked by imagination and by the simulator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CounterfactualCheck {
    /// Recorded moments of held-out episodes.
    pub moments: usize,
    /// What was done from each.
    pub arms: Vec<String>,
    /// Control steps.
    pub horizon: usize,
    /// Pairs of arms whose true returns differ enough to be ranked.
    pub pairs: usize,
    /// Share of them that imagination ranks as the truth does, mean over moments.
    pub agreement: f64,
    /// Its 95 % interval, over moments.
    pub agreement_ci95: [f64; 2],
    /// True return given up by choosing the arm imagined best.
    pub regret: f64,
    /// The same by choosing any.
    pub regret_of_chance: f64,
}

/// Policies whose order fits a sentence.
pub const FEW: usize = 6;

/// What was learned from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetReport {
    /// Where it came from.
    pub source: String,
    /// Sound episodes.
    pub episodes: usize,
    /// Of these, held out from training.
    pub held_out_episodes: usize,
    /// Steps in the sound episodes.
    pub frames: usize,
    /// Control steps per second; 0 where nobody knows, and in reports of older versions.
    #[serde(default)]
    pub control_rate_hz: f64,
    /// What was left out, and why.
    pub skipped: Vec<Skipped>,
    /// Datasets that were learned from beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub learned_with: Vec<CompanionReport>,
}

/// A dataset that was learned from beside the main one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompanionReport {
    /// Where it came from.
    pub source: String,
    /// Sound episodes.
    pub episodes: usize,
    /// Steps in them.
    pub frames: usize,
    /// Share of what was drawn for training, 0 to 1.
    pub share: f64,
    /// Its vectors mean what those of the main dataset mean.
    pub is_same_robot: bool,
    /// Cameras of the main dataset that it does not have.
    pub missing_cameras: Vec<String>,
    /// How its rewards and success were read.
    pub reward_rule: String,
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageReport {
    /// Its name.
    pub name: String,
    /// Time over all its starts, seconds.
    pub wall_s: f64,
    /// Highest memory, MB; `None` where the system does not say.
    pub peak_rss_mb: Option<f64>,
}

impl Difference {
    /// Mean of `a - b` of two policies from the same starts, what members of the world model make of it, and how wrong the model has been.
    pub fn of(a: Column<'_>, b: Column<'_>, record: Option<&TrackRecord>, resamples: usize, seed: u64) -> Self {
        let (mean, ci95) = rl::track_record::difference(a, b, record, resamples, seed);
        Self { mean, ci95 }
    }

    /// The same of shares, which differ by all at most.
    #[must_use]
    pub fn of_shares(self) -> Self {
        Self {
            ci95: self
                .ci95
                .map(|bound| if rl::track_record::is_bounded(self.ci95) { bound.clamp(-1.0, 1.0) } else { bound }),
            ..self
        }
    }

    /// Mean of `a - b`, paired by position.
    pub fn paired(a: &[f32], b: &[f32], resamples: usize, seed: u64) -> Self {
        let (mean, ci95) = rl::evaluate::paired(a, b, resamples, seed);
        Self { mean, ci95 }
    }
}

/// Whether no pair of policies, (true, imagined) scores, is ordered one way in truth and the other way in imagination.
pub fn same_order(scores: &[(f64, f64)]) -> bool {
    !scores.iter().any(|a| scores.iter().any(|b| a.0 > b.0 && a.1 < b.1))
}

impl From<&crate::run_dir::StageRecord> for StageReport {
    fn from(record: &crate::run_dir::StageRecord) -> Self {
        StageReport { name: record.name.clone(), wall_s: record.wall_s, peak_rss_mb: record.peak_rss_mb }
    }
}

impl Report {
    /// The report for people.
    pub fn to_markdown(&self) -> String {
        markdown::write(self)
    }

    /// Writes `report.json`, `report.md` and `report.html` into `dir`.
    ///
    /// # Errors
    /// They cannot be written; pictures that contradict one another.
    pub fn save(&self, dir: &Path, pictures: &Pictures) -> Result<()> {
        let mut text = unknown::to_json(self)?;
        text.push(b'\n');
        write_atomic(&dir.join("report.json"), &text)?;
        write_atomic(&dir.join("report.html"), html::page(self, pictures)?.as_bytes())?;
        write_atomic(&dir.join("report.md"), self.to_markdown().as_bytes())
    }

    /// Reads `report.json` from `dir`.
    ///
    /// # Errors
    /// It is not there, or not as this version writes it.
    pub fn load(dir: &Path) -> Result<Report> {
        use anyhow::Context;
        let file = dir.join("report.json");
        let text = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        unknown::from_json(&text).with_context(|| format!("{} is damaged", file.display()))
    }
}
