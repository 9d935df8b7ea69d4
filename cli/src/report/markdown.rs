//! `report.md`: the verdict first, then what it rests on, in words a robot engineer reads in a minute. `report.html` takes its words
//! from the same functions.

use std::fmt::Write;

use rl::evaluate;
use rl::track_record::is_bounded;

use super::{
    Decision, Difference, KnownScore, PolicyReport, Report, checks, foreseen, imagined, improvement, more, scope,
};
use crate::clock::span;

/// Skipped items listed one by one; `report.json` has them all.
const SKIPPED_SHOWN: usize = 12;

pub(super) fn write(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = sections(report, &mut text);
    text
}

fn sections(report: &Report, out: &mut String) -> std::fmt::Result {
    writeln!(out, "# Rehearsal report: {}\n", report.command)?;
    writeln!(out, "**{}**: {}\n", decision(report.verdict.decision), report.verdict.why)?;
    listed("Warnings", &report.warnings, out)?;
    improvement::write(report, out)?;
    policies(report, out)?;
    compared(report, out)?;
    if let Some(judge) = &report.scorecard {
        write!(out, "{}", judge.words())?;
    }
    if !report.comparisons.is_empty() || report.scorecard.is_some() {
        writeln!(out)?;
    }
    imagined::write(report, out)?;
    improvement::estimators(report, out)?;
    scope::write(report, out)?;
    if let Some(more) = &report.more {
        more::write(more, out)?;
    }
    foreseen::write(report, out)?;
    checks::recorded(report, out)?;
    checks::counterfactuals(report.counterfactuals.as_ref(), out)?;
    data(report, out)?;
    stages(report, out)?;
    listed("Notes", &report.notes, out)?;
    writeln!(out, "{}", origin(report))
}

/// What the numbers are from, and where there are more.
pub(super) fn origin(report: &Report) -> String {
    format!(
        "Seed {}, device {}, rehearsal {}. Configuration: run.toml. All numbers: report.json. Pictures: `rehearsal \
         view` on this directory.",
        report.seed, report.device, report.rehearsal_version
    )
}

/// A section of sentences; nothing where there are none.
pub(super) fn listed(title: &str, sentences: &[String], out: &mut String) -> std::fmt::Result {
    if sentences.is_empty() {
        return Ok(());
    }
    writeln!(out, "## {title}\n")?;
    sentences.iter().try_for_each(|sentence| writeln!(out, "- {sentence}"))?;
    writeln!(out)
}

pub(super) fn decision(decision: Decision) -> &'static str {
    match decision {
        Decision::Go => "GO",
        Decision::NoGo => "NO-GO",
        Decision::Abstain => "ABSTAIN",
    }
}

/// Scores side by side.
pub(super) fn policies(report: &Report, out: &mut String) -> std::fmt::Result {
    if report.policies.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Policies\n")?;
    let with_truth = report.policies.iter().any(|p| p.truth.is_some());
    let driven = report.policies.iter().find_map(|p| p.truth).map_or(0, |t| t.episodes);
    let with_known = report.policies.iter().any(|p| p.known.is_some());
    write!(out, "| policy | imagined success | imagined return |")?;
    write!(out, "{}", if with_truth { " true success | true return |" } else { "" })?;
    writeln!(out, "{}", if with_known { " known success | known return | episodes |" } else { "" })?;
    write!(out, "|---|---|---|{}", if with_truth { "---|---|" } else { "" })?;
    writeln!(out, "{}", if with_known { "---|---|---|" } else { "" })?;
    for policy in &report.policies {
        let i = &policy.imagined;
        let (success, value) = (share(i.success, i.success_ci95), number_in(i.return_, i.return_ci95));
        write!(out, "| {} | {success} | {value} |", policy.name)?;
        match &policy.truth {
            Some(t) => {
                write!(out, " {} | {} |", share(t.success, t.success_ci95), number_in(t.return_, t.return_ci95))?;
            }
            None if with_truth => write!(out, " | |")?,
            None => {}
        }
        if with_known {
            known(&policy.known.unwrap_or_default(), out)?;
        }
        writeln!(out)?;
    }
    let has_record =
        report.world_model.whole_episodes.as_ref().is_some_and(|w| w.value.imagined.len() >= evaluate::FEWEST_STARTS);
    let width =
        if has_record { "; imagined ones know how wrong the model was about whole held-out episodes" } else { "" };
    write!(out, "\n95 % intervals in brackets{width}. ")?;
    if with_truth {
        // Of many policies some are all but equal: then the scorecard tells more than the order.
        let order =
            if report.policies.len() <= super::FEW { format!(" {}", order(&report.policies)) } else { String::new() };
        writeln!(out, "Truth is the simulator, {driven} episodes each.{order}\n")?;
    } else if with_known {
        writeln!(
            out,
            "Known outcomes are those told with --known: rates with Wilson's interval where the episodes were counted, returns with theirs where return_se was told, the rest taken as exact.\n"
        )?;
    } else {
        writeln!(out, "There is no simulator of this robot, so nothing here was checked against the truth.\n")?;
    }
    Ok(())
}

