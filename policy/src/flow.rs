//! Flow-matching action-chunk policy (Lipman et al. 2023; as an action expert: Black et al. 2024, π0, sec. IV).
//!
//! With noise `ε`, a recorded chunk `a` and a time `τ` in [0, 1]: `x_τ = (1-τ) ε + τ a`, and a network `v(x_τ, τ, e)` is
//! fitted to `a - ε`. Acting integrates `dx/dτ = v` from `ε` to `τ = 1` in a few Euler steps. The same noise gives the
//! same chunk, so two policies can be compared under common noise.

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
    /// Which episodes are cloned: `all`, or `successes`.
    pub learn_from: LearnFrom,
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
            least_successes: 10,
            intervention_weight: 2.0,
            blend: false,
        }
    }
}

/// How a policy's network is asked for a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Acting {
    /// From noise, in Euler steps.
    Flow {
        /// How many.
        steps: usize,
    },
    /// From noise, in one step: `ε + v(ε, 0, e)`.
    OneStep,
    /// From 0, in one step: the same observation always gives the same chunk, `v(0, 0, e)`.
    Deterministic,
}

/// Frequencies of the time features.
const FREQUENCIES: usize = 4;

/// The policy.
#[derive(Module, Debug)]
pub struct FlowPolicy {
    velocity: Mlp,
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

