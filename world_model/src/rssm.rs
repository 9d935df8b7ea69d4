//! Recurrent state-space dynamics over embeddings, for cameras and partial observability: one algorithm, one file.
//!
//! After PlaNet and DreamerV3 (sec. "World model learning"), with one change: the state also carries the embedding.
//! ```text
//! h_{t+1} = GRU(h_t, [z_t, a_t, e_t])          deterministic state
//! z_{t+1} ~ mean_k p_k(z | h_{t+1})            prior: an ensemble of K heads   (imagination)
//! z_{t+1} ~ q(z | h_{t+1}, e_{t+1})            posterior                       (observation)
//! ê_{t+1} = e_t + δ(h_{t+1}, z_{t+1})          the next embedding, as a change
//! r, success, failure = heads(e_t, a_t, ê_{t+1})  what embeddings and an action do not show, they must not claim
//! ```
//! The heads see `e_t` because an end is never observed: a recording stops at the action that ends the episode. Among the
//! recorded transitions near a goal only those that missed it have a next embedding, so `ê` learns to fall short there, and a
//! success read off `ê` alone would come too rarely. From where the robot stood and what it did, success is never censored.
//!
//! `e_t` is the recorded embedding while observing and the predicted one while imagining. So imagination begins exactly
//! at the observation and adds changes: it can only lose to "nothing changes" by predicting a wrong change. `z` is left
//! with what is not determined. Every prior head also guesses the change `e_{t+1} - e_t` from `h_{t+1}` alone, each from its own
//! bootstrap of the data; disagreement is the standard deviation between those guesses, mean over elements
//! (Sekar et al. 2020, Plan2Explore, sec. 3).

use burn::module::Module;
use burn::tensor::activation::{sigmoid, softplus};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::corpus::Sequence;
use crate::health::{StochasticUse, of_others};
use crate::kernels::categorical;
use crate::layers::{EnsembleMlp, GruCell, Mlp};
use crate::model::{Latent, Prediction};
use crate::optimise::Metrics;

/// Sizes and loss weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RssmConfig {
    /// Elements of the deterministic state `h`.
    pub hidden: usize,
    /// Categorical groups of `z`.
    pub groups: usize,
    /// Classes of each group.
    pub classes: usize,
    /// Width of heads.
    pub width: usize,
    /// Prior heads `K`.
    pub members: usize,
    /// Share of uniform mixed into every categorical.
    pub unimix: f32,
    /// KL below this is not pressed further, nats.
    pub free_nats: f32,
    /// Steps observed before the imagined pass of training begins, as imagination begins after some steps of context; the rest
    /// of the sequence is imagined. 0: it begins at the first observation.
    pub burn_in: usize,
}

impl Default for RssmConfig {
    fn default() -> Self {
        Self { hidden: 128, groups: 8, classes: 8, width: 128, members: 3, unimix: 0.01, free_nats: 1.0, burn_in: 0 }
    }
}

/// The dynamics.
#[derive(Module, Debug)]
pub struct Rssm {
    start: Mlp,
    input: Mlp,
    cell: GruCell,
    prior: EnsembleMlp,
    posterior: Mlp,
    change: Mlp,
    outcome: Mlp,
    surprise: Mlp,
    groups: usize,
    classes: usize,
    members: usize,
    state_len: usize,
    carried: usize,
    unimix: f64,
    free_nats: f64,
    burn_in: usize,
}

/// Foreseen transitions, `N` rows without gradients, and what was recorded to follow from them.
///
/// Without gradients because nothing else holds the embedding after an end in place: `h` would learn the training
/// episodes by heart and write their ends into it (docs/LOG.md, 2026-11-25).
#[derive(Clone, Debug)]
pub struct Foreseen {
    /// Embedding before the action `[N, E]`.
    pub before: Tensor<2>,
    /// Normalised action `[N, A]`.
    pub action: Tensor<2>,
    /// Imagined embedding after it `[N, E]`.
    pub next: Tensor<2>,
    /// Recorded reward `[N]`.
    pub reward: Tensor<1>,
    /// 1 where the action led to success `[N]`.
    pub success: Tensor<1>,
    /// 1 where it led to an end that is no success `[N]`.
    pub failure: Tensor<1>,
    /// 1 where the action was recorded `[N]`.
    pub taken: Tensor<1>,
}

