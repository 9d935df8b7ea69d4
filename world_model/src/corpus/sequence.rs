//! Embeddings of recorded steps, and sequences of them as a dynamics loss takes them.

use burn::tensor::{Device, Tensor, TensorData};
use episodes::{Window, WindowSampler};
use rand::rngs::StdRng;

use super::Corpus;

/// Embeddings `e_t` of every step of every track, computed once with the frozen encoder.
#[derive(Clone, Debug)]
pub struct Embeddings {
    /// Elements `E` of one embedding.
    pub dim: usize,
    /// Per track `[T, E]`.
    pub rows: Vec<Vec<f32>>,
}

impl Embeddings {
    /// Embedding at step `t` of a track, `[E]`.
    pub fn at(&self, track: usize, t: usize) -> &[f32] {
        &self.rows[track][t * self.dim..(t + 1) * self.dim]
    }

    /// Embeddings at the given (track, step) pairs: `[B, E]`.
    pub fn gather(&self, at: &[(usize, usize)], device: &Device) -> Tensor<2> {
        let mut values = Vec::with_capacity(at.len() * self.dim);
        for &(track, t) in at {
            values.extend_from_slice(self.at(track, t));
        }
        Tensor::from_data(TensorData::new(values, [at.len(), self.dim]), device)
    }
}

/// A batch of `B` sequences of `L` transitions, ready for a dynamics loss.
///
/// Position `i` of a sequence is the transition from `e_i` by `a_i` to `e_{i+1}`; masks are 1 where it was recorded.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// Embeddings `[B, L+1, E]`; zero where nothing was recorded.
    pub embedding: Tensor<3>,
    /// Normalised actions `[B, L, A]`.
    pub action: Tensor<3>,
    /// Rewards `[B, L]`.
    pub reward: Tensor<2>,
    /// 1 where the action led to success `[B, L]`.
    pub success: Tensor<2>,
    /// 1 where the action led to an end that is no success `[B, L]`.
    pub failure: Tensor<2>,
    /// 1 where the action was recorded `[B, L]`.
    pub taken: Tensor<2>,
    /// 1 where the observation after the action was recorded `[B, L]`.
    pub observed: Tensor<2>,
    /// 1 for the elements of an embedding that the robot really has `[B, E]`; `None` where all have all.
    pub known: Option<Tensor<2>>,
}

impl Sequence {
    /// Gathers the windows (their `episode` is a track of `corpus`) as sequences of `steps` transitions.
    pub fn gather(corpus: &Corpus, embeddings: &Embeddings, windows: &[Window], steps: usize, device: &Device) -> Self {
        let (batch, width, actions) = (windows.len(), embeddings.dim, corpus.action_len);
        let mut embedding = vec![0.0; batch * (steps + 1) * width];
        let mut action = vec![0.0; batch * steps * actions];
        let [mut reward, mut success, mut failure, mut taken, mut observed] =
            [(); 5].map(|()| vec![0.0; batch * steps]);
        for (b, window) in windows.iter().enumerate() {
            let track = &corpus.tracks[window.episode];
            for i in 0..=steps {
                let t = window.start + i;
                if t >= track.len {
                    break;
                }
                let at = (b * (steps + 1) + i) * width;
                embedding[at..at + width].copy_from_slice(embeddings.at(window.episode, t));
                if i == steps {
                    break;
                }
                let row = b * steps + i;
                action[row * actions..(row + 1) * actions]
                    .copy_from_slice(&track.action[t * actions..(t + 1) * actions]);
                let last = t + 1 == track.len;
                reward[row] = track.reward[t];
                success[row] = f32::from(u8::from(last && track.success));
                failure[row] = f32::from(u8::from(last && track.terminated && !track.success));
                taken[row] = 1.0;
                observed[row] = f32::from(u8::from(!last));
            }
        }
        let flat = |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, [batch, steps]), device);
        Self {
            embedding: Tensor::from_data(TensorData::new(embedding, [batch, steps + 1, width]), device),
            action: Tensor::from_data(TensorData::new(action, [batch, steps, actions]), device),
            reward: flat(reward),
            success: flat(success),
            failure: flat(failure),
            taken: flat(taken),
            observed: flat(observed),
            known: corpus.has_gaps().then(|| corpus.known(windows.iter().map(|window| window.episode), width, device)),
        }
    }

    /// Draws `batch` windows and gathers them in `shards` parts.
    pub fn sample(
        (corpus, embeddings): (&Corpus, &Embeddings),
        sampler: &WindowSampler,
        (batch, steps, shards): (usize, usize, usize),
        rng: &mut StdRng,
        device: &Device,
    ) -> Vec<Self> {
        let windows = sampler.sample(rng, batch);
        windows
            .chunks(batch.div_ceil(shards.max(1)))
            .map(|part| Self::gather(corpus, embeddings, part, steps, device))
            .collect()
    }
}
