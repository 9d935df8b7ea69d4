//! `report.html`: the report for people who want to see it. One file without anything to fetch: drawings are SVG, the film
//! strips are embedded, and it opens from a disk.

use std::collections::BTreeMap;
use std::fmt::Write;

use base64::Engine;

use super::svg::{Line, Whisker, escaped, lines, whiskers};
use super::{Decision, Difference, Report, improvement, scope};

/// What the page shows beside the report.
#[derive(Default)]
pub struct Pictures {
    /// The contact sheet, PNG.
    pub sheet: Option<Vec<u8>>,
    /// Training curves by `stage/metric`: (update, value).
    pub curves: BTreeMap<String, Vec<(f64, f64)>>,
}

const STYLE: &str = include_str!("report.css");

/// Metrics drawn per stage: (stage, metrics).
const CURVES: [(&str, &[&str]); 5] = [
    ("representation", &["loss"]),
    ("dynamics", &["loss", "held_out_loss"]),
    ("policy", &["loss", "held_out_loss"]),
    ("value", &["loss"]),
    ("improve", &["imagined_success"]),
];

/// Most points of one curve; more cannot be seen.
const MOST_POINTS: usize = 160;

/// The page.
pub fn page(report: &Report, pictures: &Pictures) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = sections(report, pictures, &mut out);
    out
}

fn sections(report: &Report, pictures: &Pictures, out: &mut String) -> std::fmt::Result {
    let (class, word) = match report.verdict.decision {
        Decision::Go => ("go", "GO"),
        Decision::NoGo => ("no-go", "NO-GO"),
        Decision::Abstain => ("abstain", "ABSTAIN"),
    };
    write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>Rehearsal report: {}</title><style>{STYLE}</style></head><body><main>",
        escaped(&report.command)
    )?;
    write!(out, "<h1>Rehearsal report: {}</h1>", escaped(&report.command))?;
    write!(
        out,
        "<section class=\"verdict {class}\"><strong>{word}</strong><p>{}</p></section>",
        escaped(&report.verdict.why)
    )?;
    if !report.warnings.is_empty() {
        write!(out, "<h2>Warnings</h2><ul>")?;
        report.warnings.iter().try_for_each(|warning| write!(out, "<li>{}</li>", escaped(warning)))?;
        write!(out, "</ul>")?;
    }
    improved(report, out)?;
    policies(report, out)?;
    scope::page(report, out)?;
    world_model(report, out)?;
    if let Some(sheet) = &pictures.sheet {
        let encoded = base64::engine::general_purpose::STANDARD.encode(sheet);
        write!(
            out,
            "<h2>Recorded and imagined</h2><p>Held-out episodes from one step on: as recorded, imagined along the recorded actions, and had the robot acted otherwise. Left to right: eight moments.</p><img class=\"sheet\" alt=\"film strips of recorded and imagined episodes\" src=\"data:image/png;base64,{encoded}\">"
        )?;
    }
    training(&pictures.curves, out)?;
    // The rest is told as report.md tells it.
    write!(out, "<h2>In words</h2><pre>{}</pre>", escaped(&report.to_markdown()))?;
    let config = serde_json::to_string_pretty(&report.config).unwrap_or_default();
    write!(out, "<details><summary>Configuration</summary><pre>{}</pre></details>", escaped(&config))?;
    write!(out, "</main></body></html>")
}

/// What left `improve`, and the gain by every estimator.
fn improved(report: &Report, out: &mut String) -> std::fmt::Result {
    let Some(i) = &report.improvement else { return Ok(()) };
    let (returned, why) = (improvement::returned(i), escaped(&i.why));
    write!(out, "<h2>What leaves improve: {returned}</h2><p>{why}</p><div class=\"row\">")?;
    let mark = |(label, gain): (&'static str, Option<Difference>)| {
        gain.map(|g| Whisker { label, class: "imagined", mean: g.mean, ci95: g.ci95 })
    };
    let drawn: Vec<Whisker<'_>> = improvement::gains(i).into_iter().filter_map(mark).collect();
    write!(out, "{}</div><ul>", whiskers("Gain in return over the clone", &drawn, false))?;
    improvement::lines(i).iter().try_for_each(|line| write!(out, "<li>{}</li>", escaped(line)))?;
    write!(out, "</ul>")
}

