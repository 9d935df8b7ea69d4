//! The two kinds of world model behind one vocabulary: `encode`, `start`, `observe`, `imagine`, `decode`.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::differences::Differences;
use crate::ensemble::{Ensemble, EnsembleConfig};
use crate::noise;
use crate::representation::{Representation, RepresentationConfig};
use crate::rssm::{Rssm, RssmConfig};
use crate::task::TaskConfig;

/// Which dynamics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `rssm` where there are cameras, `ensemble` where there are none.
    #[default]
    Auto,
    /// Recurrent state-space model.
    Rssm,
    /// Probabilistic ensemble.
    Ensemble,
}

/// World model and its training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorldModelConfig {
    /// Which dynamics.
    pub kind: Kind,
    /// Observation to embedding.
    pub representation: RepresentationConfig,
    /// Whether and how the task is part of the embedding.
    pub task: TaskConfig,
    /// Dynamics for cameras.
    pub rssm: RssmConfig,
    /// Dynamics for state-only data.
    pub ensemble: EnsembleConfig,
    /// Updates of the dynamics.
    pub updates: usize,
    /// Sequences in a batch.
    pub batch: usize,
    /// Transitions in a sequence: how far ahead the model is trained to imagine.
    pub horizon: usize,
    /// Peak learning rate of the dynamics.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Where there are hints, dynamics, policy and values learn from what was recorded, not from what the cameras tell of it.
    pub learn_from_hints: bool,
    /// Share of the sequences from which each ensemble member learns.
    pub bootstrap: f32,
    /// Share of the sequences of which each is the more eventful of two drawn: what seldom happens, like a push, is seen more often.
    pub eventful: f32,
    /// Share of the sequences that begin where episodes do, in their first [`BEGINNING`] horizons: seldom recorded, and where every
    /// judgement begins.
    pub beginnings: f32,
    /// Share of the sequences, and of the clone's observations, in which one camera of several is black. 0: a camera that is
    /// missing on the robot has never been missing before.
    pub camera_dropout: f32,
    /// Parts into which a batch is split over threads; part of the result, so not taken from the machine.
    pub shards: usize,
}

/// Horizons after which an episode no longer begins.
pub const BEGINNING: usize = 4;

impl Default for WorldModelConfig {
    fn default() -> Self {
        Self {
            kind: Kind::Auto,
            representation: RepresentationConfig::default(),
            task: TaskConfig::default(),
            rssm: RssmConfig::default(),
            ensemble: EnsembleConfig::default(),
            updates: 3000,
            batch: 64,
            horizon: 16,
            learning_rate: 1e-3,
            weight_decay: 1e-4,
            learn_from_hints: true,
            bootstrap: 0.7,
            eventful: 0.0,
            beginnings: 0.0,
            camera_dropout: 0.0,
            shards: 2,
        }
    }
}

impl WorldModelConfig {
    /// The kind with `auto` resolved.
    pub fn resolved_kind(&self, cameras: usize) -> Kind {
        match self.kind {
            Kind::Auto if cameras > 0 => Kind::Rssm,
            Kind::Auto => Kind::Ensemble,
            kind => kind,
        }
    }
}

/// Latent state of `B` imagined or observed robots. A forked state costs a kilobyte.
#[derive(Clone, Debug)]
pub struct Latent {
    /// Embedding `[B, E]`: what a policy and a value see.
    pub e: Tensor<2>,
    /// Deterministic recurrent state, or the past that is remembered, `[B, hidden]`, where the kind has one.
    pub h: Option<Tensor<2>>,
    /// Stochastic state `[B, groups * classes]`, where the kind has one.
    pub z: Option<Tensor<2>>,
}

impl Latent {
    /// The recurrent parts.
    pub(crate) fn recurrent(&self) -> (Tensor<2>, Tensor<2>) {
        match (&self.h, &self.z) {
            (Some(h), Some(z)) => (h.clone(), z.clone()),
            _ => unreachable!("an rssm makes its own latent states, always with h and z"),
        }
    }

    fn map(&self, f: impl Fn(Tensor<2>) -> Tensor<2>) -> Self {
        Self { e: f(self.e.clone()), h: self.h.clone().map(&f), z: self.z.clone().map(&f) }
    }

    /// Number of rows `B`.
    pub fn len(&self) -> usize {
        self.e.dims()[0]
    }

