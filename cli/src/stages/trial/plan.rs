//! The plan of real trials: `plan.json` for programs, `plan.md` for people, `trials.csv` to fill in.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use rl::trials::Needed;
use serde::{Deserialize, Serialize};
use world_model::agreement::mean;

use crate::errors::UsageError;
use crate::run_dir::RunDir;
use crate::table::Table;

/// The plan.
pub const FILE: &str = "plan.json";

/// The table to fill in.
pub const RESULTS: &str = "trials.csv";

/// Version of [`FILE`].
pub const FORMAT: u32 = 1;

/// Pairs of trials that are planned; more than these nobody makes.
pub const MOST_PAIRS: usize = 200;

/// Starts that are looked at first, for each reason.
const LOOKED_AT: usize = 3;

/// Pairs shown in `plan.md`.
const SHOWN: usize = 10;

/// The content of `plan.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of this file.
    pub format_version: u32,
    /// Policy that is on the robot.
    pub from: String,
    /// Policy that may replace it.
    pub to: String,
    /// The run it was made of, by the hash of its configuration.
    #[serde(default)]
    pub config_hash: String,
    /// Seed of the order.
    pub seed: u64,
    /// Error probability of GO, of NO-GO and of every interval.
    pub alpha: f64,
    /// The starts are of episodes that nothing was learned from.
    pub held_out: bool,
    /// What was imagined, per start.
    pub starts: Vec<Start>,
    /// Pairs of trials in their order.
    pub pairs: Vec<Pair>,
    /// How many pairs it takes, if all or half of the imagined gain is real.
    pub needed: Vec<NeededRow>,
    /// What to look at before the first trial that counts.
    pub look_first: Vec<Look>,
}

/// What was imagined of one start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Episode whose first observation it is, by its index in the dataset.
    pub episode: usize,
    /// Of the policy that is on the robot.
    pub from: Score,
    /// Of the one that may replace it.
    pub to: Score,
    /// Share of the latter's imagined steps that disagree more than 95 % of held-out data.
    pub unsupported_share: f64,
    /// Its imagined steps within the trust horizon; `None` where that cannot be told.
    pub believed_steps: Option<f64>,
}

/// An imagined outcome.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// Probability of success.
    pub success: f64,
    /// Discounted return.
    #[serde(rename = "return")]
    pub return_: f64,
}

/// Two trials from one start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Episode whose first observation is set up.
    pub start: usize,
    /// Policy that goes first.
    pub first: String,
}

/// Pairs of trials to a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeededRow {
    /// If this is the true gain in success, -1 to 1.
    pub success_gain: f64,
    /// By the outcomes alone.
    pub without_model: Needed,
    /// With what was imagined as a control variate.
    pub with_model: Needed,
}

/// A start to look at first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Look {
    /// Episode whose first observation it is.
    pub episode: usize,
    /// Why.
    pub why: String,
}

/// Whether somebody has filled in anything; a file that cannot be read may be precious.
pub fn is_begun(file: &Path) -> bool {
    file.exists()
        && Table::read(file, &["trial"]).map_or(true, |table| {
            table.rows().any(|row| !row.get("success").is_empty() || !row.get("return").is_empty())
        })
}

/// Where the new policy is imagined to lose most (or to gain least), and where imagination is least sure of it.
pub fn look_first(starts: &[Start]) -> Vec<Look> {
    let mut by_gain: Vec<&Start> = starts.iter().collect();
    let gain = |s: &Start| s.to.return_ - s.from.return_;
    by_gain.sort_by(|a, b| gain(a).total_cmp(&gain(b)));
    let mut by_doubt: Vec<&Start> = starts.iter().filter(|s| s.unsupported_share > 0.0).collect();
    let believed = |s: &Start| s.believed_steps.unwrap_or(f64::INFINITY);
    by_doubt
        .sort_by(|a, b| b.unsupported_share.total_cmp(&a.unsupported_share).then(believed(a).total_cmp(&believed(b))));
    let mut looks: Vec<Look> = Vec::new();
    for start in by_gain.into_iter().take(LOOKED_AT) {
        let what = if gain(start) < 0.0 { "imagined worse" } else { "imagined to gain least" };
        let why = format!("{what}, return {:+.3}", gain(start));
        looks.push(Look { episode: start.episode, why });
    }
    for start in by_doubt.into_iter().take(LOOKED_AT) {
        let why = format!("{:.0} % of its imagined steps are unsupported", 100.0 * start.unsupported_share);
        match looks.iter_mut().find(|look| look.episode == start.episode) {
            Some(look) => look.why = format!("{}; {why}", look.why),
            None => looks.push(Look { episode: start.episode, why }),
        }
    }
    looks
}

