//! A per-episode estimate over held-out episodes that corrects imagination by what was really recorded.
//!
//! Doubly robust estimators add to a model's value the importance-weighted error that the model made on recorded steps (Jiang and
//! Li 2016, [arXiv:1511.03722](https://arxiv.org/abs/1511.03722)). Neither a person at the controls nor a flow policy has a density
//! to weigh with, products of ratios over an episode are worthless anyway, and ratios of visits fitted to a Q that hardly depends on
//! the actions are 1 for everybody (docs/LOG.md). What is known of every held-out episode is its recorded return `G_j` and what the
//! model makes of the same start and the same actions, `Ĝ_j`, imagined to the end without looking. That is a control variate:
//! ```text
//! V_i = Ĝ_i(π) + Σ_j w_ij (G_j - Ĝ_j),     V = mean over held-out starts i
//! ```
//! with equal weights `w_ij` for the fifth of the episodes `j` whose imagined outcomes are nearest to `Ĝ_i(π)`, so that each kind of
//! future is corrected by the error that was made about its kind. It is right if the model is right about π; and right, however
//! wrong the model is, if it is as wrong about π as about recorded episodes that it imagined to come out alike. For the recorded
//! behaviour the second holds by construction. Unlike the model's, its interval is one of an estimator without a common error.
//!
//! Where π's futures are imagined better (or worse) than any that was recorded, few episodes carry the correction: how many, as if
//! each carried as much, is reported, and below [`FEWEST_STARTS`] nothing is said.

use rand::rngs::StdRng;

use crate::TrackRecord;
use crate::evaluate::FEWEST_STARTS;
use crate::members::{Column, Members};
use crate::track_record::{Near, widened};

/// The estimate for one policy.
#[derive(Clone, Debug, PartialEq)]
pub struct DoublyRobust {
    /// `V_i` per held-out start; their mean is the estimate.
    pub per_episode: Vec<f32>,
    /// Recorded episodes that would carry as much of the correction if all carried the same: `(Σ_j W_j)² / Σ_j W_j²`, `W_j = Σ_i w_ij`.
    pub effective_episodes: f64,
    near: Near,
    members: Members,
}

impl DoublyRobust {
    /// Corrects imagined returns `Ĝ_i(π)` by the model's `record` of whole held-out episodes; `None` where too few of them carry it.
    pub fn of(Column { values: imagined, members }: Column<'_>, record: &TrackRecord) -> Option<Self> {
        let near = Near::new(imagined, record);
        let per_episode = imagined.iter().zip(near.means()).map(|(value, error)| value + error as f32).collect();
        let weight = near.weights(record.imagined.len());
        let effective_episodes = weight.iter().sum::<f64>().powi(2) / weight.iter().map(|w| w * w).sum::<f64>();
        let supported = !near.is_empty() && effective_episodes >= FEWEST_STARTS as f64;
        supported.then(|| Self { per_episode, effective_episodes, near, members: members.clone() })
    }

    /// The return with its 95 % bootstrap interval over starts, over the errors that the correction is made of, and over what the members
    /// of the world model make of the policy.
    pub fn estimate(&self, resamples: usize, seed: u64) -> (f64, [f64; 2]) {
        let starts = self.per_episode.len();
        let error = |rng: &mut StdRng| self.near.draw_about_mean(rng) + self.members.draw_moved(starts, rng);
        widened(&self.per_episode, &error, &self.members.errors(), resamples, seed)
    }

