//! `rehearsal trial`: the hardware stage. A plan of real trials of one policy against another, and what their results say.
//!
//! The plan is made once, before the first trial: the order and the predictions must not know the outcomes. Reading results needs
//! the plan alone, neither model nor data.

mod plan;
mod results;

use std::path::Path;

use anyhow::Result;
use rl::evaluate::{self, PerStart};
use rl::trials::{ALPHA, Imagined, order};
use world_model::agreement::mean;

use super::outsider::Outsider;
use super::reopen;
use super::selecting::Selected;
use super::variant::Variant;
use super::workshop::Workshop;
use crate::args::Common;
use crate::errors::UsageError;
use crate::interrupt;
use crate::output;
use crate::run_dir::{write_atomic, write_error, write_json_atomic};
use plan::{FORMAT, MOST_PAIRS, NeededRow, Pair, Plan, Score, Start};

/// Where the plan lies in a run directory.
const DIR: &str = "trials";

/// What may replace what.
pub struct Replacing<'a> {
    /// On the robot.
    pub from: &'a str,
    /// To take its place; without a name what left `improve`.
    pub to: Option<&'a str>,
    /// Policies from elsewhere that these may name.
    pub outsiders: &'a [String],
}

/// Plans trials, or reads their results.
///
/// # Errors
/// A run without world model or without one of the policies; results that do not fit the plan; an unwritable directory; Ctrl-C.
pub fn trial(run: &Path, replacing: &Replacing<'_>, results: Option<&Path>, common: &Common) -> Result<()> {
    let dir = common.out.clone().unwrap_or_else(|| run.join(DIR));
    if let Some(file) = results {
        // A plan made elsewhere lies beside its table.
        let beside = file.parent().filter(|dir| dir.join(plan::FILE).is_file() && common.out.is_none());
        let read = results::read(&Plan::load(beside.unwrap_or(&dir), run)?, file)?;
        if common.json {
            return output::answer_json(&read);
        }
        output::answer(&read.words());
        return Ok(());
    }
    let outsiders = Outsider::all(replacing.outsiders)?;
    let is_outside = |name: &str| outsiders.iter().any(|outsider| outsider.name == name);
    // As `evaluate` writes it.
    let canonical = |option: &str, name: &str| match is_outside(name) {
        true => Ok(name.to_owned()),
        false => name
            .parse::<Variant>()
            .map(|variant| variant.to_string())
            .map_err(|why| UsageError(format!("{option} {name}: {why}; or give it with --policy {name}=WHAT"))),
    };
    let to = replacing.to.unwrap_or_else(|| Selected::leaves(run));
    let (from, to) = (canonical("--from", replacing.from)?, canonical("--to", to)?);
    if from == to {
        return Err(UsageError(format!("--from and --to are both {from}; expected two policies")).into());
    }
    for (option, name) in [("--from", &from), ("--to", &to)] {
        if outsiders.iter().any(|outsider| outsider.name == *name && outsider.is_recorded()) {
            return Err(UsageError(format!(
                "{option} {name}: '{name}' replays recorded actions, which no robot can be asked for; expected two policies that act"
            ))
            .into());
        }
    }
    let (outside, names): (Vec<String>, Vec<String>) =
        [from.clone(), to.clone()].into_iter().partition(|n| is_outside(n));
    let asked: Vec<Outsider> = outsiders.iter().filter(|o| outside.contains(&o.name)).cloned().collect();
    let file = dir.join(plan::RESULTS);
    if plan::is_begun(&file) {
        return Err(UsageError(format!(
            "{} has results, so its plan stays as it is; read them with `rehearsal trial {} --results {}`, or plan anew elsewhere with --out DIR",
            file.display(),
            run.display(),
            file.display()
        ))
        .into());
    }
    let mut w = reopen(run, common)?;
    interrupt::install(interrupt::WHOLE_OR_NOT)?;
    let plan = w.plan_trials((&from, &to), &names, &asked, common.seed)?;
    std::fs::create_dir_all(&dir).map_err(|e| write_error(&dir, &e))?;
    let words = plan.words(run, &file, &w.dataset.spec.source);
    // The table last: where it lies, the plan does.
    write_json_atomic(&dir.join(plan::FILE), &plan)?;
    write_atomic(&dir.join("plan.md"), words.as_bytes())?;
    write_atomic(&file, plan.template().as_bytes())?;
    if common.json {
        return output::answer_json(&plan);
    }
    output::answer(&words);
    output::tell(&format!("plan       {}\nfill in    {}", dir.join("plan.md").display(), file.display()));
    Ok(())
}

