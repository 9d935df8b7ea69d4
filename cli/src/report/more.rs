//! What newly recorded episodes changed, where a run goes on from another one.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::markdown::{between, number_in, points, share, small};
use super::{Difference, ImaginedScore, Verdict};

/// What newly recorded episodes changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MoreReport {
    /// The run gone on from.
    pub from: String,
    /// Where the new episodes came from.
    pub source: String,
    /// Number of the first of them: they are numbered on behind the earlier ones.
    pub first_episode: usize,
    /// How many of them are held out.
    pub held_out_episodes: usize,
    /// Share of what was drawn for training that is of them, 0 to 1.
    pub share: f64,
    /// How their rewards and success were read.
    pub reward_rule: String,
    /// Texts of their tasks that no earlier episode had.
    pub unknown_tasks: Vec<String>,
    /// What was recorded in the earlier episodes of the same robot, and in the new ones.
    pub recorded: [RecordedReport; 2],
    /// What the old run's report imagined of the policy that went in; `None` where it has no report.
    pub imagined_before: Option<ImaginedScore>,
    /// The world model's errors before and after, on earlier and on new held-out episodes.
    pub foreseen: Vec<ForeseenChange>,
    /// Paired imagined gain in return of the new policy over the one that went in; widened as the verdict's.
    pub gain: Difference,
    /// The same in success.
    pub success_gain: Difference,
    /// May the new policy take the place of the one that went in?
    pub verdict: Verdict,
    /// What leaves is what went in.
    pub is_unchanged: bool,
}

/// A mean and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// Mean.
    pub mean: f64,
    /// Its interval, bootstrapped over episodes.
    pub ci95: [f64; 2],
}

impl From<(f64, [f64; 2])> for Mean {
    fn from((mean, ci95): (f64, [f64; 2])) -> Self {
        Self { mean, ci95 }
    }
}

/// What came of recorded episodes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedReport {
    /// How many.
    pub episodes: usize,
    /// Discounted return from the first step.
    #[serde(rename = "return")]
    pub return_: Mean,
    /// Share of successes.
    pub success: Mean,
}

/// Mean squared errors of the world model before and after it learned from the new episodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForeseenChange {
    /// Held-out episodes: `earlier` or `new`.
    pub on: String,
    /// `state` or a camera.
    pub modality: String,
    /// Control steps ahead.
    pub h: usize,
    /// Of the old run's model.
    pub before: f64,
    /// Of this run's.
    pub after: f64,
    /// Of saying that nothing changes.
    pub copy_last: f64,
}

pub(super) fn write(more: &MoreReport, out: &mut String) -> std::fmt::Result {
    writeln!(out, "## What the new episodes changed\n")?;
    let [earlier, new] = &more.recorded;
    writeln!(out, "**{}**: {}\n", super::markdown::decision(more.verdict.decision), more.verdict.why)?;
    writeln!(
        out,
        "Gone on from {} with {}: {} episodes, numbered from {} on, {} of them held out, {:.0} % of what was drawn. {} Encoder and \
         normalisers are the old ones; the rest goes on from its old weights.\n",
        more.from,
        more.source,
        new.episodes,
        more.first_episode,
        more.held_out_episodes,
        100.0 * more.share,
        more.reward_rule
    )?;
    if !more.unknown_tasks.is_empty() {
        writeln!(
            out,
            "Tasks that no earlier episode had: {}. The code of the tasks is the old one: they are taken for what they are most like.\n",
            more.unknown_tasks.join(", ")
        )?;
    }
    writeln!(out, "| recorded | episodes | success | return |\n|---|---|---|---|")?;
    for (which, r) in [("earlier", earlier), ("new", new)] {
        let (success, value) = (share(r.success.mean, r.success.ci95), number_in(r.return_.mean, r.return_.ci95));
        writeln!(out, "| {which} | {} | {success} | {value} |", r.episodes)?;
    }
    if let Some(imagined) = &more.imagined_before {
        writeln!(
            out,
            "\nIf the new episodes are of the policy that went in: before they were recorded, it was imagined to succeed in {} and to return {}.",
            share(imagined.success, imagined.success_ci95),
            number_in(imagined.return_, imagined.return_ci95)
        )?;
    }
    if !more.foreseen.is_empty() {
        writeln!(
            out,
            "\n| held out | what | h | model before | model after | nothing changes |\n|---|---|---|---|---|---|"
        )?;
        for row in &more.foreseen {
            let [before, after, copy] = [row.before, row.after, row.copy_last].map(small);
            writeln!(out, "| {} | {} | {} | {before} | {after} | {copy} |", row.on, row.modality, row.h)?;
        }
    }
    writeln!(
        out,
        "\nThe new policy against the one that went in (`previous`), both in the new model: success {}; return {:+.3} {}.\n",
        points(&more.success_gain),
        more.gain.mean,
        between(more.gain.ci95, |x| format!("{x:+.3}"))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Decision;

    #[test]
    fn what_changed_in_words() {
        let mean = |mean: f64| Mean { mean, ci95: [mean - 0.1, mean + 0.1] };
        let more = MoreReport {
            from: "runs/old".into(),
            source: "new".into(),
            first_episode: 300,
            held_out_episodes: 9,
            share: 0.5,
            reward_rule: "Reward is the column next.reward.".into(),
            unknown_tasks: vec!["pull".into()],
            recorded: [
                RecordedReport { episodes: 300, return_: mean(0.7), success: mean(0.3) },
                RecordedReport { episodes: 60, return_: mean(0.8), success: mean(0.6) },
            ],
            imagined_before: None,
            foreseen: vec![ForeseenChange {
                on: "new".into(),
                modality: "state".into(),
                h: 20,
                before: 0.4,
                after: 0.3,
                copy_last: 2.0,
            }],
            gain: Difference { mean: 0.02, ci95: [0.01, 0.03] },
            success_gain: Difference { mean: 0.05, ci95: [-0.01, 0.11] },
            verdict: Verdict { decision: Decision::Go, why: "it is better.".into() },
            is_unchanged: false,
        };
        let mut text = String::new();
        write(&more, &mut text).expect("a String takes everything");
        for line in [
            "**GO**: it is better.",
            "Gone on from runs/old with new: 60 episodes, numbered from 300 on, 9 of them held out, 50 % of what was drawn. ",
            "Tasks that no earlier episode had: pull. ",
            "| new | 60 | 60 % [50, 70] | 0.80 [0.70, 0.90] |",
            "| new | state | 20 | 0.400 | 0.300 | 2.00 |",
            "success +5.0 points [-1.0, +11.0]; return +0.020 [+0.010, +0.030].",
        ] {
            assert!(text.contains(line), "'{line}' is not in: {text}");
        }
    }
}
