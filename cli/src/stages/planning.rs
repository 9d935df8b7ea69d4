//! The planned policy: what a robot needs for planning, beside its bundle, and a robot that plans.

use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor};
use policy::Bundle;
use policy::bundle::{BundleError, load_weights, save_weights};
use rand::rngs::StdRng;
use rl::plan::{Bounds, PlanConfig, Planner};
use rl::{Critic, CriticConfig};
use rollouts::imagine::split_chunk;
use serde::{Deserialize, Serialize};
use world_model::corpus::ReturnRule;
use world_model::model::Inputs;
use world_model::task::TaskEncoder;
use world_model::{Embeddings, Latent, WorldModel, WorldModelConfig};

use super::workshop::Workshop;
use crate::config_file;

/// Name of the planned policy.
pub const PLANNED: &str = "planned";

/// Everything about a planner but the weights: `planner.json` of a bundle.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannerSpec {
    /// Sizes of the dynamics.
    pub world_model: WorldModelConfig,
    /// Sizes of the values.
    pub value: CriticConfig,
    /// Meaning of a return.
    pub returns: ReturnRule,
    /// 95th percentile of disagreement on held-out data.
    pub disagreement_95: f32,
    /// Range of the recorded actions.
    pub bounds: Bounds,
    /// How it plans.
    pub plan: PlanConfig,
    /// The policy of the bundle that proposes.
    pub prior: String,
    /// Whether `improve` found the evidence to be for planning: `serve` then plans unless a policy is named.
    #[serde(default)]
    pub is_chosen: bool,
}

impl PlannerSpec {
    /// Of a bundle directory.
    ///
    /// # Errors
    /// There is no planner in it, or one of another version.
    pub fn load(directory: &Path) -> Result<Self, BundleError> {
        let path = directory.join(SPEC);
        let unusable = |found: String, expected: &str| BundleError::Unusable {
            found,
            expected: expected.into(),
            path: path.clone(),
        };
        let text = std::fs::read_to_string(&path)
            .map_err(|e| unusable(e.to_string(), "the planner beside the policies of a bundle"))?;
        serde_json::from_str(&text).map_err(|e| unusable(e.to_string(), "a planner of this version"))
    }
}

/// What may be set anew whenever a robot begins.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    plan: PlanConfig,
}

const SPEC: &str = "planner.json";
const DYNAMICS: &str = "planner_dynamics.safetensors";
const CRITIC: &str = "planner_critic.safetensors";

/// A robot that plans: what it would do, where it thinks that leads, and what it sees instead.
pub struct Robot {
    bundle: Bundle,
    model: WorldModel,
    critic: Critic,
    spec: PlannerSpec,
}

/// What a robot remembers of its last plan.
pub struct Memory {
    knots: Vec<f32>,
    /// Latent state before each planned action, the action, and the latent state after it.
    foreseen: Vec<(Latent, Tensor<2>, Latent)>,
}

/// Mean squared difference, in variances of the data, between what was foreseen and what is seen, from which on it is another place:
/// the robot has been reset, or somebody else is asking.
const ELSEWHERE: f32 = 0.1;

/// Of two such differences, this share of the other is much nearer: what a step foresees wrongly must not look like a step not taken.
const MUCH_NEARER: f32 = 0.25;

impl Robot {
    /// From networks in memory; the policy of `bundle` proposes.
    pub fn new(bundle: Bundle, model: WorldModel, critic: Critic, spec: PlannerSpec) -> Self {
        Self { bundle, model, critic, spec }
    }