    /// No rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every row `times` times, neighbours together: `[B]` to `[B * times]`.
    pub fn repeat_rows(&self, times: usize) -> Self {
        self.map(|x| {
            let [batch, width] = x.dims();
            x.reshape([batch, 1, width]).expand([batch, times, width]).reshape([batch * times, width])
        })
    }

    /// The rows at `indices [N]`.
    pub fn select(&self, indices: Tensor<1, burn::tensor::Int>) -> Self {
        self.map(|x| x.select(0, indices.clone()))
    }

    /// Rows `start .. start + len`.
    pub fn narrow(&self, start: usize, len: usize) -> Self {
        self.map(|x| x.narrow(0, start, len))
    }
}

/// What the model says followed from one action, per row `[B]`.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// Reward.
    pub reward: Tensor<1>,
    /// Probability that the action led to success.
    pub success: Tensor<1>,
    /// Probability that the action led to an end without success.
    pub failure: Tensor<1>,
    /// How much the ensemble disagrees.
    pub disagreement: Tensor<1>,
    /// Squared error of the embedding to expect of this step: learned, plus the variance between the ensemble's means.
    pub doubt: Tensor<1>,
}

/// How the embedding goes on under actions.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one per process, and it is made of handles to tensors")]
pub enum Dynamics {
    /// For cameras.
    Rssm(Rssm),
    /// For state-only data.
    Ensemble(Ensemble),
}

impl Dynamics {
    /// Values of noise one step of one row needs.
    pub fn noise_len(&self) -> usize {
        match self {
            Self::Rssm(m) => m.noise_len(),
            Self::Ensemble(m) => m.noise_len(),
        }
    }

    /// Noise for one step of `rows` rows, of the kind this model wants: `[rows, noise_len]`.
    pub fn draw_noise(&self, rows: usize, rng: &mut StdRng, device: &Device) -> Tensor<2> {
        let shape = [rows, self.noise_len()];
        match self {
            Self::Rssm(_) => noise::gumbel(shape, rng, device),
            Self::Ensemble(_) => noise::normal(shape, rng, device),
        }
    }

    /// Latent state at an observed embedding `[B, E]` without a past.
    pub fn start(&self, e: Tensor<2>, noise: Tensor<2>) -> Latent {
        match self {
            Self::Rssm(m) => m.start(e, noise),
            Self::Ensemble(m) => m.start(e),
        }
    }

    /// Recorded steps before an observation without which its latent state is not whole.
    pub fn memory(&self) -> usize {
        match self {
            Self::Rssm(_) => 0,
            Self::Ensemble(m) => m.memory(),
        }
    }

    /// Carries a latent state over a recorded step: action `[B, A]`, then the embedding really seen `[B, E]`.
    pub fn observe(&self, latent: &Latent, action: Tensor<2>, e: Tensor<2>, noise: Tensor<2>) -> Latent {
        match self {
            Self::Rssm(m) => m.observe(latent, action, e, noise),
            Self::Ensemble(m) => m.observe(latent, action, e),
        }
    }

    /// The same after `unseen` steps that were foreseen and not seen, this one foreseen to lead to `foreseen [B, E]`.
    pub fn observe_late(
        &self,
        latent: &Latent,
        action: Tensor<2>,
        (foreseen, unseen): (&Tensor<2>, usize),
        (e, noise): (Tensor<2>, Tensor<2>),
    ) -> Latent {
        match self {
            Self::Rssm(m) => m.observe(latent, action, e, noise),
            Self::Ensemble(m) => m.observe_late(latent, action, (foreseen, unseen), e),
        }
    }

    /// Imagines one step: normalised action `[B, A]`, noise `[B, noise_len]`.
    pub fn imagine(&self, latent: &Latent, action: Tensor<2>, noise: Tensor<2>) -> (Latent, Prediction) {
        match self {
            Self::Rssm(m) => m.imagine(latent, action, noise),
            Self::Ensemble(m) => m.imagine(latent, action, noise),
        }
    }
}

/// Lengths of what a world model takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inputs<'a> {
    /// Height and width of each camera's pictures, pixels.
    pub camera_sizes: &'a [usize],
    /// Elements of the pretrained feature beside each picture; 0 for none.
    pub feature: usize,
    /// Elements of the code of the hints that the cameras tell; 0 for none.
    pub hint: usize,
    /// Elements of the state, those of the task among them.
    pub state: usize,
    /// Its last elements that are the task's: they never change within an episode, and imagination copies them.
    pub task: usize,
    /// What stands before them in the state, worked out from the other elements.
    pub differences: &'a Differences,
    /// Elements of an action.
    pub action: usize,
}

