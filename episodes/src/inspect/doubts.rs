//! What is sound but looks like a mistake: clocks that jitter, pictures that stand still or show nothing, robots that wait.

use super::report::SuccessReport;
use crate::dataset::Timing;
use crate::normaliser::Moments;
use crate::{Dataset, Episode};

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

/// Pictures of each camera whose values are looked at, at most.
const MAX_BRIGHTNESS: usize = 500;

/// A camera whose values (0 to 255) all lie within this much of each other shows nothing.
const BLANK_RANGE: u8 = 8;

/// Share of steps without a new action above which the dataset is doubted.
const DOUBTFUL_IDLE_SHARE: f64 = 0.5;

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

/// Smallest and largest value of any channel in pictures spread evenly over the dataset.
pub(super) fn brightness(dataset: &Dataset, camera: usize) -> (u8, u8) {
    let every = dataset.total_frames().div_ceil(MAX_BRIGHTNESS).max(1);
    let steps = (0..dataset.episodes.len()).flat_map(|e| (0..dataset.episodes[e].len).map(move |t| (e, t)));
    let pictures = steps.step_by(every).map(|(e, t)| dataset.frame(camera, e, t));
    let range = pictures.flatten().fold(None, |range, &x| match range {
        None => Some((x, x)),
        Some((low, high)) => Some((x.min(low), x.max(high))),
    });
    range.unwrap_or_default()
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
pub(super) fn still_camera(key: &str, still_share: Option<f64>) -> Option<String> {
    let share = still_share.filter(|share| *share > DOUBTFUL_STILL_SHARE)?;
    Some(format!(
        "camera {key} shows the same picture again at {:.0} % of the steps at which the state moves: a slow or stuck camera?",
        100.0 * share
    ))
}

/// A camera that shows nothing.
pub(super) fn blank_camera(key: &str, (darkest, brightest): (u8, u8)) -> Option<String> {
    let why = match brightest {
        0..=BLANK_RANGE => "pictures from 0 to 1 where 0 to 255 was meant, or a covered lens",
        _ => "a covered or dead camera",
    };
    (brightest - darkest <= BLANK_RANGE).then(|| {
        format!("camera {key} shows nothing: all values lie from {darkest} to {brightest} of 0 to 255: {why}?")
    })
}

/// A robot that mostly waits.
pub(super) fn idle(share: f64) -> Option<String> {
    (share > DOUBTFUL_IDLE_SHARE).then(|| {
        format!(
            "the action stays the same at {:.0} % of the steps: long waits, or commands slower than the recording?",
            100.0 * share
        )
    })
}

/// A success column in which nothing ever succeeds.
pub(super) fn no_success(success: Option<&SuccessReport>, episodes: usize) -> Option<String> {
    let is_none = episodes > 0 && success.is_some_and(|success| success.episodes == 0);
    is_none.then(|| "no episode is recorded as a success: is the column filled? (labels: data.labels)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_and_cameras_are_doubted_beyond_a_limit() {
        let timing = |jitter_s: f64| Timing { mean_step_s: 0.1, jitter_s, longest_step_s: 0.3 };
        assert_eq!(clock(None, 10.0).or(clock(Some(&timing(0.005)), 10.0)), None);
        assert!(clock(Some(&timing(0.02)), 10.0).is_some_and(|w| w.contains("0.1000 s give or take 0.0200 s")));
        assert_eq!(still_camera("top", None).or(still_camera("top", Some(0.1))), None);
        assert!(still_camera("top", Some(0.5)).is_some_and(|w| w.contains("at 50 % of the steps")));
    }

    #[test]
    fn pictures_from_0_to_1_and_dead_cameras_show_nothing() {
        let words = |range| blank_camera("top", range);
        assert!(words((0, 1)).is_some_and(|w| w.contains("from 0 to 1 of 0 to 255: pictures from 0 to 1 where")));
        assert!(words((120, 124)).is_some_and(|w| w.ends_with("a covered or dead camera?")));
        assert_eq!(words((0, 90)).or(words((3, 255))), None);
    }

    #[test]
    fn waiting_robots_and_empty_success_columns_are_doubted() {
        assert_eq!(idle(0.0).or(idle(0.5)), None);
        assert!(idle(0.66).is_some_and(|w| w.starts_with("the action stays the same at 66 % of the steps")));
        let success = |episodes| SuccessReport { episodes, share: 0.0 };
        assert_eq!(no_success(None, 5).or(no_success(Some(&success(1)), 5)), None);
        assert!(no_success(Some(&success(0)), 5).is_some_and(|w| w.starts_with("no episode is recorded as a success")));
    }
}
