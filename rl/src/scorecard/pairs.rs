//! What the gate would have said of pairs of policies whose outcomes are known, and what the choice by imagination was worth.

use serde::{Deserialize, Serialize};
use world_model::agreement::mean;

use crate::TrackRecord;
use crate::conformal::Calibrated;
use crate::evaluate::{PerStart, gate, paired};
use crate::members::Column;
use crate::track_record;

/// What is known of one policy's mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known<'a> {
    /// The mean.
    pub mean: f64,
    /// Its standard error; 0 where nobody told, or trials never differed.
    pub se: f64,
    /// What it is the mean of, paired over policies by position; empty where only the mean was told.
    pub trials: &'a [f32],
}

impl<'a> Known<'a> {
    /// From outcomes of trials.
    pub fn of(trials: &'a [f32], ci95: [f64; 2]) -> Self {
        Self { mean: mean(trials.iter().copied()), se: (ci95[1] - ci95[0]) / super::CI95_IN_SE, trials }
    }

    /// Whether it is known how exactly it is known.
    fn is_measured(&self) -> bool {
        !self.trials.is_empty() || self.se > 0.0
    }

    /// How much more it is than another, with its 95 % interval: paired where trials allow it.
    pub fn minus(&self, other: &Self, resamples: usize, seed: u64) -> (f64, [f64; 2]) {
        if !self.trials.is_empty() && self.trials.len() == other.trials.len() {
            return paired(self.trials, other.trials, resamples, seed);
        }
        let (difference, room) = (self.mean - other.mean, super::CI95_IN_SE / 2.0 * self.se.hypot(other.se));
        (difference, [difference - room, difference + room])
    }
}

/// A policy of which something is known.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its name.
    pub name: &'a str,
    /// As imagined.
    pub imagined: &'a PerStart,
    /// It was imagined once from every start, so that it can be compared start by start.
    pub is_paired: bool,
    /// Known return.
    pub value: Option<Known<'a>>,
    /// Known success.
    pub success: Option<Known<'a>>,
    /// How many times as wide the imagined interval of its return must be to hold the known one; see [`crate::conformal::residual`].
    pub residual: Option<f64>,
}

impl<'a> Subject<'a> {
    /// Its imagined returns, or successes.
    fn outcomes(&self, is_of_return: bool) -> Column<'a> {
        if is_of_return { self.imagined.returns() } else { self.imagined.successes() }
    }

    /// What is known of its return, or of its success.
    fn known(&self, is_of_return: bool) -> Option<Known<'a>> {
        if is_of_return { self.value } else { self.success }
    }

    /// The known gain over another, by return, or by success where no return is known, and whether both are measured.
    fn gain(&self, over: &Self, resamples: usize, seed: u64) -> Option<(f64, [f64; 2], bool)> {
        let by = |is_of_return| {
            let (own, other) = (self.known(is_of_return)?, over.known(is_of_return)?);
            let (gain, ci95) = own.minus(&other, resamples, seed);
            Some((gain, ci95, own.is_measured() && other.is_measured()))
        };
        by(true).or_else(|| by(false))
    }
}

/// What all known policies but the named ones say of intervals.
pub fn calibrated(subjects: &[Subject<'_>], without: &[&str]) -> Option<Calibrated> {
    let others = subjects.iter().filter(|subject| !without.contains(&subject.name));
    Calibrated::of(&others.filter_map(|subject| subject.residual).collect::<Vec<_>>())
}

/// What the gate would have said of replacing one policy by another, over all pairs, beside what is known of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Decisions {
    /// Pairs of policies.
    pub pairs: usize,
    /// Pairs of which the gate says GO to one in place of the other.
    pub decided: usize,
    /// Pairs of which it says nothing.
    pub abstained: usize,
    /// False GO: of those decided, pairs whose preferred policy has no higher known return (success, where no return is known).
    pub contradicted: usize,
    /// Of these, pairs whose 95 % interval of the known difference leaves no doubt about it.
    pub refuted: usize,
    /// Pairs of which a known outcome was told without its error, so that nothing about them is beyond doubt.
    pub unmeasured: usize,
    /// Pairs whose known success differs by more than [`CLEAR`].
    pub clear: usize,
    /// Of these, pairs of which the gate prefers none.
    pub clear_undecided: usize,
    /// Pairs whose known returns are told.
    pub gains: usize,
    /// Of these, pairs whose known difference lies in the gate's interval of the gain.
    pub gains_inside: usize,
}