/// Representation and dynamics.
#[derive(Module, Debug)]
pub struct WorldModel {
    /// Observation to embedding and back.
    pub representation: Representation,
    /// How the embedding goes on.
    pub dynamics: Dynamics,
}

impl WorldModel {
    /// Fresh networks for the picture sizes, state and action lengths of a dataset.
    ///
    /// # Errors
    /// When a picture size is no multiple of the block.
    pub fn new(
        config: &WorldModelConfig,
        camera_sizes: &[usize],
        state: usize,
        action: usize,
        device: &Device,
    ) -> Result<Self, Error> {
        let differences = &Differences::NONE;
        Self::of(config, &Inputs { camera_sizes, feature: 0, hint: 0, state, task: 0, differences, action }, device)
    }

    /// Fresh networks for all that a dataset may give.
    ///
    /// # Errors
    /// When a picture size is no multiple of the block; differences under an rssm, which would foresee them by themselves.
    pub fn of(config: &WorldModelConfig, inputs: &Inputs<'_>, device: &Device) -> Result<Self, Error> {
        let &Inputs { camera_sizes, hint, state, task, differences, action, .. } = inputs;
        let representation = Representation::of(&config.representation, inputs, device)?;
        let embedding = camera_sizes.len() * config.representation.camera_len(hint) + state;
        let dynamics = match config.resolved_kind(camera_sizes.len()) {
            Kind::Ensemble => {
                let carried = differences.len() + task;
                let (sizes, action) = ((embedding, carried), (action, differences));
                Dynamics::Ensemble(Ensemble::carrying(&config.ensemble, sizes, action, device))
            }
            _ if *differences != Differences::NONE => {
                return Err(Error::Mismatch {
                    found: "data.same_axis or data.seen_from with world_model.kind = \"rssm\"".into(),
                    expected: "world_model.kind = \"ensemble\", or neither of them".into(),
                });
            }
            _ => Dynamics::Rssm(Rssm::carrying(&config.rssm, embedding, (state, task), action, device)),
        };
        Ok(Self { representation, dynamics }.materialize())
    }

    /// Every member that speaks, alone, as a world model of its own (see [`Ensemble::alone`]); none where there is one member only. None of
    /// an rssm: its prior heads share the recurrent state and what follows from it, so that each alone comes to the same (to
    /// 0.002 of the return of the demo's policies, where imagination is 0.03 off), and their agreement would vouch for nothing.
    pub fn members(&self) -> Vec<Self> {
        match &self.dynamics {
            Dynamics::Ensemble(m) if m.elite_count() > 1 => {
                let alone = |elite| Self {
                    representation: self.representation.clone(),
                    dynamics: Dynamics::Ensemble(m.alone(elite)),
                };
                (0..m.elite_count()).map(alone).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The same where an ensemble adds another `share` of its deviation as noise; an rssm, which draws its states, as it is.
    pub fn noisy(&self, share: f32) -> Self {
        let dynamics = match &self.dynamics {
            Dynamics::Ensemble(m) => Dynamics::Ensemble(m.noisy(f64::from(share))),
            rssm => rssm.clone(),
        };
        Self { representation: self.representation.clone(), dynamics }
    }

    /// As [`Dynamics::draw_noise`].
    pub fn draw_noise(&self, rows: usize, rng: &mut StdRng, device: &Device) -> Tensor<2> {
        self.dynamics.draw_noise(rows, rng, device)
    }

    /// Values of noise one step of one row needs.
    pub fn noise_len(&self) -> usize {
        self.dynamics.noise_len()
    }

    /// As [`Dynamics::start`].
    pub fn start(&self, e: Tensor<2>, noise: Tensor<2>) -> Latent {
        self.dynamics.start(e, noise)
    }

    /// As [`Dynamics::memory`].
    pub fn memory(&self) -> usize {
        self.dynamics.memory()
    }

    /// As [`Dynamics::observe`].
    pub fn observe(&self, latent: &Latent, action: Tensor<2>, e: Tensor<2>, noise: Tensor<2>) -> Latent {
        self.dynamics.observe(latent, action, e, noise)
    }

    /// As [`Dynamics::imagine`].
    pub fn imagine(&self, latent: &Latent, action: Tensor<2>, noise: Tensor<2>) -> (Latent, Prediction) {
        self.dynamics.imagine(latent, action, noise)
    }
}
