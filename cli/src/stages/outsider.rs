//! Policies from elsewhere, judged beside the run's own: the world model plays the robot.
//!
//! Whatever speaks the openpi protocol is asked in pictures and numbers, and so is the bundle of another run; what they are shown is
//! painted from the embedding, a little softer than a camera's pictures. A small network is given the state, read off the embedding.
//! Action sequences of a dataset are replayed without looking. A policy that `--policies` knows may stand there under another name.

mod asking;
mod network;
mod sequences;
mod weights;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result};
use asking::Own;
use burn::tensor::Tensor;
use network::Network;
use rand::rngs::StdRng;
use rl::evaluate::{self, Belief, EvaluateConfig};
use sequences::Sequences;
use world_model::{Embeddings, WorldModel};

use super::judge::{FEW_STARTS, Judged};
use super::variant::Variant;
use super::workshop::Workshop;
use crate::errors::UsageError;

/// A policy that this run does not know, by a name for the report.
#[derive(Clone, Debug, PartialEq)]
pub struct Outsider {
    /// In the report.
    pub name: String,
    who: Who,
}

#[derive(Clone, Debug, PartialEq)]
enum Who {
    /// One that needs nothing from elsewhere, such as `hold`.
    Variant(Variant),
    /// `ws://host:port`.
    Server(String),
    /// A bundle or a run directory, and which of its policies.
    Bundle(PathBuf, Option<String>),
    /// A dataset, whose actions are replayed.
    Dataset(PathBuf),
    /// Weights of a small network, `.safetensors` or `.npz`.
    Network(PathBuf),
}

impl Who {
    fn of(what: &str) -> Self {
        let path = PathBuf::from(what);
        if let Ok(variant) = what.parse::<Variant>()
            && !path.exists()
        {
            return Self::Variant(variant);
        }
        let ending = path.extension().map(|ending| ending.to_ascii_lowercase().to_string_lossy().into_owned());
        match (ending.as_deref(), what.split_once('#')) {
            _ if what.starts_with("ws://") => Self::Server(what.to_owned()),
            _ if what.starts_with("hub:") => Self::Dataset(path),
            (Some("safetensors" | "npz"), _) => Self::Network(path),
            (Some(ending), _) if HDF5.contains(&ending) => Self::Dataset(path),
            _ if is_dataset(&path) => Self::Dataset(path),
            (_, Some((dir, policy))) => Self::Bundle(dir.into(), Some(policy.to_owned())),
            (_, None) => Self::Bundle(path, None),
        }
    }
}

/// Endings of HDF5 files.
const HDF5: [&str; 3] = ["hdf5", "h5", "hdf"];

/// Whether a directory holds recorded episodes: LeRobot's metadata, or HDF5 files.
fn is_dataset(dir: &Path) -> bool {
    let is_hdf5 = |path: PathBuf| path.extension().is_some_and(|ending| HDF5.iter().any(|h| ending == *h));
    let has_hdf5 = || std::fs::read_dir(dir).is_ok_and(|entries| entries.flatten().any(|entry| is_hdf5(entry.path())));
    dir.join("meta/info.json").is_file() || has_hdf5()
}

impl Outsider {
    /// Whether it is recorded actions, which answer nobody.
    pub fn is_recorded(&self) -> bool {
        matches!(self.who, Who::Dataset(_))
    }

    /// Finds out whether a server answers, before anything else takes time.
    ///
    /// # Errors
    /// It does not: told with the policy's name.
    pub fn reach(&self) -> Result<()> {
        match &self.who {
            Who::Server(address) => {
                asking::connect(address).map(drop).with_context(|| format!("policy '{}'", self.name))
            }
            _ => Ok(()),
        }
    }

    /// As they were written, each under a name of its own.
    ///
    /// # Errors
    /// One that is none; two of one name.
    pub fn all(texts: &[String]) -> Result<Vec<Self>, UsageError> {
        let all: Vec<Self> = texts.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        match (0..all.len()).find(|&i| all[..i].iter().any(|before| before.name == all[i].name)) {
            Some(i) => Err(UsageError(format!("--policy {}: two policies are called '{}'", texts[i], all[i].name))),
            None => Ok(all),
        }
    }
}

