//! What is said of each policy: its scores in imagination, by every estimator, and, where somebody knows them, in truth.

use serde::{Deserialize, Serialize};

use super::{PolicyTrust, TimeToSuccess};

/// One policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyReport {
    /// `random`, `behaviour`, `cloned`, `improved`, or a name of the user's.
    pub name: String,
    /// Imagined mean return, as under `imagined`.
    #[serde(rename = "return", default)]
    pub return_: f64,
    /// Its 95 % interval.
    #[serde(default)]
    pub return_ci95: [f64; 2],
    /// Imagined share of successes, 0 to 1, as under `imagined`.
    #[serde(default)]
    pub success: f64,
    /// Its 95 % interval.
    #[serde(default)]
    pub success_ci95: [f64; 2],
    /// Starts it was imagined from; 0 in reports of older versions.
    #[serde(default)]
    pub starts: usize,
    /// How far what is imagined of it may be believed.
    #[serde(default)]
    pub trust: PolicyTrust,
    /// In the world model, from starts of held-out episodes.
    pub imagined: ImaginedScore,
    /// The same return by every estimator that was asked.
    #[serde(default)]
    pub estimators: Estimators,
    /// In the simulator; `None` where there is none.
    pub truth: Option<TrueScore>,
    /// As somebody told with `--known`; `None` where nobody did.
    #[serde(default)]
    pub known: Option<KnownScore>,
}

/// What somebody knows of a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KnownScore {
    /// Mean return, in the units of the report.
    #[serde(rename = "return")]
    pub return_: Option<f64>,
    /// Its standard error; `None` where nobody told.
    pub return_se: Option<f64>,
    /// Share of successes, 0 to 1.
    pub success: Option<f64>,
    /// Its 95 % interval (Wilson), where the episodes were counted.
    pub success_ci95: Option<[f64; 2]>,
    /// Episodes driven.
    pub episodes: Option<usize>,
}

impl KnownScore {
    /// 95 % interval of the return, where its standard error was told.
    pub fn return_ci95(&self) -> Option<[f64; 2]> {
        let (mean, room) = (self.return_?, 1.96 * self.return_se?);
        Some([mean - room, mean + room])
    }
}

impl PolicyReport {
    /// A policy as imagined from so many starts.
    pub fn new(name: String, starts: usize, imagined: ImaginedScore, trust: PolicyTrust) -> Self {
        let ImaginedScore { return_, return_ci95, success, success_ci95, .. } = imagined;
        let estimators = Estimators::default();
        Self {
            name,
            return_,
            return_ci95,
            success,
            success_ci95,
            starts,
            trust,
            imagined,
            estimators,
            truth: None,
            known: None,
        }
    }
}

/// The mean return of one policy, estimated in several ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Estimators {
    /// From rollouts of the world model.
    pub imagined: Option<EstimatedReturn>,
    /// The same as far as imagination may be believed, and from there on what going on as recorded is worth; `None` where nothing ends
    /// being believed, or values were not trained.
    #[serde(default)]
    pub believed: Option<EstimatedReturn>,
    /// By fitted Q evaluation, from recorded steps.
    #[serde(alias = "fqe")]
    pub fitted_q: Option<EstimatedReturn>,
    /// Imagined, corrected by what was recorded of the held-out episodes that were imagined to come out alike; `None` where too few
    /// of them do.
    pub doubly_robust: Option<EstimatedReturn>,
    /// Held-out episodes that carry the correction, as if all carried the same.
    pub effective_episodes: Option<f64>,
}

/// A mean return with its 95 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EstimatedReturn {
    /// Mean return.
    #[serde(rename = "return")]
    pub return_: f64,
    /// Its 95 % interval.
    pub return_ci95: [f64; 2],
}

impl From<(f64, [f64; 2])> for EstimatedReturn {
    fn from((return_, return_ci95): (f64, [f64; 2])) -> Self {
        Self { return_, return_ci95 }
    }
}

/// Mean return and success with 95 % intervals, imagined.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImaginedScore {
    /// Mean return.
    #[serde(rename = "return")]
    pub return_: f64,
    /// Its 95 % interval.
    pub return_ci95: [f64; 2],
    /// Share of successes, 0 to 1.
    pub success: f64,
    /// Its 95 % interval.
    pub success_ci95: [f64; 2],
    /// Mean undiscounted return: reward until success, another end or the horizon.
    #[serde(default)]
    pub undiscounted: f64,
    /// Its 95 % interval, over starts alone.
    #[serde(default)]
    pub undiscounted_ci95: [f64; 2],
    /// When imagined successes come; `None` where they are too rare to say.
    #[serde(default)]
    pub time_to_success: Option<TimeToSuccess>,
}

/// Mean return and success with 95 % intervals, as they really came out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrueScore {
    /// Mean return.
    #[serde(rename = "return")]
    pub return_: f64,
    /// Its 95 % interval.
    pub return_ci95: [f64; 2],
    /// Share of successes, 0 to 1.
    pub success: f64,
    /// Its 95 % interval.
    pub success_ci95: [f64; 2],
    /// Episodes driven.
    pub episodes: usize,
}
