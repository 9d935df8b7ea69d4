//! From anything that can be read to a LeRobot v3.0 dataset, at the recorded size, holes left out and named.

mod recorded;

use std::path::Path;

use crate::dataset::{OpenOptions, Progress};
use crate::error::Error;
use crate::holes::Why;
use crate::lerobot::info::Info;
use crate::lerobot::rows::INTERVENTION;
use crate::spec::{CameraFeature, Skipped};
use crate::survey::{Picture, Survey};
use crate::video::Film;
use crate::writer::{BATCH, Footage, LeRobotWriter, Pictures};
use recorded::Recordings;

/// Where to write, and how.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// The dataset directory.
    pub path: &'a Path,
    /// Add to the dataset there, if there is one.
    pub append: bool,
    /// How cameras that are recorded as pictures are kept. Those recorded as video stay video.
    pub pictures: Pictures,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// Episodes written.
    pub episodes: usize,
    /// Steps in them.
    pub frames: usize,
    /// What became of the cameras, in the order of the spec.
    pub cameras: Vec<KeptCamera>,
    /// What was left out, and why.
    pub skipped: Vec<Skipped>,
}

/// What became of one camera.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct KeptCamera {
    /// Its name.
    pub camera: String,
    /// How it is kept.
    pub kept: Kept,
    /// Height and width, pixels.
    pub size: (usize, usize),
}

/// How a camera was taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// Its video files were copied as they are.
    VideoCopied,
    /// Its pictures were encoded as H.264 video.
    VideoEncoded,
    /// Its pictures are embedded, as asked for or as in the dataset they are added to.
    PicturesEmbedded,
    /// Its pictures are embedded because H.264 cannot hold pictures of their size.
    PicturesOfThatSizeEmbedded,
}

/// Writes the sound episodes of a dataset to `to`, or adds them to the dataset there.
///
/// Task texts, rewards, successes (as labelled, where there are labels), interventions and the two kinds of end are
/// kept. Video files are copied as they are; pictures become H.264 video or are embedded, as `to` says. A dataset that is
/// added to decides how each of its cameras is kept. `to.path` appears complete or not at all; with `append`, an existing
/// dataset keeps its files and gets new ones. `image_size` and `cache_dir` of the options have no meaning here. `stop` is
/// asked once per picture.
///
/// # Errors
/// As [`crate::Dataset::open`], [`LeRobotWriter::create`] and [`LeRobotWriter::append`]; with `strict`, anything that
/// would be left out; [`Error::Stopped`]. Nothing is then written.
pub fn convert(
    options: &OpenOptions,
    to: &Destination<'_>,
    stop: &dyn Fn() -> bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Converted, Error> {
    let Destination { path: out, append, .. } = *to;
    let is_there = out.exists();
    if is_there && !append {
        return Err(Error::BadFile {
            found: "already exists".to_owned(),
            expected: "a path that does not exist yet, or --append to add to the dataset there".to_owned(),
            path: out.to_path_buf(),
        });
    }
    if is_there && out.canonicalize().ok() == options.path.canonicalize().ok() {
        return Err(Error::BadFile {
            found: "is both read and written".to_owned(),
            expected: "another dataset to append to".to_owned(),
            path: out.to_path_buf(),
        });
    }
    let existing = if is_there { Some(Info::read(out)?) } else { None };
    let mut survey = Survey::read(options, progress)?;
    if survey.is_imagined() {
        return Err(Error::BadFile {
            found: "its episodes were imagined by a world model".to_owned(),
            expected: "recorded ones: what says so of every step would be lost".to_owned(),
            path: options.path.clone(),
        });
    }
    let mut holes = survey.take_holes();
    for key in survey.unread() {
        holes.note(format!("column {key}"), "is not kept: nothing here is made of it");
    }
    holes.refuse_if(options.strict, &options.path)?;
    let mut spec = survey.spec().clone();
    let keeps_record =
        existing.as_ref().is_some_and(|info| INTERVENTION.iter().any(|&key| info.features.contains_key(key)));
    let has_intervention =
        keeps_record || (0..survey.len()).any(|position| survey.episode(position).intervention.is_some());
    let cameras = spec.cameras.iter().enumerate();
    let mut cameras: Vec<Source<'_>> = cameras
        .map(|(number, camera)| Source::new(options, to, existing.as_ref(), &survey, number, camera))
        .collect::<Result<_, _>>()?;
    let mut writer: Option<LeRobotWriter> = None;
    let (mut episodes, mut frames) = (0, 0);
    let total = (0..survey.len()).map(|position| survey.episode(position).len).sum();
    for position in 0..survey.len() {
        progress(Progress { done: frames, total, unit: "frames", what: "episodes".to_owned() });
        if survey.is_unlabelled(survey.episode(position).index) {
            continue;
        }
        let mut episode = survey.episode(position).clone();
        let check = || if stop() { Err(Error::Stopped { path: out.to_path_buf() }) } else { Ok(()) };
        check()?;
        let mut footage = Vec::with_capacity(cameras.len());
        let mut trouble = None;
        for camera in &mut cameras {
            match camera.footage(position, &check)? {
                Ok(seen) => footage.push(seen),
                Err(why) => {
                    trouble = Some(why);
                    break;
                }
            }
        }
        if let Some(why) = trouble {
            holes.episode(episode.index, why);
            continue;
        }
        if has_intervention {
            // Where nobody kept a record, nobody intervened.
            episode.intervention.get_or_insert_with(|| vec![false; episode.len]);
        }
        if writer.is_none() {
            // Metadata may be wrong about the size of pictures; the first ones are right.
            for (camera, footage) in spec.cameras.iter_mut().zip(&footage) {
                (camera.native_height, camera.native_width) =
                    footage.size.unwrap_or((camera.native_height, camera.native_width));
            }
            writer = Some(match is_there {
                true => LeRobotWriter::append(out, &spec)?,
                false => LeRobotWriter::create(out, &spec)?,
            });
        }
        let odd = spec
            .cameras
            .iter()
            .zip(&footage)
            .find(|(camera, footage)| footage.size != Some((camera.native_height, camera.native_width)));
        if let Some((camera, _)) = odd {
            holes.episode(
                episode.index,
                Why::new(format!("pictures of camera {} have another size than in the first episode", camera.key)),
            );
            continue;
        }
        if let Some(writer) = &mut writer {
            writer.push_footage(&episode, footage)?;
        }
        episodes += 1;
        frames += episode.len;
    }
    progress(Progress { done: frames, total: frames, unit: "frames", what: "episodes".to_owned() });
    holes.refuse_if(options.strict, &options.path)?;
    match writer {
        Some(writer) => writer.finish()?,
        None => return Err(holes.nothing_left(&options.path)),
    }
    let kept = |(source, camera): (&Source<'_>, &CameraFeature)| KeptCamera {
        camera: camera.key.clone(),
        kept: source.kept.unwrap_or(Kept::PicturesEmbedded),
        size: (camera.native_height, camera.native_width),
    };
    let cameras = cameras.iter().zip(&spec.cameras).map(kept).collect();
    Ok(Converted { episodes, frames, cameras, skipped: holes.into_skipped() })
}

/// One camera of what is read.
struct Source<'a> {
    survey: &'a Survey,
    /// Position in the spec.
    number: usize,
    key: String,
    recordings: Recordings<'a>,
    /// What becomes of it; not known before the size of its pictures is.
    kept: Option<Kept>,
}

