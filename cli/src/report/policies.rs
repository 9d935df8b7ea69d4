//! What is said of each policy: its scores in imagination, by every estimator, and, where somebody knows them, in truth.

use rl::evaluate::PerStart;
use rl::members::Column;
use serde::{Deserialize, Serialize};
use world_model::agreement::mean;

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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Estimators {
    /// From rollouts of the world model.
    pub imagined: Option<EstimatedReturn>,
    /// The same under every member of the world model alone; `None` where they were not asked.
    pub models: Option<ModelScores>,
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

/// What the members of the world model, each alone, make of one policy. They widen the intervals of what is imagined.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelScores {
    /// Starts from which they were asked: all, or the first of them.
    pub starts: usize,
    /// Mean return per member: what is expected, their mean, and how far the member is from it at those starts.
    #[serde(rename = "return")]
    pub return_: Vec<f64>,
    /// Share of successes per member, alike.
    pub success: Vec<f64>,
}

impl ModelScores {
    /// Of a policy as imagined; `None` where no member was asked.
    pub fn of(imagined: &PerStart) -> Option<Self> {
        let each = |column: Column<'_>| {
            let all = mean(column.values.iter().copied());
            column.members.above().into_iter().map(|above| all + above).collect()
        };
        let starts = imagined.returns().members.starts();
        let scores = || Self { starts, return_: each(imagined.returns()), success: each(imagined.successes()) };
        (starts > 0).then(scores)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use rl::members::Members;

    #[test]
    fn members_scores_by_hand() {
        let value = vec![0.5, 0.7];
        let members = |alone: [&[f32]; 2], all: &[f32]| Members::of(alone.into_iter(), all);
        let success = vec![0.0, 1.0];
        let imagined = PerStart {
            members: [
                members([&[0.6, 0.8], &[0.4, 0.5]], &value),
                members([&[0.5, 1.0], &[0.0, 0.5]], &success),
                Members::default(),
            ],
            value,
            success,
            ..PerStart::default()
        };
        let scores = ModelScores::of(&imagined).expect("two members");
        let close = |a: &[f64], b: [f64; 2]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(scores.starts == 2 && close(&scores.return_, [0.7, 0.45]), "{scores:?}");
        assert!(close(&scores.success, [0.75, 0.25]), "{scores:?}");
        assert_eq!(ModelScores::of(&PerStart::default()), None);
    }
}
