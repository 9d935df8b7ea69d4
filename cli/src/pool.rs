//! `rehearsal pool`: several runs of the same experiment, usually its seeds, read as one.
//!
//! Outcomes are kept per start and per true episode in each run's `outcomes.json`; differences are paired within a run
//! and the bootstrap resamples all pairs together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rl::evaluate::interval;
use rl::scorecard::{Entry, Scorecard};
use rl::track_record::{self, TrackRecord};
use serde::{Deserialize, Serialize};
use world_model::agreement::mean as mean_of;

use crate::config_file;
use crate::errors::UsageError;
use crate::output;
use crate::report::{Difference, FEW, Report, WholeEpisodes, between, card_words, points, same_order, share};

/// File in a run directory.
pub const FILE: &str = "outcomes.json";

const RESAMPLES: usize = 4000;

/// One policy's outcomes, per start (imagined) or per episode (true).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcomes {
    /// Discounted return, units of the reward.
    pub value: Vec<f32>,
    /// Success: a probability when imagined, 0 or 1 in truth.
    pub success: Vec<f32>,
}

/// A policy of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyOutcomes {
    /// In imagination.
    pub imagined: Outcomes,
    /// In the simulator, where there is one.
    pub truth: Option<Outcomes>,
}

/// `outcomes.json`: policies by name.
pub type RunOutcomes = BTreeMap<String, PolicyOutcomes>;

/// A mean with its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Mean {
    mean: f64,
    ci95: [f64; 2],
}

impl Mean {
    fn within(self, low: f64, high: f64) -> Self {
        Self { ci95: self.ci95.map(|bound| bound.clamp(low, high)), ..self }
    }
}

#[derive(Debug, Serialize)]
struct Row {
    policy: String,
    imagined_return: Mean,
    imagined_success: Mean,
    true_return: Option<Mean>,
    true_success: Option<Mean>,
}

/// Where the imagined order of the policies is the true one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Orders {
    /// Runs in which it is.
    runs: usize,
    /// Whether the pooled scores say so.
    pooled: bool,
}

#[derive(Debug, Serialize)]
struct Pooled {
    runs: Vec<PathBuf>,
    /// Policies that were not judged in every run.
    left_out: Vec<String>,
    policies: Vec<Row>,
    /// `improved` minus `cloned`, true success, in each run.
    gain_by_run: Vec<Difference>,
    /// The same over all runs.
    gain: Option<Difference>,
    /// Whether the imagined order of the policies is the true one, by success.
    order_by_success: Orders,
    /// The same by return.
    order_by_return: Orders,
    /// How far the pooled scores agree, by success and by return; `None` without a truth for all.
    scorecard: Option<[Scorecard; 2]>,
}

/// Reads the runs and answers as text or JSON.
///
/// # Errors
/// A run without outcomes, or with other policies than the rest.
pub fn pool(dirs: &[PathBuf], json: bool) -> Result<()> {
    let places: Vec<PathBuf> = dirs.iter().map(|dir| dir.canonicalize().unwrap_or_else(|_| dir.clone())).collect();
    if let Some(i) = (1..places.len()).find(|&i| places[..i].contains(&places[i])) {
        return Err(UsageError(format!(
            "{} is named twice; expected different runs, as the same episodes counted twice look like twice the evidence",
            dirs[i].display()
        ))
        .into());
    }
    let runs = dirs.iter().map(|dir| load(dir)).collect::<Result<Vec<_>>>()?;
    let reports = dirs.iter().map(|dir| Report::load(dir)).collect::<Result<Vec<_>>>()?;
    same_experiment(dirs, &reports)?;
    // How wrong each model was about whole held-out episodes; nothing where a report does not say.
    let records: Vec<WholeEpisodes> =
        reports.into_iter().map(|report| report.world_model.whole_episodes.unwrap_or_default()).collect();
    let pooled = pooled(dirs, &runs, &records)?;
    if json {
        return output::answer_json(&pooled);
    }
    output::answer(&words(&pooled));
    Ok(())
}

