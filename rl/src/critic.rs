//! Distributional value ensemble `V_m(e)`, two-hot (DreamerV3, eq. 9-11), from recorded and imagined returns.
//!
//! On recorded steps the target is the n-step return
//! `G_t = Σ_{k<n} γ^k (1-γ) r_{t+k} + γ^n V̄(e_{t+n})`, cut at the end of an episode: a success is worth `R` for ever, a failure 0,
//! and a cut-off episode bootstraps from its last observation. `V̄` is a slow copy of the network. With `lambda` below 1 it is the λ-return
//! within these steps ([`crate::lambda_return`]).

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use world_model::corpus::ReturnRule;
use world_model::layers::EnsembleMlp;
use world_model::optimise::{Metrics, Schedule, Trainee};
use world_model::two_hot::TwoHot;
use world_model::vision::floats;
use world_model::{Corpus, Embeddings, noise};

use crate::lambda_return::LambdaReturn;

/// Sizes and training of the values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CriticConfig {
    /// Discount per control step γ.
    pub gamma: f32,
    /// Members of the ensemble.
    pub members: usize,
    /// Width of the two hidden layers.
    pub width: usize,
    /// Bins of the two-hot code.
    pub bins: usize,
    /// Updates on recorded returns.
    pub updates: usize,
    /// States in a batch.
    pub batch: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Recorded steps before bootstrapping.
    pub n_step: usize,
    /// λ of the return within these steps: 1 is the n-step return, less leans on the values of the states between.
    pub lambda: f32,
    /// What is learned of the returns that a state led to: 0.5 their mean, towards 1 the best of them (an expectile, as in IQL,
    /// Kostrikov et al. 2022, eq. 5): what was done well sometimes can be done again.
    pub expectile: f32,
    /// Share of the way the slow copy moves at each update.
    pub target_rate: f32,
}

impl Default for CriticConfig {
    fn default() -> Self {
        Self {
            gamma: 0.98,
            members: 3,
            width: 192,
            bins: 41,
            updates: 1500,
            batch: 256,
            learning_rate: 5e-4,
            n_step: 10,
            lambda: 1.0,
            expectile: 0.5,
            target_rate: 0.02,
        }
    }
}

/// The ensemble.
#[derive(Module, Debug)]
pub struct Critic {
    members: EnsembleMlp,
    low: f64,
    high: f64,
    bins: usize,
}

impl Critic {
    /// A fresh ensemble for values between the rule's `low` and `high`.
    pub fn new(config: &CriticConfig, embedding: usize, rule: &ReturnRule, device: &Device) -> Self {
        let members = EnsembleMlp::new(config.members, &[embedding, config.width, config.width, config.bins], device);
        Self { members, low: f64::from(rule.low), high: f64::from(rule.high), bins: config.bins }.materialize()
    }

    fn code(&self) -> TwoHot {
        TwoHot { low: self.low as f32, high: self.high as f32, count: self.bins }
    }

    /// Every member's value of `e [B, E]`: `[M, B]`.
    pub fn values(&self, e: &Tensor<2>) -> Tensor<2> {
        self.code().mean(self.members.forward(e.clone()))
    }

    /// Mean over members `[B]`.
    pub fn mean(&self, e: &Tensor<2>) -> Tensor<1> {
        self.values(e).mean_dim(0).squeeze_dim::<1>(0)
    }

    /// Smallest over members `[B]` (clipped double Q: Fujimoto et al. 2018, TD3, sec. 4.2).
    pub fn least(&self, e: &Tensor<2>) -> Tensor<1> {
        self.values(e).min_dim(0).squeeze_dim::<1>(0)
    }

    /// Mean minus the members' standard deviation `[B]`: what is unknown is not hoped for.
    pub fn cautious(&self, e: &Tensor<2>) -> Tensor<1> {
        let values = self.values(e);
        let mean = values.clone().mean_dim(0);
        let spread = (values - mean.clone()).square().mean_dim(0).sqrt();
        (mean - spread).squeeze_dim::<1>(0)
    }

    /// Largest minus smallest value that it can say.
    pub fn range(&self) -> f32 {
        (self.high - self.low) as f32
    }

    /// Cross-entropy of every member to `target [B]`, rows weighted by `weight [B]`.
    pub fn loss(&self, e: Tensor<2>, target: Tensor<1>, weight: Tensor<1>) -> Tensor<1> {
        let each = self.code().cross_entropy(self.members.forward(e), target);
        let rows = each.mean_dim(0).squeeze_dim::<1>(0);
        (rows * weight.clone()).sum() / weight.sum().clamp_min(1e-6)
    }
}

impl Critic {
    /// The same where every member has a `target [M, B]` and a `weight [M, B]` of its own.
    pub fn loss_each(&self, e: Tensor<2>, target: Tensor<2>, weight: Tensor<2>) -> Tensor<1> {
        let [members, rows] = target.dims();
        assert_eq!(weight.dims(), target.dims(), "a weight for every target [M, B]");
        let logits = self.members.forward(e).reshape([1, members * rows, self.bins]);
        let each = self.code().cross_entropy(logits, target.reshape([members * rows])).reshape([members, rows]);
        (each * weight.clone()).sum() / weight.sum().clamp_min(1e-6)
    }
}

struct Blend {
    towards: std::collections::VecDeque<Vec<f32>>,
    rate: f32,
}