/// Difference of success above which a judge should have an opinion.
pub const CLEAR: f64 = 0.2;

impl Decisions {
    /// Every pair of policies of which the same is known: as the gate decides, and as it does once its intervals are widened by what the
    /// other known policies ask for.
    pub fn of(subjects: &[Subject<'_>], record: Option<&TrackRecord>, resamples: usize, seed: u64) -> [Self; 2] {
        let mut all = [Self::default(); 2];
        let paired: Vec<&Subject<'_>> = subjects.iter().filter(|subject| subject.is_paired).collect();
        for (i, a) in paired.iter().enumerate() {
            for b in &paired[i + 1..] {
                let Some((known, ci95, is_measured)) = a.gain(b, resamples, seed) else { continue };
                let plain = gate(a.imagined, b.imagined, record, resamples, seed);
                let widened = match calibrated(subjects, &[a.name, b.name]) {
                    Some(calibrated) => calibrated.verdict(plain.clone()),
                    None => plain.clone(),
                };
                let clear = a.success.zip(b.success).is_some_and(|(a, b)| (a.mean - b.mean).abs() > CLEAR);
                let is_of_returns = a.value.is_some() && b.value.is_some();
                for (all, verdict) in all.iter_mut().zip([plain, widened]) {
                    let decided = verdict.decision != "ABSTAIN";
                    // As seen from the preferred policy.
                    let (gain, above) = if verdict.decision == "GO" { (known, ci95[1]) } else { (-known, -ci95[0]) };
                    let inside = (verdict.gain_ci95[0]..=verdict.gain_ci95[1]).contains(&known);
                    all.pairs += 1;
                    all.decided += usize::from(decided);
                    all.abstained += usize::from(!decided);
                    all.contradicted += usize::from(decided && gain <= 0.0);
                    all.refuted += usize::from(decided && is_measured && above < 0.0);
                    all.unmeasured += usize::from(!is_measured);
                    all.clear += usize::from(clear);
                    all.clear_undecided += usize::from(clear && !decided);
                    all.gains += usize::from(is_of_returns);
                    all.gains_inside += usize::from(is_of_returns && inside);
                }
            }
        }
        all
    }
}

/// The exploitability gap: what imagination promises of the policy that it would choose, beside what is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exploitability {
    /// The known policy that is imagined best.
    pub policy: String,
    /// What it is compared with.
    pub baseline: String,
    /// `return`, or `success` where no return is known.
    pub by: String,
    /// Imagined gain over the baseline, paired.
    pub imagined_gain: f64,
    /// Known gain.
    pub known_gain: f64,
    /// Imagined less known gain: above zero, choosing by imagination finds its mistakes.
    pub gap: f64,
    /// Its 95 % interval, over starts, the model's record and known trials.
    pub gap_ci95: [f64; 2],
}

