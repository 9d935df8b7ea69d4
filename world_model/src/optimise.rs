//! One gradient step: the batch in shards over threads, gradients averaged, AdamW, warm-up and cosine decay.
//!
//! The CPU device leaves a core idle outside matrix products, so each shard runs a replica of the network on its own
//! thread. The number of shards is configuration, not the number of cores: results do not depend on the machine.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Bytes, Device, Tensor};

use crate::shards::side_by_side;

/// Learning rate over a planned number of updates: linear warm-up, then a cosine to a tenth.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Planned updates.
    pub updates: usize,
}

/// Updates of linear warm-up; longer than Adam's first-moment memory, shorter than any useful run.
pub const WARM_UP_UPDATES: usize = 50;

impl Schedule {
    /// Learning rate at update `update` (from 0).
    pub fn at(&self, update: usize) -> f64 {
        let warm = ((update + 1) as f64 / WARM_UP_UPDATES as f64).min(1.0);
        let progress = (update as f64 / self.updates.max(1) as f64).clamp(0.0, 1.0);
        let cosine = 0.55 + 0.45 * (std::f64::consts::PI * progress).cos();
        self.learning_rate * warm * cosine
    }
}

/// A network with its optimiser.
pub struct Trainee<M: Module> {
    /// The network, on an autodiff device.
    pub network: M,
    /// Factor on every learning rate, 1 unless training diverged and was set back.
    pub pace: f64,
    optimiser: ModuleOptimizer,
}

/// Named scalars of one update, averaged over shards.
pub type Metrics = Vec<(&'static str, f32)>;

impl<M: Module + Sync> Trainee<M> {
    /// Wraps a freshly initialised network.
    pub fn new(network: M, weight_decay: f32) -> Self {
        let optimiser = AdamWConfig::new()
            .with_epsilon(1e-8)
            .with_weight_decay(weight_decay)
            .with_grad_clipping(Some(burn::grad_clipping::GradientClippingConfig::Norm(1.0)))
            .init();
        Self { network, pace: 1.0, optimiser }
    }

    /// One update. `loss` maps (network, shard) to (scalar loss `[1]`, metrics) and runs once per shard, in parallel.
    ///
    /// The metrics begin with `loss` and end with `gradient_norm`, before clipping. Where either is not finite the network
    /// stays as it was: such a step would destroy it.
    pub fn update<S: Send>(
        &mut self,
        learning_rate: f64,
        shards: Vec<S>,
        device: &Device,
        loss: impl Fn(&M, S) -> (Tensor<1>, Metrics) + Sync,
    ) -> Metrics
    where
        M: Send,
    {
        let count = shards.len();
        let replica = || self.network.clone().map(&mut Replica(&device.clone().inner()));
        let replicas: Vec<(M, S)> = shards.into_iter().map(|s| (replica(), s)).collect();
        let results: Vec<(GradientsParams, Metrics)> = side_by_side(replicas, |_, (network, shard)| {
            let (value, mut metrics) = loss(&network, shard);
            metrics.insert(0, ("loss", value.clone().into_scalar()));
            (GradientsParams::from_grads(value.backward(), &network), metrics)
        });
        let mut results = results.into_iter();
        let Some((mut total, mut metrics)) = results.next() else {
            return Metrics::new();
        };
        for (gradients, other) in results {
            total = add(&self.network, total, gradients);
            for (sum, (_, value)) in metrics.iter_mut().zip(other) {
                sum.1 += value;
            }
        }
        if count > 1 {
            total = scale(&self.network, total, 1.0 / count as f32);
            metrics.iter_mut().for_each(|m| m.1 /= count as f32);
        }
        let norm = norm(&self.network, &total);
        if metrics.first().is_some_and(|m| m.1.is_finite()) && norm.is_finite() {
            self.network = self.optimiser.step(learning_rate * self.pace, self.network.clone(), total);
        }
        metrics.push(("gradient_norm", norm));
        metrics
    }

    /// The network without gradients, for inference.
    pub fn frozen(&self) -> M {
        self.network.valid()
    }

    /// Optimiser state for a checkpoint.
    pub fn optimiser_bytes(&self) -> Result<Vec<u8>, String> {
        self.optimiser.into_bytes().map(|b| b.to_vec()).map_err(|e| e.to_string())
    }

    /// Restores the optimiser state of [`Self::optimiser_bytes`].
    pub fn restore_optimiser(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        self.optimiser = self.optimiser.clone().from_bytes(Bytes::from_bytes_vec(bytes)).map_err(|e| e.to_string())?;
        Ok(())
    }
}

/// A network of its own, differentiated apart from the one that it is a copy of.
///
/// `Module::fork` tells the graph of every parameter that a copy was made. Of parameters without a gradient, which no update replaces, these
/// notes are never dropped and all of them are gone through at each update: training gets slower and slower (docs/LOG.md, 2026-11-27).
struct Replica<'a>(&'a Device);

