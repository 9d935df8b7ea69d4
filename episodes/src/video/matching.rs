//! Which recorded frame belongs to which step of an episode.

/// How far, in frames, a presentation time may be from the wanted time: half a frame plus what containers with a
/// coarse time base (milliseconds) round away.
const TOLERANCE_FRAMES: f64 = 0.55;

/// A later frame must be closer than an earlier one by this much, in frames, to be preferred: times exactly
/// between two frames then always take the earlier one instead of jumping with the rounding.
const MARGIN_FRAMES: f64 = 0.02;

/// Positions in `times_s` (ascending) of the frames nearest to `from_s + k / fps` for `k = 0..len`.
///
/// Offsets drift in real recordings, so equality is not asked for; but every step needs a frame of its own.
///
/// # Errors
/// A reason such as `video has 310 of 343 frames` when any step is left without one.
pub fn match_times(times_s: &[f64], from_s: f64, fps: f64, len: usize) -> Result<Vec<usize>, String> {
    if !(fps > 0.0 && fps.is_finite() && from_s.is_finite()) {
        return Err(format!("no frame times: the episode starts at {from_s} s with {fps} frames/s"));
    }
    let mut next = times_s.partition_point(|&t| (t - from_s) * fps < -TOLERANCE_FRAMES);
    let mut positions = Vec::with_capacity(len.min(times_s.len()));
    for k in 0..len {
        let distance = |i: usize| times_s.get(i).map(|t| ((t - from_s) * fps - k as f64).abs());
        while let (Some(here), Some(later)) = (distance(next), distance(next + 1)) {
            if later + MARGIN_FRAMES < here {
                next += 1;
            } else {
                break;
            }
        }
        if distance(next).is_some_and(|d| d <= TOLERANCE_FRAMES) {
            positions.push(next);
            next += 1;
        }
    }
    if positions.len() < len {
        return Err(format!("video has {} of {len} frames", positions.len()));
    }
    Ok(positions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(n: usize, fps: f64) -> Vec<f64> {
        (0..n).map(|i| i as f64 / fps).collect()
    }

    #[test]
    fn takes_the_nearest_frame() {
        let times_s = grid(10, 10.0);
        assert_eq!(match_times(&times_s, 0.3, 10.0, 4), Ok(vec![3, 4, 5, 6]));
        assert_eq!(match_times(&times_s, 0.34, 10.0, 4), Ok(vec![3, 4, 5, 6]));
        assert_eq!(match_times(&times_s, 0.26, 10.0, 4), Ok(vec![3, 4, 5, 6]));
        assert_eq!(match_times(&times_s, 0.0, 10.0, 10), Ok((0..10).collect()));
    }

    #[test]
    fn half_way_between_frames_stays_consecutive() {
        let times_s = grid(200, 30.0);
        let got = match_times(&times_s, 10.5 / 30.0, 30.0, 150).expect("all frames are there");
        assert!(got.windows(2).all(|w| w[1] == w[0] + 1), "{got:?}");
    }

    #[test]
    fn rounded_milliseconds_still_match() {
        let times_s: Vec<f64> = grid(100, 30.0).iter().map(|t| (t * 1000.0).round() / 1000.0).collect();
        assert_eq!(match_times(&times_s, 0.0, 30.0, 100), Ok((0..100).collect()));
    }

    #[test]
    fn too_few_frames_is_a_reason() {
        assert_eq!(match_times(&grid(310, 30.0), 0.0, 30.0, 343), Err("video has 310 of 343 frames".to_owned()));
        assert_eq!(match_times(&[], 0.0, 30.0, 2), Err("video has 0 of 2 frames".to_owned()));
        assert!(match_times(&grid(5, 30.0), 0.0, 0.0, 2).is_err());
    }

    #[test]
    fn half_the_frame_rate_is_not_mistaken_for_all_frames() {
        let why = match_times(&grid(50, 15.0), 0.0, 30.0, 100).expect_err("every second frame is missing");
        assert_eq!(why, "video has 50 of 100 frames");
    }
}
