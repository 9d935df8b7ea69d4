//! The recorded behaviour, which has no network to ask: imagined along its own episodes, set back onto them every few steps.

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;
use rollouts::imagine::{imagine, shared_noise};
use world_model::train::latents_at;
use world_model::trust::Limits;
use world_model::vision::floats;
use world_model::{Corpus, Embeddings, WorldModel, noise};

use super::{EvaluateConfig, PerStart, join};

/// Steps by which an imagined success may come later than the recorded one.
pub(crate) const LATE: usize = 5;

/// An episode cut into pieces, each of which is imagined from the recording.
#[derive(Clone, Copy, Debug)]
struct Pieces {
    len: usize,
    piece: usize,
}

impl Pieces {
    /// Steps past the end, with the last action held: the model may be a few steps late. They belong to the last piece, which goes on for so
    /// much longer: set back onto the last observation, an episode would end twice.
    fn late(self) -> usize {
        (self.piece / 2).min(LATE)
    }

    /// All steps that are imagined.
    fn steps(self) -> usize {
        self.len + self.late()
    }

    /// Recorded steps at which pieces begin.
    fn anchors(self) -> impl Iterator<Item = usize> {
        (0..self.len).step_by(self.piece)
    }

    /// The piece that a step is in, and where in it.
    fn place(self, step: usize) -> (usize, usize) {
        let piece = step.min(self.len - 1) / self.piece;
        (piece, step - piece * self.piece)
    }
}

/// The recorded behaviour, imagined along its own episodes in pieces of `anchor_every` steps.
pub fn imagine_behaviour(
    model: &WorldModel,
    data: (&Corpus, &Embeddings),
    config: &EvaluateConfig,
    limits: Limits,
    starts: &[(usize, usize)],
    (seed, device): (u64, &Device),
) -> PerStart {
    let (corpus, embeddings) = data;
    let rule = &corpus.returns;
    let piece = config.anchor_every.max(1);
    let parts: Vec<PerStart> = starts
        .par_iter()
        .map(|&(track, _)| {
            let t = &corpus.tracks[track];
            let mut rng = noise::generator(seed, "behaviour", track as u64);
            let pieces = Pieces { len: t.len, piece };
            let steps = pieces.steps();
            let at: Vec<(usize, usize)> =
                pieces.anchors().flat_map(|i| std::iter::repeat_n((track, i), config.samples)).collect();
            let latent = latents_at(model, (corpus, embeddings), &at, 3, &mut rng, device);
            let noise = shared_noise(model, (at.len(), 1), piece + pieces.late(), &mut rng, device);
            let mut k = 0;
            let imagined = imagine(
                model,
                &latent,
                &mut |_, _| {
                    let mut action = Vec::new();
                    for &(track, i) in &at {
                        corpus.action_chunk(track, (i + k).min(t.len - 1), 1, &mut action);
                    }
                    k += 1;
                    vec![Tensor::from_data(TensorData::new(action, [at.len(), corpus.action_len]), device)]
                },
                &noise,
            );
            let columns: Vec<[Vec<f32>; 4]> = imagined
                .predictions
                .iter()
                .map(|p| [&p.reward, &p.success, &p.failure, &p.disagreement].map(|x| floats(x.clone())))
                .collect();
            let [mut values, mut successes, mut beyond, mut undiscounted, mut success_step, mut failure] = [0.0f32; 6];
            for sample in 0..config.samples {
                let [mut foreign, mut all] = [0.0f32; 2];
                let (mut going, mut value, mut success, mut discount) = (1.0f32, 0.0f32, 0.0f32, 1.0f32);
                let mut last = 0.0;
                for step in 0..steps {
                    let (piece, k) = pieces.place(step);
                    let row = piece * config.samples + sample;
                    let [reward, succeeds, fails, doubt] = &columns[k];
                    last = reward[row].clamp(rule.low, rule.high);
                    let held =
                        succeeds[row] * rule.success_reward + (1.0 - succeeds[row]) * fails[row] * rule.failure_reward;
                    value += discount * going * ((1.0 - rule.gamma) * last + rule.gamma * held);
                    undiscounted += going * last;
                    success += going * succeeds[row];
                    success_step += (step + 1) as f32 * going * succeeds[row];
                    foreign += going * f32::from(u8::from(doubt[row] > limits.disagreement_95));
                    all += going;
                    failure += going * (1.0 - succeeds[row]) * fails[row];
                    going *= (1.0 - succeeds[row]) * (1.0 - fails[row]);
                    discount *= rule.gamma;
                }
                values += value + discount * going * last;
                successes += success;
                beyond += foreign / all;
            }
            let n = config.samples as f32;
            PerStart {
                value: vec![values / n],
                success: vec![successes / n],
                unsupported: vec![beyond / n],
                undiscounted: vec![undiscounted / n],
                success_step: vec![success_step / n],
                failure: vec![failure / n],
                ..PerStart::default()
            }
        })
        .collect();
    join(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_follow_on_each_other_and_an_episode_ends_once() {
        for (len, piece) in [(1, 1), (1, 10), (20, 10), (26, 10), (29, 10), (7, 3), (40, 100)] {
            let pieces = Pieces { len, piece };
            let anchors: Vec<usize> = pieces.anchors().collect();
            for step in 0..pieces.steps() {
                let (i, k) = pieces.place(step);
                assert_eq!(anchors[i] + k, step, "{len} steps in pieces of {piece}");
                assert!(k < piece + pieces.late());
            }
        }
        assert_eq!(Pieces { len: 20, piece: 10 }.steps(), 25);
    }
}
