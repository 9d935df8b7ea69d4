//! Held-out episodes walked through in imagination, piece by piece along their own actions: what was foreseen beside what
//! was recorded. Both what the model is worth ([`crate::foresight`]) and how far it may be believed ([`crate::trust`]) are read off these.

use burn::tensor::{Device, Tensor, TensorData};

use crate::corpus::{Corpus, Embeddings};
use crate::model::WorldModel;
use crate::noise;
use crate::quality::QualityConfig;
use crate::train::latents_at;
use crate::vision::floats;

/// One imagined step beside the recorded one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Reward foreseen and recorded.
    pub reward: [f32; 2],
    /// Probability of success foreseen.
    pub success: f32,
    /// The recorded step led to success.
    pub succeeded: bool,
    /// Doubt of all imagined steps up to this one, summed: squared error of the embedding to expect by now.
    pub doubt: f32,
    /// Disagreement of all imagined steps up to this one, summed.
    pub disagreement: f32,
    /// Error of what was imagined; `None` where the episode ended.
    pub error: Option<Wrong>,
    /// Error of the first observation unchanged.
    pub copying: Option<Wrong>,
}

/// Squared error of an embedding, mean over elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wrong {
    /// Of the cameras' elements; 0 without cameras.
    pub cameras: f32,
    /// Of the state's.
    pub state: f32,
}

impl Wrong {
    /// Of an embedding `a` against `b`, the last `state_len` elements of which are the state.
    pub fn of(a: &[f32], b: &[f32], state_len: usize) -> Self {
        let cameras = a.len() - state_len;
        let mean =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>() / a.len().max(1) as f32;
        Self { cameras: mean(&a[..cameras], &b[..cameras]), state: mean(&a[cameras..], &b[cameras..]) }
    }

    /// Both together: what the dynamics are trained on, and what doubt is about.
    pub fn total(self) -> f32 {
        self.cameras + self.state
    }
}

/// Imagined steps from one recorded observation, up to the largest horizon or the end of the episode.
#[derive(Clone, Debug, PartialEq)]
pub struct Walk {
    /// Track of the corpus.
    pub track: usize,
    /// The steps.
    pub steps: Vec<Step>,
}

/// Most imagined steps.
const MOST_STEPS: usize = 10_240;

/// Walks through held-out tracks (training tracks where there are none) in pieces of the largest horizon.
pub fn walk(
    model: &WorldModel,
    data: (&Corpus, &Embeddings),
    config: &QualityConfig,
    seed: u64,
    device: &Device,
) -> Vec<Walk> {
    let (corpus, embeddings) = data;
    let tracks = corpus.judged_on();
    let all: Vec<(usize, usize)> = tracks
        .iter()
        .flat_map(|&track| (0..corpus.tracks[track].len).step_by(config.horizon.max(1)).map(move |t| (track, t)))
        .collect();
    let stride = all.len().div_ceil((MOST_STEPS / config.horizon.max(1)).max(1)).max(1);
    let starts: Vec<(usize, usize)> = all.into_iter().step_by(stride).collect();
    let rows = starts.len();
    let mut walks: Vec<Walk> = starts.iter().map(|&(track, _)| Walk { track, steps: Vec::new() }).collect();
    let mut rng = noise::generator(seed, "foresight", 0);
    let mut latent = latents_at(model, data, &starts, config.context, &mut rng, device);
    for k in 0..config.horizon {
        let mut action = Vec::new();
        for &(track, t) in &starts {
            corpus.action_chunk(track, (t + k).min(corpus.tracks[track].len - 1), 1, &mut action);
        }
        let action = Tensor::from_data(TensorData::new(action, [rows, corpus.action_len]), device);
        let noise = model.draw_noise(rows, &mut rng, device);
        let (next, p) = model.imagine(&latent, action, noise);
        let [reward, success, doubt, disagreement] = [p.reward, p.success, p.doubt, p.disagreement].map(floats);
        let e = floats(next.e.clone());
        for (row, (&(track, t), walk)) in starts.iter().zip(&mut walks).enumerate() {
            let recorded = &corpus.tracks[track];
            let at = t + k;
            if at >= recorded.len {
                continue;
            }
            let last = at + 1 == recorded.len;
            let before = walk.steps.last().map_or([0.0; 2], |s| [s.doubt, s.disagreement]);
            // The task is told and differences are worked out: neither is predicted.
            let beside = corpus.task_len + corpus.differences.len();
            let (told, state) = (embeddings.dim - beside, corpus.state_len - beside);
            let wrong =
                |e: &[f32]| (!last).then(|| Wrong::of(&e[..told], &embeddings.at(track, at + 1)[..told], state));
            walk.steps.push(Step {
                reward: [reward[row], recorded.reward[at]],
                success: success[row],
                succeeded: last && recorded.success,
                doubt: before[0] + doubt[row],
                disagreement: before[1] + disagreement[row],
                error: wrong(&e[row * embeddings.dim..(row + 1) * embeddings.dim]),
                copying: wrong(embeddings.at(track, t)),
            });
        }
        latent = next;
    }
    walks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_by_hand() {
        // Cameras: (1 + 9) / 2 = 5; state: 4.
        let wrong = Wrong::of(&[1.0, 0.0, 2.0], &[0.0, 3.0, 0.0], 1);
        assert_eq!(wrong, Wrong { cameras: 5.0, state: 4.0 });
        assert_eq!(wrong.total(), 9.0);
        assert_eq!(Wrong::of(&[1.0], &[0.0], 1), Wrong { cameras: 0.0, state: 1.0 });
        assert_eq!(Wrong::of(&[1.0], &[0.0], 0), Wrong { cameras: 1.0, state: 0.0 });
    }
}
