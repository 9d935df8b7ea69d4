//! How episodes end: what a step says of success and of failure. Learned, never hand-coded.
//!
//! Recordings stop where a robot falls, so that no recorded state lies beyond the fall and a network of states alone knows but the falls it
//! has often seen. How far *beyond everything recorded* a next state lies is therefore told apart, per element and side: where
//! leaving the recorded range has been an end, the network learns that from a handful of falls, and where it has not, that it means nothing.

use burn::module::{Module, Param};
use burn::tensor::activation::{sigmoid, softplus};
use burn::tensor::{Device, Tensor, TensorData};

use super::view::View;
use crate::corpus::Corpus;
use crate::layers::Mlp;

/// The two heads.
#[derive(Module, Debug)]
pub(super) struct Ends {
    success: Mlp,
    failure: Mlp,
    /// 1 where the recordings have such an end at all `[2]`: success, failure.
    recorded: Param<Tensor<1>>,
    /// Where the reward tells success: 1, and the reward from which on; else zeros `[2]`.
    told: Param<Tensor<1>>,
}

impl Ends {
    /// Fresh heads for embeddings of `embedding` elements and actions of `action`.
    pub fn new((embedding, action): (usize, usize), width: usize, device: &Device) -> Self {
        let passed = 2 * embedding + action;
        Self {
            success: Mlp::new(&[passed, width, 1], device),
            failure: Mlp::new(&[passed + 2 * embedding, width, 1], device),
            recorded: Self::flags([true; 2], device),
            told: Param::from_tensor(Tensor::zeros([2], device)).set_require_grad(false),
        }
    }

    fn flags(recorded: [bool; 2], device: &Device) -> Param<Tensor<1>> {
        let flags = recorded.map(|any| f32::from(u8::from(any)));
        Param::from_tensor(Tensor::from_data(TensorData::new(flags.to_vec(), [2]), device)).set_require_grad(false)
    }

    /// Takes from the given tracks which ends there are: what never happened is not imagined.
    pub fn fit(self, corpus: &Corpus, tracks: &[usize], device: &Device) -> Self {
        let tracks = || tracks.iter().map(|&track| &corpus.tracks[track]);
        let recorded = [tracks().any(|track| track.success), tracks().any(|track| track.terminated && !track.success)];
        Self { recorded: Self::flags(recorded, device), ..self }
    }

    /// From now on a step succeeds whose reward is read as `level` or more.
    pub fn tell(&mut self, level: f32) {
        let told = Tensor::from_floats([1.0, level], &self.told.val().device());
        self.told = Param::from_tensor(told).set_require_grad(false);
    }

    /// Logits `[N]` of success and failure from (state, action, next state) `[N, 2E+A]`, and the next state `[N, E]` once more.
    fn logits(&self, view: &View, passed: Tensor<2>, next: Tensor<2>) -> [Tensor<1>; 2] {
        let beyond = Tensor::cat(vec![passed.clone(), view.beyond(next)], 1);
        [self.success.forward(passed), self.failure.forward(beyond)].map(|logit| logit.squeeze_dim::<1>(1))
    }

    /// Probabilities `[N]` of success and failure, of steps whose `reward [N]` was read.
    pub fn probabilities(&self, view: &View, passed: Tensor<2>, next: Tensor<2>, reward: &Tensor<1>) -> [Tensor<1>; 2] {
        let [success, failure] = self.logits(view, passed, next).map(sigmoid);
        let [is_told, level] = [0, 1].map(|i| self.told.val().narrow(0, i, 1));
        let told = (reward.clone() - level).greater_equal_elem(0.0).float();
        let known = |i: usize| self.recorded.val().narrow(0, i, 1);
        [(success.clone() + (told - success) * is_told) * known(0), failure * known(1)]
    }

    /// Cross-entropies of success and failure `y [N]` where an action was `taken [N]`. `now` is (state, action) `[N, E+A]`.
    ///
    /// Imagination reads failures off states that are foreseen, so they are learned from those as much as from the `recorded` ones `[N, E]`
    /// (where a recording ends there is none, and `recorded` is the one foreseen).
    pub fn losses(
        &self,
        view: &View,
        now: Tensor<2>,
        [recorded, foreseen]: [Tensor<2>; 2],
        y: [Tensor<1>; 2],
        taken: Tensor<1>,
    ) -> [Tensor<1>; 2] {
        let rows = taken.clone().sum().clamp_min(1.0);
        let bernoulli = |logit: Tensor<1>, y: &Tensor<1>| {
            ((softplus(logit.clone(), 1.0) - logit * y.clone()) * taken.clone()).sum() / rows.clone()
        };
        let read = |next: Tensor<2>| self.logits(view, Tensor::cat(vec![now.clone(), next.clone()], 1), next);
        let [success, failure] = read(recorded);
        let [_, imagined] = read(foreseen);
        [bernoulli(success, &y[0]), (bernoulli(failure, &y[1]) + bernoulli(imagined, &y[1])) * 0.5]
    }
}

#[cfg(test)]
mod tests {
    use burn::module::{ModuleMapper, ModuleVisitor};
    use burn::optim::GradientsParams;

    use super::*;
    use crate::noise::{generator, normal, uniform};
    use crate::optimise::{Schedule, Trainee};
    use crate::vision::floats;

    /// Two elements recorded between -1 and 1, a tenth of which is a step's typical change.
    fn view(device: &Device) -> View {
        View::recorded_within(&[[-1.0, 1.0]; 2], 0.1, device)
    }

