//! Probabilistic ensemble for state observations, after PETS and MBPO (Janner et al. 2019, sec. 4.1).
//!
//! Member `k` maps `(e_t, a_t)` to a Gaussian over the change of the embedding and the reward; imagination lets one member
//! (drawn per row) speak at each step. Success and failure are learned, never hand-coded. Disagreement is the mean over
//! elements of the standard deviation between the members' means.

use burn::module::Module;
use burn::tensor::activation::{sigmoid, softplus};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::corpus::Sequence;
use crate::layers::{EnsembleMlp, Mlp};
use crate::model::{Latent, Prediction};
use crate::optimise::Metrics;

/// Sizes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnsembleConfig {
    /// Members `K`.
    pub members: usize,
    /// Width of the two hidden layers.
    pub width: usize,
}

impl Default for EnsembleConfig {
    fn default() -> Self {
        Self { members: 5, width: 200 }
    }
}

/// The dynamics.
#[derive(Module, Debug)]
pub struct Ensemble {
    members: EnsembleMlp,
    success: Mlp,
    failure: Mlp,
    count: usize,
    told: usize,
    carried: usize,
}

/// Bounds of the predicted log-variance; softly enforced, they keep the likelihood from exploding on deterministic data.
const LOG_VARIANCE: (f64, f64) = (-10.0, 1.0);

impl Ensemble {
    /// Fresh networks.
    pub fn new(config: &EnsembleConfig, embedding: usize, action: usize, device: &Device) -> Self {
        Self::carrying(config, (embedding, 0), action, device)
    }

    /// The same where the last `carried` elements of an embedding never change within an episode, as the task does not: they
    /// are copied, not predicted.
    pub fn carrying(
        config: &EnsembleConfig,
        (embedding, carried): (usize, usize),
        action: usize,
        device: &Device,
    ) -> Self {
        assert!(carried <= embedding, "what is carried is the end of the embedding");
        let EnsembleConfig { members, width } = *config;
        let told = embedding - carried;
        Self {
            members: EnsembleMlp::new(members, &[embedding + action, width, width, 2 * (told + 1)], device),
            success: Mlp::new(&[2 * embedding + action, width, 1], device),
            failure: Mlp::new(&[2 * embedding + action, width, 1], device),
            count: members,
            told,
            carried,
        }
    }

    /// Members `K`.
    pub fn member_count(&self) -> usize {
        self.count
    }

    /// Values of noise one step needs: a normal per predicted element and one Gumbel-like score per member.
    pub fn noise_len(&self) -> usize {
        self.told + 1 + self.count
    }

    /// Means and log-variances `[K, B, E - carried + 1]` of (change, reward).
    fn gaussians(&self, e: &Tensor<2>, action: &Tensor<2>) -> (Tensor<3>, Tensor<3>) {
        let out = self.members.forward(Tensor::cat(vec![e.clone(), action.clone()], 1));
        let width = self.told + 1;
        let (low, high) = LOG_VARIANCE;
        let raw = out.clone().narrow(2, width, width);
        let below = softplus((raw.neg()) + high, 1.0).neg() + high;
        (out.narrow(2, 0, width), softplus(below - low, 1.0) + low)
    }

    /// A change `[B, E - carried]` as one of the whole embedding: nothing of what is carried.
    fn whole(&self, change: Tensor<2>) -> Tensor<2> {
        if self.carried == 0 {
            return change;
        }
        let still = Tensor::zeros([change.dims()[0], self.carried], &change.device());
        Tensor::cat(vec![change, still], 1)
    }

    fn ends(&self, e: &Tensor<2>, action: &Tensor<2>, next: &Tensor<2>) -> [Tensor<1>; 2] {
        let x = Tensor::cat(vec![e.clone(), action.clone(), next.clone()], 1);
        [&self.success, &self.failure].map(|head| head.forward(x.clone()).squeeze_dim::<1>(1))
    }

