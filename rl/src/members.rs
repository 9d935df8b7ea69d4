//! Intervals that know where the members of the world model, each of them possible, disagree about an outcome.
//!
//! A policy is imagined once more under every member alone, which drives all steps from a start (TS∞ of PETS; Chua et al. 2018,
//! [arXiv:1805.12114](https://arxiv.org/abs/1805.12114), sec. 5.1), from the same starts; where all of them are asked, under the same noise. Each is a world that the
//! recordings allow; all together, step by step, they are a smoother one than any of them, in which robots stand that fall in most. What is
//! expected is therefore the mean over worlds (docs/LOG.md, 2026-11-27). With `V_ki` the outcome of start `i` under member `k`,
//! ```text
//! V_i = mean_k V_ki,     d_k = mean_i (V_ki - V_i),     k drawn with replacement
//! ```
//! joins each bootstrap draw of the mean over starts; the interval is as wide as without them at least. One member is drawn, not `K` of
//! them averaged: any of them may be the truth, their mean is no likelier than they are.
//!
//! What all members have learned alike, wrong as it may be, they do not tell: for that there is the [`track_record`](crate::track_record).

use rand::RngExt;
use rand::rngs::StdRng;
use world_model::agreement::mean;

use crate::evaluate::PerStart;

/// By how much every member alone sees an outcome above what they see on average: per member, then per start; of some starts only where
/// asking is dear. Then, of these starts, by how much what they see on average is above what all see together: the other starts are taken to
/// move by its mean, which is as uncertain as a mean of so few is. Empty where all starts were asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Members(pub(crate) Vec<Vec<f32>>, pub(crate) Vec<f32>);

/// No members.
static NONE: Members = Members(Vec::new(), Vec::new());

/// One column of outcomes, per start, and what the members make of it.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    /// The outcome per start.
    pub values: &'a [f32],
    /// What each member alone makes of it.
    pub members: &'a Members,
}

impl<'a> From<&'a [f32]> for Column<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self { values, members: &NONE }
    }
}

impl Members {
    /// From outcomes under each member alone and `on_average`, from the same starts.
    pub fn of<'a>(alone: impl Iterator<Item = &'a [f32]>, on_average: &[f32]) -> Self {
        Self(alone.map(|own| own.iter().zip(on_average).map(|(own, all)| own - all).collect()).collect(), Vec::new())
    }

    /// Members `K` that were asked; 0 where none was.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None was asked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Starts of which they were asked.
    pub fn starts(&self) -> usize {
        self.0.first().map_or(0, Vec::len)
    }

    /// `d_k`, mean over starts; none where no start is left.
    pub fn above(&self) -> Vec<f64> {
        if self.starts() == 0 { Vec::new() } else { self.0.iter().map(|own| mean(own.iter().copied())).collect() }
    }

    /// `mean_k d_ki` of every start that they were asked of.
    fn per_start(&self) -> Vec<f32> {
        let over = |i: usize| self.0.iter().map(|own| own[i]).sum::<f32>() / self.len() as f32;
        (0..self.starts()).map(over).collect()
    }

    /// The same of the difference of two outcomes, paired by member and start.
    pub fn minus(&self, other: &Self) -> Self {
        let own = self.0.iter().zip(&other.0);
        let apart = own.map(|(a, b)| a.iter().zip(b).map(|(a, b)| a - b).collect()).collect();
        let moved = match (self.1.as_slice(), other.1.as_slice()) {
            (own, []) => own.to_vec(),
            ([], other) => other.iter().map(|b| -b).collect(),
            (own, other) => own.iter().zip(other).map(|(a, b)| a - b).collect(),
        };
        Self(apart, moved)
    }

    /// By how much the mean over `starts` may be wrong because some of them were moved by the mean of others.
    pub(crate) fn draw_moved(&self, starts: usize, rng: &mut StdRng) -> f64 {
        let asked = self.1.len();
        if asked < 2 || asked >= starts {
            return 0.0;
        }
        let drawn = mean((0..asked).map(|_| self.1[rng.random_range(0..asked)]));
        (1.0 - asked as f64 / starts as f64) * (drawn - mean(self.1.iter().copied()))
    }

    /// Members to whom an outcome that is `all` on average has the other sign.
    pub fn against(&self, all: f64) -> usize {
        self.above().iter().filter(|above| (all + **above) * all < 0.0).count()
    }

    /// How much two policies share of the model's errors, 0 to 1: the correlation of `V_ki - V_i` of one and of the other over members and starts,
    /// 0 where it is negative, where fewer than two members were asked, and where all agree about one of them.
    pub(crate) fn shared(&self, other: &Self) -> f64 {
        let pairs = self.0.iter().zip(&other.0).flat_map(|(a, b)| a.iter().zip(b));
        let [ab, aa, bb] = pairs.fold([0.0; 3], |[ab, aa, bb], (a, b)| {
            let [a, b] = [a, b].map(|x| f64::from(*x));
            [ab + a * b, aa + a * a, bb + b * b]
        });
        let correlation = ab / (aa * bb).sqrt();
        if self.len() < 2 || !correlation.is_finite() { 0.0 } else { correlation.clamp(0.0, 1.0) }
    }

    /// The errors to draw from: `d_k`; none where fewer than two members were asked.
    pub(crate) fn errors(&self) -> Vec<f64> {
        if self.len() < 2 { Vec::new() } else { self.above() }
    }
}

