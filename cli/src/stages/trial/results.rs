//! What real trials say so far: rates and their difference with intervals that hold at any time, and a sequential verdict.

use std::fmt::Write;
use std::path::Path;

use rl::betting::{Bounded, Says, Sequential, interval, verdict};
use rl::trials::{Imagined, Needed, controlled};
use serde::Serialize;
use world_model::agreement::mean;

use super::plan::{Plan, Start};
use crate::errors::UsageError;
use crate::report::{Difference, points, share};
use crate::table::Table;

/// The table's columns; `return` may be left out.
const COLUMNS: [&str; 4] = ["trial", "start", "policy", "success"];

/// More pairs than this are not foreseen.
const MOST_MORE: usize = 200;

/// The answer with `--json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Results {
    /// Policy that is on the robot.
    from: String,
    /// Policy that may replace it.
    to: String,
    /// Error probability of GO, of NO-GO and of every interval.
    alpha: f64,
    /// The sequential verdict.
    verdict: Sequential,
    /// The same in a sentence.
    why: String,
    /// Pairs with both trials.
    pairs: usize,
    /// `to` minus `from` in success, paired, -1 to 1: mean and interval, helped by what was imagined.
    difference: Difference,
    /// The same from the outcomes alone.
    difference_without_model: Difference,
    /// Of each policy, `from` first.
    policies: [Rate; 2],
    /// How many more pairs are expected; `None` after a verdict.
    more: Option<Needed>,
    /// The trial to make next; `None` after a verdict or after the last.
    next: Option<Next>,
    /// Pairs left out before the last one that was done, by number from 1.
    left_out: Vec<usize>,
}

/// A trial that has not been made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Next {
    /// Its number, from 1.
    trial: usize,
    /// Episode whose first observation is set up.
    start: usize,
    policy: String,
}

/// One policy's trials.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Rate {
    name: String,
    trials: usize,
    successes: usize,
    /// Share of successes, helped by what was imagined, and its interval.
    success: f64,
    success_ci95: [f64; 2],
    /// As imagined over all starts.
    imagined_success: f64,
    /// Mean of the returns that were filled in; `None` without any.
    #[serde(rename = "return")]
    return_: Option<f64>,
}

/// One trial that was made.
struct Made {
    start: usize,
    success: f64,
    return_: Option<f64>,
}

/// Reads a table by its plan.
///
/// # Errors
/// A row that is none of the plan's, or stands there twice; an outcome that is none. Each names its line.
pub fn read(plan: &Plan, file: &Path) -> Result<Results, UsageError> {
    let table = Table::read(file, &COLUMNS)?;
    let mut made: Vec<Option<Made>> = Vec::new();
    made.resize_with(2 * plan.pairs.len(), || None);
    let mut lines = vec![None; made.len()];
    for row in table.rows() {
        let number = row.get("trial").parse::<usize>().ok();
        let Some((trial, (pair, policy))) = number.and_then(|trial| Some((trial, plan.policy_of(trial)?))) else {
            let expected = format!("a number of the plan's, from 1 to {}", made.len());
            return Err(row.wrong(&format!("is of trial '{}'", row.get("trial")), &expected));
        };
        let (found, planned) = ((row.get("policy"), row.get("start")), (policy, pair.start.to_string()));
        if found != (planned.0, planned.1.as_str()) {
            let found = format!("has trial {trial} of '{}' from the start of episode '{}'", found.0, found.1);
            let expected = format!(
                "{policy} from that of episode {}, as planned: order and starts were drawn so that the trials can be judged",
                pair.start
            );
            return Err(row.wrong(&found, &expected));
        }
        if let Some(earlier) = lines[trial - 1].replace(row.line()) {
            return Err(row.wrong(&format!("is of trial {trial} again, after line {earlier}"), "one line per trial"));
        }
        let success = row.number("success", "0, 1, or nothing while it has not been made", |x| x == 0.0 || x == 1.0)?;
        let return_ = row.number("return", "a number, or nothing", |_| true)?;
        let start = plan.starts.iter().position(|start| start.episode == pair.start).unwrap_or(0);
        if success.is_none() && return_.is_some() {
            return Err(row.wrong("has a return and no success", "a success, 0 or 1, of every trial that was made"));
        }
        made[trial - 1] = success.map(|success| Made { start, success, return_ });
    }
    Ok(judged(plan, &made))
}

