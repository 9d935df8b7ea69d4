//! What was improved, where, by how much, what is uncertain and what to try first on the robot; and what each estimator says.

use std::collections::BTreeMap;
use std::fmt::Write;

use rl::selection::Kept;
use serde::{Deserialize, Serialize};

use super::markdown::{between, held_out_starts, number_in, points};
use super::{Difference, Estimators, Report};

/// What left `improve`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Improvement {
    /// The improved policy, or the cloned one where the evidence is weak.
    pub kept: Kept,
    /// Why, one sentence.
    pub why: String,
    /// Name of the policy that went in: `cloned`, or `previous` where a run goes on from another one.
    #[serde(default = "cloned")]
    pub over: String,
    /// Whether a model that is to be believed says that the best copy is worse.
    #[serde(default)]
    pub is_worse: bool,
    /// The best copy beside the one that went in.
    #[serde(flatten)]
    pub gained: Gained,
    /// Which copy that is; `None` where none was better beyond doubt while improving.
    #[serde(default)]
    pub chosen: Option<Chosen>,
    /// Whether what leaves plans at run time; `None` where nobody asked.
    #[serde(default)]
    pub planning: Option<Planning>,
}

impl Improvement {
    /// Name of the policy that leaves `improve`, as `serve` takes it.
    pub fn leaves(&self) -> &'static str {
        match &self.planning {
            Some(planning) if planning.is_chosen => "planned",
            _ => "improved",
        }
    }

    /// The policy that went in, in the words of a sentence.
    pub(super) fn old(&self) -> &'static str {
        if self.over == "previous" { "the previous policy" } else { "the clone" }
    }
}

/// What went into runs that did not write it down.
fn cloned() -> String {
    "cloned".to_owned()
}

/// The copy that was chosen, by starts of training episodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// Which of the copies, from 0.
    pub copy: usize,
    /// How many there were.
    pub copies: usize,
    /// After how many of its updates.
    pub update: usize,
    /// What set it apart, by configuration key.
    pub coefficients: BTreeMap<String, f32>,
}

/// Planning at run time, with the policy that was returned as its prior.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planning {
    /// Whether the evidence is for it.
    pub is_chosen: bool,
    /// Why, one sentence.
    pub why: String,
    /// The policy that it was compared with, acting alone: `improved`, `cloned` or `previous`.
    pub over: String,
    /// Milliseconds until an answer on the machine of the run, the least of several.
    pub answer_ms: f64,
    /// Milliseconds that the actions of an answer take on the robot; `None` where its control rate is unknown.
    pub available_ms: Option<f64>,
    /// The planned policy beside that one.
    #[serde(flatten)]
    pub gained: Gained,
}

/// A policy beside the one that it would replace, from held-out starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gained {
    /// Held-out starts, which neither training nor the choice among copies has seen.
    pub starts: usize,
    /// Paired gain in return, by estimator.
    pub gains: Gains,
    /// Paired gain in imagined success, -1 to 1.
    pub success: Difference,
    /// Share of the starts from which it is imagined better.
    pub better: f64,
    /// Share of the starts from which it is imagined worse.
    pub worse: f64,
    /// Starts with the largest imagined gain, the largest first.
    pub largest_gains: Vec<EpisodeGain>,
    /// Starts with the largest imagined loss, the largest first.
    pub largest_losses: Vec<EpisodeGain>,
    /// Share of its imagined steps that disagree more than 95 % of held-out data.
    pub unsupported_share: f64,
    /// Steps that are imagined within the trust horizon, mean; `None` where that cannot be told.
    pub believed_steps: Option<f64>,
}

/// A gain by every estimator that has something to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gains {
    /// In imagination.
    pub imagined: Difference,
    /// By fitted Q evaluation.
    #[serde(alias = "fqe")]
    pub fitted_q: Option<Difference>,
    /// By the doubly robust estimate.
    pub doubly_robust: Option<Difference>,
}

/// A start, by the episode it was recorded in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpisodeGain {
    /// Index in the dataset.
    pub episode: usize,
    /// Imagined gain in return.
    pub gain: f64,
}

/// Share of starts imagined worse above which they are worth a warning.
const MANY: f64 = 0.2;

