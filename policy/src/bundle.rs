//! What a robot loads: the spec of its observations and actions, the normalisers, encoder and policy weights.
//!
//! On disk: `bundle.json` (format version, spec, normalisers, task texts, sizes) beside `encoder.safetensors`, one
//! `<policy>.safetensors` per policy, and `pretrained.safetensors` where a pretrained transformer sees too: a robot needs no other file. Nothing of training, rollouts or rerun is needed to run it.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::store::{ModuleSnapshot, SafetensorsStore};
use burn::tensor::{Device, Tensor, TensorData};
use episodes::{DatasetSpec, Normaliser};
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use world_model::angles::Angles;
use world_model::differences::Differences;
use world_model::hints::{HintCode, HintConfig};
use world_model::noise;
use world_model::representation::{Encoder, Seen};
use world_model::task::{Heard, TaskEncoder};
use world_model::vision::{VisionConfig, floats, to_blocks};
use world_model::vit::{Vit, VitSpec};

use crate::blend::{Continuation, Memory};
use crate::flow::{Acting, FlowConfig, FlowPolicy};

/// Version of the layout on disk; a new field bumps it.
pub const FORMAT_VERSION: u32 = 7;

/// Everything about a bundle but the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleSpec {
    /// Layout version.
    pub format_version: u32,
    /// `flow`.
    pub kind: String,
    /// Names, shapes and rates of the observations and the action.
    pub dataset: DatasetSpec,
    /// Which elements of the state are angles: each is told as its cosine and, behind the state, its sine. The robot gives angles.
    pub state_angles: Angles,
    /// What stands in the padded state before the task: differences of elements, worked out from them.
    pub differences: Differences,
    /// State normalisation, of the state so told. Where other robots were learned from too, its rows are longer than the state: it then takes the
    /// state padded with 0, and turns the padding into the mark of this robot.
    pub state_normaliser: Normaliser,
    /// The texts of the tasks, which say what a prompt means; its code is the last elements of the padded state. `None` for one task.
    pub tasks: Option<TaskEncoder>,
    /// Action normalisation; its `min` and `max` also bound every action sent to the robot. Longer than the action alike.
    pub action_normaliser: Normaliser,
    /// Picture networks.
    pub vision: VisionConfig,
    /// What the cameras tell in their place, where hints were recorded: `dataset.hints` as coded here. The robot need not know them.
    pub hints: Option<HintSpec>,
    /// The pretrained transformer beside them, whose weights are `pretrained.safetensors`; `None` for none.
    pub pretrained: Option<VitSpec>,
    /// Per element of the state, how far it can be from one observation to the next, raw units: twice what was ever recorded. Farther
    /// away nothing is gone on with.
    pub farthest: Vec<f32>,
    /// Policy sizes.
    pub flow: FlowConfig,
    /// The policies inside, and how each of them is asked; [`Self::save`] writes those that it is given.
    pub policies: BTreeMap<String, Acting>,
}

/// What every format of `bundle.json` has.
#[derive(Deserialize)]
struct Format {
    format_version: u32,
}

/// Hints that a policy's cameras tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HintSpec {
    /// Estimates to raw units.
    pub code: HintCode,
    /// Sizes of the estimators.
    pub network: HintConfig,
}

/// Errors of reading or writing a bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Not a bundle, or one of another version or kind.
    #[error("{path}: {found}; expected {expected}")]
    Unusable {
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
        /// Where.
        path: PathBuf,
    },
    /// Writing failed.
    #[error("cannot write {path}: {why}")]
    Write {
        /// The reason.
        why: String,
        /// Where.
        path: PathBuf,
    },
    /// An observation that does not fit the spec.
    #[error("observation: {found}; expected {expected}")]
    Observation {
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
}

/// A policy ready to act.
pub struct Bundle {
    /// Spec and normalisers.
    pub spec: BundleSpec,
    encoder: Encoder,
    vit: Option<Vit>,
    policy: FlowPolicy,
    device: Device,
}

