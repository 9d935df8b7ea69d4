//! What the action is to the state that follows: where it shall be, or how it shall change.

use super::report::{Follow, Meaning};
use crate::holes::name_episodes;
use crate::{DatasetSpec, Episode};

/// Correlation from which the next state goes with the action.
const TARGET_R: f64 = 0.8;

/// Correlation from which the change of the state goes with the action; changes are noisier than states.
const CHANGE_R: f64 = 0.5;

/// By how much one correlation must exceed the other to decide.
const CLEAR_R: f64 = 0.2;

/// Steps below which an episode is too short to be judged alone.
const MIN_STEPS: usize = 20;

/// An element of the action and the element of the state that is taken for the same quantity.
pub(super) struct Pair {
    /// Element of the action.
    pub action: usize,
    /// Element of the concatenated state.
    pub state: usize,
    /// The two with their numbers over the whole dataset.
    pub follow: Follow,
}

/// Pairs of equal names; where there is none, the elements of the first state feature that is as long as the action.
pub(super) fn pairs(spec: &DatasetSpec, episodes: &[Episode]) -> Vec<Pair> {
    let elements = || spec.state.iter().flat_map(|f| f.names.iter().enumerate().map(move |(i, name)| (f, i, name)));
    let mut found: Vec<(usize, usize, String)> = Vec::new();
    for (a, action_name) in spec.action.names.iter().enumerate() {
        for (f, i, name) in elements().filter(|(_, _, name)| *name == action_name) {
            found.push((a, f.offset + i, format!("{}/{name}", f.key)));
        }
    }
    if let (true, Some(f)) = (found.is_empty(), spec.state.iter().find(|f| f.len == spec.action.len)) {
        found.extend(f.names.iter().enumerate().map(|(i, name)| (i, f.offset + i, format!("{}/{name}", f.key))));
    }
    let (state_len, action_len) = (spec.state_len(), spec.action_len());
    let pair = |(action, state, state_name): (usize, usize, String)| {
        let (r_next, r_change) = correlations(episodes, (state, state_len), (action, action_len));
        let action_name = format!("{}/{}", spec.action.key, spec.action.names[action]);
        let follow =
            Follow { action: action_name, state: state_name, r_next, r_change, meaning: meaning(r_next, r_change) };
        Pair { action, state, follow }
    };
    found.into_iter().map(pair).collect()
}

/// One line per element of the action: the pair of which most can be said.
pub(super) fn reports(pairs: &[Pair]) -> Vec<Follow> {
    let strength = |pair: &&Pair| pair.follow.r_next.abs().max(pair.follow.r_change.abs());
    let groups = pairs.chunk_by(|a, b| a.action == b.action);
    let best = groups.filter_map(|group| group.iter().max_by(|a, b| strength(a).total_cmp(&strength(b))));
    best.map(|pair| pair.follow.clone()).collect()
}

/// Episodes whose action means something else than in most others.
pub(super) fn mixed(pairs: &[Pair], episodes: &[Episode]) -> Option<String> {
    let (state_len, action_len) = episodes.first().map(|e| (width(&e.state, e.len), width(&e.action, e.len)))?;
    let meaning_in = |episode: &Episode| {
        let of_pair = |pair: &Pair| {
            let one = std::slice::from_ref(episode);
            let (r_next, r_change) = correlations(one, (pair.state, state_len), (pair.action, action_len));
            meaning(r_next, r_change)
        };
        let meanings: Vec<Meaning> = pairs.iter().map(of_pair).collect();
        let is_most = |wanted: &Meaning| 2 * meanings.iter().filter(|&m| m == wanted).count() > meanings.len();
        [Meaning::Target, Meaning::Change].into_iter().find(is_most)
    };
    let judged = episodes.iter().filter(|episode| episode.len >= MIN_STEPS);
    let (mut targets, mut changes) = (Vec::new(), Vec::new());
    for episode in judged {
        match meaning_in(episode) {
            Some(Meaning::Target) => targets.push(episode.index),
            Some(Meaning::Change) => changes.push(episode.index),
            _ => {}
        }
    }
    if targets.is_empty() || changes.is_empty() {
        return None;
    }
    Some(format!(
        "actions look like changes of the state in {}, and like targets for the state in {}: recorded in two ways?",
        name_episodes(&changes),
        name_episodes(&targets)
    ))
}

fn width(values: &[f32], len: usize) -> usize {
    values.len() / len.max(1)
}

fn meaning(r_next: f64, r_change: f64) -> Meaning {
    if r_next >= TARGET_R && r_next > r_change + CLEAR_R {
        Meaning::Target
    } else if r_change >= CHANGE_R && r_change > r_next + CLEAR_R {
        Meaning::Change
    } else {
        Meaning::Unclear
    }
}