impl Rssm {
    /// Fresh networks for embeddings of `embedding` elements, the last `state_len` of which are the state.
    pub fn new(config: &RssmConfig, embedding: usize, state_len: usize, action: usize, device: &Device) -> Self {
        Self::carrying(config, embedding, (state_len, 0), action, device)
    }

    /// The same where the last `carried` elements of the state never change within an episode, as the task does not: they are
    /// copied, not predicted.
    pub fn carrying(
        config: &RssmConfig,
        embedding: usize,
        (state_len, carried): (usize, usize),
        action: usize,
        device: &Device,
    ) -> Self {
        assert!(carried <= state_len && state_len <= embedding, "what is carried is the end of the state");
        let RssmConfig { hidden, groups, classes, width, members, .. } = *config;
        let z = groups * classes;
        let told = embedding - carried;
        Self {
            start: Mlp::new(&[embedding, width, hidden], device),
            input: Mlp::new(&[z + action + embedding, width], device),
            cell: GruCell::new(width, hidden, device),
            prior: EnsembleMlp::new(members, &[hidden, width, z + told], device),
            posterior: Mlp::new(&[hidden + embedding, width, z], device),
            change: Mlp::ending_at_zero(&[hidden + z + embedding, width, width, told], device),
            outcome: Mlp::new(&[2 * embedding + action, width, 3], device),
            surprise: Mlp::new(&[hidden + embedding, width, 1], device),
            groups,
            classes,
            members,
            state_len,
            carried,
            unimix: f64::from(config.unimix),
            free_nats: f64::from(config.free_nats),
            burn_in: config.burn_in,
        }
    }

    /// Prior heads `K`.
    pub fn member_count(&self) -> usize {
        self.members
    }

    /// Values of noise one step needs: a Gumbel per class.
    pub fn noise_len(&self) -> usize {
        self.groups * self.classes
    }

    /// Probabilities of logits `[N, groups * classes]` as `[N, groups, classes]`, with unimix.
    ///
    /// Not their logarithms: sampling wants probabilities, and logarithms one by one cost more than the products beside them.
    fn probabilities(&self, logits: Tensor<2>) -> Tensor<3> {
        let [n, _] = logits.dims();
        categorical::probabilities(logits.reshape([n, self.groups, self.classes]), self.unimix)
    }

    /// One-hot of the largest `log p + gumbel`, with the gradient of the probabilities (straight-through).
    fn sample(&self, p: Tensor<3>, gumbel: Tensor<2>) -> Tensor<2> {
        let [n, groups, classes] = p.dims();
        categorical::sample(p, gumbel.reshape([n, groups, classes])).reshape([n, groups * classes])
    }

    /// The latent state at an observed embedding `[B, E]`, without a past.
    pub fn start(&self, e: Tensor<2>, gumbel: Tensor<2>) -> Latent {
        let h = self.start.forward(e.clone()).tanh();
        let q = self.believe(&h, &e);
        Latent { e, h: Some(h), z: Some(self.sample(q, gumbel)) }
    }

    fn advance(&self, latent: &Latent, action: Tensor<2>) -> Tensor<2> {
        let (h, z) = latent.recurrent();
        self.cell.forward(self.input.forward(Tensor::cat(vec![z, action, latent.e.clone()], 1)), h)
    }

    /// Posterior probabilities `[B, groups, classes]` at an observed embedding.
    fn believe(&self, h: &Tensor<2>, e: &Tensor<2>) -> Tensor<3> {
        self.probabilities(self.posterior.forward(Tensor::cat(vec![h.clone(), e.clone()], 1)))
    }

    fn changed(&self, e: &Tensor<2>, h: &Tensor<2>, z: &Tensor<2>) -> Tensor<2> {
        let change = self.change.forward(Tensor::cat(vec![h.clone(), z.clone(), e.clone()], 1));
        if self.carried == 0 {
            return e.clone() + change;
        }
        let still = Tensor::zeros([e.dims()[0], self.carried], &e.device());
        e.clone() + Tensor::cat(vec![change, still], 1)
    }

    /// The elements `[B, E - carried]` that are predicted of `[B, E]`.
    fn told(&self, x: Tensor<2>) -> Tensor<2> {
        let [_, width] = x.dims();
        if self.carried == 0 { x } else { x.narrow(1, 0, width - self.carried) }
    }

