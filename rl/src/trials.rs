//! Real trials of two policies: in which order, how many, and what they say, helped by what was imagined.
//!
//! Starts are drawn anew for every pair of trials, uniformly among those whose outcomes were imagined. The mean of what was
//! imagined over all of them is therefore known exactly, and imagination can serve as a control variate (prediction-powered inference:
//! Angelopoulos et al. 2023, Science 382, [arXiv:2301.09633](https://arxiv.org/abs/2301.09633); in a sequence: Zrnic and Candès 2024,
//! [arXiv:2403.03208](https://arxiv.org/abs/2403.03208)): Y_t = X_t - w_t (f(s_t) - mean f) has the mean of X whatever f is, and less spread
//! where f foresees. The weight w_t is fixed before trial t: if the model is wrong it is of no use, and the verdict stays valid.

use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use world_model::agreement::mean;
use world_model::noise;

use crate::betting::{Bounded, Says, verdict};

/// Error probability of GO and of NO-GO, and of the intervals.
pub const ALPHA: f64 = 0.05;

/// Series that are simulated to tell how many trials are needed.
const SERIES: usize = 200;

/// Imagined pairs that count beside the real ones where it is told how many more are needed.
const IMAGINED_PAIRS: f64 = 10.0;

/// A pair of trials from the same start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Position among the starts.
    pub start: usize,
    /// The new policy goes first.
    pub is_new_first: bool,
}

/// The order of `pairs` pairs over `starts` starts: every one drawn anew, so that a start may come again, and which policy goes first.
pub fn order(starts: usize, pairs: usize, seed: u64) -> Vec<Drawn> {
    let mut rng = noise::generator(seed, "trials", 0);
    (0..pairs).map(|_| Drawn { start: rng.random_range(0..starts), is_new_first: rng.random() }).collect()
}

/// Outcomes in `range`, each less what was predicted of it beyond the mean prediction; `predicted` of each outcome's start, `all` of
/// every start that it was drawn from. Without predictions the outcomes as they are.
///
/// The weight of the predictions is ridge regression's on the outcomes before, about ½ (between a model that is right, 1, and one that
/// says nothing, 0) with a standard deviation of ½, kept between 0 and 1 so that the bounds stay near to those of the outcomes.
pub fn controlled(outcomes: &[f64], predicted: &[f64], all: &[f64], [low, high]: [f64; 2]) -> Vec<Bounded> {
    let centre = mean(all.iter().copied());
    let variance = mean(all.iter().map(|f| (f - centre).powi(2)));
    let ends = all.iter().fold([0.0f64; 2], |[l, h], f| [l.min(f - centre), h.max(f - centre)]);
    if predicted.len() < outcomes.len() || variance < 1e-9 {
        return outcomes.iter().map(|&value| Bounded { value, low, high }).collect();
    }
    // Outcomes with half the largest variance, (high - low)²/8, and a weight of variance ¼.
    let prior = (high - low).powi(2) / (2.0 * variance);
    let (mut sum, mut shift, mut both) = (0.0, 0.0, 0.0);
    let one = |(i, (x, f)): (usize, (&f64, &f64))| {
        let (n, g) = (i as f64, f - centre);
        let covered = both - shift * sum / n.max(1.0);
        let weight = ((prior / 2.0 + covered / variance) / (prior + n)).clamp(0.0, 1.0);
        sum += x;
        shift += g;
        both += x * g;
        Bounded { value: x - weight * g, low: low - weight * ends[1], high: high - weight * ends[0] }
    };
    outcomes.iter().zip(predicted).enumerate().map(one).collect()
}

/// How many pairs it takes to a verdict, over simulated series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needed {
    /// In half of the series; `None` where they are more than were simulated.
    pub half: Option<usize>,
    /// In four of five.
    pub four_of_five: Option<usize>,
}

impl Needed {
    fn of(mut pairs: Vec<usize>, most: usize) -> Self {
        pairs.sort_unstable();
        let at = |share: f64| {
            let rank = (pairs.len() as f64 * share).ceil() as usize;
            pairs.get(rank.saturating_sub(1)).copied().filter(|&n| n <= most)
        };
        Self { half: at(0.5), four_of_five: at(0.8) }
    }
}

/// Imagined success per start.
#[derive(Clone, Copy, Debug)]
pub struct Imagined<'a> {
    /// Of the policy that is there.
    pub old: &'a [f64],
    /// Of the one that may replace it.
    pub new: &'a [f64],
}

