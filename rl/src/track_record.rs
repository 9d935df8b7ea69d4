//! Intervals that know of errors which the model makes everywhere.
//!
//! Resampling starts tells how much a score owes to the starts that were used; an error that is the same for all of them it
//! cannot see. What can be seen offline is how wrong the model was about whole held-out episodes, imagined from their first
//! observation along their own actions. Errors of one policy have more in common than those of as many episodes, in which
//! somebody acted in many ways; so the model is taken to be as wrong about a policy as it was, in the mean, about
//! fewer episodes, drawn among those whose imagined outcomes were nearest to the policy's.

use std::collections::BTreeMap;

use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use world_model::agreement::mean;
use world_model::noise;

use crate::evaluate::FEWEST_STARTS;
use crate::members::Column;

/// Outcomes of held-out episodes: imagined along their own actions, and recorded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrackRecord {
    /// As imagined, per episode.
    pub imagined: Vec<f32>,
    /// As recorded, per episode.
    pub recorded: Vec<f32>,
}

/// Episodes whose mean error stands for that of one policy: the number with which intervals of 95 % hold the true outcomes of
/// the demo's policies about as often as they say (docs/LOG.md).
const DRAWN: usize = 15;

/// Share of the record that counts as near.
const NEAR: f64 = 0.2;

/// Mean of the values of all parts (one part per model that imagined them) and its 95 % percentile bootstrap interval over
/// values and over the errors in each model's record. It always holds the mean: what the record's errors have in common
/// widens it to their side and does not move it. A record of fewer than [`FEWEST_STARTS`] episodes widens nothing.
pub fn interval(parts: &[(&[f32], &TrackRecord)], resamples: usize, seed: u64) -> (f64, [f64; 2]) {
    let all: Vec<f32> = parts.iter().flat_map(|(values, _)| values.iter().copied()).collect();
    let near: Vec<Near> = parts.iter().map(|(values, record)| Near::new(values, record)).collect();
    let error = |rng: &mut StdRng| {
        let weighted = near.iter().zip(parts).map(|(near, (values, _))| values.len() as f64 * near.draw(rng));
        weighted.sum::<f64>() / all.len() as f64
    };
    widened(&all, &error, &[], resamples, seed)
}

/// Mean of a policy's outcomes with its interval over starts, over what the members of the world model make of it, and over the errors in the
/// model's record, if there is one.
pub fn estimate(outcome: Column<'_>, record: Option<&TrackRecord>, resamples: usize, seed: u64) -> (f64, [f64; 2]) {
    let near = Near::new(outcome.values, record.unwrap_or(&TrackRecord::default()));
    let error = |rng: &mut StdRng| near.draw(rng) + outcome.members.draw_moved(outcome.values.len(), rng);
    widened(outcome.values, &error, &outcome.members.errors(), resamples, seed)
}

/// Mean of `a - b`, paired by position, with its interval over positions, over what members of the world model make of the difference, and
/// over the errors of both in the record. Of these two policies share `ρ`, as far as the members can tell (`Members::shared`), so that
/// the difference of errors with the deviations `σ_a` and `σ_b` is taken to have the variance `σ_a² + σ_b² - 2 ρ σ_a σ_b`.
pub fn difference(
    a: Column<'_>,
    b: Column<'_>,
    record: Option<&TrackRecord>,
    resamples: usize,
    seed: u64,
) -> (f64, [f64; 2]) {
    let none = TrackRecord::default();
    let differences: Vec<f32> = a.values.iter().zip(b.values).map(|(a, b)| a - b).collect();
    let [near_a, near_b] = [a, b].map(|column| Near::new(column.values, record.unwrap_or(&none)));
    let members = a.members.minus(b.members);
    let [of_a, of_b] = [&near_a, &near_b].map(Near::variance);
    let left =
        (1.0 - 2.0 * a.members.shared(b.members) * (of_a * of_b).sqrt() / (of_a + of_b).max(1e-30)).max(0.0).sqrt();
    let common = mean(near_a.means()) - mean(near_b.means());
    let error = |rng: &mut StdRng| {
        common + left * (near_a.draw(rng) - near_b.draw(rng) - common) + members.draw_moved(differences.len(), rng)
    };
    widened(&differences, &error, &members.errors(), resamples, seed)
}

