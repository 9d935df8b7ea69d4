//! Observation to embedding: an encoder per camera, the state beside it, shaped by what the task needs.
//!
//! `e_t = [enc_1(camera_1), …, state_t]`, and `state_t` ends with the task where there are several ([`crate::task`]). An encoder may
//! take a feature of the picture by a frozen transformer beside it ([`crate::vit`]). Besides repainting another picture of the same
//! episode, the embedding must tell the return to come, the reward of an action, the action between two observations (inverse
//! dynamics), and be predictable one step ahead. Those heads exist only during training; they are how the task shapes it.
//!
//! Where recordings hold hints ([`crate::hints`]), a camera's part of the embedding is its estimate of the hint, and that is all it
//! learns; only the decoder learns beside it.

mod hinted;
mod pairs;
#[cfg(test)]
mod tests;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use episodes::Dataset;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::corpus::{Corpus, Embeddings};
use crate::differences::Differences;
use crate::hints::{HintConfig, HintEncoder};
use crate::kernels::moved::moved_error;
use crate::layers::Mlp;
use crate::model::Inputs;
use crate::optimise::Metrics;
use crate::vision::{PatchDecoder, PatchEncoder, Shown, VisionConfig, blocks, floats, to_blocks};
use crate::vit::Features;
pub use pairs::Pairs;

/// Representation and its training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RepresentationConfig {
    /// Picture networks; where there are hints, only the decoder's.
    pub vision: VisionConfig,
    /// The network that tells hints from a picture, where there are some.
    pub hints: HintConfig,
    /// Updates.
    pub updates: usize,
    /// Pairs of successive observations in a batch.
    pub batch: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Weight of the task's heads against reconstruction.
    pub task_weight: f32,
}

impl Default for RepresentationConfig {
    fn default() -> Self {
        Self {
            vision: VisionConfig::default(),
            hints: HintConfig::default(),
            updates: 2000,
            batch: 64,
            learning_rate: 2e-3,
            task_weight: 0.3,
        }
    }
}

impl RepresentationConfig {
    /// Elements of one camera's part of the embedding where the code of a hint has `hint` elements, 0 for no hint.
    pub fn camera_len(&self, hint: usize) -> usize {
        if hint > 0 { hint } else { self.vision.embedding() }
    }
}

/// What one camera shows.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The picture `[B, M, 768]`.
    pub picture: Tensor<3>,
    /// Its feature `[B, F]`, where a pretrained transformer gives one.
    pub feature: Option<Tensor<2>>,
}

impl Seen {
    /// What camera `c` shows at (track, step) pairs.
    pub(crate) fn at(data: Data<'_>, c: usize, at: &[(usize, usize)], device: &Device) -> Self {
        let (dataset, corpus, features) = data;
        let frames: Vec<&[u8]> =
            at.iter().map(|&(track, t)| dataset.frame(c, corpus.tracks[track].episode, t)).collect();
        Self {
            picture: to_blocks(frames.into_iter(), dataset.spec.cameras[c].model_size, device),
            feature: features.map(|features| features.gather(c, at.iter().copied(), device)),
        }
    }
}

/// Recorded episodes, as learners see them, and features of their pictures where there are any.
pub type Data<'a> = (&'a Dataset, &'a Corpus, Option<&'a Features>);

/// What a robot needs of the representation: cameras and state to `e [B, E]`.
#[derive(Module, Debug)]
pub struct Encoder {
    cameras: Vec<PatchEncoder>,
    estimators: Vec<HintEncoder>,
    #[module(skip)]
    differences: Differences,
}

impl Encoder {
    /// An encoder for the given picture sizes, pixels.
    ///
    /// # Errors
    /// When a size is no multiple of the block.
    pub fn new(config: &VisionConfig, camera_sizes: &[usize], device: &Device) -> Result<Self, Error> {
        Self::with_features(config, camera_sizes, 0, device)
    }

