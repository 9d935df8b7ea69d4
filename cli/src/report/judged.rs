//! The policies and their judge on the page: scores drawn and tabled, and, where outcomes are known, what imagining them was worth.

use super::drawing::{Point, Scale, Whisker, beside, figure, scatter, whiskers};
use super::prose::{folded, html, told};
use super::{PolicyReport, Report, checks, imagined, improvement, markdown};

/// A score that is known, with its interval where that is.
type Known = (f64, Option<[f64; 2]>);

const RETURN: &str = "discounted return, units of the reward";
const SUCCESS: &str = "success, share of episodes";

/// What success really is: of the simulator, or as somebody told.
fn true_success(p: &PolicyReport) -> Option<Known> {
    let driven = p.truth.map(|t| (t.success, Some(t.success_ci95)));
    driven.or_else(|| p.known.and_then(|k| Some((k.success?, k.success_ci95))))
}

fn true_return(p: &PolicyReport) -> Option<Known> {
    let driven = p.truth.map(|t| (t.return_, Some(t.return_ci95)));
    driven.or_else(|| p.known.and_then(|k| Some((k.return_?, k.return_ci95()))))
}

/// What is true is called after where it is from.
fn truth_is(report: &Report) -> Option<&'static str> {
    let is_driven = report.policies.iter().any(|p| p.truth.is_some());
    let is_told = report.policies.iter().any(|p| p.known.is_some());
    if is_driven { Some("true") } else { is_told.then_some("known") }
}

/// Scores of every policy.
pub(super) fn policies(report: &Report) -> String {
    if report.policies.is_empty() {
        return String::new();
    }
    let (mut success, mut value, mut estimated) = (Vec::new(), Vec::new(), Vec::new());
    for p in &report.policies {
        let i = &p.imagined;
        let mark = |class, mean, ci95| Whisker { label: &p.name, class, mean, ci95 };
        let truth = |(mean, ci95): Known| mark("truth", mean, ci95.unwrap_or([mean; 2]));
        success.push(mark("imagined", i.success, i.success_ci95));
        success.extend(true_success(p).map(truth));
        value.push(mark("imagined", i.return_, i.return_ci95));
        value.extend(true_return(p).map(truth));
        let e = &p.estimators;
        if e.fitted_q.is_some() || e.doubly_robust.is_some() {
            let ways = [("imagined", e.imagined), ("fqe", e.fitted_q), ("doubly-robust", e.doubly_robust)];
            estimated
                .extend(ways.iter().filter_map(|&(class, by)| by.map(|by| mark(class, by.return_, by.return_ci95))));
        }
    }
    let starts = report.policies.iter().map(|p| p.starts).max().unwrap_or(0);
    let imagined_from =
        if starts > 0 { format!("imagined from {}", markdown::held_out_starts(starts)) } else { "imagined".to_owned() };
    let driven = report.policies.iter().find_map(|p| p.truth).map(|t| format!(", {} true episodes each", t.episodes));
    let about = format!("{imagined_from}{}", driven.unwrap_or_default());
    let legend = truth_is(report).map_or(String::new(), |word| format!("<span class=\"key truth\"></span>{word}"));
    let estimators = "imagined: the world model; fitted Q: recorded steps alone; doubly robust: imagined, corrected by recorded episodes that came out alike";
    let scores = [
        figure("Success", &about, &whiskers(SUCCESS, &success, Scale::Share)),
        figure("Return", &about, &whiskers(RETURN, &value, Scale::Plain)),
    ];
    let by_several = figure("Return by several estimators", estimators, &whiskers(RETURN, &estimated, Scale::Plain));
    let imagined = format!("<div>{}</div>", told(|out| imagined::write(report, out)));
    let more = if estimated.is_empty() {
        imagined
    } else {
        let keys = "<p class=\"legend\"><span class=\"key imagined\"></span>imagined<span class=\"key fqe\"></span>fitted Q<span class=\"key doubly-robust\"></span>doubly robust</p>";
        keys.to_owned() + &beside("charts", &[by_several, imagined])
    };
    let words = told(|out| markdown::policies(report, out));
    // The heading first, then what is drawn.
    let (heading, words) = words.split_once("</h2>").unwrap_or(("", &words));
    format!(
        "{heading}</h2><p class=\"legend\"><span class=\"key imagined\"></span>imagined{legend}; bars are 95 % intervals</p>"
    ) + &beside("charts", &scores)
        + words
        + &told(|out| markdown::compared(report, out))
        + &more
        + &folded("Return by several estimators, in numbers", &told(|out| improvement::estimators(report, out)))
}

/// Whether imagination may be believed: against known outcomes, against recorded ones, and against the simulator.
pub(super) fn judge(report: &Report) -> String {
    let word = truth_is(report).unwrap_or_default();
    let drawn = |title: &str, unit: &str, points: &[Point<'_>], percent: bool| {
        let about =
            format!("of {} policies; on the diagonal imagination is right, bars are 95 % intervals", points.len());
        let axes = (format!("{word} {unit}"), format!("imagined {unit}"));
        figure(title, &about, &scatter((&axes.0, &axes.1), points, percent))
    };
    let success = report.policies.iter().filter_map(|p| {
        let imagined = (p.imagined.success, Some(p.imagined.success_ci95));
        Some(Point { label: &p.name, truth: true_success(p)?, imagined })
    });
    let value = report.policies.iter().filter_map(|p| {
        let imagined = (p.imagined.return_, Some(p.imagined.return_ci95));
        Some(Point { label: &p.name, truth: true_return(p)?, imagined })
    });
    let known = [
        drawn(&format!("Success, imagined against {word}"), SUCCESS, &success.collect::<Vec<_>>(), true),
        drawn(&format!("Return, imagined against {word}"), RETURN, &value.collect::<Vec<_>>(), false),
    ];
    let table = report.scorecard.as_ref().map_or(String::new(), |card| html(&card.table()));
    let conclusions = report.scorecard.as_ref().map_or(String::new(), |card| html(&card.conclusions()));
    // Beside a lonely drawing there is room.
    let is_lonely = known.iter().filter(|drawn| !drawn.is_empty()).count() == 1;
    let (beside_it, below) =
        if is_lonely { (format!("<div>{conclusions}</div>"), String::new()) } else { (String::new(), conclusions) };
    let recorded = told(|out| {
        checks::recorded(report, out)?;
        checks::counterfactuals(report.counterfactuals.as_ref(), out)
    });
    let recorded =
        if recorded.is_empty() { recorded } else { format!("<div>{}</div>", recorded.replace("h2>", "h3>")) };
    let body = beside("charts", &[known.concat(), beside_it])
        + &table
        + &below
        + &beside("charts", &[whole_episodes(report), recorded]);
    if body.is_empty() { body } else { format!("<h2>Is the judge to be believed?</h2>{body}") }
}

/// What needs no known policy: episodes whose outcome is recorded.
fn whole_episodes(report: &Report) -> String {
    let Some(whole) = &report.world_model.whole_episodes else { return String::new() };
    let both = whole.value.imagined.iter().zip(&whole.value.recorded);
    let points: Vec<Point<'_>> = both
        .map(|(&imagined, &recorded)| Point {
            label: "",
            truth: (f64::from(recorded), None),
            imagined: (f64::from(imagined), None),
        })
        .collect();
    let about = format!(
        "of {} held-out episodes, along their own actions without looking; on the diagonal imagination is right",
        points.len()
    );
    let drawn = scatter((&format!("recorded {RETURN}"), &format!("imagined {RETURN}")), &points, false);
    figure("Return, imagined against recorded", &about, &drawn)
}