/// Probability that `a` is better than `b` at one moment. `a` and `b` hold their imagined values under the same draws of noise; about the
/// mean of either the model is taken to be as wrong as it was about one of the recorded moments whose imagined values were nearest to one
/// of the two: about both independently, and by errors from the same pool, so that it never contradicts the sign of the mean gain. Ties
/// count half. With a record of fewer than [`FEWEST_STARTS`] moments it is the share of the draws.
pub fn probability_better(a: &[f32], b: &[f32], record: &TrackRecord) -> f64 {
    let better = |gain: f64| if gain == 0.0 { 0.5 } else { f64::from(u8::from(gain > 0.0)) };
    let [of_a, of_b] = [a, b].map(|values| mean(values.iter().copied()));
    let near = Near::new(&[of_a as f32, of_b as f32], record);
    if near.is_empty() {
        return mean(a.iter().zip(b).map(|(a, b)| better(f64::from(a - b))));
    }
    let pool: BTreeMap<usize, f64> = near.0.into_iter().flatten().collect();
    mean(pool.values().map(|x| mean(pool.values().map(|y| better(of_a - of_b + x - y)))))
}

/// What stands for a bound that is not known: of an interval about a single value. JSON has no infinity.
pub const UNBOUNDED: f64 = 1e9;

/// Whether an interval says anything.
pub fn is_bounded(ci95: [f64; 2]) -> bool {
    ci95.iter().all(|bound| bound.abs() < 0.1 * UNBOUNDED)
}

/// Mean of values with its interval over them and over draws of `error` about their mean, further out by that mean on its side; and, where
/// `members` (errors, of which any may be right) reach further, over draws of them too. One value alone has no bounds.
pub(crate) fn widened(
    values: &[f32],
    error: &dyn Fn(&mut StdRng) -> f64,
    members: &[f64],
    resamples: usize,
    seed: u64,
) -> (f64, [f64; 2]) {
    let centre = mean(values.iter().copied());
    match values.len() {
        0 => return (centre, [0.0; 2]),
        1 => return (centre, [-UNBOUNDED, UNBOUNDED]),
        _ => {}
    }
    let mut rng = noise::generator(seed, "bootstrap", values.len() as u64);
    let member = |rng: &mut StdRng| match members.len() {
        0 => 0.0,
        count => members[rng.random_range(0..count)],
    };
    let draws: Vec<[f64; 3]> = (0..resamples.max(1))
        .map(|_| {
            let value = mean((0..values.len()).map(|_| values[rng.random_range(0..values.len())]));
            [value, error(&mut rng), member(&mut rng)]
        })
        .collect();
    let common = mean(draws.iter().map(|[_, error, _]| *error));
    let within = |share: f64| {
        let sums = draws.iter().map(|[value, error, member]| value + error - common + share * member);
        middle_95(sums.collect()).unwrap_or([centre; 2])
    };
    let ([low, high], [low_among, high_among]) = (within(0.0), within(1.0));
    let (low, high) = (low.min(low_among) + common.min(0.0), high.max(high_among) + common.max(0.0));
    (centre, [low.min(centre), high.max(centre)])
}

/// The 2.5th and the 97.5th percentile of what resampling gave, by the nearest rank; `None` of nothing.
pub(crate) fn middle_95(mut draws: Vec<f64>) -> Option<[f64; 2]> {
    draws.sort_by(f64::total_cmp);
    let last = draws.len().checked_sub(1)? as f64;
    Some([0.025, 0.975].map(|q| draws[(last * q).round() as usize]))
}

/// For each value of a policy, the episodes whose imagined outcomes were nearest and their errors (recorded less imagined); none
/// where the record is too short.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Near(Vec<Vec<(usize, f64)>>);

