//! Counterfactuals: fork a recorded episode at a step and act otherwise, under shared noise.

use burn::tensor::{Device, Tensor, TensorData};
use rand::rngs::StdRng;
use world_model::train::latents_at;
use world_model::vision::floats;
use world_model::{Corpus, Embeddings, WorldModel};

use crate::imagine::{Imagined, imagine, shared_noise};
use crate::score::{Outcome, outcome};

/// What one arm of a comparison does.
pub enum Arm<'a> {
    /// The actions that were recorded; past the end the last one is held.
    Logged,
    /// The recorded actions moved away from the action at the fork by a factor: `a_0 + factor (a_t - a_0)`.
    Scaled(f32),
    /// The action before the fork (the first one at step 0), held.
    Hold,
    /// Normalised actions `[H, A]`, written by hand; the last one is held.
    Given(Vec<f32>),
    /// A policy: embedding `[B, E]` to a chunk of normalised actions. The generator is the same for every arm.
    Policy(&'a dyn Fn(&Tensor<2>, &mut StdRng) -> Vec<Tensor<2>>),
}

/// One arm's imagined future, `samples` times under different noise; row `i` of every arm shares its noise.
pub struct Branch {
    /// What was imagined, rows are samples.
    pub imagined: Imagined,
    /// Its outcome per sample.
    pub outcome: Outcome,
    /// Embedding at the fork `[samples, E]`.
    pub start: Tensor<2>,
}

/// How a fork is imagined.
#[derive(Clone, Copy, Debug)]
pub struct ForkOptions {
    /// Track of the corpus.
    pub track: usize,
    /// Step at which to fork.
    pub step: usize,
    /// Steps to imagine.
    pub horizon: usize,
    /// Noise draws.
    pub samples: usize,
    /// Recorded steps observed before the fork.
    pub context: usize,
    /// Seed of the shared noise.
    pub seed: u64,
}

/// Imagines one arm. Calls with the same options share start state and noise, whatever the arm.
/// `value` maps embeddings `[B, E]` to the value at the end `[B]`.
pub fn fork(
    model: &WorldModel,
    data: (&Corpus, &Embeddings),
    arm: &Arm<'_>,
    options: &ForkOptions,
    value: &dyn Fn(&Tensor<2>) -> Tensor<1>,
    device: &Device,
) -> Branch {
    let (corpus, embeddings) = data;
    let ForkOptions { track, step, horizon, samples, context, seed } = *options;
    let mut rng = world_model::noise::generator(seed, "branch", (track as u64) << 32 | step as u64);
    let at = vec![(track, step); samples];
    let latent = latents_at(model, (corpus, embeddings), &at, context, &mut rng, device);
    let noise = shared_noise(model, (samples, 1), horizon, &mut rng, device);
    let mut policy_rng = world_model::noise::generator(seed, "branch-policy", step as u64);
    let a = corpus.action_len;
    let t = &corpus.tracks[track];
    let recorded = |i: usize| t.action[i.min(t.len - 1) * a..(i.min(t.len - 1) + 1) * a].to_vec();
    let row = |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, [1, a]), device).expand([samples, a]);
    let imagined = imagine(
        model,
        &latent,
        &mut |e, i| match arm {
            Arm::Logged => vec![row(recorded(step + i))],
            Arm::Scaled(factor) => {
                let first = recorded(step);
                vec![row(recorded(step + i).iter().zip(&first).map(|(x, x0)| x0 + factor * (x - x0)).collect())]
            }
            Arm::Hold => vec![row(recorded(step.saturating_sub(1)))],
            Arm::Given(actions) => {
                let last = (actions.len() / a).saturating_sub(1);
                vec![row(actions[i.min(last) * a..(i.min(last) + 1) * a].to_vec())]
            }
            Arm::Policy(act) => act(e, &mut policy_rng),
        },
        &noise,
    );
    let end = imagined.latents.last().map_or_else(|| value(&latent.e), |l| value(&l.e));
    let outcome = outcome(&imagined.predictions, &corpus.returns, end);
    Branch { imagined, outcome, start: latent.e }
}

impl Branch {
    /// Per-step series of the first sample and mean outcomes, as plain numbers.
    pub fn series(&self, of: fn(&world_model::Prediction) -> &Tensor<1>) -> Vec<f32> {
        self.imagined.predictions.iter().map(|p| of(p).clone().mean().into_scalar()).collect()
    }

    /// Outcome values per sample.
    pub fn values(&self) -> Vec<f32> {
        floats(self.outcome.value.clone())
    }
}
