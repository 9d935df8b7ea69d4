//! Policies from elsewhere: the world model plays the robot and asks as a robot does, in pictures and numbers.
//!
//! Whatever speaks the openpi protocol can so be judged beside the run's own policies, and so can the bundle of another run.
//! What they are shown is painted from the embedding, a little softer than a camera's pictures.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Result;
use burn::tensor::{Tensor, TensorData};
use policy::{Bundle, Memory};
use rand::rngs::StdRng;
use rl::evaluate::{self, EvaluateConfig, PerStart};
use serve::{Camera, Client, Observation, Reply};
use world_model::trust::Limits;
use world_model::vision::{to_blocks, to_frames};
use world_model::{Embeddings, WorldModel, noise};

use super::serving::infer;
use super::variant::Variant;
use super::workshop::Workshop;
use crate::errors::UsageError;
use crate::progress::Progress;

/// Connections to one server: enough to keep it busy while others are on the way.
const CONNECTIONS: usize = 4;

/// Longest time an answer may take; large policies compile when they are first asked.
const PATIENCE: Duration = Duration::from_secs(120);

/// A policy that this run does not know, by a name for the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outsider {
    /// In the report.
    pub name: String,
    who: Who,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    /// `ws://host:port`.
    Server(String),
    /// A bundle or a run directory, and which of its policies.
    Bundle(PathBuf, Option<String>),
}

impl FromStr for Outsider {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, UsageError> {
        let expected =
            "expected NAME=ws://HOST:PORT for a policy server, or NAME=DIR (or DIR#cloned) for a bundle or another run";
        let Some((name, what)) = text.split_once('=').filter(|(name, what)| !name.is_empty() && !what.is_empty())
        else {
            return Err(UsageError(format!("--policy {text}: {expected}")));
        };
        if name.parse::<Variant>().is_ok() {
            return Err(UsageError(format!(
                "--policy {text}: '{name}' is a policy of the run itself; choose another name"
            )));
        }
        let who = match (what.strip_prefix("ws://"), what.split_once('#')) {
            (Some(_), _) => Who::Server(what.to_owned()),
            (None, Some((dir, policy))) => Who::Bundle(dir.into(), Some(policy.to_owned())),
            (None, None) => Who::Bundle(what.into(), None),
        };
        Ok(Self { name: name.to_owned(), who })
    }
}

/// Somebody who answers observations.
enum Asked {
    Server(Vec<Client>),
    Bundle(Box<Own>),
}

/// A bundle in this process, with what it last said to each imagined robot.
struct Own {
    bundle: Bundle,
    memories: Vec<Memory>,
    rng: Mutex<StdRng>,
}

impl Asked {
    /// Answers in the order of the observations, which are of the same robots each time and made at `now`.
    fn ask(&mut self, observations: &[Observation], now: Instant) -> Result<Vec<Reply>> {
        match self {
            Self::Bundle(own) => {
                let Own { bundle, memories, rng } = own.as_mut();
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

impl Workshop {
    fn asked(&self, outsider: &Outsider) -> Result<Asked> {
        Ok(match &outsider.who {
            Who::Server(address) => {
                let key = std::env::var("OPENPI_API_KEY").ok();
                let connect = |_| Client::connect(address, key.as_deref(), PATIENCE);
                Asked::Server((0..CONNECTIONS).map(connect).collect::<Result<_, _>>()?)
            }
            Who::Bundle(dir, policy) => {
                let dir = if dir.join("bundle").is_dir() { dir.join("bundle") } else { dir.clone() };
                let has_improved = dir.join("improved.safetensors").is_file();
                let policy = policy.as_deref().unwrap_or(if has_improved { "improved" } else { "cloned" });
                let bundle = Bundle::load(&dir, policy, &self.inner())?;
                let rng = Mutex::new(noise::generator(self.config.seed, "outsider", 0));
                Asked::Bundle(Box::new(Own { bundle, memories: Vec::new(), rng }))
            }
        })
    }

    /// Imagines a policy from elsewhere from each start, once.
    ///
    /// # Errors
    /// It cannot be reached or read, answers with an error or with actions of another robot; Ctrl-C.
    pub fn imagine_outsider(
        &self,
        model: &WorldModel,
        embeddings: &Embeddings,
        outsider: &Outsider,
        (config, limits): (&EvaluateConfig, Limits),
        starts: &[(usize, usize)],
    ) -> Result<PerStart> {
        let mut asked = self.asked(outsider)?;
        let (device, config) = (self.inner(), EvaluateConfig { samples: 1, ..*config });
        let mut progress = Progress::stage(&outsider.name, config.horizon as u64, "steps");
        let mut failed = None;
        // Imagined robots live by imagined time.
        let (began, rate_hz) = (Instant::now(), self.dataset.spec.control_rate_hz.max(1e-3));
        let actor = &mut |e: &Tensor<2>, step: usize| {
            progress.set(step as u64, "");
            let mut ask = || {
                crate::interrupt::check()?;
                let now = began + Duration::from_secs_f64(step as f64 / rate_hz);
                let replies = asked.ask(&self.observations(model, embeddings, e, starts), now)?;
                self.chunk(&outsider.name, &replies)
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
            evaluate::imagine_actor(model, data, actor, (&config, limits), starts, (self.config.seed, &device));
        progress.finish();
        failed.map_or(Ok(imagined), Err)
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
            .map(|(state, &(track, _))| {
                let vectors = spec.state.iter().map(|f| (f.key.clone(), state[f.offset..f.offset + f.len].to_vec()));
                let task = &self.dataset.episodes[self.corpus.tracks[track].episode].task;
                let prompt = Some(task.clone()).filter(|task| !task.is_empty());
                Observation { vectors: vectors.collect(), prompt, ..Observation::default() }
            })
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
        let step = |k: usize| {
            let mut values = vec![0.0; replies.len() * all];
            for (row, reply) in values.chunks_exact_mut(all).zip(replies) {
                let mut raw = reply.actions[k * own..(k + 1) * own].to_vec();
                raw.resize(all, 0.0);
                self.corpus.action_normaliser.normalise(&raw, row);
                // What only other robots have stays at its mean.
                row[own..].fill(0.0);
            }
            Tensor::from_data(TensorData::new(values, [replies.len(), all]), &device)
        };
        Ok((0..horizon).map(step).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_what_they_stand_for() {
        let who = |text: &str| text.parse::<Outsider>().map(|outsider| outsider.who).map_err(|e| e.to_string());
        assert_eq!(who("vla=ws://robot:8000"), Ok(Who::Server("ws://robot:8000".into())));
        assert_eq!(who("old=runs/old"), Ok(Who::Bundle("runs/old".into(), None)));
        assert_eq!(who("old=runs/old#cloned"), Ok(Who::Bundle("runs/old".into(), Some("cloned".into()))));
        for wrong in ["vla", "=ws://robot:8000", "vla="] {
            assert!(who(wrong).is_err_and(|why| why.contains("NAME=ws://HOST:PORT")), "{wrong}");
        }
        assert!(who("improved=runs/old").is_err_and(|why| why.contains("choose another name")));
    }
}
