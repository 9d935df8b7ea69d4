//! What was improved, where, by how much, what is uncertain and what to try first on the robot; and what each estimator says.

use std::fmt::Write;

use rl::selection::Kept;

use super::markdown::{number_in, points};
use super::{Difference, EpisodeGain, Estimators, Improvement, Report};

/// Share of starts imagined worse above which they are worth a warning.
const MANY: f64 = 0.2;

pub(super) fn write(report: &Report, out: &mut String) -> std::fmt::Result {
    let Some(i) = &report.improvement else { return Ok(()) };
    writeln!(out, "{}\n\n{}\n", heading(i), i.why)?;
    table(i, out)?;
    list(i, out)
}

pub(super) fn heading(i: &Improvement) -> String {
    format!("## What leaves `improve`: {}", returned(i))
}

/// Every estimator's gain.
pub(super) fn table(i: &Improvement, out: &mut String) -> std::fmt::Result {
    writeln!(out, "Paired gain in return of the best copy over the clone, {} held-out starts:\n", i.starts)?;
    writeln!(out, "| estimator | gain | says |\n|---|---|---|")?;
    for (name, gain) in gains(i) {
        let row =
            gain.map_or("none | nothing: too few recorded episodes resemble it, or it was not asked".to_owned(), |g| {
                let says = match g.ci95 {
                    [low, _] if low > 0.0 => "better",
                    [_, high] if high < 0.0 => "worse",
                    _ => "cannot be told from zero",
                };
                format!("{:+.3} [{:+.3}, {:+.3}] | {says}", g.mean, g.ci95[0], g.ci95[1])
            });
        writeln!(out, "| {name} | {row} |")?;
    }
    writeln!(out)
}

/// The rest, a point each.
pub(super) fn list(i: &Improvement, out: &mut String) -> std::fmt::Result {
    for line in lines(i) {
        writeln!(out, "- {line}")?;
    }
    writeln!(out)
}

/// What it is, in words.
fn returned(i: &Improvement) -> &'static str {
    match i.kept {
        Kept::Improved => "the improved policy",
        Kept::Cloned => "the cloned policy, unchanged",
    }
}

/// Every estimator's gain.
pub(super) fn gains(i: &Improvement) -> [(&'static str, Option<Difference>); 3] {
    let g = &i.gains;
    [("imagined", Some(g.imagined)), ("fitted Q", g.fitted_q), ("doubly robust", g.doubly_robust)]
}

fn lines(i: &Improvement) -> Vec<String> {
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let named = |starts: &[EpisodeGain]| {
        let each: Vec<String> = starts.iter().map(|s| format!("{} ({:+.2})", s.episode, s.gain)).collect();
        if each.is_empty() { "none".to_owned() } else { format!("episode {}", each.join(", ")) }
    };
    let mut lines = vec![
        format!("How much: success {} in imagination, beside the returns above.", points(&i.success)),
        format!(
            "On which states: imagined better from {} of the starts and worse from {}. Largest gains: {}. Largest losses: {}.",
            percent(i.better),
            percent(i.worse),
            named(&i.largest_gains),
            named(&i.largest_losses)
        ),
    ];
    let mut doubts = Vec::new();
    for (name, gain) in gains(i) {
        match gain {
            None => doubts.push(format!("{name} has nothing to say")),
            Some(g) if g.ci95[0] <= 0.0 => doubts.push(format!("{name} does not confirm it")),
            Some(_) => {}
        }
    }
    doubts.push(format!("{} of the steps imagined for it are unsupported", percent(i.unsupported_share)));
    if let Some(steps) = i.believed_steps {
        doubts.push(format!("its futures stay within the trust horizon for {steps:.0} steps on average"));
    }
    if i.worse > MANY {
        doubts.push("it is not better everywhere".to_owned());
    }
    lines.push(format!("What is uncertain: {}.", doubts.join("; ")));
    lines.push(match (i.kept, i.largest_losses.first().or(i.largest_gains.last())) {
        (Kept::Improved, Some(first)) => format!(
            "Test first on the robot: the start of episode {} where it is imagined {}, then the start of {} where it gains most; one trial each beside the clone, before any longer series.",
            first.episode,
            if first.gain < 0.0 { "worse" } else { "to gain least of those named" },
            named(i.largest_gains.get(..1).unwrap_or_default())
        ),
        _ => "Test first on the robot: nothing new, the policy is the one that was cloned. More episodes, or better labels, before improving again.".to_owned(),
    });
    lines
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
