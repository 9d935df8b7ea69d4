//! What imagination says of what is known anyway, in words: recorded outcomes, and ways to act that a simulator has tried.

use std::fmt::Write;

use super::markdown::{points, share};
use super::{Calibration, CounterfactualCheck, Report, WholeEpisodes, imagined};

/// What was recorded of held-out episodes beside what is imagined of them.
pub(super) fn recorded(report: &Report, out: &mut String) -> std::fmt::Result {
    let of = &report.world_model;
    calibration(of.calibration.as_ref(), out)?;
    imagined::optimism(of.optimism.as_ref(), out)?;
    whole_episodes(of.whole_episodes.as_ref(), out)
}

/// Recorded against imagined outcomes: a check of imagination that needs no simulator.
fn calibration(c: Option<&Calibration>, out: &mut String) -> std::fmt::Result {
    let Some(c) = c else { return Ok(()) };
    let [low, high] = c.success_difference.ci95;
    let reading = match (high < 0.0, low > 0.0) {
        (true, _) => " Imagination succeeds too rarely: believe the order of the policies before their rates.",
        (_, true) => " Imagination succeeds too often: believe no rate of success above.",
        _ => "",
    };
    writeln!(
        out,
        "Checked against the recording: the {} held-out episodes, imagined along their own actions, succeed in {:.0} % \
         (recorded: {:.0} %; difference {}) and return {:.2} (recorded: {:.2}).{reading}\n",
        c.episodes,
        100.0 * c.imagined_success,
        100.0 * c.recorded_success,
        points(&c.success_difference),
        c.imagined_return,
        c.recorded_return
    )
}

/// Whether imagination can be followed as far as policies are judged.
fn whole_episodes(w: Option<&WholeEpisodes>, out: &mut String) -> std::fmt::Result {
    let Some(w) = w else { return Ok(()) };
    let r = w.return_r.map_or("cannot be told".to_owned(), |r| format!("{r:.2}"));
    writeln!(
        out,
        "Imagined from the first observation to the end without looking, the {} held-out episodes return {:.2} (recorded: {:.2}); \
         correlation of imagined with recorded return over episodes: {r}.\n",
        w.episodes, w.imagined_return, w.recorded_return
    )
}

/// "Would that have been better?", asked of imagination and of the truth.
pub(super) fn counterfactuals(c: Option<&CounterfactualCheck>, out: &mut String) -> std::fmt::Result {
    let Some(c) = c else { return Ok(()) };
    writeln!(out, "## Counterfactuals\n")?;
    writeln!(
        out,
        "From {} recorded moments of held-out episodes {} steps were taken in {} ways ({}), imagined and in the simulator. \
         Of {} pairs that truly differ, imagination ranks {} as the truth does. Choosing what it thinks best gives up {:.3} of \
         return against the truly best; choosing blindly, {:.3}.\n",
        c.moments,
        c.horizon,
        c.arms.len(),
        c.arms.join(", "),
        c.pairs,
        share(c.agreement, c.agreement_ci95),
        c.regret,
        c.regret_of_chance
    )
}