    /// The same with a feature of `feature` elements beside every picture.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_features(
        config: &VisionConfig,
        camera_sizes: &[usize],
        feature: usize,
        device: &Device,
    ) -> Result<Self, Error> {
        let cameras = camera_sizes
            .iter()
            .map(|&size| Ok(PatchEncoder::new(config, blocks(size)?, feature, device)))
            .collect::<Result<_, Error>>()?;
        Ok(Self { cameras, estimators: Vec::new(), differences: Differences::NONE })
    }

    /// An encoder whose cameras tell hints of `hint` elements, with a feature of `feature` elements beside every picture.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn telling(
        config: &HintConfig,
        camera_sizes: &[usize],
        (hint, feature): (usize, usize),
        device: &Device,
    ) -> Result<Self, Error> {
        let estimators = camera_sizes
            .iter()
            .map(|&size| blocks(size).map(|_| HintEncoder::new(config, feature, hint, device)))
            .collect::<Result<_, Error>>()?;
        Ok(Self { cameras: Vec::new(), estimators, differences: Differences::NONE })
    }

    /// The same where differences stand in the state, worked out from what the cameras tell and the rest of it.
    pub fn beside(self, differences: Differences) -> Self {
        Self { differences, ..self }
    }

    /// What each camera shows, and normalised state `[B, S]`, to `[B, E]`.
    pub fn encode(&self, seen: Vec<Seen>, state: Tensor<2>) -> Tensor<2> {
        let mut parts = self.look(seen);
        parts.push(state);
        self.joined(parts)
    }

    /// The parts of an embedding, the last of them the state, as one `[B, E]`.
    fn joined(&self, parts: Vec<Tensor<2>>) -> Tensor<2> {
        self.differences.renewed(Tensor::cat(parts, 1))
    }

    /// What each camera shows, to its part of the embedding `[B, E_c]`.
    fn look(&self, seen: Vec<Seen>) -> Vec<Tensor<2>> {
        assert_eq!(seen.len(), self.cameras.len() + self.estimators.len(), "one picture per camera");
        if self.estimators.is_empty() {
            let look = |(camera, seen): (&PatchEncoder, Seen)| camera.forward(seen.picture, seen.feature);
            return self.cameras.iter().zip(seen).map(look).collect();
        }
        let tell = |(camera, seen): (&HintEncoder, Seen)| camera.forward(seen.picture, seen.feature);
        self.estimators.iter().zip(seen).map(tell).collect()
    }
}

/// Points that a decoder reads off hint and state.
const HINTED_POINTS: usize = 8;

/// Encoder, decoders and the training-only heads.
#[derive(Module, Debug)]
pub struct Representation {
    /// What the robot links.
    pub encoder: Encoder,
    decoders: Vec<PatchDecoder>,
    inverse: Mlp,
    forward: Mlp,
    reward: Mlp,
    value: Mlp,
    displays: Vec<PatchDecoder>,
    camera_width: usize,
    squared_below: f64,
}

impl Representation {
    /// Fresh networks for the cameras and vectors of `corpus`.
    ///
    /// # Errors
    /// When a camera's picture size is no multiple of the block.
    pub fn new(
        config: &RepresentationConfig,
        sizes: &[usize],
        vectors: (usize, usize),
        device: &Device,
    ) -> Result<Self, Error> {
        let (state, action) = vectors;
        let differences = &Differences::NONE;
        let inputs = Inputs { camera_sizes: sizes, feature: 0, hint: 0, state, task: 0, differences, action };
        Self::of(config, &inputs, device)
    }