fn policies(report: &Report, out: &mut String) -> std::fmt::Result {
    if report.policies.is_empty() {
        return Ok(());
    }
    let mut success = Vec::new();
    let mut value = Vec::new();
    for p in &report.policies {
        let i = &p.imagined;
        let mark = |class, mean, ci95| Whisker { label: &p.name, class, mean, ci95 };
        success.push(mark("imagined", i.success, i.success_ci95));
        value.push(mark("imagined", i.return_, i.return_ci95));
        if let Some(t) = &p.truth {
            success.push(mark("truth", t.success, t.success_ci95));
            value.push(mark("truth", t.return_, t.return_ci95));
        }
        if let Some(k) = &p.known {
            success.extend(k.success.map(|x| mark("truth", x, k.success_ci95.unwrap_or([x; 2]))));
            value.extend(k.return_.map(|x| mark("truth", x, k.return_ci95().unwrap_or([x; 2]))));
        }
    }
    let mut estimated = Vec::new();
    for p in report.policies.iter().filter(|p| p.estimators.fitted_q.is_some() || p.estimators.doubly_robust.is_some())
    {
        let e = &p.estimators;
        for (class, by) in [("imagined", e.imagined), ("fqe", e.fitted_q), ("doubly-robust", e.doubly_robust)] {
            let mark =
                |by: super::EstimatedReturn| Whisker { label: &p.name, class, mean: by.return_, ci95: by.return_ci95 };
            estimated.extend(by.map(mark));
        }
    }
    let with_truth = report.policies.iter().any(|p| p.truth.is_some());
    let with_known = report.policies.iter().any(|p| p.known.is_some());
    write!(out, "<h2>Policies</h2><p class=\"legend\"><span class=\"key imagined\"></span>imagined")?;
    if with_truth {
        write!(out, "<span class=\"key truth\"></span>true simulator")?;
    }
    if with_known {
        write!(out, "<span class=\"key truth\"></span>known")?;
    }
    write!(out, " &nbsp; whiskers: 95 % intervals</p><div class=\"row\">")?;
    write!(out, "{}{}</div>", whiskers("Success", &success, true), whiskers("Return", &value, false))?;
    if !estimated.is_empty() {
        write!(
            out,
            "<p class=\"legend\"><span class=\"key imagined\"></span>imagined: the world model<span class=\"key fqe\"></span>fitted Q: recorded steps alone<span class=\"key doubly-robust\"></span>doubly robust: imagined, corrected by recorded episodes that came out alike</p><div class=\"row\">{}</div>",
            whiskers("Return by several estimators", &estimated, false)
        )?;
    }
    if !with_truth && !with_known {
        write!(out, "<p>There is no simulator of this robot, so nothing here was checked against the truth.</p>")?;
    }
    Ok(())
}

fn world_model(report: &Report, out: &mut String) -> std::fmt::Result {
    let errors = &report.world_model.error_by_horizon;
    if errors.is_empty() {
        return Ok(());
    }
    write!(
        out,
        "<h2>World model</h2><p class=\"legend\"><span class=\"key model\"></span>model<span class=\"key copy\"></span>nothing changes<span class=\"key shuffled\"></span>wrong actions &nbsp; mean squared error on held-out episodes, normalised units; below both floors it foresees something</p><div class=\"row\">"
    )?;
    let mut modalities: Vec<&str> = Vec::new();
    for row in errors {
        if !modalities.contains(&row.modality.as_str()) {
            modalities.push(&row.modality);
        }
    }
    for modality in modalities {
        let of = |pick: fn(&super::HorizonError) -> f64| {
            errors.iter().filter(|e| e.modality == modality).map(|e| (e.h as f64, pick(e))).collect::<Vec<_>>()
        };
        let drawn = [
            Line { label: "nothing changes", class: "copy", points: of(|e| e.copy_last) },
            Line { label: "wrong actions", class: "shuffled", points: of(|e| e.shuffled_actions) },
            Line { label: "model", class: "model", points: of(|e| e.model) },
        ];
        write!(out, "{}", lines(modality, "control steps ahead", &drawn, true))?;
        let likeness = |which: usize| {
            let of = errors.iter().filter(|e| e.modality == modality);
            of.filter_map(|e| Some((e.h as f64, e.likeness?.psnr_db[which]))).collect::<Vec<_>>()
        };
        let drawn = [
            Line { label: "nothing changes", class: "copy", points: likeness(1) },
            Line { label: "model", class: "model", points: likeness(0) },
        ];
        let title = format!("{modality}: PSNR where something moved, dB");
        write!(out, "{}", lines(&title, "control steps ahead", &drawn, false))?;
    }
    write!(out, "</div>")
}

fn training(curves: &BTreeMap<String, Vec<(f64, f64)>>, out: &mut String) -> std::fmt::Result {
    let mut drawn = String::new();
    for (stage, metrics) in CURVES {
        let of: Vec<Line<'_>> = metrics
            .iter()
            .filter_map(|&metric| {
                let points = curves.get(&format!("{stage}/{metric}"))?;
                let stride = points.len().div_ceil(MOST_POINTS).max(1);
                let points = points.iter().step_by(stride).copied().collect();
                let class = if metric.starts_with("held_out") { "held-out" } else { "training" };
                Some(Line { label: metric, class, points })
            })
            .collect();
        let title = if stage == "improve" { "improve: imagined success" } else { stage };
        drawn.push_str(&lines(title, "updates", &of, stage != "improve"));
    }
    if drawn.is_empty() {
        return Ok(());
    }
    write!(
        out,
        "<h2>Training</h2><p class=\"legend\"><span class=\"key training\"></span>training<span class=\"key held-out\"></span>held out</p><div class=\"row\">{drawn}</div>"
    )
}