impl ModuleMapper for Blend {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let towards = self.towards.pop_front().unwrap_or_default();
        let rate = self.rate;
        param.map(|slow| {
            let (shape, device) = (slow.dims(), slow.device());
            let fast = Tensor::<D>::from_data(TensorData::new(towards, shape), &device);
            slow.clone() + (fast - slow) * rate
        })
    }
}

struct Collect(std::collections::VecDeque<Vec<f32>>);

impl burn::module::ModuleVisitor for Collect {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push_back(floats(param.val().inner()));
    }
}

/// Moves `slow` (without gradients) a share `rate` of the way to `fast` (a training network).
pub fn blend<M: Module>(slow: M, fast: &M, rate: f32) -> M {
    let mut collect = Collect(Default::default());
    fast.visit(&mut collect);
    slow.map(&mut Blend { towards: collect.0, rate })
}

/// Weights `|τ - 1(u < 0)|` under which a regression tends to the expectile τ, for differences `u [B]` of target and value
/// (Kostrikov et al. 2022, IQL, eq. 5).
pub fn expectile_weight(difference: Tensor<1>, expectile: f32) -> Tensor<1> {
    let below = difference.lower_elem(0.0).float();
    (below - expectile).abs()
}

/// n-step targets of recorded steps: (target without bootstrap, discount of the bootstrap, step to bootstrap from).
pub fn n_step_target(corpus: &Corpus, track: usize, t: usize, n: usize) -> (f32, f32, usize) {
    let (rule, track) = (&corpus.returns, &corpus.tracks[track]);
    let (mut sum, mut discount) = (0.0, 1.0);
    for k in 0..n {
        let i = t + k;
        if i + 1 == track.len {
            if !track.success && !track.terminated {
                // Cut off: the last observation is the latest state with a known embedding.
                return (sum, discount, i);
            }
            let held = rule.held(track.success, track.terminated, 0.0);
            return (sum + discount * ((1.0 - rule.gamma) * track.reward[i] + rule.gamma * held), 0.0, i);
        }
        sum += discount * (1.0 - rule.gamma) * track.reward[i];
        discount *= rule.gamma;
    }
    (sum, discount, t + n)
}

/// Trains the values of the recorded behaviour.
pub struct CriticLearner<'a> {
    /// Network and optimiser.
    pub trainee: Trainee<Critic>,
    /// Slow copy, without gradients.
    pub slow: Critic,
    config: CriticConfig,
    corpus: &'a Corpus,
    embeddings: &'a Embeddings,
    shards: usize,
    device: Device,
    seed: u64,
}

impl<'a> CriticLearner<'a> {
    /// `critic` must live on `device`, an autodiff device.
    pub fn new(
        critic: Critic,
        config: &CriticConfig,
        data: (&'a Corpus, &'a Embeddings),
        shards: usize,
        device: &Device,
        seed: u64,
    ) -> Self {
        let (corpus, embeddings) = data;
        let slow = critic.valid();
        Self {
            trainee: Trainee::new(critic, 1e-4),
            slow,
            config: *config,
            corpus,
            embeddings,
            shards,
            device: device.clone(),
            seed,
        }
    }

    /// Targets `[B]` of (track, step) pairs under the slow copy.
    pub fn targets(&self, at: &[(usize, usize)], n_step: usize) -> Vec<f32> {
        let inner = self.device.clone().inner();
        if self.config.lambda < 1.0 {
            let data = (self.corpus, self.embeddings);
            return LambdaReturn { n_step, lambda: self.config.lambda }.of(data, at, |e| self.slow.mean(e), &inner);
        }
        let parts: Vec<(f32, f32, usize)> =
            at.iter().map(|&(track, t)| n_step_target(self.corpus, track, t, n_step)).collect();
        let ends: Vec<(usize, usize)> = at.iter().zip(&parts).map(|(&(track, _), p)| (track, p.2)).collect();
        let values = floats(self.slow.mean(&self.embeddings.gather(&ends, &inner)));
        parts.iter().zip(values).map(|((sum, discount, _), v)| sum + discount * v).collect()
    }

    /// Update number `update` of a planned `updates`, on recorded steps.
    pub fn update(&mut self, update: usize, updates: usize) -> Metrics {
        let mut rng = noise::generator(self.seed, "critic", update as u64);
        let at = self.corpus.draw_steps(&self.corpus.train, self.config.batch, &mut rng);
        let target = self.targets(&at, self.config.n_step);
        let part = at.len().div_ceil(self.shards.max(1)).max(1);
        let shards = at
            .chunks(part)
            .zip(target.chunks(part))
            .map(|(at, target)| {
                let target = TensorData::new(target.to_vec(), [at.len()]);
                (self.embeddings.gather(at, &self.device), Tensor::from_data(target, &self.device))
            })
            .collect();
        let schedule = Schedule { learning_rate: self.config.learning_rate, updates };
        let (slow, expectile) = (&self.slow, self.config.expectile);
        let metrics = self.trainee.update(schedule.at(update), shards, &self.device, |critic, (e, target)| {
            let weight = match expectile {
                // The mean: all rows alike.
                0.5 => target.ones_like(),
                _ => {
                    let value = slow.mean(&e.clone().inner());
                    Tensor::from_inner(expectile_weight(target.clone().inner() - value, expectile))
                }
            };
            (critic.loss(e, target, weight), Vec::new())
        });
        self.slow = blend(self.slow.clone(), &self.trainee.network, self.config.target_rate);
        metrics
    }
}