    /// Reward, and the logits of success and failure, of going from `e` by `action` to `next`.
    fn outcomes(&self, e: Tensor<2>, action: Tensor<2>, next: Tensor<2>) -> [Tensor<1>; 3] {
        let heads = self.outcome.forward(Tensor::cat(vec![e, action, next], 1));
        [0, 1, 2].map(|head| heads.clone().narrow(1, head, 1).squeeze_dim::<1>(1))
    }

    /// Logarithm `[B]` of the squared error to expect of the embedding that follows from `h [B, hidden]` and `e [B, E]`.
    fn log_surprise(&self, h: &Tensor<2>, e: &Tensor<2>) -> Tensor<1> {
        self.surprise.forward(Tensor::cat(vec![h.clone(), e.clone()], 1)).squeeze_dim::<1>(1).clamp(-14.0, 4.0)
    }

    /// Every head's probabilities `[K·B, groups, classes]` and guess of the change `[K, B, E - carried]`.
    fn heads(&self, h: &Tensor<2>) -> (Tensor<3>, Tensor<3>) {
        let [batch, _] = h.dims();
        let z = self.groups * self.classes;
        let out = self.prior.forward(h.clone());
        let [.., all] = out.dims();
        let logits = out.clone().narrow(2, 0, z).reshape([self.members * batch, z]);
        (self.probabilities(logits), out.narrow(2, z, all - z))
    }

    /// Mean of the heads' categoricals, probabilities `[B, groups, classes]`.
    fn mean_prior(&self, each: Tensor<3>) -> Tensor<3> {
        let [rows, groups, classes] = each.dims();
        let p = each.reshape([self.members, rows / self.members, groups * classes]);
        p.mean_dim(0).reshape([rows / self.members, groups, classes])
    }

    /// One imagined step: `latent [B]`, action `[B, A]`, Gumbel noise `[B, noise_len]`.
    pub fn imagine(&self, latent: &Latent, action: Tensor<2>, gumbel: Tensor<2>) -> (Latent, Prediction) {
        let h = self.advance(latent, action.clone());
        let (each, guesses) = self.heads(&h);
        let variance = (guesses.clone() - guesses.mean_dim(0)).square().mean_dim(0);
        let disagreement = variance.clone().sqrt().mean_dim(2).flatten::<1>(0, 2);
        let expected = self.log_surprise(&h, &latent.e).exp();
        let doubt = expected + self.mean_by_part(variance.squeeze_dim::<2>(0));
        let z = self.sample(self.mean_prior(each), gumbel);
        let e = self.changed(&latent.e, &h, &z);
        let [reward, success, failure] = self.outcomes(latent.e.clone(), action, e.clone());
        let (success, failure) = (sigmoid(success), sigmoid(failure));
        let prediction = Prediction { reward, success, failure, disagreement, doubt };
        (Latent { e, h: Some(h), z: Some(z) }, prediction)
    }

    /// One observed step: as [`Self::imagine`], corrected by the embedding that was really seen `[B, E]`.
    pub fn observe(&self, latent: &Latent, action: Tensor<2>, e: Tensor<2>, gumbel: Tensor<2>) -> Latent {
        let h = self.advance(latent, action);
        let z = self.sample(self.believe(&h, &e), gumbel);
        Latent { e, h: Some(h), z: Some(z) }
    }

    /// Squared error per row `[B]`: mean over the cameras' elements plus mean over the state's, of those that are `known [B, E]`.
    fn embedding_error(&self, predicted: Tensor<2>, seen: Tensor<2>, known: Option<&Tensor<2>>) -> Tensor<1> {
        let squared = self.told((predicted - seen).square());
        let Some(known) = known.map(|known| self.told(known.clone())) else { return self.mean_by_part(squared) };
        // A mean over all elements, made one over the known ones: what is left out counts 0 above and below.
        let [_, width] = squared.dims();
        let of = |from: usize, len: usize| {
            let counted = known.clone().narrow(1, from, len);
            let sum = (squared.clone().narrow(1, from, len) * counted.clone()).sum_dim(1);
            (sum / counted.sum_dim(1).clamp_min(1.0)).squeeze_dim::<1>(1)
        };
        let own = self.state_len - self.carried;
        let cameras = width - own;
        let state = of(cameras, own);
        if cameras > 0 { of(0, cameras) + state } else { state }
    }

