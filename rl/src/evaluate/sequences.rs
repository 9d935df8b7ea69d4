//! Actions that somebody else chose, replayed in imagination without looking: recorded, corrupted, or from another dataset.

use burn::tensor::{Device, Tensor, TensorData};
use rollouts::Imagined;
use world_model::shards::side_by_side;
use world_model::{Corpus, Embeddings, WorldModel};

use super::{Belief, EvaluateConfig, PerStart, imagine_rows, join, per_start};

/// A start and what is done from it: normalised actions `[T, A]`, `T ≥ 1`, of which the last is held for the rest of the horizon.
pub type Played<'a> = ((usize, usize), &'a [f32]);

/// Imagines each sequence of actions from its start, `samples` times; one outcome per sequence, in their order. Policies that are
/// judged with the same `seed` from the same starts meet the same noise.
pub fn imagine_sequences(
    model: &WorldModel,
    data: (&Corpus, &Embeddings),
    (config, belief): (&EvaluateConfig, Belief<'_>),
    played: &[Played<'_>],
    (seed, device): (u64, &Device),
) -> PerStart {
    let shards: Vec<&[Played<'_>]> = played.chunks(played.len().div_ceil(config.shards.max(1)).max(1)).collect();
    let parts = side_by_side(shards, |part, played| {
        let imagined = follow(model, data, config, played, (seed, part as u64), device);
        per_start(&imagined, &data.0.returns, config.samples, belief)
    });
    join(parts)
}

/// The same as imagined steps, `samples` neighbouring rows per sequence.
pub(crate) fn follow(
    model: &WorldModel,
    data: (&Corpus, &Embeddings),
    config: &EvaluateConfig,
    played: &[Played<'_>],
    random: (u64, u64),
    device: &Device,
) -> Imagined {
    let (starts, actions): (Vec<(usize, usize)>, Vec<&[f32]>) = played.iter().copied().unzip();
    let a = data.0.action_len;
    assert!(actions.iter().all(|actions| actions.len() >= a), "a sequence has at least one action");
    let actor = &mut |_: &world_model::Latent, step: usize| vec![at_step(&actions, step, (a, config.samples), device)];
    imagine_rows(model, data, actor, config, &starts, random, device)
}

/// What every row does at a step: `[sequences * samples, A]`.
fn at_step(actions: &[&[f32]], step: usize, (a, samples): (usize, usize), device: &Device) -> Tensor<2> {
    let mut values = Vec::with_capacity(actions.len() * samples * a);
    for actions in actions {
        let i = step.min(actions.len() / a - 1);
        (0..samples).for_each(|_| values.extend_from_slice(&actions[i * a..(i + 1) * a]));
    }
    Tensor::from_data(TensorData::new(values, [actions.len() * samples, a]), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use world_model::vision::floats;

    #[test]
    fn the_last_action_is_held_and_samples_lie_side_by_side() {
        let (long, short) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [7.0, 8.0]);
        let at = |step| floats(at_step(&[&long, &short], step, (2, 2), &Device::default()));
        assert_eq!(at(1), [3.0, 4.0, 3.0, 4.0, 7.0, 8.0, 7.0, 8.0]);
        assert_eq!(at(9), [5.0, 6.0, 5.0, 6.0, 7.0, 8.0, 7.0, 8.0]);
    }
}
