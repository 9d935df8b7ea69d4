//! `rehearsal evaluate`: policies of a finished run, and others beside them, judged anew.

use std::path::Path;

use anyhow::Result;
use rl::track_record::is_bounded;
use viz::{EvaluationView, ScoreChart, ScoreRow, SheetRow};

use super::outsider::Outsider;
use super::reporting::Found;
use super::variant::Variant;
use super::workshop::Workshop;
use super::{known, reopen};
use crate::args::Common;
use crate::errors::UsageError;
use crate::interrupt;
use crate::report::{PolicyReport, Report};
use crate::run_dir::write_error;
use crate::{live, output};

/// Judgement of named policies; all of the run's where none is named; beside them those of which `file` tells the outcomes.
///
/// # Errors
/// A run without world model, a policy that is not there; as [`known::read`] and [`known::check_returns`]; an `--out` that cannot be written.
pub fn evaluate(
    dir: &Path,
    policies: &[String],
    outsiders: &[String],
    file: Option<&Path>,
    common: &Common,
) -> Result<()> {
    // Before anything is read: a misspelt name is told at once.
    let policies: Vec<Variant> = policies.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
    let outsiders = Outsider::all(outsiders)?;
    let known = file.map_or(Ok(Vec::new()), |file| known::read(file, &outsiders))?;
    common.out.as_deref().map_or(Ok(()), |out| check_beside(out, dir))?;
    outsiders.iter().try_for_each(Outsider::reach)?;
    let mut w = reopen(dir, common)?;
    interrupt::install(interrupt::WHOLE_OR_NOT)?;
    if let Some(file) = file {
        known::check_returns(file, &known, &w.corpus.returns)?;
    }
    let mut guests = outsiders.iter().map(|outsider| w.invite(outsider)).collect::<Result<Vec<_>>>()?;
    // What cannot be written is told before minutes of imagining.
    if let Some(out) = &common.out {
        std::fs::create_dir_all(out).map_err(|e| write_error(out, &e))?;
    }
    let mut names: Vec<String> = if policies.is_empty() {
        let own = w.own_policies();
        own.into_iter().filter(|n| n != "improved" || w.run.is_complete("improve")).collect()
    } else {
        policies.iter().map(ToString::to_string).collect()
    };
    let is_outside = |name: &String| outsiders.iter().any(|outsider| outsider.name == *name);
    let more = known.iter().map(|(name, _)| name).filter(|name| !is_outside(name) && !names.contains(name));
    names.extend(more.cloned().collect::<Vec<_>>());
    let embeddings = w.embeddings()?;
    let model = w.model()?;
    let quality = w.quality(&model, &embeddings);
    w.select(&model, &embeddings, &quality)?;
    let mut judged = w.imagine_all(&model, &embeddings, &names, &mut guests)?;
    w.fit_all(&embeddings, &mut judged, &guests)?;
    let found = Found { quality, slices: w.slices(&embeddings), counterfactuals: None, more: None, known };
    let report = w.report("evaluate", &w.run.manifest().device, &judged, found)?;
    if let Some(out) = &common.out {
        // Futures are compared by values; a run without them has no films.
        let films = w.minds().map_or(Ok(Vec::new()), |minds| w.films(&minds, &embeddings))?;
        report.save(out, &w.pictures(films))?;
        output::tell(&format!("report     {}", out.join("report.html").display()));
    }
    show_evaluation(&w, &report)?;
    if common.json {
        return output::answer_json(&report);
    }
    output::answer(&report.to_markdown());
    Ok(())
}

/// A later judgement must not take the place of the run's own.
fn check_beside(out: &Path, run: &Path) -> Result<()> {
    if out.is_file() {
        return Err(
            UsageError(format!("--out {} is a file; expected a directory for the report", out.display())).into()
        );
    }
    if std::fs::canonicalize(out).is_ok_and(|out| std::fs::canonicalize(run).is_ok_and(|run| out == run)) {
        return Err(UsageError(format!("--out {} is the run, whose own report stays as it is", out.display())).into());
    }
    Ok(())
}