impl Imagined<'_> {
    /// Imagined gains, per start.
    pub fn gains(&self) -> Vec<f64> {
        self.new.iter().zip(self.old).map(|(new, old)| new - old).collect()
    }

    /// A pair of trials as imagined, with this share of the gain: the start, and the difference of the successes.
    fn pair(&self, share: f64, rng: &mut StdRng) -> (usize, f64) {
        let start = rng.random_range(0..self.old.len());
        let (old, new) = (self.old[start], self.new[start]);
        let mut try_with = |p: f64| f64::from(rng.random::<f64>() < p);
        (start, try_with(old + share * (new - old)) - try_with(old))
    }

    /// Pairs of trials to a verdict if this share of the imagined gain is real at every start, at most `most`.
    pub fn needed(&self, share: f64, is_helped: bool, most: usize, seed: u64) -> Needed {
        let mut rng = noise::generator(seed, "trials-needed", 0);
        let all = if is_helped { self.gains() } else { Vec::new() };
        let series = (0..SERIES).map(|_| {
            let pairs: Vec<(usize, f64)> = (0..most).map(|_| self.pair(share, &mut rng)).collect();
            to_verdict(&pairs, &all, most)
        });
        Needed::of(series.collect(), most)
    }

    /// More pairs after those `seen` (start, difference), at most `most`, if what comes is like them and, a little, like what was imagined.
    pub fn more(&self, seen: &[(usize, f64)], most: usize, seed: u64) -> Needed {
        let mut rng = noise::generator(seed, "trials-more", seen.len() as u64);
        let gains = self.gains();
        let series = (0..SERIES).map(|_| {
            let mut pairs = seen.to_vec();
            pairs.extend((0..most).map(|_| {
                let real = rng.random::<f64>() * (seen.len() as f64 + IMAGINED_PAIRS) >= IMAGINED_PAIRS;
                if real { seen[rng.random_range(0..seen.len())] } else { self.pair(1.0, &mut rng) }
            }));
            to_verdict(&pairs, &gains, seen.len() + most).saturating_sub(seen.len())
        });
        Needed::of(series.collect(), most)
    }
}

