//! What the representation learns from: pairs of successive observations, and pictures of the same episode to repaint.

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use rand::rngs::StdRng;

use super::hinted::Hints;
use super::{Data, Seen};
use crate::hints::recorded;
use crate::noise;

/// Track, step `t`, and the step of the reference picture.
type Drawn = (usize, usize, usize);

/// One shard of pairs `(o_t, a_t, o_{t+1})` with a reference picture from elsewhere in the same episode.
pub struct Pairs {
    pub(super) now: Vec<Seen>,
    pub(super) next: Vec<Seen>,
    pub(super) reference: Vec<Seen>,
    /// For the first half of the rows: what the decoder for showing repaints.
    pub(super) shown_reference: Vec<Seen>,
    pub(super) state_shown_reference: Tensor<2>,
    pub(super) state_now: Tensor<2>,
    pub(super) state_next: Tensor<2>,
    pub(super) state_reference: Tensor<2>,
    pub(super) action: Tensor<2>,
    pub(super) reward: Tensor<2>,
    pub(super) value: Tensor<2>,
    pub(super) known: Option<(Tensor<2>, Tensor<2>)>,
    pub(super) hints: Option<Hints>,
}

impl Pairs {
    /// Draws `batch` pairs from the training tracks, for embeddings of `embedding` elements.
    pub fn sample(
        data: Data<'_>,
        returns: &[Vec<f32>],
        (batch, embedding): (usize, usize),
        rng: &mut StdRng,
        device: &Device,
    ) -> Self {
        let (dataset, corpus, _) = data;
        let usable: Vec<usize> = corpus.train.iter().copied().filter(|&t| corpus.tracks[t].len >= 2).collect();
        let drawn: Vec<Drawn> = (0..batch)
            .map(|_| {
                let track = corpus.draw_track(&usable, rng);
                let len = corpus.tracks[track].len;
                (track, rng.random_range(0..len - 1), rng.random_range(0..len))
            })
            .collect();
        let pictures_of = |drawn: &[Drawn], pick: fn(&Drawn) -> usize| -> Vec<Seen> {
            let at: Vec<(usize, usize)> = drawn.iter().map(|d| (d.0, pick(d))).collect();
            (0..dataset.spec.cameras.len()).map(|c| Seen::at(data, c, &at, device)).collect()
        };
        let pictures = |pick: fn(&Drawn) -> usize| pictures_of(&drawn, pick);
        // Estimators learn from one picture at a time, and decoders from what is shown.
        let others = |pick: fn(&Drawn) -> usize| if corpus.hints.is_some() { Vec::new() } else { pictures(pick) };
        // Shown is what follows from the last real picture, soon rather than late: the distance to it is log-uniform. A generator
        // of its own, seeded by what was drawn, so that the embedding learns the same with and without that decoder.
        let seed = drawn.iter().fold(0, |sum: u64, d| sum.wrapping_mul(31).wrapping_add(d.1 as u64));
        let mut apart = noise::generator(seed, "shown", 0);
        let shown: Vec<Drawn> = drawn[..batch.div_ceil(2)]
            .iter()
            .map(|&(track, t, _)| {
                let most = (corpus.tracks[track].len as f64).ln();
                (track, t, t.saturating_sub((apart.random::<f64>() * most).exp() as usize))
            })
            .collect();
        let rows = |width: usize, of: &dyn Fn(&Drawn) -> Vec<f32>| {
            let values: Vec<f32> = drawn.iter().flat_map(of).collect();
            Tensor::<2>::from_data(TensorData::new(values, [batch, width]), device)
        };
        let s = corpus.state_len;
        let a = corpus.action_len;
        let state = |track: usize, t: usize| corpus.tracks[track].state[t * s..(t + 1) * s].to_vec();
        Self {
            now: pictures(|d| d.1),
            next: others(|d| d.1 + 1),
            reference: others(|d| d.2),
            shown_reference: pictures_of(&shown, |d| d.2),
            state_shown_reference: {
                let values: Vec<f32> = shown.iter().flat_map(|d| state(d.0, d.2)).collect();
                Tensor::from_data(TensorData::new(values, [shown.len(), s]), device)
            },
            state_now: rows(s, &|d| state(d.0, d.1)),
            state_next: rows(s, &|d| state(d.0, d.1 + 1)),
            state_reference: rows(s, &|d| state(d.0, d.2)),
            action: rows(a, &|d| corpus.tracks[d.0].action[d.1 * a..(d.1 + 1) * a].to_vec()),
            reward: rows(1, &|d| vec![corpus.tracks[d.0].reward[d.1]]),
            value: rows(1, &|d| vec![returns[d.0][d.1]]),
            hints: corpus.hints.as_ref().map(|_| Hints {
                now: recorded(corpus, drawn.iter().map(|d| (d.0, d.1)), device),
                shown_reference: recorded(corpus, shown.iter().map(|d| (d.0, d.2)), device),
            }),
            known: corpus.has_gaps().then(|| {
                let tracks = || drawn.iter().map(|d| d.0);
                (corpus.known(tracks(), embedding, device), corpus.known_actions(tracks(), 1, device))
            }),
        }
    }
}
