//! How far imagined scores of several policies agree with known outcomes: the scorecard of an off-policy evaluation.
//!
//! Pearson's r, Spearman's ρ, the mean maximum rank violation (MMRV; Li et al. 2024, SIMPLER, sec. IV), the regret of taking
//! the policy imagined best, the mean absolute error, and the share of true means that lie in their imagined interval; with
//! 95 % intervals by resampling policies. Beside them the gate over all pairs of known policies, and the exploitability gap.

use rand::RngExt;
use serde::{Deserialize, Serialize};
use world_model::agreement::{mean, pearson, spearman};
use world_model::noise;

use crate::track_record::middle_95;

mod pairs;

pub use pairs::{CLEAR, Decisions, Exploitability, Known, Subject, calibrated};

/// Standard errors that a 95 % interval is wide.
const CI95_IN_SE: f64 = 3.92;

/// One policy: what was imagined of it and what is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Imagined mean.
    pub imagined: f32,
    /// Its 95 % interval.
    pub imagined_ci95: [f64; 2],
    /// Known mean.
    pub known: f32,
    /// Standard error of the known mean, from its trials.
    pub known_se: f64,
}

impl Entry {
    /// From means with their 95 % intervals.
    pub fn new((imagined, imagined_ci95): (f64, [f64; 2]), (known, known_ci95): (f64, [f64; 2])) -> Self {
        let known_se = (known_ci95[1] - known_ci95[0]) / CI95_IN_SE;
        Self { imagined: imagined as f32, imagined_ci95, known: known as f32, known_se }
    }
}

/// 95 % interval of a share of `episodes`, which is not empty where all or none succeeded (Wilson 1927).
pub fn wilson(share: f64, episodes: usize) -> [f64; 2] {
    let (z, n) = (CI95_IN_SE / 2.0, episodes.max(1) as f64);
    let centre = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let room = z / (1.0 + z * z / n) * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    [(centre - room).max(0.0), (centre + room).min(1.0)]
}

/// A number with its interval; `None` where it cannot be told.
pub type Measured = Option<(f64, [f64; 2])>;

/// Agreement over all policies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scorecard {
    /// Policies compared.
    pub policies: usize,
    /// Pearson's r of imagined and known means.
    pub pearson: Measured,
    /// Spearman's ρ.
    pub spearman: Measured,
    /// Mean over policies of the largest known difference that imagination ranks the wrong way round.
    pub mmrv: Measured,
    /// Known mean given up by taking the policy imagined best.
    pub regret: Measured,
    /// Mean absolute difference of imagined and known means.
    pub error: Measured,
    /// Share of known means inside the imagined interval, widened by their own standard error.
    pub coverage: Option<f64>,
}

impl Scorecard {
    /// Scores of at least three policies; fewer give an empty card.
    pub fn of(entries: &[Entry], resamples: usize, seed: u64) -> Self {
        if entries.len() < 3 {
            return Self { policies: entries.len(), ..Self::default() };
        }
        let all: Vec<(f32, f32)> = entries.iter().map(|e| (e.imagined, e.known)).collect();
        let mut rng = noise::generator(seed, "scorecard", entries.len() as u64);
        let drawn: Vec<Vec<(f32, f32)>> = (0..resamples.max(1))
            .map(|_| (0..all.len()).map(|_| all[rng.random_range(0..all.len())]).collect())
            .collect();
        let measured = |f: &dyn Fn(&[(f32, f32)]) -> Option<f64>| {
            let ci95 = middle_95(drawn.iter().filter_map(|pairs| f(pairs)).collect());
            f(&all).map(|value| (value, ci95.unwrap_or([value; 2])))
        };
        let inside = entries.iter().filter(|e| {
            let room = 1.96 * e.known_se;
            (e.imagined_ci95[0] - room..=e.imagined_ci95[1] + room).contains(&f64::from(e.known))
        });
        Self {
            policies: entries.len(),
            pearson: measured(&|pairs| pearson(&firsts(pairs), &seconds(pairs))),
            spearman: measured(&|pairs| spearman(&firsts(pairs), &seconds(pairs))),
            mmrv: measured(&|pairs| Some(mmrv(pairs))),
            regret: measured(&|pairs| Some(regret(pairs))),
            error: measured(&|pairs| Some(mean(pairs.iter().map(|(i, k)| (i - k).abs())))),
            coverage: Some(inside.count() as f64 / entries.len() as f64),
        }
    }
}

