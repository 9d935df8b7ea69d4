//! What imagined chunks are worth beside one another.

use burn::tensor::Tensor;
use rollouts::imagine::Imagined;
use rollouts::score::{Outcome, believed, believed_outcome, outcome};
use world_model::corpus::ReturnRule;
use world_model::trust::Limits;

use crate::critic::Critic;

/// What chunks from embeddings `start [B, E]` lead to, up to the trust horizon, with cautious `values` behind it; `spent [B]` is the doubt
/// of getting to `start`.
pub(crate) fn believed_return(
    (rule, limits, values): (&ReturnRule, Limits, &Critic),
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
    if all {
        return outcome(predictions, rule, values.cautious(&last));
    }
    let rows = last.dims()[0];
    let values = values.cautious(&Tensor::cat(states, 0));
    let values: Vec<Tensor<1>> = (0..=predictions.len()).map(|k| values.clone().narrow(0, k * rows, rows)).collect();
    believed_outcome(predictions, rule, &values, &believed)
}

/// Scores of groups of `n` in units of the spread within groups, pooled over groups, minus `penalty` times disagreement.
pub(crate) fn scores(value: &[f32], doubt: &[f32], n: usize, (penalty, disagreement_95): (f32, f32)) -> Vec<f32> {
    let mut squares = 0.0;
    for group in value.chunks_exact(n) {
        let mean = group.iter().sum::<f32>() / n as f32;
        squares += group.iter().map(|v| (v - mean).powi(2)).sum::<f32>();
    }
    let spread = (squares / value.len() as f32).sqrt().max(1e-5);
    let unit = disagreement_95.max(1e-6);
    let beyond = |d: &f32| if *d > unit { BEYOND } else { 0.0 };
    value.iter().zip(doubt).map(|(v, d)| v / spread - penalty * d / unit - beyond(d)).collect()
}

/// Taken off the score of a chunk that leads beyond what held-out data look like, in spreads: such a chunk is learned from
/// only where every other one does too.
const BEYOND: f32 = 5.0;
