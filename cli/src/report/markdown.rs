//! `report.md`: the verdict first, then what it rests on, in words a robot engineer reads in a minute. A function per section, in
//! their order, makes it long.

use std::fmt::Write;

use rl::evaluate;
use world_model::foresight::Foresight;
use world_model::quality::Likeness;

use super::{
    Calibration, CounterfactualCheck, Decision, Difference, HintError, HorizonError, KnownScore, PolicyReport, Report,
    WholeEpisodes, imagined, improvement, more, scope,
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
    if !report.warnings.is_empty() {
        writeln!(out, "## Warnings\n")?;
        report.warnings.iter().try_for_each(|warning| writeln!(out, "- {warning}"))?;
        writeln!(out)?;
    }
    improvement::write(report, out)?;
    policies(report, out)?;
    imagined::write(report, out)?;
    improvement::estimators(report, out)?;
    scope::write(report, out)?;
    if let Some(more) = &report.more {
        more::write(more, out)?;
    }
    world_model(&report.world_model.error_by_horizon, out)?;
    hints(&report.world_model.hints, out)?;
    foresight(report.world_model.foresight.as_ref(), out)?;
    trust(report, out)?;
    calibration(report.world_model.calibration.as_ref(), out)?;
    imagined::optimism(report.world_model.optimism.as_ref(), out)?;
    whole_episodes(report.world_model.whole_episodes.as_ref(), out)?;
    counterfactuals(report.counterfactuals.as_ref(), out)?;
    data(report, out)?;
    stages(report, out)?;
    if !report.notes.is_empty() {
        writeln!(out, "## Notes\n")?;
        report.notes.iter().try_for_each(|note| writeln!(out, "- {note}"))?;
        writeln!(out)?;
    }
    writeln!(
        out,
        "Seed {}, device {}, rehearsal {}. Configuration: run.toml. All numbers: report.json. Pictures: `rehearsal \
         view` on this directory.",
        report.seed, report.device, report.rehearsal_version
    )
}

pub(super) fn decision(decision: Decision) -> &'static str {
    match decision {
        Decision::Go => "GO",
        Decision::NoGo => "NO-GO",
        Decision::Abstain => "ABSTAIN",
    }
}