/// Refuses runs that differ in more than the seed, and in where a demo wrote its episodes.
fn same_experiment(dirs: &[PathBuf], reports: &[Report]) -> Result<()> {
    let texts: Vec<Option<String>> =
        dirs.iter().map(|dir| std::fs::read_to_string(dir.join("run.toml")).ok()).collect();
    for (i, (text, report)) in texts.iter().zip(reports).enumerate().skip(1) {
        let (Some(first), Some(text)) = (&texts[0], text) else { continue };
        let is_demo =
            report.config.pointer("/demo/episodes").and_then(serde_json::Value::as_u64).is_some_and(|n| n > 0);
        let is_own = |key: &str| key.starts_with("seed:") || is_demo && key.starts_with("data.path:");
        let mut differ = config_file::differences(first, text)?;
        // Settings that one of the two versions does not know are what they were before there was a choice.
        differ.retain(|key| !is_own(key) && !key.contains(": unset → ") && !key.ends_with(" → unset"));
        if !differ.is_empty() {
            return Err(UsageError(format!(
                "{} was made otherwise than {} ({}); expected runs of one experiment, which differ in their seeds",
                dirs[i].display(),
                dirs[0].display(),
                differ.join(", ")
            ))
            .into());
        }
    }
    Ok(())
}

fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.cloned().collect::<Vec<_>>().join(", ")
}

fn load(dir: &Path) -> Result<RunOutcomes> {
    let path = dir.join(FILE);
    let text = std::fs::read(&path).map_err(|e| {
        UsageError(format!(
            "cannot read {} ({e}); expected a run directory of `rehearsal demo` or `rehearsal run` that is complete",
            path.display()
        ))
    })?;
    serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))
}

fn mean(parts: &[&[f32]]) -> Mean {
    let (mean, ci95) = interval(&parts.concat(), RESAMPLES, 0);
    Mean { mean, ci95 }
}

