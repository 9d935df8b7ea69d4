//! From an episode's rows to an [`Episode`], if they are sound; else the reason in one sentence.

use super::listing::{Listed, VideoPlace};
use super::rows::{Extra, Rows, Source};
use crate::episode::Episode;
use crate::spec::{DatasetSpec, first_not_finite};

/// An episode whose rows are sound.
#[derive(Debug)]
pub(crate) struct Sound {
    /// The episode; `first_frame` is not yet known.
    pub episode: Episode,
    /// Where its videos are, one per video camera.
    pub videos: Vec<VideoPlace>,
    /// Where its rows are, in frame order.
    pub sources: Vec<Source>,
    /// Time from the first to the last frame by the dataset's clock, seconds; 0 where it has none.
    pub span_s: f64,
    /// Times from frame to frame, seconds; none where it has no clock.
    pub steps_s: Vec<f64>,
}

/// Checks the rows of a listed episode and turns them into an [`Episode`].
///
/// A `label` takes the place of recorded success: success at the last step, which then ends the episode, or none.
pub(crate) fn check(listed: &Listed, mut rows: Rows, spec: &DatasetSpec, label: Option<bool>) -> Result<Sound, String> {
    let len = rows.len();
    if len != listed.length {
        return Err(format!("has {len} rows, its length is listed as {}", listed.length));
    }
    if len == 0 {
        return Err("has no rows".to_owned());
    }
    rows.sort();
    check_frames(&rows.frame)?;
    let span_s = rows.extra(Extra::TimeS).map_or(Ok(0.0), check_clock)?;
    let times_s = rows.extra(Extra::TimeS).unwrap_or_default();
    let steps_s = times_s.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let bad = first_not_finite(&rows.state, &spec.state).or_else(|| first_not_finite(&rows.hint, &spec.hints));
    if let Some(why) = bad.or_else(|| first_not_finite(&rows.action, std::slice::from_ref(&spec.action))) {
        return Err(why);
    }
    let reward: Option<Vec<f32>> =
        complete(&rows, Extra::Reward, "next.reward")?.map(|column| column.iter().map(|&x| x as f32).collect());
    let flags = |column: &[f64]| -> Vec<bool> { column.iter().map(|&x| x > 0.5).collect() };
    let success = match label {
        Some(solved) => Some((1..=len).map(|t| solved && t == len).collect()),
        None => complete(&rows, Extra::Success, "next.success")?.map(flags),
    };
    let terminations = complete(&rows, Extra::Terminated, "next.terminated")?.map(flags);
    // An empty cell here means that nobody intervened.
    let intervention = rows.extra(Extra::Intervention).map(flags);
    let truncations = rows.extra(Extra::Truncated).map(flags);
    let done = rows.extra(Extra::Done).map(flags);
    let at_end = |column: &Option<Vec<bool>>| column.as_ref().and_then(|flags| flags.last().copied());
    // `next.done` alone says only that the recording ended, whatever the reason.
    let ended = at_end(&done).zip(at_end(&truncations)).map(|(done, cut)| done && !cut);
    let terminated = label.filter(|&solved| solved).or_else(|| at_end(&terminations));
    let terminated = terminated.or(ended).or_else(|| at_end(&success)).unwrap_or(false);
    let task = rows.task.and_then(|index| spec.tasks.get(usize::try_from(index).ok()?).cloned());
    let episode = Episode {
        index: listed.index,
        task: task.filter(|task| !task.is_empty()).unwrap_or_else(|| listed.task.clone()),
        len,
        state: rows.state,
        hint: rows.hint,
        action: rows.action,
        reward,
        success,
        intervention,
        terminated,
        truncated: !terminated,
        first_frame: 0,
    };
    Ok(Sound { episode, videos: listed.videos.clone(), sources: rows.sources, span_s, steps_s })
}

/// Sorted frame indices must be 0, 1, 2, …
fn check_frames(frames: &[i64]) -> Result<(), String> {
    if let Some(pair) = frames.windows(2).find(|pair| pair[1] != pair[0] + 1) {
        return Err(match pair[1] == pair[0] {
            true => format!("frame_index {} appears twice", pair[0]),
            false => format!("frame_index jumps from {} to {}", pair[0], pair[1]),
        });
    }
    match frames.first() {
        Some(&first) if first != 0 => Err(format!("frame_index starts at {first}, not 0")),
        _ => Ok(()),
    }
}

/// Time must go forward from frame to frame; returns the time from first to last, seconds.
fn check_clock(times_s: &[f64]) -> Result<f64, String> {
    if let Some(frame) = times_s.iter().position(|t| !t.is_finite()) {
        return Err(format!("timestamp is {} at frame {frame}", times_s[frame]));
    }
    if let Some(frame) = times_s.windows(2).position(|pair| pair[1] <= pair[0]) {
        let (from, to) = (times_s[frame], times_s[frame + 1]);
        let how = if to == from { "stands still" } else { "goes back" };
        return Err(format!("timestamp {how} from {from:.3} s to {to:.3} s at frame {}", frame + 1));
    }
    Ok(times_s.last().zip(times_s.first()).map_or(0.0, |(last, first)| last - first))
}

/// An optional column that must have a value in every row.
fn complete<'r>(rows: &'r Rows, which: Extra, name: &str) -> Result<Option<&'r [f64]>, String> {
    let Some(column) = rows.extra(which) else {
        return Ok(None);
    };
    match column.iter().position(|x| !x.is_finite()) {
        Some(frame) => Err(format!("{name} is {} at frame {frame}", column[frame])),
        None => Ok(Some(column)),
    }
}
