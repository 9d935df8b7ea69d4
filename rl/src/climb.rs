//! The loss of a policy that climbs values of chunks and stays close to a reference, as in ReBRAC and FQL:
//!
//! ```text
//! L = -Q(e, π(e)) / u + w |π(e) - a_ref|²
//! ```
//! with `u` the mean size of values of recorded chunks, as in TD3+BC (Fujimoto and Gu 2021, arXiv:2106.06860, eq. 5), so that `w`
//! depends on neither the units of rewards nor on γ. `|·|²` is the mean over the elements of a chunk, in variances of the recorded
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
    /// The loss for `e [B, E]`, normal noise and a reference `[B, chunk*A]`.
    pub fn loss(
        &self,
        policy: &FlowPolicy,
        (e, noise, reference): (Tensor<2>, Tensor<2>, Tensor<2>),
    ) -> (Tensor<1>, Metrics) {
        let proposed = policy.propose(e.clone(), noise);
        let worth = (self.worth)(self.critic, &beside(e, policy.kept(proposed.clone()), self.executed)).mean();
        let strayed = strayed(proposed, reference).mean();
        let metrics = vec![("policy_q", worth.clone().into_scalar()), ("strayed", strayed.clone().into_scalar())];
        (strayed * self.cloning - worth / self.unit, metrics)
    }
}

/// Mean squared difference of actions `[B, n]` per row `[B]`.
pub fn strayed(actions: Tensor<2>, reference: Tensor<2>) -> Tensor<1> {
    (actions - reference).square().mean_dim(1).squeeze_dim(1)
}
