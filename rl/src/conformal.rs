//! How far an interval must be widened, as policies with known outcomes say: split conformal prediction.
//!
//! Every known policy says how many times as wide imagination's interval of its return must be to hold the known one. If the
//! next policy is exchangeable with n known ones, it asks for no more than the ⌈(n+1)(1-α)⌉-th smallest of their factors with a probability of
//! at least 1-α (Vovk et al. 2005, Algorithmic Learning in a Random World, ch. 2; scaled residuals: Lei et al. 2018,
//! [arXiv:1604.04173](https://arxiv.org/abs/1604.04173), sec. 5.2). For 95 % that takes 19 policies; of fewer the largest is taken, which
//! promises n/(n+1). What is promised is an interval of one policy's return. The gate's interval of a gain has in it the errors of both
//! its sides and is widened by the same factor.
//!
//! Nothing is ever narrowed. A few policies that were foreseen well would narrow the gate by luck, and the two mistakes are not
//! worth the same: an undecided gate costs some trials, a false GO costs trust.

use serde::{Deserialize, Serialize};

use crate::evaluate::Verdict;

/// Confidence that the gate's interval has.
pub const LEVEL: f64 = 0.95;

/// Policies with known outcomes below which a verdict is left as it is: one odd policy must not decide it.
pub const FEWEST_POLICIES: usize = 4;

/// Narrowest side of an interval that is asked to be wider, as a share of the range of imagined returns: a policy that does the same
/// whatever happens has next to none, and any error is many times that.
pub const NARROWEST: f64 = 0.05;

/// How many times as wide, to the side of the truth, the interval must be to hold `known`; a side narrower than [`NARROWEST`] of
/// `spread`, the range of imagined returns over the known policies, counts as that wide.
pub fn residual(imagined: f64, [low, high]: [f64; 2], known: f64, spread: f64) -> f64 {
    let side = if known > imagined { high - imagined } else { imagined - low };
    (known - imagined).abs() / side.max(NARROWEST * spread).max(1e-9)
}

/// The ⌈(n+1) level⌉-th smallest of n scores; `None` where they are too few for it.
pub fn quantile(scores: &[f64], level: f64) -> Option<f64> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    // Products such as 20·0.95 must not be rounded up by their last bit.
    let rank = ((scores.len() + 1) as f64 * level - 1e-9).ceil().max(1.0) as usize;
    sorted.get(rank - 1).copied()
}

/// Scores that a level takes: 19 for 95 %.
pub fn fewest(level: f64) -> usize {
    (level / (1.0 - level) - 1e-9).ceil() as usize
}

/// What known policies say of intervals.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibrated {
    /// Policies with known outcomes that it rests on.
    pub policies: usize,
    /// Times as wide as they were; 1 at least.
    pub factor: f64,
    /// The same before it was kept from narrowing.
    pub measured: f64,
    /// What so many policies can promise: 0.95, or n/(n+1) of fewer than are needed.
    pub level: f64,
    /// Policies that 95 % take.
    pub needed: usize,
}

impl Calibrated {
    /// From each known policy's [`residual`]; `None` without any.
    pub fn of(residuals: &[f64]) -> Option<Self> {
        let largest = residuals.iter().copied().reduce(f64::max)?;
        let (policies, needed) = (residuals.len(), fewest(LEVEL));
        let measured = quantile(residuals, LEVEL).unwrap_or(largest);
        let level = if policies < needed { policies as f64 / (policies + 1) as f64 } else { LEVEL };
        Some(Self { policies, factor: measured.max(1.0), measured, level, needed })
    }

    /// Both bounds as many times as far out.
    pub fn widen(&self, centre: f64, ci95: [f64; 2]) -> [f64; 2] {
        ci95.map(|bound| centre + self.factor * (bound - centre))
    }

    /// The gate's verdict with the wider interval: what rested on the narrower one alone is taken back. Fewer than [`FEWEST_POLICIES`]
    /// change nothing.
    pub fn verdict(&self, verdict: Verdict) -> Verdict {
        if self.policies < FEWEST_POLICIES {
            let (n, there) = (self.policies, if self.policies == 1 { "there is" } else { "there are" });
            let why = format!(
                "{} It is not calibrated: that takes {FEWEST_POLICIES} other policies with known returns, and {there} {n}.",
                verdict.why
            );
            return Verdict { why, ..verdict };
        }
        let gain_ci95 = self.widen(verdict.gain, verdict.gain_ci95);
        let was_decided = verdict.decision != "ABSTAIN";
        let holds = gain_ci95[0] > 0.0 || gain_ci95[1] < 0.0;
        let promise = self.promise();
        let (n, factor, [low, high]) = (self.policies, self.factor, gain_ci95);
        let (decision, why) = match (was_decided, holds) {
            (false, _) => (verdict.decision, verdict.why),
            (true, true) if factor > 1.0 => (
                verdict.decision,
                format!(
                    "{} So it is also when the interval is {factor:.2} times as wide, as {n} policies with known outcomes ask for ({promise}).",
                    verdict.why
                ),
            ),
            (true, true) => (
                verdict.decision,
                format!("{} {n} policies with known outcomes do not ask for a wider one ({promise}).", verdict.why),
            ),
            (true, false) => (
                "ABSTAIN".to_owned(),
                format!(
                    "The imagined gain in return of {:+.3} cannot be told from zero once its interval is {factor:.2} times as wide, [{low:+.3}, {high:+.3}], as {n} policies with known outcomes ask for ({promise}).",
                    verdict.gain
                ),
            ),
        };
        Verdict { decision, why, gain_ci95, ..verdict }
    }

