//! Flow-matching action-chunk policy (Lipman et al. 2023; as an action expert: Black et al. 2024, π0, sec. IV).
//!
//! With noise `ε`, a recorded chunk `a` and a time `τ` in [0, 1]: `x_τ = (1-τ) ε + τ a`, and a network `v(x_τ, τ, e)` is
//! fitted to `a - ε`. Acting integrates `dx/dτ = v` from `ε` to `τ = 1` in a few Euler steps. The same noise gives the
//! same chunk, so two policies can be compared under common noise.

#[cfg(test)]
mod tests;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use world_model::layers::Mlp;

use crate::blend::Receding;

/// Which episodes are cloned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LearnFrom {
    /// All of them.
    #[default]
    All,
    /// Those that end in success.
    Successes,
    /// Those whose returns are best, [`FlowConfig::best_share`] of the steps.
    Best,
}

/// Sizes and training of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlowConfig {
    /// Actions in a chunk.
    pub chunk: usize,
    /// Actions of a chunk that are executed before the next observation is used.
    pub execute: usize,
    /// Width of the three hidden layers.
    pub width: usize,
    /// Euler steps from noise to chunk.
    pub flow_steps: usize,
    /// Size of the noise that acting begins from: 1 draws among all that was recorded, 0 always answers with the same chunk.
    pub noise: f32,
    /// Updates of behaviour cloning.
    pub updates: usize,
    /// Chunks in a batch.
    pub batch: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Which episodes are cloned: `all`, `successes`, or `best`.
    pub learn_from: LearnFrom,
    /// Share of the steps that are cloned where the best episodes are: of every dataset and task its own best
    /// ([`Corpus::best_tracks`](world_model::Corpus::best_tracks)).
    pub best_share: f32,
    /// Successful training episodes below which all are cloned after all.
    pub least_successes: usize,
    /// Weight of steps at which a person had the controls, against 1 for those of which nothing was said; the second before counts
    /// for nothing.
    pub intervention_weight: f32,
    /// Whether a new chunk's beginning is mixed with what the last one planned for the same moments ([`mod@crate::blend`]).
    pub blend: bool,
}

impl FlowConfig {
    /// How its chunks are executed.
    pub fn receding(&self) -> Receding {
        Receding { execute: self.execute.clamp(1, self.chunk.max(1)), blend: self.blend }
    }
}

impl Default for FlowConfig {
    fn default() -> Self {
        Self {
            chunk: 8,
            execute: 4,
            width: 256,
            flow_steps: 6,
            noise: 1.0,
            updates: 4000,
            batch: 256,
            learning_rate: 1e-3,
            learn_from: LearnFrom::All,
            best_share: 0.25,
            least_successes: 10,
            intervention_weight: 2.0,
            blend: false,
        }
    }
}

/// How a policy's network is asked for a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Acting {
    /// From noise, in Euler steps.
    Flow {
        /// How many.
        steps: usize,
    },
    /// The same, guided towards what the network was told to be good: `v(none) + weight [v(good) - v(none)]`.
    Guided {
        /// Euler steps.
        steps: usize,
        /// Weight of the guidance.
        weight: f32,
    },
    /// From noise, in one step: `ε + v(ε, 0, e)`.
    OneStep,
    /// From 0, in one step: the same observation always gives the same chunk, `v(0, 0, e)`.
    Deterministic,
}

/// Frequencies of the time features.
const FREQUENCIES: usize = 4;

/// Elements of the advice: good, bad; both 0 for none.
pub const ADVICE: usize = 2;

/// The policy.
#[derive(Module, Debug)]
pub struct FlowPolicy {
    velocity: Mlp,
    takes_advice: bool,
    chunk: usize,
    action_len: usize,
    own_action_len: usize,
    noise: f64,
    #[module(skip)]
    acting: Acting,
    #[module(skip)]
    range: Vec<[f32; 2]>,
}

impl FlowPolicy {
    /// A fresh policy for embeddings of `embedding` elements and actions of `action_len`, all of them its robot's.
    pub fn new(config: &FlowConfig, embedding: usize, action_len: usize, device: &Device) -> Self {
        Self::padded(config, embedding, (action_len, action_len), device)
    }