/// Saves any module's weights as safetensors, to a temporary name first. The same weights give the same bytes.
///
/// # Errors
/// When the file cannot be written.
pub fn save_weights(module: &impl ModuleSnapshot, path: &Path) -> Result<(), BundleError> {
    let failed = |why: String| BundleError::Write { why, path: path.into() };
    let temporary = path.with_extension("tmp.safetensors");
    // One entry: several would be written in another order each time.
    let mut store =
        SafetensorsStore::from_file(&temporary).overwrite(true).clear_metadata().metadata("producer", "burn");
    module.save_into(&mut store).map_err(|e| failed(e.to_string()))?;
    std::fs::rename(&temporary, path).map_err(|e| failed(e.to_string()))
}

/// Loads weights written by [`save_weights`].
///
/// # Errors
/// When the file is missing or its tensors do not fit the module.
pub fn load_weights(module: &mut impl ModuleSnapshot, path: &Path, what: &str) -> Result<(), BundleError> {
    let unusable = |found: String| BundleError::Unusable {
        found,
        expected: format!("safetensors weights of {what}"),
        path: path.into(),
    };
    if !path.is_file() {
        return Err(unusable("no such file".into()));
    }
    let mut store = SafetensorsStore::from_file(path);
    module
        .load_from(&mut store)
        .map(|_| ())
        .map_err(|e| unusable(e.to_string().lines().take(3).collect::<Vec<_>>().join(" ")))
}

impl BundleSpec {
    /// Writes `bundle.json` and all weights into `directory`.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn save(
        &self,
        directory: &Path,
        (encoder, vit): (&Encoder, Option<&Vit>),
        policies: &[(&str, &FlowPolicy)],
    ) -> Result<(), BundleError> {
        let failed = |path: &Path, why: String| BundleError::Write { why, path: path.into() };
        std::fs::create_dir_all(directory).map_err(|e| failed(directory, e.to_string()))?;
        save_weights(encoder, &directory.join("encoder.safetensors"))?;
        if let Some(vit) = vit {
            save_weights(vit, &directory.join("pretrained.safetensors"))?;
        }
        for (name, policy) in policies {
            save_weights(*policy, &directory.join(format!("{name}.safetensors")))?;
        }
        let path = directory.join("bundle.json");
        let temporary = directory.join("bundle.json.tmp");
        let acting = policies.iter().map(|(name, policy)| ((*name).to_owned(), policy.acting())).collect();
        let spec = Self { policies: acting, ..self.clone() };
        let text = serde_json::to_string_pretty(&spec).map_err(|e| failed(&path, e.to_string()))?;
        std::fs::write(&temporary, text).map_err(|e| failed(&path, e.to_string()))?;
        std::fs::rename(&temporary, &path).map_err(|e| failed(&path, e.to_string()))
    }
}

impl BundleSpec {
    /// Normalised actions `[n, A]` of all that was learned from, flat, as this robot takes them: raw units, its own elements, inside the
    /// range of the recorded actions.
    pub fn raw_actions(&self, actions: &[f32]) -> Vec<f32> {
        let (own, normaliser) = (self.dataset.action_len(), &self.action_normaliser);
        let mut raw = vec![0.0; normaliser.dim()];
        let mut out = Vec::with_capacity(actions.len() / normaliser.dim().max(1) * own);
        for row in actions.chunks_exact(normaliser.dim().max(1)) {
            normaliser.denormalise(row, &mut raw);
            out.extend((0..own).map(|i| raw[i].clamp(normaliser.min[i], normaliser.max[i])));
        }
        out
    }
}

