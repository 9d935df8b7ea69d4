//! What came of every start: sums over imagined steps, averaged over the draws of noise.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use rand::RngExt;
use rollouts::Imagined;
use rollouts::score::{believed, believed_outcome, outcome};
use world_model::agreement::mean;
use world_model::corpus::ReturnRule;
use world_model::trust::Limits;
use world_model::vision::floats;
use world_model::{Prediction, noise};

use crate::critic::Critic;
use crate::members::Members;
use crate::track_record::middle_95;

/// How far what is imagined is believed, and what stands for the rest.
#[derive(Clone, Copy)]
pub struct Belief<'a> {
    /// Disagreement and doubt that held-out data itself have.
    pub limits: Limits,
    /// Values of the recorded behaviour, which nobody can call a dream; `None` where they are not asked.
    pub values: Option<&'a Critic>,
}

impl From<Limits> for Belief<'_> {
    fn from(limits: Limits) -> Self {
        Self { limits, values: None }
    }
}

/// Outcome per start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PerStart {
    /// Discounted return.
    pub value: Vec<f32>,
    /// Probability of success.
    pub success: Vec<f32>,
    /// Share of imagined steps beyond the held-out 95th percentile of disagreement, of those before the end alone: `Σ_k m_k b_k / Σ_k m_k`.
    pub unsupported: Vec<f32>,
    /// Steps before the trust horizon; empty where imagination is set back onto the recording.
    pub believed: Vec<f32>,
    /// Undiscounted return: `Σ_k m_k r_k` over the horizon, with `m_k` the probability that nothing has ended before step `k`.
    pub undiscounted: Vec<f32>,
    /// `Σ_k (k+1) m_k p_k`: divided by the probability of success, the mean step at which it comes, the first being 1.
    pub success_step: Vec<f32>,
    /// Probability that it ends within the horizon without success.
    pub failure: Vec<f32>,
    /// Discounted return of the steps before the trust horizon, and from there on the value of going on as recorded; empty where that
    /// was not asked.
    pub believed_value: Vec<f32>,
    /// What each member of the world model alone makes of return, success and undiscounted return; empty where they were not asked.
    pub members: [Members; 3],
}

impl PerStart {
    /// Every column through `of`.
    fn map(&self, of: impl Fn(&[f32]) -> Vec<f32>) -> Self {
        let members = |members: &Members| Members(members.0.iter().map(|own| of(own)).collect(), of(&members.1));
        Self {
            value: of(&self.value),
            success: of(&self.success),
            unsupported: of(&self.unsupported),
            believed: of(&self.believed),
            undiscounted: of(&self.undiscounted),
            success_step: of(&self.success_step),
            failure: of(&self.failure),
            believed_value: of(&self.believed_value),
            members: self.members.each_ref().map(members),
        }
    }

    /// The outcomes at these positions, in their order.
    pub fn only(&self, positions: &[usize]) -> Self {
        self.map(|values| positions.iter().filter_map(|&i| values.get(i).copied()).collect())
    }

    /// The mean outcome per start, where `at` says which start each outcome is of: the distinct starts, ascending, and their outcomes. What
    /// begins at one start says nothing of others, however often it does.
    pub fn by_start(&self, at: &[usize]) -> (Vec<usize>, Self) {
        let mut rows: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        at.iter().enumerate().for_each(|(row, &start)| rows.entry(start).or_default().push(row));
        let outcomes = self.map(|values| match values.is_empty() {
            true => Vec::new(),
            false => rows.values().map(|own| own.iter().map(|&i| values[i]).sum::<f32>() / own.len() as f32).collect(),
        });
        (rows.into_keys().collect(), outcomes)
    }
}

/// Sums up `samples` neighbouring rows per start. Beyond the horizon the last reward is held: the same rule as for a real episode that was cut off.
pub(super) fn per_start(imagined: &Imagined, rule: &ReturnRule, samples: usize, belief: Belief<'_>) -> PerStart {
    let limits = belief.limits;
    let Some(last) = imagined.predictions.last() else {
        return PerStart::default();
    };
    let end = last.reward.clone().clamp(rule.low, rule.high);
    let result = outcome(&imagined.predictions, rule, end);
    let believed = believed(&imagined.predictions, last.doubt.zeros_like(), limits.doubt_budget);
    let believed_value = belief.values.map_or_else(Vec::new, |critic| {
        let states = std::iter::once(&imagined.start).chain(&imagined.latents);
        let values: Vec<Tensor<1>> = states.map(|latent| critic.mean(&latent.e)).collect();
        floats(believed_outcome(&imagined.predictions, rule, &values, &believed).value)
    });
    // Without a trust horizon nobody can say how long it is kept.
    let believed = if limits.doubt_budget.is_finite() { believed } else { Vec::new() };
    let believed = believed.into_iter().reduce(|a, b| a + b).map_or_else(Vec::new, floats);
    let [undiscounted, success_step, unsupported, failure] =
        while_going(&imagined.predictions, rule, limits.disagreement_95);
    let rows = PerStart {
        value: floats(result.value),
        success: floats(result.success),
        unsupported,
        believed,
        undiscounted,
        success_step,
        failure,
        believed_value,
        members: Default::default(),
    };
    rows.map(|rows| rows.chunks_exact(samples).map(|c| c.iter().sum::<f32>() / samples as f32).collect())
}

