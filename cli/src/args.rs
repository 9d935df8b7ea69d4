//! The command line: one verb per thing a user wants, the same few options for all of them.

mod arm;
mod choice;
mod quantity;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::PathBuf;

pub use arm::{Arm, Arms};
pub use choice::Choice;
use clap::{Args, CommandFactory, Parser, Subcommand};
use quantity::{bytes, minutes};

use crate::device;
use crate::errors::UsageError;

/// Learn from recorded robot episodes what would have happened had the robot acted otherwise; improve its policy
/// in that imagination, and judge it before the hardware moves.
#[derive(Debug, Parser)]
#[command(name = "rehearsal", version, arg_required_else_help = true, subcommand_required = true)]
#[command(
    after_help = "First steps:\n  rehearsal demo --quick                   the whole loop on an embedded simulated robot\n  rehearsal inspect DATASET                what is in a dataset, and what is broken\n  rehearsal convert FILE.hdf5 DIR          HDF5, or older LeRobot, to LeRobot v3.0\n  rehearsal run --data DATASET --out DIR   the same loop on your data\n\nDATASET is a path, or hub:OWNER/NAME@REVISION on the Hugging Face hub.\nCtrl-C writes a checkpoint; the same command continues."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// Options that every verb takes.
    #[command(flatten)]
    pub common: Common,
}

/// Options that every verb takes; a verb ignores those that have no meaning for it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options for every verb")]
pub struct Common {
    /// Where to compute: auto, cpu, wgpu, wgpu:discrete:N, cuda:N.
    #[arg(long, global = true, value_name = "DEVICE", default_value = "auto")]
    pub device: String,
    /// Where to write: the run directory of what makes or goes on with a run, which the same command continues; for evaluate a
    /// directory for a report of its own, for trial one for the plan.
    #[arg(long, global = true, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Answer as JSON on stdout.
    #[arg(long, global = true)]
    pub json: bool,
    /// Seed of everything random (short for --set seed=N).
    #[arg(long, global = true, value_name = "N")]
    pub seed: Option<u64>,
    /// Plan training for this many minutes and end well.
    #[arg(long, global = true, value_name = "M", value_parser = minutes)]
    pub minutes: Option<f64>,
    /// Override a key of the run file, e.g. --set world_model.horizon=8; repeatable.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// Dataset to learn from: a path, or hub:OWNER/NAME@REVISION on the Hugging Face hub (short for --set data.path=PATH).
    #[arg(long, global = true, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// Refuse a dataset of which anything would be left out (short for --set data.strict=true).
    #[arg(long, global = true)]
    pub strict: bool,
    /// Delete what the run directory holds and start over.
    #[arg(long, global = true)]
    pub fresh: bool,
    /// Also show training curves and recordings in a running rerun viewer while they come
    /// [default URL: rerun+http://127.0.0.1:9876/proxy].
    #[arg(long, global = true, value_name = "URL", num_args = 0..=1, require_equals = true, default_missing_value = viz::DEFAULT_ADDRESS)]
    pub rerun_connect: Option<String>,
}

impl Common {
    /// `--device` as a choice.
    ///
    /// # Errors
    /// A word that names no kind of device.
    pub fn device(&self) -> Result<device::Choice, UsageError> {
        self.device.parse()
    }

    /// Every `--set`, with `--data`, `--strict` and `--seed` written out as such.
    pub fn sets(&self) -> Vec<String> {
        let mut sets = Vec::new();
        if let Some(path) = &self.data {
            sets.push(format!("data.path={}", toml::Value::String(path.display().to_string())));
        }
        if self.strict {
            sets.push("data.strict=true".to_owned());
        }
        sets.extend(self.seed.map(|seed| format!("seed={seed}")));
        sets.extend(self.sets.iter().cloned());
        sets
    }
}