fn judged(plan: &Plan, made: &[Option<Made>]) -> Results {
    let predicted = |pick: fn(&Start) -> f64| plan.starts.iter().map(pick).collect::<Vec<f64>>();
    let (old, new) = (predicted(|s| s.from.success), predicted(|s| s.to.success));
    let imagined = Imagined { old: &old, new: &new };
    let is_new = |trial: usize| plan.policy_of(trial + 1).is_some_and(|(_, policy)| policy == plan.to);
    let pairs: Vec<Option<(usize, f64)>> = made
        .chunks_exact(2)
        .enumerate()
        .map(|(pair, both)| {
            let (first, second) = (both[0].as_ref()?, both[1].as_ref()?);
            let gain = second.success - first.success;
            Some((first.start, if is_new(2 * pair) { -gain } else { gain }))
        })
        .collect();
    let seen: Vec<(usize, f64)> = pairs.iter().flatten().copied().collect();
    let differences: Vec<f64> = seen.iter().map(|pair| pair.1).collect();
    let gains = imagined.gains();
    let foreseen: Vec<f64> = seen.iter().map(|pair| gains[pair.0]).collect();
    let helped = controlled(&differences, &foreseen, &gains, [-1.0, 1.0]);
    let said = verdict(&helped, plan.alpha);
    let rate = |name: &str, all: &[f64], new: bool| {
        let own = || made.iter().enumerate().filter(|(i, _)| is_new(*i) == new).filter_map(|(_, made)| made.as_ref());
        let outcomes: Vec<f64> = own().map(|m| m.success).collect();
        let foreseen: Vec<f64> = own().map(|m| all[m.start]).collect();
        let returns: Vec<f64> = own().filter_map(|m| m.return_).collect();
        let about = estimate(&controlled(&outcomes, &foreseen, all, [0.0, 1.0]), [0.0, 1.0], plan.alpha);
        Rate {
            name: name.to_owned(),
            trials: outcomes.len(),
            successes: outcomes.iter().filter(|&&x| x > 0.5).count(),
            success: about.mean,
            success_ci95: about.ci95,
            imagined_success: mean(all.iter().copied()),
            return_: (!returns.is_empty()).then(|| mean(returns.iter().copied())),
        }
    };
    let is_open = said.decision == Says::Continue;
    let last = pairs.iter().rposition(Option::is_some).unwrap_or(0);
    let more = is_open.then(|| imagined.more(&seen, MOST_MORE, plan.seed));
    let results = Results {
        from: plan.from.clone(),
        to: plan.to.clone(),
        alpha: plan.alpha,
        verdict: said,
        why: String::new(),
        pairs: seen.len(),
        difference: estimate(&helped, [-1.0, 1.0], plan.alpha),
        difference_without_model: estimate(&controlled(&differences, &[], &[], [-1.0, 1.0]), [-1.0, 1.0], plan.alpha),
        policies: [rate(&plan.from, &old, false), rate(&plan.to, &new, true)],
        more,
        next: made.iter().position(Option::is_none).filter(|_| is_open).and_then(|i| {
            let (pair, policy) = plan.policy_of(i + 1)?;
            Some(Next { trial: i + 1, start: pair.start, policy: policy.to_owned() })
        }),
        left_out: (0..last).filter(|&pair| pairs[pair].is_none()).map(|pair| pair + 1).collect(),
    };
    Results { why: results.reason(), ..results }
}

/// Mean of what is left of the outcomes, kept within its interval.
fn estimate(values: &[Bounded], range: [f64; 2], alpha: f64) -> Difference {
    let [low, high] = interval(values, range, alpha);
    let middle = if values.is_empty() { (low + high) / 2.0 } else { mean(values.iter().map(|y| y.value)) };
    Difference { mean: middle.max(low).min(high), ci95: [low, high] }
}

impl Results {
    /// The verdict in a sentence.
    fn reason(&self) -> String {
        let (from, to, needed) = (&self.from, &self.to, 1.0 / self.alpha);
        let Sequential { decision, after, capital_better, capital_worse } = self.verdict;
        let after = after.unwrap_or(self.pairs);
        let bet = |on: &str| {
            format!(
                "after {after} pairs a bet on its being {on} had grown {needed:.0}-fold; if it were not, one series in {needed:.0} would do that at most"
            )
        };
        match decision {
            Says::Go => format!("{to} succeeds more often than {from}: {}.", bet("better")),
            Says::NoGo => format!("{to} succeeds less often than {from}; keep {from}: {}.", bet("worse")),
            Says::Continue => format!(
                "after {after} pairs a bet on {to} being better has grown {capital_better:.1}-fold at most and one on its being worse {capital_worse:.1}-fold; {needed:.0}-fold is a verdict."
            ),
        }
    }

    /// What is said on the screen.
    pub fn words(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let decision = match self.verdict.decision {
            Says::Go => "GO",
            Says::NoGo => "NO-GO",
            Says::Continue => "CONTINUE",
        };
        writeln!(out, "# Trials of {} in place of {}\n\n**{decision}**: {}\n", self.to, self.from, self.why)?;
        writeln!(out, "| policy | trials | successes | rate of success | imagined |\n|---|---|---|---|---|")?;
        for rate in &self.policies {
            let imagined = 100.0 * rate.imagined_success;
            writeln!(
                out,
                "| {} | {} | {} | {} | {imagined:.0} % |",
                rate.name,
                rate.trials,
                rate.successes,
                share(rate.success, rate.success_ci95)
            )?;
        }
        writeln!(
            out,
            "\nDifference in success over {} pairs: {}; by the trials alone {}. In brackets {:.0} % intervals that hold however often one \
             looks: two-sided, while each verdict is one-sided at {:.0} % and may come a little earlier. All but the last are corrected, by what was imagined, for easy or hard starts having been drawn.",
            self.pairs,
            points(&self.difference),
            points(&self.difference_without_model),
            100.0 * (1.0 - self.alpha),
            100.0 * self.alpha
        )?;
        for (rate, value) in self.policies.iter().filter_map(|rate| Some((rate, rate.return_?))) {
            writeln!(out, "Mean return of {}, as filled in: {value:.3}.", rate.name)?;
        }
        if let Some(more) = &self.more {
            let count = |n: Option<usize>| n.map_or(format!("more than {MOST_MORE}"), |n| n.to_string());
            writeln!(
                out,
                "\nTo a verdict: {} more pairs in half of the series that go on like this, {} in four of five.",
                count(more.half),
                count(more.four_of_five)
            )?;
            match &self.next {
                Some(Next { trial, start, policy }) => {
                    writeln!(out, "Next: trial {trial}, {policy} from the start of episode {start}.")?;
                }
                None => writeln!(out, "All planned pairs have been made: the two cannot be told apart by so many.")?,
            }
        }
        if !self.left_out.is_empty() {
            let pairs: Vec<String> = self.left_out.iter().map(ToString::to_string).collect();
            writeln!(
                out,
                "\nLeft out before the last pair: {}. That is sound only if it had nothing to do with how they went.",
                pairs.join(", ")
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
