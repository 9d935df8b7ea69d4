//! What imagined chunks are worth beside one another.

use burn::tensor::Tensor;
use rollouts::imagine::Imagined;
use rollouts::score::{Outcome, believed, believed_outcome, fading, outcome};
use world_model::corpus::ReturnRule;
use world_model::trust::Limits;

use super::ImproveConfig;
use crate::critic::Critic;

/// What chunks from embeddings `start [B, E]` lead to, a λ-return up to the trust horizon with cautious `values`; `spent [B]` is the
/// doubt of getting to `start`.
pub(crate) fn believed_return(
    (rule, limits, values): (&ReturnRule, Limits, &Critic),
    lambda: f32,
    start: &Tensor<2>,
    imagined: &Imagined,
    spent: Tensor<1>,
) -> Outcome {
    let predictions = &imagined.predictions;
    let believed = believed(predictions, spent, limits.doubt_budget);
    let states: Vec<Tensor<2>> =
        std::iter::once(start.clone()).chain(imagined.latents.iter().map(|l| l.e.clone())).collect();
    let last = states[predictions.len()].clone();
    // Mostly the budget lasts for the whole chunk, and one value does.
    let all = believed.last().is_none_or(|b| b.clone().min().into_scalar::<f32>() > 0.0);
    if all && lambda >= 1.0 {
        return outcome(predictions, rule, values.cautious(&last));
    }
    let rows = last.dims()[0];
    let values = values.cautious(&Tensor::cat(states, 0));
    let values: Vec<Tensor<1>> = (0..=predictions.len()).map(|k| values.clone().narrow(0, k * rows, rows)).collect();
    believed_outcome(predictions, rule, &values, &fading(&believed, f64::from(lambda)))
}

/// What is taken off for not knowing.
#[derive(Clone, Copy)]
pub(crate) struct Penalties {
    /// Per unit of the held-out 95th percentile of disagreement, in spreads of the values.
    pub disagreement: f32,
    /// That percentile.
    pub disagreement_95: f32,
    /// Share of the model-Bellman inconsistency.
    pub inconsistency: f32,
}

impl Penalties {
    /// As configured, where held-out data disagree so much.
    pub fn of(config: &ImproveConfig, limits: Limits) -> Self {
        let ImproveConfig { penalty, inconsistency, .. } = *config;
        Self { disagreement: penalty, disagreement_95: limits.disagreement_95, inconsistency }
    }
}

/// Scores of groups of `n` in units of the spread within groups, pooled over groups: values less what is taken off for `doubt`
/// (disagreement) and for being `inconsistent`, which may be empty.
pub(crate) fn scores(value: &[f32], doubt: &[f32], inconsistent: &[f32], n: usize, less: Penalties) -> Vec<f32> {
    let mut squares = 0.0;
    for group in value.chunks_exact(n) {
        let mean = group.iter().sum::<f32>() / n as f32;
        squares += group.iter().map(|v| (v - mean).powi(2)).sum::<f32>();
    }
    let spread = (squares / value.len() as f32).sqrt().max(1e-5);
    let unit = less.disagreement_95.max(1e-6);
    let beyond = |d: f32| if d > unit { BEYOND } else { 0.0 };
    (0..value.len())
        .map(|i| {
            let value = value[i] - less.inconsistency * inconsistent.get(i).copied().unwrap_or(0.0);
            value / spread - less.disagreement * doubt[i] / unit - beyond(doubt[i])
        })
        .collect()
}

/// Taken off the score of a chunk that leads beyond what held-out data look like, in spreads: such a chunk is learned from
/// only where every other one does too.
const BEYOND: f32 = 5.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_by_hand() {
        let less = Penalties { disagreement: 2.0, disagreement_95: 0.5, inconsistency: 3.0 };
        // Two groups of two, each 1 beside its mean: the spread is 1.
        let value = [1.0, 3.0, -2.0, 0.0];
        assert_eq!(scores(&value, &[0.0; 4], &[], 2, less), value);
        let doubt = [0.0, 0.25, 0.5, 0.6];
        let found = scores(&value, &doubt, &[0.0, 0.1, 0.0, 0.0], 2, less);
        for (found, expected) in found.iter().zip([1.0, 3.0 - 0.3 - 1.0, -2.0 - 2.0, 0.0 - 2.4 - BEYOND]) {
            assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
        }
    }
}