/// Shows the scores in a running viewer, where there is one; nothing is written.
fn show_evaluation(w: &Workshop, report: &Report) -> Result<()> {
    let Some(viewer) = live::viewer() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let name = format!("{} evaluation", w.run.root().display());
    let mut recorder =
        viz::Recorder::shown(&folder.path().join("evaluation.rrd"), "rehearsal evaluation", &name, Some(viewer))?;
    recorder.evaluation(&evaluation_view(report, Vec::new()))?;
    recorder.text("report", &report.to_markdown())?;
    recorder.finish()?;
    Ok(())
}

/// The report's policies side by side, above film strips: as imagined, and as they truly are where that was driven or told.
pub(super) fn evaluation_view(report: &Report, strips: Vec<SheetRow>) -> EvaluationView {
    type Known = (&'static str, f64, Option<[f64; 2]>);
    let chart = |name: &str, title: &str, of: fn(&PolicyReport) -> [Option<Known>; 3]| {
        // What was told without an interval has none; what is not known of one is not drawn.
        let bounds = |mean: f64, ci95: Option<[f64; 2]>| match ci95 {
            None => [mean; 2],
            Some(ci95) if is_bounded(ci95) => ci95,
            Some(_) => [f64::NAN; 2],
        };
        let scores = |p: &PolicyReport| {
            let found = of(p).into_iter().flatten();
            found.map(|(kind, mean, ci95)| (kind.to_owned(), mean, bounds(mean, ci95))).collect()
        };
        ScoreChart {
            name: name.to_owned(),
            title: title.to_owned(),
            rows: report.policies.iter().map(|p| ScoreRow { name: p.name.clone(), scores: scores(p) }).collect(),
        }
    };
    let success = chart("success", "success, share of episodes, 95 % intervals", |p| {
        [
            Some(("imagined", p.imagined.success, Some(p.imagined.success_ci95))),
            p.truth.map(|t| ("true", t.success, Some(t.success_ci95))),
            p.known.and_then(|k| Some(("known", k.success?, k.success_ci95))),
        ]
    });
    let value = chart("return", "discounted return, 95 % intervals", |p| {
        [
            Some(("imagined", p.imagined.return_, Some(p.imagined.return_ci95))),
            p.truth.map(|t| ("true", t.return_, Some(t.return_ci95))),
            p.known.and_then(|k| Some(("known", k.return_?, k.return_ci95()))),
        ]
    });
    let decision = serde_json::to_value(report.verdict.decision).unwrap_or_default();
    EvaluationView {
        verdict: format!("# {}\n\n{}\n", decision.as_str().unwrap_or_default(), report.verdict.why),
        charts: vec![success, value],
        strips,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{KnownScore, tests::demo};

    #[test]
    fn known_outcomes_are_drawn_beside_imagined_and_true_ones() {
        let mut report = demo();
        report.policies[0].truth = None;
        report.policies[0].known =
            Some(KnownScore { return_: Some(0.7), return_se: Some(0.1), success: Some(0.2), ..KnownScore::default() });
        let EvaluationView { charts, .. } = evaluation_view(&report, Vec::new());
        let of = |chart: &ScoreChart, row: usize| {
            let kinds = chart.rows[row].scores.iter().map(|(kind, ..)| kind.clone()).collect::<Vec<_>>();
            (kinds.join(" "), chart.rows[row].scores[1].clone())
        };
        assert_eq!(of(&charts[0], 0), ("imagined known".into(), ("known".into(), 0.2, [0.2, 0.2])));
        let (kinds, (_, mean, [low, high])) = of(&charts[1], 0);
        assert_eq!(kinds, "imagined known");
        assert!((mean - low - 0.196).abs() < 1e-9 && (high - mean - 0.196).abs() < 1e-9);
        assert_eq!(of(&charts[1], 1).0, "imagined true");
    }

    #[test]
    fn the_runs_own_report_stays() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let words = check_beside(dir.path(), dir.path()).expect_err("it is the run").to_string();
        assert!(words.ends_with(" is the run, whose own report stays as it is"), "{words}");
        std::fs::write(dir.path().join("file"), "")?;
        let words = check_beside(&dir.path().join("file"), dir.path()).expect_err("no directory").to_string();
        assert!(words.ends_with("file is a file; expected a directory for the report"), "{words}");
        check_beside(&dir.path().join("new"), dir.path())
    }
}
