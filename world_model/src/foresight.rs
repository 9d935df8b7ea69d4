//! What the model says of outcomes, and of itself, on held-out episodes: does it foresee reward and success, and is it in
//! doubt where it is wrong?

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

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
        doubt_error_rho: (!rho.is_empty()).then(|| mean(&rho)),
    }
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len().max(1) as f64
}

/// `1 - Σ(y - ŷ)² / Σ(y - ȳ)²`.
fn explained(predicted: &[f32], seen: &[f32]) -> Option<f64> {
    let seen: Vec<f64> = seen.iter().map(|&v| f64::from(v)).collect();
    let centre = mean(&seen);
    let total: f64 = seen.iter().map(|y| (y - centre).powi(2)).sum();
    let wrong: f64 = seen.iter().zip(predicted).map(|(y, p)| (y - f64::from(*p)).powi(2)).sum();
    (total > 1e-9).then(|| 1.0 - wrong / total)
}

/// Ranks from 1; ties share their mean rank.
fn ranks(x: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    let mut out = vec![0.0; x.len()];
    let mut i = 0;
    while i < order.len() {
        let tied = order[i..].iter().take_while(|&&j| x[j] == x[order[i]]).count();
        for &j in &order[i..i + tied] {
            out[j] = (2 * i + tied + 1) as f64 / 2.0;
        }
        i += tied;
    }
    out
}

/// Area under the ROC curve as the rank-sum statistic.
fn auroc(score: &[f32], positive: &[bool]) -> Option<f64> {
    let p = positive.iter().filter(|x| **x).count() as f64;
    let n = positive.len() as f64 - p;
    let sum: f64 = ranks(score).iter().zip(positive).filter(|(_, x)| **x).map(|(r, _)| r).sum();
    (p > 0.0 && n > 0.0).then(|| (sum - p * (p + 1.0) / 2.0) / (p * n))
}

/// Pearson correlation of the ranks; `None` where one of the two never changes.
fn spearman(a: &[f32], b: &[f32]) -> Option<f64> {
    if a.len() < 3 {
        return None;
    }
    let (a, b) = (ranks(a), ranks(b));
    let (ma, mb) = (mean(&a), mean(&b));
    let product: f64 = a.iter().zip(&b).map(|(x, y)| (x - ma) * (y - mb)).sum();
    let square = |x: &[f64], m: f64| x.iter().map(|v| (v - m).powi(2)).sum::<f64>();
    let scale = (square(&a, ma) * square(&b, mb)).sqrt();
    (scale > 0.0).then(|| product / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_by_hand() {
        assert_eq!(ranks(&[0.3, 0.1, 0.3, 0.9]), [2.5, 1.0, 2.5, 4.0]);
    }

    #[test]
    fn auroc_by_hand() {
        // Pairs (positive, negative): 0.8 beats 0.1 and 0.5; 0.5 beats 0.1 and ties with 0.5.
        let score = [0.1, 0.5, 0.5, 0.8];
        let value = auroc(&score, &[false, false, true, true]).expect("both kinds");
        assert!((value - 3.5 / 4.0).abs() < 1e-12);
        assert_eq!(auroc(&score, &[true; 4]), None);
    }

    #[test]
    fn spearman_by_hand() {
        let up = spearman(&[1.0, 2.0, 3.0], &[1.0, 10.0, 1000.0]).expect("both change");
        let down = spearman(&[1.0, 2.0, 3.0], &[5.0, 4.0, 0.0]).expect("both change");
        assert!((up - 1.0).abs() < 1e-12 && (down + 1.0).abs() < 1e-12);
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[1.0, 1.0, 1.0]), None);
    }

    #[test]
    fn explained_by_hand() {
        assert_eq!(explained(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]), Some(1.0));
        assert_eq!(explained(&[2.0, 2.0, 2.0], &[1.0, 2.0, 3.0]), Some(0.0));
        assert_eq!(explained(&[2.0, 2.0], &[1.0, 1.0]), None);
    }
}
