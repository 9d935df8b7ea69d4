//! Probabilistic ensemble for state observations, after PETS, MBPO (Janner et al. 2019, sec. 4.1) and MOPO (Yu et al. 2020): one algorithm, one file.
//!
//! ```text
//! x_t = e_t, its wide elements through symlog             what a member sees
//! p_k(x_{t+1} - x_t, r_t given x_t, a_t, past)            a Gaussian per member
//! ```
//! Imagination draws from the Gaussian with the mean and variance of the *elites'* mixture: the members with the least error on
//! episodes that none of them learns from, where it is also found how large the errors are beside what they say of them. `past` holds the last `history - 1` observations and actions, for robots whose state
//! does not show all. Means learn from single steps and, going on from themselves, from whole sequences; variances learn what is left
//! over of single steps. Success and failure are learned, never hand-coded. Disagreement is the mean over elements of the
//! standard deviation between the elites' means.

pub(crate) mod calibration;
mod ends;
mod past;
pub(crate) mod success;
#[cfg(test)]
mod tests;
mod view;

use burn::module::{Module, Param, ParamId};
use burn::tensor::activation::softplus;
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::corpus::{Corpus, Embeddings, Sequence};
use crate::differences::Differences;
use crate::layers::{EnsembleMlp, Mlp};
use crate::model::{Latent, Prediction};
use crate::optimise::Metrics;
use crate::vision::floats;
use ends::Ends;
use past::Past;
use view::View;

/// Sizes and loss weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnsembleConfig {
    /// Members `K` that learn.
    pub members: usize,
    /// Members that speak in imagination, the best on episodes set apart; all where they are not fewer.
    pub elites: usize,
    /// Width of the hidden layers.
    pub width: usize,
    /// Hidden layers.
    pub layers: usize,
    /// SiLU in place of ReLU between layers.
    pub smooth: bool,
    /// Observations a member sees: this one and those before it, with the actions between; 1 where the state shows all.
    pub history: usize,
    /// Weight of the error of imagining the whole sequence ahead (`world_model.horizon` steps); 0 learns single steps only.
    pub many_step: f32,
    /// Share of the learned deviation that imagination adds as noise: 1 for robots that are noisy themselves; 0 where what is left
    /// over is the model's own error, which noise would only double. Doubt counts all of it either way.
    pub noise: f32,
    /// 0: every element and every step ahead is pressed to be better than it is, whatever is left of it.
    /// Above: errors count in standard deviations of a step's change, those beyond so many by their size and not their square
    /// (pseudo-Huber). For things that mostly rest and now and then are pushed: what moves surely must not outweigh them, nor the pushes
    /// blur the rest.
    pub robust_beyond: f32,
    /// The reward is read off the state that follows, by a network of its own, in the place of being foreseen beside the change: better
    /// where it is a sharp function of where things are, as how well they fit is.
    pub reward_of_next: bool,
    /// Elements with values beyond so many standard deviations are seen through symlog; 0 for none.
    pub symlog_beyond: f32,
}

impl Default for EnsembleConfig {
    fn default() -> Self {
        Self {
            members: 7,
            elites: 5,
            width: 200,
            layers: 2,
            smooth: true,
            history: 1,
            many_step: 1.0,
            noise: 1.0,
            robust_beyond: 0.0,
            reward_of_next: false,
            symlog_beyond: 10.0,
        }
    }
}

/// The dynamics.
#[derive(Module, Debug)]
pub struct Ensemble {
    members: EnsembleMlp,
    reward: Option<Mlp>,
    ends: Ends,
    view: View,
    /// What a deviation that is said means `[E+1]`, for (change, reward).
    meant: Param<Tensor<1>>,
    elites: Param<Tensor<1, Int>>,
    past: Past,
    count: usize,
    embedding: usize,
    carried: usize,
    many_step: f64,
    noise: f64,
    robust_beyond: f64,
    symlog_beyond: f64,
    #[module(skip)]
    differences: Differences,
}