impl Plan {
    /// Reads the plan in `dir`, made of the run `run`.
    ///
    /// # Errors
    /// There is none, or not as this version writes it.
    pub fn load(dir: &Path, run: &Path) -> Result<Self> {
        let file = dir.join(FILE);
        let text = std::fs::read(&file).map_err(|e| {
            UsageError(format!(
                "cannot read {} ({e}); results are read by their plan: make one first with `rehearsal trial {}`",
                file.display(),
                run.display()
            ))
        })?;
        let plan: Self = serde_json::from_slice(&text).with_context(|| format!("{} is damaged", file.display()))?;
        if plan.format_version != FORMAT || plan.starts.is_empty() {
            return Err(UsageError(format!(
                "{} has the format {} and {} starts; expected the format {FORMAT}, and some",
                file.display(),
                plan.format_version,
                plan.starts.len()
            ))
            .into());
        }
        // A run that has gone since says nothing against its plan.
        let known = RunDir::read_manifest(run).ok().map(|manifest| manifest.config_hash);
        if known.is_some_and(|known| !plan.config_hash.is_empty() && known != plan.config_hash) {
            return Err(UsageError(format!(
                "{} was made of another run than {}; expected the run that was named when the trials were planned",
                file.display(),
                run.display()
            ))
            .into());
        }
        Ok(plan)
    }

    /// The policy of a trial, numbered from 1.
    pub fn policy_of(&self, trial: usize) -> Option<(&Pair, &str)> {
        let pair = self.pairs.get(trial.checked_sub(1)? / 2)?;
        let second = if pair.first == self.to { &self.from } else { &self.to };
        Some((pair, if trial % 2 == 1 { &pair.first } else { second }))
    }

    /// `trials.csv`, with nothing filled in.
    pub fn template(&self) -> String {
        let mut out = "trial,start,policy,success,return\n".to_owned();
        for trial in 1..=2 * self.pairs.len() {
            if let Some((pair, policy)) = self.policy_of(trial) {
                // Writing to a String cannot fail.
                let _ = writeln!(out, "{trial},{},{policy},,", pair.start);
            }
        }
        out
    }

    /// `plan.md`.
    pub fn words(&self, run: &Path, results: &Path, source: &str) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(run, results, source, &mut out);
        out
    }

    fn write(&self, run: &Path, results: &Path, source: &str, out: &mut String) -> std::fmt::Result {
        let (from, to) = (&self.from, &self.to);
        let percent = |pick: fn(&Start) -> f64| 100.0 * mean(self.starts.iter().map(pick));
        let kind = if self.held_out { "held-out" } else { "training (nothing is held out)" };
        writeln!(out, "# Trials of {to} in place of {from}\n")?;
        writeln!(
            out,
            "From {} {kind} starts, success is imagined {:.0} % for {from} and {:.0} % for {to}. Trials come in pairs: both policies \
             from the same start.\n",
            self.starts.len(),
            percent(|s| s.from.success),
            percent(|s| s.to.success)
        )?;
        writeln!(out, "## How many\n")?;
        writeln!(
            out,
            "Pairs of trials to a verdict, in half of the series and in four of five (simulated; at most {MOST_PAIRS}):\n"
        )?;
        writeln!(out, "| true gain in success | by the trials alone | helped by imagination |\n|---|---|---|")?;
        for row in &self.needed {
            let cell = |n: &Needed| format!("{}, {}", count(n.half), count(n.four_of_five));
            let gain = 100.0 * row.success_gain;
            writeln!(out, "| {gain:+.0} points | {} | {} |", cell(&row.without_model), cell(&row.with_model))?;
        }
        writeln!(
            out,
            "\nThe first line takes imagination at its word, the second believes half of it. Imagination helps where it knows from which \
             starts a policy succeeds; where it is wrong it costs some trials, never the validity.\n"
        )?;
        writeln!(out, "## Look at first\n")?;
        writeln!(
            out,
            "For safety, before the first trial that counts: {to} alone, from each of these starts, with a hand on the stop. They were \
             not drawn at random, so they go into no table.\n"
        )?;
        self.look_first.iter().try_for_each(|look| writeln!(out, "- episode {}: {}", look.episode, look.why))?;
        let episodes: Vec<String> = self.look_first.iter().map(|look| look.episode.to_string()).collect();
        writeln!(
            out,
            "\nWhat a start looks like: `rehearsal inspect {source} --rrd starts.rrd --episodes {}`.\n",
            episodes.join(",")
        )?;
        writeln!(out, "## Then, in this order\n")?;
        writeln!(out, "| pair | start: first observation of episode | first | second |\n|---|---|---|---|")?;
        for (i, pair) in self.pairs.iter().take(SHOWN).enumerate() {
            let second = if pair.first == *to { from } else { to };
            writeln!(out, "| {} | {} | {} | {second} |", i + 1, pair.start, pair.first)?;
        }
        writeln!(out, "\nAnd so on in {}, which holds {} pairs.\n", results.display(), self.pairs.len())?;
        writeln!(out, "- Set up the start, run the first policy, set it up again, run the second.")?;
        writeln!(
            out,
            "- Write 1 for a success and 0 for none into the column `success`; `return` may stay empty. Leave blank what has not been done."
        )?;
        writeln!(
            out,
            "- Keep the order. A start was drawn anew for every pair, so it may come again, and none may be left out for how it went. A trial that something else ended (a cable, a person) is repeated and written once."
        )?;
        writeln!(
            out,
            "- After any number of trials: `rehearsal trial {} --results {}`. Its intervals and its verdict hold however often you look; stop when there is one.",
            run.display(),
            results.display()
        )
    }
}

fn count(pairs: Option<usize>) -> String {
    pairs.map_or(format!("more than {MOST_PAIRS}"), |n| n.to_string())
}

#[cfg(test)]
pub mod tests;