    /// `[B, E - carried]` to `[B]`: mean over the cameras' elements plus mean over the state's.
    fn mean_by_part(&self, x: Tensor<2>) -> Tensor<1> {
        let [_, width] = x.dims();
        let own = self.state_len - self.carried;
        let cameras = width - own;
        let state = x.clone().narrow(1, cameras, own).mean_dim(1);
        let both = if cameras > 0 { x.narrow(1, 0, cameras).mean_dim(1) + state } else { state };
        both.squeeze_dim::<1>(1)
    }

    /// Loss of one shard of sequences; `gumbel [2, L+1, B, noise_len]`, `bootstrap [L, K, B]` says who learns from what.
    pub fn loss(&self, s: Sequence, gumbel: Tensor<4>, bootstrap: Tensor<3>) -> (Tensor<1>, Metrics) {
        let (dynamics, foreseen, mut metrics) = self.dynamics_loss(s, gumbel, bootstrap);
        let (outcomes, more) = self.outcome_loss(foreseen);
        metrics.extend(more);
        (dynamics + outcomes, metrics)
    }

    /// How the embedding goes on. Twice along the sequence: observed (posterior, KL to every prior head, the change to the
    /// next embedding), and imagined from the first observation, or where it has burnt in, to the end (multi-step). Only what is recurrent runs step
    /// by step, both passes in one batch; the rest runs once over all steps, which is several times quicker.
    ///
    /// Also gives what was foreseen, one step ahead of the observed states and many steps ahead: outcomes are learned there.
    pub fn dynamics_loss(
        &self,
        s: Sequence,
        gumbel: Tensor<4>,
        bootstrap: Tensor<3>,
    ) -> (Tensor<1>, Foreseen, Metrics) {
        let [batch, steps, actions] = s.action.dims();
        let step3 = |x: &Tensor<3>, i: usize| x.clone().narrow(1, i, 1).squeeze_dim::<2>(1);
        // Rows 0..B are the observed pass, rows B..2B the imagined one.
        let both = |x: Tensor<2>| Tensor::cat(vec![x.clone(), x], 0);
        let noise = gumbel.clone().swap_dims(0, 1).reshape([steps + 1, 2 * batch, self.noise_len()]);
        let draw = |i: usize| noise.clone().narrow(0, i, 1).squeeze_dim::<2>(0);
        let first = step3(&s.embedding, 0);
        let h = self.start.forward(first.clone()).tanh();
        let q = self.believe(&h, &first);
        let z = self.sample(Tensor::cat(vec![q.clone(), q], 0), draw(0));
        let mut latent = Latent { e: both(first.clone()), h: Some(both(h)), z: Some(z) };
        let (mut e_observed, mut e_imagined) = (first.clone(), first);
        let mut seen_states: [Vec<Tensor<2>>; 3] = Default::default();
        let mut posteriors = Vec::with_capacity(steps);
        let (mut imagined_from, mut imagined_embeddings) = (Vec::with_capacity(steps), Vec::with_capacity(steps));
        // Here the heads are asked for categoricals only, not for what they guess of the change.
        let prior = self.prior.outputs(0, self.groups * self.classes);
        for i in 0..steps {
            let next = step3(&s.embedding, i + 1);
            let h = self.advance(&latent, both(step3(&s.action, i)));
            let (h_observed, h_imagined) = (h.clone().narrow(0, 0, batch), h.clone().narrow(0, batch, batch));
            let q = self.believe(&h_observed, &next);
            let logits = prior.forward(h_imagined.clone()).reshape([self.members * batch, self.noise_len()]);
            // While it burns in, the imagined pass is observed too, under its own noise.
            let burning_in = i < self.burn_in;
            let p = if burning_in { q.clone() } else { self.mean_prior(self.probabilities(logits)) };
            let z = self.sample(Tensor::cat(vec![q.clone(), p], 0), draw(i + 1));
            imagined_from.push(e_imagined.clone());
            e_imagined = self.changed(&e_imagined, &h_imagined, &z.clone().narrow(0, batch, batch));
            posteriors.push(q);
            for (list, x) in seen_states.iter_mut().zip([e_observed, h_observed, z.clone().narrow(0, 0, batch)]) {
                list.push(x);
            }
            imagined_embeddings.push(e_imagined.clone());
            if burning_in {
                e_imagined = next.clone();
            }
            latent = Latent { e: Tensor::cat(vec![next.clone(), e_imagined.clone()], 0), h: Some(h), z: Some(z) };
            e_observed = next;
        }
        // Time-major [L·B, …] from here on.
        let flat = |x: &Tensor<2>| x.clone().transpose().reshape([steps * batch]);
        let [e_before, h, z] = seen_states.map(|list| Tensor::cat(list, 0));
        let imagined_before = Tensor::cat(imagined_from, 0);
        let e_imagined = Tensor::cat(imagined_embeddings, 0);
        let next =
            s.embedding.clone().narrow(1, 1, steps).swap_dims(0, 1).reshape([steps * batch, s.embedding.dims()[2]]);
        let seen = flat(&s.observed);
        let seen_count = seen.clone().sum().clamp_min(1.0);

        let predicted = self.changed(&e_before, &h, &z);
        let known = s.known.as_ref().map(|known| known.clone().repeat_dim(0, steps));
        let wrong = self.embedding_error(predicted, next.clone(), known.as_ref());
        // With s = log E[error], error · e^-s + s is least; nothing but this head learns from it.
        let s_log = self.log_surprise(&h.clone().detach(), &e_before);
        let surprise = wrong.clone().detach() * s_log.clone().neg().exp() + s_log;
        let surprise = (surprise * seen.clone()).sum() / seen_count.clone();
        let one_step = (wrong * seen.clone()).sum() / seen_count.clone();
        let many_step = (self.embedding_error(e_imagined.clone(), next.clone(), known.as_ref()) * seen.clone()).sum()
            / seen_count.clone();
        let (each, guesses) = self.heads(&h);
        let learns = bootstrap.swap_dims(0, 1).reshape([self.members, steps * batch]);
        let wrong = (guesses - self.told(next - e_before.clone()).unsqueeze::<3>()).square();
        let wrong = match &known.map(|known| self.told(known)) {
            None => wrong.mean_dim(2),
            Some(known) => {
                (wrong * known.clone().unsqueeze::<3>()).sum_dim(2)
                    / known.clone().sum_dim(1).clamp_min(1.0).unsqueeze::<3>()
            }
        };
        let wrong = wrong.squeeze_dim::<2>(2);
        let guess =
            (wrong * learns.clone() * seen.clone().unsqueeze::<2>()).sum() / (seen_count.clone() * self.members as f64);
        let prior = self.mean_prior(each.clone());
        let kl = self.balanced_kl(Tensor::cat(posteriors, 0), prior.clone(), each, learns);
        let kl = (kl * seen).sum() / seen_count;

        let action = s.action.clone().swap_dims(0, 1).reshape([steps * batch, actions]);
        let noise = gumbel.narrow(0, 0, 1).narrow(1, 1, steps).reshape([steps * batch, self.noise_len()]);
        // By the prior: a posterior that has seen the absence of the observation after an end would give the end away.
        let e_ahead = self.changed(&e_before, &h, &self.sample(prior, noise));
        let twice = |x: &Tensor<2>| Tensor::cat(vec![flat(x), flat(x)], 0);
        let foreseen = Foreseen {
            before: Tensor::cat(vec![e_before, imagined_before], 0).detach(),
            action: Tensor::cat(vec![action.clone(), action], 0),
            next: Tensor::cat(vec![e_ahead, e_imagined], 0).detach(),
            reward: twice(&s.reward),
            success: twice(&s.success),
            failure: twice(&s.failure),
            taken: twice(&s.taken),
        };
        let metrics = [
            ("one_step", &one_step),
            ("many_step", &many_step),
            ("kl", &kl),
            ("guess", &guess),
            ("surprise", &surprise),
        ]
        .map(|(name, t)| (name, t.clone().into_scalar::<f32>()));
        (one_step + many_step + guess + kl * 0.1 + surprise * 0.02, foreseen, metrics.to_vec())
    }

