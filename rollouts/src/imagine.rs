//! Batched open-ended imagination from latent states.

use burn::tensor::{Device, Tensor};
use rand::rngs::StdRng;
use world_model::{Latent, Prediction, WorldModel};

/// Chooses actions while imagining: `(embedding [B, E], step)` to a chunk of normalised actions, a list of `[B, A]`.
/// Called again whenever the chunk is used up.
pub type Actor<'a> = &'a mut dyn FnMut(&Tensor<2>, usize) -> Vec<Tensor<2>>;

/// `H` imagined steps of `B` rows.
pub struct Imagined {
    /// Latent state before the first.
    pub start: Latent,
    /// Latent states after each step, `H` of them.
    pub latents: Vec<Latent>,
    /// Actions taken, `H × [B, A]`.
    pub actions: Vec<Tensor<2>>,
    /// What the model says followed from each action, `H` of them.
    pub predictions: Vec<Prediction>,
}

/// Noise for `horizon` steps of `rows` rows: list of `[rows, noise_len]`.
///
/// With `copies > 1` each row's noise is repeated for that many neighbouring rows: the arms of one comparison share it.
pub fn shared_noise(
    model: &WorldModel,
    (rows, copies): (usize, usize),
    horizon: usize,
    rng: &mut StdRng,
    device: &Device,
) -> Vec<Tensor<2>> {
    (0..horizon)
        .map(|_| {
            let noise = model.draw_noise(rows, rng, device);
            let [_, width] = noise.dims();
            noise.reshape([rows, 1, width]).expand([rows, copies, width]).reshape([rows * copies, width])
        })
        .collect()
}

/// Imagines as many steps as there is noise, from `latent [B]`, with `actor` choosing.
pub fn imagine(model: &WorldModel, latent: &Latent, actor: Actor<'_>, noise: &[Tensor<2>]) -> Imagined {
    imagine_knowing(model, latent, &mut |latent, step| actor(&latent.e, step), noise)
}

/// The same for an actor that knows the whole latent state `[B]`, as one that imagines does itself.
pub fn imagine_knowing(
    model: &WorldModel,
    latent: &Latent,
    actor: &mut dyn FnMut(&Latent, usize) -> Vec<Tensor<2>>,
    noise: &[Tensor<2>],
) -> Imagined {
    let mut out = Imagined { start: latent.clone(), latents: Vec::new(), actions: Vec::new(), predictions: Vec::new() };
    let mut latent = latent.clone();
    let mut queue: std::collections::VecDeque<Tensor<2>> = std::collections::VecDeque::new();
    for (step, noise) in noise.iter().enumerate() {
        if queue.is_empty() {
            queue.extend(actor(&latent, step));
        }
        let Some(action) = queue.pop_front() else { break };
        let (next, prediction) = model.imagine(&latent, action.clone(), noise.clone());
        out.latents.push(next.clone());
        out.actions.push(action);
        out.predictions.push(prediction);
        latent = next;
    }
    out
}

/// Splits a flattened chunk `[B, chunk*A]` into its first `execute` actions `[B, A]`.
pub fn split_chunk(chunk: &Tensor<2>, action_len: usize, execute: usize) -> Vec<Tensor<2>> {
    (0..execute).map(|k| chunk.clone().narrow(1, k * action_len, action_len)).collect()
}
