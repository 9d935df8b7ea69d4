//! Returns and success of imagined steps.
//!
//! An imagined future does not end, it fades: with `p_k` the probability that step `k` succeeds and `f_k` that it fails, the
//! mass still going is `m_{k+1} = m_k (1-p_k)(1-f_k)`, and
//! `G = Σ_k γ^k m_k [(1-γ) r_k + γ (p_k R + (1-p_k) f_k F)] + γ^H m_H V`, with `R` and `F` the rewards that a success and
//! another end hold for ever (`F` is 0 unless steps cost something) and `V` the value at the end.

use burn::tensor::Tensor;
use world_model::Prediction;
use world_model::corpus::ReturnRule;
use world_model::vision::floats;

/// Per row `[B]`.
pub struct Outcome {
    /// Discounted return in units of the reward.
    pub value: Tensor<1>,
    /// Probability of success within the horizon.
    pub success: Tensor<1>,
    /// Probability mass still going at the end.
    pub going: Tensor<1>,
    /// Mean disagreement over the steps, weighted by the mass that was still going.
    pub disagreement: Tensor<1>,
}

/// Outcome of imagined steps; `end` is the value of the last state `[B]`.
pub fn outcome(predictions: &[Prediction], rule: &ReturnRule, end: Tensor<1>) -> Outcome {
    sum_up(predictions, rule, end, None)
}

/// `stop` holds, per step, the value of the state before it and whether the step is believed, `[B]` each.
fn sum_up(
    predictions: &[Prediction],
    rule: &ReturnRule,
    end: Tensor<1>,
    stop: Option<(&[Tensor<1>], &[Tensor<1>])>,
) -> Outcome {
    let gamma = f64::from(rule.gamma);
    let mut going = end.ones_like();
    let [mut value, mut success, mut disagreement, mut weight] = [(); 4].map(|()| end.zeros_like());
    for (k, p) in predictions.iter().enumerate() {
        let discount = gamma.powi(k as i32);
        if let Some((values, believed)) = stop {
            let on = going.clone() * believed[k].clone();
            value = value + (going - on.clone()) * values[k].clone() * discount;
            going = on;
        }
        let solved = going.clone() * p.success.clone();
        let reward = p.reward.clone().clamp(rule.low, rule.high) * (1.0 - gamma);
        let failed = (going.clone() - solved.clone()) * p.failure.clone();
        let held = solved.clone() * f64::from(rule.success_reward) + failed * f64::from(rule.failure_reward);
        value = value + (going.clone() * reward + held * gamma) * discount;
        success = success + solved;
        disagreement = disagreement + going.clone() * p.disagreement.clone();
        weight = weight + going.clone();
        going = going * (p.success.clone().neg() + 1.0) * (p.failure.clone().neg() + 1.0);
    }
    value = value + going.clone() * end * gamma.powi(predictions.len() as i32);
    Outcome { value, success, going, disagreement: disagreement / weight.clamp_min(1e-6) }
}

/// 1 where a branch is still believed when a step is over, `[B]` per step: its summed doubt, `spent [B]` before the first step,
/// is below the budget.
pub fn believed(predictions: &[Prediction], spent: Tensor<1>, budget: f32) -> Vec<Tensor<1>> {
    predictions
        .iter()
        .scan(spent, |spent, p| {
            *spent = spent.clone() + p.doubt.clone();
            Some(spent.clone().lower_elem(budget).float())
        })
        .collect()
}

/// The masks under which [`believed_outcome`] is a λ-return (Sutton and Barto 2018, sec. 12.1), cut where imagination is no longer believed:
/// ```text
/// G_k = believed_k [r_k + γ ((1-λ) V(s_{k+1}) + λ G_{k+1})] + (1 - believed_k) V(s_k)
/// ```
/// With λ = 1 all steps count and one value behind them, with λ = 0 the first step and the value behind it.
pub fn fading(believed: &[Tensor<1>], lambda: f64) -> Vec<Tensor<1>> {
    believed.iter().enumerate().map(|(k, b)| if k == 0 { b.clone() } else { b.clone() * lambda }).collect()
}

