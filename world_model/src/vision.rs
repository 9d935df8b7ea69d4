//! Pictures to embeddings and back, by patches: on a CPU a few fat matrix products beat convolutions by 2.5 times.
//!
//! A picture is laid out as `M` blocks of 16×16 pixels, each of 16 patches of 4×4 pixels ([`to_blocks`]), so that both
//! stages of the encoder are plain products without moving data. The decoder repaints a *reference* picture (the last
//! real one): what the embedding says nothing about is carried over, not re-imagined.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::layers::Mlp;

/// Pixels along a block: the side of a picture must be a multiple of it.
pub const BLOCK: usize = 16;
const PATCH: usize = 4;
const PATCHES: usize = (BLOCK / PATCH) * (BLOCK / PATCH);
const PATCH_VALUES: usize = PATCH * PATCH * 3;
/// Values of one block: 16 × 16 pixels × 3 channels.
pub const BLOCK_VALUES: usize = PATCHES * PATCH_VALUES;

/// Sizes of the picture networks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VisionConfig {
    /// Elements of one camera's embedding.
    pub embedding: usize,
    /// Features of one 4×4 patch.
    pub patch_features: usize,
    /// Features of one 16×16 block.
    pub block_features: usize,
    /// Width of the layer that sees the whole picture.
    pub width: usize,
}

impl Default for VisionConfig {
    fn default() -> Self {
        Self { embedding: 96, patch_features: 32, block_features: 96, width: 256 }
    }
}

/// Number of blocks of a square picture.
///
/// # Errors
/// When `size` is not a multiple of [`BLOCK`].
pub fn blocks(size: usize) -> Result<usize, Error> {
    if size == 0 || !size.is_multiple_of(BLOCK) {
        return Err(Error::Mismatch {
            found: format!("data.image_size = {size}"),
            expected: format!("a multiple of {BLOCK} (48, 64, 96, …)"),
        });
    }
    Ok((size / BLOCK) * (size / BLOCK))
}

fn for_each_value(size: usize, mut visit: impl FnMut(usize)) {
    let per_row = size / BLOCK;
    for block in 0..per_row * per_row {
        let (top, left) = ((block / per_row) * BLOCK, (block % per_row) * BLOCK);
        for patch in 0..PATCHES {
            let (y0, x0) = (top + (patch / 4) * PATCH, left + (patch % 4) * PATCH);
            for y in 0..PATCH {
                let at = ((y0 + y) * size + x0) * 3;
                (at..at + PATCH * 3).for_each(&mut visit);
            }
        }
    }
}

/// Pictures `[size, size, 3]` u8 to blocks `[B, M, 768]` with values in -0.5..0.5.
pub fn to_blocks<'a>(frames: impl ExactSizeIterator<Item = &'a [u8]>, size: usize, device: &Device) -> Tensor<3> {
    let batch = frames.len();
    let mut values = Vec::with_capacity(batch * size * size * 3);
    for frame in frames {
        for_each_value(size, |i| values.push(f32::from(frame[i]) / 255.0 - 0.5));
    }
    let blocks = (size / BLOCK) * (size / BLOCK);
    Tensor::from_data(TensorData::new(values, [batch, blocks, BLOCK_VALUES]), device)
}

/// Blocks `[B, M, 768]` back to pictures.
pub fn to_frames(blocks: Tensor<3>, size: usize) -> Vec<Vec<u8>> {
    let [batch, ..] = blocks.dims();
    let values = floats(blocks);
    values
        .chunks_exact(values.len() / batch.max(1))
        .map(|values| {
            let mut frame = vec![0; size * size * 3];
            let mut values = values.iter();
            for_each_value(size, |i| {
                if let Some(v) = values.next() {
                    frame[i] = ((v + 0.5) * 255.0).round().clamp(0.0, 255.0) as u8;
                }
            });
            frame
        })
        .collect()
}


/// All values of a tensor in row-major order.
pub fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().expect("a float tensor reads back as f32")
}

