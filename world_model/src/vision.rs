//! Pictures to embeddings and back, by patches: on a CPU a few fat matrix products beat convolutions by 2.5 times.
//!
//! A picture is laid out as `M` blocks of 16×16 pixels, each of 16 patches of 4×4 pixels ([`to_blocks`]), so that both
//! stages of the encoder are plain products without moving data. The decoder repaints a *reference* picture (the last
//! real one): what the embedding says nothing about is carried over, not re-imagined.

#[cfg(test)]
mod tests;

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::kernels::bias::biased;
use crate::kernels::blend::blended;
use crate::kernels::keypoints::keypoints;
use crate::kernels::nearness::nearness;
use crate::layers::{Mlp, dense};

/// Pixels along a block: the side of a picture must be a multiple of it.
pub const BLOCK: usize = 16;
const PATCH: usize = 4;
/// Patches side by side in a block.
const ACROSS: usize = BLOCK / PATCH;
const PATCHES: usize = ACROSS * ACROSS;
const PATCH_VALUES: usize = PATCH * PATCH * 3;
/// Values of one block: 16 × 16 pixels × 3 channels.
pub const BLOCK_VALUES: usize = PATCHES * PATCH_VALUES;

/// Sizes of the picture networks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VisionConfig {
    /// Points that the encoder finds in a picture; two elements of the embedding each.
    pub keypoints: usize,
    /// Further elements of the embedding, from the picture as a whole.
    pub global: usize,
    /// Features of one 4×4 patch.
    pub patch_features: usize,
    /// Features of one 16×16 block.
    pub block_features: usize,
    /// Width of the layers of the decoder.
    pub width: usize,
    /// Points that the decoder reads off the robot's state: where the robot itself is in the picture. 0: the decoder does not see
    /// the state at all. Pictures get better, the policies learned on the embedding worse (docs/LOG.md, 2026-11-25).
    pub state_points: usize,
    /// The same for a second decoder, which shows pictures to people and to the quality report and from which nothing is learned by
    /// the embedding: better pictures cost the policies nothing. 0: there is no second decoder.
    pub display_points: usize,
    /// Keypoints are found with the block around a patch in view, not by the patch alone. The same holds of it.
    pub surroundings: bool,
}

impl Default for VisionConfig {
    fn default() -> Self {
        Self {
            keypoints: 16,
            global: 24,
            patch_features: 32,
            block_features: 48,
            width: 64,
            state_points: 0,
            display_points: 4,
            surroundings: false,
        }
    }
}

impl VisionConfig {
    /// Elements of one camera's embedding.
    pub fn embedding(&self) -> usize {
        2 * self.keypoints + self.global
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
    let frames: Vec<&[u8]> = frames.collect();
    let per_row = size / BLOCK;
    let (blocks, patches) = (per_row * per_row, per_row * per_row * PATCHES);
    let values: Vec<[[f32; PATCH * 3]; PATCH]> = (0..frames.len() * patches)
        .into_par_iter()
        .with_min_len(PATCHES_AT_ONCE)
        .map(|i| {
            let (frame, block, patch) = (frames[i / patches], i % patches / PATCHES, i % PATCHES);
            let top = block / per_row * BLOCK + patch / ACROSS * PATCH;
            let left = block % per_row * BLOCK + patch % ACROSS * PATCH;
            std::array::from_fn(|y| {
                let at = ((top + y) * size + left) * 3;
                let mut pixels = [0; PATCH * 3];
                pixels.copy_from_slice(&frame[at..at + PATCH * 3]);
                pixels.map(|value| f32::from(value) / 255.0 - 0.5)
            })
        })
        .collect();
    let values = values.into_flattened().into_flattened();
    Tensor::from_data(TensorData::new(values, [frames.len(), blocks, BLOCK_VALUES]), device)
}

/// A single picture has fewer patches than two threads would be worth.
const PATCHES_AT_ONCE: usize = 1024;

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

/// Blocks `[B, M, 768]` as pixels row by row `[B, size², 3]`.
pub(crate) fn pixels(blocks: Tensor<3>) -> Tensor<3> {
    let [batch, count, _] = blocks.dims();
    let per_row = count.isqrt();
    let lines = blocks.reshape([batch, per_row, per_row, ACROSS, ACROSS, PATCH, PATCH * 3]);
    lines.permute([0, 1, 3, 5, 2, 4, 6]).reshape([batch, count * BLOCK * BLOCK, 3])
}

/// All values of a tensor in row-major order.
pub fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().expect("a float tensor reads back as f32")
}

