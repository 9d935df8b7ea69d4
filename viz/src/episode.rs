//! An episode as it was lived.

use rerun::RecordingStream;
use rerun::blueprint::ContainerLike;

use crate::layout::{self, Plot};
use crate::series::{self, Track, path};
use crate::{EpisodeView, Error};

pub(crate) fn record(rec: &RecordingStream, view: &EpisodeView) -> Result<ContainerLike, Error> {
    let root = ["episodes", view.name.as_str()];
    let at = |name: &str| path(&[root[0], root[1], name]);
    let track = Track::new(rec, &view.name, view.fps, 0)?;
    let mut pictures = Vec::new();
    for (camera, frames) in &view.cameras {
        let entity = at(&series::camera_entity(camera));
        track.frames(&entity, frames)?;
        pictures.push(layout::picture(camera, entity));
    }
    let (state, action, reward, value) = (at("observation.state"), at("action"), at("next.reward"), at("value"));
    track.rows(&state, &view.state, &view.state_names, "")?;
    track.rows(&action, &view.action, &view.action_names, "")?;
    track.line(&reward, &view.reward, "reward", None)?;
    track.line(&value, &view.value, "value", None)?;
    let plots = [
        Plot::new("state", vec![state], view.state.is_empty()),
        Plot::new("action", vec![action], view.action.is_empty()),
        Plot::new("reward", vec![reward], view.reward.is_empty()),
        Plot::new("value", vec![value], view.value.is_empty()),
    ];
    Ok(layout::pictures_over_plots(pictures, None, plots, None))
}
