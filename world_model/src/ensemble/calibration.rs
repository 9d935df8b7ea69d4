//! How far off the elites really are, beside what they say of themselves.
//!
//! A member's variance tells of its own errors, and of each the speaker averages several: so their mixture promises more noise than there
//! is. Measured on episodes that no member learns from, as a factor for each element of (change, reward) (Laves et al. 2021, arXiv:2104.12376, σ scaling).

use burn::module::{Param, ParamId};
use burn::tensor::Tensor;

use super::Ensemble;
use crate::corpus::Sequence;

/// Of one deviation said, at least and at most so much is meant: a handful of rows must not silence or inflate it.
const BOUNDS: (f64, f64) = (0.1, 3.0);

/// Squared errors in units of the variances that were said, and how much they weigh, both `[E+1]`.
pub struct Surprise {
    squares: Tensor<1>,
    weight: Tensor<1>,
}

impl Surprise {
    /// Of both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { squares: self.squares + other.squares, weight: self.weight + other.weight }
    }
}

impl Ensemble {
    /// How much more wrong the elites together were on sequences than they said, step by step.
    pub fn surprise(&self, s: Sequence) -> Surprise {
        let [batch, steps, actions] = s.action.dims();
        let (n, width) = (batch * steps, self.embedding);
        let flat = |x: Tensor<3>| {
            let [.., width] = x.dims();
            x.reshape([n, width])
        };
        let x = self.view.squash(s.embedding);
        let past = self.past.along(x.clone().narrow(1, 0, steps), s.action.clone()).map(flat);
        let [now, next] = [0, 1].map(|first| flat(x.clone().narrow(1, first, steps)));
        let input = self.input(now.clone(), s.action.reshape([n, actions]), &past);
        let (mean, log_variance) = self.gaussians(self.members.select(&self.elites.val()).forward(input));
        let (centre, between, within) = Self::mixture(mean, log_variance);
        let reward = s.reward.reshape([n, 1]);
        let target = self.view.scaled(Tensor::cat(vec![next - now, reward], 1));
        let seen = s.observed.unsqueeze_dim::<3>(2).expand([batch, steps, width]);
        let seen = match s.known {
            Some(known) => seen * known.unsqueeze_dim::<3>(1).expand([batch, steps, width]),
            None => seen,
        };
        let weight = Tensor::cat(vec![flat(seen * self.view.moves().unsqueeze::<3>()), s.taken.reshape([n, 1])], 1);
        let squares = (target - centre).square() / (between + within) * weight.clone();
        let sum = |x: Tensor<2>| x.sum_dim(0).squeeze_dim::<1>(0);
        Surprise { squares: sum(squares), weight: sum(weight) }
    }

    /// Takes from it what a deviation that is said means from now on; 1 for what was not seen.
    pub fn calibrate(&mut self, surprise: Surprise) {
        let Surprise { squares, weight } = surprise;
        let unseen = weight.clone().lower_elem(0.5).float();
        let factor = (squares / weight.clamp_min(1.0)).sqrt().clamp(BOUNDS.0, BOUNDS.1);
        let factor = factor.clone() * (unseen.clone().neg() + 1.0) + unseen;
        // The network may live on a device that differentiates.
        let factor = Tensor::from_data(factor.into_data(), &self.meant.val().device());
        self.meant = Param::initialized(ParamId::new(), factor).set_require_grad(false);
    }

    /// The same where imagination adds another `share` of the deviation as noise.
    #[must_use]
    pub fn noisy(&self, share: f64) -> Self {
        Self { noise: share, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::ensemble::EnsembleConfig;
    use crate::noise::{generator, normal};
    use crate::vision::floats;

    fn ensemble() -> Ensemble {
        let device = Device::default();
        device.seed(8);
        Ensemble::new(&EnsembleConfig { members: 3, elites: 2, width: 16, ..EnsembleConfig::default() }, 2, 1, &device)
    }

    #[test]
    fn deviations_mean_what_was_found_within_bounds() {
        let (mut m, device) = (ensemble(), Device::default());
        let row = |values: [f32; 3]| Tensor::<1>::from_floats(values, &device);
        // 8 rows with squares of 2, one row with a square of 100, none.
        let one = Surprise { squares: row([8.0, 100.0, 0.0]), weight: row([4.0, 1.0, 0.0]) };
        let two = Surprise { squares: row([8.0, 0.0, 0.0]), weight: row([4.0, 0.0, 0.0]) };
        m.calibrate(one.plus(two));
        let meant = floats(m.meant.val());
        for (found, expected) in meant.iter().zip([2.0f32.sqrt(), 3.0, 1.0]) {
            assert!((found - expected).abs() < 1e-5, "{meant:?}");
        }
    }

    #[test]
    fn steps_drawn_from_what_is_said_are_no_surprise_and_twice_as_far_are() {
        let (m, device) = (ensemble(), Device::default());
        let mut rng = generator(0, "steps", 0);
        let (rows, steps) = (4000, 1);
        let e = normal([rows, 2], &mut rng, &device);
        let action = normal([rows, 1], &mut rng, &device);
        let noise = normal([rows, m.noise_len()], &mut rng, &device);
        let factors = |times: f64| {
            let (latent, prediction) = m.imagine(&m.start(e.clone()), action.clone(), noise.clone() * times);
            let wide = |x: Tensor<2>| x.unsqueeze_dim::<3>(1);
            let ones = Tensor::<2>::ones([rows, steps], &device);
            let mut asked = m.clone();
            asked.calibrate(m.surprise(Sequence {
                embedding: Tensor::cat(vec![wide(e.clone()), wide(latent.e)], 1),
                action: wide(action.clone()),
                reward: prediction.reward.unsqueeze_dim::<2>(1),
                success: ones.zeros_like(),
                failure: ones.zeros_like(),
                taken: ones.clone(),
                observed: ones,
                known: None,
            }));
            floats(asked.meant.val())
        };
        for times in [1.0, 2.0] {
            let found = factors(times);
            assert!(found.iter().all(|f| (f - times as f32).abs() < 0.05 * times as f32), "{times}: {found:?}");
        }
    }

    #[test]
    fn noise_has_the_share_of_the_deviation_that_was_asked_for() {
        let (mut m, device) = (ensemble(), Device::default());
        let noise = Tensor::<2>::from_data(TensorData::new(vec![1.0f32; 3], [1, 3]), &device);
        let moved = |m: &Ensemble| {
            let imagined =
                m.imagine(&m.start(Tensor::zeros([1, 2], &device)), Tensor::zeros([1, 1], &device), noise.clone());
            floats(imagined.0.e)
        };
        let away = |from: &[f32], to: &[f32]| to.iter().zip(from).map(|(a, b)| a - b).collect::<Vec<_>>();
        let still = moved(&m.noisy(0.0));
        let (half, whole) = (away(&still, &moved(&m.noisy(0.5))), away(&still, &moved(&m.noisy(1.0))));
        m.calibrate(Surprise { squares: Tensor::ones([3], &device) * 4.0, weight: Tensor::ones([3], &device) });
        let meant = away(&still, &moved(&m.noisy(1.0)));
        for i in 0..2 {
            assert!(whole[i] > 0.0 && (2.0 * half[i] - whole[i]).abs() < 1e-5, "{half:?} {whole:?}");
            assert!((meant[i] - 2.0 * whole[i]).abs() < 1e-4, "{meant:?} {whole:?}");
        }
    }
}