    /// From a bundle directory; `sets` are what `--set` says otherwise about `plan`.
    ///
    /// # Errors
    /// There is no planner in it, or one of another version.
    pub fn load(directory: &Path, sets: &[String], device: &Device) -> Result<Self> {
        let mut spec = PlannerSpec::load(directory)?;
        spec.plan = config_file::load_text(Settings { plan: spec.plan }, None, sets)?.plan;
        let bundle = Bundle::load(directory, &spec.prior, device)?;
        let sizes: Vec<usize> = bundle.spec.dataset.cameras.iter().map(|camera| camera.model_size).collect();
        let inputs = Inputs {
            camera_sizes: &sizes,
            feature: bundle.spec.pretrained.map_or(0, |vit| vit.feature_len()),
            hint: bundle.spec.hints.as_ref().map_or(0, |hints| hints.code.code_len()),
            state: bundle.spec.state_normaliser.dim(),
            task: bundle.spec.tasks.as_ref().map_or(0, TaskEncoder::code_len),
            differences: &bundle.spec.differences,
            action: bundle.spec.action_normaliser.dim(),
        };
        let mut model = WorldModel::of(&spec.world_model, &inputs, device)?;
        load_weights(&mut model.dynamics, &directory.join(DYNAMICS), "this bundle's dynamics")?;
        let embedding = model.representation.embedding(inputs.state);
        let mut critic = Critic::new(&spec.value, embedding, &spec.returns, device);
        load_weights(&mut critic, &directory.join(CRITIC), "this bundle's values")?;
        Ok(Self { bundle, model, critic, spec })
    }

    /// Writes what [`Self::load`] reads, beside the bundle itself.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn save(directory: &Path, model: &WorldModel, critic: &Critic, spec: &PlannerSpec) -> Result<()> {
        save_weights(&model.dynamics, &directory.join(DYNAMICS))?;
        save_weights(critic, &directory.join(CRITIC))?;
        let path = directory.join(SPEC);
        std::fs::write(&path, serde_json::to_string_pretty(spec)?).with_context(|| path.display().to_string())
    }

    /// Names, shapes and rates of what it sees and does; the policy that proposes.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// Actions of an answer.
    pub fn execute(&self) -> usize {
        self.planner().execute()
    }

    /// How it plans.
    pub fn planner(&self) -> Planner<'_> {
        let networks = (&self.model, &self.critic, self.bundle.policy());
        let spec = &self.spec;
        Planner::new(networks, (spec.returns, spec.disagreement_95), spec.bounds.clone(), &spec.plan)
    }

    /// Acts on one observation, as [`Bundle::act`] does.
    ///
    /// # Errors
    /// As [`Bundle::embed`].
    pub fn act(
        &self,
        memory: &mut Option<Memory>,
        (pictures, state, prompt): (&[&[u8]], &[f32], Option<&str>),
        rng: &mut StdRng,
    ) -> Result<Vec<f32>, BundleError> {
        let (planner, device) = (self.planner(), self.bundle.device());
        let e = self.bundle.embed(pictures, state, prompt)?;
        let noise = |rng: &mut StdRng| self.model.draw_noise(1, rng, device);
        let (latent, before) = match memory.as_ref().and_then(|memory| memory.place(&e).map(|k| (memory, k))) {
            Some((memory, k)) => {
                let (latent, action, after) = &memory.foreseen[k];
                let seen = (e, noise(rng));
                // The first action was planned from what was seen, the others from what was foreseen of it.
                let latent = self.model.dynamics.observe_late(latent, action.clone(), (&after.e, k), seen);
                (latent, Some(planner.moved_on(&memory.knots, k + 1)))
            }
            None => (self.model.start(e, noise(rng)), None),
        };
        let plan = planner.plan(&latent, before.as_deref(), rng, device);
        let actions = split_chunk(&plan.actions, self.spec.bounds.low.len(), planner.execute());
        let mut foreseen = Vec::new();
        let mut latent = latent;
        for action in &actions {
            let (next, _) = self.model.imagine(&latent, action.clone(), noise(rng));
            foreseen.push((latent, action.clone(), next.clone()));
            latent = next;
        }
        *memory = Some(Memory { knots: plan.knots, foreseen });
        let rows: Vec<f32> = actions.into_iter().flat_map(world_model::vision::floats).collect();
        Ok(self.bundle.spec.raw_actions(&rows))
    }
}