/// [`outcome`] of what is believed: where a branch stops being believed, the value of its last believed state stands for
/// the rest. `values` are those of the states before each step and after the last one, `[B]` each; `believed` is as from [`believed`].
pub fn believed_outcome(
    predictions: &[Prediction],
    rule: &ReturnRule,
    values: &[Tensor<1>],
    believed: &[Tensor<1>],
) -> Outcome {
    assert_eq!(values.len(), predictions.len() + 1, "a value before each step and one after the last");
    assert_eq!(believed.len(), predictions.len(), "one mask per step");
    sum_up(predictions, rule, values[predictions.len()].clone(), Some((values, believed)))
}

/// Per row, and after each of its steps, the probabilities that it has succeeded by then and that it has failed: `[B][H]`. The mean over
/// rows is taken of these: rows fade each for itself.
pub fn ended_by(predictions: &[Prediction]) -> Vec<Vec<[f32; 2]>> {
    let steps: Vec<[Vec<f32>; 2]> =
        predictions.iter().map(|p| [floats(p.success.clone()), floats(p.failure.clone())]).collect();
    let of_row = |row: usize| {
        let by = steps.iter().scan((1.0, [0.0; 2]), |(going, [solved, failed]), [success, failure]| {
            let (s, f) = (success[row], failure[row]);
            *solved += *going * s;
            *failed += *going * (1.0 - s) * f;
            *going *= (1.0 - s) * (1.0 - f);
            Some([*solved, *failed])
        });
        by.collect()
    };
    (0..steps.first().map_or(0, |[success, _]| success.len())).map(of_row).collect()
}

