//! Features of pictures by a vision transformer that others trained (Dosovitskiy et al. 2021, [arXiv:2010.11929]): DINOv2,
//! SigLIP or CLIP weights as they are published. It is frozen: every recorded frame is seen once, and the encoder takes the
//! feature beside the picture.
//!
//! A picture is enlarged to what the transformer takes, cut into patches, and
//! ```text
//! x = [class + pos_0, registers, W patch + pos]
//! x = x + Attention(Norm(x));  x = x + W_2 gelu(W_1 Norm(x))        in every block
//! feature = [Norm(x)_class, mean of Norm(x) over each cell of a grid]
//! ```
//! What is constant is folded into the weights when they are read (`weights.rs`): the normalisation of pixels into the patch
//! layer, LayerScale (Touvron et al. 2021, [arXiv:2103.17239]) into the layer before it, positions resampled to our size.
//!
//! [arXiv:2010.11929]: https://arxiv.org/abs/2010.11929
//! [arXiv:2103.17239]: https://arxiv.org/abs/2103.17239

mod folding;
#[cfg(test)]
mod tests;
mod weights;

use std::path::PathBuf;

use burn::module::{Initializer, Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::{gelu, gelu_approximate, sigmoid, softmax};
use burn::tensor::{Device, Tensor, TensorData};
use episodes::Dataset;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::corpus::Track;
use crate::vision::floats;

/// A vision transformer that is not trained here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PretrainedConfig {
    /// `model.safetensors` of DINOv2, SigLIP or CLIP in the names of Hugging Face's transformers, with its `config.json` beside
    /// it; empty for none.
    pub path: PathBuf,
    /// Height and width of the pictures it is shown, pixels, rounded up to whole patches; 0 for twice `data.image_size`, at most
    /// what it was trained on.
    pub image_size: usize,
    /// Besides the class token, means over a grid of so many cells across: 1 for the whole picture.
    pub grid: usize,
}

impl Default for PretrainedConfig {
    fn default() -> Self {
        Self { path: PathBuf::new(), image_size: 0, grid: 1 }
    }
}

/// The activation between the two layers of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// By the error function (DINOv2).
    Gelu,
    /// By tanh (SigLIP).
    GeluTanh,
    /// `x σ(1.702 x)` (OpenAI's CLIP).
    QuickGelu,
}

/// Sizes of a transformer, all that its weights do not say.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VitSpec {
    /// Elements `D` of a token.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Elements between the two layers of a block.
    pub hidden: usize,
    /// Height and width of a patch, pixels.
    pub patch: usize,
    /// Patches side by side.
    pub across: usize,
    /// Tokens before the patches: the class token and registers.
    pub prefix: usize,
    /// The first token is a class token, and part of the feature.
    pub has_class: bool,
    /// Tokens are normalised before the first block (CLIP).
    pub has_first_norm: bool,
    /// The activation of blocks.
    pub activation: Activation,
    /// Added to the variance in every normalisation.
    pub epsilon: f64,
    /// Cells of the feature across.
    pub grid: usize,
}

impl VitSpec {
    /// Elements `F` of a feature.
    pub fn feature_len(&self) -> usize {
        self.width * (usize::from(self.has_class) + self.grid * self.grid)
    }

    /// Height and width of the pictures it takes, pixels.
    pub fn image_size(&self) -> usize {
        self.patch * self.across
    }
}

/// The transformer.
#[derive(Module, Debug)]
pub struct Vit {
    patch: Linear,
    prefix: Option<Param<Tensor<2>>>,
    positions: Param<Tensor<2>>,
    first: Option<LayerNorm>,
    blocks: Vec<Block>,
    last: LayerNorm,
    #[module(skip)]
    spec: VitSpec,
}

#[derive(Module, Debug)]
struct Block {
    before_attention: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    before_mlp: LayerNorm,
    up: Linear,
    down: Linear,
}

/// Frames that pass through at once.
const FRAMES_AT_ONCE: usize = 16;

