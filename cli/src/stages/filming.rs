//! Moments of held-out episodes to look at: what was recorded, and what would have followed had the robot acted otherwise.

use anyhow::Result;
use rollouts::branch::ForkOptions;
use viz::{ArmView, BranchView, SheetRow};
use world_model::Embeddings;

use super::comparing::Measures;
use super::record::{Minds, moments, strip};
use super::workshop::Workshop;
use crate::args;
use crate::report::{Film, FilmRow};

impl Workshop {
    /// Moments of held-out episodes to look at.
    pub(super) fn shown(&self) -> Vec<ForkOptions> {
        let shown = self.corpus.judged_on();
        let long = shown.iter().filter(|&&track| self.corpus.tracks[track].len > 4).take(3);
        long.map(|&track| {
            let len = self.corpus.tracks[track].len;
            let horizon = self.config.quality.horizon.min(len.saturating_sub(2)).max(1);
            ForkOptions {
                track,
                step: (len.saturating_sub(horizon + 1)) / 2,
                horizon,
                samples: 4,
                context: self.config.quality.context,
                seed: self.config.seed,
            }
        })
        .collect()
    }

    /// The futures of a moment: as logged, and had the robot acted otherwise.
    pub(super) fn futures(
        &self,
        minds: &Minds,
        embeddings: &Embeddings,
        options: &ForkOptions,
        measures: &Measures,
    ) -> Result<BranchView> {
        let mut arms = vec![args::Arm::Logged, args::Arm::Scaled(0.5), args::Arm::Hold];
        arms.extend(minds.policies.keys().filter_map(|n| n.parse().ok()));
        Ok(self.compare(minds, embeddings, &arms, options, measures)?.view)
    }

    /// The first camera's pictures: recorded, imagined along the recorded actions, then the other futures; `None` without a camera.
    pub(super) fn film(&self, view: &BranchView, options: &ForkOptions) -> Option<Film> {
        let (camera, real) = view.real.cameras.first()?;
        let (track, last) = (&self.corpus.tracks[options.track], options.step + options.horizon);
        let recorded = FilmRow {
            label: "recorded".into(),
            return_: None,
            // A success ends its episode.
            success: if track.success && track.len <= last + 1 { 1.0 } else { 0.0 },
            frames: strip(real, options.horizon),
        };
        let imagined = |arm: &ArmView| {
            Some(FilmRow {
                label: if arm.is_logged { "imagined as recorded".into() } else { arm.name.clone() },
                return_: Some(f64::from(arm.return_mean)),
                success: arm.success_probability.last().map_or(0.0, |&p| f64::from(p)),
                frames: strip(&arm.cameras.first()?.1, options.horizon),
            })
        };
        let (logged, others): (Vec<&ArmView>, Vec<&ArmView>) = view.arms.iter().partition(|arm| arm.is_logged);
        Some(Film {
            episode: self.dataset.episodes[track.episode].index,
            step: options.step,
            rate_hz: view.fps,
            camera: camera.clone(),
            moments: moments(options.horizon).map(|frame| frame + 1).collect(),
            rows: [recorded].into_iter().chain(logged.into_iter().chain(others).filter_map(imagined)).collect(),
        })
    }

    /// Moments of held-out episodes with their futures, as one camera sees them.
    ///
    /// # Errors
    /// The values are not trained.
    pub(super) fn films(&self, minds: &Minds, embeddings: &Embeddings) -> Result<Vec<Film>> {
        if self.dataset.spec.cameras.is_empty() {
            return Ok(Vec::new());
        }
        let measures = self.measures(minds, embeddings, self.config.quality.horizon)?;
        let films = self.shown().into_iter().map(|options| {
            let view = self.futures(minds, embeddings, &options, &measures)?;
            Ok(self.film(&view, &options))
        });
        Ok(films.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }
}

/// A film on a contact sheet, which has room for few words.
pub(super) fn sheet_rows(film: &Film) -> Vec<SheetRow> {
    let label = |row: &FilmRow| match row.return_ {
        None => format!("episode {} from step {} {}", film.episode, film.step, row.label),
        Some(value) => format!("  {}  return {value:.2}", row.label),
    };
    film.rows.iter().map(|row| SheetRow { label: label(row), frames: row.frames.clone() }).collect()
}