    /// What `z` carries along observed sequences `[B, L]`, `B` of at least 2; `draw` gives Gumbel noise `[B, noise_len]` for a step.
    pub fn stochastic_use(&self, s: &Sequence, draw: &mut dyn FnMut() -> Tensor<2>) -> StochasticUse {
        let [batch, steps, _] = s.action.dims();
        let at = |x: &Tensor<3>, i: usize| x.clone().narrow(1, i, 1).squeeze_dim::<2>(1);
        let sum = |x: Tensor<1>, i: usize| {
            let observed = s.observed.clone().narrow(1, i, 1).squeeze_dim::<1>(1);
            f64::from((x * observed).sum().into_scalar::<f32>())
        };
        let mut found = StochasticUse { free_nats: self.free_nats, ..StochasticUse::default() };
        let mut latent = self.start(at(&s.embedding, 0), draw());
        for i in 0..steps {
            let next = at(&s.embedding, i + 1);
            let h = self.advance(&latent, at(&s.action, i));
            let (q, p) = (self.believe(&h, &next), self.mean_prior(self.heads(&h).0));
            let z = self.sample(q.clone(), draw());
            let wrong = |z: &Tensor<2>| self.embedding_error(self.changed(&latent.e, &h, z), next.clone(), None);
            let kl = (q.clone() * (q.log() - p.log())).reshape([batch, self.noise_len()]);
            found.kl_nats += sum(kl.sum_dim(1).squeeze_dim::<1>(1), i);
            found.own_z += sum(wrong(&z), i);
            found.wrong_z += sum(wrong(&of_others(&z)), i);
            found.steps += sum(Tensor::ones([batch], &next.device()), i);
            latent = Latent { e: next, h: Some(h), z: Some(z) };
        }
        found
    }