fn policies(report: &Report, out: &mut String) -> std::fmt::Result {
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
    for c in &report.comparisons {
        write!(out, "- {} against {}: success {} imagined", c.policy, c.baseline, points(&c.imagined_success))?;
        if let Some(truth) = &c.true_success {
            write!(out, ", {} in truth", points(truth))?;
        }
        let r = &c.imagined_return;
        writeln!(out, "; return {:+.2} [{:+.2}, {:+.2}] imagined.", r.mean, r.ci95[0], r.ci95[1])?;
    }
    if let Some(judge) = &report.scorecard {
        write!(out, "{}", judge.words())?;
    }
    if !report.comparisons.is_empty() || report.scorecard.is_some() {
        writeln!(out)?;
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

fn world_model(errors: &[HorizonError], out: &mut String) -> std::fmt::Result {
    if errors.is_empty() {
        return Ok(());
    }
    writeln!(out, "## World model\n")?;
    writeln!(
        out,
        "Mean squared error on held-out episodes, normalised units, h control steps ahead without looking. To be of \
         use the model must beat two floors: saying that nothing changes, and itself fed the wrong actions.\n"
    )?;
    let mut modalities: Vec<&str> = Vec::new();
    for row in errors {
        if !modalities.contains(&row.modality.as_str()) {
            modalities.push(&row.modality);
        }
    }
    for modality in &modalities {
        let rows: Vec<&HorizonError> = errors.iter().filter(|row| row.modality == *modality).collect();
        writeln!(out, "- **{modality}**: {}{}", reading(&rows), likeness(&rows))?;
    }
    writeln!(out, "\n| what | h | starts | model | nothing changes | wrong actions | wrong / right | beats both |")?;
    writeln!(out, "|---|---|---|---|---|---|---|---|")?;
    for row in errors {
        let (model, copy, shuffled) = (small(row.model), small(row.copy_last), small(row.shuffled_actions));
        let (ratio, beats) = (row.wrong_over_right(), if row.beats_both_floors() { "yes" } else { "no" });
        write!(out, "| {} | {} | {} | {model} | {copy} | {shuffled} |", row.modality, row.h, row.starts)?;
        writeln!(out, " {} | {beats} |", small(ratio))?;
    }
    pictures(errors, out)?;
    writeln!(out)
}

/// What the cameras tell of the hints, and what the model foresees of them.
fn hints(errors: &[HintError], out: &mut String) -> std::fmt::Result {
    if errors.is_empty() {
        return Ok(());
    }
    writeln!(out, "### What the camera tells of the hints\n")?;
    writeln!(
        out,
        "On held-out episodes, in the units of the recording (angles: degrees): median and 90th percentile of the error of what is \
         told of a picture (h 0), and of what is foreseen of it h control steps later where it has changed; in brackets, if \
         nothing changed.\n"
    )?;
    writeln!(out, "| camera | element | h | starts | median | 90 % below |\n|---|---|---|---|---|---|")?;
    for row in errors {
        let cell = |i: usize| {
            let [model, unchanged] =
                [row.model, row.unchanged].map(|of| small(if row.is_angle { of[i].to_degrees() } else { of[i] }));
            let unit = if row.is_angle { "°" } else { "" };
            if row.h == 0 { format!("{model}{unit}") } else { format!("{model}{unit} ({unchanged}{unit})") }
        };
        writeln!(out, "| {} | {} | {} | {} | {} | {} |", row.camera, row.element, row.h, row.starts, cell(0), cell(1))?;
    }
    writeln!(out)
}

/// Pictures where something moved: how like the recorded ones, and what is left of the error when the embedding is right.
fn pictures(errors: &[HorizonError], out: &mut String) -> std::fmt::Result {
    let rows: Vec<_> = errors.iter().filter_map(|row| Some((row, row.likeness?))).collect();
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\nPictures where something moved (in brackets: the last picture unchanged), and the error of painting what was really seen:\n"
    )?;
    writeln!(out, "| camera | h | pictures | PSNR, dB | SSIM | repainted |\n|---|---|---|---|---|---|")?;
    for (row, Likeness { pictures, psnr_db: [psnr, psnr_copy], ssim: [ssim, ssim_copy] }) in rows {
        write!(out, "| {} | {} | {pictures} | {psnr:.1} ({psnr_copy:.1}) |", row.modality, row.h)?;
        writeln!(out, " {ssim:.3} ({ssim_copy:.3}) | {} |", row.repainted.map_or(String::new(), small))?;
    }
    Ok(())
}

/// "Would that have been better?", asked of imagination and of the truth.
fn counterfactuals(c: Option<&CounterfactualCheck>, out: &mut String) -> std::fmt::Result {
    let Some(c) = c else { return Ok(()) };
    writeln!(out, "## Counterfactuals\n")?;
    writeln!(
        out,
        "From {} recorded moments of held-out episodes {} steps were taken in {} ways ({}), imagined and in the simulator. \
         Of {} pairs that truly differ, imagination ranks {} as the truth does. Choosing what it thinks best gives up {:.3} of \
         return against the truly best; choosing blindly, {:.3}.\n",
        c.moments,
        c.horizon,
        c.arms.len(),
        c.arms.join(", "),
        c.pairs,
        share(c.agreement, c.agreement_ci95),
        c.regret,
        c.regret_of_chance
    )
}

/// Pictures where something moved, at the largest horizon.
fn likeness(rows: &[&HorizonError]) -> String {
    let Some((h, l)) = rows.last().and_then(|row| Some((row.h, row.likeness?))) else { return String::new() };
    let ([psnr, psnr_copy], [ssim, ssim_copy]) = (l.psnr_db, l.ssim);
    format!(
        "; where something moved, its pictures {h} steps ahead reach {psnr:.1} dB PSNR and {ssim:.3} SSIM ({psnr_copy:.1} dB and {ssim_copy:.3} if nothing changed)"
    )
}

/// How reward, success and the model's own errors are foreseen.
fn foresight(f: Option<&Foresight>, out: &mut String) -> std::fmt::Result {
    let Some(f) = f else { return Ok(()) };
    let number = |x: Option<f64>| x.map_or("cannot be told".to_owned(), |x| format!("{x:.2}"));
    writeln!(
        out,
        "Over {} held-out steps ({} of them successes), foreseen along the recorded actions: reward R² {} ({} one step ahead), \
         success AUROC {} ({} one step ahead); against the model's own errors, Spearman's ρ of its doubt {}, of its disagreement {} (1: in doubt exactly where it is wrong, 0: its doubt says nothing).\n",
        f.steps,
        f.successes,
        number(f.reward_r2),
        number(f.reward_r2_one_step),
        number(f.success_auroc),
        number(f.success_auroc_one_step),
        number(f.doubt_error_rho),
        number(f.disagreement_error_rho)
    )
}

/// How far imagination may be believed, and how that promise was kept.
fn trust(report: &Report, out: &mut String) -> std::fmt::Result {
    let Some(t) = &report.world_model.trust else {
        if report.world_model.foresight.is_none() {
            return Ok(());
        }
        return writeln!(
            out,
            "Trust horizon: none can be promised, there are too few held-out episodes; branches are cut by disagreement alone.\n"
        );
    };
    let [low, median, high] = t.steps;
    let ceiling = if low == t.horizon { " (the largest horizon looked at)" } else { "" };
    let halves = t.coverage_of_halves.map_or(String::new(), |c| {
        format!(" (calibrated on half of them and measured on the other: {:.0} %)", 100.0 * c)
    });
    writeln!(
        out,
        "Trust horizon: {median} steps in the median, {low} to {high} for the middle half of the starts{ceiling}. Up to there at most {:.0} % of the \
         starts may be wrong by more than {:.0} % of what copying gets wrong after {} steps; of {} held-out episodes, each under the \
         budget of the others, {:.0} % were not{halves}.\n",
        100.0 * (1.0 - t.confidence),
        100.0 * t.tolerance,
        t.horizon,
        t.episodes,
        100.0 * t.coverage
    )
}

/// Recorded against imagined outcomes: a check of imagination that needs no simulator.
fn calibration(c: Option<&Calibration>, out: &mut String) -> std::fmt::Result {
    let Some(c) = c else { return Ok(()) };
    let [low, high] = c.success_difference.ci95;
    let reading = match (high < 0.0, low > 0.0) {
        (true, _) => " Imagination succeeds too rarely: believe the order of the policies before their rates.",
        (_, true) => " Imagination succeeds too often: believe no rate of success above.",
        _ => "",
    };
    writeln!(
        out,
        "Checked against the recording: the {} held-out episodes, imagined along their own actions, succeed in {:.0} % \
         (recorded: {:.0} %; difference {}) and return {:.2} (recorded: {:.2}).{reading}\n",
        c.episodes,
        100.0 * c.imagined_success,
        100.0 * c.recorded_success,
        points(&c.success_difference),
        c.imagined_return,
        c.recorded_return
    )
}

/// Whether imagination can be followed as far as policies are judged.
fn whole_episodes(w: Option<&WholeEpisodes>, out: &mut String) -> std::fmt::Result {
    let Some(w) = w else { return Ok(()) };
    let r = w.return_r.map_or("cannot be told".to_owned(), |r| format!("{r:.2}"));
    writeln!(
        out,
        "Imagined from the first observation to the end without looking, the {} held-out episodes return {:.2} (recorded: {:.2}); \
         correlation of imagined with recorded return over episodes: {r}.\n",
        w.episodes, w.imagined_return, w.recorded_return
    )
}

/// One modality's errors in words.
fn reading(rows: &[&HorizonError]) -> String {
    let (won, lost): (Vec<&&HorizonError>, Vec<_>) = rows.iter().partition(|row| row.beats_both_floors());
    let steps = |rows: &[&&HorizonError]| {
        let all: Vec<String> = rows.iter().map(|row| row.h.to_string()).collect();
        format!("h = {}", all.join(", "))
    };
    let mut words = match (won.is_empty(), lost.is_empty()) {
        (false, true) => format!("better than both floors at every horizon ({})", steps(&won)),
        (false, false) => format!("better than both floors at {}, not at {}", steps(&won), steps(&lost)),
        (true, _) => format!("does not beat both floors at any horizon ({}): do not trust it", steps(&lost)),
    };
    if let Some(last) = rows.iter().max_by_key(|row| row.h).filter(|row| row.copy_last > 0.0) {
        let less = 100.0 * (1.0 - last.model / last.copy_last);
        let (percent, word) = if less >= 0.0 { (less, "less") } else { (-less, "more") };
        let _ = write!(words, "; {percent:.0} % {word} error than copying at h = {}", last.h);
    }
    if let Some(row) = lost.iter().find(|row| row.model >= row.shuffled_actions) {
        let _ = write!(words, "; at h = {} it hardly listens to the actions", row.h);
    }
    words
}

fn data(report: &Report, out: &mut String) -> std::fmt::Result {
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

fn stages(report: &Report, out: &mut String) -> std::fmt::Result {
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

/// `41 % [35, 47]`.
pub fn share(value: f64, ci95: [f64; 2]) -> String {
    format!("{:.0} % [{:.0}, {:.0}]", 100.0 * value, 100.0 * ci95[0], 100.0 * ci95[1])
}

pub(super) fn number_in(value: f64, ci95: [f64; 2]) -> String {
    format!("{value:.2} [{:.2}, {:.2}]", ci95[0], ci95[1])
}

/// `+6.0 points [+1.2, +10.8]`.
pub fn points(d: &Difference) -> String {
    format!("{:+.1} points [{:+.1}, {:+.1}]", 100.0 * d.mean, 100.0 * d.ci95[0], 100.0 * d.ci95[1])
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
