//! Bets on the mean of bounded outcomes: intervals and verdicts that hold however often one looks.
//!
//! Whoever says that the mean is m offers a fair game: a stake b multiplies the capital by 1 + b (Y - m), and if m is the mean, nobody
//! is expected to gain, whatever the stakes, as long as each is fixed before its outcome. So the capital ever reaches 1/α with
//! a probability of at most α (Ville 1939). A mean against which it has grown that much is no longer believed; what is left is an
//! interval for all times at once. Stakes, their cap and the hedge between "above" and "below" are those of Waudby-Smith and Ramdas
//! 2024, Estimating means of bounded random variables by betting, JRSS-B 86:1, sec. 4 ([arXiv:2010.09686](https://arxiv.org/abs/2010.09686)).

use serde::{Deserialize, Serialize};

/// Largest share of the capital that one outcome may cost: half of it, as in the paper's sec. 4.4.
const MOST_LOST: f64 = 0.5;

/// The same in a verdict on an outcome that control has moved beyond the range of the others: the capital stays above zero.
const MOST_LOST_BEYOND: f64 = 0.9;

/// An outcome, with the bounds that were known before it came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounded {
    /// What came.
    pub value: f64,
    /// Nothing below this could come.
    pub low: f64,
    /// Nothing above this.
    pub high: f64,
}

/// What a bet is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The mean is above what was said.
    Above,
    /// It is below.
    Below,
}

/// The stake on each outcome, from those before it: b_t = √(2 ln(2/α) / (v_t t ln(1+t))), where v_t is their variance about their
/// running mean, begun with one outcome in the middle of `range` that is half of it away from there.
fn stakes(values: &[Bounded], [low, high]: [f64; 2], alpha: f64) -> Vec<f64> {
    let (mut sum, mut squares) = ((low + high) / 2.0, ((high - low) / 2.0).powi(2));
    let stake = |(i, y): (usize, &Bounded)| {
        let t = (i + 1) as f64;
        let stake = (2.0 * (2.0 / alpha).ln() / ((squares / t).max(1e-12) * t * t.ln_1p())).sqrt();
        sum += y.value;
        squares += (y.value - sum / (t + 1.0)).powi(2);
        stake
    };
    values.iter().enumerate().map(stake).collect()
}

/// Capital after each outcome, begun with 1 and bet against "the mean is `mean`"; `range` is that of the outcomes before control.
pub fn capital(values: &[Bounded], range: [f64; 2], mean: f64, side: Side, alpha: f64) -> Vec<f64> {
    path(values, range, (mean, side), alpha, |room, _| MOST_LOST / room)
}

/// The same with the largest stake as `most` says of the room below (or above) the mean, of this outcome and of the range.
fn path(
    values: &[Bounded],
    range: [f64; 2],
    (mean, side): (f64, Side),
    alpha: f64,
    most: impl Fn(f64, f64) -> f64,
) -> Vec<f64> {
    let mut capital = 1.0;
    let after = |(y, stake): (&Bounded, f64)| {
        let (room, usual, gain) = match side {
            Side::Above => (mean - y.low, mean - range[0], y.value - mean),
            Side::Below => (y.high - mean, range[1] - mean, mean - y.value),
        };
        let stake = if room > 0.0 { stake.min(most(room, usual)) } else { stake };
        capital *= 1.0 + stake * gain;
        capital
    };
    values.iter().zip(stakes(values, range, alpha)).map(after).collect()
}

/// The largest capital so far; 1 before anything came.
fn peak(values: &[Bounded], range: [f64; 2], mean: f64, side: Side, alpha: f64) -> f64 {
    capital(values, range, mean, side, alpha).into_iter().fold(1.0, f64::max)
}