/// Centres of all patches in the order of [`to_blocks`], `[P, 2]`, from -1 to 1.
fn patch_centres(blocks: usize, device: &Device) -> Tensor<2> {
    let per_row = blocks.isqrt();
    let scale = 2.0 / (per_row * BLOCK) as f32;
    let values: Vec<f32> = (0..blocks * PATCHES)
        .flat_map(|i| {
            let (block, patch) = (i / PATCHES, i % PATCHES);
            let x = (block % per_row) * BLOCK + (patch % 4) * PATCH;
            let y = (block / per_row) * BLOCK + (patch / 4) * PATCH;
            [x, y].map(|v| (v as f32 + PATCH as f32 / 2.0) * scale - 1.0)
        })
        .collect();
    Tensor::from_data(TensorData::new(values, [blocks * PATCHES, 2]), device)
}

/// Brings keypoints, which lie between -1 and 1, to about unit variance.
pub(crate) const KEYPOINT_SCALE: f64 = 2.0;

/// `[B, M, 768]` to an embedding `[B, E]`: keypoints by spatial soft-argmax (Finn et al. 2016, Deep Spatial Autoencoders,
/// sec. IV), which tell where things are to a fraction of a pixel, and a few normalised elements for everything else.
#[derive(Module, Debug)]
pub struct PatchEncoder {
    patch: Linear,
    detect: Linear,
    surroundings: Option<Linear>,
    block: Linear,
    head: Mlp,
    keypoints: usize,
}

impl PatchEncoder {
    /// For pictures of `blocks` blocks, with a feature of `feature` elements beside each, which may be none.
    pub fn new(config: &VisionConfig, blocks: usize, feature: usize, device: &Device) -> Self {
        Self {
            patch: LinearConfig::new(PATCH_VALUES, config.patch_features).init(device),
            detect: LinearConfig::new(config.patch_features, config.keypoints).init(device),
            surroundings: config
                .surroundings
                .then(|| LinearConfig::new(config.block_features, PATCHES * config.keypoints).init(device)),
            block: LinearConfig::new(PATCHES * config.patch_features, config.block_features).init(device),
            head: Mlp::new(&[blocks * config.block_features + feature, 2 * config.width, config.global], device),
            keypoints: config.keypoints,
        }
    }

    /// `[B, M, 768]`, and a feature of the picture `[B, F]` where there is one, to `[B, E]`.
    pub fn forward(&self, picture: Tensor<3>, feature: Option<Tensor<2>>) -> Tensor<2> {
        let [batch, blocks, values] = picture.dims();
        assert_eq!(values, BLOCK_VALUES, "a picture is [B, M, {BLOCK_VALUES}]");
        let device = picture.device();
        let places = blocks * PATCHES;
        // Flat products: a product with a leading batch axis would run as many small ones.
        let patches = dense(&self.patch, picture.reshape([batch * places, PATCH_VALUES]), true);
        let [_, per_patch] = patches.dims();
        let features = dense(&self.block, patches.clone().reshape([batch * blocks, PATCHES * per_patch]), true);
        let [_, width] = features.dims();
        let mut scores = dense(&self.detect, patches, false).reshape([batch, places, self.keypoints]);
        if let Some(surroundings) = &self.surroundings {
            // A patch of 4×4 pixels shows a colour or an edge; which edge it is, the block around it tells.
            scores = scores + dense(surroundings, features.clone(), false).reshape([batch, places, self.keypoints]);
        }
        let points = keypoints(scores, &patch_centres(blocks, &device));
        let mut whole = features.reshape([batch, blocks * width]);
        if let Some(feature) = feature {
            whole = Tensor::cat(vec![whole, feature], 1);
        }
        let global = self.head.forward(whole);
        let centred = global.clone() - global.mean_dim(1);
        let global = centred.clone() / (centred.square().mean_dim(1) + 1e-5).sqrt();
        Tensor::cat(vec![points * KEYPOINT_SCALE, global], 1)
    }
}

