//! What is imagined of each policy beside return and success, and whether imagination is too kind.

use std::fmt::Write;

use rl::evaluate::{FEWEST_STARTS, RAREST_SUCCESS};
use rl::optimism::{Along, Optimism, Share};
use rl::track_record::is_bounded;
use serde::{Deserialize, Serialize};

use super::Report;
use super::markdown::{between, number_in, share};

/// How far what is imagined of a policy may be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyTrust {
    /// Share of imagined steps within the trust horizon; `None` for the recorded behaviour, which is set back onto its recording.
    pub believed_share: Option<f64>,
    /// Share of imagined steps that disagree more than 95 % of held-out data.
    pub unsupported_share: f64,
}

/// When imagined successes come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TimeToSuccess {
    /// Mean control step of success, given success.
    pub steps: f64,
    /// Its 95 % interval, over starts.
    pub steps_ci95: [f64; 2],
    /// The same in seconds; `None` where nobody knows the control rate.
    pub time_s: Option<f64>,
    /// Its 95 % interval.
    pub time_s_ci95: Option<[f64; 2]>,
}

impl TimeToSuccess {
    /// From steps, at a control rate, 0 where it is not known.
    pub fn of((steps, steps_ci95): (f64, [f64; 2]), rate_hz: f64) -> Self {
        let is_known = rate_hz > 0.0;
        Self {
            steps,
            steps_ci95,
            time_s: is_known.then(|| steps / rate_hz),
            time_s_ci95: is_known
                .then(|| if is_bounded(steps_ci95) { steps_ci95.map(|b| b / rate_hz) } else { steps_ci95 }),
        }
    }

    fn words(&self) -> String {
        // Whether there are bounds is told in steps.
        match (self.time_s, self.time_s_ci95) {
            (Some(mean), Some([low, high])) if is_bounded(self.steps_ci95) => {
                format!("{mean:.1} s [{low:.1}, {high:.1}]")
            }
            (Some(mean), _) => format!("{mean:.1} s [unknown]"),
            (None, _) => format!("{:.0} steps {}", self.steps, between(self.steps_ci95, |x| format!("{x:.0}"))),
        }
    }
}

/// The table under that of return and success.
pub(super) fn write(report: &Report, out: &mut String) -> std::fmt::Result {
    if report.policies.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "More of what is imagined. Undiscounted return: reward until success, another end or the horizon. Time to success: of the \
         imagined successes, not told below {:.0} % of them. Trusted: steps within the trust horizon. Unsupported: steps that disagree \
         more than 95 % of held-out data. Intervals are over starts alone.\n",
        100.0 * RAREST_SUCCESS
    )?;
    writeln!(out, "| policy | undiscounted return | time to success | trusted | unsupported |\n|---|---|---|---|---|")?;
    for p in &report.policies {
        let undiscounted = number_in(p.imagined.undiscounted, p.imagined.undiscounted_ci95);
        let time = p.imagined.time_to_success.map_or("-".to_owned(), |time| time.words());
        let trusted = p.trust.believed_share.map_or("-".to_owned(), |share| format!("{:.0} %", 100.0 * share));
        let unsupported = 100.0 * p.trust.unsupported_share;
        writeln!(out, "| {} | {undiscounted} | {time} | {trusted} | {unsupported:.0} % |", p.name)?;
    }
    writeln!(out)
}

/// Successes imagined beyond those recorded, as a share of the episodes along whose own actions they are imagined, from which on no
/// policy is judged, where the interval is sure of it.
pub const TOO_KIND: f64 = 0.1;

/// The share of recorded failures that imagination turns into successes, where it is sure to be larger than [`TOO_KIND`].
fn turned(o: &Optimism) -> Option<Share> {
    o.recorded_actions.failures.filter(|f| o.failures >= FEWEST_STARTS && f.success_ci95[0] > TOO_KIND)
}

/// What speaks against an imagined success, in one sentence: recorded failures that imagination turns into successes, unless the policy
/// that is `judged` succeeds more often than that beyond doubt, so that kindness alone does not explain it.
pub fn too_kind(o: &Optimism, judged: Share) -> Option<String> {
    let failures = turned(o).filter(|failures| judged.success_ci95[0] <= failures.success_ci95[1])?;
    Some(format!(
        "imagination turns failures into successes: along their own actions {} of the {} recorded failures are imagined as such, \
         and the policy's own {} are not beyond doubt more.",
        share(failures.success, failures.success_ci95),
        o.failures,
        share(judged.success, judged.success_ci95),
    ))
}

