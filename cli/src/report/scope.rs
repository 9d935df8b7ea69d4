//! The scope of competence: for which starts the policies' scores hold, and where the improved policy is known to be better.

use std::collections::BTreeMap;
use std::fmt::Write;

use rl::evaluate::FEWEST_STARTS;
use rl::selection::Kept;
use rl::slices::Standing;
use serde::{Deserialize, Serialize};

use super::Report;
use super::drawing::Whisker;
use super::markdown::{number_in, share};

/// What the starts of a slice have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SliceKind {
    /// Their task.
    Task,
    /// What is seen at them.
    Start,
    /// Whether the recording from there is a success.
    Outcome,
    /// How long it is.
    Length,
}

/// Held-out starts that belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SliceReport {
    /// What they have in common.
    pub kind: SliceKind,
    /// A short name.
    pub name: String,
    /// What it stands for, in words.
    pub about: String,
    /// Its centre in the units of the recording, by element: of the hints where they are recorded, else of the state.
    pub centre: BTreeMap<String, f64>,
    /// The episode whose start is nearest the centre, by its index in the dataset.
    pub example_episode: usize,
    /// All its episodes, by their index in the dataset.
    pub episodes: Vec<usize>,
    /// The policies that were imagined from one of them at least.
    pub policies: Vec<SlicePolicy>,
}

/// One policy on one slice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlicePolicy {
    /// Its name.
    pub name: String,
    /// Starts it was imagined from.
    pub starts: usize,
    /// Mean return.
    #[serde(rename = "return")]
    pub return_: f64,
    /// Its 95 % interval; `None` with fewer than [`FEWEST_STARTS`] starts, of which none means anything.
    pub return_ci95: Option<[f64; 2]>,
    /// Share of successes, 0 to 1.
    pub success: f64,
    /// Its 95 % interval, with as many starts.
    pub success_ci95: Option<[f64; 2]>,
    /// Gain in return over the clone from the same starts; `None` for the clone and where it was not judged.
    pub gain: Option<SliceGain>,
    /// What that says.
    pub standing: Option<Standing>,
}

/// A gain on a slice.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SliceGain {
    /// Mean.
    pub mean: f64,
    /// Its 95 % interval; `None` with fewer than [`FEWEST_STARTS`] starts.
    pub ci95: Option<[f64; 2]>,
}

/// Policies that nobody would drive get no column.
const NO_COLUMN: [&str; 5] = ["random", "mean", "idle", "hold", "logged"];

/// The names with a column, in the order of the report.
fn columns(report: &Report) -> Vec<&str> {
    let names = report.policies.iter().map(|p| p.name.as_str());
    names.filter(|name| !name.contains('+') && !NO_COLUMN.contains(name)).collect()
}

/// The policy whose scope matters: the one that left `improve`; where that is the clone, the best copy; `None` where neither was judged.
fn subject(report: &Report) -> Option<&'static str> {
    let name = match &report.improvement {
        Some(i) if i.kept == Kept::Cloned && i.leaves() == "improved" => "candidate",
        Some(i) => i.leaves(),
        None => "improved",
    };
    report.policies.iter().any(|p| p.name == name).then_some(name)
}

pub(super) fn write(report: &Report, out: &mut String) -> std::fmt::Result {
    if report.slices.is_empty() {
        return Ok(());
    }
    intro(out)?;
    table(report, out)?;
    writeln!(out)?;
    groups(report, out)
}

/// What is drawn and tabled.
pub(super) fn intro(out: &mut String) -> std::fmt::Result {
    writeln!(out, "## Scope\n")?;
    writeln!(
        out,
        "The held-out starts in groups: imagined success; return, with 95 % intervals where there are {FEWEST_STARTS} starts at least, each \
         for itself. The more rows, the more of them look good or bad by chance.\n"
    )
}

/// Scores by group.
pub(super) fn table(report: &Report, out: &mut String) -> std::fmt::Result {
    let names = columns(report);
    writeln!(out, "| group | starts | like episode | {} |", names.join(" | "))?;
    writeln!(out, "|---|---|---|{}", "---|".repeat(names.len()))?;
    for slice in &report.slices {
        write!(out, "| {} | {} | {} |", slice.name, slice.episodes.len(), slice.example_episode)?;
        for name in &names {
            let Some(p) = slice.policies.iter().find(|p| p.name == *name) else {
                write!(out, " - |")?;
                continue;
            };
            match (p.success_ci95, p.return_ci95) {
                (Some(success), Some(value)) => {
                    write!(out, " {}; {} |", share(p.success, success), number_in(p.return_, value))?;
                }
                _ => {
                    let starts = if p.starts == 1 { "start" } else { "starts" };
                    write!(out, " {:.0} %; {:.2} ({} {starts}) |", 100.0 * p.success, p.return_, p.starts)?;
                }
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// What the groups are, and where the improved policy is better.
pub(super) fn groups(report: &Report, out: &mut String) -> std::fmt::Result {
    report.slices.iter().try_for_each(|slice| writeln!(out, "- {}: {}.", slice.name, slice.about))?;
    for line in standing(report) {
        writeln!(out, "- {line}")?;
    }
    writeln!(out)
}

/// Where the subject is known to be better than the clone, and where not.
fn standing(report: &Report) -> Vec<String> {
    let Some(subject) = subject(report) else {
        let improvement = report.improvement.as_ref().filter(|_| report.policies.iter().any(|p| p.name == "improved"));
        let words = |old| format!("The improved policy is {old} itself, which was returned: it is nothing new.");
        return improvement.map(|i| vec![words(i.old())]).unwrap_or_default();
    };
    let here = |wanted: Standing| {
        let of = |slice: &&SliceReport| slice.policies.iter().any(|p| p.name == subject && p.standing == Some(wanted));
        report.slices.iter().filter(of).map(|slice| slice.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let said: Vec<String> = [
        ("better than the clone", Standing::Better),
        ("worse", Standing::Worse),
        ("not known to be better", Standing::Unknown),
        ("too few starts to tell", Standing::TooFew),
    ]
    .into_iter()
    .map(|(words, wanted)| (words, here(wanted)))
    .filter(|(_, where_)| !where_.is_empty())
    .map(|(words, where_)| format!("{words}: {where_}"))
    .collect();
    let which = match subject {
        "candidate" => "The best copy, which was not returned",
        "planned" => "The planned policy",
        _ => "The improved policy",
    };
    if said.is_empty() { Vec::new() } else { vec![format!("{which}, by return: {}.", said.join("; "))] }
}

/// Gains over the clone by group, to be drawn.
pub(super) fn gains(report: &Report) -> Vec<Whisker<'_>> {
    let Some(subject) = subject(report) else { return Vec::new() };
    let of = |slice: &'_ SliceReport| slice.policies.iter().find(|p| p.name == subject)?.gain;
    let drawn = report.slices.iter().filter_map(|slice| {
        let gain = of(slice)?;
        Some(Whisker { label: &slice.name, class: "imagined", mean: gain.mean, ci95: gain.ci95? })
    });
    drawn.collect()
}
