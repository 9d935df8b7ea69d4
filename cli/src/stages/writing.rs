//! Imagined episodes out: a LeRobot v3.0 dataset for other trainers, every step of it marked as imagined.

use std::path::{Path, PathBuf};

use anyhow::Result;
use episodes::{DatasetSpec, Episode, LeRobotWriter, Origin, Pictures, RecordedEpisode};
use rollouts::Branch;
use rollouts::branch::ForkOptions;
use rollouts::score::ended_by;
use serde::Serialize;
use world_model::Embeddings;
use world_model::trust::Limits;

use super::record::Minds;
use super::workshop::Workshop;
use crate::errors::UsageError;
use crate::{interrupt, output};

/// Where imagined episodes go.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Dataset directory to make.
    pub dir: &'a Path,
    /// Steps beyond the trust horizon too.
    pub beyond_trust: bool,
}

impl Target<'_> {
    /// Looks before anything is imagined.
    ///
    /// # Errors
    /// Something is there already.
    pub fn check(&self) -> Result<(), UsageError> {
        if self.dir.exists() {
            return Err(UsageError(format!(
                "--write {}: already exists; expected a path that does not exist yet",
                self.dir.display()
            )));
        }
        Ok(())
    }
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct Written {
    /// The dataset.
    path: PathBuf,
    /// Episodes in it.
    episodes: usize,
    /// Steps in it.
    steps: usize,
    /// Steps that were imagined beyond the trust horizon and left out.
    steps_beyond_trust: usize,
    /// Futures that are not trusted for a single step, and left out.
    left_out: Vec<String>,
}

impl Written {
    /// On the screen.
    pub fn tell(&self) {
        let Self { path, episodes, steps, steps_beyond_trust, left_out } = self;
        output::tell(&format!(
            "imagined   {}: {episodes} episodes, {steps} steps, each marked is_imagined",
            path.display()
        ));
        if *steps_beyond_trust > 0 {
            output::tell(&format!(
                "           cut at the trust horizon, {steps_beyond_trust} steps left out; --beyond-trust keeps them"
            ));
        }
        if !left_out.is_empty() {
            output::tell(&format!("           not trusted for a single step, left out: {}", left_out.join(", ")));
        }
    }
}

/// A dataset of imagined episodes being written; it appears whole or not at all.
pub struct Imagined<'a> {
    w: &'a Workshop,
    writer: LeRobotWriter,
    budget: f32,
    written: Written,
}

impl<'a> Imagined<'a> {
    /// Begins one; cameras are pictures of the model's size.
    ///
    /// # Errors
    /// The directory exists already or cannot be made.
    pub fn begin(w: &'a Workshop, target: Target<'_>, limits: Limits) -> Result<Self> {
        let mut cameras = w.dataset.spec.cameras.clone();
        for camera in &mut cameras {
            (camera.native_height, camera.native_width) = (camera.model_size, camera.model_size);
        }
        let spec =
            DatasetSpec { cameras, hints: Vec::new(), has_reward: true, has_success: true, ..w.dataset.spec.clone() };
        Ok(Self {
            w,
            writer: LeRobotWriter::create(target.dir, &spec)?.with_pictures(Pictures::Video),
            budget: if target.beyond_trust { f32::INFINITY } else { limits.doubt_budget },
            written: Written {
                path: target.dir.to_owned(),
                episodes: 0,
                steps: 0,
                steps_beyond_trust: 0,
                left_out: Vec::new(),
            },
        })
    }