impl<'a> Source<'a> {
    fn new(
        options: &'a OpenOptions,
        to: &Destination<'_>,
        existing: Option<&Info>,
        survey: &'a Survey,
        number: usize,
        camera: &CameraFeature,
    ) -> Result<Source<'a>, Error> {
        let key = camera.key.clone();
        let is_recorded = survey.len() > 0 && survey.video(0, number).is_some();
        let kept = match (existing.map(|info| info.is_video(&key)), is_recorded, to.pictures) {
            (Some(true) | None, true, _) => Some(Kept::VideoCopied),
            (Some(true), false, Pictures::Video) => Some(Kept::VideoEncoded),
            (Some(true), false, Pictures::Embedded) => {
                return Err(Error::BadFile {
                    found: format!("camera {key} is video, and pictures added to it lose a little"),
                    expected: "no --lossless to append to it: leave it out".to_owned(),
                    path: to.path.to_path_buf(),
                });
            }
            (Some(false), ..) | (None, false, Pictures::Embedded) => Some(Kept::PicturesEmbedded),
            (None, false, Pictures::Video) => None,
        };
        Ok(Source { survey, number, key, recordings: Recordings::new(&options.path, survey, number), kept })
    }

    /// What it saw in the episode at `position`; `Ok(Err)` says why that cannot be had.
    fn footage(
        &mut self,
        position: usize,
        check: &dyn Fn() -> Result<(), Error>,
    ) -> Result<Result<Footage, Why>, Error> {
        if self.kept == Some(Kept::VideoCopied)
            && let Some(footage) = self.recordings.footage(position, check)?
        {
            return Ok(footage);
        }
        let mut footage = None;
        let mut batch: Vec<Picture> = Vec::with_capacity(BATCH);
        let mut trouble = None;
        let rate_hz = self.survey.spec().control_rate_hz;
        let kept = &mut self.kept;
        let mut take = |batch: &mut Vec<Picture>| {
            let footage = footage.get_or_insert_with(|| {
                let size = batch.first().and_then(Picture::size);
                let is_video = match kept {
                    Some(kept) => *kept == Kept::VideoEncoded,
                    None => size.is_some_and(|(height, width)| Film::takes(height, width)),
                };
                if kept.is_none() && size.is_some() {
                    *kept = Some(if is_video { Kept::VideoEncoded } else { Kept::PicturesOfThatSizeEmbedded });
                }
                if is_video { Footage::film(rate_hz) } else { Footage::pictures() }
            });
            if trouble.is_none() {
                trouble = footage.extend(std::mem::take(batch)).err();
            }
        };
        let read = self.survey.pictures(position, self.number, &mut |picture| {
            batch.push(picture);
            if batch.len() == BATCH {
                take(&mut batch);
            }
            check()
        })?;
        take(&mut batch);
        if let Err(why) = read {
            return Ok(Err(why));
        }
        match (trouble, footage) {
            (Some(why), _) => Ok(Err(Why::new(format!("camera {}: {why}", self.key)))),
            (None, Some(footage)) => Ok(Ok(footage)),
            (None, None) => Ok(Err(Why::new(format!("camera {} has no picture", self.key)))),
        }
    }
}

#[cfg(test)]
mod tests;
