//! Hints: what recordings hold but the robot will not know when it acts, such as where objects lie. Cameras learn to tell them.
//!
//! Learning with privileged information (Vapnik and Vashist 2009), in robots as asymmetric learning (Pinto et al. 2018,
//! arXiv:1710.06542; Chen et al. 2020, Learning by Cheating, arXiv:1912.12294): a small network per camera learns to tell the hint
//! from a picture, its estimate is that camera's part of the embedding, and model, policy and value are learned on it. Few numbers
//! that say what matters are easier to foresee than many that say how it looks.

mod estimator;
mod report;

use burn::tensor::{Device, Tensor, TensorData};
use episodes::Normaliser;
use serde::{Deserialize, Serialize};

pub use estimator::HintEncoder;
pub use report::{HintError, hint_errors};

use crate::angles::Angles;
use crate::corpus::{Corpus, Embeddings};

/// Sizes of the network that tells hints from a picture, and its loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HintConfig {
    /// Channels of the convolutions: 5×5 every second pixel, 3×3 every second place, twice 3×3.
    pub channels: [usize; 3],
    /// Points where something of a kind is seen.
    pub points: usize,
    /// Width of the two layers that read the hint off the points.
    pub width: usize,
    /// Error, in standard deviations of the hint, below which it counts squared and beyond which it counts as it is.
    pub squared_below: f32,
}

impl Default for HintConfig {
    fn default() -> Self {
        Self { channels: [16, 32, 32], points: 24, width: 128, squared_below: 0.05 }
    }
}

/// A hint as it is learned: normalised by training episodes, angles as their cosine and sine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HintCode {
    /// Which elements are angles.
    pub angles: Angles,
    /// Of the elements with the angles spread; cosines and sines stay as they are.
    pub normaliser: Normaliser,
}

impl HintCode {
    /// Fitted to recorded rows `[H]` of training episodes.
    pub fn fit<'a>(rows: impl Iterator<Item = &'a [f32]>, angles: Angles) -> Self {
        let rows: Vec<Vec<f32>> = rows.map(|row| angles.spread(row)).collect();
        let mut normaliser = Normaliser::fit(rows.iter().map(Vec::as_slice), angles.spread_len());
        for i in angles.circular() {
            (normaliser.mean[i], normaliser.std[i]) = (0.0, 1.0);
        }
        Self { angles, normaliser }
    }

    /// Elements of a code.
    pub fn code_len(&self) -> usize {
        self.angles.spread_len()
    }

    /// Recorded rows to codes.
    pub fn encode(&self, rows: &[f32]) -> Vec<f32> {
        let spread = self.angles.spread(rows);
        let mut out = vec![0.0; spread.len()];
        self.normaliser.normalise(&spread, &mut out);
        out
    }

    /// Codes to raw units; angles between -π and π.
    pub fn decode(&self, codes: &[f32]) -> Vec<f32> {
        let mut spread = vec![0.0; codes.len()];
        self.normaliser.denormalise(codes, &mut spread);
        self.angles.gather(&spread)
    }
}

/// Mean error of estimates `[B, H]`: squared where small, absolute beyond (Girshick 2015, Fast R-CNN, eq. 3).
pub fn smooth_error(estimate: Tensor<2>, hint: Tensor<2>, squared_below: f32) -> Tensor<1> {
    let wrong = (estimate - hint).abs();
    let small = wrong.clone().clamp_max(squared_below);
    (small.clone() * (wrong - small * 0.5)).mean() / f64::from(squared_below)
}

/// Codes of the recorded hints at (track, step) pairs `[B, H]`.
pub fn recorded(corpus: &Corpus, at: impl Iterator<Item = (usize, usize)>, device: &Device) -> Tensor<2> {
    let width = corpus.hint_len();
    let values: Vec<f32> =
        at.flat_map(|(track, t)| corpus.tracks[track].hint[t * width..(t + 1) * width].iter().copied()).collect();
    let rows = values.len() / width.max(1);
    Tensor::from_data(TensorData::new(values, [rows, width]), device)
}

/// Embeddings of training episodes with the recorded hint in the place of every camera's estimate. What is learned from them is
/// cleaner than what the robot will see; held-out episodes, by which it is judged, stay as the cameras tell them.
pub fn learn_from_recorded(corpus: &Corpus, embeddings: &mut Embeddings) {
    let (hint, dim) = (corpus.hint_len(), embeddings.dim);
    let seen = dim - corpus.state_len;
    for &track in corpus.train.iter().filter(|_| hint > 0) {
        let recorded = corpus.tracks[track].hint.chunks_exact(hint);
        for (row, recorded) in embeddings.rows[track].chunks_exact_mut(dim).zip(recorded) {
            row[..seen].chunks_exact_mut(hint).for_each(|camera| camera.copy_from_slice(recorded));
            corpus.differences.renew(row);
        }
    }
}

#[cfg(test)]
mod tests;
