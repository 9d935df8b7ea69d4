//! What the model says of outcomes, and of itself, on held-out episodes: does it foresee reward and success, and is it in
//! doubt where it is wrong?

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::agreement::{auroc, explained, mean, spearman};
use crate::corpus::{Corpus, Embeddings};
use crate::model::WorldModel;
use crate::noise;
use crate::quality::QualityConfig;
use crate::train::latents_at;
use crate::vision::floats;

/// Agreement of predictions with what was recorded, open loop, up to the largest horizon ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Foresight {
    /// Imagined steps compared.
    pub steps: usize,
    /// Of them, steps that led to success.
    pub successes: usize,
    /// Share of the reward's variance that is explained; `None` where the reward never changes.
    pub reward_r2: Option<f64>,
    /// Probability that a step that led to success is given a higher probability of it than one that did not; `None` where
    /// there is only one of the two.
    pub success_auroc: Option<f64>,
    /// Spearman's ρ between the disagreement so far and the error of the embedding, among imagined steps that are equally far
    /// ahead, mean over how far; `None` where it cannot be told. Across distances both grow, which would flatter it.
    pub doubt_error_rho: Option<f64>,
}

/// Most recorded states from which is imagined.
const MOST_STARTS: usize = 512;

/// Walks through held-out tracks (training tracks where there are none) in pieces of the largest horizon, along their own actions.
pub fn foresight(
    model: &WorldModel,
    data: (&Corpus, &Embeddings),
    config: &QualityConfig,
    seed: u64,
    device: &Device,
) -> Foresight {
    let (corpus, embeddings) = data;
    let tracks = if corpus.held_out.is_empty() { &corpus.train } else { &corpus.held_out };
    let all: Vec<(usize, usize)> = tracks
        .iter()
        .flat_map(|&track| (0..corpus.tracks[track].len).step_by(config.horizon.max(1)).map(move |t| (track, t)))
        .collect();
    let stride = all.len().div_ceil(MOST_STARTS).max(1);
    let starts: Vec<(usize, usize)> = all.into_iter().step_by(stride).collect();
    let rows = starts.len();
    let mut rng = noise::generator(seed, "foresight", 0);
    let mut latent = latents_at(model, data, &starts, config.context, &mut rng, device);
    let mut doubt = vec![0.0f32; rows];
    let [mut reward, mut reward_seen, mut success] = [(); 3].map(|()| Vec::<f32>::new());
    let (mut succeeded, mut rho) = (Vec::new(), Vec::new());
    for k in 0..config.horizon {
        let (mut doubts, mut errors) = (Vec::new(), Vec::new());
        let mut action = Vec::new();
        for &(track, t) in &starts {
            corpus.action_chunk(track, (t + k).min(corpus.tracks[track].len - 1), 1, &mut action);
        }
        let action = Tensor::from_data(TensorData::new(action, [rows, corpus.action_len]), device);
        let noise = model.draw_noise(rows, &mut rng, device);
        let (next, prediction) = model.imagine(&latent, action, noise);
        let [r, p, d] = [prediction.reward, prediction.success, prediction.disagreement].map(floats);
        let e = floats(next.e.clone());
        for (row, &(track, t)) in starts.iter().enumerate() {
            let recorded = &corpus.tracks[track];
            let at = t + k;
            if at >= recorded.len {
                continue;
            }
            let last = at + 1 == recorded.len;
            reward.push(r[row]);
            reward_seen.push(recorded.reward[at]);
            success.push(p[row]);
            succeeded.push(last && recorded.success);
            doubt[row] += d[row];
            if !last {
                let imagined = &e[row * embeddings.dim..(row + 1) * embeddings.dim];
                let wrong = imagined.iter().zip(embeddings.at(track, at + 1)).map(|(a, b)| (a - b).powi(2)).sum();
                doubts.push(doubt[row]);
                errors.push(wrong);
            }
        }
        rho.extend(spearman(&doubts, &errors));
        latent = next;
    }
    Foresight {
        steps: reward.len(),
        successes: succeeded.iter().filter(|s| **s).count(),
        reward_r2: explained(&reward, &reward_seen),
        success_auroc: auroc(&success, &succeeded),
        doubt_error_rho: (!rho.is_empty()).then(|| mean(rho.iter().copied())),
    }
}