/// What rehearsal can do.
#[derive(Clone, Debug, Subcommand)]
pub enum Verb {
    /// The whole loop on an embedded simulated robot, checked against the truth: no data, no GPU, no network.
    Demo {
        /// Small enough for CI: a minute or two, and results to match: its verdict is usually ABSTAIN.
        #[arg(long)]
        quick: bool,
    },
    /// The whole loop on recorded episodes: world model, policy, values, improvement, judgement, recording.
    Run {
        /// Run file; without one the defaults are chosen from what the dataset holds.
        #[arg(value_name = "CONFIG.toml")]
        config: Option<PathBuf>,
        /// The smallest run that goes through every stage.
        #[arg(long)]
        quick: bool,
        /// Run to begin from: the same with something set otherwise (--set), which takes over every stage that the change leaves as it
        /// was; into --out, RUN-again without it. RUN stays as it is.
        #[arg(long, value_name = "RUN", conflicts_with_all = ["config", "quick"])]
        from: Option<PathBuf>,
    },
    /// What is in a dataset: features, cameras, lengths, success, and what is broken.
    Inspect {
        /// LeRobot dataset directory (v2.0, v2.1 or v3.0), HDF5 file, directory of HDF5 files, or hub:OWNER/NAME@REVISION; --data does as well.
        #[arg(required_unless_present = "data", conflicts_with = "data")]
        path: Option<PathBuf>,
        /// Also write a recording for the rerun viewer: some episodes, the inspection, charts over the whole dataset.
        #[arg(long, value_name = "FILE.rrd")]
        rrd: Option<PathBuf>,
        /// Episodes to record: few (evenly spread, a success, a failure, the shortest, the longest), all, or indices 0,3,7
        /// [default: few].
        #[arg(long, value_name = "few|all|N,N", requires = "rrd")]
        episodes: Option<Choice>,
    },
    /// Write any dataset that can be read as LeRobot v3.0, whole or not at all; what is broken is left out and named.
    Convert {
        /// LeRobot dataset directory (v2.0, v2.1 or v3.0), HDF5 file (robomimic, ALOHA, Minari, D4RL), directory of those,
        /// or hub:OWNER/NAME@REVISION.
        #[arg(value_name = "IN")]
        input: PathBuf,
        /// Dataset directory to write; must not exist without --append.
        #[arg(value_name = "OUT")]
        output: PathBuf,
        /// Add the episodes to the dataset at OUT, which convert wrote; its files with data stay as they are.
        #[arg(long)]
        append: bool,
        /// Keep cameras that were recorded as pictures as PNG or JPEG inside the data files, many times larger, instead of
        /// encoding them as H.264 video. Videos are copied as they are either way.
        #[arg(long)]
        lossless: bool,
    },
    /// One stage of training on its own, in the run directory --out.
    Train {
        /// Which stage.
        #[arg(value_enum)]
        what: Stage,
        /// Run file; without one that of the run directory, or defaults chosen from the dataset.
        #[arg(value_name = "CONFIG.toml")]
        config: Option<PathBuf>,
    },
    /// Improve the cloned policy of a run in imagination; with --more go on from a finished run with newly recorded episodes.
    Improve {
        /// Run directory with a trained world model, policy and values.
        run: PathBuf,
        /// Newly recorded episodes of the same robot, mixed half and half with the old ones: a path or a hub address. What comes of
        /// it is a run of its own (--out, RUN-more without it); RUN stays as it is.
        #[arg(long, value_name = "DATASET")]
        more: Option<PathBuf>,
        /// Per-episode labels of the new episodes, a CSV file with the columns episode and success.
        #[arg(long, value_name = "FILE.csv", requires = "more")]
        labels: Option<PathBuf>,
    },
    /// Make the improved policy of a finished run quick: a copy that answers in one pass of its network, in the bundle as 'distilled'; or
    /// planning: a network that learns from plans and answers at once, 'distilled_plan'.
    Distil {
        /// Run directory with an improved policy.
        run: PathBuf,
        /// What is copied.
        #[arg(long, value_name = "NAME", default_value = "improved")]
        policy: Teacher,
    },
    /// Fork a recorded episode: act otherwise from one step on, see and score what would have happened.
    ///
    /// Writes a recording, RUN/branches/episode_N_step_T.rrd, and where there is a camera film strips beside it (.png); with
    /// --where-it-went-wrong it writes nothing but what --write asks for.
    Branch {
        /// Run directory with a trained world model.
        run: PathBuf,
        /// Episode to fork, by its index in the dataset.
        #[arg(long, value_name = "N", required_unless_present = "where_it_went_wrong")]
        episode: Option<usize>,
        /// Step at which to fork.
        #[arg(long, value_name = "T", required_unless_present = "where_it_went_wrong")]
        step: Option<usize>,
        /// What to do instead, comma-separated: logged, cloned, improved, improved:8 (so many draws of its noise, an arm each), improved#3
        /// (the third of them), scaled:FACTOR (recorded actions, their distance to the one at T times FACTOR), hold (the action
        /// before T, held), file:PATH (a line per step: comma-separated numbers in the dataset's units, one per element of the action; the
        /// last line is held); logged is always among them [default: logged,cloned,improved,scaled:0.5,hold].
        #[arg(long, value_delimiter = ',', value_name = "ARMS")]
        arms: Option<Vec<Arms>>,
        /// Search the episode, or every failed one, for the step at which acting otherwise would have mattered most.
        #[arg(long, conflicts_with = "step")]
        where_it_went_wrong: bool,
        /// Steps to imagine.
        #[arg(long, value_name = "H", default_value_t = 20)]
        horizon: usize,
        /// Also write the alternatives as a LeRobot v3.0 dataset for other trainers, every step of it marked as imagined.
        #[arg(long, value_name = "DIR")]
        write: Option<PathBuf>,
        /// Write all imagined steps, also those beyond the trust horizon.
        #[arg(long, requires = "write")]
        beyond_trust: bool,
    },
    /// Judge policies without the robot: imagined return and success with intervals, and a verdict.
    Evaluate {
        /// Run directory with a trained world model and policies.
        run: PathBuf,
        /// Policies to judge, comma-separated; all of the run's without it. Learned: cloned; improved, which improve returned; candidate,
        /// its best copy, returned or not; last, its copy after the last update; explorer, the clone of everything where cloned is one of the best; distilled, after distil; planned, which searches anew at every step; previous, after --more; each also with
        /// +noise:S, +bias:B or +gain:G on its actions (S and B in standard deviations of the recorded actions, G a factor about their
        /// mean). Not learned: behaviour, what was recorded; logged, the recorded actions replayed without looking; hold, the first of
        /// them held; idle, always 0; mean, always the mean action; random, any within the recorded range.
        #[arg(long, value_delimiter = ',', value_name = "A,B")]
        policies: Vec<String>,
        /// A policy from elsewhere to judge beside them: NAME=ws://HOST:PORT for whatever speaks the openpi protocol (OPENPI_API_KEY
        /// is its key), NAME=DIR (or DIR#cloned: one of its policies) for a bundle or another run, NAME=DATASET for recorded actions,
        /// NAME=FILE.safetensors or .npz for a small network of the state, NAME=hold for one that --policies knows; repeatable. The world model plays the robot.
        #[arg(long = "policy", value_name = "NAME=WHAT")]
        outsiders: Vec<String>,
        /// Policies whose true outcomes are known, a CSV file with the columns policy, return (the report's: discounted, not a sum
        /// of rewards; leave it out if unsure) and success (0 to 1; one of the two is enough), and perhaps return_se (its standard error)
        /// and episodes. They are judged too: the report says how far imagination agrees, and the verdict heeds it.
        #[arg(long, value_name = "FILE.csv")]
        known: Option<PathBuf>,
    },
    /// The hardware stage: plan real trials of one policy against another, and read their results as they come.
    Trial {
        /// Run directory with a trained world model and policies.
        run: PathBuf,
        /// Policy that is on the robot: one of the run's as for evaluate --policies, changed ones too, or the NAME of a --policy.
        #[arg(long, value_name = "NAME", default_value = "cloned")]
        from: String,
        /// Policy that may replace it, named likewise; without it what left improve: improved, or planned where the report says so.
        #[arg(long, value_name = "NAME")]
        to: Option<String>,
        /// A policy from elsewhere that --from or --to names, as for evaluate; repeatable.
        #[arg(long = "policy", value_name = "NAME=WHAT")]
        outsiders: Vec<String>,
        /// Results so far: the planned trials.csv (in RUN/trials, or in --out) with successes filled in. Gives intervals and a verdict that hold however often one
        /// looks.
        #[arg(long, value_name = "FILE.csv", conflicts_with_all = ["from", "to", "outsiders"])]
        results: Option<PathBuf>,
    },
    /// Read several runs of one experiment (its seeds) as one: pooled scores, paired gain, agreement of the orders.
    Pool {
        /// Complete run directories.
        #[arg(required = true, num_args = 1.., value_name = "RUN")]
        runs: Vec<PathBuf>,
    },
    /// Open a run's recording in the rerun viewer, or say how to.
    View {
        /// Run directory, or a recording.rrd.
        run: PathBuf,
    },
    /// Serve a policy to robot clients over the openpi websocket protocol.
    Serve {
        /// Run directory, or a policy bundle.
        #[arg(value_name = "RUN_OR_BUNDLE")]
        from: PathBuf,
        /// Policy of the run: cloned, improved, candidate (the copy that improve did not return), last (the copy after the last update), explorer (the clone of everything where
        /// cloned is one of the best), distilled (after distil), or planned, which searches anew in the world model for every answer; also changed, as
        /// evaluate takes them (improved+noise:0.5; in standard deviations of the recorded actions, of gain a factor), or random, mean or idle: how
        /// much worse the robot then does says how good the judge is. Without it what left improve: improved, or planned where the report
        /// says so.
        #[arg(long, value_name = "NAME")]
        policy: Option<String>,
        /// Port to listen on.
        #[arg(long, default_value_t = 8000)]
        port: u16,
        /// Address to listen on; 0.0.0.0 admits other machines.
        #[arg(long, default_value = "127.0.0.1")]
        host: String,
        /// Key that clients must send as "Authorization: Api-Key KEY".
        #[arg(long, value_name = "KEY", env = "REHEARSAL_API_KEY", hide_env_values = true)]
        api_key: Option<String>,
    },
    /// Decoded camera frames kept between runs: what there is, and how to make it less.
    Cache {
        /// Remove a dataset's frames, or all; what a running rehearsal uses stays. They are decoded again when needed.
        #[arg(long, value_name = "DATASET|all")]
        evict: Option<String>,
        /// Remove the least recently used until the rest is below a size, e.g. 5GB.
        #[arg(long, value_name = "SIZE", value_parser = bytes)]
        keep_below: Option<u64>,
    },
    /// What works on this machine, what does not, and what to do about it.
    Doctor,
}

/// A stage that `train` runs on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Stage {
    /// The model of what happens next.
    WorldModel,
    /// The cloned policy.
    Policy,
    /// The values.
    Value,
}

/// What `distil` makes a quick copy of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Teacher {
    /// The policy that improve returned.
    Improved,
    /// Planning at run time.
    Planned,
}

/// clap's words about a wrong command `line` (without the program's name) on one line, without the `error: ` in front.
pub fn usage_words(error: &clap::Error, line: impl IntoIterator<Item = OsString>) -> String {
    let text = error.render().to_string();
    let mut words = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with("Usage:") || line.starts_with("For more information") {
            break;
        }
        let line = line.strip_prefix("error: ").unwrap_or(line);
        let line = line.strip_prefix("tip: ").unwrap_or(line);
        words.push_str(match words.chars().last() {
            None => "",
            Some(':' | ',') => " ",
            Some(_) => "; ",
        });
        words.push_str(line);
    }
    let command = Cli::command();
    let verb =
        line.into_iter().find_map(|word| command.find_subcommand(word).map(|verb| format!("{} ", verb.get_name())));
    format!("{words} (see rehearsal {}--help)", verb.unwrap_or_default())
}