    /// (state, action) `[N, 3]`, next state `[N, 2]` and whether it ends: beyond ±1 of the first element. Below, where most falls are, the
    /// second element is always high.
    fn walk(n: usize, seed: u64, device: &Device) -> (Tensor<2>, Tensor<2>, Tensor<1>) {
        let mut rng = generator(seed, "walk", 0);
        let inner = Device::default();
        let (place, other) = (floats(uniform([n], &mut rng, &inner)), floats(normal([n], &mut rng, &inner)));
        let (mut now, mut next, mut fell) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..n {
            // One step in 100 reaches the lower end, one in 1,000 the upper.
            let x = match i % 1000 {
                500 => 1.05,
                k if k % 100 == 0 => -1.05,
                _ => 1.9 * place[i] - 0.95,
            };
            let y = if x < -1.0 { 0.9 } else { (0.4 * other[i]).clamp(-1.0, 1.0) };
            now.extend([x.clamp(-1.0, 1.0), y, 0.0]);
            next.extend([x, y]);
            fell.push(f32::from(u8::from(x.abs() > 1.0)));
        }
        let rows = |values: Vec<f32>, width: usize| Tensor::from_data(TensorData::new(values, [n, width]), device);
        (rows(now, 3), rows(next, 2), Tensor::from_data(TensorData::new(fell, [n]), device))
    }

    #[test]
    fn a_kind_of_fall_that_was_hardly_seen_is_known_by_where_it_lies() {
        let device = Device::default().autodiff();
        device.seed(6);
        let mut trainee = Trainee::new(Ends::new((2, 1), 32, &device), 1e-4);
        let schedule = Schedule { learning_rate: 2e-2, updates: 500 };
        let seen = view(&device);
        for update in 0..500 {
            let (now, next, fell) = walk(2000, update as u64 % 4, &device);
            let taken = fell.ones_like();
            trainee.update(schedule.at(update), vec![()], &device, |ends, ()| {
                let y = [fell.zeros_like(), fell.clone()];
                let [_, failure] = ends.losses(&seen, now.clone(), [next.clone(), next.clone()], y, taken.clone());
                (failure, Vec::new())
            });
        }
        let (ends, device) = (trainee.frozen(), Device::default());
        let ask = |x: f32| {
            let next = Tensor::<2>::from_floats([[x, 0.0]], &device);
            let passed = Tensor::<2>::from_floats([[x.min(1.0), 0.0, 0.0, x, 0.0]], &device);
            floats(ends.probabilities(&view(&device), passed, next, &Tensor::zeros([1], &device))[1].clone())[0]
        };
        assert!(ask(1.06) > 0.8, "beyond everything recorded: {}", ask(1.06));
        assert!(ask(0.97) < 0.1, "among what was recorded: {}", ask(0.97));
    }

    #[test]
    fn what_never_happened_is_not_imagined() {
        let device = Device::default();
        let ends = Ends { recorded: Ends::flags([false, true], &device), ..Ends::new((2, 1), 8, &device) };
        let (now, next, _) = walk(5, 0, &device);
        let passed = Tensor::cat(vec![now, next.clone()], 1);
        let [success, failure] =
            ends.probabilities(&view(&device), passed, next, &Tensor::zeros([5], &device)).map(floats);
        assert_eq!(success, [0.0; 5]);
        assert!(failure.into_iter().all(|p| p > 0.0));
    }

    #[test]
    fn success_is_read_off_the_reward_where_that_tells_it() {
        let device = Device::default();
        let mut ends = Ends::new((2, 1), 8, &device);
        let (now, next, _) = walk(3, 0, &device);
        let passed = Tensor::cat(vec![now, next.clone()], 1);
        let reward = Tensor::<1>::from_floats([0.9, 0.95, 0.89], &device);
        let ask = |ends: &Ends| ends.probabilities(&view(&device), passed.clone(), next.clone(), &reward).map(floats);
        let [network, failure] = ask(&ends);
        ends.tell(0.9);
        let [told, same] = ask(&ends);
        assert_eq!(same, failure);
        assert_ne!(told, network);
        assert_eq!(told, [1.0, 1.0, 0.0]);
    }

    /// Adds a constant to the last bias of both heads.
    struct Push(f32);

    impl ModuleMapper for Push {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if param.dims().as_slice() == [1] { param.map(|x| x + self.0) } else { param }
        }
    }

    /// Sums what [`Push`] moves.
    struct Of {
        gradients: GradientsParams,
        sum: f32,
    }

    impl ModuleVisitor for Of {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.dims().as_slice() == [1] {
                self.sum += self.gradients.get::<D>(param.id).map_or(f32::NAN, |g| g.into_scalar::<f32>());
            }
        }
    }

    #[test]
    fn losses_by_differences() {
        let device = Device::default().autodiff();
        device.seed(7);
        let ends = Ends::new((2, 1), 8, &device);
        let loss = |ends: &Ends, device: &Device| {
            let (now, next, fell) = walk(1000, 1, device);
            let foreseen = next.clone() + 0.02;
            let taken =
                Tensor::from_data(TensorData::new([vec![1.0f32; 700], vec![0.0; 300]].concat(), [1000]), device);
            let [success, failure] = ends.losses(&view(device), now, [next, foreseen], [fell.clone(), fell], taken);
            success + failure
        };
        let gradients = GradientsParams::from_grads(loss(&ends, &device).backward(), &ends);
        let mut analytic = Of { gradients, sum: 0.0 };
        ends.visit(&mut analytic);
        let analytic = analytic.sum;
        let at = |by: f32| -> f32 { loss(&ends.clone().map(&mut Push(by)), &device).into_scalar() };
        let numeric = (at(0.01) - at(-0.01)) / 0.02;
        assert!((analytic - numeric).abs() < 1e-3 + 0.01 * numeric.abs(), "{analytic} is not {numeric}");
    }
}
