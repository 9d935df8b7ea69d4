//! Policies that are asked as a robot asks, in pictures and numbers: a server, or a bundle in this process.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use burn::tensor::{Device, Tensor, TensorData};
use episodes::CameraFeature;
use policy::{Bundle, Memory};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rl::evaluate::{self, Belief, EvaluateConfig, PerStart};
use serve::{Camera, Client, Observation, Reply};
use world_model::vision::{to_blocks, to_frames};
use world_model::{Embeddings, WorldModel, noise};

use crate::errors::UsageError;
use crate::progress::Progress;
use crate::stages::serving::infer;
use crate::stages::workshop::Workshop;

/// Connections to one server: enough to keep it busy while others are on the way.
const CONNECTIONS: usize = 4;

/// Longest time an answer may take; large policies compile when they are first asked.
const PATIENCE: Duration = Duration::from_secs(120);

/// Somebody who answers observations.
enum Asked<'a> {
    Server(Vec<Client>),
    Bundle(&'a mut Own),
}

/// A bundle in this process, with what it last said to each imagined robot.
pub struct Own {
    bundle: Bundle,
    memories: Vec<Memory>,
    rng: StdRng,
}

impl Own {
    /// A policy of a bundle or of a run directory; without a name the improved one, where there is one.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn load(dir: &Path, policy: Option<&str>, seed: u64, device: &Device) -> Result<Self> {
        let dir = if dir.join("bundle").is_dir() { dir.join("bundle") } else { dir.to_owned() };
        let has_improved = dir.join("improved.safetensors").is_file();
        let policy = policy.unwrap_or(if has_improved { "improved" } else { "cloned" });
        let bundle = Bundle::load(&dir, policy, device)?;
        Ok(Self { bundle, memories: Vec::new(), rng: noise::generator(seed, "outsider", 0) })
    }
}

impl Own {
    /// Actions per answer.
    pub fn execute(&self) -> usize {
        self.bundle.spec.flow.receding().execute
    }
}