/// A gain by the name of who estimated it.
pub(super) type ByEstimator = Vec<(&'static str, Option<Difference>)>;

pub(super) fn write(report: &Report, out: &mut String) -> std::fmt::Result {
    let Some(i) = &report.improvement else { return Ok(()) };
    writeln!(out, "{}\n\n{}\n", heading(i), i.why)?;
    table(i, out)?;
    list(i, out)?;
    i.planning.as_ref().map_or(Ok(()), |planning| {
        writeln!(out, "### Planning at run time\n\n{}\n", planning.why)?;
        planning_table(planning, out)?;
        planning_list(planning, out)
    })
}

pub(super) fn heading(i: &Improvement) -> String {
    let plans = if i.leaves() == "planned" { ", planning at run time" } else { "" };
    let policy = match i.kept {
        Kept::Improved => "the improved policy".to_owned(),
        Kept::Cloned if plans.is_empty() => format!("the {} policy, unchanged", i.over),
        Kept::Cloned => format!("the {} policy", i.over),
    };
    format!("## What leaves `improve`: {policy}{plans}")
}

/// Every estimator's gain of the copy.
pub(super) fn table(i: &Improvement, out: &mut String) -> std::fmt::Result {
    let starts = held_out_starts(i.gained.starts);
    writeln!(out, "Paired gain in return of the best copy over {}, {starts}:\n", i.old())?;
    rows(&gains(&i.gained), out)
}

/// Every estimator's gain of planning.
pub(super) fn planning_table(planning: &Planning, out: &mut String) -> std::fmt::Result {
    let (over, starts) = (&planning.over, held_out_starts(planning.gained.starts));
    writeln!(out, "Paired gain in return of planning over the {over} policy by itself, {starts}:\n")?;
    rows(&planning_gains(planning), out)
}

fn rows(gains: &ByEstimator, out: &mut String) -> std::fmt::Result {
    writeln!(out, "| estimator | gain | says |\n|---|---|---|")?;
    for (name, gain) in gains {
        let row =
            gain.map_or("none | nothing: too few recorded episodes resemble it, or it was not asked".to_owned(), |g| {
                let says = match g.ci95 {
                    [low, _] if low > 0.0 => "better",
                    [_, high] if high < 0.0 => "worse",
                    _ => "cannot be told from zero",
                };
                format!("{:+.3} {} | {says}", g.mean, between(g.ci95, |x| format!("{x:+.3}")))
            });
        writeln!(out, "| {name} | {row} |")?;
    }
    writeln!(out)
}

/// The rest about the copy, a point each.
pub(super) fn list(i: &Improvement, out: &mut String) -> std::fmt::Result {
    let mut lines = about(&i.gained, &gains(&i.gained));
    lines.extend(i.chosen.as_ref().map(which));
    match i.kept {
        Kept::Improved => lines.push(test_first(&i.gained, i.old())),
        // Where it plans, there is something new.
        Kept::Cloned if i.leaves() == "planned" => {}
        Kept::Cloned => lines.push(NOTHING_NEW.to_owned()),
    }
    points_of(&lines, out)
}

/// The same about planning.
pub(super) fn planning_list(planning: &Planning, out: &mut String) -> std::fmt::Result {
    let Planning { over, answer_ms, available_ms, gained, .. } = planning;
    let mut lines = about(gained, &planning_gains(planning));
    let available = available_ms.map_or(String::new(), |ms| format!("; its executed actions take {ms:.0} ms"));
    lines.push(format!("Pace: a plan takes {answer_ms:.0} ms on the machine of this run{available}."));
    if planning.is_chosen {
        lines.push(test_first(gained, &format!("the {over} policy (`serve --policy {over}`)")));
    }
    points_of(&lines, out)
}

/// Which copy was chosen, and by what.
fn which(chosen: &Chosen) -> String {
    let Chosen { copy, copies, update, coefficients } = chosen;
    let of = if *copies > 1 { format!(" of copy {} of {copies}", copy + 1) } else { String::new() };
    let each: Vec<String> = coefficients.iter().map(|(key, value)| format!("{key} = {value:.2}")).collect();
    format!(
        "Which copy: the one after update {update}{of}, with {}; chosen by imagination from starts of training episodes.",
        each.join(", ")
    )
}

fn points_of(lines: &[String], out: &mut String) -> std::fmt::Result {
    lines.iter().try_for_each(|line| writeln!(out, "- {line}"))?;
    writeln!(out)
}

/// Every estimator's gain.
pub(super) fn gains(gained: &Gained) -> ByEstimator {
    let g = &gained.gains;
    vec![("imagined", Some(g.imagined)), ("fitted Q", g.fitted_q), ("doubly robust", g.doubly_robust)]
}

/// Recorded steps alone are never asked about a policy that plans.
pub(super) fn planning_gains(planning: &Planning) -> ByEstimator {
    gains(&planning.gained).into_iter().filter(|(name, _)| *name != "fitted Q").collect()
}

const NOTHING_NEW: &str = "Test first on the robot: nothing new, the policy is the one that went in. More episodes, or better labels, before improving again.";

fn named(starts: &[EpisodeGain]) -> String {
    let each: Vec<String> = starts.iter().map(|s| format!("{} ({:+.2})", s.episode, s.gain)).collect();
    if each.is_empty() { "none".to_owned() } else { format!("episode {}", each.join(", ")) }
}

/// How much, where, and what is uncertain.
fn about(gained: &Gained, gains: &ByEstimator) -> Vec<String> {
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let mut lines = vec![
        format!("How much: success {} in imagination, beside the returns above.", points(&gained.success)),
        format!(
            "On which states: imagined better from {} of the starts and worse from {}. Largest gains: {}. Largest losses: {}.",
            percent(gained.better),
            percent(gained.worse),
            named(&gained.largest_gains),
            named(&gained.largest_losses)
        ),
    ];
    let mut doubts = Vec::new();
    for (name, gain) in gains {
        match gain {
            None => doubts.push(format!("{name} has nothing to say")),
            Some(g) if g.ci95[0] <= 0.0 => doubts.push(format!("{name} does not confirm it")),
            Some(_) => {}
        }
    }
    doubts.push(format!("{} of the steps imagined for it are unsupported", percent(gained.unsupported_share)));
    if let Some(steps) = gained.believed_steps {
        doubts.push(format!("its futures stay within the trust horizon for {steps:.0} steps on average"));
    }
    if gained.worse > MANY {
        doubts.push("it is not better everywhere".to_owned());
    }
    lines.push(format!("What is uncertain: {}.", doubts.join("; ")));
    lines
}

/// Where to begin with something new.
fn test_first(gained: &Gained, beside: &str) -> String {
    match gained.largest_losses.first().or(gained.largest_gains.last()) {
        Some(first) => format!(
            "Test first on the robot: the start of episode {} where it is imagined {}, then the start of {} where it gains most; one trial each beside {beside}, before any longer series.",
            first.episode,
            if first.gain < 0.0 { "worse" } else { "to gain least of those named" },
            named(gained.largest_gains.get(..1).unwrap_or_default())
        ),
        None => NOTHING_NEW.to_owned(),
    }
}

/// The estimators side by side.
pub(super) fn estimators(report: &Report, out: &mut String) -> std::fmt::Result {
    let rows: Vec<(&str, &Estimators)> = report
        .policies
        .iter()
        .filter(|p| p.estimators.fitted_q.is_some() || p.estimators.doubly_robust.is_some())
        .map(|p| (p.name.as_str(), &p.estimators))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "Return by several estimators. Imagined: rollouts of the world model. Believed: these as far as they may be believed, and from there \
         on what going on as recorded is worth. Doubly robust: imagined, corrected by what was recorded of the \
         held-out episodes that were imagined to come out alike; in brackets, how many episodes carry the correction. Fitted Q: recorded \
         steps alone, without the world model.\n"
    )?;
    writeln!(out, "| policy | imagined | believed | doubly robust | fitted Q |\n|---|---|---|---|---|")?;
    for (name, e) in rows {
        let cell =
            |x: Option<super::EstimatedReturn>| x.map_or("nothing".to_owned(), |x| number_in(x.return_, x.return_ci95));
        let carried = e.effective_episodes.map_or(String::new(), |n| format!(" ({n:.0})"));
        let [imagined, believed, robust, fitted] = [e.imagined, e.believed, e.doubly_robust, e.fitted_q].map(cell);
        writeln!(out, "| {name} | {imagined} | {believed} | {robust}{carried} | {fitted} |")?;
    }
    writeln!(out)
}
