//! What goes to the robot: the bundle of a run, and `serve`, a bundle behind the openpi websocket protocol.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use episodes::video::resize_rgb;
use policy::bundle::{BundleError, BundleSpec, FORMAT_VERSION, HintSpec};
use policy::{Bundle, Memory};
use rand::rngs::StdRng;
use serve::{Observation, Options, Reply, Server};
use world_model::task::TaskEncoder;
use world_model::{Embeddings, WorldModel, noise};

use super::distilling::{DISTILLED, DISTILLED_PLAN};
use super::learn::EXPLORER;
use super::planning::{self, PlannerSpec, Robot};
use super::variant::{Base, LAST, Variant};
use super::workshop::Workshop;
use crate::args::Common;
use crate::errors::UsageError;
use crate::run_dir::write_dir_atomic;
use crate::{interrupt, output};

impl Workshop {
    /// Description of the bundle that this run hands to a robot.
    pub fn bundle_spec(&self) -> BundleSpec {
        BundleSpec {
            format_version: FORMAT_VERSION,
            kind: "flow".into(),
            dataset: self.dataset.spec.clone(),
            state_angles: self.corpus.state_angles.clone(),
            differences: self.corpus.differences.clone(),
            state_normaliser: self.corpus.state_normaliser.clone(),
            tasks: self.corpus.tasks.clone(),
            action_normaliser: self.corpus.action_normaliser.clone(),
            vision: self.config.world_model.representation.vision,
            hints: self
                .corpus
                .hints
                .clone()
                .map(|code| HintSpec { code, network: self.config.world_model.representation.hints }),
            pretrained: self.vit.as_ref().map(|vit| *vit.spec()),
            farthest: self.farthest(),
            flow: self.config.policy,
            policies: BTreeMap::new(),
        }
    }

    /// What the executed actions of a chunk take.
    pub fn chunk_time(&self) -> Duration {
        let rate_hz = self.dataset.spec.control_rate_hz;
        let steps = self.config.policy.receding().execute as f64;
        if rate_hz > 0.0 { Duration::from_secs_f64(steps / rate_hz) } else { Duration::ZERO }
    }

    /// Per element of the raw state, twice the farthest that it was recorded to move while the actions of a chunk were executed.
    fn farthest(&self) -> Vec<f32> {
        let (len, steps) = (self.dataset.spec.state_len(), self.config.policy.receding().execute);
        let mut farthest = vec![0.0f32; len];
        for track in self.corpus.own_tracks() {
            let episode = &self.dataset.episodes[self.corpus.tracks[track].episode];
            for t in steps..episode.len {
                let moved = episode.state_at(t, len).iter().zip(episode.state_at(t - steps, len));
                farthest.iter_mut().zip(moved).for_each(|(most, (x, was))| *most = most.max(2.0 * (x - was).abs()));
            }
        }
        farthest
    }

    /// Writes `bundle/` with the policies that are trained.
    ///
    /// # Errors
    /// The run directory cannot be written.
    pub fn write_bundle(&self, model: &WorldModel, embeddings: &Embeddings) -> Result<()> {
        let mut policies = vec![("cloned", self.policy("cloned")?)];
        if self.run.is_complete("improve") {
            policies.push(("improved", self.policy("improved")?));
        }
        if self.inherited("improve").is_some() {
            policies.push(("previous", self.policy("previous")?));
        }
        // What was refused may be tried all the same, by whoever asks for it by name.
        if self.refused().is_some() {
            policies.push(("candidate", self.policy("candidate")?));
        }
        if self.keeps_last_copy()? {
            policies.push((LAST, self.policy(LAST)?));
        }
        for name in [EXPLORER, DISTILLED, DISTILLED_PLAN] {
            if self.run.is_complete(name) {
                policies.push((name, self.policy(name)?));
            }
        }
        let encoder = &model.representation.encoder;
        let pairs: Vec<_> = policies.iter().map(|(n, p)| (*n, p)).collect();
        let spec = self.bundle_spec();
        let target = self.run.path("bundle");
        let planner = self.planner_spec(model, embeddings);
        write_dir_atomic(&target, |dir| {
            spec.save(dir, (encoder, self.vit.as_ref()), &pairs)?;
            Robot::save(dir, model, &self.recorded_critic()?, &planner)
        })
    }
}

