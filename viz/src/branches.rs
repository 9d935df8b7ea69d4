//! Several futures of one moment.

use std::fmt::Write;

use rerun::blueprint::ContainerLike;
use rerun::{EntityPath, RecordingStream, TextDocument};

use crate::layout::{self, Plot};
use crate::series::{self, Track, path};
use crate::{ArmView, BranchView, Error};

/// A series of an arm: entity name, title of the plot it shares with the other arms, and where it is.
type Quantity = (&'static str, &'static str, fn(&ArmView) -> &Vec<f32>);

const QUANTITIES: [Quantity; 4] = [
    ("value", "value", |arm| &arm.value),
    ("success_probability", "success probability", |arm| &arm.success_probability),
    ("disagreement", "disagreement", |arm| &arm.disagreement),
    ("next.reward", "reward", |arm| &arm.reward),
];

pub(crate) fn record(rec: &RecordingStream, view: &BranchView) -> Result<ContainerLike, Error> {
    let at = |arm: &str, name: &str| path(&["branches", &view.name, arm, name]);
    let track = Track::new(rec, &view.name, view.fps, view.fork_step)?;
    let camera_count = view.arms.iter().map(|arm| arm.cameras.len()).max().unwrap_or(0);
    // One row per camera, one column per arm.
    let mut pictures = Vec::new();
    for camera in 0..camera_count {
        for arm in &view.arms {
            if let Some((name, frames)) = arm.cameras.get(camera) {
                let entity = at(&arm.name, &series::camera_entity(name));
                track.frames(&entity, frames)?;
                pictures.push(layout::picture(&format!("{}: {name}", arm.name), entity));
            }
        }
    }
    let mut plots = Vec::new();
    for (entity, title, values) in QUANTITIES {
        let mut lines: Vec<EntityPath> = Vec::new();
        for (index, arm) in view.arms.iter().enumerate().filter(|(_, arm)| !values(arm).is_empty()) {
            let line = at(&arm.name, entity);
            track.line(&line, values(arm), &arm.name, Some(series::colour(index)))?;
            lines.push(line);
        }
        let is_empty = lines.is_empty();
        plots.push(Plot::new(title, lines, is_empty));
    }
    let summary = path(&["branches", &view.name, "summary"]);
    let table = TextDocument::from_markdown(summarise(view));
    rec.log_static(summary.clone(), &table).map_err(|error| Error::recording(&view.name, error))?;
    let page = layout::page("summary", summary);
    Ok(layout::pictures_over_plots(pictures, Some(view.arms.len()), plots, Some(page)))
}

/// One row per arm, the best return first.
fn summarise(view: &BranchView) -> String {
    let mut arms: Vec<&ArmView> = view.arms.iter().collect();
    arms.sort_by(|a, b| b.return_mean.total_cmp(&a.return_mean));
    let mut text = format!("### {}\n\nForked at step {}; best return first.\n\n", view.name, view.fork_step);
    text.push_str("| arm | return | value | success | disagreement |\n|---|---|---|---|---|\n");
    for arm in arms {
        let last = |values: &[f32]| values.last().map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"));
        let largest = arm.disagreement.iter().copied().reduce(f32::max);
        let largest = largest.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"));
        let (name, value, success) = (arm.name.replace('|', "\\|"), last(&arm.value), last(&arm.success_probability));
        // Writing to a string cannot fail.
        _ = writeln!(text, "| {name} | {:.3} | {value} | {success} | {largest} |", arm.return_mean);
    }
    text.push_str("\nValue and success probability at the end of the future, the largest disagreement on the way.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_ranks_the_arms() {
        let arm = |name: &str, return_mean| ArmView {
            name: name.to_owned(),
            value: vec![0.1, 0.25],
            return_mean,
            ..ArmView::default()
        };
        let view = BranchView {
            name: "x".to_owned(),
            fps: 10.0,
            fork_step: 4,
            arms: vec![arm("low|er", 1.0), arm("higher", 2.0)],
        };
        let text = summarise(&view);
        let rows: Vec<&str> = text.lines().skip(6).take(2).collect();
        assert_eq!(rows, ["| higher | 2.000 | 0.250 | – | – |", "| low\\|er | 1.000 | 0.250 | – | – |"]);
    }
}
