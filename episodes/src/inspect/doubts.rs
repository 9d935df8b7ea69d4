//! What is sound but looks like a mistake: clocks that jitter, pictures that stand still, units that do not agree.

use crate::dataset::Timing;
use crate::normaliser::Moments;
use crate::{Dataset, DatasetSpec, Episode};

/// Steps of each camera that are compared at most, spread evenly over the dataset.
const MAX_COMPARED: usize = 20_000;

/// Two pictures whose values (0 to 255) differ by less than this on average are near-duplicates.
const STILL_DIFFERENCE: f64 = 0.25;

/// A state that changes by more than this many standard deviations within a step is moving.
const MOVING_CHANGE: f64 = 0.05;

/// Share of near-duplicates among moving steps above which a camera is doubted.
const DOUBTFUL_STILL_SHARE: f64 = 0.2;

/// Jitter as a share of the step above which the clock is doubted.
const DOUBTFUL_JITTER: f64 = 0.1;

/// Factors between two spellings of one quantity, and their names: larger unit first.
const FACTORS: [(f64, &str); 3] = [
    (180.0 / std::f64::consts::PI, "one in degrees, the other in radians"),
    (1000.0, "one in thousandths of the other's unit, as mm and m"),
    (100.0, "one in hundredths of the other's unit, as cm and m"),
];

/// How far the ratio of two spreads may be from a factor.
const FACTOR_TOLERANCE: f64 = 0.15;

/// Share of steps (of those at which the state moved) whose picture hardly differs from the one before; `None` where
/// nothing moved.
pub(super) fn still_share(dataset: &Dataset, camera: usize, state: &[Moments]) -> Option<f64> {
    let width = state.len();
    let steps = || (0..dataset.episodes.len()).flat_map(|e| (1..dataset.episodes[e].len).map(move |t| (e, t)));
    let every = steps().count().div_ceil(MAX_COMPARED).max(1);
    let moved = |episode: &Episode, t: usize| {
        let (now, before) = (episode.state_at(t, width), episode.state_at(t - 1, width));
        let change = |d: usize| f64::from((now[d] - before[d]).abs());
        (0..width).any(|d| state[d].std() > 0.0 && change(d) > MOVING_CHANGE * state[d].std())
    };
    let (mut still, mut moving) = (0, 0);
    for (e, t) in steps().step_by(every).filter(|&(e, t)| moved(&dataset.episodes[e], t)) {
        let (now, before) = (dataset.frame(camera, e, t), dataset.frame(camera, e, t - 1));
        let sum: u64 = now.iter().zip(before).map(|(&a, &b)| u64::from(a.abs_diff(b))).sum();
        moving += 1;
        still += usize::from((sum as f64) < STILL_DIFFERENCE * now.len() as f64);
    }
    (moving > 0).then(|| f64::from(still as u32) / f64::from(moving as u32))
}

/// Pairs of state and action elements of one name whose spreads differ by the factor between two units.
pub(super) fn units(spec: &DatasetSpec, state: &[Moments], action: &[Moments]) -> Vec<String> {
    let mut doubts = Vec::new();
    for (a, name) in spec.action.names.iter().enumerate() {
        let states = spec.state.iter().flat_map(|f| f.names.iter().enumerate().map(move |(i, n)| (f, i, n)));
        for (feature, i, _) in states.filter(|(_, _, n)| *n == name) {
            let (of_state, of_action) = (&state[feature.offset + i], &action[a]);
            let ratio = of_action.std() / of_state.std();
            let Some((_, words)) = FACTORS
                .iter()
                .find(|(factor, _)| [ratio, 1.0 / ratio].iter().any(|r| (r / factor - 1.0).abs() < FACTOR_TOLERANCE))
            else {
                continue;
            };
            doubts.push(format!(
                "{}/{name} and {}/{name} spread over {:.4} and {:.4}: {words}?",
                spec.action.key,
                feature.key,
                of_action.std(),
                of_state.std()
            ));
        }
    }
    doubts
}

/// A clock that does not keep the rate.
pub(super) fn clock(timing: Option<&Timing>, rate_hz: f64) -> Option<String> {
    let timing = timing.filter(|timing| timing.jitter_s * rate_hz > DOUBTFUL_JITTER)?;
    Some(format!(
        "the steps last {:.4} s give or take {:.4} s, the longest {:.4} s: the model takes all for equally long",
        timing.mean_step_s, timing.jitter_s, timing.longest_step_s
    ))
}

/// A camera that shows the same although the state moves.
pub(super) fn camera(key: &str, still_share: Option<f64>) -> Option<String> {
    let share = still_share.filter(|share| *share > DOUBTFUL_STILL_SHARE)?;
    Some(format!(
        "camera {key} shows the same picture again at {:.0} % of the steps at which the state moves: a slow or stuck camera?",
        100.0 * share
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VectorFeature;

    fn moments(values: &[f64]) -> Moments {
        let mut moments = Moments::default();
        values.iter().for_each(|&x| moments.add(x));
        moments
    }

    #[test]
    fn degrees_beside_radians_are_doubted_and_equal_units_are_not() {
        let vector = |key: &str| VectorFeature {
            key: key.to_owned(),
            names: vec!["elbow".to_owned(), "wrist".to_owned()],
            offset: 0,
            len: 2,
        };
        let spec = DatasetSpec {
            source: String::new(),
            codebase_version: "v3.0".to_owned(),
            robot_type: None,
            control_rate_hz: 10.0,
            state: vec![vector("observation.state")],
            action: vector("action"),
            cameras: vec![],
            tasks: vec![],
            has_reward: false,
            has_success: false,
        };
        let state = [moments(&[-1.0, 1.0]), moments(&[-0.5, 0.5])];
        let action = [moments(&[-60.0, 58.0]), moments(&[-0.45, 0.5])];
        let doubts = units(&spec, &state, &action);
        assert_eq!(
            doubts,
            [
                "action/elbow and observation.state/elbow spread over 59.0000 and 1.0000: one in degrees, the other in radians?"
            ]
        );
        let still = [moments(&[3.0, 3.0]), moments(&[0.0])];
        assert_eq!(units(&spec, &still, &action), Vec::<String>::new());
    }

    #[test]
    fn clocks_and_cameras_are_doubted_beyond_a_limit() {
        let timing = |jitter_s: f64| Timing { mean_step_s: 0.1, jitter_s, longest_step_s: 0.3 };
        assert_eq!(clock(None, 10.0).or(clock(Some(&timing(0.005)), 10.0)), None);
        assert!(clock(Some(&timing(0.02)), 10.0).is_some_and(|w| w.contains("0.1000 s give or take 0.0200 s")));
        assert_eq!(camera("top", None).or(camera("top", Some(0.1))), None);
        assert!(camera("top", Some(0.5)).is_some_and(|w| w.contains("at 50 % of the steps")));
    }
}