/// Pairs after which a series has its verdict; one more than `most` where it has none.
fn to_verdict(pairs: &[(usize, f64)], all: &[f64], most: usize) -> usize {
    let outcomes: Vec<f64> = pairs.iter().map(|pair| pair.1).collect();
    let predicted: Vec<f64> = pairs.iter().filter_map(|pair| all.get(pair.0).copied()).collect();
    let said = verdict(&controlled(&outcomes, &predicted, all, [-1.0, 1.0]), ALPHA);
    said.after.filter(|_| said.decision != Says::Continue).unwrap_or(most + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::betting::interval;

    #[test]
    fn the_order_is_drawn_once_per_seed_and_evenly() {
        assert_eq!(order(10, 50, 3), order(10, 50, 3));
        assert_ne!(order(10, 50, 3), order(10, 50, 4));
        let drawn = order(4, 4000, 0);
        let count = |is: &dyn Fn(&Drawn) -> bool| drawn.iter().filter(|d| is(d)).count();
        assert!((0..4).all(|start| count(&|d| d.start == start).abs_diff(1000) < 120));
        assert!(count(&|d| d.is_new_first).abs_diff(2000) < 150);
    }

    #[test]
    fn control_by_hand() {
        // Predictions 0 and 1 with mean ½ and variance ¼: the prior weighs 1/(2·¼) = 2 outcomes. First weight ½.
        let made = controlled(&[1.0, 0.0, 1.0], &[1.0, 0.0, 1.0], &[0.0, 1.0], [0.0, 1.0]);
        assert_eq!(made[0], Bounded { value: 0.75, low: -0.25, high: 1.25 });
        // After one outcome nothing is known of their covariance: (2·½ + 0)/(2 + 1).
        assert!((made[1].value - (0.0 + 0.5 / 3.0)).abs() < 1e-12);
        // After two it is (1·½ + 0·-½) - 0·1/2 = ½: (1 + ½/¼)/(2 + 2) = ¾.
        assert!((made[2].value - (1.0 - 0.375)).abs() < 1e-12 && (made[2].high - 1.375).abs() < 1e-12);
        let as_they_are = |predicted: &[f64], all: &[f64]| controlled(&[1.0, 0.0], predicted, all, [0.0, 1.0]);
        let plain = [1.0, 0.0].map(|value| Bounded { value, low: 0.0, high: 1.0 });
        assert_eq!(as_they_are(&[], &[]), plain);
        assert_eq!(as_they_are(&[0.4, 0.4], &[0.4, 0.4]), plain, "what says the same of all starts helps nowhere");
    }

    /// Half of the starts are hard, half are easy; predictions say which, say the opposite, or are noise.
    fn series(predict: impl Fn(usize) -> f64, n: usize, rng: &mut StdRng) -> Vec<Bounded> {
        let all: Vec<f64> = (0..20).map(&predict).collect();
        let drawn: Vec<usize> = (0..n).map(|_| rng.random_range(0..20)).collect();
        let truth = |start: usize| if start < 10 { 0.05 } else { 0.95 };
        let outcomes: Vec<f64> = drawn.iter().map(|&s| f64::from(rng.random::<f64>() < truth(s))).collect();
        let predicted: Vec<f64> = drawn.iter().map(|&s| all[s]).collect();
        controlled(&outcomes, &predicted, &all, [0.0, 1.0])
    }

    #[test]
    fn good_predictions_narrow_and_bad_ones_stay_valid() {
        let good = |s: usize| f64::from(s >= 10);
        let bad = |s: usize| f64::from(s < 10);
        let noise_like = |s: usize| (s * 7 % 20) as f64 / 20.0;
        let mut rng = noise::generator(0, "trials-test", 0);
        let mut judge = |predict: &dyn Fn(usize) -> f64| {
            let (mut missed, mut width) = (0, 0.0);
            for _ in 0..300 {
                let [low, high] = interval(&series(predict, 60, &mut rng), [0.0, 1.0], ALPHA);
                missed += usize::from(!(low..=high).contains(&0.5));
                width += (high - low) / 300.0;
            }
            (missed, width)
        };
        let ((none_missed, none), (good_missed, good)) = (judge(&|_| 0.5), judge(&good));
        let ((bad_missed, bad), (noise_missed, noise_like)) = (judge(&bad), judge(&noise_like));
        // 5 % of 300 and three standard errors.
        assert!([none_missed, good_missed, bad_missed, noise_missed].iter().all(|&missed| missed <= 26));
        assert!(good < 0.8 * none, "{good} with good predictions, {none} without");
        assert!(bad < 1.3 * none && noise_like < 1.15 * none, "{bad} and {noise_like} with bad ones, {none} without");
    }

    #[test]
    fn no_prediction_makes_a_go_of_equal_policies_more_often_than_promised() {
        // Both succeed from half of the starts; predictions promise a gain where both fail, everywhere but at one start, and at random.
        let promised: [fn(usize) -> f64; 3] =
            [|s| f64::from(s < 10), |s| f64::from(s != 3), |s| (s * 7 % 20) as f64 / 20.0];
        let mut rng = noise::generator(0, "trials-test", 1);
        for promise in promised {
            let all: Vec<f64> = (0..20).map(promise).collect();
            let series = 600;
            let go = (0..series).filter(|_| {
                let drawn: Vec<usize> = (0..80).map(|_| rng.random_range(0..20)).collect();
                let mut one = |s: usize| f64::from(rng.random::<f64>() < if s < 10 { 0.1 } else { 0.6 });
                let outcomes: Vec<f64> = drawn.iter().map(|&s| one(s) - one(s)).collect();
                let predicted: Vec<f64> = drawn.iter().map(|&s| all[s]).collect();
                verdict(&controlled(&outcomes, &predicted, &all, [-1.0, 1.0]), ALPHA).decision == Says::Go
            });
            let share = go.count() as f64 / f64::from(series);
            // 5 % and three standard errors of it over 600 series.
            assert!(share <= 0.05 + 0.027, "{share} of the series say GO of equal policies");
        }
    }

    #[test]
    fn a_larger_gain_needs_fewer_pairs_and_a_model_that_knows_saves_some() {
        let old: Vec<f64> = (0..20).map(|i| f64::from(i % 2 == 0) * 0.9).collect();
        let new = [0.9; 20];
        let imagined = Imagined { old: &old, new: &new };
        let needed = |share, helped| imagined.needed(share, helped, 120, 0).half.unwrap_or(999);
        assert!(needed(1.0, false) < needed(0.5, false), "{} {}", needed(1.0, false), needed(0.5, false));
        assert!(needed(1.0, true) < needed(1.0, false), "{} {}", needed(1.0, true), needed(1.0, false));
        assert_eq!(imagined.needed(0.0, false, 20, 0), Needed::default(), "no gain, no verdict");
    }

    #[test]
    fn the_more_has_been_seen_the_less_is_missing() {
        let (old, new) = ([0.2; 10], [0.7; 10]);
        let imagined = Imagined { old: &old, new: &new };
        let seen: Vec<(usize, f64)> = (0..10).map(|i| (i, f64::from(i % 3 != 0))).collect();
        let more = |n: usize| imagined.more(&seen[..n], 100, 0).half.unwrap_or(999);
        assert!(more(10) < more(5) && more(5) < more(0), "{} {} {}", more(10), more(5), more(0));
    }
}
