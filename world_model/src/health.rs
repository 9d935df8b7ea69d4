//! Training that fails without an error: what it looks like on held-out episodes, and what to do about it, one sentence each.
//!
//! Three ways to fail leave every loss finite. Actions are ignored: imagination goes as wrong with the actions of another moment
//! as with its own. The stochastic state is unused (posterior collapse): `q` says what `p` says anyway, and another moment's
//! `z` foresees the next embedding as well. The embedding is constant (representation collapse): every picture gives the same.

use burn::tensor::{Device, Tensor};
use rand::rngs::StdRng;

use crate::corpus::Sequence;
use crate::model::Dynamics;
use crate::optimise::Metrics;
use crate::vision::floats;
use crate::walk::Wrong;

/// Error with wrong over error with right actions below which actions count as ignored. Actions that do nothing give 1 within
/// a percent; the least that a robot which moves has given is 1.3.
pub const LEAST_WRONG_ACTIONS: f64 = 1.03;

/// The same for one-step error with the `z` of another moment.
pub const LEAST_WRONG_Z: f64 = 1.005;

/// Standard deviation of an embedding's elements over moments, mean over elements, below which a camera's part is constant.
/// Trained ones have 0.05 to 0.5.
pub const LEAST_SPREAD: f64 = 2e-3;

/// Standard deviation of a picture's values over moments (full range 1) below which there was nothing to see.
const LEAST_PICTURE_SPREAD: f64 = 2e-3;

/// How the dynamics react to what they are given, on the same held-out sequences: sums, to be read as ratios.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reactions {
    /// Squared error of imagined embeddings, cameras and state, with the recorded actions.
    pub right_actions: [f64; 2],
    /// The same with the actions of another sequence.
    pub wrong_actions: [f64; 2],
    /// Of the stochastic state, where there is one.
    pub stochastic: Option<StochasticUse>,
}

/// What the stochastic state carries along observed sequences: sums over `steps`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StochasticUse {
    /// Steps.
    pub steps: f64,
    /// KL of the posterior from the mean prior, nats; not clamped.
    pub kl_nats: f64,
    /// KL that costs nothing, nats per step.
    pub free_nats: f64,
    /// Squared error of the embedding one step ahead, with the posterior's `z`.
    pub own_z: f64,
    /// The same with the `z` of another sequence.
    pub wrong_z: f64,
}

/// Every row takes the place of the one before it, the first that of the last.
pub(crate) fn of_others<const D: usize>(x: &Tensor<D>) -> Tensor<D> {
    let rows = x.dims()[0];
    Tensor::cat(vec![x.clone().narrow(0, 1, rows - 1), x.clone().narrow(0, 0, 1)], 0)
}

impl Reactions {
    /// Imagines the sequences with their own actions and with those of others, under the same noise.
    pub fn of(dynamics: &Dynamics, s: &Sequence, state_len: usize, rng: &mut StdRng, device: &Device) -> Self {
        let [rows, steps, _] = s.action.dims();
        let mut found = Self::default();
        if rows < 2 {
            return found;
        }
        let at = |x: &Tensor<3>, i: usize| x.clone().narrow(1, i, 1).squeeze_dim::<2>(1);
        let others = of_others(&s.action);
        let start = dynamics.start(at(&s.embedding, 0), dynamics.draw_noise(rows, rng, device));
        let (mut right, mut wrong) = (start.clone(), start);
        let observed = floats(s.observed.clone());
        for i in 0..steps {
            let noise = dynamics.draw_noise(rows, rng, device);
            right = dynamics.imagine(&right, at(&s.action, i), noise.clone()).0;
            wrong = dynamics.imagine(&wrong, at(&others, i), noise).0;
            let width = s.embedding.dims()[2];
            let truth = floats(at(&s.embedding, i + 1));
            for (e, sum) in [(&right.e, &mut found.right_actions), (&wrong.e, &mut found.wrong_actions)] {
                let e = floats(e.clone());
                for row in (0..rows).filter(|row| observed[row * steps + i] > 0.0) {
                    let own = row * width..(row + 1) * width;
                    let error = Wrong::of(&e[own.clone()], &truth[own], state_len);
                    sum[0] += f64::from(error.cameras);
                    sum[1] += f64::from(error.state);
                }
            }
        }
        if let Dynamics::Rssm(m) = dynamics {
            found.stochastic = Some(m.stochastic_use(s, &mut || dynamics.draw_noise(rows, rng, device)));
        }
        found
    }