    /// Reward (squared error), success and failure (cross-entropy) of what was foreseen.
    pub fn outcome_loss(&self, f: Foreseen) -> (Tensor<1>, Metrics) {
        let count = f.taken.clone().sum().clamp_min(1.0);
        let [reward, success, failure] = self.outcomes(f.before, f.action, f.next);
        let mean = |x: Tensor<1>| (x * f.taken.clone()).sum() / count.clone();
        // softplus(x) - y·x is the cross-entropy of a Bernoulli with logit x against y.
        let bernoulli = |x: Tensor<1>, y: Tensor<1>| mean(softplus(x.clone(), 1.0) - x * y);
        let reward = mean((reward - f.reward).square());
        let (success, failure) = (bernoulli(success, f.success), bernoulli(failure, f.failure));
        let metrics = [("reward", &reward), ("success", &success), ("failure", &failure)]
            .map(|(name, t)| (name, t.clone().into_scalar::<f32>()));
        (reward * 10.0 + success * 3.0 + failure, metrics.to_vec())
    }

    /// DreamerV3 eq. 5 with an ensemble: every head learns towards the posterior, the posterior a little towards their mean.
    ///
    /// Probabilities: posterior `q [N, groups, classes]`, mean of the heads alike, `each [K·N, groups, classes]`.
    fn balanced_kl(&self, q: Tensor<3>, mean: Tensor<3>, each: Tensor<3>, learns: Tensor<2>) -> Tensor<1> {
        let [batch, groups, classes] = q.dims();
        let flat = |x: Tensor<3>| x.reshape([batch, groups * classes]);
        let (q, mean) = (flat(q), flat(mean));
        let log_q = q.clone().log();
        let (fixed, log_fixed) = (q.clone().detach(), log_q.clone().detach());
        // KL(q || head) = Σ q log q - Σ q log head; the first is the same for all heads.
        let own = (fixed.clone() * log_fixed).sum_dim(1).squeeze_dim::<1>(1).unsqueeze::<2>();
        let log_each = each.log().reshape([self.members, batch, groups * classes]);
        let heads = own - (log_each * fixed.unsqueeze::<3>()).sum_dim(2).squeeze_dim::<2>(2);
        let heads = heads.clamp_min(self.free_nats);
        let heads = (heads * learns).sum_dim(0).squeeze_dim::<1>(0) / self.members as f64;
        let posterior = (q * (log_q - mean.detach().log())).sum_dim(1).squeeze_dim::<1>(1);
        heads * 0.5 + posterior.clamp_min(self.free_nats) * 0.1
    }
}

#[cfg(test)]
mod tests;
