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
            // The last piece goes on past the end with the last action held: the model may be a few steps late.
            let steps = t.len + (piece / 2).min(LATE);
            let anchors: Vec<usize> = (0..steps).step_by(piece).map(|i| i.min(t.len - 1)).collect();
            let at: Vec<(usize, usize)> =
                anchors.iter().flat_map(|&i| std::iter::repeat_n((track, i), config.samples)).collect();
            let latent = latents_at(model, (corpus, embeddings), &at, 3, &mut rng, device);
            let noise = shared_noise(model, (at.len(), 1), piece, &mut rng, device);
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
            let [mut values, mut successes, mut beyond, mut undiscounted, mut success_step] = [0.0f32; 5];
            for sample in 0..config.samples {
                let (mut going, mut value, mut success, mut discount) = (1.0f32, 0.0f32, 0.0f32, 1.0f32);
                let mut last = 0.0;
                for step in 0..steps {
                    let row = (step / piece) * config.samples + sample;
                    let [reward, succeeds, fails, doubt] = &columns[step % piece];
                    last = reward[row].clamp(rule.low, rule.high);
                    let held =
                        succeeds[row] * rule.success_reward + (1.0 - succeeds[row]) * fails[row] * rule.failure_reward;
                    value += discount * going * ((1.0 - rule.gamma) * last + rule.gamma * held);
                    undiscounted += going * last;
                    success += going * succeeds[row];
                    success_step += (step + 1) as f32 * going * succeeds[row];
                    going *= (1.0 - succeeds[row]) * (1.0 - fails[row]);
                    discount *= rule.gamma;
                    beyond += f32::from(u8::from(doubt[row] > limits.disagreement_95)) / steps as f32;
                }
                values += value + discount * going * last;
                successes += success;
            }
            let n = config.samples as f32;
            PerStart {
                value: vec![values / n],
                success: vec![successes / n],
                unsupported: vec![beyond / n],
                undiscounted: vec![undiscounted / n],
                success_step: vec![success_step / n],
                ..PerStart::default()
            }
        })
        .collect();
    join(parts)
}
