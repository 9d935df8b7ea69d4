//! Model-Bellman inconsistency: how differently the members of a world model value what comes next.
//!
//! MOBILE (Sun et al. 2023, ICML, PMLR 202:33177, sec. 4): where members disagree about next states that are worth the same, nothing is
//! wrong with acting there, and where they disagree by little about states worth very different, much is. So not their predictions are
//! compared but what the Bellman operator makes of each:
//! ```text
//! y_m = (1-γ) r_m + γ [p_m R + (1-p_m)(f_m F + (1-f_m) V(e'_m))],    u = std_m y_m
//! ```
//! A chunk's is the sum over its imagined steps, discounted, as far as it is still under way: what it would take off the return if each
//! reward were less by it.

use burn::tensor::Tensor;
use rollouts::imagine::Imagined;
use rollouts::score::outcome;
use world_model::WorldModel;
use world_model::corpus::ReturnRule;
use world_model::vision::floats;

use crate::critic::Critic;

/// Per row of what was imagined `[B]`, in units of the return; nothing where there are fewer than two members.
pub(crate) fn inconsistency(
    members: &[WorldModel],
    (rule, values): (&ReturnRule, &Critic),
    imagined: &Imagined,
) -> Vec<f32> {
    if members.len() < 2 {
        return Vec::new();
    }
    let mut going = Tensor::<1>::ones([imagined.start.len()], &imagined.start.e.device());
    let mut sum = going.zeros_like();
    let before = std::iter::once(&imagined.start).chain(&imagined.latents);
    for (k, ((latent, action), p)) in before.zip(&imagined.actions).zip(&imagined.predictions).enumerate() {
        let still = Tensor::zeros([latent.len(), members[0].noise_len()], &action.device());
        let each = members.iter().map(|member| {
            let (next, prediction) = member.imagine(latent, action.clone(), still.clone());
            outcome(&[prediction], rule, values.mean(&next.e)).value.unsqueeze_dim::<2>(0)
        });
        let each = Tensor::cat(each.collect(), 0);
        let apart = (each.clone() - each.mean_dim(0)).square().mean_dim(0).sqrt().squeeze_dim::<1>(0);
        sum = sum + going.clone() * apart * f64::from(rule.gamma).powi(k as i32);
        going = going * (p.success.clone().neg() + 1.0) * (p.failure.clone().neg() + 1.0);
    }
    floats(sum)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use rollouts::imagine::{imagine, split_chunk};
    use world_model::WorldModelConfig;

    use super::*;
    use crate::toys;

    #[test]
    fn it_is_the_spread_of_what_members_make_of_each_step() {
        let device = Device::default();
        device.seed(11);
        let (corpus, _) = toys::slope();
        let config = WorldModelConfig::default();
        let model = WorldModel::new(&config, &[], 2, 1, &device).expect("no pictures, no misfit").noisy(0.0);
        let critic = Critic::new(&toys::values(), 2, &corpus.returns, &device);
        let chunk = Tensor::<2>::from_floats([[0.3, -0.2], [0.9, 0.9], [0.0, 0.5]], &device);
        let noise: Vec<_> = (0..2).map(|_| Tensor::zeros([3, model.noise_len()], &device)).collect();
        let latent = model.start(toys::start(3), Tensor::zeros([3, model.noise_len()], &device));
        let imagined = imagine(&model, &latent, &mut |_, _| split_chunk(&chunk, 1, 2), &noise);
        let members = model.members();
        assert!(members.len() > 1);
        let found = inconsistency(&members, (&corpus.returns, &critic), &imagined);
        // The same by hand, one member after the other.
        let (gamma, mut expected, mut going) = (0.9f32, vec![0.0f32; 3], vec![1.0f32; 3]);
        for k in 0..2 {
            let before = if k == 0 { &imagined.start } else { &imagined.latents[0] };
            let said: Vec<[Vec<f32>; 4]> = members
                .iter()
                .map(|m| {
                    let (next, p) = m.imagine(before, imagined.actions[k].clone(), noise[0].clone());
                    [floats(p.reward), floats(p.success), floats(p.failure), floats(critic.mean(&next.e))]
                })
                .collect();
            for row in 0..3 {
                let y: Vec<f32> = said
                    .iter()
                    .map(|[r, p, f, v]| {
                        let end = p[row] + (1.0 - p[row]) * (1.0 - f[row]) * v[row];
                        0.1 * r[row].clamp(0.0, 1.0) + gamma * end
                    })
                    .collect();
                let mean = y.iter().sum::<f32>() / y.len() as f32;
                let apart = (y.iter().map(|y| (y - mean).powi(2)).sum::<f32>() / y.len() as f32).sqrt();
                expected[row] += gamma.powi(k as i32) * going[row] * apart;
                let (p, f) = (&imagined.predictions[k].success, &imagined.predictions[k].failure);
                going[row] *= (1.0 - floats(p.clone())[row]) * (1.0 - floats(f.clone())[row]);
            }
        }
        for (found, expected) in found.iter().zip(&expected) {
            assert!(*found > 0.0 && (found - expected).abs() < 1e-5, "{found} is not {expected}");
        }
    }

    #[test]
    fn members_that_say_the_same_are_consistent_and_one_says_nothing() {
        let device = Device::default();
        device.seed(12);
        let (corpus, _) = toys::slope();
        let model = WorldModel::new(&WorldModelConfig::default(), &[], 2, 1, &device)
            .expect("no pictures, no misfit")
            .noisy(0.0);
        let critic = Critic::new(&toys::values(), 2, &corpus.returns, &device);
        let one = model.members().swap_remove(0);
        let noise = [Tensor::zeros([3, model.noise_len()], &device)];
        let latent = model.start(toys::start(3), noise[0].clone());
        let action = Tensor::<2>::from_floats([[0.3], [0.9], [0.0]], &device);
        let imagined = imagine(&one, &latent, &mut |_, _| vec![action.clone()], &noise);
        let of = |members: &[WorldModel]| inconsistency(members, (&corpus.returns, &critic), &imagined);
        assert!(of(&[one.clone(), one.clone()]).iter().all(|u| u.abs() < 1e-6));
        assert!(of(&[one]).is_empty());
    }
}
