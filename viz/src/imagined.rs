//! What happened beside what was imagined.

use rerun::RecordingStream;
use rerun::blueprint::ContainerLike;

use crate::layout::{self, Plot};
use crate::series::{self, Track, path};
use crate::{Error, Frame, ImaginedView};

pub(crate) fn record(rec: &RecordingStream, view: &ImaginedView) -> Result<ContainerLike, Error> {
    let at = |branch: &str, name: &str| path(&["imagined", &view.name, branch, name]);
    let track = Track::new(rec, &view.name, view.fps, 0)?;
    let (mut pictures, mut image_errors) = (Vec::new(), Vec::new());
    for (camera, real, imagined) in &view.cameras {
        let entity = series::camera_entity(camera);
        let difference: Vec<Frame> =
            real.iter().zip(imagined).map(|(real, imagined)| real.difference(imagined)).collect();
        for (branch, frames) in [("real", real), ("imagined", imagined), ("difference", &difference)] {
            track.frames(&at(branch, &entity), frames)?;
            pictures.push(layout::picture(&format!("{branch}: {camera}"), at(branch, &entity)));
        }
        let error: Vec<f32> = difference.iter().map(Frame::mean).collect();
        track.line(&at("error", &entity), &error, camera, None)?;
        image_errors.push(at("error", &entity));
    }
    let state = "observation.state";
    track.rows(&at("real", state), &view.state_real, &view.state_names, "real ")?;
    track.rows(&at("imagined", state), &view.state_imagined, &view.state_names, "imagined ")?;
    let state_error = absolute_difference(&view.state_real, &view.state_imagined);
    track.rows(&at("error", state), &state_error, &view.state_names, "|error| ")?;
    let disagreement = path(&["imagined", &view.name, "disagreement"]);
    track.line(&disagreement, &view.disagreement, "disagreement", None)?;
    let has_no_pictures = image_errors.is_empty();
    let plots = [
        Plot::new(
            "state: real and imagined",
            vec![at("real", state), at("imagined", state)],
            view.state_real.is_empty(),
        ),
        Plot::new("error of the state", vec![at("error", state)], state_error.is_empty()),
        Plot::new("error of the picture (mean, 0 to 1)", image_errors, has_no_pictures),
        Plot::new("disagreement", vec![disagreement], view.disagreement.is_empty()),
    ];
    Ok(layout::pictures_over_plots(pictures, Some(3), plots, None))
}

/// `[H, S]`, as long as the shorter of the two.
fn absolute_difference(real: &[Vec<f32>], imagined: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let rows = real.iter().zip(imagined);
    rows.map(|(real, imagined)| real.iter().zip(imagined).map(|(a, b)| (a - b).abs()).collect()).collect()
}
