//! `report.html`: the report for people who want to see it, one story from the verdict down to what it cost. One file without anything to
//! fetch: drawings are SVG, the film strips are embedded, and it opens from a disk. Its words are those of `report.md`.

use std::collections::BTreeMap;

use anyhow::Result;

use super::drawing::{Line, Scale, Whisker, beside, escaped, figure, lines, whiskers};
use super::film::Film;
use super::prose::{folded, html, told};
use super::{Difference, Planning, Report, film, foreseen, improvement, judged, markdown, more, scope};

/// What the page shows beside the report.
#[derive(Default)]
pub struct Pictures {
    /// Recorded moments and their futures.
    pub films: Vec<Film>,
    /// Training curves by `stage/metric`: (update, value).
    pub curves: BTreeMap<String, Vec<(f64, f64)>>,
}

const STYLE: &str = include_str!("report.css");

/// Metrics drawn per stage: (stage, metrics, what they are).
const CURVES: [(&str, &[&str], &str); 6] = [
    ("representation", &["loss"], "loss"),
    ("dynamics", &["loss", "held_out_loss"], "loss, nats"),
    ("policy", &["loss", "held_out_loss"], "loss"),
    ("explorer", &["loss", "held_out_loss"], "loss"),
    ("value", &["loss"], "loss, nats"),
    // Of every task, those without successes among them.
    ("improve", &["imagined_gain"], "imagined gain in return over the clone"),
];

/// Most points of one curve; more cannot be seen.
const MOST_POINTS: usize = 160;

/// The page.
///
/// # Errors
/// Pictures that contradict one another.
pub fn page(report: &Report, pictures: &Pictures) -> Result<String> {
    let films = pictures.films.iter().map(film::figure).collect::<Result<Vec<_>>>()?;
    // What there is nothing of has no section and no link.
    let sections = [
        ("warnings", "Warnings", told(|out| markdown::listed("Warnings", &report.warnings, out))),
        ("improve", "What leaves improve", improved(report)),
        ("more", "New episodes", report.more.as_ref().map_or(String::new(), |more| told(|out| more::write(more, out)))),
        ("policies", "Policies", judged::policies(report)),
        ("judge", "The judge", judged::judge(report)),
        ("scope", "Scope", scope_of(report)),
        ("world-model", "World model", world_model(report)),
        ("films", "Recorded and imagined", recorded_and_imagined(&films)),
        ("training", "Training", training(&pictures.curves)),
        ("data", "Data", told(|out| markdown::data(report, out))),
        ("costs", "Time and memory", told(|out| markdown::stages(report, out))),
        ("notes", "Notes", told(|out| markdown::listed("Notes", &report.notes, out))),
    ]
    .into_iter()
    .filter(|(.., body)| !body.is_empty());
    let (mut links, mut bodies) = (String::new(), String::new());
    for (id, name, body) in sections {
        links += &format!("<a href=\"#{id}\">{name}</a> ");
        bodies += &format!("<section id=\"{id}\">{body}</section>");
    }
    let title = format!("Rehearsal report: {}", escaped(&report.command));
    let (word, why) = (markdown::decision(report.verdict.decision), escaped(&report.verdict.why));
    let class = word.to_lowercase();
    let config = serde_json::to_string_pretty(&report.config)?;
    let config = folded("Configuration", &format!("<pre>{}</pre>", escaped(&config)));
    let origin = html(&markdown::origin(report));
    Ok(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head><body><main><h1>{title}</h1><section class=\"verdict {class}\"><strong>{word}</strong><p>{why}</p></section><nav aria-label=\"Contents\">{links}</nav>{bodies}<footer>{config}{origin}</footer></main></body></html>"
    ))
}

/// What left `improve`, and the gain by every estimator.
fn improved(report: &Report) -> String {
    let Some(i) = &report.improvement else { return String::new() };
    // Where the clone was returned, the verdict has said why.
    let why = if i.why == report.verdict.why { "" } else { &i.why };
    let about = format!(
        "of the best copy, paired, from {}; right of 0 it is better",
        markdown::held_out_starts(i.gained.starts)
    );
    let copy = gain(
        &improvement::gains(&i.gained),
        (&format!("Gain over {}", i.old()), &about),
        &i.old().replace("the ", "copy minus "),
    );
    let table = told(|out| improvement::table(i, out));
    let planning = i.planning.as_ref().map_or(String::new(), planning);
    html(&format!("{}\n\n{why}\n", improvement::heading(i)))
        + &beside("charts", &[copy, format!("<div>{table}</div>")])
        + &told(|out| improvement::list(i, out))
        + &planning
}