/// The same return for what really happened: rewards up to the end, `success` at the last step.
pub fn real_return(rewards: &[f32], success: bool, terminated: bool, rule: &ReturnRule) -> f32 {
    let mut g = rule.held(success, terminated, rewards.last().copied().unwrap_or(0.0));
    for r in rewards.iter().rev() {
        g = (1.0 - rule.gamma) * r + rule.gamma * g;
    }
    g
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use episodes::{OutcomeRule, RewardRule};
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    fn prediction(reward: f32, success: f32, failure: f32) -> Prediction {
        let t = |v: f32| Tensor::<1>::from_floats([v], &Device::default());
        Prediction { reward: t(reward), success: t(success), failure: t(failure), disagreement: t(0.5), doubt: t(0.1) }
    }

    const RULE: ReturnRule = ReturnRule { gamma: 0.5, success_reward: 1.0, failure_reward: 0.0, low: 0.0, high: 1.0 };

    #[test]
    fn by_hand() {
        let steps = [prediction(0.4, 0.0, 0.0), prediction(0.8, 0.5, 0.2)];
        let out = outcome(&steps, &RULE, Tensor::from_floats([0.6], &Device::default()));
        // Step 0: 0.5*0.4 = 0.2. Step 1: 0.5*(0.5*0.8 + 0.5*0.5*1) = 0.325. Left: 0.5*0.8 = 0.4 of 0.25*0.6 = 0.06.
        let value: f32 = out.value.into_scalar();
        assert!((value - 0.585).abs() < 1e-6, "{value}");
        let (success, going): (f32, f32) = (out.success.into_scalar(), out.going.into_scalar());
        assert!((success - 0.5).abs() < 1e-6 && (going - 0.4).abs() < 1e-6);
    }

    #[test]
    fn what_is_not_believed_is_worth_the_value_of_the_state_before_it() {
        let steps = [prediction(0.4, 0.0, 0.0), prediction(0.8, 0.5, 0.2)];
        let t = |v: f32| Tensor::<1>::from_floats([v], &Device::default());
        let value = |values: [f32; 3], budget: f32| -> f32 {
            let believed = believed(&steps, t(0.05), budget);
            believed_outcome(&steps, &RULE, &values.map(t), &believed).value.into_scalar()
        };
        // Each step's doubt is 0.1, and 0.05 was spent before.
        assert!((value([9.0, 9.0, 0.6], 0.3) - 0.585).abs() < 1e-6, "all is believed, as by hand above");
        // Step 0: 0.2, then 0.5 of the value before step 1.
        assert!((value([9.0, 0.7, 9.0], 0.2) - 0.55).abs() < 1e-6);
        assert!((value([0.7, 9.0, 9.0], 0.1) - 0.7).abs() < 1e-6, "nothing is believed");
    }

    #[test]
    fn a_lambda_return_is_what_its_recursion_says() {
        let t = |v: f32| Tensor::<1>::from_floats([v], &Device::default());
        let steps = [prediction(0.4, 0.1, 0.0), prediction(0.8, 0.5, 0.2), prediction(0.2, 0.0, 0.3)];
        let values = [0.9f32, 0.7, 0.3, 0.6];
        let by_recursion = |lambda: f32, masks: [f32; 3]| {
            let mut ahead = values[3];
            for k in (0..3).rev() {
                let p = &steps[k];
                let [r, s, f]: [f32; 3] = [&p.reward, &p.success, &p.failure].map(|t| t.clone().into_scalar());
                let behind = (1.0 - lambda) * values[k + 1] + lambda * ahead;
                let step = 0.5 * r + 0.5 * (s + (1.0 - s) * (1.0 - f) * behind);
                ahead = masks[k] * step + (1.0 - masks[k]) * values[k];
            }
            ahead
        };
        for lambda in [0.0, 0.35, 1.0] {
            for masks in [[1.0; 3], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0; 3]] {
                let fading = fading(&masks.map(t), f64::from(lambda));
                let found: f32 = believed_outcome(&steps, &RULE, &values.map(t), &fading).value.into_scalar();
                let expected = by_recursion(lambda, masks);
                assert!((found - expected).abs() < 1e-6, "{lambda} {masks:?}: {found} is not {expected}");
            }
        }
    }

    #[test]
    fn what_has_ended_by_each_step_by_hand() {
        let t = |v: [f32; 2]| Tensor::<1>::from_floats(v, &Device::default());
        let step = |success: [f32; 2], failure: [f32; 2]| {
            let rest = t([0.0; 2]);
            Prediction {
                reward: rest.clone(),
                success: t(success),
                failure: t(failure),
                disagreement: rest.clone(),
                doubt: rest,
            }
        };
        let steps = [step([0.5, 0.0], [0.0, 0.5]), step([0.5, 0.4], [0.0, 0.5])];
        let by = ended_by(&steps);
        // The second row: 0.5 failed; then 0.5*0.4 = 0.2 succeed and 0.5*0.6*0.5 = 0.15 fail.
        let expected = [[[0.5, 0.0], [0.75, 0.0]], [[0.0, 0.5], [0.2, 0.65]]];
        let off = by.iter().flatten().flatten().zip(expected.iter().flatten().flatten()).map(|(a, b)| (a - b).abs());
        assert!(by.len() == 2 && by[0].len() == 2 && off.fold(0.0f32, f32::max) < 1e-6, "{by:?}");
        let out = outcome(&steps, &RULE, t([0.0; 2]));
        let success: Vec<f32> = floats(out.success);
        assert!((success[0] - by[0][1][0]).abs() < 1e-6 && (success[1] - by[1][1][0]).abs() < 1e-6);
        assert!(ended_by(&[]).is_empty());
    }

    #[test]
    fn a_sure_outcome_is_worth_what_really_happened() {
        let steps = [prediction(0.4, 0.0, 0.0), prediction(0.9, 1.0, 0.0)];
        let imagined: f32 = outcome(&steps, &RULE, Tensor::from_floats([0.3], &Device::default())).value.into_scalar();
        assert!((imagined - real_return(&[0.4, 0.9], true, true, &RULE)).abs() < 1e-6);
        // Solving sooner is never worth less: the end of an episode must not teach a policy to avoid success.
        assert!(real_return(&[0.9], true, true, &RULE) >= real_return(&[0.9, 0.9, 0.9], true, true, &RULE));
    }

    #[test]
    fn a_failure_goes_on_paying_the_step_cost_by_hand() {
        let rule = ReturnRule { failure_reward: -0.2, low: -0.2, ..RULE };
        let steps = [prediction(-0.2, 0.25, 0.5)];
        let out = outcome(&steps, &rule, Tensor::from_floats([0.4], &Device::default()));
        // 0.5*(-0.2) + 0.5*(0.25*1 + 0.75*0.5*(-0.2)) + 0.5*(0.75*0.5)*0.4 = -0.1 + 0.0875 + 0.075.
        let value: f32 = out.value.into_scalar();
        assert!((value - 0.0625).abs() < 1e-6, "{value}");
        assert!((real_return(&[-0.2], false, true, &rule) + 0.2).abs() < 1e-6);
    }

    /// Rewards as the rule gives them: drawn from [-1, 1] or (without a reward column) 0, less the step cost.
    fn draw(rng: &mut StdRng) -> (ReturnRule, Vec<f32>) {
        let column = rng.random_bool(0.7);
        let cost = if rng.random_bool(0.3) { 0.0 } else { rng.random_range(0.0..0.5) };
        let reward = if column { RewardRule::Column } else { RewardRule::Success };
        let rule = OutcomeRule { reward, step_cost: cost, labels: None };
        let (low, high) = (rng.random_range(-1.0..0.5f32), rng.random_range(-0.5..1.0f32));
        let (low, high) = (low.min(high), low.max(high) + 1e-3);
        let draws: Vec<f32> = (0..24).map(|_| rule.reward_of_step(rng.random_range(low..high))).collect();
        (ReturnRule::new(rng.random_range(0.5..0.995), &rule, draws.iter().copied()), draws)
    }

    #[test]
    fn solving_sooner_is_never_worth_less_whatever_the_rewards_and_the_step_cost() {
        let mut rng = StdRng::seed_from_u64(5);
        for _ in 0..500 {
            let (rule, rewards) = draw(&mut rng);
            let solved_after = |n: usize| real_return(&rewards[..n], true, true, &rule);
            for n in 1..rewards.len() {
                assert!(solved_after(n) >= solved_after(n + 1) - 1e-5, "{rule:?}: {n} steps of {rewards:?}");
                // Nor is solving ever worth less than not solving, however the episode then goes on or ends.
                for terminated in [false, true] {
                    let unsolved = real_return(&rewards, false, terminated, &rule);
                    assert!(solved_after(n) >= unsolved - 1e-5, "{rule:?}: {n} steps of {rewards:?}");
                }
            }
        }
    }

    #[test]
    fn giving_up_saves_no_step_cost() {
        let mut rng = StdRng::seed_from_u64(6);
        for _ in 0..200 {
            let (rule, rewards) = draw(&mut rng);
            // Where a step costs and gives nothing, failing sooner is worth no more than trying on, and success is worth more.
            let idle = vec![rule.failure_reward; rewards.len()];
            let failed_after = |n: usize| real_return(&idle[..n], false, true, &rule);
            for n in 1..idle.len() {
                assert!(failed_after(n) <= failed_after(n + 1) + 1e-6, "{rule:?}");
                assert!(failed_after(n) < real_return(&idle[..n], true, true, &rule), "{rule:?}");
            }
        }
    }

    #[test]
    fn an_imagined_chance_of_success_is_never_worth_less_than_none() {
        let mut rng = StdRng::seed_from_u64(7);
        for _ in 0..100 {
            let (rule, rewards) = draw(&mut rng);
            let at = rng.random_range(0..6);
            let end = rng.random_range(rule.low..=rule.high);
            let worth = |chance: f32| -> f32 {
                let steps: Vec<Prediction> = rewards[..6]
                    .iter()
                    .enumerate()
                    .map(|(k, &r)| prediction(r, if k == at { chance } else { 0.0 }, 0.1))
                    .collect();
                outcome(&steps, &rule, Tensor::from_floats([end], &Device::default())).value.into_scalar()
            };
            let (none, some, sure) = (worth(0.0), worth(0.5), worth(1.0));
            assert!(none <= some + 1e-5 && some <= sure + 1e-5, "{rule:?}: {none} {some} {sure}");
        }
    }
}