impl ModuleMapper for Replica<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, learns) = (param.id, param.is_require_grad());
        let values = param.val().inner().to_device(self.0);
        Param::initialized(id, Tensor::from_inner(values).set_require_grad(learns))
    }
}

struct Combine<'a> {
    left: &'a mut GradientsParams,
    right: Option<&'a mut GradientsParams>,
    factor: f32,
    out: GradientsParams,
}

impl ModuleVisitor for Combine<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let left = self.left.remove::<D>(param.id);
        let right = self.right.as_mut().and_then(|r| r.remove::<D>(param.id));
        let sum = match (left, right) {
            (Some(l), Some(r)) => Some(l + r),
            (l, r) => l.or(r),
        };
        if let Some(sum) = sum {
            self.out.register(param.id, if self.factor == 1.0 { sum } else { sum * self.factor });
        }
    }
}

fn add<M: Module>(network: &M, mut left: GradientsParams, mut right: GradientsParams) -> GradientsParams {
    let mut combine = Combine { left: &mut left, right: Some(&mut right), factor: 1.0, out: GradientsParams::new() };
    network.visit(&mut combine);
    combine.out
}

fn scale<M: Module>(network: &M, mut left: GradientsParams, factor: f32) -> GradientsParams {
    let mut combine = Combine { left: &mut left, right: None, factor, out: GradientsParams::new() };
    network.visit(&mut combine);
    combine.out
}

/// Sums of squares of what a network holds, a tensor `[1]` per parameter.
struct Squares<'a> {
    gradients: Option<&'a GradientsParams>,
    sums: Vec<Tensor<1>>,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let values = match self.gradients {
            Some(gradients) => gradients.get::<D>(param.id),
            None => Some(param.val().inner()),
        };
        self.sums.extend(values.map(|values| values.square().sum()));
    }
}

/// Euclidean norm of all gradients of a network.
fn norm<M: Module>(network: &M, gradients: &GradientsParams) -> f32 {
    let mut squares = Squares { gradients: Some(gradients), sums: Vec::new() };
    network.visit(&mut squares);
    // One number is read from the device, not one per parameter.
    if squares.sums.is_empty() { 0.0 } else { Tensor::cat(squares.sums, 0).sum().sqrt().into_scalar() }
}