    /// A fresh policy for embeddings of `embedding` elements and actions of `action_len`, the first `own` of which are its
    /// robot's and the rest, of other robots it learns from, always 0.
    pub fn padded(config: &FlowConfig, embedding: usize, (action_len, own): (usize, usize), device: &Device) -> Self {
        assert!(own <= action_len, "a robot of {own} action elements in {action_len}");
        let flat = config.chunk * action_len;
        let w = config.width;
        Self {
            velocity: Mlp::new(&[flat + 2 * FREQUENCIES + embedding, w, w, w, flat], device).materialize(),
            takes_advice: false,
            chunk: config.chunk,
            action_len,
            own_action_len: own,
            noise: f64::from(config.noise),
            acting: Acting::Flow { steps: config.flow_steps },
            range: Vec::new(),
        }
    }

    /// The same policy acting from noise of another size.
    pub fn with_noise(self, noise: f64) -> Self {
        Self { noise, ..self }
    }

    /// The same network, asked otherwise. One that is to be guided takes advice from now on, of which it has not heard yet.
    #[must_use]
    pub fn with_acting(self, acting: Acting) -> Self {
        if matches!(acting, Acting::Guided { .. }) && !self.takes_advice {
            return Self { velocity: self.velocity.widened(ADVICE), takes_advice: true, acting, ..self };
        }
        Self { acting, ..self }
    }

    /// How the network is asked.
    pub fn acting(&self) -> Acting {
        self.acting
    }

    /// The same policy, every normalised action of which is kept between these `[low, high]`, one pair for each of its `A`
    /// elements. A policy that was fitted to recorded chunks stays among them by itself, one that climbs a critic does not.
    pub fn within(self, range: Vec<[f32; 2]>) -> Self {
        assert_eq!(range.len(), self.action_len, "a range for each element of an action");
        Self { range, ..self }
    }

    /// Elements of a flattened chunk, which is also the length of the noise.
    pub fn noise_len(&self) -> usize {
        self.chunk * self.action_len
    }

    /// Actions in a chunk.
    pub fn chunk(&self) -> usize {
        self.chunk
    }

    /// `x_τ [B, chunk*A]`, `τ [B, 1]`, `e [B, E]` and perhaps advice `[B, 2]` to the velocity `[B, chunk*A]`.
    fn velocity(&self, x: Tensor<2>, tau: Tensor<2>, e: Tensor<2>, advice: Option<Tensor<2>>) -> Tensor<2> {
        let (rows, device) = (x.dims()[0], x.device());
        let mut parts = vec![x];
        for i in 0..FREQUENCIES {
            let angle = tau.clone() * (std::f64::consts::PI * f64::from(1 << i) / 2.0);
            parts.extend([angle.clone().sin(), angle.cos()]);
        }
        parts.push(e);
        if self.takes_advice {
            parts.push(advice.unwrap_or_else(|| Tensor::zeros([rows, ADVICE], &device)));
        }
        self.velocity.forward(Tensor::cat(parts, 1))
    }

    /// Flow-matching loss, weighted per row: `e [B, E]`, recorded chunk `[B, chunk*A]`, `noise` alike, `tau [B, 1]`, `weight [B]`.
    ///
    /// `known [B, chunk*A]` is 1 for the elements that the row's robot has: the others are 0 on the way and are not learned.
    pub fn loss(
        &self,
        e: Tensor<2>,
        flow: (Tensor<2>, Tensor<2>, Tensor<2>),
        weight: Tensor<1>,
        known: Option<Tensor<2>>,
    ) -> Tensor<1> {
        self.matching(e, None, flow, weight, known)
    }

    /// The same where it is told of every row whether the chunk is good or bad, `advice [B, 2]`, 0 and 0 for nothing.
    pub fn advised_loss(
        &self,
        e: Tensor<2>,
        advice: Tensor<2>,
        flow: (Tensor<2>, Tensor<2>, Tensor<2>),
        weight: Tensor<1>,
        known: Option<Tensor<2>>,
    ) -> Tensor<1> {
        assert!(self.takes_advice, "the policy takes no advice");
        assert_eq!(advice.dims(), [e.dims()[0], ADVICE], "advice is [B, {ADVICE}]");
        self.matching(e, Some(advice), flow, weight, known)
    }

