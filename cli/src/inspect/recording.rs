//! The inspection as a recording: chosen episodes, the report's pages, charts over the whole dataset.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use episodes::inspect::ElementReport;
use episodes::{Dataset, Episode, Inspection, OpenOptions};
use serde::Serialize;
use viz::{Bars, Chart, DatasetView, RecordedView, Recorder, Still};

use super::choose::{Chosen, choose};
use super::with_progress;
use crate::args::Choice;
use crate::errors::UsageError;
use crate::{interrupt, live};

/// The viewer keeps a layout per application: that of an inspection is not that of a run.
const APP: &str = "rehearsal inspect";

/// Pictures in a recording, above which steps are left out: about ten kilobytes each.
const MAX_PICTURES: usize = 2400;

/// So many pictures per second are kept, however many there are: fewer show no movement.
const MIN_PICTURES_PER_S: f64 = 2.0;

/// The rate assumed for that where nobody knows it, Hz.
const UNKNOWN_RATE_HZ: f64 = 10.0;

/// Histograms of one vector; more could not be told apart on a screen.
const MAX_HISTOGRAMS: usize = 64;

/// What was written.
#[derive(Debug, Serialize)]
pub struct Written {
    /// The recording.
    path: PathBuf,
    /// Its size.
    bytes: u64,
    /// Indices of the episodes in it.
    episodes: Vec<usize>,
    /// Steps from picture to picture.
    picture_every: usize,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let episodes: Vec<String> = self.episodes.iter().map(usize::to_string).collect();
        let (path, megabytes) = (self.path.display(), self.bytes as f64 / 1e6);
        write!(f, "recording: {path}, {megabytes:.1} MB, episodes {}", episodes.join(", "))?;
        if self.picture_every > 1 {
            write!(f, ", pictures of every {}. step", self.picture_every)?;
        }
        writeln!(f, "\n  to look at it: rehearsal view {path}")
    }
}

/// Whether a recording may be written to `file`, before anything is read.
///
/// # Errors
/// A name that is no recording's, a folder that does not exist.
pub fn check_target(file: &Path) -> Result<(), UsageError> {
    let wrong = |found: &str, expected: &str| {
        Err(UsageError(format!("--rrd {}: {found}; expected {expected}", file.display())))
    };
    if file.is_dir() {
        return wrong("is a directory", "a file in it, such as look.rrd");
    }
    if file.extension().is_none_or(|extension| extension != "rrd") {
        return wrong("no name of a recording", "one that ends in .rrd");
    }
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            wrong(&format!("there is no directory {}", folder.display()), "one that exists; make it first")
        }
        _ => Ok(()),
    }
}

/// Writes the recording, replacing one that is there when the new one is complete.
///
/// # Errors
/// An episode that is not there; pictures that can no longer be read; a file that cannot be written; Ctrl-C.
pub fn write(
    file: &Path,
    choice: &Choice,
    options: &OpenOptions,
    dataset: &Dataset,
    inspection: &Inspection,
) -> Result<Written> {
    let chosen = choose(choice, inspection)?;
    interrupt::install(interrupt::WHOLE_OR_NOT)?;
    let mut recorder = Recorder::shown(file, APP, &inspection.source, live::viewer())?;
    let every = picture_every(dataset, &chosen);
    let mut pictures = pictures(file, options, dataset, &chosen, every)?;
    for (episode, cameras) in chosen.iter().zip(pictures.iter_mut()) {
        recorder.recorded(&recorded_view(dataset, episode, std::mem::take(cameras)))?;
    }
    recorder.dataset(&dataset_view(inspection))?;
    if interrupt::requested() {
        return Err(stopped(file).into());
    }
    let path = recorder.finish()?;
    let bytes = std::fs::metadata(&path)?.len();
    Ok(Written { path, bytes, episodes: chosen.iter().map(|c| c.index).collect(), picture_every: every })
}

fn stopped(file: &Path) -> episodes::Error {
    episodes::Error::Stopped { path: file.to_owned() }
}

fn picture_every(dataset: &Dataset, chosen: &[Chosen]) -> usize {
    let steps: usize = chosen.iter().map(|c| dataset.episodes[c.position].len).sum();
    let rate_hz = Some(dataset.spec.control_rate_hz).filter(|hz| *hz > 0.0).unwrap_or(UNKNOWN_RATE_HZ);
    let most = (rate_hz / MIN_PICTURES_PER_S).max(1.0) as usize;
    (steps * dataset.spec.cameras.len()).div_ceil(MAX_PICTURES).clamp(1, most)
}

/// Per chosen episode and camera its pictures.
fn pictures(
    file: &Path,
    options: &OpenOptions,
    dataset: &Dataset,
    chosen: &[Chosen],
    every: usize,
) -> Result<Vec<Vec<(String, Vec<Still>)>>> {
    let cameras = || dataset.spec.cameras.iter().map(|camera| (camera.key.clone(), Vec::new())).collect();
    let mut out: Vec<Vec<(String, Vec<Still>)>> = chosen.iter().map(|_| cameras()).collect();
    if dataset.spec.cameras.is_empty() {
        return Ok(out);
    }
    let indices: Vec<usize> = chosen.iter().map(|chosen| chosen.index).collect();
    let mut trouble = None;
    let read = with_progress(|report| {
        let mut take = |original: episodes::Original<'_>| {
            if interrupt::requested() {
                return Err(stopped(file));
            }
            match Still::new(original.t, original.height, original.width, original.rgb) {
                Ok(still) => {
                    out[original.chosen][original.camera].1.push(still);
                    Ok(())
                }
                Err(error) => {
                    trouble = Some(error);
                    Err(stopped(file))
                }
            }
        };
        episodes::originals(options, &indices, every, &mut take, report)
    });
    match (read, trouble) {
        (_, Some(error)) => Err(error.into()),
        (read, None) => Ok(read.map(|()| out)?),
    }
}

