//! The report's sentences, for the terminal as for the page in a recording.

use super::report::{ElementReport, Follow, Inspection, Meaning};
use crate::holes::name_episodes;

impl Inspection {
    /// What the dataset is, one sentence each.
    pub(super) fn content(&self) -> Vec<String> {
        let rate = match self.fps {
            Some(fps) => format!("at {fps} Hz"),
            None => "at an unknown rate (set data.control_rate_hz to learn from them)".to_owned(),
        };
        let lengths = self
            .lengths
            .map_or_else(String::new, |l| format!("; lengths {} to {}, median {} steps", l.min, l.max, l.median));
        let mut out = vec![format!("{} episodes, {} frames {rate}{lengths}", self.episodes, self.frames)];
        out.extend(self.is_imagined.then(|| crate::IMAGINED.to_owned()));
        out.extend(self.tasks.iter().map(|task| format!("task: {task}")));
        out.push(match self.success {
            Some(s) => format!("success: {} episodes ({:.0} %)", s.episodes, 100.0 * s.share),
            None => "success: not recorded".to_owned(),
        });
        out.push(format!(
            "ends: {} in a state with no future (success or failure), {} cut off",
            self.terminated,
            self.episodes - self.terminated
        ));
        out.push(match self.intervention {
            Some(i) => {
                let share = 100.0 * i.step_share;
                format!("a person had the controls in {} episodes, {share:.1} % of steps", i.episodes)
            }
            None => "interventions: not recorded".to_owned(),
        });
        out.push(self.reward_rule.clone());
        out.extend(self.split.as_ref().map(|s| match s.held_out.as_slice() {
            [] => format!("split: all {} episodes to learn from, none held out", s.train_episodes),
            held_out => format!(
                "split: {} episodes ({} frames) to learn from; held out {} ({} frames)",
                s.train_episodes,
                s.train_frames,
                name_episodes(held_out).replacen(" episodes", "", 1),
                s.held_out_frames
            ),
        }));
        out
    }

    /// How the robot moves, one sentence each.
    pub(super) fn movement(&self) -> Vec<String> {
        let mut out = vec![format!("the action stays the same at {:.1} % of the steps", 100.0 * self.idle_share)];
        let most = self.action.iter().max_by(|a, b| a.saturation_share.total_cmp(&b.saturation_share));
        if let Some(most) = most.filter(|most| most.saturation_share > 0.0) {
            let share = 100.0 * most.saturation_share;
            out.push(format!("most often at its limits: {}, at {share:.1} % of the steps", most.name));
        }
        let is_constant = |e: &&ElementReport| e.min == e.max && self.frames > 0;
        let constant: Vec<&str> =
            self.state.iter().chain(&self.action).filter(is_constant).map(|e| e.name.as_str()).collect();
        if !constant.is_empty() {
            out.push(format!("never changing: {}", constant.join(", ")));
        }
        out.push(meanings(&self.follow));
        out.push(format!(
            "variety: of {} moments looked at, {} are distinct (state and action differ from those of every other one by \
             more than a quarter of their spread)",
            self.coverage.moments, self.coverage.distinct
        ));
        out.push(match self.timing {
            Some(t) => {
                let (mean, jitter, longest) = (1e3 * t.mean_step_s, 1e3 * t.jitter_s, 1e3 * t.longest_step_s);
                format!("steps of {mean:.1} ms, jitter {jitter:.1} ms, longest {longest:.1} ms")
            }
            None => "no clock was recorded, so jitter is unknown".to_owned(),
        });
        for (camera, share) in self.cameras.iter().filter_map(|c| Some((&c.key, c.still_share?))) {
            let share = 100.0 * share;
            out.push(format!("{camera}: the same picture again at {share:.1} % of the steps at which the state moves"));
        }
        out
    }
}

/// What the action is, in one sentence.
fn meanings(follow: &[Follow]) -> String {
    let of = |meaning: Meaning| -> Vec<&str> {
        follow.iter().filter(|f| f.meaning == meaning).map(|f| f.action.as_str()).collect()
    };
    let kinds = [
        (Meaning::Target, "targets for the state (the next state goes with them)"),
        (Meaning::Change, "changes of the state (the next change goes with them)"),
        (Meaning::Unclear, "neither clearly targets for the state nor changes of it"),
    ];
    let groups: Vec<(Vec<&str>, &str)> = kinds
        .into_iter()
        .map(|(meaning, words)| (of(meaning), words))
        .filter(|(elements, _)| !elements.is_empty())
        .collect();
    // What is not named belongs to the largest group.
    let largest = (0..groups.len()).max_by_key(|&i| groups[i].0.len());
    let part = |(i, (elements, words)): (usize, &(Vec<&str>, &str))| {
        let names = if Some(i) == largest { String::new() } else { format!(": {}", elements.join(", ")) };
        format!("{} of {} are {words}{names}", elements.len(), follow.len())
    };
    let parts: Vec<String> = groups.iter().enumerate().map(part).collect();
    if parts.is_empty() {
        return "actions: no element has a partner in the state, so nobody knows whether they are targets or changes"
            .to_owned();
    }
    format!("actions: {}", parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_actions_are_told_in_one_sentence() {
        let follow = |action: &str, meaning| Follow {
            action: action.to_owned(),
            state: "s".to_owned(),
            r_next: 0.0,
            r_change: 0.0,
            meaning,
        };
        assert!(meanings(&[]).starts_with("actions: no element has a partner"));
        assert_eq!(
            meanings(&[follow("a", Meaning::Target)]),
            "actions: 1 of 1 are targets for the state (the next state goes with them)"
        );
        assert_eq!(
            meanings(&[follow("a", Meaning::Change), follow("b", Meaning::Change), follow("c", Meaning::Unclear)]),
            "actions: 2 of 3 are changes of the state (the next change goes with them); 1 of 3 are neither clearly targets \
             for the state nor changes of it: c"
        );
    }
}