/// Repaints a reference picture: `ô = ref + g ⊙ (paint - ref)` with a gate `g`, patch by patch with shared weights.
/// A patch knows the reference there, and how points lie around it now and in the reference: the keypoints of the embedding, and
/// points that the robot's state places, because where the robot is in the picture is known from its joints.
#[derive(Module, Debug)]
pub struct PatchDecoder {
    place: Option<Mlp>,
    near: Linear,
    global: Linear,
    mix: Linear,
    paint: Linear,
    keypoints: usize,
}

impl PatchDecoder {
    /// For any picture size and a state of `state` elements.
    pub fn new(config: &VisionConfig, state: usize, device: &Device) -> Self {
        let w = config.width;
        let placed = if state > 0 { config.state_points } else { 0 };
        let state = if placed > 0 { state } else { 0 };
        let points = config.keypoints + placed;
        Self {
            place: (placed > 0).then(|| Mlp::new(&[state, w, 2 * placed], device)),
            near: LinearConfig::new(8 * points + PATCH_VALUES, w).init(device),
            global: LinearConfig::new(2 * (config.global + state), w).init(device),
            mix: LinearConfig::new(w, w).init(device),
            paint: LinearConfig::new(w, PATCH_VALUES + PATCH_VALUES / 3).init(device),
            keypoints: config.keypoints,
        }
    }

    /// How the points of an embedding lie around each patch: `[B, P, 4K]`.
    fn around(&self, shown: &Shown, centres: &Tensor<2>) -> Tensor<3> {
        let found = || shown.camera.clone().narrow(1, 0, 2 * self.keypoints) / KEYPOINT_SCALE;
        let points = match &self.place {
            Some(place) if self.keypoints == 0 => place.forward(shown.state.clone()),
            Some(place) => Tensor::cat(vec![found(), place.forward(shown.state.clone())], 1),
            None => found(),
        };
        nearness(points, centres)
    }

    /// What to show, what the reference shows, and the reference picture `[B, M, 768]`, to `[B, M, 768]`.
    pub fn forward(&self, shown: &Shown, in_reference: &Shown, reference: Tensor<3>) -> Tensor<3> {
        let [batch, blocks, _] = reference.dims();
        let places = blocks * PATCHES;
        let centres = patch_centres(blocks, &reference.device());
        let [_, embedding] = shown.camera.dims();
        let found = 2 * self.keypoints;
        let rest = |x: &Shown| {
            let camera = x.camera.clone().narrow(1, found, embedding - found);
            if self.place.is_some() { Tensor::cat(vec![camera, x.state.clone()], 1) } else { camera }
        };
        let global = self.global.forward(Tensor::cat(vec![rest(shown), rest(in_reference)], 1));
        let [_, width] = global.dims();
        let rows = batch * places;
        let patches = reference.reshape([rows, PATCH_VALUES]);
        let around = [shown, in_reference].map(|x| {
            let x = self.around(x, &centres);
            let [.., values] = x.dims();
            x.reshape([rows, values])
        });
        // One layer over [around what is shown, around the reference, patch], a product for each: nothing is laid side by side,
        // and pixels get no gradient.
        let weight = self.near.weight.val();
        let mut start = 0;
        let mut product = |x: Tensor<2>| {
            let [_, inputs] = x.dims();
            start += inputs;
            x.matmul(weight.clone().narrow(0, start - inputs, inputs))
        };
        let [now, then] = around;
        let near = product(now) + product(then) + product(patches.clone());
        let global = match &self.near.bias {
            Some(bias) => global + bias.val().unsqueeze::<2>(),
            None => global,
        };
        let features = biased(near.reshape([batch, places, width]), global.reshape([batch, 1, width]), true);
        let features = dense(&self.mix, features.reshape([rows, width]), true);
        // Begins by carrying most of the reference over.
        blended(dense(&self.paint, features, false), patches).reshape([batch, blocks, BLOCK_VALUES])
    }
}

/// The parts of an embedding that show in one camera's picture.
pub struct Shown {
    /// That camera's elements `[B, E_c]`.
    pub camera: Tensor<2>,
    /// Normalised state `[B, S]`, `S` may be 0.
    pub state: Tensor<2>,
}