impl Vit {
    /// One of these sizes that knows nothing yet: for weights of a bundle.
    pub fn new(spec: &VitSpec, device: &Device) -> Self {
        let VitSpec { width, hidden, epsilon, .. } = *spec;
        let linear =
            |from: usize, to: usize| LinearConfig::new(from, to).with_initializer(Initializer::Zeros).init(device);
        let norm = || LayerNormConfig::new(width).with_epsilon(epsilon).init(device);
        let zeros = |rows: usize| Param::from_tensor(Tensor::zeros([rows, width], device));
        let block = || Block {
            before_attention: norm(),
            query: linear(width, width),
            key: linear(width, width),
            value: linear(width, width),
            output: linear(width, width),
            before_mlp: norm(),
            up: linear(width, hidden),
            down: linear(hidden, width),
        };
        Self {
            patch: linear(3 * spec.patch * spec.patch, width),
            prefix: (spec.prefix > 0).then(|| zeros(spec.prefix)),
            positions: zeros(spec.across * spec.across),
            first: spec.has_first_norm.then(norm),
            blocks: (0..spec.layers).map(|_| block()).collect(),
            last: norm(),
            spec: *spec,
        }
    }

    /// Its sizes.
    pub fn spec(&self) -> &VitSpec {
        &self.spec
    }

    /// Pictures `[size, size, 3]` to features `[B, F]`.
    pub fn see(&self, frames: &[&[u8]], size: usize, device: &Device) -> Tensor<2> {
        let VitSpec { width, across, prefix, has_class, grid, .. } = self.spec;
        let tokens = self.tokens(frames, size, device);
        let (batch, places) = (frames.len(), across * across);
        let cells = tokens.clone().narrow(1, prefix, places);
        let cells = cell_means(across, grid, device).matmul(cells).reshape([batch, grid * grid * width]);
        if !has_class {
            return cells;
        }
        Tensor::cat(vec![tokens.narrow(1, 0, 1).reshape([batch, width]), cells], 1)
    }

    /// Features of every frame of a track, `[T, C, F]`.
    pub fn see_track(&self, dataset: &Dataset, track: &Track, device: &Device) -> Vec<f32> {
        let (len, cameras) = (self.spec.feature_len(), dataset.spec.cameras.len());
        let mut out = vec![0.0; track.len * cameras * len];
        for (c, camera) in dataset.spec.cameras.iter().enumerate() {
            for start in (0..track.len).step_by(FRAMES_AT_ONCE) {
                let steps = start..(start + FRAMES_AT_ONCE).min(track.len);
                let frames: Vec<&[u8]> = steps.clone().map(|t| dataset.frame(c, track.episode, t)).collect();
                let seen = floats(self.see(&frames, camera.model_size, device));
                for (t, feature) in steps.zip(seen.chunks_exact(len)) {
                    out[(t * cameras + c) * len..][..len].copy_from_slice(feature);
                }
            }
        }
        out
    }

    /// The normalised tokens of the last block `[B, prefix + N, D]`.
    fn tokens(&self, frames: &[&[u8]], size: usize, device: &Device) -> Tensor<3> {
        let VitSpec { width, patch, across, .. } = self.spec;
        let (batch, places, values) = (frames.len(), across * across, 3 * patch * patch);
        let pixels: Vec<f32> = frames.par_iter().flat_map_iter(|frame| patches(frame, size, patch, across)).collect();
        let pixels = Tensor::<2>::from_data(TensorData::new(pixels, [batch * places, values]), device);
        let seen = self.patch.forward(pixels).reshape([batch, places, width]) + self.positions.val().unsqueeze::<3>();
        let mut x = match &self.prefix {
            None => seen,
            Some(prefix) => {
                let [rows, _] = prefix.dims();
                Tensor::cat(vec![prefix.val().unsqueeze::<3>().expand([batch, rows, width]), seen], 1)
            }
        };
        if let Some(first) = &self.first {
            x = first.forward(x);
        }
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x, &self.spec));
        self.last.forward(x)
    }
}