    fn matching(
        &self,
        e: Tensor<2>,
        advice: Option<Tensor<2>>,
        (chunk, mut noise, tau): (Tensor<2>, Tensor<2>, Tensor<2>),
        weight: Tensor<1>,
        known: Option<Tensor<2>>,
    ) -> Tensor<1> {
        assert_eq!(chunk.dims(), noise.dims(), "noise has the shape of the chunk [B, chunk*A]");
        if let Some(known) = &known {
            noise = noise * known.clone();
        }
        let x = noise.clone() + (chunk.clone() - noise.clone()) * tau.clone();
        let squared = (self.velocity(x, tau, e, advice) - (chunk - noise)).square();
        let error = match known {
            None => squared.mean_dim(1),
            Some(known) => (squared * known.clone()).sum_dim(1) / known.sum_dim(1).clamp_min(1.0),
        };
        (error.squeeze_dim::<1>(1) * weight.clone()).sum() / weight.sum().clamp_min(1e-6)
    }

    /// Actions `[B, chunk*A]` with 0 for what the policy's robot does not have.
    pub fn own(&self, actions: Tensor<2>) -> Tensor<2> {
        let ([batch, width], a, own) = (actions.dims(), self.action_len, self.own_action_len);
        if own == a {
            return actions;
        }
        let kept = actions.reshape([batch, width / a, a]).narrow(2, 0, own);
        let rest = Tensor::zeros([batch, width / a, a - own], &kept.device());
        Tensor::cat(vec![kept, rest], 2).reshape([batch, width])
    }

    /// Acts: `e [B, E]` and standard normal noise `[B, chunk*A]`, which is scaled as configured, to normalised actions
    /// `[B, chunk*A]`, inside the range of [`Self::within`].
    pub fn act(&self, e: Tensor<2>, noise: Tensor<2>) -> Tensor<2> {
        self.kept(self.propose(e, noise))
    }

    /// The same before it is kept inside the range: what a loss that pulls actions back must see.
    pub fn propose(&self, e: Tensor<2>, noise: Tensor<2>) -> Tensor<2> {
        let [batch, width] = noise.dims();
        assert_eq!(width, self.noise_len(), "noise is [B, chunk*A]");
        let (start, steps) = match self.acting {
            Acting::Flow { steps } | Acting::Guided { steps, .. } => (noise * self.noise, steps),
            Acting::OneStep => (noise * self.noise, 1),
            Acting::Deterministic => (noise.zeros_like(), 1),
        };
        let step = 1.0 / steps as f64;
        (0..steps).fold(self.own(start), |x, i| {
            let tau = Tensor::full([batch, 1], i as f64 * step, &x.device());
            let v = match self.acting {
                Acting::Guided { weight, .. } => self.guided(x.clone(), tau, e.clone(), f64::from(weight)),
                _ => self.velocity(x.clone(), tau, e.clone(), None),
            };
            x + self.own(v) * step
        })
    }

    /// `v(none) + weight [v(good) - v(none)]`, in one pass.
    fn guided(&self, x: Tensor<2>, tau: Tensor<2>, e: Tensor<2>, weight: f64) -> Tensor<2> {
        let ([rows, _], device) = (x.dims(), x.device());
        let good = Tensor::<2>::from_floats([[1.0, 0.0]], &device).expand([rows, ADVICE]);
        let advice = Tensor::cat(vec![Tensor::zeros([rows, ADVICE], &device), good], 0);
        let twice = |x: Tensor<2>| x.repeat_dim(0, 2);
        let both = self.velocity(twice(x), twice(tau), twice(e), Some(advice));
        let [none, good] = [0, rows].map(|first| both.clone().narrow(0, first, rows));
        none.clone() + (good - none) * weight
    }

    /// Actions `[B, chunk*A]` inside the range, if there is one; beyond it they have no gradient.
    pub fn kept(&self, actions: Tensor<2>) -> Tensor<2> {
        if self.range.is_empty() {
            return actions;
        }
        let ([batch, width], device) = (actions.dims(), actions.device());
        let bound = |side: usize| {
            let row: Vec<f32> = self.range.iter().map(|pair| pair[side]).cycle().take(width).collect();
            Tensor::<2>::from_data(TensorData::new(row, [1, width]), &device).expand([batch, width])
        };
        actions.max_pair(bound(0)).min_pair(bound(1))
    }
}