/// Whether every parameter of a network is finite, and small enough that its square is.
pub fn is_finite<M: Module>(network: &M) -> bool {
    let mut squares = Squares { gradients: None, sums: Vec::new() };
    network.visit(&mut squares);
    squares.sums.is_empty() || Tensor::cat(squares.sums, 0).sum().into_scalar::<f32>().is_finite()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{layers::Mlp, noise};

    fn train(shards: usize) -> Vec<f32> {
        let device = Device::default().autodiff();
        device.seed(3);
        let mut trainee = Trainee::new(Mlp::new(&[3, 16, 1], &device).materialize(), 0.0);
        let x = noise::normal([8, 3], &mut noise::generator(1, "x", 0), &device);
        let mut losses = Vec::new();
        for update in 0..200 {
            let parts = x.clone().chunk(shards, 0);
            let schedule = Schedule { learning_rate: 1e-2, updates: 200 };
            let metrics = trainee.update(schedule.at(update), parts, &device, |net, x| {
                let y = x.clone().sum_dim(1);
                ((net.forward(x) - y).square().mean(), Vec::new())
            });
            losses.push(metrics[0].1);
        }
        losses
    }

    #[test]
    fn sharded_updates_learn_and_equal_the_whole_batch() {
        let (one, two) = (train(1), train(2));
        assert!(one[199] < 0.02 * one[0], "{} -> {}", one[0], one[199]);
        assert!((one[0] - two[0]).abs() < 1e-4);
        assert!((one[20] - two[20]).abs() < 1e-2 * one[0], "{} {}", one[20], two[20]);
    }

    /// A part that learns and many that have no part in the loss.
    #[derive(Module, Debug)]
    struct HalfIdle {
        learns: Mlp,
        idle: Vec<Mlp>,
    }

    #[test]
    fn parameters_without_a_gradient_do_not_make_updates_slower_and_slower() {
        let device = Device::default().autodiff();
        let mlp = || Mlp::new(&[2, 4, 1], &device);
        let network = HalfIdle { learns: mlp(), idle: (0..8).map(|_| mlp()).collect() }.materialize();
        let mut trainee = Trainee::new(network, 0.0);
        let x = Tensor::<2>::from_floats([[0.5, 1.0]], &device);
        let mut took = Vec::new();
        for _ in 0..60 {
            let since = std::time::Instant::now();
            for _ in 0..20 {
                trainee.update(1e-3, vec![x.clone(); 2], &device, |network, x| {
                    (network.learns.forward(x).square().mean(), Metrics::new())
                });
            }
            took.push(since.elapsed());
        }
        // The least of several: a machine that is busy with something else is no slower network.
        let least = |part: &[std::time::Duration]| part.iter().min().copied().expect("some were timed");
        let (early, late) = (least(&took[..15]), least(&took[45..]));
        assert!(late < early * 3, "20 updates: {early:?}, after 900 more {late:?}");
    }

    fn values(network: &Mlp) -> Vec<f32> {
        struct All(Vec<f32>);
        impl ModuleVisitor for All {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                self.0.extend(crate::vision::floats(param.val()));
            }
        }
        let mut all = All(Vec::new());
        network.visit(&mut all);
        all.0
    }

    #[test]
    fn what_is_not_finite_leaves_the_network_as_it_was() {
        let device = Device::default().autodiff();
        device.seed(3);
        let mut trainee = Trainee::new(Mlp::new(&[2, 4, 1], &device).materialize(), 0.0);
        let before = values(&trainee.network);
        let batch = |x: f32| vec![Tensor::<2>::from_floats([[x, 1.0]], &device)];
        let loss = |network: &Mlp, x: Tensor<2>| (network.forward(x).square().mean(), Metrics::new());
        let metrics = trainee.update(1e-2, batch(f32::NAN), &device, loss);
        assert!(metrics[0].1.is_nan());
        // The root of 0 is finite, its slope is not.
        let root = |network: &Mlp, x: Tensor<2>| ((network.forward(x) * 0.0).sum().sqrt(), Metrics::new());
        let metrics = trainee.update(1e-2, batch(1.0), &device, root);
        assert_eq!((metrics[0].1, metrics[1].0, metrics[1].1.is_finite()), (0.0, "gradient_norm", false));
        assert_eq!(values(&trainee.network), before);
        trainee.update(1e-2, batch(1.0), &device, loss);
        assert_ne!(values(&trainee.network), before);
        assert!(is_finite(&trainee.network));
        trainee.pace = 1e30;
        trainee.update(1e10, batch(1.0), &device, loss);
        assert!(!is_finite(&trainee.network), "a step of 1e40 fits no float");
    }

    #[test]
    fn the_norm_of_gradients_by_hand() {
        // w·x with x = (3, 4): the gradient of w is x, that of the bias 1.
        let device = Device::default().autodiff();
        let network = Mlp::new(&[2, 1], &device).materialize();
        let y = network.forward(Tensor::from_floats([[3.0, 4.0]], &device)).sum();
        let gradients = GradientsParams::from_grads(y.backward(), &network);
        assert!((norm(&network, &gradients) - 26f32.sqrt()).abs() < 1e-5);
    }

    #[test]
    fn the_schedule_warms_up_and_ends_at_a_tenth() {
        let s = Schedule { learning_rate: 1.0, updates: 1000 };
        assert!(s.at(0) < 0.03 && (s.at(1000) - 0.1).abs() < 1e-9 && s.at(60) > 0.98);
    }
}
