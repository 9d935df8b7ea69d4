//! Batches that dynamics learn from or are measured on: which sequences, and with which noise.

use burn::tensor::{Device, Tensor};
use episodes::{Window, WindowSampler};

use crate::corpus::{Corpus, Embeddings, Sequence};
use crate::dropout::CameraDropout;
use crate::events::Events;
use crate::model::WorldModelConfig;
use crate::noise;

/// The stage whose batches are learned from.
pub(super) const LEARNING: &str = "dynamics";

pub(super) struct Shard {
    pub sequence: Sequence,
    pub noise: Tensor<4>,
    pub bootstrap: Tensor<3>,
}

/// What a batch is drawn from.
pub(super) struct Draw<'a> {
    pub config: WorldModelConfig,
    pub corpus: &'a Corpus,
    pub embeddings: &'a Embeddings,
    pub noise_len: usize,
    pub members: usize,
    pub seed: u64,
    pub dropout: Option<CameraDropout>,
    pub events: Option<Events>,
    /// Of sequences that begin where episodes do.
    pub beginnings: WindowSampler,
}

impl Draw<'_> {
    /// `shards` parts of the batch number `update` of a `stage`.
    pub fn shards(
        &self,
        stage: &str,
        update: usize,
        sampler: &WindowSampler,
        shards: usize,
        device: &Device,
    ) -> Vec<Shard> {
        let WorldModelConfig { batch, horizon, bootstrap, eventful, beginnings, .. } = self.config;
        let mut rng = noise::generator(self.seed, stage, update as u64);
        let mut windows = match &self.events {
            Some(events) if stage == LEARNING => {
                events.sample(self.embeddings, sampler, (batch, horizon), eventful, &mut rng)
            }
            _ => sampler.sample(&mut rng, batch),
        };
        if stage == LEARNING && beginnings > 0.0 {
            let chosen = (batch as f32 * beginnings.min(1.0)).round() as usize;
            let first = self.beginnings.sample(&mut rng, chosen);
            spread(&mut windows, first);
        }
        let gather = |part: &[Window]| Sequence::gather(self.corpus, self.embeddings, part, horizon, device);
        let sequences: Vec<Sequence> = windows.chunks(batch.div_ceil(shards.max(1))).map(gather).collect();
        sequences
            .into_iter()
            .map(|mut sequence| {
                if let Some(dropout) = &self.dropout {
                    sequence.embedding = dropout.apply(sequence.embedding, &mut rng);
                }
                let rows = sequence.action.dims()[0];
                let uniform = noise::uniform::<3>;
                Shard {
                    noise: noise::gumbel([2, horizon + 1, rows, self.noise_len], &mut rng, device),
                    bootstrap: uniform([horizon, self.members, rows], &mut rng, device).lower_elem(bootstrap).float(),
                    sequence,
                }
            })
            .collect()
    }
}

/// Puts `first` in the places of some windows, evenly over all of them, so that each shard is like the whole.
fn spread(windows: &mut [Window], first: Vec<Window>) {
    let (all, some) = (windows.len(), first.len());
    first.into_iter().enumerate().for_each(|(i, first)| windows[i * all / some] = first);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_an_episode_is_spread_over_the_batch_by_hand() {
        let places = |some: usize| {
            let window = |episode: usize| Window { episode, start: 0 };
            let mut windows: Vec<Window> = (0..8).map(|_| window(0)).collect();
            spread(&mut windows, (0..some).map(|_| window(1)).collect());
            windows.into_iter().map(|window| window.episode).collect::<Vec<_>>()
        };
        assert_eq!(places(0), [0; 8]);
        assert_eq!(places(2), [1, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(places(5), [1, 1, 0, 1, 1, 0, 1, 0]);
        assert_eq!(places(8), [1; 8]);
    }
}