/// The means within `range` that are still believed, all of them at once and at any time with confidence 1 - α: half of the capital
/// is bet on either side.
pub fn interval(values: &[Bounded], range: [f64; 2], alpha: f64) -> [f64; 2] {
    let refuted = |mean: f64, side: Side| peak(values, range, mean, side, alpha) / 2.0 >= 1.0 / alpha;
    let bound = |side: Side, mut inside: f64, mut outside: f64| {
        if !refuted(outside, side) {
            return outside;
        }
        // The capital against a mean falls as the mean comes nearer to what was seen: what is believed is an interval.
        for _ in 0..50 {
            let middle = (inside + outside) / 2.0;
            *(if refuted(middle, side) { &mut outside } else { &mut inside }) = middle;
        }
        outside
    };
    [bound(Side::Above, range[1], range[0]), bound(Side::Below, range[0], range[1])]
}

/// What a series says so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Says {
    /// The mean difference is above zero.
    #[serde(rename = "GO")]
    Go,
    /// It is below zero.
    #[serde(rename = "NO-GO")]
    NoGo,
    /// Nothing yet.
    #[serde(rename = "CONTINUE")]
    Continue,
}

/// The sequential verdict on a mean difference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sequential {
    /// The verdict.
    pub decision: Says,
    /// Differences after which it was there; it stays.
    pub after: Option<usize>,
    /// Largest capital so far against "the difference is zero or less".
    pub capital_better: f64,
    /// Largest capital so far against "the difference is zero or more".
    pub capital_worse: f64,
}

