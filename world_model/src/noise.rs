//! Noise as an argument: every random tensor is drawn here, from our own seeded generators.
//!
//! A counterfactual is "the same noise, another action", so noise is never drawn inside a model. Each update derives
//! its generator from `(seed, stage, update)`; a resumed run therefore draws what an undisturbed one would have drawn.

use burn::tensor::{Device, Tensor, TensorData};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

/// Generator for one step of one stage. Equal arguments give equal streams.
pub fn generator(seed: u64, stage: &str, step: u64) -> StdRng {
    // FNV-1a over the stage's name keeps stages apart; the rest is mixed by the generator's own seeding.
    let stage_hash =
        stage.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    StdRng::seed_from_u64(
        seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ stage_hash.rotate_left(17)
            ^ step.wrapping_mul(0xd1b5_4a32_d192_ed03),
    )
}

/// Standard normal draws of the given shape.
pub fn normal<const D: usize>(shape: [usize; D], rng: &mut StdRng, device: &Device) -> Tensor<D> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.sample(StandardNormal)).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Standard Gumbel draws, `-ln(-ln u)`, of the given shape: adding them to logits and taking the largest samples a categorical.
pub fn gumbel<const D: usize>(shape: [usize; D], rng: &mut StdRng, device: &Device) -> Tensor<D> {
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            let u: f32 = rng.random_range(1e-7_f32..1.0);
            -(-u.ln()).max(1e-12).ln()
        })
        .collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Uniform draws in `[0, 1)` of the given shape.
pub fn uniform<const D: usize>(shape: [usize; D], rng: &mut StdRng, device: &Device) -> Tensor<D> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random::<f32>()).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_give_equal_noise_and_stages_differ() {
        let device = Device::default();
        let draw = |stage, step| normal([4, 3], &mut generator(7, stage, step), &device).into_data();
        assert_eq!(draw("rssm", 5), draw("rssm", 5));
        assert_ne!(draw("rssm", 5), draw("rssm", 6));
        assert_ne!(draw("rssm", 5), draw("policy", 5));
    }

    #[test]
    fn gumbel_has_the_mean_of_a_gumbel() {
        let device = Device::default();
        let mean: f32 = gumbel([20_000], &mut generator(1, "t", 0), &device).mean().into_scalar();
        // Euler-Mascheroni; standard error here is 0.009.
        assert!((mean - 0.5772).abs() < 0.04, "mean {mean}");
    }
}