/// Bounds of the predicted log-variance, in standard deviations of the change; softly enforced, they keep the likelihood from
/// exploding on deterministic data.
const LOG_VARIANCE: (f64, f64) = (-12.0, 2.0);

/// Squared error of a step, in squared standard deviations of the data, below which nothing is pressed further.
const EXACT: f64 = 1e-8;

fn chosen(members: Vec<usize>, device: &Device) -> Param<Tensor<1, Int>> {
    let (count, members) = (members.len(), members.into_iter().map(|member| member as i64).collect::<Vec<_>>());
    Param::initialized(ParamId::new(), Tensor::from_data(TensorData::new(members, [count]), device))
}

/// What one batch says of every member.
struct Terms {
    /// Error of single steps, in standard deviations of changes and reward `[K]`.
    step: Tensor<1>,
    /// Error of imagining ahead, in standard deviations of the state `[K]`.
    ahead: Option<Tensor<1>>,
    /// Negative log-likelihood of single steps `[K]`; teaches the variances alone.
    nll: Tensor<1>,
    /// Squared error of the reward read off the next state, in variances of the reward.
    reward: Option<Tensor<1>>,
    /// That reward itself, of every step `[N]`.
    read: Option<Tensor<1>>,
    /// Cross-entropies.
    success: Tensor<1>,
    failure: Tensor<1>,
}

impl Ensemble {
    /// Fresh networks.
    pub fn new(config: &EnsembleConfig, embedding: usize, action: usize, device: &Device) -> Self {
        Self::carrying(config, (embedding, 0), (action, &Differences::NONE), device)
    }

    /// The same where the last `carried` elements of an embedding are not predicted: `differences` are worked out anew after
    /// every step, what follows them never changes within an episode, as the task does not, and is copied.
    pub fn carrying(
        config: &EnsembleConfig,
        (embedding, carried): (usize, usize),
        (action, differences): (usize, &Differences),
        device: &Device,
    ) -> Self {
        assert!(carried <= embedding, "what is carried is the end of the embedding");
        let EnsembleConfig { members, width, .. } = *config;
        let past = Past::new(config.history, embedding, action);
        let mut sizes = vec![embedding + action + past.len() + differences.ways().len()];
        sizes.extend(std::iter::repeat_n(width, config.layers));
        sizes.push(2 * (embedding + 1));
        let make = if config.smooth { EnsembleMlp::smooth } else { EnsembleMlp::new };
        Self {
            members: make(members, &sizes, device),
            reward: config.reward_of_next.then(|| Mlp::new(&[2 * embedding + action, width, width, 1], device)),
            ends: Ends::new((embedding, action), width, device),
            view: View::plain((embedding, carried), device),
            meant: Param::from_tensor(Tensor::ones([embedding + 1], device)).set_require_grad(false),
            elites: chosen((0..config.elites.clamp(1, members)).collect(), device),
            past,
            count: members,
            embedding,
            carried,
            many_step: f64::from(config.many_step),
            noise: f64::from(config.noise),
            robust_beyond: f64::from(config.robust_beyond),
            symlog_beyond: f64::from(config.symlog_beyond),
            differences: differences.clone(),
        }
    }

    /// What a member sees `[.., S]` of a state, an action and the past.
    fn input<const D: usize>(&self, x: Tensor<D>, action: Tensor<D>, past: &Option<Tensor<D>>) -> Tensor<D> {
        let input = self.past.input(x.clone(), action.clone(), past, |moved| self.view.in_changes(moved));
        if self.differences.ways().is_empty() {
            return input;
        }
        Tensor::cat(vec![input, self.differences.to_go(self.view.stretch(x), action)], D - 1)
    }

