//! The judge judged: imagined scores beside outcomes that are known, driven in the simulator or told with `--known`.

use rl::TrackRecord;
use rl::conformal::residual;
use rl::scorecard::{Decisions, Entry, Exploitability, Known, Scorecard, Subject, calibrated};

use super::judge::Judged;
use crate::report::{EstimatedReturn, Estimators, JudgeReport, PolicyReport};

/// The policies of which the truth is known, driven or told.
pub fn subjects<'a>(judged: &'a [Judged], policies: &[PolicyReport]) -> Vec<Subject<'a>> {
    let is_known = |p: &&PolicyReport| p.truth.is_some() || p.known.is_some_and(|k| k.return_.is_some());
    let returns = || policies.iter().filter(is_known).map(|p| p.imagined.return_);
    let spread = returns().fold(f64::MIN, f64::max) - returns().fold(f64::MAX, f64::min);
    let subject = |(j, p): (&'a Judged, &PolicyReport)| {
        let told = |mean: f64, ci95: Option<[f64; 2]>| Known { mean, ..Known::of(&[], ci95.unwrap_or_default()) };
        let (value, success) = match (&j.truth, p.truth, p.known) {
            (Some(t), Some(score), _) => {
                (Some(Known::of(&t.value, score.return_ci95)), Some(Known::of(&t.success, score.success_ci95)))
            }
            (_, _, Some(k)) => {
                (k.return_.map(|x| told(x, k.return_ci95())), k.success.map(|x| told(x, k.success_ci95)))
            }
            _ => return None,
        };
        let needed = value.map(|known| residual(p.imagined.return_, p.imagined.return_ci95, known.mean, spread));
        Some(Subject {
            name: &j.name,
            imagined: &j.imagined,
            is_paired: j.at.is_none(),
            value,
            success,
            residual: needed,
        })
    };
    judged.iter().zip(policies).filter_map(subject).collect()
}

fn entry((imagined, imagined_ci95): (f64, [f64; 2]), known: Known<'_>) -> Entry {
    Entry { imagined: imagined as f32, imagined_ci95, known: known.mean as f32, known_se: known.se }
}

/// Imagined against known scores, where some are known.
pub fn scorecard(
    subjects: &[Subject<'_>],
    policies: &[PolicyReport],
    record: Option<[&TrackRecord; 2]>,
    (resamples, seed): (usize, u64),
) -> Option<JudgeReport> {
    let report = |subject: &Subject<'_>| policies.iter().find(|p| p.name == subject.name);
    let by = |entry: &dyn Fn(&Subject<'_>, &PolicyReport) -> Option<Entry>| {
        let entries = subjects.iter().filter_map(|subject| entry(subject, report(subject)?));
        Scorecard::of(&entries.collect::<Vec<_>>(), resamples, seed)
    };
    let estimator = |name: &str, pick: fn(&Estimators) -> Option<EstimatedReturn>| {
        let card =
            by(&|s, p| pick(&p.estimators).zip(s.value).map(|(e, known)| entry((e.return_, e.return_ci95), known)));
        (card.policies > 2).then(|| (name.to_owned(), card))
    };
    let estimators = [estimator("fitted Q", |e| e.fitted_q), estimator("doubly robust", |e| e.doubly_robust)];
    let of_returns = record.map(|[value, _]| value);
    let [decisions, widened] = Decisions::of(subjects, of_returns, resamples, seed);
    (!subjects.is_empty()).then(|| JudgeReport {
        estimators: estimators.into_iter().flatten().collect(),
        success: by(&|s, p| s.success.map(|known| entry((p.imagined.success, p.imagined.success_ci95), known))),
        return_: by(&|s, p| s.value.map(|known| entry((p.imagined.return_, p.imagined.return_ci95), known))),
        decisions,
        decisions_widened: Some(widened),
        conformal: calibrated(subjects, &[]),
        exploitability: Exploitability::of(subjects, "cloned", record, resamples, seed),
    })
}