impl Bundle {
    /// Loads one policy of a bundle.
    ///
    /// # Errors
    /// When the directory is no bundle, is of another version, or has no such policy.
    pub fn load(directory: &Path, policy: &str, device: &Device) -> Result<Self, BundleError> {
        let path = directory.join("bundle.json");
        let unusable = |found: String, expected: &str| BundleError::Unusable {
            found,
            expected: expected.into(),
            path: path.clone(),
        };
        let text = std::fs::read_to_string(&path)
            .map_err(|e| unusable(e.to_string(), "a policy bundle (bundle.json and weights)"))?;
        // The format first: the fields of another one would be found missing or unknown, which tells nobody what to do.
        let Format { format_version } =
            serde_json::from_str(&text).map_err(|e| unusable(e.to_string(), "a bundle description"))?;
        if format_version != FORMAT_VERSION {
            let expected = format!("format {FORMAT_VERSION}: make it again with this version");
            return Err(unusable(format!("has format {format_version}"), &expected));
        }
        let spec: BundleSpec =
            serde_json::from_str(&text).map_err(|e| unusable(e.to_string(), "a bundle description of this version"))?;
        if spec.kind != "flow" {
            return Err(unusable(format!("is of kind '{}'", spec.kind), "kind 'flow'"));
        }
        let Some(&acting) = spec.policies.get(policy) else {
            let known: Vec<&str> = spec.policies.keys().map(String::as_str).collect();
            return Err(unusable(format!("no policy '{policy}'"), &format!("one of: {}", known.join(", "))));
        };
        let sizes: Vec<usize> = spec.dataset.cameras.iter().map(|c| c.model_size).collect();
        let feature = spec.pretrained.map_or(0, |spec| spec.feature_len());
        let encoder = match &spec.hints {
            Some(hints) => Encoder::telling(&hints.network, &sizes, (hints.code.code_len(), feature), device),
            None => Encoder::with_features(&spec.vision, &sizes, feature, device),
        };
        let mut encoder =
            encoder.map_err(|e| unusable(e.to_string(), "sound picture sizes"))?.beside(spec.differences.clone());
        load_weights(&mut encoder, &directory.join("encoder.safetensors"), "this bundle's encoder")?;
        let mut vit = spec.pretrained.as_ref().map(|spec| Vit::new(spec, device));
        if let Some(vit) = &mut vit {
            load_weights(vit, &directory.join("pretrained.safetensors"), "this bundle's vision transformer")?;
        }
        let (state, action) = (spec.state_normaliser.dim(), spec.action_normaliser.dim());
        let task = spec.tasks.as_ref().map_or(0, TaskEncoder::code_len);
        let own_state = spec.state_angles.spread_len() + spec.differences.len() + task;
        let own_action = spec.dataset.action_len();
        if own_state > state || own_action > action {
            let found = format!("normalisers of {state} and {action} elements");
            return Err(unusable(found, &format!("at least {own_state} and {own_action}")));
        }
        let camera = spec.hints.as_ref().map_or(spec.vision.embedding(), |hints| hints.code.code_len());
        let embedding = sizes.len() * camera + state;
        let mut flow = FlowPolicy::padded(&spec.flow, embedding, (action, own_action), device).with_acting(acting);
        load_weights(
            &mut flow,
            &directory.join(format!("{policy}.safetensors")),
            "a flow policy of this bundle's sizes",
        )?;
        // As it was judged: chunks that were matched by a flow stay among the recorded ones by themselves.
        if !matches!(acting, Acting::Flow { .. }) {
            flow = flow.within(spec.action_normaliser.range());
        }
        Ok(Self::new(spec, encoder, flow, device).seeing(vit))
    }

    /// A bundle from networks in memory.
    pub fn new(spec: BundleSpec, encoder: Encoder, policy: FlowPolicy, device: &Device) -> Self {
        Self { spec, encoder, vit: None, policy, device: device.clone() }
    }

    /// With the pretrained transformer that the encoder was trained with.
    pub fn seeing(self, vit: Option<Vit>) -> Self {
        Self { vit, ..self }
    }

