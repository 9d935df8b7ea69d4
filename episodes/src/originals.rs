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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CameraFeature, DatasetSpec, Episode, LeRobotWriter, RecordedEpisode, VectorFeature};

    /// Episodes of 3 and 2 steps seen by a camera of 2 x 3 pixels, each picture of a grey that says which it is.
    fn write_two(root: &std::path::Path) -> Result<(), Error> {
        let vector = |key: &str| VectorFeature { key: key.to_owned(), names: vec!["x".to_owned()], offset: 0, len: 1 };
        let camera = CameraFeature {
            key: "observation.images.top".to_owned(),
            native_height: 2,
            native_width: 3,
            model_size: 16,
        };
        let spec = DatasetSpec {
            source: String::new(),
            codebase_version: "v3.0".to_owned(),
            robot_type: None,
            control_rate_hz: 10.0,
            state: vec![vector("observation.state")],
            hints: Vec::new(),
            action: vector("action"),
            cameras: vec![camera],
            tasks: vec![],
            has_reward: false,
            has_success: false,
        };
        let mut writer = LeRobotWriter::create(root, &spec)?;
        for (index, len) in [(0, 3), (1, 2)] {
            let episode = Episode {
                index,
                task: String::new(),
                len,
                state: vec![0.0; len],
                hint: Vec::new(),
                action: vec![0.0; len],
                reward: None,
                success: None,
                intervention: None,
                terminated: false,
                truncated: true,
                first_frame: 0,
            };
            let grey = |t: usize| [(100 * index + 10 * t) as u8; 2 * 3 * 3];
            writer.push(&RecordedEpisode { episode, frames: vec![(0..len).flat_map(grey).collect()] })?;
        }
        writer.finish()?;
        Ok(())
    }

    #[test]
    fn chosen_pictures_come_at_their_own_size() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let root = dir.path().join("made");
        write_two(&root)?;
        let options = OpenOptions { path: root, ..OpenOptions::default() };
        let mut seen = Vec::new();
        let mut take = |o: Original<'_>| {
            assert_eq!((o.camera, o.height, o.width, o.rgb.len()), (0, 2, 3, 18));
            seen.push((o.chosen, o.t, o.rgb[0]));
            Ok(())
        };
        originals(&options, &[1, 0], 2, &mut take, &mut |_| {})?;
        assert_eq!(seen, [(0, 0, 100), (1, 0, 0), (1, 2, 20)]);
        let absent = originals(&options, &[2], 1, &mut |_| Ok(()), &mut |_| {});
        assert!(absent.is_err_and(|e| e.to_string().contains("episode 2: not among the sound ones")));
        Ok(())
    }
}