/// `[B, M, 768]` to a normalised embedding `[B, E]`.
#[derive(Module, Debug)]
pub struct PatchEncoder {
    patch: Linear,
    block: Linear,
    head: Mlp,
}

impl PatchEncoder {
    /// For pictures of `blocks` blocks.
    pub fn new(config: &VisionConfig, blocks: usize, device: &Device) -> Self {
        Self {
            patch: LinearConfig::new(PATCH_VALUES, config.patch_features).init(device),
            block: LinearConfig::new(PATCHES * config.patch_features, config.block_features).init(device),
            head: Mlp::new(&[blocks * config.block_features, config.width, config.embedding], device),
        }
    }

    /// `[B, M, 768]` to `[B, E]`, zero mean and unit variance over each embedding.
    pub fn forward(&self, picture: Tensor<3>) -> Tensor<2> {
        let [batch, blocks, values] = picture.dims();
        assert_eq!(values, BLOCK_VALUES, "a picture is [B, M, {BLOCK_VALUES}]");
        let patches = relu(self.patch.forward(picture.reshape([batch * blocks, PATCHES, PATCH_VALUES])));
        let features = relu(self.block.forward(patches.flatten::<2>(1, 2)));
        let [_, width] = features.dims();
        let e = self.head.forward(features.reshape([batch, blocks * width]));
        let centred = e.clone() - e.mean_dim(1);
        centred.clone() / (centred.square().mean_dim(1) + 1e-5).sqrt()
    }
}

/// Repaints a reference picture: `ô = ref + g ⊙ (paint - ref)` with a gate `g` and `paint` from the embeddings.
#[derive(Module, Debug)]
pub struct PatchDecoder {
    global: Mlp,
    reference: Linear,
    mix: Linear,
    paint: Linear,
    gate: Linear,
}

impl PatchDecoder {
    /// For pictures of `blocks` blocks.
    pub fn new(config: &VisionConfig, blocks: usize, device: &Device) -> Self {
        let features = config.block_features;
        Self {
            global: Mlp::new(&[2 * config.embedding, config.width, blocks * features], device),
            reference: LinearConfig::new(BLOCK_VALUES, features).init(device),
            mix: LinearConfig::new(features, features).init(device),
            paint: LinearConfig::new(features, BLOCK_VALUES).init(device),
            gate: LinearConfig::new(features, BLOCK_VALUES / 3).init(device),
        }
    }

    /// Embedding to show `[B, E]`, embedding of the reference `[B, E]`, reference picture `[B, M, 768]` to `[B, M, 768]`.
    pub fn forward(&self, e: Tensor<2>, e_reference: Tensor<2>, reference: Tensor<3>) -> Tensor<3> {
        let [batch, blocks, _] = reference.dims();
        let global = self.global.forward(Tensor::cat(vec![e, e_reference], 1));
        let [_, all] = global.dims();
        let global = global.reshape([batch, blocks, all / blocks]);
        let features = relu(global + self.reference.forward(reference.clone()));
        let features = relu(self.mix.forward(features));
        let pixels = BLOCK_VALUES / 3;
        let gate = sigmoid(self.gate.forward(features.clone())).reshape([batch, blocks, pixels, 1]);
        let paint = self.paint.forward(features).reshape([batch, blocks, pixels, 3]);
        let reference = reference.reshape([batch, blocks, pixels, 3]);
        (reference.clone() + gate * (paint - reference)).reshape([batch, blocks, BLOCK_VALUES])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_back_is_the_same_picture() {
        let size = 48;
        let frame: Vec<u8> = (0..size * size * 3).map(|i| (i * 7 % 251) as u8).collect();
        let blocks = to_blocks([frame.as_slice()].into_iter(), size, &Device::flex());
        assert_eq!(blocks.dims(), [1, 9, 768]);
        assert_eq!(to_frames(blocks, size), vec![frame]);
    }

    #[test]
    fn a_picture_that_is_no_multiple_of_a_block_is_refused_in_words() {
        let message = blocks(50).expect_err("50 is no multiple of 16").to_string();
        assert!(message.contains("data.image_size = 50") && message.contains("16"), "{message}");
    }
}