impl Asked<'_> {
    /// Answers in the order of the observations, which are of the same robots each time and made at `now`.
    fn ask(&mut self, observations: &[Observation], now: Instant) -> Result<Vec<Reply>> {
        match self {
            Self::Bundle(own) => {
                let Own { bundle, memories, rng } = &mut **own;
                memories.resize_with(observations.len(), Memory::default);
                let both = observations.iter().zip(memories);
                both.map(|(observation, memory)| {
                    infer((&*bundle, memory), observation, rng, now).map_err(|why| UsageError(why).into())
                })
                .collect()
            }
            Self::Server(clients) => {
                let share = observations.len().div_ceil(clients.len()).max(1);
                let parts: Vec<Result<Vec<Reply>, serve::Error>> = std::thread::scope(|scope| {
                    let work: Vec<_> = clients
                        .iter_mut()
                        .zip(observations.chunks(share))
                        .map(|(client, part)| scope.spawn(move || part.iter().map(|o| client.ask(o)).collect()))
                        .collect();
                    work.into_iter()
                        .map(|work| work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                        .collect()
                });
                Ok(parts.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
            }
        }
    }
}

/// Connects to a policy server.
///
/// # Errors
/// As [`Client::connect`].
pub(super) fn connect(address: &str) -> Result<Client, serve::Error> {
    Client::connect(address, std::env::var("OPENPI_API_KEY").ok().as_deref(), PATIENCE)
}

impl Workshop {
    /// Imagines a policy server from each start, once.
    ///
    /// # Errors
    /// It cannot be reached, answers with an error or with actions of another robot; Ctrl-C.
    pub(super) fn imagine_server(
        &self,
        world: (&WorldModel, &Embeddings),
        (name, address): (&str, &str),
        judged: (&EvaluateConfig, Belief<'_>),
        starts: &[(usize, usize)],
    ) -> Result<PerStart> {
        let clients = (0..CONNECTIONS).map(|_| connect(address)).collect::<Result<_, _>>()?;
        self.imagine_asked(world, (name, Asked::Server(clients)), judged, starts)
    }

    /// Imagines a policy of a bundle from each start, once.
    ///
    /// # Errors
    /// It answers with an error or with actions of another robot; Ctrl-C.
    pub(super) fn imagine_own(
        &self,
        world: (&WorldModel, &Embeddings),
        (name, own): (&str, &mut Own),
        judged: (&EvaluateConfig, Belief<'_>),
        starts: &[(usize, usize)],
    ) -> Result<PerStart> {
        // These robots have said nothing yet.
        own.memories.clear();
        self.imagine_asked(world, (name, Asked::Bundle(own)), judged, starts)
    }

    fn imagine_asked(
        &self,
        (model, embeddings): (&WorldModel, &Embeddings),
        (name, mut asked): (&str, Asked<'_>),
        (config, belief): (&EvaluateConfig, Belief<'_>),
        starts: &[(usize, usize)],
    ) -> Result<PerStart> {
        let (device, config) = (self.inner(), EvaluateConfig { samples: 1, ..*config });
        let mut progress = Progress::stage(name, config.horizon as u64, "steps");
        let mut failed = None;
        // Imagined robots live by imagined time.
        let (began, rate_hz) = (Instant::now(), self.dataset.spec.control_rate_hz.max(1e-3));
        let actor = &mut |e: &Tensor<2>, step: usize| {
            progress.set(step as u64, "");
            let mut ask = || {
                crate::interrupt::check()?;
                let now = began + Duration::from_secs_f64(step as f64 / rate_hz);
                let replies = asked.ask(&self.observations(model, embeddings, e, starts), now)?;
                self.chunk(name, &replies)
            };
            match ask() {
                Ok(chunk) => chunk,
                Err(why) => {
                    failed = Some(why);
                    Vec::new()
                }
            }
        };
        let data = (&self.corpus, embeddings);
        let imagined =
            evaluate::imagine_actor(model, data, actor, (&config, belief), starts, (self.config.seed, &device));
        progress.finish();
        failed.map_or(Ok(imagined), Err)
    }

    /// What a bundle does at recorded steps, of each as if it were the first it sees, with noise of `rng`: normalised actions `[B, execute*A]`.
    ///
    /// # Errors
    /// It answers with an error or with actions of another robot.
    pub fn own_actions(&self, name: &str, own: &Own, at: &[(usize, usize)], rng: &mut StdRng) -> Result<Tensor<2>> {
        let spec = &self.dataset.spec;
        let mut rng = StdRng::from_rng(rng);
        let answer = |&(track, t): &(usize, usize)| -> Result<Reply> {
            let position = self.corpus.tracks[track].episode;
            let state = self.dataset.episodes[position].state_at(t, spec.state_len());
            let camera = |(c, camera): (usize, &CameraFeature)| {
                let (size, rgb) = (camera.model_size, self.dataset.frame(c, position, t).to_vec());
                (camera.key.clone(), Camera { height: size, width: size, rgb })
            };
            let images = spec.cameras.iter().enumerate().map(camera).collect();
            let observation = Observation { images, ..self.blind_observation(track, state) };
            let mut memory = Memory::default();
            infer((&own.bundle, &mut memory), &observation, &mut rng, Instant::now())
                .map_err(|why| UsageError(why).into())
        };
        let replies: Vec<Reply> = at.iter().map(answer).collect::<Result<_>>()?;
        Ok(Tensor::cat(self.chunk(name, &replies)?, 1))
    }

    /// A raw state and the task of its episode, no pictures.
    fn blind_observation(&self, track: usize, state: &[f32]) -> Observation {
        let features = self.dataset.spec.state.iter();
        let vectors = features.map(|f| (f.key.clone(), state[f.offset..f.offset + f.len].to_vec())).collect();
        let task = &self.dataset.episodes[self.corpus.tracks[track].episode].task;
        let prompt = Some(task.clone()).filter(|task| !task.is_empty());
        Observation { vectors, prompt, ..Observation::default() }
    }

    /// What the robot would see: embeddings `[B, E]`, each a continuation of the start at the same position.
    fn observations(
        &self,
        model: &WorldModel,
        embeddings: &Embeddings,
        e: &Tensor<2>,
        starts: &[(usize, usize)],
    ) -> Vec<Observation> {
        let (spec, device) = (&self.dataset.spec, self.inner());
        let e_reference = embeddings.gather(starts, &device);
        let mut observations: Vec<Observation> = self
            .state_rows(e)
            .into_iter()
            .zip(starts)
            .map(|(state, &(track, _))| self.blind_observation(track, &state))
            .collect();
        for (c, camera) in spec.cameras.iter().enumerate() {
            let size = camera.model_size;
            let frames = starts.iter().map(|&(track, t)| self.dataset.frame(c, self.corpus.tracks[track].episode, t));
            let reference = to_blocks(frames, size, &device);
            let painted = model.representation.decode(c, e.clone(), e_reference.clone(), reference);
            for (observation, rgb) in observations.iter_mut().zip(to_frames(painted, size)) {
                observation.images.insert(camera.key.clone(), Camera { height: size, width: size, rgb });
            }
        }
        observations
    }

    /// Raw actions of every row as a list of normalised `[B, A]`, a step each.
    fn chunk(&self, name: &str, replies: &[Reply]) -> Result<Vec<Tensor<2>>> {
        let (own, all, device) = (self.dataset.spec.action_len(), self.corpus.action_len, self.inner());
        let horizon = replies.first().map_or(0, |reply| reply.horizon);
        if let Some(reply) = replies.iter().find(|reply| reply.action_len != own || reply.horizon != horizon) {
            return Err(UsageError(format!(
                "policy '{name}' answers {} actions of {} numbers; expected {horizon} of {own}, as its first answer and the robot \
                 of this run have",
                reply.horizon, reply.action_len
            ))
            .into());
        }
        let rows: Vec<Vec<f32>> = replies.iter().map(|reply| self.normalised_actions(&reply.actions)).collect();
        let step = |k: usize| {
            let values: Vec<f32> = rows.iter().flat_map(|row| &row[k * all..(k + 1) * all]).copied().collect();
            Tensor::from_data(TensorData::new(values, [replies.len(), all]), &device)
        };
        Ok((0..horizon).map(step).collect())
    }
}