fn pooled(dirs: &[PathBuf], runs: &[RunOutcomes], records: &[WholeEpisodes]) -> Result<Pooled> {
    let in_all = |name: &&String| runs.iter().all(|run| run.contains_key(*name));
    let names: Vec<&String> = runs.first().map(|r| r.keys().filter(in_all).collect()).unwrap_or_default();
    if names.is_empty() {
        let each: Vec<String> =
            dirs.iter().zip(runs).map(|(dir, run)| format!("{}: {}", dir.display(), list(run.keys()))).collect();
        return Err(UsageError(format!("no policy was judged in all of these runs; found {}", each.join("; "))).into());
    }
    // A copy that was not returned is there only where one was not.
    let all: BTreeSet<&String> = runs.iter().flat_map(|run| run.keys()).collect();
    let left_out = all.into_iter().filter(|name| !names.contains(name)).cloned().collect();
    let mut policies: Vec<Row> = names
        .iter()
        .map(|&name| {
            let of = |pick: fn(&Outcomes) -> &Vec<f32>, record: fn(&WholeEpisodes) -> &TrackRecord| {
                let parts: Vec<(&[f32], &TrackRecord)> = runs
                    .iter()
                    .zip(records)
                    .map(|(r, whole)| (pick(&r[name].imagined).as_slice(), record(whole)))
                    .collect();
                let (mean, ci95) = track_record::interval(&parts, RESAMPLES, 0);
                Mean { mean, ci95 }
            };
            let truth = |pick: fn(&Outcomes) -> &Vec<f32>| {
                let parts: Option<Vec<&[f32]>> =
                    runs.iter().map(|r| r[name].truth.as_ref().map(|t| pick(t).as_slice())).collect();
                parts.map(|p| mean(&p))
            };
            Row {
                policy: name.clone(),
                imagined_return: of(|o| &o.value, |whole| &whole.value),
                imagined_success: of(|o| &o.success, |whole| &whole.success).within(0.0, 1.0),
                true_return: truth(|o| &o.value),
                true_success: truth(|o| &o.success),
            }
        })
        .collect();
    policies.sort_by(|a, b| a.imagined_return.mean.total_cmp(&b.imagined_return.mean));
    let pairs: Vec<[Vec<f32>; 2]> = runs
        .iter()
        .filter_map(|run| {
            let (improved, cloned) = (run.get("improved")?.truth.as_ref()?, run.get("cloned")?.truth.as_ref()?);
            Some([improved.success.clone(), cloned.success.clone()])
        })
        .collect();
    let average = |x: &[f32]| mean_of(x.iter().copied());
    let agree = |run: &RunOutcomes, pick: fn(&Outcomes) -> &Vec<f32>| {
        let own = names.iter().map(|name| &run[*name]);
        let both: Option<Vec<(f64, f64)>> =
            own.map(|p| Some((average(pick(p.truth.as_ref()?)), average(pick(&p.imagined))))).collect();
        both.is_some_and(|b| same_order(&b))
    };
    let orders = |pick: fn(&Outcomes) -> &Vec<f32>, pooled: fn(&Row) -> Option<(f64, f64)>| {
        let both: Option<Vec<(f64, f64)>> = policies.iter().map(pooled).collect();
        Orders { runs: runs.iter().filter(|r| agree(r, pick)).count(), pooled: both.is_some_and(|b| same_order(&b)) }
    };
    let order_by_success = orders(|o| &o.success, |r| Some((r.true_success?.mean, r.imagined_success.mean)));
    let order_by_return = orders(|o| &o.value, |r| Some((r.true_return?.mean, r.imagined_return.mean)));
    let card = |pick: fn(&Row) -> Option<(Mean, Mean)>| {
        let entry = |row: &Row| pick(row).map(|(i, t)| Entry::new((i.mean, i.ci95), (t.mean, t.ci95)));
        let entries: Option<Vec<Entry>> = policies.iter().map(entry).collect();
        entries.map(|entries| Scorecard::of(&entries, RESAMPLES, 0))
    };
    let by_success = card(|r| Some((r.imagined_success, r.true_success?)));
    let by_return = card(|r| Some((r.imagined_return, r.true_return?)));
    Ok(Pooled {
        scorecard: by_success.zip(by_return).map(<[Scorecard; 2]>::from),
        runs: dirs.to_vec(),
        left_out,
        gain_by_run: pairs.iter().map(|[i, c]| Difference::paired(i, c, RESAMPLES, 0)).collect(),
        gain: (!pairs.is_empty()).then(|| {
            let all = |side: usize| pairs.iter().flat_map(|p| p[side].iter().copied()).collect::<Vec<f32>>();
            Difference::paired(&all(0), &all(1), RESAMPLES, 0)
        }),
        order_by_success,
        order_by_return,
        policies,
    })
}

