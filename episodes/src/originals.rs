//! Pictures of chosen episodes at the recorded size, to look at rather than to learn from.

use crate::dataset::{OpenOptions, Progress};
use crate::error::Error;
use crate::holes::Why;
use crate::survey::Survey;

/// What one camera saw at one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Original<'a> {
    /// Position in the list of chosen episodes.
    pub chosen: usize,
    /// Position of the camera in the spec.
    pub camera: usize,
    /// Step of the episode.
    pub t: usize,
    /// RGB `[height, width, 3]`.
    pub rgb: &'a [u8],
    /// Pixels.
    pub height: usize,
    /// Pixels.
    pub width: usize,
}

/// Hands over every `every`-th picture of the episodes `chosen` (by their index), episode by episode, camera by camera.
///
/// `image_size` and `cache_dir` of the options have no meaning here: nothing is resized, nothing is kept.
///
/// # Errors
/// As [`crate::Dataset::open`]; [`Error::BadFile`] where a chosen episode is not sound; what `receive` fails with.
pub fn originals(
    options: &OpenOptions,
    chosen: &[usize],
    every: usize,
    receive: &mut dyn FnMut(Original<'_>) -> Result<(), Error>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), Error> {
    let survey = Survey::read(options, progress)?;
    let bad = |index: usize, found: &str| Error::BadFile {
        found: format!("episode {index}: {found}"),
        expected: "a sound episode".to_owned(),
        path: options.path.clone(),
    };
    let find = |&index: &usize| {
        let position = (0..survey.len()).find(|&position| survey.episode(position).index == index);
        position.ok_or_else(|| bad(index, "not among the sound ones"))
    };
    let positions = chosen.iter().map(find).collect::<Result<Vec<usize>, Error>>()?;
    let cameras = survey.spec().cameras.len();
    let total = cameras * positions.iter().map(|&position| survey.episode(position).len).sum::<usize>();
    let mut done = 0;
    for (number, &position) in positions.iter().enumerate() {
        let index = survey.episode(position).index;
        for camera in 0..cameras {
            let mut t = 0;
            let read = survey.pictures(position, camera, &mut |picture| {
                if t % every.max(1) == 0 {
                    let (rgb, height, width) = picture.into_rgb().map_err(|why| bad(index, &why))?;
                    receive(Original { chosen: number, camera, t, rgb: &rgb, height, width })?;
                }
                t += 1;
                done += 1;
                if done % 16 == 0 || done == total {
                    progress(Progress { done, total, unit: "frames", what: "pictures".to_owned() });
                }
                Ok(())
            })?;
            read.map_err(|Why { text, .. }| bad(index, &text))?;
        }
    }
    Ok(())
}