/// Pairs of policies, a line each.
pub(super) fn compared(report: &Report, out: &mut String) -> std::fmt::Result {
    for c in &report.comparisons {
        write!(out, "- {} against {}: success {} imagined", c.policy, c.baseline, points(&c.imagined_success))?;
        if let Some(truth) = &c.true_success {
            write!(out, ", {} in truth", points(truth))?;
        }
        let r = &c.imagined_return;
        writeln!(out, "; return {:+.2} {} imagined.", r.mean, between(r.ci95, |x| format!("{x:+.2}")))?;
    }
    Ok(())
}

/// What somebody knows of a policy, three cells.
fn known(k: &KnownScore, out: &mut String) -> std::fmt::Result {
    let success = match (k.success, k.success_ci95) {
        (Some(success), Some(ci95)) => share(success, ci95),
        (Some(success), None) => format!("{:.0} %", 100.0 * success),
        (None, _) => String::new(),
    };
    let value = match (k.return_, k.return_ci95()) {
        (Some(value), Some(ci95)) => number_in(value, ci95),
        (Some(value), None) => format!("{value:.2}"),
        (None, _) => String::new(),
    };
    write!(out, " {success} | {value} | {} |", k.episodes.map_or(String::new(), |n| n.to_string()))
}

/// Whether imagination puts the policies in their true order, by success and by return.
fn order(policies: &[PolicyReport]) -> String {
    let by = |name: &str, pick: fn(&PolicyReport) -> Option<(f64, f64)>| {
        let both: Vec<(f64, f64, &str)> = policies
            .iter()
            .filter_map(|p| pick(p).map(|(truth, imagined)| (truth, imagined, p.name.as_str())))
            .collect();
        order_by(name, both)
    };
    let success = by("success", |p| Some((p.truth?.success, p.imagined.success)));
    let value = by("return", |p| Some((p.truth?.return_, p.imagined.return_)));
    format!("{success} {value}").trim().to_owned()
}

/// Equal scores contradict no order.
fn order_by(what: &str, mut both: Vec<(f64, f64, &str)>) -> String {
    if both.len() < 2 {
        return String::new();
    }
    let agrees = super::same_order(&both.iter().map(|x| (x.0, x.1)).collect::<Vec<_>>());
    both.sort_by(|a, b| (b.0, b.1).partial_cmp(&(a.0, a.1)).unwrap_or(std::cmp::Ordering::Equal));
    let names = |both: &[(f64, f64, &str)]| both.iter().map(|x| x.2).collect::<Vec<_>>().join(" > ");
    let truth = names(&both);
    if agrees {
        return format!("By {what}, imagination orders them as the truth does: {truth}.");
    }
    both.sort_by(|a, b| b.1.total_cmp(&a.1));
    format!("By {what}, imagination orders them {}; the truth is {truth}.", names(&both))
}

