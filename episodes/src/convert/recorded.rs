//! Cameras that are recorded as video: what is looked at before a file is copied.
//!
//! The container must be whole and have a frame for every step; of every episode at least one frame is decoded, and that
//! is where the size of the pictures and the statistics come from. The rest is decoded when the dataset is read.

use std::path::{Path, PathBuf};

use crate::Error;
use crate::holes::Why;
use crate::survey::Survey;
use crate::video::{DecodeError, Video, match_times};
use crate::writer::{Footage, Recorded};

/// Frames per camera that statistics are drawn from, spread evenly over the dataset, and one more of each episode that
/// would have none.
const SAMPLED: usize = 100;

/// The video files of one camera.
pub(super) struct Recordings<'a> {
    root: &'a Path,
    survey: &'a Survey,
    camera: usize,
    /// Every so manieth frame is looked at.
    stride: usize,
    /// The file looked at last, often that of the next episode too.
    open: Option<(PathBuf, Result<Video, String>)>,
}

impl<'a> Recordings<'a> {
    /// The videos of the camera at a position in the spec.
    pub(super) fn new(root: &'a Path, survey: &'a Survey, camera: usize) -> Recordings<'a> {
        let frames: usize = (0..survey.len()).map(|position| survey.episode(position).len).sum();
        Recordings { root, survey, camera, stride: frames.div_ceil(SAMPLED).max(1), open: None }
    }

    /// The part of a video file that is the episode at `position`; `None` where the camera is recorded as pictures,
    /// `Ok(Err)` says why the video cannot be used.
    pub(super) fn footage(
        &mut self,
        position: usize,
        check: &dyn Fn() -> Result<(), Error>,
    ) -> Result<Option<Result<Footage, Why>>, Error> {
        let Some((file, from_s)) = self.survey.video(position, self.camera) else {
            return Ok(None);
        };
        let key = &self.survey.spec().cameras[self.camera].key;
        let looked_at = self.look_at(position, &file, from_s, check)?;
        Ok(Some(looked_at.map_err(|why| Why::in_file(format!("video of camera {key} is unusable ({why})"), &file))))
    }

    fn look_at(
        &mut self,
        position: usize,
        file: &Path,
        from_s: f64,
        check: &dyn Fn() -> Result<(), Error>,
    ) -> Result<Result<Footage, String>, Error> {
        let (episode, rate_hz) = (self.survey.episode(position), self.survey.spec().control_rate_hz);
        let sampled = sampled(episode.first_frame, episode.len, self.stride);
        let path = self.root.join(file);
        let video = match self.open(&path) {
            Ok(video) => video,
            Err(why) => return Ok(Err(why.clone())),
        };
        let times_s = video.times_s();
        let wanted =
            match_times(times_s, from_s, rate_hz, episode.len).and_then(|wanted| video.holds(&wanted).map(|()| wanted));
        let wanted = match wanted {
            Ok(wanted) => wanted,
            Err(why) => return Ok(Err(why)),
        };
        let (Some(&first), Some(&zero_s)) = (wanted.first(), times_s.first()) else {
            return Ok(Err("there is no frame".to_owned()));
        };
        // What is listed drifts in some recordings; the file knows better, where its clock starts at zero.
        let from_s = if zero_s == 0.0 { times_s[first] } else { from_s };
        let mut footage = Footage::recorded(Recorded { path, from_s, len: episode.len, about: video.about() });
        for step in sampled {
            check()?;
            // Any frame near is as good, and a keyframe decodes alone.
            let frame = video.last_keyframe(first, wanted[step]);
            let mut odd = None;
            let decoded = video.decode(&[frame], &mut |rgb, width, height| {
                odd = footage.count(rgb, height, width).err();
                Ok(())
            });
            if let Some(why) = decoded.err().map(|err| match err {
                DecodeError::Video(why) => why,
                DecodeError::Output(err) => err.to_string(),
            }) {
                return Ok(Err(why));
            }
            if let Some(why) = odd {
                return Ok(Err(why));
            }
        }
        Ok(Ok(footage))
    }

    fn open(&mut self, path: &Path) -> Result<&Video, &String> {
        let opened = match self.open.take() {
            Some(open) if open.0 == path => open,
            _ => (path.to_path_buf(), Video::open(path)),
        };
        self.open.insert(opened).1.as_ref()
    }
}

/// Steps of an episode to look at: every `stride`-th frame of the dataset, at least the one in the middle.
fn sampled(first_frame: usize, len: usize, stride: usize) -> Vec<usize> {
    let steps: Vec<usize> = (0..len).filter(|step| (first_frame + step) % stride == stride / 2).collect();
    if steps.is_empty() { vec![len / 2] } else { steps }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_spread_over_the_dataset_and_no_episode_is_without() {
        assert_eq!(sampled(0, 10, 4), [2, 6]);
        assert_eq!(sampled(10, 9, 4), [0, 4, 8]);
        assert_eq!(sampled(19, 3, 4), [1], "none of its frames was due");
        assert_eq!(sampled(7, 3, 1), [0, 1, 2]);
    }
}
