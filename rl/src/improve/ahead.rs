//! What a chunk leads to: it is imagined, and then a policy acts on.
//!
//! A chunk alone is judged by its own steps and the value behind them; the shorter it is, the more by the value. With `ahead` chunks of the
//! policy behind it, it is judged by what the policy would make of where it leads, as far as imagination is believed.

use burn::tensor::{Device, Tensor};
use policy::{FlowConfig, FlowPolicy};
use rand::rngs::StdRng;
use rollouts::imagine::{Imagined, imagine, shared_noise, split_chunk};
use world_model::{Latent, WorldModel, noise};

/// Who acts on, and for how long.
pub(crate) struct Ahead<'a> {
    /// The world that is imagined.
    pub model: &'a WorldModel,
    /// Who acts behind a chunk.
    pub policy: &'a FlowPolicy,
    /// How it is asked.
    pub flow: &'a FlowConfig,
    /// Elements of an action.
    pub action_len: usize,
    /// Chunks of the policy, each as far as it is executed.
    pub chunks: usize,
}

impl Ahead<'_> {
    /// Imagines `actions [starts * n, chunk*A]` from `wide`, `n` rows for each of `starts` states, which share all noise: the model's, and
    /// the policy's behind them.
    pub fn imagine(
        &self,
        (wide, actions): (&Latent, &Tensor<2>),
        (starts, n): (usize, usize),
        rng: &mut StdRng,
        device: &Device,
    ) -> Imagined {
        let (a, chunk, width) = (self.action_len, self.flow.chunk, self.policy.noise_len());
        let execute = self.flow.execute.clamp(1, chunk);
        let noise = shared_noise(self.model, (starts, n), chunk + self.chunks * execute, rng, device);
        let mut act = |e: &Tensor<2>, step: usize| {
            if step == 0 {
                return split_chunk(actions, a, chunk);
            }
            let drawn = noise::normal([starts, 1, width], rng, device).expand([starts, n, width]);
            let chosen = self.policy.act(e.clone(), drawn.reshape([starts * n, width]) * f64::from(self.flow.noise));
            split_chunk(&self.policy.own(chosen), a, execute)
        };
        imagine(self.model, wide, &mut act, &noise)
    }
}

#[cfg(test)]
mod tests {
    use world_model::WorldModelConfig;
    use world_model::vision::floats;

    use super::*;
    use crate::toys;

    #[test]
    fn the_chunk_comes_first_then_the_policy_under_the_same_noise_for_all_of_a_group() {
        let device = Device::default();
        device.seed(13);
        let model = WorldModel::new(&WorldModelConfig::default(), &[], 2, 1, &device).expect("no pictures, no misfit");
        let flow = FlowConfig { chunk: 3, execute: 2, width: 8, flow_steps: 2, ..FlowConfig::default() };
        let policy = FlowPolicy::new(&flow, 2, 1, &device);
        let mut rng = noise::generator(0, "ahead", 0);
        let still = Tensor::zeros([2, model.noise_len()], &device);
        let wide = model.start(toys::start(2), still).repeat_rows(2);
        // The two of the first state do the same, those of the second do not.
        let actions =
            Tensor::<2>::from_floats([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3], [-0.9, 0.9, -0.9]], &device);
        let of = |chunks: usize, rng: &mut StdRng| {
            let ahead = Ahead { model: &model, policy: &policy, flow: &flow, action_len: 1, chunks };
            ahead.imagine((&wide, &actions), (2, 2), rng, &device)
        };
        let short = of(0, &mut rng);
        assert_eq!(short.actions.len(), 3);
        let long = of(2, &mut rng);
        assert_eq!((long.actions.len(), long.predictions.len()), (7, 7));
        for (k, taken) in long.actions.iter().enumerate() {
            let taken = floats(taken.clone());
            if k < 3 {
                assert_eq!(taken, floats(actions.clone().narrow(1, k, 1)));
            } else {
                assert_eq!(taken[0], taken[1], "what did the same is followed by the same");
                assert!(taken[2] != taken[3] && taken[0] != taken[2], "{taken:?}");
            }
        }
    }
}