/// Serves one policy of a run directory or bundle until Ctrl-C; without a name what `improve` decided for.
///
/// # Errors
/// There is no such bundle or policy, one that takes no network to act, or the address cannot be listened on.
pub fn serve(
    from: &Path,
    policy: Option<&str>,
    (host, port): (&str, u16),
    api_key: Option<&str>,
    common: &Common,
) -> Result<()> {
    let (device, _) = common.device()?.open()?;
    let directory: PathBuf = if from.join("bundle").is_dir() { from.join("bundle") } else { from.to_owned() };
    if directory == from && from.join("manifest.json").exists() {
        let from = from.display();
        return Err(UsageError(format!(
            "{from}: a run without a bundle; expected one that is finished: the command that began it goes on with it"
        ))
        .into());
    }
    let policy = policy.unwrap_or_else(|| default_of(&directory));
    let variant: Variant = policy.parse()?;
    let served = match (variant.base, variant.network()) {
        (Base::Planned, _) => Served::Planned(Box::new(Robot::load(&directory, &common.sets, &device)?)),
        (_, Some(network)) => Served::Policy(Box::new(Bundle::load(&directory, network, &device)?)),
        // Of what any policy of the robot sees and does.
        (rule @ (Base::Random | Base::Mean | Base::Idle), None) => {
            Served::Rule(Box::new(Bundle::load(&directory, "cloned", &device)?), rule)
        }
        (_, None) => {
            let words = format!(
                "'{policy}' is nothing to serve; expected cloned, improved, candidate, last, explorer, distilled, distilled_plan or planned, also with +noise:S, +bias:B or +gain:G, or random, mean or idle"
            );
            return Err(UsageError(words).into());
        }
    };
    let bundle = served.bundle();
    let spec = &bundle.spec.dataset;
    let metadata = serde_json::json!({
        "policy": policy,
        "rehearsal_version": env!("CARGO_PKG_VERSION"),
        "control_rate_hz": spec.control_rate_hz,
        "action_names": spec.action.names,
        "actions_per_reply": served.execute(),
        "observation_state": spec.state.iter().map(|f| f.key.clone()).collect::<Vec<_>>(),
        "tasks": bundle.spec.tasks.as_ref().map(TaskEncoder::texts),
        "observation_cameras": spec.cameras.iter().map(|c| c.key.clone()).collect::<Vec<_>>(),
    });
    let options = Options { host: host.into(), port, metadata, api_key: api_key.map(str::to_owned) };
    let server = Server::bind(&options)?;
    interrupt::install(interrupt::SERVER)?;
    output::tell(&format!(
        "serving '{policy}' of {} on ws://{}  (Ctrl-C ends it)",
        directory.display(),
        server.local_addr()
    ));
    if variant.base == Base::Candidate {
        output::tell("it is the copy that improve did not return: the evidence for it was weak, see the report");
    }
    if variant.base == Base::Improved && directory.join("candidate.safetensors").exists() {
        output::tell(
            "it is the policy that went into improve, which kept it: the evidence for its copy, 'candidate', was weak, see the report",
        );
    }
    let stop = AtomicBool::new(false);
    let (seed, robots) = (common.seed.unwrap_or(0), AtomicU64::new(0));
    let told = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !interrupt::requested() && !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(100));
            }
            stop.store(true, Ordering::Relaxed);
        });
        // A robot is a connection: what it was last told is its own, and so is its noise: nobody waits for another robot's plan.
        let (served, told, robots, variant) = (&served, &told, &robots, &variant);
        let result = server.run_each(&stop, &|| {
            let (mut memory, mut plan) = (Memory::default(), None);
            let mut rng = noise::generator(seed, "serve", robots.fetch_add(1, Ordering::Relaxed));
            Box::new(move |observation| {
                if let Some(words) = doubt(served.bundle(), observation.prompt.as_deref(), told) {
                    output::tell(&words);
                }
                let reply = match served {
                    Served::Policy(bundle) => infer((bundle, &mut memory), observation, &mut rng, Instant::now()),
                    Served::Planned(robot) => plan_on((robot, &mut plan), observation, &mut rng),
                    Served::Rule(bundle, rule) => follow((bundle, *rule), observation, &mut rng),
                }?;
                let (normaliser, device) = (&served.bundle().spec.action_normaliser, served.bundle().device());
                let scale = (normaliser, reply.action_len);
                Ok(Reply { actions: variant.changed(reply.actions, scale, (&mut rng, device)), ..reply })
            })
        });
        stop.store(true, Ordering::Relaxed);
        result
    })?;
    Ok(())
}

/// The policy that left `improve`: the improved one, or the planned one where the evidence was for it.
fn default_of(directory: &Path) -> &'static str {
    let is_planned = PlannerSpec::load(directory).is_ok_and(|planner| planner.is_chosen);
    if is_planned { planning::PLANNED } else { "improved" }
}

/// Prompts that are remembered as told: a client that varies its prompt must not fill the memory, nor the log.
const MOST_TOLD: usize = 100;

/// What to tell of a prompt that is unlike every task, once.
fn doubt(bundle: &Bundle, prompt: Option<&str>, told: &Mutex<BTreeSet<String>>) -> Option<String> {
    let heard = bundle.hear(prompt).ok().flatten().filter(|heard| !heard.is_understood)?;
    let prompt = prompt.unwrap_or_default();
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    if told.len() >= MOST_TOLD || !told.insert(prompt.to_owned()) {
        return None;
    }
    Some(format!(
        "prompt '{prompt}' is like no task that was learned (likeness {:.2}); it is taken for the nearest, '{}'",
        heard.likeness, heard.nearest
    ))
}