/// Per row, `Σ_k m_k r_k`, `Σ_k (k+1) m_k p_k`, the share `Σ_k m_k b_k / Σ_k m_k` of steps that disagree more than `most`, and the probability
/// `Σ_k m_k (1-p_k) f_k` of an end without success.
fn while_going(predictions: &[Prediction], rule: &ReturnRule, most: f32) -> [Vec<f32>; 4] {
    let Some(first) = predictions.first() else { return Default::default() };
    let mut going = first.success.ones_like();
    let [mut reward, mut step, mut beyond, mut steps, mut failed] = [(); 5].map(|()| going.zeros_like());
    for (k, p) in predictions.iter().enumerate() {
        reward = reward + going.clone() * p.reward.clone().clamp(rule.low, rule.high);
        step = step + going.clone() * p.success.clone() * (k + 1) as f64;
        beyond = beyond + going.clone() * p.disagreement.clone().greater_elem(most).float();
        steps = steps + going.clone();
        failed = failed + going.clone() * (p.success.clone().neg() + 1.0) * p.failure.clone();
        going = going * (p.success.clone().neg() + 1.0) * (p.failure.clone().neg() + 1.0);
    }
    [reward, step, beyond / steps, failed].map(floats)
}

pub(super) fn join(parts: Vec<PerStart>) -> PerStart {
    parts.into_iter().fold(PerStart::default(), |mut all, p| {
        all.value.extend(p.value);
        all.success.extend(p.success);
        all.unsupported.extend(p.unsupported);
        all.believed.extend(p.believed);
        all.undiscounted.extend(p.undiscounted);
        all.success_step.extend(p.success_step);
        all.failure.extend(p.failure);
        all.believed_value.extend(p.believed_value);
        all
    })
}

/// Imagined share of successes below which nothing is said of when they come.
pub const RAREST_SUCCESS: f64 = 0.05;