impl Memory {
    /// The planned action after which the robot sees `e [1, E]`: the last one, unless it foresaw what it sees much more nearly after another,
    /// because it was asked before all were executed; `None` where that is not near either.
    fn place(&self, e: &Tensor<2>) -> Option<usize> {
        let off = |after: &Latent| -> f32 { (after.e.clone() - e.clone()).square().mean().into_scalar() };
        let off: Vec<f32> = self.foreseen.iter().map(|(_, _, after)| off(after)).collect();
        let (nearest, least) = off.iter().copied().enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b))?;
        let (last, at_end) = (off.len() - 1, off[off.len() - 1]);
        let place = if least < MUCH_NEARER * at_end { nearest } else { last };
        (off[place] < ELSEWHERE).then_some(place)
    }
}

impl Workshop {
    /// What the planned policy of this run is made of.
    pub fn planner_spec(&self, model: &WorldModel, embeddings: &Embeddings) -> PlannerSpec {
        let prior = if self.run.is_complete("improve") { "improved" } else { "cloned" };
        PlannerSpec {
            world_model: self.config.world_model,
            value: self.config.value,
            returns: self.corpus.returns,
            disagreement_95: self.disagreement_limit(model, embeddings),
            bounds: Bounds::of(&self.corpus),
            plan: self.config.plan,
            prior: prior.into(),
            is_chosen: self.selected.as_ref().is_some_and(|s| s.improvement.leaves() == PLANNED),
        }
    }

    /// A robot that plans with the networks of this run, as it is served: with as much noise as the run file says.
    ///
    /// # Errors
    /// Policy or values are not trained.
    pub fn robot(&self, model: &WorldModel, embeddings: &Embeddings) -> Result<Robot> {
        let model = &model.noisy(self.config.world_model.ensemble.noise);
        let spec = self.planner_spec(model, embeddings);
        let (policy, critic) = (self.policy(&spec.prior)?, self.recorded_critic()?);
        let encoder = model.representation.encoder.clone();
        let bundle = Bundle::new(self.bundle_spec(), encoder, policy, &self.inner()).seeing(self.vit.clone());
        Ok(Robot::new(bundle, model.clone(), critic, spec))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A robot on a line that foresaw to be at these places.
    fn memory(foreseen: &[f32]) -> Memory {
        let at = |x: f32| Latent { e: Tensor::from_floats([[x]], &Device::default()), h: None, z: None };
        let step = |x: &f32| (at(0.0), Tensor::zeros([1, 1], &Device::default()), at(*x));
        Memory { knots: Vec::new(), foreseen: foreseen.iter().map(step).collect() }
    }

    #[test]
    fn what_is_served_without_a_name_is_what_improve_decided_for() -> Result<()> {
        let folder = tempfile::tempdir()?;
        assert!(PlannerSpec::load(folder.path()).is_err());
        let returns = ReturnRule { gamma: 0.9, success_reward: 1.0, failure_reward: 0.0, low: 0.0, high: 1.0 };
        let mut spec = serde_json::json!({
            "world_model": WorldModelConfig::default(), "value": CriticConfig::default(), "returns": returns,
            "disagreement_95": 0.1, "bounds": { "low": [0.0], "high": [1.0] }, "plan": PlanConfig::default(), "prior": "cloned",
        });
        let chosen = |spec: &serde_json::Value| -> Result<bool> {
            std::fs::write(folder.path().join(SPEC), spec.to_string())?;
            Ok(PlannerSpec::load(folder.path())?.is_chosen)
        };
        assert!(!chosen(&spec)?, "of a bundle written before anybody decided");
        spec["is_chosen"] = true.into();
        assert!(chosen(&spec)?);
        Ok(())
    }

    #[test]
    fn a_robot_is_where_its_plan_ends_unless_it_is_clearly_elsewhere_on_its_way() {
        let place =
            |foreseen: &[f32], seen: f32| memory(foreseen).place(&Tensor::from_floats([[seen]], &Device::default()));
        assert_eq!(place(&[0.1, 0.2, 0.3], 0.3), Some(2));
        assert_eq!(place(&[0.1, 0.2, 0.3], 0.1), Some(0), "asked after one action");
        assert_eq!(place(&[0.1, 0.2, 0.3], 0.24), Some(2), "foreseen wrongly, rather than a step short");
        assert_eq!(place(&[0.1, 0.2, 0.3], 1.0), None, "set down anew");
        assert_eq!(place(&[], 0.0), None);
    }
}
