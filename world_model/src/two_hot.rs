//! Two-hot coding of scalars on evenly spaced bins, the target of every distributional head (DreamerV3, eq. 9).

use burn::tensor::activation::softmax;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::kernels::two_hot;

/// `count` bins from `low` to `high`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TwoHot {
    /// Value of the first bin.
    pub low: f32,
    /// Value of the last bin.
    pub high: f32,
    /// Number of bins, at least two.
    pub count: usize,
}

impl TwoHot {
    fn step(&self) -> f32 {
        (self.high - self.low) / (self.count - 1) as f32
    }

    /// Expected value under `logits [K, B, count]`: `[K, B]`.
    pub fn mean(&self, logits: Tensor<3>) -> Tensor<2> {
        let device = logits.device();
        let bins: Vec<f32> = (0..self.count).map(|i| self.low + self.step() * i as f32).collect();
        let bins = Tensor::<3>::from_data(TensorData::new(bins, [1, 1, self.count]), &device);
        (softmax(logits, 2) * bins).sum_dim(2).squeeze_dim::<2>(2)
    }

    /// Where `x [B]`, clamped to the range, lies among the bins, from 0 to `count - 1`.
    fn position(&self, x: Tensor<1>) -> Tensor<1> {
        (x.clamp(self.low, self.high) - self.low).div_scalar(self.step())
    }

    /// Two-hot weights of `x [B]`, clamped to the range: `[B, count]`.
    pub fn encode(&self, x: Tensor<1>) -> Tensor<2> {
        two_hot::code(self.position(x), self.count)
    }

    /// Cross-entropy of `logits [K, B, count]` against the two-hot code of `x [B]`: `[K, B]`.
    pub fn cross_entropy(&self, logits: Tensor<3>, x: Tensor<1>) -> Tensor<2> {
        two_hot::cross_entropy(logits, self.position(x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn weights_by_hand_and_the_mean_returns_the_value() {
        let code = TwoHot { low: 0.0, high: 1.0, count: 5 };
        let x = Tensor::<1>::from_floats([0.0, 0.3, 1.0, 7.0], &Device::default());
        let weights = code.encode(x).try_into_vec_as::<f32>().expect("floats");
        let expected = [
            1.0, 0.0, 0.0, 0.0, 0.0, //
            0.0, 0.8, 0.2, 0.0, 0.0, // 0.3 lies a fifth of the way from 0.25 to 0.5
            0.0, 0.0, 0.0, 0.0, 1.0, //
            0.0, 0.0, 0.0, 0.0, 1.0, // clamped
        ];
        for (w, e) in weights.iter().zip(expected) {
            assert!((w - e).abs() < 1e-5, "{weights:?}");
        }
        let logits = Tensor::<2>::from_data(TensorData::new(expected.to_vec(), [4, 5]), &Device::default());
        let mean = code.mean((logits + 1e-9).log().unsqueeze::<3>()).try_into_vec_as::<f32>().expect("floats");
        assert!((mean[1] - 0.3).abs() < 1e-4, "{mean:?}");
    }
}