    /// What is seen `[.., E]`, with the differences that belong to it.
    fn renewed<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        if self.differences.is_empty() {
            return x;
        }
        if self.view.is_plain() {
            return self.differences.renewed(x);
        }
        self.view.squash(self.differences.renewed(self.view.stretch(x)))
    }

    /// Members `K`.
    pub fn member_count(&self) -> usize {
        self.count
    }

    /// Members that speak.
    pub fn elite_count(&self) -> usize {
        self.elites.dims()[0]
    }

    /// The same where one of those that speak, the `elite`-th, speaks alone: one of the worlds that the recordings allow. What it says of
    /// reward (where that has a network of its own), success and failure is read off its own states by the networks that all share.
    pub fn alone(&self, elite: usize) -> Self {
        let elites = Param::initialized(ParamId::new(), self.elites.val().narrow(0, elite, 1));
        Self { elites, ..self.clone() }
    }

    /// Recorded steps before an observation that belong to its latent state.
    pub fn memory(&self) -> usize {
        self.past.steps()
    }

    /// Values of noise one step needs: a normal per predicted element.
    pub fn noise_len(&self) -> usize {
        self.embedding + 1
    }

    /// Takes ranges, spreads of changes and rewards, and which ends there are from the given tracks.
    pub fn fit(self, data: (&Corpus, &Embeddings), tracks: &[usize], device: &Device) -> Self {
        let view = View::fit(data, tracks, (self.symlog_beyond as f32, self.carried), device);
        let ends = self.ends.clone().fit(data.0, tracks, device);
        Self { view, ends, ..self }
    }

    /// The latent state at an observed embedding `[B, E]`, as if it had always been there.
    pub fn start(&self, e: Tensor<2>) -> Latent {
        let h = self.past.begin(self.view.squash(e.clone()));
        Latent { e, h, z: None }
    }

    /// Carries a latent state over a recorded step: action `[B, A]`, then the embedding really seen `[B, E]`.
    pub fn observe(&self, latent: &Latent, action: Tensor<2>, e: Tensor<2>) -> Latent {
        Latent { e, h: self.past.push(&latent.h, self.view.squash(latent.e.clone()), action), z: None }
    }

    /// The same where the `unseen` latest states before this step were foreseen and not seen, and it was foreseen to lead to `foreseen [B, E]`: how
    /// the robot moved is still taken from there, but where, from what is seen.
    pub fn observe_late(
        &self,
        latent: &Latent,
        action: Tensor<2>,
        (foreseen, unseen): (&Tensor<2>, usize),
        e: Tensor<2>,
    ) -> Latent {
        let off = self.view.squash(e.clone()) - self.view.squash(foreseen.clone());
        let Latent { h, .. } = self.observe(latent, action, e.clone());
        Latent { e, h: self.past.moved(h, off, unseen), z: None }
    }

    /// Means and log-variances `[K, N, E+1]` of scaled (change, reward) from raw outputs `[K, N, 2(E+1)]`.
    fn gaussians(&self, out: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        let width = self.embedding + 1;
        let (low, high) = LOG_VARIANCE;
        let raw = out.clone().narrow(2, width, width);
        let below = softplus(raw.neg() + high, 1.0).neg() + high;
        (out.narrow(2, 0, width), softplus(below - low, 1.0) + low)
    }

    /// Mean `[N, E+1]` of the mixture of Gaussians `[K, N, E+1]`, the variance between their means and the mean of their own.
    fn mixture(mean: Tensor<3>, log_variance: Tensor<3>) -> (Tensor<2>, Tensor<2>, Tensor<2>) {
        let over = |x: Tensor<3>| x.mean_dim(0).squeeze_dim::<2>(0);
        let centre = over(mean.clone());
        let between = over((mean - centre.clone().unsqueeze::<3>()).square());
        (centre, between, over(log_variance.exp()))
    }

    /// One imagined step: `latent [B]`, action `[B, A]`, normal noise `[B, noise_len]`.
    pub fn imagine(&self, latent: &Latent, action: Tensor<2>, noise: Tensor<2>) -> (Latent, Prediction) {
        let x = self.view.squash(latent.e.clone());
        let input = self.input(x.clone(), action.clone(), &latent.h);
        let (mean, log_variance) = self.gaussians(self.members.select(&self.elites.val()).forward(input));
        let (centre, between, within) = Self::mixture(mean, log_variance);
        let variance = (between.clone() + within) * self.meant.val().square().unsqueeze::<2>();
        // Deviations in units of the embedding; the reward's is left out.
        let deviation = |variance: Tensor<2>| {
            self.view.spread(variance.sqrt()).narrow(1, 0, self.embedding) * self.view.slope(latent.e.clone())
        };
        let row_mean = |x: Tensor<2>| x.mean_dim(1).squeeze_dim::<1>(1);
        let sampled = self.view.unscaled(centre + variance.clone().sqrt() * noise * self.noise);
        let next = self.renewed(self.view.held(x.clone() + sampled.clone().narrow(1, 0, self.embedding)));
        let e = self.view.stretch(next);
        let next = self.view.squash(e.clone());
        let passed = Tensor::cat(vec![x.clone(), action.clone(), next.clone()], 1);
        let reward = match &self.reward {
            Some(head) => self.view.reward(head.forward(passed.clone())),
            None => sampled.narrow(1, self.embedding, 1),
        };
        let reward = reward.squeeze_dim::<1>(1);
        let [success, failure] = self.ends.probabilities(&self.view, passed, next, &reward);
        let prediction = Prediction {
            reward,
            success,
            failure,
            disagreement: row_mean(deviation(between)),
            doubt: row_mean(deviation(variance).square()),
        };
        let h = self.past.push(&latent.h, x, action);
        (Latent { e, h, z: None }, prediction)
    }

    /// Loss of one shard of sequences; `bootstrap [L, K, B]` says which member learns from which transition.
    pub fn loss(&self, s: Sequence, bootstrap: Tensor<3>) -> (Tensor<1>, Metrics) {
        let (foreseen, spread, metrics) = self.losses(s, bootstrap);
        (foreseen + spread, metrics)
    }

    /// Its two parts: of what is foreseen (means and outcomes), and of the variances around it, which move no mean.
    pub fn losses(&self, s: Sequence, bootstrap: Tensor<3>) -> (Tensor<1>, Tensor<1>, Metrics) {
        let Terms { step, ahead, nll, reward, success, failure, .. } = self.terms(s, bootstrap);
        let (mut loss, nll) = (step.mean(), nll.mean());
        let mut metrics = vec![("one_step", loss.clone())];
        if let Some(ahead) = ahead {
            metrics.push(("many_step", ahead.clone().mean()));
            loss = loss + ahead.mean() * self.many_step;
        }
        if let Some(reward) = reward {
            metrics.push(("reward", reward.clone()));
            loss = loss + reward;
        }
        loss = loss + success.clone() + failure.clone();
        metrics.extend([("nll", nll.clone()), ("success", success), ("failure", failure)]);
        (loss, nll, metrics.into_iter().map(|(name, t)| (name, t.into_scalar::<f32>())).collect())
    }

    /// Errors of every member on sequences none of them learned from, weighed as in the loss `[K]`.
    pub fn errors(&self, s: Sequence) -> Vec<f32> {
        let [batch, steps, _] = s.action.dims();
        let all = Tensor::ones([steps, self.count, batch], &s.action.device());
        let terms = self.terms(s, all);
        floats(match terms.ahead {
            Some(ahead) => terms.step + ahead * self.many_step,
            None => terms.step,
        })
    }

    /// Lets the members speak whose `errors [K]` are least.
    pub fn elect(&mut self, errors: &[f32]) {
        let mut order: Vec<usize> = (0..errors.len()).collect();
        order.sort_by(|&a, &b| errors[a].total_cmp(&errors[b]));
        order.truncate(self.elite_count());
        self.elites = chosen(order, &self.elites.val().device());
    }

    fn terms(&self, s: Sequence, bootstrap: Tensor<3>) -> Terms {
        let [batch, steps, actions] = s.action.dims();
        let (n, width) = (batch * steps, self.embedding);
        let x = self.view.squash(s.embedding.clone());
        let past = self.past.along(x.clone().narrow(1, 0, steps), s.action.clone());
        let known = s.known.map(|known| known.repeat_dim(1, steps).reshape([batch, steps, width]));
        let flat3 = |x: Tensor<3>| {
            let [_, _, width] = x.dims();
            x.reshape([n, width])
        };
        let flat = |x: Tensor<2>| x.reshape([n]);
        let (now, next) = (flat3(x.clone().narrow(1, 0, steps)), flat3(x.clone().narrow(1, 1, steps)));
        let action = s.action.clone().reshape([n, actions]);
        let (reward, taken) = (flat(s.reward).unsqueeze_dim::<2>(1), flat(s.taken));
        // [B, L, E]: each element counts where it was recorded, the change where the next observation exists.
        let observed = s.observed.unsqueeze_dim::<3>(2).expand([batch, steps, width]);
        let seen = match known {
            Some(known) => observed.clone() * known,
            None => observed.clone(),
        };
        // What is carried has nothing to learn.
        let seen = seen * self.view.moves().unsqueeze::<3>();

        let input = self.input(now.clone(), action.clone(), &past.clone().map(flat3));
        // Plain errors are small where the likelihood's gradients are not: variances must not shape what means are made of.
        let out = match self.robust_beyond > 0.0 {
            true => self.members.forward_apart(input, width + 1),
            false => self.members.forward(input),
        };
        let (mean, log_variance) = self.gaussians(out);
        let target = Tensor::cat(vec![next.clone() - now.clone(), reward], 1);
        let target = self.view.scaled(target);
        let wanted = target.clone().narrow(1, width, 1);
        let target = target.unsqueeze::<3>();
        let weight = Tensor::cat(vec![flat3(seen.clone()), taken.clone().unsqueeze_dim(1)], 1).unsqueeze::<3>();
        let learns = bootstrap.clone().swap_dims(0, 1).swap_dims(1, 2).reshape([self.count, n, 1]);
        let squared = (mean.clone() - target).square();
        let weight = weight * learns;
        let wrong = mean_over_rows(self.counted(squared.clone()), &weight);
        // The reward counts as one of the elements, but apart: a state known ever better must not hush it.
        let change = self.typical(vec![wrong.clone().narrow(2, 0, width)]);
        let step = (change * width as f64 + self.typical(vec![wrong.narrow(2, width, 1)])) / (width + 1) as f64;
        let nll = (squared.detach() * log_variance.clone().neg().exp() + log_variance) * weight.clone();
        let sum = |x: Tensor<3>| x.sum_dim(2).sum_dim(1).reshape([self.count]);
        let nll = sum(nll) / sum(weight).clamp_min(1.0);
        let ahead = (self.many_step > 0.0).then(|| self.ahead((x, s.action, past), seen, bootstrap));

        // At a recorded end there is no next observation: the members' mean prediction stands in for it.
        let foreseen = self.view.unscaled(mean.mean_dim(0).squeeze_dim::<2>(0)).narrow(1, 0, width).detach();
        let expected = self.renewed(now.clone() + foreseen);
        let next = expected.clone() + (next - expected.clone()) * flat3(observed);
        let now = Tensor::cat(vec![now, action], 1);
        let x = Tensor::cat(vec![now.clone(), next.clone()], 1);
        let outcomes = [flat(s.success), flat(s.failure)];
        let [success, failure] = self.ends.losses(&self.view, now, [next, expected], outcomes, taken.clone());
        let read = self.reward.as_ref().map(|head| head.forward(x));
        let reward = read.clone().map(|read| {
            let squared = (read - wanted).square().squeeze_dim::<1>(1);
            (squared * taken.clone()).sum() / taken.clone().sum().clamp_min(1.0)
        });
        let read = read.map(|read| self.view.reward(read).squeeze_dim::<1>(1));
        Terms { step, ahead, nll, reward, read, success, failure }
    }

    /// What squared errors count, in squared standard deviations of a step's change.
    fn counted(&self, squared: Tensor<3>) -> Tensor<3> {
        let beyond = self.robust_beyond.powi(2);
        if beyond == 0.0 {
            return squared;
        }
        ((squared / beyond + 1.0).sqrt() - 1.0) * (2.0 * beyond)
    }

    /// Geometric mean over steps and elements of root mean squared errors, from mean squared ones `[K, 1, E]` per step: `[K]`.
    ///
    /// So a far step weighs like a near one and a wild element like a calm one: the gradient is that of the likelihood under
    /// Gaussians whose variances are fitted to each step and element, times the typical error, which keeps it of one size.
    ///
    /// Where errors are counted robustly, their plain mean.
    fn typical(&self, squared: Vec<Tensor<3>>) -> Tensor<1> {
        if self.robust_beyond > 0.0 {
            let all = Tensor::cat(squared, 1);
            let [_, steps, width] = all.dims();
            return all.sum_dim(2).sum_dim(1).reshape([self.count]) / (steps * width) as f64;
        }
        let logs = Tensor::cat(squared.into_iter().map(|x| (x + EXACT).log()).collect(), 1);
        let [_, steps, width] = logs.dims();
        let mean = logs.sum_dim(2).sum_dim(1).reshape([self.count]) / (steps * width) as f64;
        (mean * 0.5).exp()
    }

    /// Error of every member that goes on from its own means to the end of the sequences `[K]`.
    fn ahead(
        &self,
        (x, action, past): (Tensor<3>, Tensor<3>, Option<Tensor<3>>),
        seen: Tensor<3>,
        bootstrap: Tensor<3>,
    ) -> Tensor<1> {
        let [batch, steps, width] = seen.dims();
        let wide = |x: Tensor<2>| {
            let [batch, width] = x.dims();
            x.unsqueeze::<3>().expand([self.count, batch, width])
        };
        let at = |x: &Tensor<3>, i: usize| x.clone().narrow(1, i, 1).squeeze_dim::<2>(1);
        let means = self.members.outputs(0, width);
        // From where the past is really known, if the sequence is that long.
        let first = self.past.steps().min(steps - 1);
        let learns = bootstrap.narrow(0, first, 1).reshape([self.count, batch, 1]);
        let mut state = wide(at(&x, first));
        let mut behind = past.map(|past| wide(at(&past, first)));
        let mut errors = Vec::with_capacity(steps - first);
        for i in first..steps {
            let action = wide(at(&action, i));
            let change = means.forward_each(self.input(state.clone(), action.clone(), &behind));
            let change = self.view.moved(change);
            behind = self.past.push(&behind, state.clone(), action);
            state = self.renewed(self.view.held(state + change));
            let weight = wide(at(&seen, i)) * learns.clone();
            let error = state.clone() - wide(at(&x, i + 1));
            errors.push(match self.robust_beyond > 0.0 {
                // In units of a step's change, as where it begins to count by its size.
                true => mean_over_rows(self.counted(self.view.in_changes(error).square()), &weight),
                false => mean_over_rows(error.square(), &weight),
            });
        }
        self.typical(errors)
    }
}

/// `[K, N, E]` to `[K, 1, E]`; 1 where there are no rows, so that nothing is learned there and nothing else weighs less.
fn mean_over_rows(x: Tensor<3>, weight: &Tensor<3>) -> Tensor<3> {
    let rows = weight.clone().sum_dim(1);
    let none = rows.clone().lower_elem(0.5).float();
    (x * weight.clone()).sum_dim(1) / rows.clamp_min(1.0) + none
}