/// GO once the capital against "zero or less" reaches 1/α, NO-GO once that against "zero or more" does; whichever is first. Each is
/// wrong with a probability of at most α, however often one looks. The differences are of two outcomes between 0 and 1.
pub fn verdict(differences: &[Bounded], alpha: f64) -> Sequential {
    // Control widens the bounds of a difference more than its spread: stakes are kept as they were for the range without it.
    let most = |room: f64, usual: f64| (MOST_LOST / usual).min(MOST_LOST_BEYOND / room);
    let paths = [Side::Above, Side::Below].map(|side| path(differences, [-1.0, 1.0], (0.0, side), alpha, most));
    let reached = |path: &[f64]| path.iter().position(|&c| c >= 1.0 / alpha);
    let (decision, after) = match paths.each_ref().map(|path| reached(path)) {
        [Some(go), no_go] if no_go.is_none_or(|no_go| go <= no_go) => (Says::Go, Some(go + 1)),
        [_, Some(no_go)] => (Says::NoGo, Some(no_go + 1)),
        _ => (Says::Continue, None),
    };
    let [capital_better, capital_worse] = paths.map(|path| path.into_iter().fold(1.0, f64::max));
    Sequential { decision, after, capital_better, capital_worse }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;
    use world_model::noise;

    fn shares(values: &[f64]) -> Vec<Bounded> {
        values.iter().map(|&value| Bounded { value, low: 0.0, high: 1.0 }).collect()
    }

    fn differences(values: &[f64]) -> Vec<Bounded> {
        values.iter().map(|&value| Bounded { value, low: -1.0, high: 1.0 }).collect()
    }

    #[test]
    fn three_bets_by_hand() {
        // α = 2/e² makes 2 ln(2/α) = 4. v: 1/4; (1/4 + 1/16)/2 = 5/32; (5/16 + 1/36)/3 = 49/432.
        let alpha = 2.0 * (-2.0f64).exp();
        let values = shares(&[1.0, 1.0, 0.0]);
        let expected = [
            (4.0 / (0.25 * 2.0f64.ln())).sqrt(),
            (4.0 / (5.0 / 32.0 * 2.0 * 3.0f64.ln())).sqrt(),
            (4.0 / (49.0 / 432.0 * 3.0 * 4.0f64.ln())).sqrt(),
        ];
        for (stake, expected) in stakes(&values, [0.0, 1.0], alpha).into_iter().zip(expected) {
            assert!((stake - expected).abs() < 1e-12, "{stake} instead of {expected}");
        }
        // All above the cap of 0.5/0.5 = 1: 1 + 1·0.5, twice, then 1 - 1·0.5.
        assert_eq!(capital(&values, [0.0, 1.0], 0.5, Side::Above, alpha), [1.5, 2.25, 1.125]);
        assert_eq!(capital(&values, [0.0, 1.0], 0.5, Side::Below, alpha), [0.5, 0.25, 0.375]);
        // Against a mean of 0.1 the cap is 5, and the stakes are 4.80, 3.41, 2.91.
        let [a, b, c] = expected;
        let by_hand = (1.0 + 0.9 * a) * (1.0 + 0.9 * b) * (1.0 - 0.1 * c);
        assert!((capital(&values, [0.0, 1.0], 0.1, Side::Above, alpha)[2] - by_hand).abs() < 1e-9);
    }

    #[test]
    fn a_verdict_comes_with_enough_on_one_side_and_stays() {
        // Each success of the better alone multiplies by 1.5: 1.5^8 = 25.6 is the first beyond 20.
        let go = verdict(&differences(&[1.0; 9]), 0.05);
        assert_eq!((go.decision, go.after), (Says::Go, Some(8)));
        let later: Vec<f64> = [1.0; 8].into_iter().chain([-1.0; 4]).collect();
        assert_eq!((verdict(&differences(&later), 0.05).decision, go.after), (Says::Go, Some(8)));
        assert_eq!(verdict(&differences(&[-1.0; 8]), 0.05).decision, Says::NoGo);
        let open = verdict(&differences(&[1.0, -1.0, 0.0, 1.0]), 0.05);
        assert_eq!((open.decision, open.after), (Says::Continue, None));
        assert_eq!(verdict(&[], 0.05).capital_better, 1.0);
    }

    #[test]
    fn an_interval_narrows_from_everything_and_holds_what_was_seen() {
        assert_eq!(interval(&[], [0.0, 1.0], 0.05), [0.0, 1.0]);
        let of =
            |n: usize| interval(&shares(&(0..n).map(|i| f64::from(i % 4 == 0)).collect::<Vec<_>>()), [0.0, 1.0], 0.05);
        let width = |[low, high]: [f64; 2]| high - low;
        let (few, some, many) = (of(12), of(60), of(400));
        assert!(width(few) > 1.3 * width(some) && width(some) > 1.8 * width(many), "{few:?} {some:?} {many:?}");
        assert!(many[0] < 0.25 && many[1] > 0.25 && width(many) < 0.2, "{many:?}");
        // Where the interval lies on one side of zero, the verdict has come.
        let gains = differences(&(0..40).map(|i| f64::from(i % 2)).collect::<Vec<_>>());
        assert!(interval(&gains, [-1.0, 1.0], 0.05)[0] > 0.0 && verdict(&gains, 0.05).decision == Says::Go);
    }

    #[test]
    fn looking_after_every_trial_costs_nothing() {
        let (series, alpha) = (1500, 0.05);
        let mut rng = noise::generator(0, "betting-test", 0);
        let mut missed = |p: f64, n: usize| {
            let out = (0..series).filter(|_| {
                let values = shares(&(0..n).map(|_| f64::from(rng.random::<f64>() < p)).collect::<Vec<_>>());
                [Side::Above, Side::Below]
                    .iter()
                    .any(|&side| peak(&values, [0.0, 1.0], p, side, alpha) / 2.0 >= 1.0 / alpha)
            });
            out.count() as f64 / series as f64
        };
        for (p, n) in [(0.5, 5), (0.5, 20), (0.5, 100), (0.1, 20), (0.1, 100), (0.9, 100)] {
            let missed = missed(p, n);
            // Three standard errors of 5 % over 1500 series.
            assert!(missed <= 0.05 + 0.017, "rate {p}, {n} trials: the interval lost it in {missed} of the series");
        }
        // Two equal policies of 40 %, looked at after each of 150 pairs.
        let false_go = (0..series).filter(|_| {
            let mut one = || f64::from(rng.random::<f64>() < 0.4);
            let values: Vec<f64> = (0..150).map(|_| one() - one()).collect();
            verdict(&differences(&values), alpha).decision == Says::Go
        });
        let share = false_go.count() as f64 / series as f64;
        assert!(share <= 0.05 + 0.017 && share > 0.0, "{share} of the series say GO of equal policies");
    }
}
