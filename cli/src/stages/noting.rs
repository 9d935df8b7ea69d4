//! What a reader should know before believing the numbers, and what to try next on the robot.

use policy::flow::LearnFrom;
use world_model::agreement::mean;
use world_model::corpus::human::{BEFORE_S, Said};

use super::again::TakenOver;
use super::judge::Judged;
use super::workshop::Workshop;

impl Workshop {
    /// A sentence each.
    pub(super) fn notes(&self, judged: &[Judged]) -> Vec<String> {
        let starts = judged.first().map_or(0, |j| j.imagined.value.len());
        let members = judged.first().map_or(0, |j| j.imagined.returns().members.len());
        let mut notes = vec![
            format!(
                "Imagined numbers: {starts} first observations of held-out episodes, {} steps, {} noise draws each; intervals are bootstrapped over starts{}, and know what the model got wrong on whole held-out episodes; what it gets wrong only where a policy leads and no episode went, they do not know.",
                self.judge_horizon(),
                self.config.evaluate.samples,
                if members > 0 { format!(" and over the model's {members} members, each imagined alone, whose mean is what is shown") } else { String::new() }
            ),
            format!(
                "Return: discounted by {} per step, in units of the reward; a success is worth {} per step for ever.",
                self.corpus.returns.gamma, self.corpus.returns.success_reward
            ),
            "The behaviour is imagined along its own recorded actions, set back onto the recording every few steps; the other policies act closed-loop.".into(),
            "Policies see one observation at a time: what a single picture and state do not show (speed, hidden objects) they cannot use.".into(),
        ];
        if let Some(TakenOver { from, stages }) = self.taken_over() {
            notes.push(format!("Taken over from {from} as it was there: {}.", stages.join(", ")));
        }
        notes.extend(judged.iter().filter_map(|j| j.note.clone()));
        if judged.iter().any(|j| j.name == "improved") {
            let method = self.config.improve.method;
            notes.push(format!("What made the improved policy out of the cloned one: {}.", method.describe()));
        }
        let leaves = self.selected.as_ref().map_or("improved", |selected| selected.improvement.leaves());
        if let Some(believed) = judged.iter().find(|j| j.name == leaves).map(|j| &j.imagined.believed)
            && !believed.is_empty()
        {
            notes.push(format!(
                "From those starts the {leaves} policy is imagined within the trust horizon for {:.0} of {} steps on average; beyond it, what is imagined is a story that held-out episodes do not vouch for step by step.",
                mean(believed.iter().copied()),
                self.judge_horizon()
            ));
        }
        if let (Some(better), Some(worse)) = (success_of(judged, leaves), success_of(judged, "cloned")) {
            notes.push(match trials_needed(better, worse) {
                Some(n) if n <= MOST_TRIALS => format!(
                    "Next, on the robot: if the imagined rates hold ({:.0} % against {:.0} %), about {n} trials of each policy tell {leaves} from cloned (one-sided 5 %, power 80 %); `rehearsal trial` plans them, and reads them as they come.",
                    100.0 * better, 100.0 * worse
                ),
                _ => format!(
                    "Next, on the robot: the imagined rates of success ({:.0} % against {:.0} %) are too close to be told apart in {MOST_TRIALS} trials of each policy.",
                    100.0 * better, 100.0 * worse
                ),
            });
        }
        let Said { positives, negatives } = self.corpus.said();
        if positives + negatives > 0 {
            notes.push(format!(
                "A person had the controls at {positives} of {} training steps, which count {} times in cloning; the {negatives} steps of the \
                 {BEFORE_S} s before a person took over are not cloned.",
                self.corpus.train.iter().map(|&t| self.corpus.tracks[t].len).sum::<usize>(),
                self.config.policy.intervention_weight
            ));
        }
        let train = &self.corpus.train;
        match self.config.policy.learn_from {
            LearnFrom::All => {}
            LearnFrom::Successes => {
                let successes = train.iter().filter(|&&t| self.corpus.tracks[t].success).count();
                notes.push(format!("Cloned from successes: {successes} of {} training episodes are.", train.len()));
            }
            LearnFrom::Best => {
                let best = self.corpus.best_tracks(train, self.config.policy.best_share);
                let steps = |tracks: &[usize]| tracks.iter().map(|&t| self.corpus.tracks[t].len).sum::<usize>();
                notes.push(format!(
                    "Cloned from the best by return: {} of {} training episodes, {} of {} steps. The world model learned from all.",
                    best.len(),
                    train.len(),
                    steps(&best),
                    steps(train)
                ));
            }
        }
        if self.corpus.held_out.is_empty() {
            notes.push("There is no held-out episode: everything above was measured on training episodes.".into());
        }
        if self.corpus.success_share(&self.corpus.train_home) == 0.0 {
            notes.push("No training episode ends in success: success cannot be predicted, only the reward.".into());
        }
        notes
    }
}

/// Mean imagined success of a named policy.
fn success_of(judged: &[Judged], name: &str) -> Option<f64> {
    let success = &judged.iter().find(|j| j.name == name)?.imagined.success;
    Some(mean(success.iter().copied()))
}

/// More trials than this nobody makes.
const MOST_TRIALS: usize = 500;

/// Trials of each of two policies that tell their rates of success apart, one-sided 5 %, power 80 %; `None` where the first
/// is not the better one. `n = (z_α + z_β)² [p(1-p) + q(1-q)] / (p-q)²` (Fleiss, Statistical Methods for Rates and Proportions, ch. 4).
fn trials_needed(better: f64, worse: f64) -> Option<usize> {
    const Z: f64 = 1.645 + 0.842;
    let gain = better - worse;
    // Rates of exactly 0 or 1 have no spread of their own; nobody is that sure of a policy.
    let spread = |p: f64| p.clamp(0.05, 0.95) * (1.0 - p.clamp(0.05, 0.95));
    (gain > 0.0).then(|| (Z * Z * (spread(better) + spread(worse)) / (gain * gain)).ceil().max(2.0) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_by_hand() {
        // 6.185 * (0.24 + 0.21) / 0.09 = 30.9.
        assert_eq!(trials_needed(0.6, 0.3), Some(31));
        assert_eq!(trials_needed(0.3, 0.3), None);
        assert_eq!(trials_needed(1.0, 0.0), Some(2));
    }
}