/// Whether what left plans, and the gain of that.
fn planning(planning: &Planning) -> String {
    let Planning { why, over, gained, .. } = planning;
    let about = format!("paired, from {}; right of 0 it is better", markdown::held_out_starts(gained.starts));
    let (title, unit) = (format!("Gain of planning over the {over} policy"), format!("planned minus {over}"));
    let drawn = gain(&improvement::planning_gains(planning), (&title, &about), &unit);
    let table = told(|out| improvement::planning_table(planning, out));
    html(&format!("### Planning at run time\n\n{why}\n"))
        + &beside("charts", &[drawn, format!("<div>{table}</div>")])
        + &told(|out| improvement::planning_list(planning, out))
}

/// Gains with their intervals, drawn.
fn gain(by: &[(&'static str, Option<Difference>)], (title, about): (&str, &str), unit: &str) -> String {
    let mark = |(label, gain): &(&'static str, Option<Difference>)| {
        gain.map(|g| Whisker { label, class: "imagined", mean: g.mean, ci95: g.ci95 })
    };
    let drawn: Vec<Whisker<'_>> = by.iter().filter_map(mark).collect();
    figure(title, about, &whiskers(&format!("discounted return, {unit}"), &drawn, Scale::Gain))
}

/// For which starts scores hold.
fn scope_of(report: &Report) -> String {
    if report.slices.is_empty() {
        return String::new();
    }
    let drawn = whiskers("discounted return, policy minus clone", &scope::gains(report), Scale::Gain);
    let about = "by group of held-out starts; right of 0 it is better";
    told(scope::intro)
        + &beside(
            "charts",
            &[
                figure("Gain over the clone", about, &drawn),
                format!("<div>{}</div>", told(|out| scope::groups(report, out))),
            ],
        )
        + &told(|out| scope::table(report, out))
}

fn world_model(report: &Report) -> String {
    let errors = &report.world_model.error_by_horizon;
    let hz = report.dataset.control_rate_hz;
    let ahead =
        if hz > 0.0 { format!("control steps ahead, {hz} per second") } else { "control steps ahead".to_owned() };
    let mut drawn = Vec::new();
    for modality in foreseen::modalities(errors) {
        let rows = || errors.iter().filter(|e| e.modality == modality);
        let of = |pick: fn(&super::HorizonError) -> f64| rows().map(|e| (e.h as f64, pick(e))).collect::<Vec<_>>();
        let three = [
            Line { label: "nothing changes", class: "copy", points: of(|e| e.copy_last) },
            Line { label: "wrong actions", class: "shuffled", points: of(|e| e.shuffled_actions) },
            Line { label: "model", class: "model", points: of(|e| e.model) },
        ];
        let starts = rows().map(|e| e.starts).max().unwrap_or(0);
        let about = format!("error from up to {starts} held-out moments, lower is better");
        drawn.push(figure(modality, &about, &lines((&ahead, "mean squared error, normalised"), &three, true)));
        let likeness = |which: usize| {
            rows().filter_map(|e| Some((e.h as f64, e.likeness?.psnr_db[which]))).collect::<Vec<(f64, f64)>>()
        };
        let two = [
            Line { label: "nothing changes", class: "copy", points: likeness(1) },
            Line { label: "model", class: "model", points: likeness(0) },
        ];
        let about = "likeness of pictures where something moved, higher is better";
        drawn.push(figure(modality, about, &lines((&ahead, "PSNR, dB"), &two, false)));
    }
    if drawn.is_empty() {
        return told(|out| foreseen::told(report, out));
    }
    told(foreseen::floors)
        + "<p class=\"legend\"><span class=\"key model\"></span>model<span class=\"key copy\"></span>nothing changes<span class=\"key shuffled\"></span>wrong actions</p>"
        + &beside("charts small", &drawn)
        + &told(|out| foreseen::readings(errors, out))
        + &folded("Errors by horizon, in numbers", &told(|out| foreseen::table(errors, out)))
        + &folded("Pictures by horizon, in numbers", &told(|out| foreseen::pictures(errors, out)))
        + &told(|out| foreseen::told(report, out))
}

fn recorded_and_imagined(films: &[String]) -> String {
    if films.is_empty() {
        return String::new();
    }
    "<h2>Recorded and imagined</h2><p>Moments of held-out episodes, and what followed: as recorded, as imagined along the recorded actions, and had the robot acted otherwise. A row's return is the mean over its noise draws, its pictures are of one draw.</p>".to_owned()
        + &films.concat()
}

fn training(curves: &BTreeMap<String, Vec<(f64, f64)>>) -> String {
    let of_stage = |(stage, metrics, what): (&str, &[&'static str], &str)| {
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
        let about =
            if stage == "explorer" { "the clone of all recorded steps, which proposes alternatives" } else { "" };
        figure(stage, about, &lines(("updates", what), &of, stage != "improve"))
    };
    let drawn = beside("charts small", &CURVES.map(of_stage));
    if drawn.is_empty() {
        return drawn;
    }
    "<h2>Training</h2><p class=\"legend\"><span class=\"key training\"></span>training<span class=\"key held-out\"></span>held out</p>".to_owned()
        + &drawn
}