/// What was learned from.
pub(super) fn data(report: &Report, out: &mut String) -> std::fmt::Result {
    let data = &report.dataset;
    writeln!(out, "## Data\n")?;
    writeln!(
        out,
        "{}: {} episodes, {} steps; {} episodes held out. {}\n",
        data.source, data.episodes, data.frames, data.held_out_episodes, report.reward_rule
    )?;
    for with in &data.learned_with {
        let robot = if with.is_same_robot { "the same robot" } else { "another robot" };
        let mut cameras = String::new();
        if !with.missing_cameras.is_empty() {
            cameras = format!(", without {} (black)", with.missing_cameras.join(", "));
        }
        writeln!(
            out,
            "Learned with {}: {} episodes, {} steps, {:.0} % of what was drawn, {robot}{cameras}. {}\n",
            with.source,
            with.episodes,
            with.frames,
            100.0 * with.share,
            with.reward_rule
        )?;
    }
    if data.skipped.is_empty() {
        return writeln!(out, "Nothing was left out.\n");
    }
    writeln!(out, "Left out:\n")?;
    for skipped in data.skipped.iter().take(SKIPPED_SHOWN) {
        writeln!(out, "- {}: {}", skipped.what, skipped.why)?;
    }
    if data.skipped.len() > SKIPPED_SHOWN {
        writeln!(out, "- and {} more, listed in report.json", data.skipped.len() - SKIPPED_SHOWN)?;
    }
    writeln!(out)
}

/// What it cost.
pub(super) fn stages(report: &Report, out: &mut String) -> std::fmt::Result {
    if report.stages.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Time and memory\n")?;
    writeln!(out, "| stage | time | peak memory |\n|---|---|---|")?;
    let memory = |mb: Option<f64>| mb.map_or("unknown".to_owned(), |mb| format!("{mb:.0} MB"));
    for stage in &report.stages {
        writeln!(out, "| {} | {} | {} |", stage.name, span(stage.wall_s), memory(stage.peak_rss_mb))?;
    }
    let total: f64 = report.stages.iter().map(|stage| stage.wall_s).sum();
    let peak = report.stages.iter().filter_map(|stage| stage.peak_rss_mb).reduce(f64::max);
    writeln!(out, "| **all** | {} | {} |\n", span(total), memory(peak))
}

/// An interval in brackets, its bounds in the words of `number`; of one start alone there is none.
pub fn between(ci95: [f64; 2], number: impl Fn(f64) -> String) -> String {
    if !is_bounded(ci95) {
        return "[unknown]".to_owned();
    }
    let [low, high] = ci95.map(number);
    format!("[{low}, {high}]")
}

/// `41 % [35, 47]`.
pub fn share(value: f64, ci95: [f64; 2]) -> String {
    format!("{:.0} % {}", 100.0 * value, between(ci95, |x| format!("{:.0}", 100.0 * x)))
}

pub(super) fn number_in(value: f64, ci95: [f64; 2]) -> String {
    format!("{value:.2} {}", between(ci95, |x| format!("{x:.2}")))
}

/// `1 held-out start`, `27 held-out starts`.
pub(super) fn held_out_starts(count: usize) -> String {
    format!("{count} held-out start{}", if count == 1 { "" } else { "s" })
}

/// `+6.0 points [+1.2, +10.8]`.
pub fn points(d: &Difference) -> String {
    // Nothing is nothing, whichever side it came from.
    let signed = |x: f64| format!("{:+.1}", (1000.0 * x).round() / 10.0 + 0.0);
    format!("{} points {}", signed(d.mean), between(d.ci95, signed))
}

/// Three digits that matter.
pub(super) fn small(value: f64) -> String {
    match value.abs() {
        a if a == 0.0 || !a.is_finite() => format!("{value}"),
        a if a >= 1.0 => format!("{value:.2}"),
        a if a >= 0.001 => {
            let digits = (2 - a.log10().floor() as i32).max(0) as usize;
            format!("{value:.digits$}")
        }
        _ => format!("{value:.2e}"),
    }
}
