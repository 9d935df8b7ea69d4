//! What came of an episode: one declared rule turns whatever was recorded into rewards, success and termination.

mod labels;

use std::path::PathBuf;

pub use labels::Labels;
use serde::{Deserialize, Serialize};

use crate::{DatasetSpec, Episode};

/// The whole rule: where rewards and success come from, and what a step costs. Every report prints it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutcomeRule {
    /// Where rewards and success are read.
    pub reward: RewardRule,
    /// Taken off the reward of every step, in units of the reward; 0 or more.
    pub step_cost: f32,
    /// File of per-episode labels that [`Dataset::open`](crate::Dataset::open) put in the place of recorded success.
    pub labels: Option<PathBuf>,
}

impl OutcomeRule {
    /// The concrete rule for a dataset: [`OutcomeRule::reward`] is no longer [`RewardRule::Auto`].
    pub fn resolve(&self, spec: &DatasetSpec) -> OutcomeRule {
        OutcomeRule { reward: self.reward.resolve(spec), ..self.clone() }
    }

    /// Reads one episode: [`RewardRule::apply`], then the step cost.
    pub fn apply(&self, episode: &Episode) -> Outcome {
        let mut outcome = self.reward.apply(episode);
        for reward in &mut outcome.reward {
            *reward -= self.step_cost;
        }
        outcome
    }

    /// What a step is worth whose recorded (or simulated) reward is `recorded`.
    pub fn reward_of_step(&self, recorded: f32) -> f32 {
        let reward = if self.reward == RewardRule::Column { recorded } else { 0.0 };
        reward - self.step_cost
    }

    /// What is wrong with the rule itself, in one sentence.
    pub fn fault(&self) -> Option<String> {
        let is_cost = self.step_cost.is_finite() && self.step_cost >= 0.0;
        (!is_cost).then(|| {
            format!(
                "data.step_cost is {}; expected 0 or more: a step that is paid for would teach a policy to put off success",
                self.step_cost
            )
        })
    }

    /// The rule in one or a few sentences, for every report.
    pub fn describe(&self) -> String {
        let mut words = self.reward.describe();
        if let Some(file) = &self.labels {
            let unused =
                if self.reward == RewardRule::EndOfDemonstration { ", which this rule does not use" } else { "" };
            words.push_str(&format!(" Success is labelled per episode in {}{unused}.", file.display()));
        }
        if self.step_cost > 0.0 {
            words.push_str(&format!(
                " Every step costs {} until success; an episode that fails pays it for ever.",
                self.step_cost
            ));
        }
        words
    }
}

impl From<RewardRule> for OutcomeRule {
    fn from(reward: RewardRule) -> OutcomeRule {
        OutcomeRule { reward, ..OutcomeRule::default() }
    }
}

/// Where rewards and success are read in a dataset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardRule {
    /// [`RewardRule::Column`] if there is a reward column, else [`RewardRule::Success`] if there is a success
    /// column, else [`RewardRule::EndOfDemonstration`].
    #[default]
    Auto,
    /// The recorded reward column; the first recorded success ends the episode.
    Column,
    /// No reward but the success itself; the first recorded success ends the episode.
    Success,
    /// Every episode is a demonstration that succeeded at its last step.
    EndOfDemonstration,
}

/// One episode under a [`RewardRule`].
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Reward that followed each action `[len]`. A success counts as reward 1 held for ever; the value learner
    /// adds that, it is not in here.
    pub reward: Vec<f32>,
    /// The episode ended in success at its last step.
    pub success: bool,
    /// The last transition has no successor (success or failure); otherwise the episode was merely cut off.
    pub terminated: bool,
    /// Steps up to and including the first success; later rows are dropped.
    pub len: usize,
}

impl RewardRule {
    /// The concrete rule for a dataset; never [`RewardRule::Auto`].
    pub fn resolve(self, spec: &DatasetSpec) -> RewardRule {
        self.resolve_for(spec.has_reward, spec.has_success)
    }

    /// How episodes that home's robot recorded later are read, so that their rewards mean what home's (read by `self`, resolved)
    /// mean. Demonstrations that were all taken for successes do not make those of what was recorded with its success.
    pub fn of_later(self, spec: &DatasetSpec) -> RewardRule {
        match self {
            RewardRule::Column => RewardRule::Column,
            _ if spec.has_success => RewardRule::Success,
            _ => RewardRule::EndOfDemonstration,
        }
    }

    fn resolve_for(self, has_reward: bool, has_success: bool) -> RewardRule {
        match self {
            RewardRule::Auto if has_reward => RewardRule::Column,
            RewardRule::Auto if has_success => RewardRule::Success,
            RewardRule::Auto => RewardRule::EndOfDemonstration,
            rule => rule,
        }
    }