impl Workshop {
    /// Imagines both policies from the held-out starts and plans their trials.
    fn plan_trials(
        &mut self,
        (from, to): (&str, &str),
        names: &[String],
        outsiders: &[Outsider],
        seed: Option<u64>,
    ) -> Result<Plan> {
        let embeddings = self.embeddings()?;
        let model = self.model()?;
        // Which policy `improved` is has been decided by whatever judged the run; if nothing did, it is decided now.
        if self.selected.is_none() {
            let quality = self.quality(&model, &embeddings);
            self.select(&model, &embeddings, &quality)?;
        }
        let mut guests = outsiders.iter().map(|outsider| self.invite(outsider)).collect::<Result<Vec<_>>>()?;
        let judged = self.imagine_all(&model, &embeddings, names, &mut guests)?;
        // One outcome per start, in their order.
        let of = |name: &str| judged.iter().find(|j| j.name == name && j.at.is_none()).map(|j| &j.imagined);
        let (Some(old), Some(new)) = (of(from), of(to)) else {
            return Err(UsageError(format!("{from} and {to} could not be imagined both")).into());
        };
        // `improved` is the clone where nothing better was found: the same from every start under the same noise.
        if old.value == new.value {
            return Err(UsageError(format!(
                "{to} does what {from} does, whatever the start; expected two policies that differ (the copy that `improve` did not return is called candidate)"
            ))
            .into());
        }
        let starts = evaluate::starts(&self.corpus, self.config.evaluate.starts);
        let score = |of: &PerStart, i: usize| Score {
            success: f64::from(of.success[i]).clamp(0.0, 1.0),
            return_: f64::from(of.value[i]),
        };
        let starts: Vec<Start> = starts
            .iter()
            .enumerate()
            .map(|(i, &(track, _))| Start {
                episode: self.dataset.episodes[self.corpus.tracks[track].episode].index,
                from: score(old, i),
                to: score(new, i),
                unsupported_share: f64::from(new.unsupported[i]),
                believed_steps: new.believed.get(i).map(|&steps| f64::from(steps)),
            })
            .collect();
        let seed = seed.unwrap_or(self.config.seed);
        let successes = |pick: fn(&Start) -> f64| starts.iter().map(pick).collect::<Vec<f64>>();
        let (old, new) = (successes(|s| s.from.success), successes(|s| s.to.success));
        let imagined = Imagined { old: &old, new: &new };
        let gain = mean(imagined.gains().into_iter());
        let needed = [1.0, 0.5].map(|share| NeededRow {
            success_gain: share * gain,
            without_model: imagined.needed(share, false, MOST_PAIRS, seed),
            with_model: imagined.needed(share, true, MOST_PAIRS, seed),
        });
        let pair = |drawn: rl::trials::Drawn| Pair {
            start: starts[drawn.start].episode,
            first: if drawn.is_new_first { to } else { from }.to_owned(),
        };
        Ok(Plan {
            format_version: FORMAT,
            pairs: order(starts.len(), MOST_PAIRS, seed).into_iter().map(pair).collect(),
            look_first: plan::look_first(&starts),
            held_out: !self.corpus.held_out.is_empty(),
            alpha: ALPHA,
            needed: needed.to_vec(),
            config_hash: self.run.manifest().config_hash.clone(),
            seed,
            starts,
            from: from.to_owned(),
            to: to.to_owned(),
        })
    }
}
