//! Trust horizon: how many imagined steps may be believed, by conformal risk control (Angelopoulos et al. 2022, sec. 2).
//!
//! From a start, imagination is believed while its summed doubt stays below a budget. The budget is the largest with which,
//! on held-out episodes, at most a share `α` of the starts is believed too long, that is to a step at which cameras or state are wrong
//! by more than the tolerance:
//! ```text
//! budget = sup { λ : (n R(λ) + 1) / (n + 1) ≤ α },   R = mean over the n episodes of the share of starts believed too long
//! ```
//! Exchangeable are episodes, not starts, so `n` counts episodes. The promise holds on average over further episodes of the
//! same kind, acted in the same way; a policy that leads elsewhere is what disagreement is for.

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::agreement::mean;
use crate::noise;
use crate::walk::{Step, Walk, Wrong};

/// Where imagination stops being believed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// 95th percentile of disagreement on held-out data: beyond it a step is unsupported.
    pub disagreement_95: f32,
    /// Summed doubt at which a branch is no longer believed ([`Trust::budget`]); infinite where none could be calibrated.
    pub doubt_budget: f32,
}

impl Limits {
    /// Everything is believed.
    pub const NONE: Self = Self { disagreement_95: f32::INFINITY, doubt_budget: f32::INFINITY };
}

/// How far the model may be believed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trust {
    /// Tolerated squared error of the cameras' and of the state's part of the embedding, as a share of what copying gets wrong
    /// there at the largest horizon.
    pub tolerance: f64,
    /// Share of starts that are to be believed not too long.
    pub confidence: f64,
    /// Summed doubt at which imagination stops being believed.
    pub budget: f64,
    /// Steps believed from held-out starts: lower quartile, median, upper quartile.
    pub steps: [usize; 3],
    /// Largest horizon looked at, control steps; more is never believed.
    pub horizon: usize,
    /// Share of starts of an episode that were not believed too long under the budget calibrated on all others, mean over episodes.
    pub coverage: f64,
    /// The same under the budget calibrated on a random half of the episodes, measured on the other half, mean over halvings;
    /// `None` where a half is too few.
    #[serde(default)]
    pub coverage_of_halves: Option<f64>,
    /// Held-out episodes behind all this.
    pub episodes: usize,
}

/// Random halves of the episodes on which the promise is checked.
const HALVINGS: usize = 20;

/// Fewest episodes with which a confidence can be promised: `1 / (n + 1) ≤ 1 - confidence`.
pub fn fewest_episodes(confidence: f64) -> usize {
    (1.0 / (1.0 - confidence) - 1.0 - 1e-9).ceil() as usize
}

impl Trust {
    /// Calibrates on held-out walks; `None` with too few episodes for the confidence, or with nothing to compare.
    pub fn of(walks: &[Walk], tolerance: f64, confidence: f64) -> Option<Self> {
        let horizon = walks.iter().map(|w| w.steps.len()).max()?;
        let copying: Vec<Wrong> =
            walks.iter().filter_map(|w| w.steps.get(horizon - 1)).filter_map(|s| s.copying).collect();
        let limit = |of: fn(&Wrong) -> f32| (tolerance * mean(copying.iter().map(of))) as f32;
        let limit = Wrong { cameras: limit(|w| w.cameras), state: limit(|w| w.state) };
        let mut tracks: Vec<usize> = walks.iter().map(|w| w.track).collect();
        tracks.dedup();
        let starts_of = |track: usize| walks.iter().filter(move |w| w.track == track);
        let budget_of = |used: &[usize]| {
            let mut spent: Vec<(f64, f64)> = Vec::new();
            for &track in used {
                let share = 1.0 / starts_of(track).count() as f64;
                spent.extend(starts_of(track).filter_map(|w| Some((f64::from(first_wrong(w, limit)?.doubt), share))));
            }
            budget(spent, used.len(), 1.0 - confidence)
        };
        // Share of an episode's starts that are not believed too long.
        let held = |track: usize, budget: f64| {
            let starts: Vec<f64> = starts_of(track)
                .map(|w| f64::from(u8::from(first_wrong(w, limit).is_none_or(|s| f64::from(s.doubt) >= budget))))
                .collect();
            mean(starts.iter().copied())
        };
        let (all, episodes) = (budget_of(&tracks)?, tracks.len());
        let mut covered: Vec<f64> = Vec::with_capacity(episodes);
        for &track in &tracks {
            let others: Vec<usize> = tracks.iter().copied().filter(|&t| t != track).collect();
            covered.push(held(track, budget_of(&others).unwrap_or(0.0)));
        }
        let mut halves: Vec<f64> = Vec::with_capacity(HALVINGS);
        for halving in 0..HALVINGS {
            let mut shuffled = tracks.clone();
            shuffled.shuffle(&mut noise::generator(0, "halves", halving as u64));
            let (calibrated, measured) = shuffled.split_at(episodes / 2);
            halves.extend(budget_of(calibrated).map(|b| mean(measured.iter().map(|&track| held(track, b)))));
        }
        let mut believed: Vec<usize> = walks
            .iter()
            .filter(|w| w.steps.len() == horizon)
            .map(|w| w.steps.iter().filter(|s| f64::from(s.doubt) < all).count())
            .collect();
        believed.sort_unstable();
        let quartile = |q: usize| believed.get((believed.len().saturating_sub(1)) * q / 4).copied().unwrap_or(0);
        Some(Self {
            tolerance,
            confidence,
            budget: all,
            steps: [1, 2, 3].map(quartile),
            horizon,
            coverage: mean(covered.iter().copied()),
            coverage_of_halves: (!halves.is_empty()).then(|| mean(halves.iter().copied())),
            episodes,
        })
    }
}

