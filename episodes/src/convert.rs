//! From anything that can be read to a LeRobot v3.0 dataset, at the recorded size, holes left out and named.

use std::path::Path;

use crate::dataset::{OpenOptions, Progress};
use crate::error::Error;
use crate::holes::Why;
use crate::spec::Skipped;
use crate::survey::{Picture, Survey};
use crate::writer::{Encoded, LeRobotWriter};

/// Pictures encoded together: enough for every core, little enough to hold in memory.
const BATCH: usize = 32;

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// Episodes written.
    pub episodes: usize,
    /// Steps in them.
    pub frames: usize,
    /// What was left out, and why.
    pub skipped: Vec<Skipped>,
}

/// Writes the sound episodes of a dataset to `out`, or adds them to the dataset there.
///
/// Task texts, rewards, successes (as labelled, where there are labels), interventions and the two kinds of end are
/// kept. Pictures that are PNG or JPEG are copied, everything else becomes PNG, so nothing is lost that was not lost
/// before. `out` appears complete or not at all; with `append`, an existing dataset keeps its files and gets new ones.
/// `image_size` and `cache_dir` of the options have no meaning here. `stop` is asked once per picture.
///
/// # Errors
/// As [`crate::Dataset::open`], [`LeRobotWriter::create`] and [`LeRobotWriter::append`]; with `strict`, anything that
/// would be left out; [`Error::Stopped`]. Nothing is then written.
pub fn convert(
    options: &OpenOptions,
    out: &Path,
    append: bool,
    stop: &dyn Fn() -> bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Converted, Error> {
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
    let mut survey = Survey::read(options, progress)?;
    let mut holes = survey.take_holes();
    holes.refuse_if(options.strict, &options.path)?;
    let mut spec = survey.spec().clone();
    let has_intervention = (0..survey.len()).any(|position| survey.episode(position).intervention.is_some());
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
        let cameras = match cameras(&survey, position, &check)? {
            Ok(cameras) => cameras,
            Err(why) => {
                holes.episode(episode.index, why);
                continue;
            }
        };
        if has_intervention {
            // Where nobody kept a record, nobody intervened.
            episode.intervention.get_or_insert_with(|| vec![false; episode.len]);
        }
        if writer.is_none() {
            // Metadata may be wrong about the size of pictures; the first ones are right.
            for (camera, encoded) in spec.cameras.iter_mut().zip(&cameras) {
                (camera.native_height, camera.native_width) =
                    encoded.size.unwrap_or((camera.native_height, camera.native_width));
            }
            writer = Some(match is_there {
                true => LeRobotWriter::append(out, &spec)?,
                false => LeRobotWriter::create(out, &spec)?,
            });
        }
        let odd = spec
            .cameras
            .iter()
            .zip(&cameras)
            .find(|(camera, encoded)| encoded.size != Some((camera.native_height, camera.native_width)));
        if let Some((camera, _)) = odd {
            holes.episode(
                episode.index,
                Why::new(format!("pictures of camera {} have another size than in the first episode", camera.key)),
            );
            continue;
        }
        if let Some(writer) = &mut writer {
            writer.push_encoded(&episode, cameras)?;
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
    Ok(Converted { episodes, frames, skipped: holes.into_skipped() })
}

/// All pictures of one episode, encoded; `Ok(Err)` says why one of them cannot be.
fn cameras(
    survey: &Survey,
    position: usize,
    check: &dyn Fn() -> Result<(), Error>,
) -> Result<Result<Vec<Encoded>, Why>, Error> {
    let mut cameras = Vec::with_capacity(survey.spec().cameras.len());
    for (number, camera) in survey.spec().cameras.iter().enumerate() {
        let mut encoded = Encoded::new();
        let mut batch: Vec<Picture> = Vec::with_capacity(BATCH);
        let mut trouble = None;
        let mut take = |batch: &mut Vec<Picture>| {
            if trouble.is_none() {
                trouble = encoded.extend(std::mem::take(batch)).err();
            }
        };
        let read = survey.pictures(position, number, &mut |picture| {
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
        if let Some(why) = trouble {
            return Ok(Err(Why::new(format!("camera {}: {why}", camera.key))));
        }
        cameras.push(encoded);
    }
    Ok(Ok(cameras))
}

#[cfg(test)]
mod tests;