fn words(pooled: &Pooled) -> String {
    let share = |m: &Mean| share(m.mean, m.ci95);
    let number = |m: &Mean| format!("{:.3} {}", m.mean, between(m.ci95, |x| format!("{x:.3}")));
    let or_dash = |m: Option<String>| m.unwrap_or_else(|| "-".into());
    let mut text = format!(
        "# {} runs pooled\n\n| policy | imagined success | imagined return | true success | true return |\n|---|---|---|---|---|\n",
        pooled.runs.len()
    );
    // Writing to a String cannot fail.
    for row in &pooled.policies {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            row.policy,
            share(&row.imagined_success),
            number(&row.imagined_return),
            or_dash(row.true_success.as_ref().map(share)),
            or_dash(row.true_return.as_ref().map(number))
        );
    }
    text.push_str(
        "\n95 % intervals in brackets, bootstrapped over the pooled starts and episodes; imagined ones also over how wrong each \
         model was about whole held-out episodes.\n",
    );
    if !pooled.left_out.is_empty() {
        let _ = writeln!(text, "Not judged in every run, and left out: {}.", list(pooled.left_out.iter()));
    }
    if let Some(gain) = &pooled.gain {
        let each: Vec<String> = pooled.gain_by_run.iter().map(|d| format!("{:+.0}", 100.0 * d.mean)).collect();
        let _ = writeln!(
            text,
            "\nimproved against cloned, true success, paired: {} (by run: {}).",
            points(gain),
            each.join(", ")
        );
        // Of many policies some are all but equal: then the scorecard tells more than the order.
        if let Some([success, value]) = pooled.scorecard.as_ref().filter(|_| pooled.policies.len() > FEW) {
            let _ = write!(text, "\n{}{}", card_words("success", success), card_words("return", value));
            return text;
        }
        for (what, orders) in [("success", pooled.order_by_success), ("return", pooled.order_by_return)] {
            let _ = writeln!(
                text,
                "By {what}, imagination orders the policies as the truth does in {} of {} runs; pooled: {}.",
                orders.runs,
                pooled.runs.len(),
                if orders.pooled { "yes" } else { "no" }
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(improved: &[f32], cloned: &[f32], imagined: [f32; 2]) -> RunOutcomes {
        let policy = |imagined: f32, truth: &[f32]| PolicyOutcomes {
            imagined: Outcomes { value: vec![imagined; 3], success: vec![imagined; 3] },
            truth: Some(Outcomes { value: truth.to_vec(), success: truth.to_vec() }),
        };
        [("improved", policy(imagined[0], improved)), ("cloned", policy(imagined[1], cloned))]
            .map(|(name, p)| (name.to_owned(), p))
            .into()
    }

    #[test]
    fn pools_pairs_and_orders() {
        let runs = [run(&[1.0, 1.0, 0.0], &[0.0, 1.0, 0.0], [0.9, 0.2]), run(&[1.0, 0.0, 1.0], &[0.0; 3], [0.1, 0.2])];
        let dirs = [PathBuf::from("a"), PathBuf::from("b")];
        let pooled =
            pooled(&dirs, &runs, &[WholeEpisodes::default(), WholeEpisodes::default()]).expect("the same policies");
        let gain = pooled.gain.expect("both were driven");
        assert!((gain.mean - 0.5).abs() < 1e-9 && gain.ci95[0] < 0.5 && gain.ci95[1] > 0.5);
        let orders = Orders { runs: 1, pooled: true };
        assert_eq!(pooled.order_by_return, orders, "the second run imagines the clone above the improved policy");
        assert_eq!(pooled.order_by_success, orders);
        let text = words(&pooled);
        assert!(text.contains("paired: +50.0 points") && text.contains("in 1 of 2 runs; pooled: yes"), "{text}");
    }

    #[test]
    fn policies_that_not_every_run_has_are_left_out_and_named() {
        let mut other = run(&[1.0], &[0.0], [0.5, 0.5]);
        other.remove("cloned");
        let dirs = [PathBuf::from("a"), PathBuf::from("b")];
        let whole = [WholeEpisodes::default(), WholeEpisodes::default()];
        let first = run(&[1.0], &[0.0], [0.5, 0.5]);
        let both = pooled(&dirs, &[first.clone(), other.clone()], &whole).expect("one policy is in both");
        assert_eq!((both.policies.len(), both.left_out.as_slice()), (1, ["cloned".to_owned()].as_slice()));
        assert!(words(&both).contains("Not judged in every run, and left out: cloned."), "{}", words(&both));
        other.clear();
        let error = pooled(&dirs, &[first, other], &whole).expect_err("nothing in common");
        assert_eq!(error.to_string(), "no policy was judged in all of these runs; found a: cloned, improved; b: ");
    }
}
