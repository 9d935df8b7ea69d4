//! How a copy is judged while it improves, by imagination from training starts: the best is chosen so.

use burn::tensor::{Device, Tensor};
use policy::FlowPolicy;
use rand::rngs::StdRng;
use rl::evaluate::{self, PerStart};
use world_model::trust::Limits;
use world_model::{Corpus, Embeddings, WorldModel, noise};

use super::workshop::Workshop;
use crate::config::RunConfig;

/// From where, and how far.
pub(super) struct Judging {
    pub starts: Vec<(usize, usize)>,
    pub horizon: usize,
}

impl Judging {
    /// What comes of a copy.
    pub fn outcome(
        &self,
        model: &WorldModel,
        data: (&Corpus, &Embeddings),
        policy: &FlowPolicy,
        config: &RunConfig,
        limits: Limits,
        device: &Device,
    ) -> PerStart {
        let mut judge = config.evaluate;
        judge.horizon = self.horizon;
        let act = |e: &Tensor<2>, rng: &mut StdRng| {
            let noise = noise::normal([e.dims()[0], policy.noise_len()], rng, &e.device());
            policy.act(e.clone(), noise)
        };
        evaluate::imagine_policy(
            model,
            data,
            (&act, config.policy.receding()),
            (&judge, limits.into()),
            &self.starts,
            (config.seed, device),
        )
    }

    /// What comes of the policy that the copies have to beat.
    pub fn judge(
        &self,
        workshop: &Workshop,
        model: &WorldModel,
        embeddings: &Embeddings,
        policy: &FlowPolicy,
        limits: Limits,
    ) -> PerStart {
        self.outcome(model, (&workshop.corpus, embeddings), policy, &workshop.config, limits, &workshop.inner())
    }
}