impl Near {
    pub(crate) fn new(values: &[f32], TrackRecord { imagined, recorded }: &TrackRecord) -> Self {
        if imagined.len() < FEWEST_STARTS {
            return Self(Vec::new());
        }
        let errors: Vec<f64> = recorded.iter().zip(imagined).map(|(r, i)| f64::from(r - i)).collect();
        let share = (errors.len() as f64 * NEAR).ceil() as usize;
        let near = values.iter().map(|value| {
            let mut order: Vec<usize> = (0..errors.len()).collect();
            let away = |i: usize| (imagined[i] - value).abs();
            order.sort_by(|&a, &b| away(a).total_cmp(&away(b)));
            order[..share].iter().map(|&i| (i, errors[i])).collect()
        });
        Self(near.collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The mean error near each value.
    pub(crate) fn means(&self) -> impl ExactSizeIterator<Item = f64> {
        self.0.iter().map(|near| near.iter().map(|(_, error)| error).sum::<f64>() / near.len() as f64)
    }

    /// Variance of one of the errors that [`Self::draw`] averages.
    fn variance(&self) -> f64 {
        let errors = || {
            self.0
                .iter()
                .flat_map(|near| near.iter().map(|(_, error)| (*error, 1.0 / (near.len() * self.0.len()) as f64)))
        };
        let centre: f64 = errors().map(|(error, weight)| weight * error).sum();
        errors().map(|(error, weight)| weight * (error - centre).powi(2)).sum()
    }

    /// How often each of the record's `episodes` is near a value.
    pub(crate) fn weights(&self, episodes: usize) -> Vec<f64> {
        let mut weights = vec![0.0; episodes];
        self.0.iter().flatten().for_each(|&(episode, _)| weights[episode] += 1.0);
        weights
    }

    /// How wrong the model may be about the policy.
    pub(crate) fn draw(&self, rng: &mut StdRng) -> f64 {
        let drawn = (0..if self.0.is_empty() { 0 } else { DRAWN }).map(|_| {
            let errors = &self.0[rng.random_range(0..self.0.len())];
            errors[rng.random_range(0..errors.len())].1
        });
        mean(drawn)
    }

    /// The same less what is expected of it.
    pub(crate) fn draw_about_mean(&self, rng: &mut StdRng) -> f64 {
        self.draw(rng) - mean(self.means())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(error: impl Fn(usize) -> f32) -> TrackRecord {
        let imagined: Vec<f32> = (0..40).map(|i| i as f32 / 40.0).collect();
        let recorded = imagined.iter().enumerate().map(|(i, x)| x + error(i)).collect();
        TrackRecord { imagined, recorded }
    }

    #[test]
    fn the_middle_of_draws_by_hand() {
        let draws: Vec<f64> = (0..=200).rev().map(f64::from).collect();
        assert_eq!(middle_95(draws), Some([5.0, 195.0]));
        assert_eq!((middle_95(vec![3.0]), middle_95(Vec::new())), (Some([3.0; 2]), None));
    }

    #[test]
    fn a_perfect_record_widens_nothing_and_a_poor_one_as_much_as_its_errors_say() {
        let values: Vec<f32> = (0..60).map(|i| 0.5 + 0.01 * (i % 7) as f32).collect();
        let plain = crate::evaluate::interval(&values, 4000, 0);
        let width = |[low, high]: [f64; 2]| high - low;
        let of = |record: &TrackRecord| interval(&[(&values, record)], 4000, 0);
        let (centre, perfect) = of(&record(|_| 0.0));
        assert!((centre - plain.0).abs() < 1e-9 && (width(perfect) - width(plain.1)).abs() < 0.1 * width(plain.1));
        // Errors of ±0.1 in turn: their mean over 15 has a standard deviation of 0.1/√15.
        let (_, poor) = of(&record(|i| if i % 2 == 0 { 0.1 } else { -0.1 }));
        let expected = (width(plain.1).powi(2) + (3.92f64 * 0.1).powi(2) / 15.0).sqrt();
        assert!((width(poor) - expected).abs() < 0.1 * expected, "{} instead of {expected}", width(poor));
        assert!(poor[0] < centre && centre < poor[1]);
    }

    #[test]
    fn what_the_model_is_always_wrong_by_widens_to_that_side() {
        let values: Vec<f32> = (0..60).map(|i| 0.5 + 0.01 * (i % 7) as f32).collect();
        let of = |error: f32| interval(&[(&values, &record(move |_| error))], 2000, 0).1;
        let ([low, high], [down, same]) = (of(0.0), of(-0.2));
        assert!((low - 0.2 - down).abs() < 1e-3 && (high - same).abs() < 1e-3, "{low} {high} and {down} {same}");
    }

    #[test]
    fn only_errors_at_such_outcomes_count_and_short_records_not_at_all() {
        let values = [0.9f32, 0.92, 0.94, 0.96];
        let low_only = record(|i| if i >= 20 { 0.0 } else { [0.4, -0.4][i % 2] });
        let of = |record: &TrackRecord| interval(&[(&values, record)], 2000, 0).1;
        assert_eq!(of(&low_only), of(&record(|_| 0.0)), "the model was never wrong about such outcomes");
        let short =
            TrackRecord { imagined: vec![0.9; FEWEST_STARTS - 1], recorded: vec![0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0] };
        assert_eq!(of(&short), of(&TrackRecord::default()));
        assert_eq!(interval(&[(&[0.5], &low_only)], 100, 0), crate::evaluate::interval(&[0.5], 100, 0));
    }

    #[test]
    fn a_difference_is_as_doubtful_as_both_of_its_sides() {
        let (a, b) = ([0.6f32; 20], [0.5f32; 20]);
        let (gain, sure) = difference(Column::from(&a[..]), Column::from(&b[..]), Some(&record(|_| 0.3)), 2000, 0);
        assert!(
            (gain - 0.1).abs() < 1e-6 && sure[1] - sure[0] < 1e-6,
            "what is always wrong by as much takes nothing off"
        );
        let (_, [low, high]) =
            difference(Column::from(&a[..]), Column::from(&b[..]), Some(&record(|i| [0.2, -0.2][i % 2])), 4000, 0);
        let expected = 3.92 * 0.2 * (2.0f64 / 15.0).sqrt();
        assert!((high - low - expected).abs() < 0.1 * expected, "{} instead of {expected}", high - low);
    }

    #[test]
    fn how_probably_one_is_better_by_hand() {
        let none = TrackRecord::default();
        assert_eq!(probability_better(&[0.5, 0.7, 0.2], &[0.4, 0.7, 0.6], &none), 0.5, "one wins, one ties, one loses");
        assert_eq!(probability_better(&[0.6, 0.7], &[0.4, 0.5], &none), 1.0);
        // Errors of +0.2 and -0.2 in equal shares: a lead of 0.3 is lost where it is over- and the other underestimated.
        let wrong = record(|i| [0.2, -0.2][i % 2]);
        assert!((probability_better(&[0.5], &[0.2], &wrong) - 0.75).abs() < 1e-9);
        assert_eq!(probability_better(&[0.9], &[0.2], &wrong), 1.0);
        assert_eq!(
            probability_better(&[0.5], &[0.2], &record(|_| 0.3)),
            1.0,
            "what both have in common decides nothing"
        );
        let (a, b) = ([0.41f32, 0.43, 0.46], [0.42f32, 0.40, 0.47]);
        let both = probability_better(&a, &b, &wrong) + probability_better(&b, &a, &wrong);
        assert!((both - 1.0).abs() < 1e-9);
    }

    #[test]
    fn how_probably_one_is_better_never_contradicts_the_gain() {
        // The model takes moments of little value for worse than they are, those of much for better: of two futures that are imagined far
        // apart the errors near the worse one alone would turn the order round.
        let record = record(|i| if i < 20 { 0.3 } else { -0.3 } + 0.02 * (i % 3) as f32);
        let mut rng = noise::generator(0, "pairs", 0);
        for _ in 0..200 {
            let level: [f32; 2] = [(); 2].map(|()| rng.random_range(0.0..1.0));
            let [a, b] = level.map(|level| [(); 6].map(|()| level + rng.random_range(-0.1f32..0.1)));
            let gain = mean(a.iter().copied()) - mean(b.iter().copied());
            let p = probability_better(&a, &b, &record);
            assert!((gain > 0.0) == (p > 0.5), "{a:?} {b:?}: gain {gain}, probability {p}");
        }
    }

    #[test]
    fn models_that_err_each_for_themselves_err_less_together() {
        let values = [0.5f32; 30];
        let wrong = record(|i| [0.2, -0.2][i % 2]);
        let width = |parts: &[(&[f32], &TrackRecord)]| {
            let (_, [low, high]) = interval(parts, 4000, 0);
            high - low
        };
        let (one, four) = (width(&[(&values, &wrong)]), width(&[(&values[..], &wrong); 4]));
        assert!((one / four - 2.0).abs() < 0.3, "{one} and {four}");
    }
}
