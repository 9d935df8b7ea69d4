//! An episode as it lies in a dataset.

use rerun::blueprint::ContainerLike;
use rerun::{EntityPath, RecordingStream};

use crate::layout::{self, Plot};
use crate::series::{self, Track, path};
use crate::{Error, RecordedView};

/// What an overview shows of an episode: its cameras, or state and action where there is none.
#[derive(Debug)]
pub(crate) struct FirstLook {
    cameras: Vec<(String, EntityPath)>,
    lines: Vec<(&'static str, EntityPath)>,
}

impl FirstLook {
    pub(crate) fn into_views(self) -> Vec<ContainerLike> {
        if self.cameras.is_empty() {
            let plots = self.lines.into_iter().map(|(title, line)| layout::plot(Plot::new(title, vec![line], false)));
            return plots.collect();
        }
        self.cameras.into_iter().map(|(title, entity)| layout::picture(&title, entity)).collect()
    }
}

pub(crate) fn record(rec: &RecordingStream, view: &RecordedView) -> Result<(ContainerLike, FirstLook), Error> {
    let at = |name: &str| path(&["episodes", &view.name, name]);
    let track = match view.fps {
        Some(fps) => Track::new(rec, &view.name, fps, 0)?,
        None => Track::without_clock(rec),
    };
    let mut cameras = Vec::new();
    for (camera, stills) in &view.cameras {
        let entity = at(&series::camera_entity(camera));
        track.stills(&entity, stills)?;
        cameras.push((format!("{}: {camera}", view.name), entity));
    }
    let (state, action) = (at("observation.state"), at("action"));
    track.rows(&state, &view.state, &view.state_names, "")?;
    track.rows(&action, &view.action, &view.action_names, "")?;
    let mut plots = vec![
        Plot::new("state", vec![state.clone()], view.state.is_empty()),
        Plot::new("action", vec![action.clone()], view.action.is_empty()),
    ];
    let flags = |flags: &[bool]| flags.iter().map(|&flag| f32::from(u8::from(flag))).collect::<Vec<f32>>();
    let lines = [
        ("next.reward", "reward", view.reward.clone()),
        ("next.success", "success", flags(&view.success)),
        ("intervention", "intervention", flags(&view.intervention)),
    ];
    // Reward and the two flags share a plot.
    let mut outcome = Vec::new();
    for (index, (name, title, values)) in lines.iter().enumerate().filter(|(_, (_, _, values))| !values.is_empty()) {
        track.line(&at(name), values, title, Some(series::colour(index)))?;
        outcome.push(at(name));
    }
    let has_no_outcome = outcome.is_empty();
    plots.push(Plot::new("reward, success, interventions", outcome, has_no_outcome));
    let pictures = cameras.iter().map(|(_, entity)| entity).zip(&view.cameras);
    let pictures = pictures.map(|(entity, (camera, _))| layout::picture(camera, entity.clone())).collect();
    let lines = [("state", state, view.state.is_empty()), ("action", action, view.action.is_empty())];
    let lines = lines.into_iter().filter(|(_, _, is_empty)| !is_empty);
    let lines = lines.map(|(title, entity, _)| (title, entity)).collect();
    Ok((layout::pictures_over_plots(pictures, None, plots, None), FirstLook { cameras, lines }))
}