    /// Adds the first draw of a future, called `name`: up to its end, where success or failure is more probable than not, and no further
    /// than it is trusted. Its first observation is the recorded one.
    ///
    /// # Errors
    /// The disk refuses; Ctrl-C.
    pub fn push(
        &mut self,
        (minds, embeddings): (&Minds, &Embeddings),
        name: &str,
        future: &Branch,
        options: &ForkOptions,
    ) -> Result<()> {
        interrupt::check()?;
        let w = self.w;
        let first = |of: fn(&world_model::Prediction) -> &burn::tensor::Tensor<1>| -> Vec<f32> {
            future.imagined.predictions.iter().map(|p| of(p).clone().narrow(0, 0, 1).into_scalar()).collect()
        };
        let doubt = first(|p| &p.doubt);
        let end = ended_by(&future.imagined.predictions).first().and_then(|by| end(by));
        let trusted = trusted(&doubt, self.budget);
        let track = &w.corpus.tracks[options.track];
        let source = &w.dataset.episodes[track.episode];
        let whole = end.map_or(doubt.len(), |(step, _)| step + 1);
        let len = whole.min(trusted);
        self.written.steps_beyond_trust += whole - len;
        if len == 0 {
            self.written.left_out.push(format!("{name} of episode {} at step {}", source.index, options.step));
            return Ok(());
        }
        let (ended, solved) = end.filter(|_| len == whole).map_or((false, false), |(_, solved)| (true, solved));
        let path = &future.imagined.latents[..len - 1];
        let path: Vec<_> = path.iter().map(|latent| latent.e.clone().narrow(0, 0, 1)).collect();
        let mut state = source.state_at(options.step, w.dataset.spec.state_len()).to_vec();
        let mut frames: Vec<Vec<u8>> = (0..w.dataset.spec.cameras.len())
            .map(|camera| w.dataset.frame(camera, track.episode, options.step).to_vec())
            .collect();
        if !path.is_empty() {
            let path = burn::tensor::Tensor::cat(path, 0);
            state.extend(w.state_rows(&path).into_iter().flatten());
            for (camera, frames) in frames.iter_mut().enumerate() {
                let shown = w.painter(&minds.model, camera, (options.track, options.step), embeddings)(&path);
                frames.extend(shown.into_iter().flat_map(|frame| frame.rgb));
            }
        }
        let rule = &w.corpus.returns;
        let episode = Episode {
            index: self.written.episodes,
            task: source.task.clone(),
            len,
            state,
            hint: Vec::new(),
            action: w.raw_actions(future, 0)[..len].concat(),
            reward: Some(first(|p| &p.reward)[..len].iter().map(|r| r.clamp(rule.low, rule.high)).collect()),
            success: Some((0..len).map(|t| solved && t + 1 == len).collect()),
            intervention: None,
            terminated: ended,
            truncated: !ended,
            first_frame: 0,
        };
        let origin = Origin { from_episode: source.index, from_step: options.step, doubt: doubt[..len].to_vec() };
        self.writer.push_imagined(&RecordedEpisode { episode, frames }, origin)?;
        self.written.episodes += 1;
        self.written.steps += len;
        Ok(())
    }

    /// Gives the dataset its name.
    ///
    /// # Errors
    /// Nothing is left to write; the disk refuses.
    pub fn finish(self) -> Result<Written> {
        if self.written.episodes == 0 {
            return Err(UsageError(format!(
                "--write {}: no future is trusted for a single step, so nothing was written; --beyond-trust writes them all the same",
                self.written.path.display()
            ))
            .into());
        }
        self.writer.finish()?;
        Ok(self.written)
    }
}

/// The step that ends a future, and whether as a success: the first by which one of the two is more probable than not. `by` is as from
/// [`ended_by`].
fn end(by: &[[f32; 2]]) -> Option<(usize, bool)> {
    let (step, [solved, _]) = by.iter().enumerate().find(|(_, [solved, failed])| *solved >= 0.5 || *failed >= 0.5)?;
    Some((step, *solved >= 0.5))
}

/// Steps whose summed doubt stays below the budget.
fn trusted(doubt: &[f32], budget: f32) -> usize {
    let mut spent = 0.0;
    doubt
        .iter()
        .take_while(|doubt| {
            spent += **doubt;
            spent < budget
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_future_ends_where_an_end_is_more_probable_than_not() {
        assert_eq!(end(&[[0.1, 0.0], [0.28, 0.0], [0.568, 0.0]]), Some((2, true)));
        assert_eq!(end(&[[0.0, 0.1], [0.0, 0.64], [0.0, 0.64]]), Some((1, false)));
        assert_eq!(end(&[[0.1, 0.3], [0.4, 0.3]]), None, "what may have failed before cannot succeed");
    }

    #[test]
    fn trust_ends_where_the_budget_is_spent() {
        assert_eq!(trusted(&[0.1, 0.1, 0.1], 0.25), 2);
        assert_eq!(trusted(&[0.1, 0.1], f32::INFINITY), 2);
        assert_eq!(trusted(&[0.3], 0.25), 0);
    }
}