/// Mean step of success, given success, `Σ_i success_step_i / Σ_i success_i`, with its 95 % percentile bootstrap interval over starts;
/// `None` where success is rarer than [`RAREST_SUCCESS`] or there is one start alone.
pub fn time_to_success(outcome: &PerStart, resamples: usize, seed: u64) -> Option<(f64, [f64; 2])> {
    let n = outcome.success.len();
    if n < 2 || mean(outcome.success.iter().copied()) < RAREST_SUCCESS {
        return None;
    }
    let ratio = |of: &mut dyn FnMut(usize) -> usize| {
        let (mut steps, mut successes) = (0.0, 0.0);
        for i in (0..n).map(of) {
            steps += f64::from(outcome.success_step[i]);
            successes += f64::from(outcome.success[i]);
        }
        (successes > 1e-6).then(|| steps / successes)
    };
    let centre = ratio(&mut |i| i)?;
    let mut rng = noise::generator(seed, "time-to-success", n as u64);
    let draws = (0..resamples.max(1)).filter_map(|_| ratio(&mut |_| rng.random_range(0..n))).collect();
    let [low, high] = middle_95(draws).unwrap_or([centre; 2]);
    Some((centre, [low.min(centre), high.max(centre)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::critic::CriticConfig;
    use burn::tensor::Device;
    use world_model::Latent;

    #[test]
    fn rewards_the_step_of_success_and_unsupported_steps_by_hand() {
        let step = |reward: f32, success: f32, failure: f32, disagreement: f32| {
            let t = |v: f32| Tensor::<1>::from_floats([v], &Device::default());
            Prediction {
                reward: t(reward),
                success: t(success),
                failure: t(failure),
                disagreement: t(disagreement),
                doubt: t(0.0),
            }
        };
        let rule = ReturnRule { gamma: 0.5, success_reward: 1.0, failure_reward: 0.0, low: 0.0, high: 1.0 };
        let steps =
            [step(0.4, 0.5, 0.0, 2.0), step(2.0, 0.5, 0.2, 0.0), step(0.5, 1.0, 0.0, 0.0), step(0.0, 0.0, 0.0, 9.0)];
        let [reward, at, beyond, failed] = while_going(&steps, &rule, 1.0);
        // Going: 1, 0.5, 0.5*0.5*0.8 = 0.2. Rewards 0.4 + 0.5*1 (clamped) + 0.2*0.5; steps 1*0.5 + 2*0.25 + 3*0.2.
        assert!((reward[0] - 1.0).abs() < 1e-6, "{reward:?}");
        assert!((at[0] - 1.6).abs() < 1e-6, "{at:?}");
        // The first of 1.7 steps; nothing is left of the last, whatever it says.
        assert!((beyond[0] - 1.0 / 1.7).abs() < 1e-6, "{beyond:?}");
        // The second step's, half of whom are there, half of them without success.
        assert!((failed[0] - 0.5 * 0.5 * 0.2).abs() < 1e-6, "{failed:?}");
    }

    #[test]
    fn beyond_the_trust_horizon_the_recorded_values_stand_for_the_rest() {
        let device = Device::default();
        let rule = ReturnRule { gamma: 0.5, success_reward: 1.0, failure_reward: 0.0, low: 0.0, high: 1.0 };
        let critic = Critic::new(&CriticConfig { width: 8, ..CriticConfig::default() }, 1, &rule, &device);
        let t = |v: f32| Tensor::<1>::from_floats([v, v], &device);
        let at = |e: f32| Latent { e: Tensor::from_floats([[e], [e]], &device), h: None, z: None };
        let [reward, disagreement, doubt] = [0.8, 0.0, 1.0].map(t);
        let prediction = Prediction { reward, success: t(0.0), failure: t(0.0), disagreement, doubt };
        let imagined = Imagined {
            start: at(-1.0),
            latents: vec![at(0.5), at(2.0)],
            actions: Vec::new(),
            predictions: vec![prediction.clone(), prediction],
        };
        let value = |e: f32| floats(critic.mean(&at(e).e))[0];
        let believed = |doubt_budget: f32| {
            let belief = Belief { limits: Limits { doubt_budget, ..Limits::NONE }, values: Some(&critic) };
            per_start(&imagined, &rule, 2, belief).believed_value[0]
        };
        // Nothing, one step of 0.5·0.8, both steps: 0.4 + 0.5·0.4.
        for (budget, expected) in [(0.5, value(-1.0)), (1.5, 0.4 + 0.5 * value(0.5)), (9.0, 0.6 + 0.25 * value(2.0))] {
            let found = believed(budget);
            assert!((found - expected).abs() < 1e-5, "budget {budget}: {found}, not {expected}");
        }
        assert!(per_start(&imagined, &rule, 2, Limits::NONE.into()).believed_value.is_empty());
    }

    #[test]
    fn the_time_to_success_is_that_of_those_who_succeed() {
        let sure = |success: Vec<f32>, step: f32| PerStart {
            success_step: success.iter().map(|s| s * step).collect(),
            success,
            ..PerStart::default()
        };
        let (steps, [low, high]) = time_to_success(&sure(vec![1.0, 0.0, 0.5, 0.0], 12.0), 200, 0).expect("not rare");
        assert!((steps - 12.0).abs() < 1e-5 && (low - 12.0).abs() < 1e-5 && (high - 12.0).abs() < 1e-5);
        assert_eq!(time_to_success(&sure(vec![0.04; 20], 12.0), 200, 0), None, "too rare");
        assert_eq!(time_to_success(&sure(vec![1.0], 12.0), 200, 0), None, "one start has no interval");
        // Half of the starts succeed at step 10, half at step 20.
        let mixed = PerStart {
            success: vec![1.0; 20],
            success_step: (0..20).map(|i| if i % 2 == 0 { 10.0 } else { 20.0 }).collect(),
            ..PerStart::default()
        };
        let (steps, [low, high]) = time_to_success(&mixed, 1000, 0).expect("sure");
        // The mean of 20 such draws has a standard deviation of 5/√20 = 1.1.
        assert!((steps - 15.0).abs() < 1e-6 && (13.0 - low).abs() < 0.8 && (17.0 - high).abs() < 0.8, "{low} {high}");
    }

    #[test]
    fn outcomes_from_one_start_are_one() {
        let all =
            PerStart { value: vec![0.1, 0.2, 0.3, 0.6], success: vec![1.0, 0.0, 0.5, 0.25], ..PerStart::default() };
        let (starts, means) = all.by_start(&[4, 2, 4, 4]);
        assert_eq!((starts, means.success, means.believed), (vec![2, 4], vec![0.0, 1.75 / 3.0], vec![]));
        assert!(means.value[0] == 0.2 && (means.value[1] - 1.0 / 3.0).abs() < 1e-6, "{:?}", means.value);
        assert_eq!(all.by_start(&[0, 1, 2, 3]).1, all);
    }

    #[test]
    fn only_some_starts_in_their_order() {
        let all = PerStart { value: vec![0.1, 0.2, 0.3], success: vec![1.0, 0.0, 0.5], ..PerStart::default() };
        let some = all.only(&[2, 0]);
        assert_eq!((some.value, some.success, some.believed), (vec![0.3, 0.1], vec![0.5, 1.0], vec![]));
    }
}