fn firsts(pairs: &[(f32, f32)]) -> Vec<f32> {
    pairs.iter().map(|p| p.0).collect()
}

fn seconds(pairs: &[(f32, f32)]) -> Vec<f32> {
    pairs.iter().map(|p| p.1).collect()
}

fn mmrv(pairs: &[(f32, f32)]) -> f64 {
    let worst = |&(imagined, known): &(f32, f32)| {
        let violation = |&(i, k): &(f32, f32)| if (imagined < i) == (known < k) { 0.0 } else { (known - k).abs() };
        pairs.iter().map(violation).fold(0.0, f32::max)
    };
    mean(pairs.iter().map(worst))
}

fn regret(pairs: &[(f32, f32)]) -> f64 {
    let best = pairs.iter().map(|p| p.1).fold(f32::NEG_INFINITY, f32::max);
    let chosen = pairs.iter().max_by(|a, b| a.0.total_cmp(&b.0)).map_or(best, |p| p.1);
    f64::from(best - chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(imagined: f32, known: f32) -> Entry {
        let imagined_ci95 = [f64::from(imagined) - 0.1, f64::from(imagined) + 0.1];
        Entry { imagined, imagined_ci95, known, known_se: 0.0 }
    }

    #[test]
    fn a_perfect_judge_and_one_that_is_wrong_about_the_best_two_by_hand() {
        let perfect = Scorecard::of(&[0.1, 0.4, 0.7, 0.9].map(|x| entry(x, x)), 200, 0);
        let value = |m: Measured| m.map_or(f64::NAN, |m| m.0);
        assert!((value(perfect.pearson) - 1.0).abs() < 1e-6 && (value(perfect.spearman) - 1.0).abs() < 1e-6);
        assert_eq!((value(perfect.mmrv), value(perfect.regret), perfect.coverage), (0.0, 0.0, Some(1.0)));

        let wrong = [entry(0.1, 0.1), entry(0.4, 0.4), entry(0.9, 0.7), entry(0.8, 0.9)];
        let card = Scorecard::of(&wrong, 200, 0);
        assert!((value(card.spearman) - 0.8).abs() < 1e-6, "one swap of neighbours: 1 - 6·2/(4·15)");
        assert!((value(card.regret) - 0.2).abs() < 1e-6, "0.9 was to be had, 0.7 was taken");
        assert!((value(card.mmrv) - 0.1).abs() < 1e-6, "two of four policies are 0.2 out of order");
        assert!((value(card.error) - 0.075).abs() < 1e-6 && card.coverage == Some(0.75));
    }

    #[test]
    fn a_share_by_hand_and_one_of_nothing() {
        // Half of ten: centre ½, room 1.96/(1 + 0.38416)·√(0.025 + 0.009604) = 0.26341.
        let [low, high] = wilson(0.5, 10);
        assert!((low - 0.23659).abs() < 1e-4 && (high - 0.76341).abs() < 1e-4, "{low} {high}");
        let [low, high] = wilson(0.0, 10);
        assert!(
            low.abs() < 1e-9 && (high - 0.27754).abs() < 1e-4,
            "{low} {high}: n = 10 has not shown that it never happens"
        );
    }

    #[test]
    fn two_policies_have_no_scorecard() {
        assert_eq!(Scorecard::of(&[entry(0.1, 0.1), entry(0.2, 0.2)], 10, 0).spearman, None);
    }
}