    /// What the factor promises, in words.
    pub fn promise(&self) -> String {
        let percent = 100.0 * self.level;
        if self.policies < self.needed {
            format!("so few promise {percent:.0} %, not 95 %, which takes {}", self.needed)
        } else {
            format!("{percent:.0} %")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;
    use rand_distr::StandardNormal;
    use world_model::noise;

    #[test]
    fn residuals_and_ranks_by_hand() {
        assert!((residual(0.5, [0.4, 0.7], 0.6, 1.0) - 0.5).abs() < 1e-9);
        assert!((residual(0.5, [0.4, 0.7], 0.3, 1.0) - 2.0).abs() < 1e-9);
        assert_eq!(residual(0.5, [0.5, 0.5], 0.5, 0.0), 0.0);
        let scripted = residual(0.5, [0.4999, 0.5001], 0.6, 0.8);
        assert!((scripted - 2.5).abs() < 1e-9, "0.1 over a twentieth of 0.8, not over a ten-thousandth: {scripted}");
        assert_eq!([0.5, 0.8, 0.9, 0.95].map(fewest), [1, 4, 9, 19]);
        let scores: Vec<f64> = (1..=19).rev().map(f64::from).collect();
        assert_eq!(quantile(&scores, 0.95), Some(19.0), "the 19th of 20·0.95 = 19");
        assert_eq!(quantile(&scores, 0.5), Some(10.0));
        assert_eq!(quantile(&scores[..18], 0.95), None, "19·0.95 = 18.05 is beyond 18");
    }

    #[test]
    fn few_policies_promise_less_and_nothing_is_narrowed() {
        assert_eq!(Calibrated::of(&[]), None);
        let of = |n: usize, score: f64| Calibrated::of(&vec![score; n]).expect("there are scores");
        let four = of(4, 1.5);
        assert_eq!((four.factor, four.level, four.needed), (1.5, 0.8, 19));
        assert_eq!(four.promise(), "so few promise 80 %, not 95 %, which takes 19");
        let enough = of(30, 0.4);
        assert_eq!((enough.factor, enough.measured, enough.level), (1.0, 0.4, 0.95));
        assert_eq!(enough.promise(), "95 %");
        assert_eq!(four.widen(0.2, [0.1, 0.4]), [0.2 - 0.1 * 1.5, 0.2 + 0.2 * 1.5]);
    }

    #[test]
    fn a_go_that_rests_on_too_narrow_an_interval_is_taken_back() {
        let verdict = |decision: &str, gain: f64| Verdict {
            decision: decision.into(),
            why: "It is so.".into(),
            gain,
            gain_ci95: [gain - 0.05, gain + 0.05],
        };
        let wide = Calibrated::of(&[0.3, 3.0, 0.2, 0.1]).expect("four scores");
        let kept = wide.verdict(verdict("GO", 0.2));
        assert!(kept.decision == "GO" && (kept.gain_ci95[0] - 0.05).abs() < 1e-12, "{kept:?}");
        let taken = wide.verdict(verdict("GO", 0.1));
        assert_eq!(taken.decision, "ABSTAIN");
        assert_eq!(
            taken.why,
            "The imagined gain in return of +0.100 cannot be told from zero once its interval is 3.00 times as wide, \
             [-0.050, +0.250], as 4 policies with known outcomes ask for (so few promise 80 %, not 95 %, which takes 19)."
        );
        assert_eq!(wide.verdict(verdict("NO-GO", -0.1)).decision, "ABSTAIN");
        let guessing = wide.verdict(verdict("ABSTAIN", 0.9));
        assert_eq!(
            (guessing.decision.as_str(), guessing.why.as_str()),
            ("ABSTAIN", "It is so."),
            "it had another reason"
        );
        let one = Calibrated::of(&[1000.0]).expect("a score").verdict(verdict("GO", 0.1));
        let why = "It is so. It is not calibrated: that takes 4 other policies with known returns, and there is 1.";
        assert_eq!((one.decision.as_str(), one.why.as_str()), ("GO", why), "one policy decides nothing");
        assert_eq!(one.gain_ci95, verdict("GO", 0.1).gain_ci95);
    }

    #[test]
    fn the_next_policy_is_inside_as_often_as_promised() {
        // Imagination's intervals are too narrow by a factor that the known policies have to find out.
        let mut rng = noise::generator(0, "conformal-test", 0);
        for n in [5, 19, 40] {
            let series = 2000;
            let mut inside = 0usize;
            let mut level = 0.0;
            for _ in 0..series {
                let mut score = || {
                    let (sd, error): (f64, f64) = (0.5 + rng.random::<f64>(), rng.sample(StandardNormal));
                    residual(0.0, [-sd, sd], 2.0 * sd * error, 0.0)
                };
                let known: Vec<f64> = (0..n).map(|_| score()).collect();
                let calibrated = Calibrated::of(&known).expect("there are scores");
                inside += usize::from(score() <= calibrated.factor);
                level = calibrated.level;
            }
            let share = inside as f64 / f64::from(series);
            // Two standard errors below what is promised; not far above either.
            assert!(share > level - 0.02 && share < level + 0.05, "{n} policies: {share} for {level}");
        }
    }
}