/// Whether actions that should fail are imagined as successes.
pub(super) fn optimism(o: Option<&Optimism>, out: &mut String) -> std::fmt::Result {
    let Some(o) = o.filter(|o| o.recorded_success > 0.0 || o.recorded_actions.all.success > 0.005) else {
        return Ok(());
    };
    let all = |along: &Along| share(along.all.success, along.all.success_ci95);
    writeln!(
        out,
        "Is imagination too kind? Without looking, the {} held-out episodes are imagined to succeed in {} along their own actions \
         (recorded: {:.0} %), in {} with noise of one standard deviation on them, and in {} with these in another order; other \
         episodes' actions succeed in {}.",
        o.episodes,
        all(&o.recorded_actions),
        100.0 * o.recorded_success,
        all(&o.noisy_actions),
        all(&o.shuffled_actions),
        all(&o.other_actions),
    )?;
    let of_failures = |along: &Along| along.failures.map(|s| share(s.success, s.success_ci95)).unwrap_or_default();
    if o.recorded_actions.failures.is_some() {
        let warning = if turned(o).is_some() { " Believe no rate of success above." } else { "" };
        writeln!(
            out,
            "The {} recorded failures among them are imagined as successes in {}, with noise in {}, in another order in {}; other \
             episodes' actions succeed from their starts in {}.{warning}",
            o.failures,
            of_failures(&o.recorded_actions),
            of_failures(&o.noisy_actions),
            of_failures(&o.shuffled_actions),
            of_failures(&o.other_actions),
        )?;
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(success: f64) -> Share {
        Share { success, success_ci95: [success - 0.1, success + 0.1] }
    }

    fn along(success: f64) -> Along {
        Along { all: judged(success), failures: Some(judged(success)) }
    }

    #[test]
    fn time_is_in_seconds_where_the_rate_is_known() {
        let steps = (42.0, [40.0, 46.0]);
        assert_eq!(TimeToSuccess::of(steps, 10.0).words(), "4.2 s [4.0, 4.6]");
        assert_eq!(TimeToSuccess::of(steps, 0.0).words(), "42 steps [40, 46]");
    }

    #[test]
    fn failures_that_succeed_in_imagination_are_a_warning() {
        let mut o = Optimism {
            episodes: 30,
            failures: 20,
            recorded_success: 1.0 / 3.0,
            recorded_actions: along(0.15),
            noisy_actions: along(0.3),
            shuffled_actions: along(0.2),
            other_actions: along(0.25),
        };
        let words = |o: &Optimism| {
            let mut text = String::new();
            optimism(Some(o), &mut text).expect("a String takes everything");
            text
        };
        assert!(words(&o).contains("The 20 recorded failures among them are imagined as successes in 15 % [5, 25], "));
        assert!(!words(&o).contains("Believe no rate") && too_kind(&o, judged(0.0)).is_none());
        o.recorded_actions = along(0.4);
        assert!(words(&o).contains("Believe no rate of success above."));
        assert_eq!(
            too_kind(&o, judged(0.6)).as_deref(),
            Some(
                "imagination turns failures into successes: along their own actions 40 % [30, 50] of the 20 recorded failures are \
                 imagined as such, and the policy's own 60 % [50, 70] are not beyond doubt more."
            )
        );
        assert_eq!(too_kind(&o, judged(0.61)), None, "kindness does not explain so many");
        o.failures = FEWEST_STARTS - 1;
        assert!(
            too_kind(&o, judged(0.0)).is_none() && !words(&o).contains("Believe no rate"),
            "so few failures show nothing"
        );
        o.failures = 20;
        o.recorded_actions.failures = None;
        assert!(!words(&o).contains("recorded failures"));
        (o.recorded_success, o.recorded_actions) = (0.0, Along::default());
        assert_eq!(words(&o), "", "where nothing can succeed there is nothing to say");
    }
}
