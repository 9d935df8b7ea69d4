//! The loss of a policy that climbs values of chunks and stays close to a reference, as in ReBRAC and FQL:
//!
//! ```text
//! L = -Q(e, π(e)) / u + w h |π(e) - a_ref|²
//! ```
//! with `u` the mean size of values of recorded chunks, as in TD3+BC (Fujimoto and Gu 2021, arXiv:2106.06860, eq. 5), so that `w`
//! depends on neither the units of rewards nor on γ, and `h` what a person said of the reference, 1 for nothing. `|·|²` is the mean over the elements of a chunk, in variances of the recorded
//! actions. `Q` sees actions inside the recorded range, the distance sees what was proposed, so that
//! an action beyond the range is still pulled back.

use burn::tensor::Tensor;
use policy::FlowPolicy;
use world_model::optimise::Metrics;

use crate::chunk_critic::beside;
use crate::critic::Critic;

/// What is climbed, and how far.
#[derive(Clone, Copy)]
pub struct Climb<'c> {
    /// Values of chunks, without gradients.
    pub critic: &'c Critic,
    /// What the ensemble says: its mean, or its least.
    pub worth: fn(&Critic, &Tensor<2>) -> Tensor<1>,
    /// Elements of a chunk that are executed.
    pub executed: usize,
    /// The mean size `u` of values.
    pub unit: f32,
    /// The weight `w`.
    pub cloning: f32,
}

impl Climb<'_> {
    /// The loss for `e [B, E]`, normal noise and a reference `[B, chunk*A]` with its weights `h [B]`.
    pub fn loss(
        &self,
        policy: &FlowPolicy,
        (e, noise): (Tensor<2>, Tensor<2>),
        (reference, said): (Tensor<2>, Tensor<1>),
    ) -> (Tensor<1>, Metrics) {
        let proposed = policy.propose(e.clone(), noise);
        let worth = (self.worth)(self.critic, &beside(e, policy.kept(proposed.clone()), self.executed)).mean();
        let strayed = (strayed(proposed, reference) * said).mean();
        let metrics = vec![("policy_q", worth.clone().into_scalar()), ("strayed", strayed.clone().into_scalar())];
        (strayed * self.cloning - worth / self.unit, metrics)
    }
}

/// Mean squared difference of actions `[B, n]` per row `[B]`.
pub fn strayed(actions: Tensor<2>, reference: Tensor<2>) -> Tensor<1> {
    (actions - reference).square().mean_dim(1).squeeze_dim(1)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use policy::FlowConfig;
    use world_model::corpus::ReturnRule;
    use world_model::vision::floats;

    use super::*;
    use crate::toys;

    #[test]
    fn the_loss_is_what_its_formula_says_with_what_a_person_said() {
        let device = Device::default();
        device.seed(6);
        let flow = FlowConfig { chunk: 2, execute: 1, width: 8, flow_steps: 2, ..FlowConfig::default() };
        let policy = FlowPolicy::new(&flow, 2, 1, &device);
        let rule = ReturnRule { gamma: 0.9, success_reward: 1.0, failure_reward: 0.0, low: 0.0, high: 1.0 };
        let critic = Critic::new(&toys::values(), 3, &rule, &device);
        let (e, noise) = (Tensor::<2>::from_floats([[0.2, 1.0], [0.7, 1.0]], &device), Tensor::zeros([2, 2], &device));
        let reference = Tensor::<2>::from_floats([[0.5, -0.5], [0.1, 0.9]], &device);
        let climb = Climb { critic: &critic, worth: Critic::mean, executed: 1, unit: 0.5, cloning: 0.3 };
        let of = |said: [f32; 2]| {
            let said = Tensor::from_floats(said, &device);
            climb.loss(&policy, (e.clone(), noise.clone()), (reference.clone(), said)).0.into_scalar::<f32>()
        };
        let acts = floats(policy.propose(e.clone(), noise.clone()));
        let apart = |row: usize, to: [f32; 2]| (0..2).map(|i| (acts[2 * row + i] - to[i]).powi(2)).sum::<f32>() / 2.0;
        let apart = [apart(0, [0.5, -0.5]), apart(1, [0.1, 0.9])];
        let first = Tensor::<2>::from_floats([[0.2, 1.0, acts[0]], [0.7, 1.0, acts[2]]], &device);
        let q = floats(critic.mean(&first));
        for said in [[1.0, 1.0], [0.1, 2.0]] {
            let strayed = (said[0] * apart[0] + said[1] * apart[1]) / 2.0;
            let expected = 0.3 * strayed - (q[0] + q[1]) / 2.0 / 0.5;
            assert!((of(said) - expected).abs() < 1e-5, "{} is not {expected}", of(said));
        }
    }
}