impl Exploitability {
    /// Over the policies that were imagined once from every start and of which a return (or else a success) is known, against `baseline` if that is one of them and another was chosen, or else
    /// against the first other one; `None` with fewer than two.
    pub fn of(
        subjects: &[Subject<'_>],
        baseline: &str,
        record: Option<[&TrackRecord; 2]>,
        resamples: usize,
        seed: u64,
    ) -> Option<Self> {
        let subjects = || subjects.iter().filter(|s| s.is_paired);
        let has_returns = subjects().filter(|s| s.value.is_some()).count() > 1;
        let imagined = |s: &Subject<'_>| mean(s.outcomes(has_returns).values.iter().copied());
        let of_known: Vec<&Subject<'_>> = subjects().filter(|s| s.known(has_returns).is_some()).collect();
        let chosen = *of_known.iter().max_by(|a, b| imagined(a).total_cmp(&imagined(b)))?;
        let others = || of_known.iter().filter(|s| s.name != chosen.name);
        let over = *others().find(|s| s.name == baseline).or_else(|| others().next())?;
        let (a, b) = (chosen.outcomes(has_returns), over.outcomes(has_returns));
        let record = record.map(|record| record[usize::from(!has_returns)]);
        let (imagined_gain, imagined_ci95) = track_record::difference(a, b, record, resamples, seed);
        let (known_gain, known_ci95) = chosen.known(has_returns)?.minus(&over.known(has_returns)?, resamples, seed);
        let gap = imagined_gain - known_gain;
        let low = (imagined_gain - imagined_ci95[0]).hypot(known_ci95[1] - known_gain);
        let high = (imagined_ci95[1] - imagined_gain).hypot(known_gain - known_ci95[0]);
        Some(Self {
            policy: chosen.name.to_owned(),
            baseline: over.name.to_owned(),
            by: if has_returns { "return" } else { "success" }.to_owned(),
            imagined_gain,
            known_gain,
            gap,
            gap_ci95: [gap - low, gap + high],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(value: f32) -> PerStart {
        PerStart {
            value: (0..30).map(|i| value + 0.01 * (i % 3) as f32).collect(),
            success: vec![0.5; 30],
            unsupported: vec![0.0; 30],
            believed: vec![10.0; 30],
            ..PerStart::default()
        }
    }

    fn subject<'a>(name: &'a str, imagined: &'a PerStart, trials: &'a [f32]) -> Subject<'a> {
        let known = Some(Known::of(trials, [0.0; 2]));
        Subject { name, imagined, is_paired: true, value: known, success: known, residual: None }
    }

    #[test]
    fn decisions_by_hand_right_wrong_and_undecided() {
        let (low, high, guessed) = (policy(0.1), policy(0.5), PerStart { unsupported: vec![0.9; 30], ..policy(0.3) });
        let known = |x: f32| (0..40).map(|i| x + 0.01 * (i % 2) as f32).collect::<Vec<f32>>();
        let (best, worst, middle) = (known(0.9), known(0.1), known(0.5));
        // Imagination has `high` above `low`, and is guessing about the third, which it takes for better than `low`.
        let right = [subject("low", &low, &worst), subject("high", &high, &best), subject("third", &guessed, &middle)];
        let expected = Decisions {
            pairs: 3,
            decided: 2,
            abstained: 1,
            contradicted: 0,
            refuted: 0,
            unmeasured: 0,
            clear: 3,
            clear_undecided: 1,
            gains: 3,
            gains_inside: 0,
        };
        assert_eq!(Decisions::of(&right, None, 200, 0), [expected; 2]);
        let wrong = [subject("low", &low, &best), subject("high", &high, &worst), subject("third", &guessed, &middle)];
        assert_eq!(Decisions::of(&wrong, None, 200, 0)[0], Decisions { contradicted: 2, refuted: 2, ..expected });
        let tied = [subject("low", &low, &best), subject("high", &high, &best)];
        let said = Decisions::of(&tied, None, 200, 0)[0];
        assert_eq!((said.decided, said.contradicted, said.refuted), (1, 1, 0), "no gain is no reason to go");
    }

    #[test]
    fn the_others_widen_a_pair_and_its_own_policies_do_not() {
        let (low, third, more) = (policy(0.4), policy(0.9), policy(1.5));
        // Better by 0.1 give or take: an interval that can be widened.
        let high = PerStart { value: (0..30).map(|i| 0.5 + 0.02 * (i % 2) as f32).collect(), ..policy(0.5) };
        let trials = [0.5f32; 10];
        let with = |residual_of_third: f64| {
            let of =
                |name, imagined, residual| Subject { residual: Some(residual), ..subject(name, imagined, &trials) };
            let mut subjects =
                vec![of("low", &low, 0.5), of("high", &high, 0.5), of("third", &third, residual_of_third)];
            // Known, and not comparable: they calibrate and are no pair.
            let others = ["a", "b", "c"].map(|name| Subject { is_paired: false, ..of(name, &more, 0.5) });
            subjects.extend(others);
            Decisions::of(&subjects, None, 200, 0).map(|d| (d.pairs, d.decided))
        };
        assert_eq!(with(0.5), [(3, 3), (3, 3)]);
        assert_eq!(with(1000.0), [(3, 3), (3, 2)], "of low and high alone it has something to say");
    }

    #[test]
    fn means_without_their_errors_put_nothing_beyond_doubt() {
        let (low, high) = (policy(0.1), policy(0.5));
        let told = |mean: f64, se: f64| Some(Known { mean, se, trials: &[] });
        let of = |name, imagined, value| Subject { value, success: None, ..subject(name, imagined, &[]) };
        let said = |se: [f64; 2]| {
            let wrong = [of("low", &low, told(0.9, se[0])), of("high", &high, told(0.1, se[1]))];
            let [d, _] = Decisions::of(&wrong, None, 200, 0);
            (d.contradicted, d.refuted, d.unmeasured)
        };
        assert_eq!(said([0.0, 0.0]), (1, 0, 1));
        assert_eq!(said([0.1, 0.0]), (1, 0, 1), "one side alone tells nothing");
        assert_eq!(said([0.1, 0.1]), (1, 1, 0), "0.8 is more than 1.96·0.14");
        assert_eq!(said([0.4, 0.4]), (1, 0, 0));
    }

    #[test]
    fn means_alone_are_compared_by_their_standard_errors() {
        let told = |mean: f64, se: f64| Known { mean, se, trials: &[] };
        let (gain, [low, high]) = told(0.7, 0.03).minus(&told(0.4, 0.04), 100, 0);
        assert!((gain - 0.3).abs() < 1e-12 && (low - (0.3 - 0.098)).abs() < 1e-9 && (high - 0.398).abs() < 1e-9);
    }

    #[test]
    fn the_gap_by_hand() {
        let (cloned, improved, other, better) = (policy(0.4), policy(0.7), policy(0.6), policy(0.9));
        let trials = |x: f32| vec![x; 10];
        let (a, b, c) = (trials(0.35), trials(0.45), trials(0.5));
        let subjects =
            [subject("other", &other, &c), subject("cloned", &cloned, &a), subject("improved", &improved, &b)];
        let gap = Exploitability::of(&subjects, "cloned", None, 200, 0).expect("three are known");
        assert_eq!((gap.policy.as_str(), gap.baseline.as_str(), gap.by.as_str()), ("improved", "cloned", "return"));
        assert!((gap.imagined_gain - 0.3).abs() < 1e-6 && (gap.known_gain - 0.1).abs() < 1e-6, "{gap:?}");
        assert!((gap.gap - 0.2).abs() < 1e-6 && gap.gap_ci95[0] <= gap.gap && gap.gap <= gap.gap_ci95[1]);
        assert_eq!(Exploitability::of(&subjects[1..2], "cloned", None, 200, 0), None);
        let first = Exploitability::of(&[subjects[0], subjects[2]], "cloned", None, 200, 0).expect("two are known");
        assert_eq!(first.baseline, "other");
        let log = Subject { is_paired: false, ..subject("log", &better, &b) };
        let gap = Exploitability::of(&[&subjects[..], &[log]].concat(), "cloned", None, 200, 0);
        assert_eq!(gap.expect("three can be compared").policy, "improved", "other starts compare with nothing");
    }
}