/// The first step whose error is above `limit`.
fn first_wrong(walk: &Walk, limit: Wrong) -> Option<&Step> {
    walk.steps.iter().find(|s| s.error.is_some_and(|e| e.cameras > limit.cameras || e.state > limit.state))
}

/// Largest doubt that may be spent. `spent` holds, for starts that go wrong, the doubt at the first wrong step and the start's
/// share of its episode. With nothing going wrong the budget is infinite in truth; the largest finite number stands for it.
fn budget(mut spent: Vec<(f64, f64)>, episodes: usize, alpha: f64) -> Option<f64> {
    let n = episodes as f64;
    if 1.0 / (n + 1.0) > alpha + 1e-9 {
        return None;
    }
    spent.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut wrong = 0.0;
    for (doubt, share) in spent {
        wrong += share;
        if (wrong + 1.0) / (n + 1.0) > alpha + 1e-9 {
            return Some(doubt);
        }
    }
    Some(f64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn the_budget_by_hand() {
        // Nine episodes with one start each, α = 0.2: (wrong + 1) / 10 ≤ 0.2 leaves room for one.
        let spent = vec![(0.7, 1.0), (0.3, 1.0), (0.5, 1.0)];
        assert_eq!(budget(spent.clone(), 9, 0.2), Some(0.5));
        assert_eq!(budget(spent.clone(), 9, 0.1), Some(0.3));
        assert_eq!(budget(spent, 8, 0.1), None);
        assert_eq!(budget(Vec::new(), 9, 0.1), Some(f64::MAX));
        assert_eq!([0.9, 0.8, 0.75].map(fewest_episodes), [9, 4, 3]);
    }

    /// Episodes whose error grows as a random walk does, with a doubt that knows half of it.
    fn made(episodes: usize, seed: u64) -> Vec<Walk> {
        let mut rng = noise::generator(seed, "trust", 0);
        (0..episodes * 5)
            .map(|i| {
                let pace: f32 = rng.random::<f32>() + 0.2;
                let hidden: f32 = rng.random::<f32>() + 0.5;
                let steps = (1..=20).map(|k| Step {
                    reward: [0.0; 2],
                    success: 0.0,
                    succeeded: false,
                    doubt: pace * k as f32,
                    disagreement: 0.0,
                    error: Some(Wrong { cameras: pace * hidden * k as f32, state: 0.0 }),
                    copying: Some(Wrong { cameras: 20.0, state: 1.0 }),
                });
                Walk { track: i / 5, steps: steps.collect() }
            })
            .collect()
    }

    #[test]
    fn the_promise_is_kept_on_other_episodes() {
        let (mut covered, mut all, mut halves) = (0.0, 0.0, 0.0);
        for seed in 0..20 {
            let trust = Trust::of(&made(20, seed), 0.25, 0.9).expect("enough episodes");
            for walk in made(40, 1000 + seed) {
                let wrong = first_wrong(&walk, Wrong { cameras: 5.0, state: 0.25 });
                covered += f64::from(u8::from(wrong.is_none_or(|s| f64::from(s.doubt) >= trust.budget)));
                all += 1.0;
            }
            assert!(trust.coverage > 0.8, "{}", trust.coverage);
            halves += trust.coverage_of_halves.expect("ten episodes are enough") / 20.0;
            assert!(trust.steps[0] <= trust.steps[1] && trust.steps[1] <= trust.steps[2] && trust.steps[2] > 0);
        }
        let coverage = covered / all;
        assert!((0.88..0.97).contains(&coverage), "{coverage}");
        // Conformal: at least the promise, at most one episode of ten more.
        assert!((0.88..1.0).contains(&halves), "{halves}");
    }

    #[test]
    fn too_few_episodes_promise_nothing() {
        assert!(Trust::of(&made(8, 0), 0.25, 0.9).is_none());
        assert!(Trust::of(&[], 0.25, 0.9).is_none());
    }
}
