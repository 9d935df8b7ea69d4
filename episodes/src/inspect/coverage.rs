//! How much of what was recorded is not a repetition.

use super::report::Coverage;
use crate::Episode;
use crate::normaliser::Moments;

/// Steps compared at most: their pairs are what takes time.
const MAX_MOMENTS: usize = 2000;

/// Two moments nearer than this, in standard deviations (root mean square over the elements), are one.
const RADIUS: f64 = 0.25;

/// Counts moments none of which is near another one counted, in the order of the dataset.
pub(super) fn measure(episodes: &[Episode], state: &[Moments], action: &[Moments]) -> Coverage {
    let steps = || episodes.iter().flat_map(|e| (0..e.len).map(move |t| (e, t)));
    let every = steps().count().div_ceil(MAX_MOMENTS).max(1);
    let scales: Vec<f32> = state.iter().chain(action).map(|m| m.std() as f32).collect();
    let moving = scales.iter().filter(|&&std| std > 0.0).count();
    let limit = (RADIUS * RADIUS * moving as f64) as f32;
    let mut moments = 0;
    let mut distinct: Vec<Vec<f32>> = Vec::new();
    for (episode, t) in steps().step_by(every) {
        let (s, a) = (episode.state_at(t, state.len()), episode.action_at(t, action.len()));
        let values = s.iter().chain(a).zip(&scales).filter(|&(_, &std)| std > 0.0);
        let moment: Vec<f32> = values.map(|(x, std)| x / std).collect();
        moments += 1;
        if distinct.iter().all(|other| is_far(&moment, other, limit)) {
            distinct.push(moment);
        }
    }
    Coverage { moments, distinct: distinct.len() }
}

/// Whether the squared distance exceeds `limit`; stops as soon as it does.
fn is_far(a: &[f32], b: &[f32], limit: f32) -> bool {
    let mut sum = 0.0;
    a.iter().zip(b).any(|(x, y)| {
        sum += (x - y) * (x - y);
        sum > limit
    })
}

#[cfg(test)]
mod tests {
    use super::super::measure::moments;
    use super::super::tests::episode_of;
    use super::*;

    fn coverage(state: &[f32], action: &[f32]) -> Coverage {
        let episodes = [episode_of(state, action, 1)];
        measure(&episodes, &moments([state].into_iter(), 1), &moments([action].into_iter(), 1))
    }

    #[test]
    fn repetitions_count_once() {
        let (a, b) = ([-1.0, 1.0, -1.0, 1.0, -1.0, 1.0], [-1.0, 1.0, 1.0, -1.0, -1.0, 1.0]);
        assert_eq!(coverage(&a, &b), Coverage { moments: 6, distinct: 4 });
        let near = [-1.0, 1.0, -1.02, 1.02, -1.04, 1.04];
        assert_eq!(coverage(&near, &[0.0; 6]), Coverage { moments: 6, distinct: 2 });
        assert_eq!(coverage(&[5.0; 6], &[0.0; 6]), Coverage { moments: 6, distinct: 1 });
    }

    #[test]
    fn a_large_dataset_is_looked_at_in_places() {
        let long: Vec<f32> = (0..5001).map(|i| (i % 2) as f32).collect();
        assert_eq!(coverage(&long, &long), Coverage { moments: 1667, distinct: 2 });
        assert_eq!(measure(&[], &[], &[]), Coverage { moments: 0, distinct: 0 });
    }
}