    /// The gain over another policy from the same starts, with its interval.
    pub fn gain(&self, over: &Self, resamples: usize, seed: u64) -> (f64, [f64; 2]) {
        let differences: Vec<f32> = self.per_episode.iter().zip(&over.per_episode).map(|(a, b)| a - b).collect();
        let members = self.members.minus(&over.members);
        let error = |rng: &mut StdRng| {
            self.near.draw_about_mean(rng) - over.near.draw_about_mean(rng) + members.draw_moved(differences.len(), rng)
        };
        widened(&differences, &error, &members.errors(), resamples, seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;
    use world_model::agreement::mean;
    use world_model::noise;

    /// A start is worth 0.2 to 0.6; a policy adds its skill, and chance does the rest. The model sees all of it but takes what is
    /// good for even better: by 0.3 at a return of 1, by nothing at 0.
    fn outcomes(skill: impl Fn(usize) -> f32, starts: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
        let mut rng = noise::generator(seed, "outcomes", 0);
        let real = (0..starts).map(|i| 0.2 + 0.4 * (i % 10) as f32 / 10.0 + skill(i) + rng.random_range(-0.05..0.05));
        let real: Vec<f32> = real.collect();
        let imagined = real.iter().map(|g| g + 0.3 * g).collect();
        (real, imagined)
    }

    fn recorded() -> TrackRecord {
        // Those who drove were of all kinds.
        let (recorded, imagined) = outcomes(|i| 0.4 * ((i * 7) % 5) as f32 / 4.0, 60, 1);
        TrackRecord { imagined, recorded }
    }

    #[test]
    fn a_biased_model_is_put_right_by_what_was_recorded() {
        for skill in [0.0, 0.15, 0.3] {
            let (truth, imagined) = outcomes(|_| skill, 60, 2);
            let of = |values: &[f32]| mean(values.iter().copied());
            let (truth, plain) = (of(&truth), of(&imagined));
            let corrected = DoublyRobust::of(Column::from(&imagined[..]), &recorded()).expect("there is support");
            let (value, [low, high]) = corrected.estimate(1000, 0);
            assert!((plain - truth).abs() > 0.1, "the model is off: {plain}, {truth}");
            assert!((value - truth).abs() < 0.25 * (plain - truth).abs(), "{value}, truth {truth}, model {plain}");
            assert!(low <= truth && truth <= high, "{truth} in [{low}, {high}]");
        }
    }

    #[test]
    fn gains_are_corrected_too() {
        let ((_, better), (_, worse)) = (outcomes(|_| 0.25, 60, 3), outcomes(|_| 0.05, 60, 3));
        let of = |imagined: &[f32]| DoublyRobust::of(Column::from(imagined), &recorded()).expect("there is support");
        let (gain, [low, high]) = of(&better).gain(&of(&worse), 1000, 0);
        // The model says 0.26.
        assert!((gain - 0.2).abs() < 0.03 && low < gain && gain < high, "{gain} [{low}, {high}]");
    }

    #[test]
    fn the_recorded_behaviour_is_worth_what_was_recorded() {
        let record = recorded();
        let value =
            DoublyRobust::of(Column::from(&record.imagined[..]), &record).expect("there is support").estimate(500, 0).0;
        assert!((value - mean(record.recorded.iter().copied())).abs() < 0.01, "{value}");
    }

    #[test]
    fn rewards_that_have_nothing_to_do_with_it_leave_no_gain() {
        // What was recorded is a coin; the model believes in something else.
        let imagined: Vec<f32> = (0..60).map(|i| i as f32 / 60.0).collect();
        let recorded = (0..60).map(|i| ((i * 37) % 60) as f32 / 60.0).collect();
        let record = TrackRecord { imagined, recorded };
        let of = |from: f32| {
            let values: Vec<f32> = (0..40).map(|i| from + 0.01 * i as f32).collect();
            DoublyRobust::of(Column::from(&values[..]), &record)
        };
        let (gain, [low, high]) = of(0.5).expect("support").gain(&of(0.1).expect("support"), 1000, 0);
        assert!(gain < 0.15 && low < 0.0 && high > 0.0, "imagined 0.4, left {gain} [{low}, {high}]");
    }

    #[test]
    fn one_kind_of_future_alone_has_no_support() {
        let record = recorded();
        assert_eq!(DoublyRobust::of(Column::from(&[0.5; 30][..]), &TrackRecord::default()), None);
        let few = TrackRecord { imagined: record.imagined[..20].to_vec(), recorded: record.recorded[..20].to_vec() };
        // A fifth of 20 episodes are 4, all beyond them the same 4.
        assert_eq!(DoublyRobust::of(Column::from(&[5.0; 30][..]), &few), None);
        let beyond = DoublyRobust::of(Column::from(&[5.0; 30][..]), &record).expect("a fifth of 60 are enough");
        assert!((beyond.effective_episodes - 12.0).abs() < 1e-9, "{}", beyond.effective_episodes);
    }
}
