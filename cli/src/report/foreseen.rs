//! What the world model foresees of held-out episodes, in words: errors beside their floors, pictures, hints, and how far ahead it may
//! be believed.

use std::fmt::Write;

use world_model::foresight::Foresight;
use world_model::quality::Likeness;

use super::markdown::small;
use super::{HintError, HorizonError, Report};

pub(super) fn write(report: &Report, out: &mut String) -> std::fmt::Result {
    let errors = &report.world_model.error_by_horizon;
    if !errors.is_empty() {
        floors(out)?;
        readings(errors, out)?;
        table(errors, out)?;
        pictures(errors, out)?;
        writeln!(out)?;
    }
    told(report, out)
}

/// What is told of whatever was foreseen, beside errors by horizon.
pub(super) fn told(report: &Report, out: &mut String) -> std::fmt::Result {
    hints(&report.world_model.hints, out)?;
    foresight(report.world_model.foresight.as_ref(), out)?;
    trust(report, out)
}

/// What errors are measured by.
pub(super) fn floors(out: &mut String) -> std::fmt::Result {
    writeln!(out, "## World model\n")?;
    writeln!(
        out,
        "Mean squared error on held-out episodes, normalised units, h control steps ahead without looking. To be of \
         use the model must beat two floors: saying that nothing changes, and itself fed the wrong actions.\n"
    )
}

/// What is foreseen, in the order of the rows.
pub(super) fn modalities(errors: &[HorizonError]) -> Vec<&str> {
    let mut modalities: Vec<&str> = Vec::new();
    for row in errors {
        if !modalities.contains(&row.modality.as_str()) {
            modalities.push(&row.modality);
        }
    }
    modalities
}

/// A line per modality.
pub(super) fn readings(errors: &[HorizonError], out: &mut String) -> std::fmt::Result {
    for modality in modalities(errors) {
        let rows: Vec<&HorizonError> = errors.iter().filter(|row| row.modality == modality).collect();
        writeln!(out, "- **{modality}**: {}{}", reading(&rows), likeness(&rows))?;
    }
    writeln!(out)
}

/// Errors by horizon.
pub(super) fn table(errors: &[HorizonError], out: &mut String) -> std::fmt::Result {
    writeln!(out, "| what | h | starts | model | nothing changes | wrong actions | wrong / right | beats both |")?;
    writeln!(out, "|---|---|---|---|---|---|---|---|")?;
    for row in errors {
        let (model, copy, shuffled) = (small(row.model), small(row.copy_last), small(row.shuffled_actions));
        let (ratio, beats) = (row.wrong_over_right(), if row.beats_both_floors() { "yes" } else { "no" });
        write!(out, "| {} | {} | {} | {model} | {copy} | {shuffled} |", row.modality, row.h, row.starts)?;
        writeln!(out, " {} | {beats} |", small(ratio))?;
    }
    Ok(())
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
pub(super) fn pictures(errors: &[HorizonError], out: &mut String) -> std::fmt::Result {
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