fn recorded_view(dataset: &Dataset, chosen: &Chosen, cameras: Vec<(String, Vec<Still>)>) -> RecordedView {
    let (spec, episode): (_, &Episode) = (&dataset.spec, &dataset.episodes[chosen.position]);
    let rows = |values: &[f32], width: usize| values.chunks_exact(width.max(1)).map(<[f32]>::to_vec).collect();
    RecordedView {
        name: format!("episode {}", chosen.index),
        note: chosen.note.clone(),
        fps: Some(spec.control_rate_hz).filter(|hz| *hz > 0.0),
        cameras,
        state: rows(&episode.state, spec.state_len()),
        state_names: spec.state.iter().flat_map(|f| f.names.clone()).collect(),
        action: rows(&episode.action, spec.action_len()),
        action_names: spec.action.names.clone(),
        reward: episode.reward.clone().unwrap_or_default(),
        success: episode.success.clone().unwrap_or_default(),
        intervention: episode.intervention.clone().unwrap_or_default(),
    }
}

fn dataset_view(inspection: &Inspection) -> DatasetView {
    let list = &inspection.episode_list;
    let lengths = |name: &str, success: Option<bool>| Bars {
        name: name.to_owned(),
        points: list.iter().filter(|e| e.success == success).map(|e| (e.index as f64, e.len as f64)).collect(),
    };
    let idle = list.iter().map(|e| (e.index as f64, 100.0 * e.idle_share)).collect();
    let limits = |elements: &[ElementReport]| -> Vec<(f64, f64)> {
        elements.iter().enumerate().map(|(d, e)| (d as f64, 100.0 * e.saturation_share)).collect()
    };
    let one = |points: Vec<(f64, f64)>| vec![Bars { name: String::new(), points }];
    let chart = |name: &str, title: &str, bars: Vec<Bars>| Chart {
        name: name.to_owned(),
        title: title.to_owned(),
        bar_width: 1.0,
        bars,
    };
    let title = if inspection.success.is_some() {
        "steps per episode (orange success, blue failure)"
    } else {
        "steps per episode"
    };
    let by_outcome = vec![lengths("success", Some(true)), lengths("failure", Some(false)), lengths("unknown", None)];
    DatasetView {
        pages: vec![
            ("inspection".to_owned(), inspection.markdown()),
            ("left out".to_owned(), inspection.left_out_markdown()),
        ],
        charts: vec![
            chart("lengths", title, by_outcome),
            chart("idle", "% of each episode without a new action", one(idle)),
            chart("action_limits", "% of steps at its limits, per action element", one(limits(&inspection.action))),
            chart("state_limits", "% of steps at its limits, per state element", one(limits(&inspection.state))),
        ],
        groups: vec![
            ("state".to_owned(), histograms(&inspection.state)),
            ("action".to_owned(), histograms(&inspection.action)),
        ],
    }
}

fn histograms(elements: &[ElementReport]) -> Vec<Chart> {
    let histogram = |e: &ElementReport| {
        // A constant element has one bar, of some width.
        let width = if e.max > e.min { (e.max - e.min) / e.histogram.len() as f64 } else { 1.0 };
        let left = if e.max > e.min { e.min } else { e.min - 0.5 };
        let points =
            e.histogram.iter().enumerate().map(|(i, &n)| (left + (i as f64 + 0.5) * width, n as f64)).collect();
        Chart {
            name: e.name.clone(),
            // The feature's name is in the tab and in the legend.
            title: e.name.split_once('/').map_or(e.name.as_str(), |(_, element)| element).to_owned(),
            bar_width: width,
            bars: vec![Bars { name: String::new(), points }],
        }
    };
    elements.iter().take(MAX_HISTOGRAMS).map(histogram).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_lie_where_the_values_are() {
        let element = |min: f64, max: f64, histogram: &[u64]| ElementReport {
            name: "action/x".to_owned(),
            min,
            max,
            mean: 0.0,
            std: 0.0,
            saturation_share: 0.0,
            histogram: histogram.to_vec(),
        };
        let charts = histograms(&[element(-1.0, 1.0, &[3, 0, 0, 5]), element(7.0, 7.0, &[8])]);
        assert_eq!((charts[0].name.as_str(), charts[0].title.as_str(), charts[0].bar_width), ("action/x", "x", 0.5));
        assert_eq!(charts[0].bars[0].points, [(-0.75, 3.0), (-0.25, 0.0), (0.25, 0.0), (0.75, 5.0)]);
        assert_eq!((charts[1].bars[0].points.as_slice(), charts[1].bar_width), ([(7.0, 8.0)].as_slice(), 1.0));
    }
}