impl PerStart {
    /// Returns, and what the members make of them.
    pub fn returns(&self) -> Column<'_> {
        Column { values: &self.value, members: &self.members[0] }
    }

    /// Successes, and what the members make of them.
    pub fn successes(&self) -> Column<'_> {
        Column { values: &self.success, members: &self.members[1] }
    }

    /// Undiscounted returns, and what the members make of them.
    pub fn earned(&self) -> Column<'_> {
        Column { values: &self.undiscounted, members: &self.members[2] }
    }

    /// What it is on average over the members `alone`, and by how much each is away from that: from the same starts in their order as it is
    /// to all of them `self` together, or from the first of them, where the others move as these do on average.
    pub fn among(self, alone: &[Self]) -> Self {
        let averaged = |together: Vec<f32>, column: fn(&Self) -> &[f32]| {
            let per_start = Members::of(alone.iter().map(column), &together).per_start();
            let others = if per_start.is_empty() { 0.0 } else { mean(per_start.iter().copied()) as f32 };
            let moved = per_start.iter().copied().chain(std::iter::repeat(others));
            let values: Vec<f32> = together.into_iter().zip(moved).map(|(all, by)| all + by).collect();
            let apart = Members::of(alone.iter().map(column), &values);
            let few = if per_start.len() < values.len() { per_start } else { Vec::new() };
            (Members(apart.0, few), values)
        };
        let (returns, value) = averaged(self.value, |own| &own.value);
        let (successes, mut success) = averaged(self.success, |own| &own.success);
        // A start that moves as others do is a probability still, and a time.
        success.iter_mut().for_each(|p| *p = p.clamp(0.0, 1.0));
        let (earned, undiscounted) = averaged(self.undiscounted, |own| &own.undiscounted);
        let (_, mut failure) = averaged(self.failure, |own| &own.failure);
        failure.iter_mut().for_each(|p| *p = p.clamp(0.0, 1.0));
        let (_, mut success_step) = averaged(self.success_step, |own| &own.success_step);
        success_step.iter_mut().for_each(|step| *step = step.max(0.0));
        Self { value, success, undiscounted, success_step, failure, members: [returns, successes, earned], ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TrackRecord;
    use crate::evaluate::{estimate, gate};
    use crate::track_record::difference;

    /// 40 starts around `value`; each member sees all of them so much above it.
    fn seen(value: f32, above: &[f32]) -> PerStart {
        let value: Vec<f32> = (0..40).map(|i| value + 0.01 * (i % 5) as f32).collect();
        let members = Members(above.iter().map(|&above| vec![above; 40]).collect(), Vec::new());
        PerStart {
            success: vec![0.5; 40],
            unsupported: vec![0.0; 40],
            members: [members.clone(), members.clone(), members],
            value,
            ..PerStart::default()
        }
    }

    #[test]
    fn what_members_say_by_hand() {
        let together = [0.5, 0.7];
        let alone: [&[f32]; 3] = [&[0.6, 0.6], &[0.5, 0.3], &[0.7, 0.9]];
        let members = Members::of(alone.into_iter(), &together);
        let close = |found: &[f64], expected: &[f64]| {
            assert_eq!(found.len(), expected.len());
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}, not {expected:?}");
        };
        close(&members.above(), &[0.0, -0.2, 0.2]);
        close(&members.errors(), &[0.0, -0.2, 0.2]);
        assert_eq!([0.1, 0.3, -0.1, 0.0].map(|all| members.against(all)), [1, 0, 1, 0]);
        close(&members.minus(&members).above(), &[0.0; 3]);
        assert_eq!((members.len(), members.starts(), Members::default().starts()), (3, 2, 0));
        close(&Members(vec![vec![0.3; 4]], Vec::new()).errors(), &[]);
        close(&Members(vec![Vec::new(); 3], Vec::new()).errors(), &[]);
    }

    #[test]
    fn what_is_expected_is_the_mean_over_members_by_hand() {
        let of =
            |value: &[f32]| PerStart { value: value.to_vec(), success: vec![0.0; value.len()], ..PerStart::default() };
        let together = of(&[0.9, 0.8, 0.7]);
        assert_eq!(together.clone().among(&[]), together);
        let close = |found: &[f32], expected: &[f32]| {
            assert_eq!(found.len(), expected.len());
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}, not {expected:?}");
        };
        let all = together.clone().among(&[of(&[0.2, 0.6, 0.4]), of(&[0.4, 0.2, 0.6])]);
        close(&all.value, &[0.3, 0.4, 0.5]);
        close(&all.members[0].0[0], &[-0.1, 0.2, -0.1]);
        // Of the first two starts alone: 0.6 and 0.2 below, the third moves by 0.4.
        let few = together.among(&[of(&[0.2, 0.7]), of(&[0.4, 0.5])]);
        close(&few.value, &[0.3, 0.6, 0.3]);
        close(&few.members[0].0[1], &[0.1, -0.1]);
        // By success the third would be at 1.2.
        let of = |success: &[f32]| PerStart {
            success: success.to_vec(),
            value: vec![0.0; success.len()],
            ..PerStart::default()
        };
        close(&of(&[0.5, 0.5, 0.9]).among(&[of(&[0.7, 0.9])]).success, &[0.7, 0.9, 1.0]);
    }

    #[test]
    fn starts_that_were_moved_by_the_mean_of_a_few_are_as_uncertain_as_it_is() {
        let of = |value: Vec<f32>| PerStart { success: vec![0.0; value.len()], value, ..PerStart::default() };
        // All 40 starts are at 0.5 together; two members see the first 8 of them at ±0.4 of it, both alike.
        let few: Vec<f32> = (0..8).map(|i| 0.5 + [0.4, -0.4][i % 2]).collect();
        let asked = of(vec![0.5; 40]).among(&[of(few.clone()), of(few)]);
        assert_eq!((asked.members[0].1.len(), asked.members[0].starts()), (8, 8));
        let width = |outcome: &PerStart| {
            let [low, high] = estimate(outcome, None, 4000, 0).return_ci95;
            high - low
        };
        // The mean of 8 draws of ±0.4 deviates by 0.4/√8 = 0.14, that of the starts by 0.4·√0.2/√40 = 0.03.
        let expected = 2.0 * 1.96 * (0.8f64.powi(2) * 0.02 + 0.0008).sqrt();
        assert!((width(&asked) / expected - 1.0).abs() < 0.1, "{}, not {expected}", width(&asked));
        // Beside a policy that was asked everywhere, and one that moves alike.
        let plain = of(vec![0.4; 40]).among(&[of(vec![0.4; 40]), of(vec![0.4; 40])]);
        let gain = |a: &PerStart, b: &PerStart| {
            let (_, [low, high]) = difference(a.returns(), b.returns(), None, 4000, 0);
            high - low
        };
        for width in [gain(&asked, &plain), gain(&plain, &asked)] {
            assert!((width / expected - 1.0).abs() < 0.1, "{width}, not {expected}");
        }
        assert!(gain(&asked, &asked) < 1e-6);
    }

    #[test]
    fn members_that_agree_widen_nothing_and_others_by_as_much_as_they_disagree() {
        let of = |above: &[f32]| estimate(&seen(0.5, above), None, 4000, 0).return_ci95;
        let width = |[low, high]: [f64; 2]| high - low;
        let plain = of(&[]);
        assert!((width(of(&[0.0; 5])) - width(plain)).abs() < 0.1 * width(plain));
        // Far apart beside the starts: from the lowest to the highest of five.
        let [low, high] = of(&[-0.2, -0.1, 0.0, 0.1, 0.2]);
        assert!((0.52 - 0.2 - low).abs() < 0.01 && (high - 0.52 - 0.2).abs() < 0.01, "{low} {high}");
        // Two see much more: to that side alone.
        let [low, high] = of(&[1.5, 1.5, 0.0, 0.0, 0.0]);
        assert!((low - plain[0]).abs() < 0.01 && (high - 0.52 - 1.5).abs() < 0.01, "{low} {high}");
        // All of them see less than all together do: to that side alone.
        let [low, high] = of(&[-0.3; 4]);
        assert!((low + 0.3 - plain[0]).abs() < 1e-3 && (high - plain[1]).abs() < 1e-3, "{low} {high}, {plain:?}");
    }

    #[test]
    fn what_two_policies_share_of_the_models_errors_by_hand() {
        let of = |rows: &[&[f32]]| Members(rows.iter().map(|row| row.to_vec()).collect(), Vec::new());
        let a = of(&[&[0.2, -0.1], &[0.0, 0.1]]);
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
        close(a.shared(&a), 1.0);
        // 0.04 - 0.01 of the roots of 0.06 and 0.06.
        close(a.shared(&of(&[&[0.2, 0.1], &[0.1, 0.0]])), 0.5);
        close(a.shared(&of(&[&[-0.2, 0.1], &[0.0, -0.1]])), 0.0);
        close(a.shared(&of(&[&[0.0; 2], &[0.0; 2]])), 0.0);
        close(of(&[&[0.2, 0.1]]).shared(&of(&[&[0.2, 0.1]])), 0.0);
        close(Members::default().shared(&Members::default()), 0.0);
    }

    #[test]
    fn errors_that_two_policies_share_do_not_widen_the_interval_of_their_difference() {
        let imagined: Vec<f32> = (0..40).map(|i| 0.5 + 0.001 * i as f32).collect();
        let recorded = imagined.iter().enumerate().map(|(i, x)| x + [0.2, -0.2][i % 2]).collect();
        let record = TrackRecord { imagined, recorded };
        let of = |members: [&[f32]; 2]| {
            let values = [0.52f32; 20];
            let [a, b] = members.map(|above| Members(above.iter().map(|&above| vec![above; 20]).collect(), Vec::new()));
            let column = |members| Column { values: &values, members };
            let (_, [low, high]) = difference(column(&a), column(&b), Some(&record), 4000, 0);
            high - low
        };
        // Members that see both alike widen nothing; those that see them apart by a thousandth hardly anything.
        let [alike, half, apart] = [
            [&[0.001, -0.001][..], &[0.001, -0.001]],
            [&[0.001, 0.0], &[0.001, 0.00173]],
            [&[0.001, -0.001], &[-0.001, 0.001]],
        ]
        .map(of);
        assert!(alike < 1e-6 && (half / apart - 0.5f64.sqrt()).abs() < 0.05, "{alike} {half} {apart}");
    }

    #[test]
    fn a_gain_that_all_members_see_alike_is_sure_however_much_they_disagree_about_either() {
        let above = [-0.3, 0.0, 0.3];
        let (a, b) = (seen(0.6, &above), seen(0.5, &above));
        let gain = |a: &PerStart, b: &PerStart| difference(a.returns(), b.returns(), None, 2000, 0);
        let (mean, [low, high]) = gain(&a, &b);
        assert!((mean - 0.1).abs() < 1e-6 && high - low < 1e-6, "paired: {mean} [{low}, {high}]");
        let (_, [low, high]) = gain(&a, &seen(0.5, &[0.3, 0.0, -0.3]));
        assert!((low + 0.5).abs() < 1e-6 && (high - 0.7).abs() < 1e-6, "[{low}, {high}]");
    }

    #[test]
    fn the_gate_abstains_where_members_disagree_about_the_sign() {
        let verdict = |above: &[f32]| gate(&seen(0.6, above), &seen(0.5, &[0.0; 4]), None, 500, 0);
        assert_eq!(verdict(&[0.01, 0.0, -0.01, 0.0]).decision, "GO");
        let split = verdict(&[0.3, 0.1, -0.15, 0.2]);
        assert_eq!(split.decision, "ABSTAIN");
        assert_eq!(
            split.why,
            "The members of the world model disagree: to 1 of 4 alone the policy that seems better is the worse one."
        );
        let worse = gate(&seen(0.3, &[0.0; 4]), &seen(0.5, &[0.0; 4]), Some(&TrackRecord::default()), 500, 0);
        assert_eq!(worse.decision, "NO-GO");
    }
}