    /// Both together.
    pub fn plus(mut self, other: &Self) -> Self {
        for i in 0..2 {
            self.right_actions[i] += other.right_actions[i];
            self.wrong_actions[i] += other.wrong_actions[i];
        }
        self.stochastic = match (self.stochastic, other.stochastic) {
            (Some(a), Some(b)) => Some(StochasticUse {
                steps: a.steps + b.steps,
                kl_nats: a.kl_nats + b.kl_nats,
                free_nats: a.free_nats,
                own_z: a.own_z + b.own_z,
                wrong_z: a.wrong_z + b.wrong_z,
            }),
            (a, b) => a.or(b),
        };
        self
    }

    /// Error with wrong over error with right actions, of what reacts most; `None` where there is no error at all.
    pub fn to_actions(&self) -> Option<f64> {
        let ratio = |i: usize| (self.right_actions[i] > 1e-12).then(|| self.wrong_actions[i] / self.right_actions[i]);
        [0, 1].into_iter().filter_map(ratio).reduce(f64::max)
    }

    /// For `metrics.jsonl`.
    pub fn metrics(&self) -> Metrics {
        let mut out = Metrics::new();
        out.extend(self.to_actions().map(|ratio| ("held_out_wrong_actions", ratio as f32)));
        if let Some(z) = self.stochastic {
            out.push(("held_out_kl_nats", (z.kl_nats / z.steps.max(1.0)) as f32));
            out.push(("held_out_wrong_z", (z.wrong_z / z.own_z.max(1e-12)) as f32));
        }
        out
    }

    /// What is wrong, and what to do about it.
    pub fn warnings(&self) -> Vec<String> {
        let mut out = Vec::new();
        if let Some(ratio) = self.to_actions().filter(|ratio| *ratio < LEAST_WRONG_ACTIONS) {
            out.push(format!(
                "actions are ignored: on held-out episodes the world model is as wrong with the actions of another moment as with \
                 the right ones (error {ratio:.2} times as large, less than {LEAST_WRONG_ACTIONS}); check that data.action_key is what moved \
                 the robot and is not shifted in time, or train longer (world_model.updates), and judge no policy by this model"
            ));
        }
        let unused = |z: &StochasticUse| {
            z.kl_nats <= 1.05 * z.free_nats * z.steps && z.wrong_z < LEAST_WRONG_Z * z.own_z && z.steps > 0.0
        };
        if let Some(z) = self.stochastic.filter(unused) {
            out.push(format!(
                "posterior collapse: the stochastic state is unused (KL {:.2} of {} free nats, one-step error {:.3} times as large with \
                 the z of another moment), so that imagination has one future only; raise world_model.rssm.free_nats or train longer, \
                 unless everything in these episodes is determined",
                z.kl_nats / z.steps,
                z.free_nats,
                z.wrong_z / z.own_z.max(1e-12)
            ));
        }
        out
    }
}

/// How much a camera's pictures, and their part of the embedding, differ between moments.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// Key of the camera.
    pub camera: String,
    /// Standard deviation over moments, mean over the elements of the embedding.
    pub embedding: f64,
    /// The same of the picture's values, full range 1.
    pub pictures: f64,
}

impl Spread {
    /// Of embeddings and pictures, a row per moment each.
    pub fn of(camera: &str, embedding: Tensor<2>, pictures: Tensor<2>) -> Self {
        Self { camera: camera.into(), embedding: spread(embedding), pictures: spread(pictures) }
    }

    /// What is wrong, and what to do about it.
    pub fn warning(&self) -> Option<String> {
        let Self { camera, embedding, pictures } = self;
        // A comparison that also holds for what is no number.
        if *embedding >= LEAST_SPREAD {
            return None;
        }
        Some(if *pictures < LEAST_PICTURE_SPREAD {
            format!(
                "{camera}: every picture is the same, so there is nothing to learn from it; leave it out of data.cameras"
            )
        } else {
            format!(
                "representation collapse: the embedding of {camera} is constant (spread {embedding:.1e} over moments whose pictures \
                 have {pictures:.2}); lower world_model.representation.learning_rate or train longer \
                 (world_model.representation.updates), and trust nothing that was trained on this embedding"
            )
        })
    }
}

/// Standard deviation down the rows of `[N, W]`, mean over `W`.
fn spread(x: Tensor<2>) -> f64 {
    let centred = x.clone() - x.mean_dim(0);
    f64::from(centred.square().mean_dim(0).sqrt().mean().into_scalar::<f32>())
}

#[cfg(test)]
mod tests;