impl FromStr for Outsider {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, UsageError> {
        let expected = "expected NAME=ws://HOST:PORT for a policy server, NAME=DIR (or DIR#cloned) for a bundle or another run, \
                        NAME=DATASET for recorded actions, NAME=FILE.safetensors or .npz for a small network, or NAME=hold for whatever \
                        --policies knows";
        let Some((name, what)) = text.split_once('=').filter(|(name, what)| !name.is_empty() && !what.is_empty())
        else {
            return Err(UsageError(format!("--policy {text}: {expected}")));
        };
        if name.parse::<Variant>().is_ok() {
            return Err(UsageError(format!(
                "--policy {text}: '{name}' is a policy of the run itself; choose another name"
            )));
        }
        // It stands in tables and file names.
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
            return Err(UsageError(format!(
                "--policy {text}: '{name}' is no name; expected letters, digits, '.', '_' or '-'"
            )));
        }
        Ok(Self { name: name.to_owned(), who: Who::of(what) })
    }
}

/// An outsider that was let in: read, and found to fit the robot.
pub struct Guest {
    name: String,
    kind: Kind,
}

enum Kind {
    Variant(Variant),
    /// Reached when its turn comes.
    Server(String),
    Bundle(Box<Own>),
    Sequences(Sequences),
    Network(Network),
}

impl Workshop {
    /// Reads what a policy from elsewhere consists of; a server is reached later.
    ///
    /// # Errors
    /// It cannot be read, or is of another robot: told with its name.
    pub fn invite(&self, outsider: &Outsider) -> Result<Guest> {
        let kind = self.kind_of(&outsider.who).with_context(|| format!("policy '{}'", outsider.name))?;
        Ok(Guest { name: outsider.name.clone(), kind })
    }

    fn kind_of(&self, who: &Who) -> Result<Kind> {
        let expected = "expected a bundle, a run, a dataset, a file of weights (.safetensors, .npz), or ws://HOST:PORT";
        Ok(match who {
            Who::Variant(variant) => Kind::Variant(variant.clone()),
            Who::Server(address) => Kind::Server(address.clone()),
            Who::Bundle(dir, _) if !dir.exists() => {
                return Err(UsageError(format!("there is no {}; {expected}", dir.display())).into());
            }
            Who::Bundle(file, _) if file.is_file() => {
                return Err(UsageError(format!("{} is a file of another kind; {expected}", file.display())).into());
            }
            Who::Bundle(dir, policy) => {
                Kind::Bundle(Box::new(Own::load(dir, policy.as_deref(), self.config.seed, &self.inner())?))
            }
            Who::Dataset(path) => Kind::Sequences(self.sequences(path)?),
            Who::Network(path) => Kind::Network(self.network(path)?),
        })
    }

    /// Imagines a policy from elsewhere from the starts: those that are asked like robots once each, the others as often as the run's own;
    /// all but servers, whose time is somebody's, also under every member of the world model alone, a bundle from some starts only. Action sequences that go with one start count as one.
    ///
    /// # Errors
    /// It cannot be reached, answers with an error or with actions of another robot; Ctrl-C.
    pub fn imagine_guest(
        &self,
        world: (&WorldModel, &Embeddings),
        guest: &mut Guest,
        judged: (&EvaluateConfig, Belief<'_>),
        starts: &[(usize, usize)],
    ) -> Result<Judged> {
        let (name, (model, embeddings), device) = (guest.name.as_str(), world, self.inner());
        let (data, random) = ((&self.corpus, embeddings), (self.config.seed, &device));
        let imagined = match &mut guest.kind {
            Kind::Variant(variant) => {
                let note = Some(format!("{name}: '{variant}' under another name."));
                let imagined = self.imagine_named(model, embeddings, variant, judged.1)?;
                return Ok(Judged { note, ..Judged::new(name, imagined) });
            }
            Kind::Server(address) => self.imagine_server(world, (name, address), judged, starts)?,
            Kind::Bundle(own) => {
                let together = self.imagine_own(world, (name, own), judged, starts)?;
                let few = &starts[..starts.len().min(FEW_STARTS)];
                self.among_members(model, together, &mut |member| {
                    self.imagine_own((member, embeddings), (name, own), judged, few)
                })?
            }
            Kind::Network(network) => {
                let act = |e: &Tensor<2>, _: &mut StdRng| self.network_actions(network, e);
                let imagine = |world: &WorldModel| {
                    evaluate::imagine_policy(world, data, (&act, network.chunk()), judged, starts, random)
                };
                self.among_members(model, imagine(model), &mut |member| Ok(imagine(member)))?
            }
            Kind::Sequences(sequences) => {
                let matched = self.matched(world, (name, sequences), (judged.0.starts, starts))?;
                let played: Vec<_> =
                    matched.played.iter().map(|&(start, i)| (starts[start], sequences.actions(i))).collect();
                let imagine = |world: &WorldModel| evaluate::imagine_sequences(world, data, judged, &played, random);
                let imagined = self.among_members(model, imagine(model), &mut |member| Ok(imagine(member)))?;
                let at: Vec<usize> = matched.played.iter().map(|&(start, _)| start).collect();
                let (at, imagined) = imagined.by_start(&at);
                return Ok(Judged { at: Some(at), note: Some(matched.note), ..Judged::new(name, imagined) });
            }
        };
        Ok(Judged::new(name, imagined))
    }
}

impl Guest {
    /// Its name in the report.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The policy of the run or the script that it is; `None` for whatever is from elsewhere.
    pub fn variant(&self) -> Option<&Variant> {
        match &self.kind {
            Kind::Variant(variant) => Some(variant),
            _ => None,
        }
    }

