//! What speaks against believing the world model at all.

use rl::evaluate;
use rl::optimism::Share;
use rl::selection;

use super::workshop::Workshop;
use crate::report::{Calibration, HorizonError, TOO_KIND, WorldModelReport, too_kind};

/// Share by which the model's error at the largest horizon must lie below that of copying. A model that hardly beats doing
/// nothing knows what usually happens, and imagines it whatever is done (docs/LOG.md, 2026-11-25, PushT).
const LEAST_SKILL: f64 = 0.1;

impl Workshop {
    /// What speaks against believing the world model about a policy that is imagined to succeed as often as `judged` and was found by comparing
    /// actions over `compared` steps, in one sentence: from
    /// too few starts nothing can be told; a model that cannot beat doing nothing has no say, whatever it imagines; nor has one that succeeds where it was seen to fail.
    pub fn fault(
        &self,
        quality: &WorldModelReport,
        calibration: Option<&Calibration>,
        judged: Share,
        compared: usize,
    ) -> Option<String> {
        if let Some(too_few) = evaluate::too_few(evaluate::starts(&self.corpus, self.config.evaluate.starts).len()) {
            return Some(too_few);
        }
        // The table goes on further than a verdict rests on.
        let within = self.config.quality.horizon;
        let errors: Vec<&HorizonError> = quality.error_by_horizon.iter().filter(|e| e.h <= within).collect();
        let lost: Vec<String> = errors
            .iter()
            .filter(|e| e.h >= 10 && !e.beats_both_floors())
            .map(|e| format!("{} at {} steps", e.modality, e.h))
            .collect();
        if !lost.is_empty() {
            return Some(format!(
                "on held-out episodes the world model does not beat both floors for {}.",
                lost.join(", ")
            ));
        }
        if let Some((e, less)) = weakest(&errors).filter(|(_, less)| *less < LEAST_SKILL) {
            return Some(format!(
                "the world model foresees {} hardly better than if nothing changed: {:.0} % less error at {} steps, at least {:.0} % are needed.",
                e.modality,
                100.0 * less,
                e.h,
                100.0 * LEAST_SKILL
            ));
        }
        // A model that is not believed for as long as actions are compared has compared nothing.
        if let Some(t) = quality.trust.filter(|t| t.steps[1] < compared.min(t.horizon)) {
            return Some(format!(
                "imagination may be believed for {} steps in the median, fewer than the {compared} over which actions are compared.",
                t.steps[1]
            ));
        }
        if let Some(c) = calibration.filter(|c| c.success_difference.ci95[0] > TOO_KIND) {
            return Some(format!(
                "imagination is too kind: along their own actions the held-out episodes succeed in {:.0} %, and {:.0} % of them did.",
                100.0 * c.imagined_success,
                100.0 * c.recorded_success
            ));
        }
        let too_kind = quality.optimism.as_ref().and_then(|o| too_kind(o, judged));
        too_kind.or_else(|| selection::blind(&quality.whole_episodes.as_ref()?.value))
    }
}

/// The modality foreseen worst at the largest horizon, and by which share its error lies below that of copying.
fn weakest<'a>(errors: &[&'a HorizonError]) -> Option<(&'a HorizonError, f64)> {
    let last = errors.iter().map(|e| e.h).max()?;
    let skill = |e: &HorizonError| 1.0 - e.model / e.copy_last.max(1e-12);
    errors.iter().filter(|e| e.h == last).map(|&e| (e, skill(e))).min_by(|a, b| a.1.total_cmp(&b.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weakest_modality_at_the_largest_horizon_counts() {
        let error = |modality: &str, h: usize, model: f64| HorizonError {
            modality: modality.into(),
            h,
            starts: 10,
            model,
            copy_last: 1.0,
            shuffled_actions: 1.0,
            repainted: None,
            likeness: None,
        };
        let errors = [error("state", 1, 0.99), error("state", 20, 0.1), error("camera", 20, 0.94)];
        let (worst, less) = weakest(&errors.iter().collect::<Vec<_>>()).expect("there are errors");
        assert_eq!(worst.modality, "camera");
        assert!((less - 0.06).abs() < 1e-9);
        assert!(weakest(&[]).is_none());
    }
}
