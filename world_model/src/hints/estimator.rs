//! The network that tells a hint from one picture: convolutions, points where something of a kind is seen (spatial soft-argmax,
//! Finn et al. 2016, Deep Spatial Autoencoders, sec. IV), and a perceptron over where they are.
//!
//! Whatever lies elsewhere is seen by the same weights, and the points say where it lies: what was learned in one corner holds in
//! all. A network with weights of its own for every place learns the training pictures by heart instead (docs/LOG.md, 2026-11-26).

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};

use super::HintConfig;
use crate::kernels::keypoints::keypoints;
use crate::kernels::unfold::{Windows, unfold};
use crate::layers::{Mlp, dense};
use crate::vision::{BLOCK, BLOCK_VALUES, KEYPOINT_SCALE, pixels};

/// The windows of the convolutions in order.
const WINDOWS: [Windows; 4] = [
    Windows { size: 5, stride: 2 },
    Windows { size: 3, stride: 2 },
    Windows { size: 3, stride: 1 },
    Windows { size: 3, stride: 1 },
];

/// One camera's estimate of the hint.
#[derive(Module, Debug)]
pub struct HintEncoder {
    layers: Vec<Linear>,
    detect: Linear,
    head: Mlp,
    points: usize,
}

impl HintEncoder {
    /// For hints of `hint` elements, with a feature of `feature` elements beside each picture, which may be none.
    pub fn new(config: &HintConfig, feature: usize, hint: usize, device: &Device) -> Self {
        let [near, wide, top] = config.channels;
        let sizes = [3, near, wide, top, top];
        let layer = |(i, windows): (usize, &Windows)| {
            LinearConfig::new(windows.size * windows.size * sizes[i], sizes[i + 1]).init(device)
        };
        Self {
            layers: WINDOWS.iter().enumerate().map(layer).collect(),
            detect: LinearConfig::new(top, config.points).init(device),
            head: Mlp::new(&[2 * config.points + feature, config.width, config.width, hint], device),
            points: config.points,
        }
    }

    /// `[B, M, 768]`, and a feature of the picture `[B, F]` where there is one, to estimates `[B, H]`.
    pub fn forward(&self, picture: Tensor<3>, feature: Option<Tensor<2>>) -> Tensor<2> {
        let [batch, blocks, values] = picture.dims();
        assert_eq!(values, BLOCK_VALUES, "a picture is [B, M, {BLOCK_VALUES}]");
        let device = picture.device();
        let (mut x, mut side) = (pixels(picture), blocks.isqrt() * BLOCK);
        for (layer, windows) in self.layers.iter().zip(WINDOWS) {
            let y = dense(layer, unfold(x, windows), true);
            let [_, channels] = y.dims();
            side = windows.along(side);
            x = y.reshape([batch, side * side, channels]);
        }
        let [_, places, channels] = x.dims();
        let scores = dense(&self.detect, x.reshape([batch * places, channels]), false);
        let points = keypoints(scores.reshape([batch, places, self.points]), &centres(side, &device)) * KEYPOINT_SCALE;
        self.head.forward(match feature {
            Some(feature) => Tensor::cat(vec![points, feature], 1),
            None => points,
        })
    }
}

/// Centres of the places of a grid, row by row, `[side², 2]`, from -1 to 1.
fn centres(side: usize, device: &Device) -> Tensor<2> {
    let along = |i: usize| (i as f32 + 0.5) * 2.0 / side as f32 - 1.0;
    let values: Vec<f32> = (0..side * side).flat_map(|i| [along(i % side), along(i / side)]).collect();
    Tensor::from_data(TensorData::new(values, [side * side, 2]), device)
}