    /// Reads one episode under this rule; [`RewardRule::Auto`] resolves from what the episode itself carries.
    ///
    /// Without a success column, [`RewardRule::Column`] counts a termination with positive last reward as
    /// success. A column the rule needs but the episode lacks reads as zero reward, respectively no success.
    pub fn apply(self, episode: &Episode) -> Outcome {
        let rule = self.resolve_for(episode.reward.is_some(), episode.success.is_some());
        if rule == RewardRule::EndOfDemonstration {
            let ended = episode.len > 0;
            return Outcome { reward: vec![0.0; episode.len], success: ended, terminated: ended, len: episode.len };
        }
        let first_success = episode.success.as_ref().and_then(|s| s.iter().position(|&x| x));
        let len = first_success.map_or(episode.len, |t| t + 1).min(episode.len);
        let reward = match (&episode.reward, rule) {
            (Some(reward), RewardRule::Column) => reward[..len].to_vec(),
            _ => vec![0.0; len],
        };
        let success = match episode.success {
            Some(_) => first_success.is_some(),
            None => rule == RewardRule::Column && episode.terminated && reward.last().is_some_and(|&r| r > 0.0),
        };
        Outcome { reward, success, terminated: success || episode.terminated, len }
    }

    /// The rule in one sentence, for every report.
    pub fn describe(self) -> String {
        match self {
            RewardRule::Auto => {
                "Rewards come from the reward column, else from the success column, else every episode counts as a successful demonstration."
            }
            RewardRule::Column => {
                "Rewards come from the dataset's reward column; the first recorded success ends an episode."
            }
            RewardRule::Success => {
                "There is no reward but success: the first step recorded as a success ends an episode."
            }
            RewardRule::EndOfDemonstration => {
                "No reward or success was used: every episode counts as a demonstration that succeeded at its last step."
            }
        }
        .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn episode(reward: Option<Vec<f32>>, success: Option<Vec<bool>>, terminated: bool) -> Episode {
        Episode {
            index: 0,
            task: String::new(),
            len: 4,
            state: vec![0.0; 4],
            hint: Vec::new(),
            action: vec![0.0; 4],
            reward,
            success,
            intervention: None,
            terminated,
            truncated: !terminated,
            first_frame: 0,
        }
    }

    #[test]
    fn the_first_success_ends_the_episode() {
        let e = episode(Some(vec![0.1, 0.2, 1.0, 0.9]), Some(vec![false, false, true, true]), false);
        let out = RewardRule::Auto.apply(&e);
        assert_eq!(out, Outcome { reward: vec![0.1, 0.2, 1.0], success: true, terminated: true, len: 3 });
        let out = RewardRule::Success.apply(&e);
        assert_eq!(out, Outcome { reward: vec![0.0; 3], success: true, terminated: true, len: 3 });
    }

    #[test]
    fn without_success_a_termination_stays_a_termination_and_a_cut_stays_a_cut() {
        let fail = episode(Some(vec![0.5; 4]), Some(vec![false; 4]), true);
        let out = RewardRule::Column.apply(&fail);
        assert_eq!((out.success, out.terminated, out.len), (false, true, 4));
        let cut = episode(Some(vec![0.5; 4]), Some(vec![false; 4]), false);
        let out = RewardRule::Column.apply(&cut);
        assert_eq!((out.success, out.terminated, out.len), (false, false, 4));
    }

    #[test]
    fn a_rewarded_termination_counts_as_success_only_without_a_success_column() {
        assert!(RewardRule::Column.apply(&episode(Some(vec![0.0, 0.0, 0.0, 1.0]), None, true)).success);
        assert!(!RewardRule::Column.apply(&episode(Some(vec![1.0, 1.0, 1.0, 0.0]), None, true)).success);
        assert!(!RewardRule::Column.apply(&episode(Some(vec![1.0; 4]), None, false)).success);
    }

    #[test]
    fn bare_demonstrations_succeed_at_their_end() {
        let out = RewardRule::Auto.apply(&episode(None, None, false));
        assert_eq!(out, Outcome { reward: vec![0.0; 4], success: true, terminated: true, len: 4 });
    }

    #[test]
    fn a_step_cost_is_taken_off_every_step_and_said() {
        let e = episode(Some(vec![0.1, 0.2, 1.0, 0.9]), Some(vec![false, false, true, true]), false);
        let rule = OutcomeRule { step_cost: 0.25, ..RewardRule::Column.into() };
        assert_eq!(rule.apply(&e).reward, [0.1 - 0.25, 0.2 - 0.25, 0.75]);
        assert_eq!((rule.reward_of_step(1.0), rule.reward_of_step(0.2)), (0.75, 0.2 - 0.25));
        let bare = OutcomeRule { step_cost: 0.5, ..RewardRule::Success.into() };
        assert_eq!((bare.apply(&e).reward, bare.reward_of_step(1.0)), (vec![-0.5; 3], -0.5));
        assert!(
            rule.describe().ends_with("Every step costs 0.25 until success; an episode that fails pays it for ever.")
        );
        assert_eq!(OutcomeRule::from(RewardRule::Success).describe(), RewardRule::Success.describe());
        assert_eq!(rule.fault(), None);
        for step_cost in [-0.1, f32::NAN, f32::INFINITY] {
            let fault = OutcomeRule { step_cost, ..OutcomeRule::default() }.fault();
            assert!(fault.is_some_and(|words| words.contains("expected 0 or more")), "{step_cost}");
        }
    }

    #[test]
    fn names_are_snake_case() -> Result<(), serde_json::Error> {
        assert_eq!(serde_json::to_string(&RewardRule::EndOfDemonstration)?, "\"end_of_demonstration\"");
        Ok(())
    }
}