    /// What a prompt means to the policy; `None` for a policy of one task, which needs none.
    ///
    /// # Errors
    /// There are several tasks and no prompt says which.
    pub fn hear(&self, prompt: Option<&str>) -> Result<Option<Heard<'_>>, BundleError> {
        let Some(tasks) = &self.spec.tasks else { return Ok(None) };
        // Companions may have other tasks; a robot that has one means that.
        let own = &self.spec.dataset.tasks;
        let only = if own.len() == 1 { own.first().map(String::as_str) } else { None };
        let Some(prompt) = prompt.filter(|prompt| !prompt.trim().is_empty()).or(only) else {
            const SHOWN: usize = 5;
            let texts = tasks.texts();
            let known: Vec<String> = texts.iter().take(SHOWN).map(|text| format!("'{text}'")).collect();
            let more = if texts.len() > SHOWN { format!(" and {} more", texts.len() - SHOWN) } else { String::new() };
            return Err(BundleError::Observation {
                found: "no prompt".into(),
                expected: format!("one that says which task, such as {}{more}", known.join(", ")),
            });
        };
        Ok(Some(tasks.hear(prompt)))
    }

    /// [`Self::act_after`] nothing.
    ///
    /// # Errors
    /// As there.
    pub fn act(
        &self,
        pictures: &[&[u8]],
        state: &[f32],
        prompt: Option<&str>,
        rng: &mut StdRng,
    ) -> Result<Vec<f32>, BundleError> {
        self.act_after(&mut Memory::default(), (pictures, state, prompt), rng, Instant::now())
    }

    /// Acts on one observation, as [`Self::embed`] takes it, at `now`, going on from the last answer to the same robot in `memory` where
    /// chunks are blended.
    /// Returns `execute` actions in raw units, row-major `[execute, A]`, inside the range of the recorded actions.
    ///
    /// # Errors
    /// As [`Self::embed`].
    pub fn act_after(
        &self,
        memory: &mut Memory,
        (pictures, state, prompt): (&[&[u8]], &[f32], Option<&str>),
        rng: &mut StdRng,
        now: Instant,
    ) -> Result<Vec<f32>, BundleError> {
        let e = self.embed(pictures, state, prompt)?;
        let noise = noise::normal([1, self.policy.noise_len()], rng, &self.device);
        let (receding, actions) = (self.spec.flow.receding(), self.spec.action_normaliser.dim());
        let mut chunk = self.policy.act(e, noise);
        if receding.blend {
            let (control_rate_hz, farthest) = (self.spec.dataset.control_rate_hz, &self.spec.farthest);
            let how = Continuation { execute: receding.execute, control_rate_hz, farthest };
            let mut last = memory.recall(state, prompt, &how, now).cloned();
            chunk = receding.go_on(&mut last, chunk, actions);
            memory.keep(chunk.clone(), state, prompt, now);
        }
        Ok(self.spec.raw_actions(&floats(chunk)[..receding.execute * actions]))
    }

    /// What one observation is to the policy, `[1, E]`: pictures `[size, size, 3]` at model resolution in camera order, raw state
    /// `[S]`, and, where there are several tasks, the one meant, in words.
    ///
    /// # Errors
    /// When the observation does not fit the spec; as [`Self::hear`].
    pub fn embed(&self, pictures: &[&[u8]], state: &[f32], prompt: Option<&str>) -> Result<Tensor<2>, BundleError> {
        let cameras = &self.spec.dataset.cameras;
        let misfit = |found: String, expected: String| BundleError::Observation { found, expected };
        if pictures.len() != cameras.len() {
            return Err(misfit(format!("{} pictures", pictures.len()), format!("{}", cameras.len())));
        }
        let state_len = self.spec.dataset.state_len();
        if state.len() != state_len || state.iter().any(|v| !v.is_finite()) {
            return Err(misfit(
                format!("a state of {} numbers (or not finite)", state.len()),
                format!("{state_len} finite numbers"),
            ));
        }
        let mut seen = Vec::new();
        for (picture, camera) in pictures.iter().zip(cameras) {
            let bytes = camera.model_size * camera.model_size * 3;
            if picture.len() != bytes {
                return Err(misfit(format!("{} bytes for {}", picture.len(), camera.key), format!("{bytes}")));
            }
            seen.push(Seen {
                picture: to_blocks([*picture].into_iter(), camera.model_size, &self.device),
                feature: self.vit.as_ref().map(|vit| vit.see(&[*picture], camera.model_size, &self.device)),
            });
        }
        let padded = self.spec.state_normaliser.dim();
        let (mut raw, mut normalised) = (self.spec.state_angles.spread(state), vec![0.0; padded]);
        raw.resize(padded, 0.0);
        if let Some(Heard { code, .. }) = self.hear(prompt)? {
            raw[padded - code.len()..].copy_from_slice(&code);
        }
        self.spec.state_normaliser.normalise(&raw, &mut normalised);
        let state = Tensor::from_data(TensorData::new(normalised, [1, padded]), &self.device);
        Ok(self.encoder.encode(seen, state))
    }

    /// The policy itself.
    pub fn policy(&self) -> &FlowPolicy {
        &self.policy
    }

    /// Where its networks are.
    pub fn device(&self) -> &Device {
        &self.device
    }
}