/// Correlation of an action element (position and length of the vector) with the next state, and with the change to it.
fn correlations(
    episodes: &[Episode],
    (state, state_len): (usize, usize),
    (action, action_len): (usize, usize),
) -> (f64, f64) {
    let (mut next, mut change) = (Joint::default(), Joint::default());
    for episode in episodes {
        for t in 1..episode.len {
            let at = |t: usize| f64::from(episode.state_at(t, state_len)[state]);
            let a = f64::from(episode.action_at(t - 1, action_len)[action]);
            next.add(a, at(t));
            change.add(a, at(t) - at(t - 1));
        }
    }
    (next.correlation(), change.correlation())
}

/// Running second moments of two quantities (Welford).
#[derive(Default)]
struct Joint {
    count: f64,
    mean: [f64; 2],
    xx: f64,
    yy: f64,
    xy: f64,
}

impl Joint {
    fn add(&mut self, x: f64, y: f64) {
        self.count += 1.0;
        let (dx, dy) = (x - self.mean[0], y - self.mean[1]);
        self.mean[0] += dx / self.count;
        self.mean[1] += dy / self.count;
        self.xx += dx * (x - self.mean[0]);
        self.yy += dy * (y - self.mean[1]);
        self.xy += dx * (y - self.mean[1]);
    }

    /// Pearson's; 0 where one of the two never changes.
    fn correlation(&self) -> f64 {
        let scale = (self.xx * self.yy).sqrt();
        if scale > 0.0 { self.xy / scale } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{episode_of, spec_of};
    use super::*;

    /// A state that swings, the targets it follows exactly, and the changes that lead along it.
    fn swing(step: f32) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let state: Vec<f32> = (0..=40).map(|t| (step * t as f32).sin()).collect();
        let targets = state[1..].to_vec();
        let changes = state.windows(2).map(|pair| pair[1] - pair[0]).collect();
        (state[..40].to_vec(), targets, changes)
    }

    #[test]
    fn correlations_are_those_of_the_book() {
        let mut joint = Joint::default();
        [(1.0, 2.0), (2.0, 1.0), (3.0, 4.0), (4.0, 3.0)].into_iter().for_each(|(x, y)| joint.add(x, y));
        // Deviations -1.5, -0.5, 0.5, 1.5 and -0.5, -1.5, 1.5, 0.5: 3 / 5.
        assert!((joint.correlation() - 0.6).abs() < 1e-12);
        assert_eq!(Joint::default().correlation(), 0.0);
    }

    #[test]
    fn targets_and_changes_are_told_apart() {
        let (state, targets, changes) = swing(0.5);
        let spec = spec_of(&["x"], &["x"]);
        let meaning_of = |action: &[f32]| pairs(&spec, &[episode_of(&state, action, 1)])[0].follow.meaning;
        assert_eq!(meaning_of(&targets), Meaning::Target);
        assert_eq!(meaning_of(&changes), Meaning::Change);
        // Normalised changes are changes all the same.
        let scaled: Vec<f32> = changes.iter().map(|x| 30.0 * x).collect();
        assert_eq!(meaning_of(&scaled), Meaning::Change);
        assert_eq!(meaning_of(&[1.0; 40]), Meaning::Unclear);
    }

    #[test]
    fn names_pair_first_and_positions_only_without_any() {
        let of = |state: &[&str], action: &[&str]| -> Vec<(usize, usize)> {
            pairs(&spec_of(state, action), &[]).iter().map(|pair| (pair.action, pair.state)).collect()
        };
        assert_eq!(of(&["x", "y", "z"], &["z", "x"]), [(0, 2), (1, 0)]);
        assert_eq!(of(&["agent_x", "agent_y"], &["target_x", "target_y"]), [(0, 0), (1, 1)]);
        assert_eq!(of(&["a", "b"], &["c"]), []);
    }

    #[test]
    fn two_ways_of_recording_actions_are_doubted() {
        let spec = spec_of(&["x"], &["x"]);
        let mut episodes: Vec<Episode> = Vec::new();
        for (index, step) in [0.4, 0.45, 0.5, 0.55].into_iter().enumerate() {
            let (state, targets, changes) = swing(step);
            let action = if index == 2 { changes } else { targets };
            episodes.push(Episode { index, ..episode_of(&state, &action, 1) });
        }
        let doubt = mixed(&pairs(&spec, &episodes), &episodes);
        let expected = "actions look like changes of the state in episode 2, and like targets for the state in 3 episodes \
                        (0, 1, 3): recorded in two ways?";
        assert_eq!(doubt.as_deref(), Some(expected));
        episodes.remove(2);
        assert_eq!(mixed(&pairs(&spec, &episodes), &episodes), None);
    }
}