    /// The bundle, of whom recorded steps can be asked with patience; `None` for the others.
    pub fn bundle(&self) -> Option<&Own> {
        match &self.kind {
            Kind::Bundle(own) => Some(own),
            _ => None,
        }
    }

    /// The network, of whom recorded steps can be asked cheaply; `None` for the others.
    pub fn network(&self) -> Option<&Network> {
        match &self.kind {
            Kind::Network(network) => Some(network),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_what_they_stand_for() -> Result<()> {
        let who = |text: &str| text.parse::<Outsider>().map(|outsider| outsider.who).map_err(|e| e.to_string());
        assert_eq!(who("vla=ws://robot:8000"), Ok(Who::Server("ws://robot:8000".into())));
        assert_eq!(who("old=runs/old"), Ok(Who::Bundle("runs/old".into(), None)));
        assert_eq!(who("old=runs/old#cloned"), Ok(Who::Bundle("runs/old".into(), Some("cloned".into()))));
        assert_eq!(who("net=actor.safetensors"), Ok(Who::Network("actor.safetensors".into())));
        assert_eq!(who("net=a/actor.NPZ"), Ok(Who::Network("a/actor.NPZ".into())));
        assert_eq!(who("stay=hold"), "hold".parse().map(Who::Variant).map_err(|e: UsageError| e.to_string()));
        assert_eq!(
            who("worse=improved+noise:0.5"),
            "improved+noise:0.5".parse().map(Who::Variant).map_err(|e: UsageError| e.to_string())
        );
        assert_eq!(who("log=demo.hdf5"), Ok(Who::Dataset("demo.hdf5".into())));
        assert_eq!(who("log=hub:lerobot/pusht@v3.0"), Ok(Who::Dataset("hub:lerobot/pusht@v3.0".into())));
        let dir = tempfile::tempdir()?;
        let text = format!("log={}", dir.path().display());
        assert_eq!(who(&text), Ok(Who::Bundle(dir.path().into(), None)));
        std::fs::create_dir(dir.path().join("meta"))?;
        std::fs::write(dir.path().join("meta/info.json"), "{}")?;
        assert_eq!(who(&text), Ok(Who::Dataset(dir.path().into())));
        assert!(text.parse::<Outsider>()?.is_recorded() && !"stay=hold".parse::<Outsider>()?.is_recorded());
        // Nobody listens there.
        let silent: Outsider = "vla=ws://127.0.0.1:1".parse().expect("a name and an address");
        let words =
            silent.reach().expect_err("no server").chain().map(ToString::to_string).collect::<Vec<_>>().join(": ");
        assert!(words.starts_with("policy 'vla': no policy server at ws://127.0.0.1:1"), "{words}");
        for wrong in ["vla", "=ws://robot:8000", "vla="] {
            assert!(who(wrong).is_err_and(|why| why.contains("NAME=ws://HOST:PORT")), "{wrong}");
        }
        for odd in ["a,b", "a|b", "a b", "ä", "a/b"] {
            let why = format!("--policy {odd}=x: '{odd}' is no name; expected letters, digits, '.', '_' or '-'");
            assert_eq!(who(&format!("{odd}=x")), Err(why));
        }
        let twice = Outsider::all(&["a=x", "b=y", "a=z"].map(str::to_owned)).map_err(|e| e.to_string());
        assert_eq!(twice, Err("--policy a=z: two policies are called 'a'".into()));
        assert!(who("improved=runs/old").is_err_and(|why| why.contains("choose another name")));
        Ok(())
    }
}
