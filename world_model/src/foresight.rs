//! What the model says of outcomes, and of itself, on held-out episodes: does it foresee reward and success, and is it in
//! doubt where it is wrong?

use serde::{Deserialize, Serialize};

use crate::agreement::{auroc, explained, mean, spearman};
use crate::walk::{Step, Walk};

/// Agreement of predictions with what was recorded, open loop, up to the largest horizon ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Foresight {
    /// Imagined steps compared.
    pub steps: usize,
    /// Of them, steps that led to success.
    pub successes: usize,
    /// Share of the reward's variance that is explained; `None` where the reward never changes.
    pub reward_r2: Option<f64>,
    /// Probability that a step that led to success is given a higher probability of it than one that did not; `None` where
    /// there is only one of the two.
    pub success_auroc: Option<f64>,
    /// The same two one step after an observation.
    #[serde(default)]
    pub reward_r2_one_step: Option<f64>,
    /// See there.
    #[serde(default)]
    pub success_auroc_one_step: Option<f64>,
    /// Spearman's ρ between the doubt so far and the error of the embedding, among imagined steps that are equally far
    /// ahead, mean over how far; `None` where it cannot be told. Across distances both grow, which would flatter it.
    pub doubt_error_rho: Option<f64>,
    /// The same of the disagreement so far.
    pub disagreement_error_rho: Option<f64>,
}

impl Foresight {
    /// Reads it off held-out walks; `next` are walks of one step.
    pub fn of(walks: &[Walk], next: &[Walk]) -> Self {
        let outcomes = Outcomes::of(walks);
        let one_step = Outcomes::of(next);
        Self {
            steps: outcomes.success.len(),
            successes: outcomes.succeeded.iter().filter(|s| **s).count(),
            reward_r2: explained(&outcomes.reward[0], &outcomes.reward[1]),
            success_auroc: auroc(&outcomes.success, &outcomes.succeeded),
            reward_r2_one_step: explained(&one_step.reward[0], &one_step.reward[1]),
            success_auroc_one_step: auroc(&one_step.success, &one_step.succeeded),
            doubt_error_rho: rho(walks, |s| s.doubt),
            disagreement_error_rho: rho(walks, |s| s.disagreement),
        }
    }
}

/// Rewards foreseen and recorded, success foreseen and recorded, of all steps.
struct Outcomes {
    reward: [Vec<f32>; 2],
    success: Vec<f32>,
    succeeded: Vec<bool>,
}

impl Outcomes {
    fn of(walks: &[Walk]) -> Self {
        let steps = || walks.iter().flat_map(|w| &w.steps);
        Self {
            reward: [0, 1].map(|i| steps().map(|s| s.reward[i]).collect()),
            success: steps().map(|s| s.success).collect(),
            succeeded: steps().map(|s| s.succeeded).collect(),
        }
    }
}

fn rho(walks: &[Walk], of: fn(&Step) -> f32) -> Option<f64> {
    let longest = walks.iter().map(|w| w.steps.len()).max().unwrap_or(0);
    let each: Vec<f64> = (0..longest)
        .filter_map(|k| {
            let steps = walks.iter().filter_map(|w| w.steps.get(k)).filter_map(|s| Some((of(s), s.error?.total())));
            let (said, wrong): (Vec<f32>, Vec<f32>) = steps.unzip();
            spearman(&said, &wrong)
        })
        .collect();
    (!each.is_empty()).then(|| mean(each.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::walk::Wrong;

    fn step(doubt: f32, error: f32) -> Step {
        Step {
            reward: [error, doubt],
            success: doubt,
            succeeded: doubt > 2.5,
            doubt,
            disagreement: -doubt,
            error: Some(Wrong { cameras: error, state: 0.0 }),
            copying: None,
        }
    }

    #[test]
    fn doubt_is_compared_among_steps_equally_far_ahead() {
        // Far steps are all worse and all more in doubt; among equals doubt and error run against each other.
        let walks: Vec<Walk> = [(1.0, 0.3), (2.0, 0.2), (3.0, 0.1)]
            .iter()
            .map(|&(d, e)| Walk { track: 0, steps: vec![step(d, e), step(10.0 + d, 10.0 + e)] })
            .collect();
        let next: Vec<Walk> = walks.iter().map(|w| Walk { track: 0, steps: w.steps[..1].to_vec() }).collect();
        let found = Foresight::of(&walks, &next);
        // Foreseen 0.3, 0.2, 0.1, recorded 1, 2, 3: 1 - (0.49 + 3.24 + 8.41) / 2.
        assert!((found.reward_r2_one_step.expect("rewards differ") + 5.07).abs() < 1e-5);
        assert_eq!((found.success_auroc_one_step, found.success_auroc), (Some(1.0), Some(1.0)));
        assert_eq!(found.steps, 6);
        assert_eq!(found.successes, 4);
        assert!((found.doubt_error_rho.expect("three walks") + 1.0).abs() < 1e-12);
        assert!((found.disagreement_error_rho.expect("three walks") - 1.0).abs() < 1e-12);
    }
}