    /// Fresh networks for all that a dataset may give.
    ///
    /// # Errors
    /// When a camera's picture size is no multiple of the block.
    pub fn of(config: &RepresentationConfig, inputs: &Inputs<'_>, device: &Device) -> Result<Self, Error> {
        let &Inputs { camera_sizes: sizes, feature, hint, state, action, .. } = inputs;
        let camera_width = config.camera_len(hint);
        let embedding = sizes.len() * camera_width + state;
        let width = 2 * config.vision.width;
        // Hints say where things are, as the state does: the decoder reads its points off both.
        let (vision, placing) = match hint {
            0 => (config.vision, state),
            _ => {
                let vision = VisionConfig { keypoints: 0, global: hint, state_points: HINTED_POINTS, ..config.vision };
                (vision, hint + state)
            }
        };
        let decoders = sizes.iter().map(|_| PatchDecoder::new(&vision, placing, device)).collect();
        let display = VisionConfig { state_points: vision.display_points, ..vision };
        // Estimators learn nothing from a decoder, so that one is enough.
        let shown = if display.state_points > 0 && hint == 0 { sizes } else { &[] };
        Ok(Self {
            encoder: {
                let encoder = match hint {
                    0 => Encoder::with_features(&config.vision, sizes, feature, device)?,
                    _ => Encoder::telling(&config.hints, sizes, (hint, feature), device)?,
                };
                encoder.beside(inputs.differences.clone())
            },
            decoders,
            inverse: Mlp::new(&[2 * embedding, width, action], device),
            forward: Mlp::ending_at_zero(&[embedding + action, width, embedding], device),
            reward: Mlp::new(&[embedding + action, width, 1], device),
            value: Mlp::new(&[embedding, width, 1], device),
            displays: shown.iter().map(|_| PatchDecoder::new(&display, state, device)).collect(),
            camera_width,
            squared_below: f64::from(config.hints.squared_below),
        })
    }

    /// Shows the embedding `[B, E]` as one camera's picture, repainting `reference [B, M, 768]` whose embedding is `[B, E]`.
    ///
    /// `ô = ref + D(e, e_ref, ref) - D(e_ref, e_ref, ref)`: what the decoder gets wrong about the reference itself cancels, and an
    /// embedding that has not changed shows exactly the reference.
    pub fn decode(&self, camera: usize, e: Tensor<2>, e_reference: Tensor<2>, reference: Tensor<3>) -> Tensor<3> {
        let decoder = self.displays.get(camera).unwrap_or(&self.decoders[camera]);
        let unchanged = self.paint(decoder, camera, [e_reference.clone(), e_reference.clone()], reference.clone());
        reference.clone() + self.paint(decoder, camera, [e, e_reference], reference) - unchanged
    }

    /// `[e, e_reference]` `[B, E]` each.
    fn paint(
        &self,
        decoder: &PatchDecoder,
        camera: usize,
        [e, e_reference]: [Tensor<2>; 2],
        reference: Tensor<3>,
    ) -> Tensor<3> {
        let (width, cameras) = (self.camera_width, self.decoders.len() * self.camera_width);
        let shown = |e: Tensor<2>| {
            let [_, embedding] = e.dims();
            let camera = e.clone().narrow(1, camera * width, width);
            let state = e.narrow(1, cameras, embedding - cameras);
            let placing = if self.tells_hints() { Tensor::cat(vec![camera.clone(), state], 1) } else { state };
            Shown { camera, state: placing }
        };
        decoder.forward(&shown(e), &shown(e_reference), reference)
    }

    /// Elements `E` of an embedding.
    pub fn embedding(&self, state_len: usize) -> usize {
        self.decoders.len() * self.camera_width + state_len
    }

    fn tells_hints(&self) -> bool {
        !self.encoder.estimators.is_empty()
    }

