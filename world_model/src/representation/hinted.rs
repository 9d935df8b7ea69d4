//! How the representation learns where there are hints: estimators from the recorded hint, decoders beside them.

use burn::tensor::Tensor;

use super::{Pairs, Representation};
use crate::hints::smooth_error;
use crate::optimise::Metrics;

/// Codes of the recorded hints `[B, H]` of the pictures of one shard.
pub struct Hints {
    pub(super) now: Tensor<2>,
    /// Of what the decoders repaint, half of the rows.
    pub(super) shown_reference: Tensor<2>,
}

/// Pixel errors are of the order 1e-3, the estimators' of 1e-1. Gradients are clipped together, and the hint is what matters.
const DECODER_WEIGHT: f64 = 20.0;

impl Representation {
    /// Loss of one shard: what every camera tells of the hint, and pictures repainted from the recorded hint, so that nothing of how
    /// things look gets into the estimate.
    pub(super) fn telling_loss(&self, pairs: Pairs, hints: Hints) -> (Tensor<1>, Metrics) {
        let pictures: Vec<_> = pairs.now.iter().map(|seen| seen.picture.clone()).collect();
        let cameras = pictures.len();
        let estimates = self.encoder.look(pairs.now);
        let errors = estimates.into_iter().map(|told| smooth_error(told, hints.now.clone(), self.squared_below as f32));
        let hint = Tensor::cat(errors.collect(), 0).mean();

        let embedding = |hint: Tensor<2>, state: Tensor<2>| {
            let mut parts = vec![hint; cameras];
            parts.push(state);
            self.encoder.joined(parts)
        };
        let [rows, _] = pairs.state_shown_reference.dims();
        let now = embedding(hints.now.narrow(0, 0, rows), pairs.state_now.narrow(0, 0, rows));
        let reference = embedding(hints.shown_reference, pairs.state_shown_reference);
        let mut display = hint.clone() * 0.0;
        for (camera, (shown, seen)) in pictures.into_iter().zip(pairs.shown_reference).enumerate() {
            let both = [now.clone(), reference.clone()];
            let painted = self.paint(&self.decoders[camera], camera, both, seen.picture);
            display = display + (painted - shown.narrow(0, 0, rows)).square().mean();
        }
        let metrics = [("hint", &hint), ("display", &display)].map(|(name, t)| (name, t.clone().into_scalar::<f32>()));
        (hint + display * DECODER_WEIGHT, metrics.to_vec())
    }
}