    /// One imagined step: `latent [B]`, action `[B, A]`, normal noise `[B, noise_len]`.
    pub fn imagine(&self, latent: &Latent, action: Tensor<2>, noise: Tensor<2>) -> (Latent, Prediction) {
        let [batch, _] = action.dims();
        let width = self.told + 1;
        let (mean, log_variance) = self.gaussians(&latent.e, &action);
        let score = noise.clone().narrow(1, width, self.count);
        let chosen = score.clone().greater_equal(score.max_dim(1)).float().transpose().reshape([self.count, batch, 1]);
        let pick = |x: Tensor<3>| (x * chosen.clone()).sum_dim(0).squeeze_dim::<2>(0);
        let centre = mean.clone().mean_dim(0);
        let variance = (mean.clone() - centre).square().mean_dim(0).squeeze_dim::<2>(0);
        let noise_variance = log_variance.clone().exp().mean_dim(0).squeeze_dim::<2>(0);
        let row_mean = |x: Tensor<2>| x.narrow(1, 0, self.told).mean_dim(1).squeeze_dim::<1>(1);
        let sampled = pick(mean) + pick((log_variance * 0.5).exp()) * noise.narrow(1, 0, width);
        let e = latent.e.clone() + self.whole(sampled.clone().narrow(1, 0, self.told));
        let [success, failure] = self.ends(&latent.e, &action, &e);
        let prediction = Prediction {
            reward: sampled.narrow(1, self.told, 1).squeeze_dim::<1>(1),
            success: sigmoid(success),
            failure: sigmoid(failure),
            disagreement: row_mean(variance.clone().sqrt()),
            doubt: row_mean(variance + noise_variance),
        };
        (Latent::markov(e), prediction)
    }

    /// Loss of one shard of sequences; `bootstrap [L, K, B]` says which member learns from which transition.
    pub fn loss(&self, s: Sequence, bootstrap: Tensor<3>) -> (Tensor<1>, Metrics) {
        let [batch, steps, actions] = s.action.dims();
        let n = batch * steps;
        let embedding = self.told + self.carried;
        let e = s.embedding.clone().narrow(1, 0, steps).reshape([n, embedding]);
        let next = s.embedding.narrow(1, 1, steps).reshape([n, embedding]);
        let action = s.action.reshape([n, actions]);
        let flat = |x: Tensor<2>| x.reshape([n]);
        let (reward, success, failure) = (flat(s.reward), flat(s.success), flat(s.failure));
        let (taken, seen) = (flat(s.taken), flat(s.observed));

        let (mean, log_variance) = self.gaussians(&e, &action);
        let told = |x: Tensor<2>| if self.carried == 0 { x } else { x.narrow(1, 0, self.told) };
        let change = told(next.clone() - e.clone());
        let target = Tensor::cat(vec![change, reward.unsqueeze_dim(1)], 1).unsqueeze::<3>();
        // Each element counts where it was recorded: the change where the next observation exists, the reward always.
        let mut seen_wide = seen.clone().unsqueeze_dim::<2>(1).expand([n, self.told]);
        if let Some(known) = s.known {
            // [B, E] to the rows of [B, L]: every step of a sequence is of the same robot.
            seen_wide = seen_wide * told(known.repeat_dim(1, steps).reshape([n, embedding]));
        }
        let weight = Tensor::cat(vec![seen_wide, taken.clone().unsqueeze_dim(1)], 1).unsqueeze::<3>();
        let learns = bootstrap.swap_dims(0, 1).swap_dims(1, 2).reshape([self.count, n, 1]);
        let squared = (mean.clone() - target).square();
        let nll = (squared.clone() * log_variance.clone().neg().exp() + log_variance) * weight.clone() * learns;
        let nll = nll.sum() / (weight.clone().sum() * self.count as f64).clamp_min(1.0);
        let error = (squared * weight.clone()).sum().detach() / (weight.sum() * self.count as f64).clamp_min(1.0);

        // At a recorded end there is no next observation: the members' mean prediction stands in for it.
        let expected = mean.mean_dim(0).squeeze_dim::<2>(0).narrow(1, 0, self.told).detach();
        let expected = e.clone() + self.whole(expected);
        let next = expected.clone() + (next - expected) * seen.unsqueeze_dim::<2>(1);
        let [success_logit, failure_logit] = self.ends(&e, &action, &next);
        let bernoulli = |x: Tensor<1>, y: Tensor<1>| {
            ((softplus(x.clone(), 1.0) - x * y) * taken.clone()).sum() / taken.clone().sum().clamp_min(1.0)
        };
        let success = bernoulli(success_logit, success);
        let failure = bernoulli(failure_logit, failure);
        let metrics = [("nll", &nll), ("one_step", &error), ("success", &success), ("failure", &failure)]
            .map(|(name, t)| (name, t.clone().into_scalar::<f32>()));
        (nll + success + failure, metrics.to_vec())
    }
}
