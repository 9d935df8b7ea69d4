//! Whether what leaves `improve` plans at run time, decided from held-out starts by the evidence that a copy has to bring, too.
//!
//! The plans are made with all members of the world model together and judged under each of them alone: a plan that lives off one
//! member's errors is found out by the others.

use std::time::Instant;

use anyhow::Result;
use rl::doubly_robust::DoublyRobust;
use rl::evaluate;
use rl::optimism::Share;
use rl::selection::{self, Kept};
use world_model::{Embeddings, WorldModel, noise};

use super::judge::Judged;
use super::planning::{PLANNED, Robot};
use super::workshop::Workshop;
use crate::report::{Difference, Gains, Planning, WorldModelReport};

/// Answers that are timed, after a first one that is not.
const TIMED: usize = 10;

impl Workshop {
    /// Decides it where a planned policy was judged beside the one that `improve` returned; anew each time, because how it plans may be set anew.
    ///
    /// # Errors
    /// Policy or values are not trained; an observation that cannot be answered.
    pub(super) fn weigh_plans(
        &mut self,
        (model, embeddings): (&WorldModel, &Embeddings),
        judged: &[Judged],
        quality: &WorldModelReport,
    ) -> Result<()> {
        let find = |name: &str| judged.iter().find(|j| j.name == name).map(|j| &j.imagined);
        let (Some(planned), Some(alone)) = (find(PLANNED), find("improved")) else { return Ok(()) };
        let over = match self.selected.as_ref().map(|selected| selected.improvement.kept) {
            Some(Kept::Improved) => "improved",
            Some(Kept::Cloned) => self.went_in(),
            None => return Ok(()),
        };
        let (resamples, seed) = (self.config.evaluate.resamples, self.config.seed);
        let record = quality.whole_episodes.as_ref().map(|whole| &whole.value);
        let mut gate = evaluate::gate(planned, alone, record, resamples, seed);
        gate.why = renamed(&gate.why, over);
        let corrected = [planned, alone].map(|imagined| DoublyRobust::of(imagined.returns(), record?));
        let doubly_robust = match &corrected {
            [Some(planned), Some(alone)] => Some(planned.gain(alone, resamples, seed)),
            _ => None,
        };
        let robot = self.robot(model, embeddings)?;
        let answer_ms = self.plan_ms(&robot)?;
        let rate_hz = self.dataset.spec.control_rate_hz;
        let available_ms = (rate_hz > 0.0).then(|| 1000.0 * robot.execute() as f64 / rate_hz);
        let records = quality.whole_episodes.as_ref().map(|whole| [&whole.value, &whole.success]);
        let estimate = evaluate::estimate(planned, records, resamples, seed);
        let share = Share { success: estimate.success, success_ci95: estimate.success_ci95 };
        let calibration = find("behaviour").map(|behaviour| self.calibration(behaviour));
        let late = available_ms.and_then(|available_ms| too_late(answer_ms, available_ms));
        let fault = late.or_else(|| self.fault(quality, calibration.as_ref(), share, self.config.plan.horizon));
        let others = [("the doubly robust estimate", doubly_robust)];
        let (is_chosen, why) = match selection::evidence(fault.as_deref(), &gate, &others, (PLANNED, over)) {
            Ok(words) => (true, format!("The policy plans at run time: {words}")),
            Err(words) => (false, format!("The policy acts without planning: {words}")),
        };
        let difference = |(mean, ci95)| Difference { mean, ci95 };
        let gains = Gains {
            imagined: difference((gate.gain, gate.gain_ci95)),
            fitted_q: None,
            doubly_robust: doubly_robust.map(difference),
        };
        let of_success = quality.whole_episodes.as_ref().map(|whole| &whole.success);
        let gained = self.gained((planned, alone), gains, of_success);
        let planning = Planning { is_chosen, why, over: over.into(), answer_ms, available_ms, gained };
        if let Some(selected) = &mut self.selected {
            selected.improvement.planning = Some(planning);
        }
        Ok(())
    }

    /// Milliseconds until a planning robot answers what was recorded first: the least of several, which is what the machine can do; what else it does
    /// meanwhile must not decide.
    fn plan_ms(&self, robot: &Robot) -> Result<f64> {
        let spec = &self.dataset.spec;
        let (episode, mut rng) = (&self.dataset.episodes[0], noise::generator(self.config.seed, "weigh", 0));
        let views: Vec<&[u8]> = (0..spec.cameras.len()).map(|camera| self.dataset.frame(camera, 0, 0)).collect();
        let state = episode.state_at(0, spec.state_len());
        let mut memory = None;
        let mut least = f64::INFINITY;
        for i in 0..=TIMED {
            let begun = Instant::now();
            robot.act(&mut memory, (&views, state, Some(&episode.task)), &mut rng)?;
            if i > 0 {
                least = least.min(1000.0 * begun.elapsed().as_secs_f64());
            }
        }
        Ok(least)
    }
}

/// The gate speaks of an improved and a cloned policy.
fn renamed(why: &str, over: &str) -> String {
    why.replace("improved policy", "planned policy")
        .replace("cloned policy", &format!("{over} policy"))
        .replace("the cloned one", &format!("the {over} one"))
}

/// What speaks against a robot that has to wait for its plan.
fn too_late(answer_ms: f64, available_ms: f64) -> Option<String> {
    (answer_ms > available_ms).then(|| {
        format!(
            "a plan takes {answer_ms:.0} ms on this machine, longer than the {available_ms:.0} ms that its executed actions take; \
             plan.candidates, plan.rounds and plan.execute say how much is searched and how often."
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_must_be_there_before_it_is_needed() {
        assert_eq!(too_late(60.0, 400.0), None);
        assert_eq!(
            too_late(600.0, 400.0).as_deref(),
            Some(
                "a plan takes 600 ms on this machine, longer than the 400 ms that its executed actions take; \
                 plan.candidates, plan.rounds and plan.execute say how much is searched and how often."
            )
        );
    }

    #[test]
    fn the_gate_speaks_of_the_two_that_are_compared() {
        let worse = "In imagination the improved policy is worse than the cloned one; keep the cloned policy.";
        assert_eq!(
            renamed(worse, "improved"),
            "In imagination the planned policy is worse than the improved one; keep the improved policy."
        );
        assert_eq!(
            renamed("The imagined gain over the cloned policy cannot be told from zero.", "previous"),
            "The imagined gain over the previous policy cannot be told from zero."
        );
    }
}