impl Block {
    /// `[B, N, D]` to `[B, N, D]`.
    fn forward(&self, x: Tensor<3>, spec: &VitSpec) -> Tensor<3> {
        let [batch, tokens, width] = x.dims();
        let each = width / spec.heads;
        let y = self.before_attention.forward(x.clone());
        let split =
            |layer: &Linear| layer.forward(y.clone()).reshape([batch, tokens, spec.heads, each]).swap_dims(1, 2);
        let scores = split(&self.query).matmul(split(&self.key).transpose()) / (each as f64).sqrt();
        let attended = softmax(scores, 3).matmul(split(&self.value)).swap_dims(1, 2).reshape([batch, tokens, width]);
        let x = x + self.output.forward(attended);
        let up = self.up.forward(self.before_mlp.forward(x.clone()));
        let up = match spec.activation {
            Activation::Gelu => gelu(up),
            Activation::GeluTanh => gelu_approximate(up),
            Activation::QuickGelu => up.clone() * sigmoid(up * 1.702),
        };
        x + self.down.forward(up)
    }
}

/// Means over the cells of a grid as a product, `[1, grid², across²]`.
fn cell_means(across: usize, grid: usize, device: &Device) -> Tensor<3> {
    let edge = |i: usize| i * across / grid;
    let mut rows = vec![0.0; grid * grid * across * across];
    for (cell, row) in rows.chunks_exact_mut(across * across).enumerate() {
        let (top, left) = (cell / grid, cell % grid);
        let (ys, xs) = (edge(top)..edge(top + 1), edge(left)..edge(left + 1));
        let share = 1.0 / (ys.len() * xs.len()).max(1) as f32;
        for y in ys {
            row[y * across..][xs.clone()].fill(share);
        }
    }
    Tensor::from_data(TensorData::new(rows, [1, grid * grid, across * across]), device)
}

/// A frame `[size, size, 3]` enlarged (bilinear, pixel centres aligned) to `across` patches, each `[3, patch, patch]`, 0 to 255.
fn patches(frame: &[u8], size: usize, patch: usize, across: usize) -> Vec<f32> {
    let side = patch * across;
    let taps: Vec<(usize, usize, f32)> = (0..side)
        .map(|i| {
            let at = ((i as f32 + 0.5) * size as f32 / side as f32 - 0.5).clamp(0.0, (size - 1) as f32);
            let low = at as usize;
            (low, (low + 1).min(size - 1), at - low as f32)
        })
        .collect();
    let mut out = Vec::with_capacity(side * side * 3);
    for (place, channel) in (0..across * across).flat_map(|place| (0..3).map(move |channel| (place, channel))) {
        let at = |y: usize, x: usize| f32::from(frame[(y * size + x) * 3 + channel]);
        for &(y0, y1, v) in &taps[place / across * patch..][..patch] {
            for &(x0, x1, u) in &taps[place % across * patch..][..patch] {
                let top = at(y0, x0) + (at(y0, x1) - at(y0, x0)) * u;
                let bottom = at(y1, x0) + (at(y1, x1) - at(y1, x0)) * u;
                out.push(top + (bottom - top) * v);
            }
        }
    }
    out
}

/// Features of every recorded frame: `4 C F` bytes a step, in memory.
#[derive(Clone, Debug)]
pub struct Features {
    /// Elements `F` of one camera's feature.
    pub len: usize,
    /// Cameras `C`.
    pub cameras: usize,
    /// Per track `[T, C, F]`.
    pub rows: Vec<Vec<f32>>,
}

impl Features {
    /// One camera's features at (track, step) pairs: `[B, F]`.
    pub fn gather(
        &self,
        camera: usize,
        at: impl ExactSizeIterator<Item = (usize, usize)>,
        device: &Device,
    ) -> Tensor<2> {
        let rows = at.len();
        let mut values = Vec::with_capacity(rows * self.len);
        for (track, t) in at {
            values.extend_from_slice(&self.rows[track][(t * self.cameras + camera) * self.len..][..self.len]);
        }
        Tensor::from_data(TensorData::new(values, [rows, self.len]), device)
    }
}