/// Who answers.
enum Served {
    Policy(Box<Bundle>),
    Planned(Box<Robot>),
    /// What nobody has learned, for the robot of the bundle: random, mean or idle.
    Rule(Box<Bundle>, Base),
}

impl Served {
    fn bundle(&self) -> &Bundle {
        match self {
            Self::Policy(bundle) | Self::Rule(bundle, _) => bundle,
            Self::Planned(robot) => robot.bundle(),
        }
    }

    fn execute(&self) -> usize {
        match self {
            Self::Policy(bundle) | Self::Rule(bundle, _) => bundle.spec.flow.execute,
            Self::Planned(robot) => robot.execute(),
        }
    }
}

/// Answers by a rule, as many actions as a policy would have executed, once the observation is one that a policy could answer.
fn follow((bundle, rule): (&Bundle, Base), observation: &Observation, rng: &mut StdRng) -> Result<Reply, String> {
    seen(bundle, observation)?;
    let (recorded, action_len) = (&bundle.spec.action_normaliser, bundle.spec.dataset.action_len());
    let horizon = bundle.spec.flow.execute;
    let actions = (0..horizon * action_len).map(|i| rule.ruled(recorded, i % action_len, rng)).collect();
    Ok(Reply { horizon, actions, action_len, extra: BTreeMap::new() })
}

/// Answers as a robot that plans, going on from its last plan.
fn plan_on(
    (robot, memory): (&Robot, &mut Option<planning::Memory>),
    observation: &Observation,
    rng: &mut StdRng,
) -> Result<Reply, String> {
    let (pictures, state) = seen(robot.bundle(), observation)?;
    let views: Vec<&[u8]> = pictures.iter().map(Vec::as_slice).collect();
    reply(robot.bundle(), robot.act(memory, (&views, &state, observation.prompt.as_deref()), rng))
}

/// Answers at `now` as the policy of a bundle, going on from its last answer in `memory`.
pub(super) fn infer(
    (bundle, memory): (&Bundle, &mut Memory),
    observation: &Observation,
    rng: &mut StdRng,
    now: Instant,
) -> Result<Reply, String> {
    let (pictures, state) = seen(bundle, observation)?;
    let views: Vec<&[u8]> = pictures.iter().map(Vec::as_slice).collect();
    reply(bundle, bundle.act_after(memory, (&views, &state, observation.prompt.as_deref()), rng, now))
}

fn reply(bundle: &Bundle, actions: Result<Vec<f32>, BundleError>) -> Result<Reply, String> {
    let actions = actions.map_err(|e| e.to_string())?;
    let action_len = bundle.spec.dataset.action_len();
    Ok(Reply { horizon: actions.len() / action_len, actions, action_len, extra: BTreeMap::new() })
}

/// Pictures at model resolution in camera order, and raw state.
fn seen(bundle: &Bundle, observation: &Observation) -> Result<(Vec<Vec<u8>>, Vec<f32>), String> {
    let spec = &bundle.spec.dataset;
    let mut state = Vec::with_capacity(spec.state_len());
    for feature in &spec.state {
        let found = find(&observation.vectors, &feature.key, spec.state.len());
        let values =
            found.ok_or_else(|| missing(&feature.key, &format!("a vector of {}", feature.len), observation))?;
        if values.len() != feature.len {
            return Err(format!("'{}' has {} numbers; this policy expects {}", feature.key, values.len(), feature.len));
        }
        state.extend_from_slice(values);
    }
    let mut pictures = Vec::new();
    for camera in &spec.cameras {
        let found = find(&observation.images, &camera.key, spec.cameras.len());
        let picture = found.ok_or_else(|| missing(&camera.key, "a uint8 picture [height, width, 3]", observation))?;
        let mut out = vec![0; camera.model_size * camera.model_size * 3];
        resize_rgb(&picture.rgb, picture.width, picture.height, camera.model_size, &mut out);
        pictures.push(out);
    }
    Ok((pictures, state))
}

/// The entry under the key, or under its last parts as other clients write it (`observation/state`, `state`); where one of its kind is `expected`
/// and one is there it needs no name at all.
fn find<'a, T>(map: &'a BTreeMap<String, T>, key: &str, expected: usize) -> Option<&'a T> {
    let slashed = key.replace('.', "/");
    let last = key.rsplit('.').next().unwrap_or(key);
    let candidates = [key, &slashed, last];
    let direct = candidates.iter().find_map(|k| map.get(*k));
    direct
        .or_else(|| map.iter().find(|(k, _)| k.ends_with(&format!("/{last}"))).map(|(_, v)| v))
        .or_else(|| if expected == 1 && map.len() == 1 { map.values().next() } else { None })
}

fn missing(key: &str, what: &str, observation: &Observation) -> String {
    let has: Vec<&str> = observation.vectors.keys().chain(observation.images.keys()).map(String::as_str).collect();
    format!(
        "the observation has no '{key}' ({what}); it has: {}",
        if has.is_empty() { "nothing".to_owned() } else { has.join(", ") }
    )
}
