//! What a person says of an episode by taking the controls: what was done just before was wrong, what the person then did is right.
//!
//! Weighting by these classes is Sirius' (Liu et al. 2022, arXiv:2211.08416, sec. IV-B); there, too, the second or so before an
//! intervention counts for nothing and the intervention for more than what the robot did by itself.

use super::{Corpus, Track};

/// Seconds before an intervention in which the robot already did what made the person step in.
pub const BEFORE_S: f64 = 1.0;

/// What a person said of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Human {
    /// Nothing.
    #[default]
    Silent,
    /// The person had the controls: a positive.
    TookOver,
    /// The robot had them, and the person was about to take over: a negative.
    AboutTo,
}

/// Steps that a person spoke of, in training episodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// [`Human::TookOver`].
    pub positives: usize,
    /// [`Human::AboutTo`].
    pub negatives: usize,
}

/// Of the first `len` steps of an episode recorded at `rate_hz`, what `intervention` says.
pub(super) fn of_steps(intervention: Option<&[bool]>, len: usize, rate_hz: f64) -> Vec<Human> {
    let mut said = vec![Human::Silent; len];
    let taken = intervention.unwrap_or_default();
    let before = (BEFORE_S * rate_hz).round().max(1.0) as usize;
    for (t, _) in taken.iter().enumerate().take(len).filter(|(_, taken)| **taken) {
        if t == 0 || !taken[t - 1] {
            said[t.saturating_sub(before)..t]
                .iter_mut()
                .filter(|s| **s == Human::Silent)
                .for_each(|s| *s = Human::AboutTo);
        }
        said[t] = Human::TookOver;
    }
    said
}

impl Track {
    /// Weight of a chunk from step `t` of which `execute` actions are executed, against 1 for one of which nothing was said: 0 where
    /// any of these is a negative, else their mean, where a positive has weight `positive`.
    pub fn human_weight(&self, t: usize, execute: usize, positive: f32) -> f32 {
        let steps = &self.human[t..(t + execute.max(1)).min(self.len)];
        if steps.contains(&Human::AboutTo) {
            return 0.0;
        }
        let taken = steps.iter().filter(|said| **said == Human::TookOver).count();
        1.0 + (positive - 1.0) * taken as f32 / steps.len().max(1) as f32
    }
}

impl Corpus {
    /// What persons said of the training episodes.
    pub fn said(&self) -> Said {
        let count = |what: Human| {
            self.train.iter().map(|&t| self.tracks[t].human.iter().filter(|said| **said == what).count()).sum()
        };
        Said { positives: count(Human::TookOver), negatives: count(Human::AboutTo) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Human::{AboutTo, Silent, TookOver};

    #[test]
    fn the_second_before_each_intervention_is_negative_and_the_intervention_positive() {
        let taken = [false, false, false, true, true, false, true, false];
        let said = of_steps(Some(&taken), 8, 2.0);
        assert_eq!(said, [Silent, AboutTo, AboutTo, TookOver, TookOver, AboutTo, TookOver, Silent]);
        // A success at step 4 ended the episode; nothing was recorded.
        assert_eq!(of_steps(Some(&taken), 4, 1.0), [Silent, Silent, AboutTo, TookOver]);
        assert_eq!(of_steps(None, 2, 10.0), [Silent, Silent]);
    }

    #[test]
    fn weights_of_chunks_by_hand() {
        let human = of_steps(Some(&[false, false, true, true, false]), 5, 1.0);
        let track = Track { len: 5, human, ..Track::default() };
        let weights: Vec<f32> = (0..5).map(|t| track.human_weight(t, 2, 3.0)).collect();
        // Steps: nothing, negative, positive, positive, nothing; two executed from each.
        assert_eq!(weights, [0.0, 0.0, 3.0, 2.0, 1.0]);
        assert_eq!(track.human_weight(0, 1, 3.0), 1.0);
    }
}