    /// Loss of one shard: reconstruction of `o_t` on another picture, and the task's heads.
    /// Where there are hints: of what the cameras tell of them, and of the decoders.
    pub fn loss(&self, mut pairs: Pairs, task_weight: f32) -> (Tensor<1>, Metrics) {
        if let Some(hints) = pairs.hints.take() {
            return self.telling_loss(pairs, hints);
        }
        let now = self.encoder.encode(pairs.now.clone(), pairs.state_now);
        let next = self.encoder.encode(pairs.next, pairs.state_next);
        let reference = self.encoder.encode(pairs.reference.clone(), pairs.state_reference);
        let shown_reference = if self.displays.is_empty() {
            reference.clone()
        } else {
            self.encoder.encode(pairs.shown_reference.clone(), pairs.state_shown_reference).detach()
        };
        let with_action = Tensor::cat(vec![now.clone(), pairs.action.clone()], 1);

        let inverse = self.inverse.forward(Tensor::cat(vec![now.clone(), next.clone()], 1));
        let inverse = (inverse - pairs.action).square();
        let forward = (now.clone() + self.forward.forward(with_action.clone()) - next).square();
        let (inverse, forward) = match pairs.known {
            None => (inverse.mean(), forward.mean()),
            Some((embedding, action)) => {
                let mean = |x: Tensor<2>, known: Tensor<2>| (x * known.clone()).sum() / known.sum().clamp_min(1.0);
                (mean(inverse, action), mean(forward, embedding))
            }
        };
        let reward = (self.reward.forward(with_action) - pairs.reward).square().mean();
        let value = (self.value.forward(now.clone()) - pairs.value).square().mean();
        let task = inverse.clone() * 0.3 + forward.clone() * 3.0 + reward.clone() * 100.0 + value.clone() * 10.0;

        let [mut picture, mut display] = [(); 2].map(|()| now.clone().mean() * 0.0);
        let pictures = pairs.reference.into_iter().zip(pairs.now).map(|(seen, shown)| (seen.picture, shown.picture));
        for (camera, (seen, shown)) in pictures.enumerate() {
            let both = [now.clone(), reference.clone()];
            let painted = self.paint(&self.decoders[camera], camera, both.clone(), seen.clone());
            // What moved is a few pixels of many: they count four times.
            picture = picture + moved_error(painted, shown.clone(), seen.clone());
            if let (Some(decoder), Some(seen)) = (self.displays.get(camera), pairs.shown_reference.get(camera)) {
                let seen = seen.picture.clone();
                // Without gradients into the embedding: what it has to know of the robot must stay in it.
                // Half of the rows are enough for a picture that nothing depends on. Every pixel counts alike: where what moved
                // counts more, what stays is painted worse than a copy (docs/LOG.md, 2026-11-25).
                let shown = shown.narrow(0, 0, seen.dims()[0]);
                let both = [now.clone().narrow(0, 0, seen.dims()[0]).detach(), shown_reference.clone()];
                // Twice, so that both decoders learn from errors of like size.
                let error = (self.paint(decoder, camera, both, seen) - shown).square().mean();
                display = display + error * 2.0;
            }
        }
        let metrics = [
            ("picture", &picture),
            ("display", &display),
            ("inverse", &inverse),
            ("forward", &forward),
            ("reward", &reward),
            ("value", &value),
        ]
        .map(|(name, t)| (name, t.clone().into_scalar::<f32>()));
        // Pixel errors are of the order 1e-3 in these units; the factor brings them to the order of one.
        ((picture + display) * 100.0 + task * task_weight, metrics.to_vec())
    }
}

/// Embeds every step of every track with the frozen encoder, `chunk` observations at a time.
pub fn embed_all(encoder: &Encoder, data: Data<'_>, device: &Device) -> Embeddings {
    let rows = embed_from(0, encoder, data, device);
    let dim = rows.iter().zip(&data.1.tracks).find(|(_, t)| t.len > 0).map_or(0, |(r, t)| r.len() / t.len);
    Embeddings { dim, rows }
}

/// Rows of [`embed_all`] of the tracks from number `first` on.
pub fn embed_from(first: usize, encoder: &Encoder, data: Data<'_>, device: &Device) -> Vec<Vec<f32>> {
    use rayon::prelude::*;
    const CHUNK: usize = 256;
    let (dataset, corpus, _) = data;
    (first..corpus.tracks.len())
        .into_par_iter()
        .map(|i| {
            let track = &corpus.tracks[i];
            let mut out = Vec::new();
            for start in (0..track.len).step_by(CHUNK) {
                let steps = start..(start + CHUNK).min(track.len);
                let at: Vec<(usize, usize)> = steps.clone().map(|t| (i, t)).collect();
                let seen = (0..dataset.spec.cameras.len()).map(|c| Seen::at(data, c, &at, device)).collect();
                let s = corpus.state_len;
                let state = track.state[steps.start * s..steps.end * s].to_vec();
                let state = Tensor::from_data(TensorData::new(state, [steps.len(), s]), device);
                out.extend(floats(encoder.encode(seen, state)));
            }
            out
        })
        .collect()
}