    /// The same network, asked otherwise.
    pub fn with_acting(self, acting: Acting) -> Self {
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

    /// `x_τ [B, chunk*A]`, `τ [B, 1]`, `e [B, E]` to the velocity `[B, chunk*A]`.
    fn velocity(&self, x: Tensor<2>, tau: Tensor<2>, e: Tensor<2>) -> Tensor<2> {
        let mut parts = vec![x];
        for i in 0..FREQUENCIES {
            let angle = tau.clone() * (std::f64::consts::PI * f64::from(1 << i) / 2.0);
            parts.extend([angle.clone().sin(), angle.cos()]);
        }
        parts.push(e);
        self.velocity.forward(Tensor::cat(parts, 1))
    }

    /// Flow-matching loss, weighted per row: `e [B, E]`, recorded chunk `[B, chunk*A]`, `noise` alike, `tau [B, 1]`, `weight [B]`.
    ///
    /// `known [B, chunk*A]` is 1 for the elements that the row's robot has: the others are 0 on the way and are not learned.
    pub fn loss(
        &self,
        e: Tensor<2>,
        (chunk, mut noise, tau): (Tensor<2>, Tensor<2>, Tensor<2>),
        weight: Tensor<1>,
        known: Option<Tensor<2>>,
    ) -> Tensor<1> {
        assert_eq!(chunk.dims(), noise.dims(), "noise has the shape of the chunk [B, chunk*A]");
        if let Some(known) = &known {
            noise = noise * known.clone();
        }
        let x = noise.clone() + (chunk.clone() - noise.clone()) * tau.clone();
        let squared = (self.velocity(x, tau, e) - (chunk - noise)).square();
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
            Acting::Flow { steps } => (noise * self.noise, steps),
            Acting::OneStep => (noise * self.noise, 1),
            Acting::Deterministic => (noise.zeros_like(), 1),
        };
        let step = 1.0 / steps as f64;
        (0..steps).fold(self.own(start), |x, i| {
            let tau = Tensor::full([batch, 1], i as f64 * step, &x.device());
            let v = self.own(self.velocity(x.clone(), tau, e.clone()));
            x + v * step
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use world_model::dropout::CameraDropout;
    use world_model::noise::{generator, normal, uniform};
    use world_model::optimise::{Schedule, Trainee};
    use world_model::representation::Encoder;
    use world_model::vision::VisionConfig;

    /// Two modes, -1 and +1, chosen by nothing: a mean regressor would answer 0, a flow must answer one of the two.
    #[test]
    fn learns_both_modes_and_not_their_mean() {
        let device = Device::default().autodiff();
        device.seed(1);
        let config = FlowConfig { chunk: 1, width: 64, ..FlowConfig::default() };
        let mut trainee = Trainee::new(FlowPolicy::new(&config, 1, 1, &device), 0.0);
        let schedule = Schedule { learning_rate: 3e-3, updates: 800 };
        for update in 0..800 {
            let mut rng = generator(0, "modes", update as u64);
            let sign = (uniform([128, 1], &mut rng, &device) - 0.5).sign();
            let (noise, tau) = (normal([128, 1], &mut rng, &device), uniform([128, 1], &mut rng, &device));
            trainee.update(schedule.at(update), vec![(sign, noise, tau)], &device, |net, (a, noise, tau)| {
                let e = Tensor::zeros([128, 1], &a.device());
                (net.loss(e, (a, noise, tau), Tensor::ones([128], &device), None), Vec::new())
            });
        }
        let inner = Device::default();
        let noise = normal([400, 1], &mut generator(0, "modes-test", 0), &inner);
        let actions = trainee.frozen().act(Tensor::zeros([400, 1], &inner), noise);
        let values = actions.try_into_vec_as::<f32>().expect("floats");
        let near = values.iter().filter(|v| (v.abs() - 1.0).abs() < 0.3).count();
        let positive = values.iter().filter(|v| **v > 0.0).count();
        assert!(near > 330, "{near} of 400 near a mode");
        assert!((120..280).contains(&positive), "{positive} of 400 positive");
    }

    /// Two cameras show the same; what is to be done is what they show. How wrong is the policy when one of them is black?
    fn error_without_a_camera(share: f32) -> f32 {
        let device = Device::default().autodiff();
        device.seed(4);
        let vision = VisionConfig { keypoints: 1, global: 1, ..VisionConfig::default() };
        let encoder = Encoder::new(&vision, &[16, 16], &device).expect("16 is a block");
        let dropout = |share: f32| CameraDropout::new(share, (&encoder, None), &[16, 16], 0, &Device::default());
        let config = FlowConfig { chunk: 1, width: 32, ..FlowConfig::default() };
        let mut trainee = Trainee::new(FlowPolicy::new(&config, 6, 1, &device), 0.0);
        let moments = |rng: &mut rand::rngs::StdRng, device: &Device| {
            let x = uniform([64, 1], rng, device) * 2.0 - 1.0;
            let camera = Tensor::cat(vec![x.clone(), x.clone() * 0.5, x.clone().neg()], 1);
            (Tensor::cat(vec![camera.clone(), camera], 1), x)
        };
        let schedule = Schedule { learning_rate: 3e-3, updates: 300 };
        let (learned, judged) = (dropout(share), dropout(1.0));
        let lost = |e: Tensor<2>, dropout: &Option<CameraDropout>, rng: &mut rand::rngs::StdRng| match dropout {
            Some(dropout) => dropout.apply(e.unsqueeze_dim(1), rng).squeeze_dim::<2>(1),
            None => e,
        };
        for update in 0..300 {
            let mut rng = generator(0, "cameras", update as u64);
            let (e, x) = moments(&mut rng, &device);
            let e = lost(e, &learned, &mut rng);
            let (noise, tau) = (normal([64, 1], &mut rng, &device), uniform([64, 1], &mut rng, &device));
            trainee.update(schedule.at(update), vec![(e, x, noise, tau)], &device, |net, (e, x, noise, tau)| {
                (net.loss(e, (x, noise, tau), Tensor::ones([64], &device), None), Vec::new())
            });
        }
        let (inner, mut rng) = (Device::default(), generator(1, "cameras", 0));
        let (e, x) = moments(&mut rng, &inner);
        let e = lost(e, &judged, &mut rng);
        let noise = normal([64, 1], &mut rng, &inner);
        (trainee.frozen().act(e, noise) - x).abs().mean().into_scalar()
    }

    #[test]
    fn a_policy_that_has_lost_cameras_acts_without_one() {
        let (never, often) = (error_without_a_camera(0.0), error_without_a_camera(0.5));
        assert!(often < 0.15 && often < 0.5 * never, "{often} after dropout, {never} without");
    }

    #[test]
    fn a_weight_of_zero_removes_a_row() {
        let device = Device::default();
        device.seed(2);
        let policy = FlowPolicy::new(&FlowConfig { chunk: 2, width: 16, ..FlowConfig::default() }, 3, 2, &device);
        let mut rng = generator(0, "weights", 0);
        let (e, a) = (normal([2, 3], &mut rng, &device), normal([2, 4], &mut rng, &device));
        let (noise, tau) = (normal([2, 4], &mut rng, &device), uniform([2, 1], &mut rng, &device));
        let weights = Tensor::from_data(TensorData::new(vec![1.0f32, 0.0], [2]), &device);
        let both: f32 = policy.loss(e.clone(), (a.clone(), noise.clone(), tau.clone()), weights, None).into_scalar();
        let first = |x: Tensor<2>| x.narrow(0, 0, 1);
        let one: f32 =
            policy.loss(first(e), (first(a), first(noise), first(tau)), Tensor::ones([1], &device), None).into_scalar();
        assert!((both - one).abs() < 1e-5);
    }

    #[test]
    fn one_step_policies_by_hand_and_kept_inside_the_range() {
        let device = Device::default();
        device.seed(6);
        let policy = FlowPolicy::new(&FlowConfig { chunk: 2, width: 8, ..FlowConfig::default() }, 3, 2, &device);
        let mut rng = generator(0, "acting", 0);
        let (e, noise) = (normal([5, 3], &mut rng, &device), normal([5, 4], &mut rng, &device));
        let floats = |x: Tensor<2>| x.try_into_vec_as::<f32>().expect("floats");
        let velocity = |x: Tensor<2>| policy.velocity(x, Tensor::zeros([5, 1], &device), e.clone());
        let one = policy.clone().with_acting(Acting::OneStep);
        assert_eq!(floats(one.act(e.clone(), noise.clone())), floats(noise.clone() + velocity(noise.clone())));
        let still = policy.clone().with_acting(Acting::Deterministic);
        assert_eq!(floats(still.act(e.clone(), noise.clone())), floats(velocity(noise.zeros_like())));
        // The first element of each action between -0.1 and 0.2, the second above 0.3.
        let kept = one.clone().within(vec![[-0.1, 0.2], [0.3, 9.0]]);
        let (free, kept) = (floats(one.act(e.clone(), noise.clone())), floats(kept.act(e.clone(), noise.clone())));
        for (row, (free, kept)) in free.chunks(2).zip(kept.chunks(2)).enumerate() {
            assert_eq!(kept, [free[0].clamp(-0.1, 0.2), free[1].clamp(0.3, 9.0)], "{row}");
        }
    }

    #[test]
    fn noise_is_scaled_as_configured_and_without_it_the_answer_is_always_the_same() {
        let device = Device::default();
        device.seed(7);
        let policy = FlowPolicy::new(&FlowConfig { width: 8, ..FlowConfig::default() }, 3, 2, &device);
        let mut rng = generator(0, "acting", 0);
        let e = normal([5, 3], &mut rng, &device);
        let [one, other] = [(); 2].map(|()| normal([5, policy.noise_len()], &mut rng, &device));
        let acts = |noise: f64, drawn: &Tensor<2>| -> Vec<f32> {
            let actions = policy.clone().with_noise(noise).act(e.clone(), drawn.clone());
            actions.try_into_vec_as::<f32>().expect("floats")
        };
        assert_eq!(acts(0.0, &one), acts(0.0, &other));
        assert_ne!(acts(0.5, &one), acts(0.5, &other));
        assert_eq!(acts(0.5, &one), acts(1.0, &(one.clone() * 0.5)));
    }

    #[test]
    fn what_a_robot_does_not_have_is_zero_all_the_way_and_teaches_nothing() {
        let device = Device::default();
        device.seed(3);
        let config = FlowConfig { chunk: 2, width: 16, ..FlowConfig::default() };
        // Actions of three elements, two of them the robot's.
        let policy = FlowPolicy::padded(&config, 3, (3, 2), &device);
        let mut rng = generator(0, "padding", 0);
        let (e, noise) = (normal([4, 3], &mut rng, &device), normal([4, 6], &mut rng, &device));
        let other = Tensor::<2>::from_floats([[0.0f32, 0.0, 9.0, 0.0, 0.0, -7.0]], &device);
        let floats = |x: Tensor<2>| x.try_into_vec_as::<f32>().expect("floats");
        let acts = floats(policy.act(e.clone(), noise.clone()));
        assert!(acts.chunks(3).all(|a| a[2] == 0.0 && a[0] != 0.0), "{acts:?}");
        assert_eq!(acts, floats(policy.act(e.clone(), noise.clone() + other.clone())));
        let known = || Some(Tensor::<2>::from_floats([[1.0f32, 1.0, 0.0, 1.0, 1.0, 0.0]], &device).expand([4, 6]));
        let (chunk, tau) = (policy.own(normal([4, 6], &mut rng, &device)), uniform([4, 1], &mut rng, &device));
        let loss = |noise: Tensor<2>| -> f32 {
            let parts = (chunk.clone(), noise, tau.clone());
            policy.loss(e.clone(), parts, Tensor::ones([4], &device), known()).into_scalar()
        };
        assert_eq!(loss(noise.clone()), loss(noise + other));
    }
}
