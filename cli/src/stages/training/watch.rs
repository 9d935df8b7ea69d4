//! Is training still sane? What is not finite and what explodes is told from what merely learns slowly.

use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use world_model::optimise::Metrics;

use crate::run_dir::{Checkpoint, write_json_atomic};

/// Parameters that are not finite were about to be written.
#[derive(Clone, Debug, thiserror::Error)]
#[error("parameters of '{0}' were no longer finite")]
pub struct NotFinite(pub String);

/// Losses this many times as large as the first one explode; what is learned begins at the loss of knowing nothing.
const EXPLODED_LOSS: f32 = 1e3;
/// The same of the norm of all gradients, which is no harm in itself: steps are clipped.
const EXPLODED_NORM: f32 = 1e5;
/// Updates in a row after which it is no outlier.
const EXPLODED_FOR: usize = 10;
/// By what the learning rate is divided every time training is set back.
const SLOWER: f64 = 10.0;
/// Times that training is set back before it gives up.
const MOST_RETURNS: usize = 3;

/// What is known of a stage in training, kept in a file between starts.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    /// Loss and norm of the gradients at the first update.
    first: Option<[f32; 2]>,
    /// Why training was set back, and at which update, every time.
    returns: Vec<(String, usize)>,
    #[serde(skip)]
    exploding: usize,
    #[serde(skip)]
    file: PathBuf,
}

impl Watch {
    /// As an earlier start left it in `file`, or new.
    pub fn read(file: PathBuf) -> Self {
        let before: Option<Self> = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self { file, ..before.unwrap_or_default() }
    }

    /// Factor on the learning rate.
    pub fn pace(&self) -> f64 {
        1.0 / SLOWER.powi(self.returns.len() as i32)
    }

    /// No loss is exploding.
    pub fn is_calm(&self) -> bool {
        self.exploding == 0
    }

    /// What is wrong with an update, in words; `last` where no other follows to tell an outlier.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn look(&mut self, metrics: &Metrics, last: bool) -> Result<Option<String>> {
        if let Some((name, value)) = metrics.iter().find(|m| !m.1.is_finite()) {
            return Ok(Some(format!("{} became {value}", name.replace('_', " "))));
        }
        let of = |name: &str| metrics.iter().find(|m| m.0 == name).map_or(0.0, |m| m.1.abs());
        let now = [of("loss"), of("gradient_norm")];
        let first = match self.first {
            Some(first) => first,
            None => {
                self.first = Some(now);
                write_json_atomic(&self.file, self)?;
                now
            }
        };
        // A likelihood may pass through 0, and a loss of 1 is none to fear.
        let over = |i: usize, most: f32| now[i] > most * first[i].max(1.0);
        let exploded = match (over(0, EXPLODED_LOSS), over(1, EXPLODED_NORM)) {
            (true, _) => Some(0),
            (_, true) => Some(1),
            _ => None,
        };
        self.exploding = if exploded.is_some() { self.exploding + 1 } else { 0 };
        Ok(exploded.filter(|_| last || self.exploding >= EXPLODED_FOR).map(|i| {
            format!(
                "{} exploded (from {:.3} to {:.3e})",
                ["the loss", "the norm of the gradients"][i],
                first[i],
                now[i]
            )
        }))
    }

    /// Notes that training goes back, because of what is `wrong` at an update; false where it has been too often.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_back(&mut self, wrong: String, update: usize) -> Result<bool> {
        self.exploding = 0;
        self.returns.push((wrong, update));
        if self.returns.len() > MOST_RETURNS {
            return Ok(false);
        }
        write_json_atomic(&self.file, self)?;
        Ok(true)
    }

    /// What was wrong last.
    fn said(&self) -> String {
        self.returns.last().map_or(String::new(), |(wrong, update)| format!("{wrong} at update {update}"))
    }

    /// What was done about it.
    pub fn went_on(&self, checkpoint: usize, learning_rate_key: &str) -> String {
        format!(
            "{}: back to the checkpoint of update {checkpoint} and on with {} times the learning rate ({} of {MOST_RETURNS} times); \
             lower {learning_rate_key} if that happens again",
            self.said(),
            self.pace(),
            self.returns.len()
        )
    }

    /// The last words, and a clean slate: the same command tries again from the checkpoint.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn gave_up(&mut self, learning_rate_key: &str, checkpoint: &Checkpoint) -> Result<String> {
        let said = self.said();
        // A single step is enough for an absurd learning rate, which is then no slower at a thousandth.
        let after_one_step = checkpoint.resume.step as usize + 2;
        let always_there =
            self.returns.iter().all(|(_, update)| *update == self.returns[0].1 && *update != after_one_step);
        let cause = if always_there {
            "at the same update at every learning rate, so look for outliers in the data with `rehearsal inspect`"
                .to_owned()
        } else {
            format!(
                "lower {learning_rate_key} with --set in another --out directory, or look for outliers with `rehearsal inspect`"
            )
        };
        self.returns.clear();
        write_json_atomic(&self.file, self)?;
        Ok(format!(
            "training diverged {} times, at last {said} with {} times the learning rate: {cause}. {} is the last good checkpoint; \
             the same command goes on from there",
            MOST_RETURNS + 1,
            1.0 / SLOWER.powi(MOST_RETURNS as i32),
            checkpoint.dir.display()
        ))
    }

    /// Training is over.
    pub fn forget(&self) {
        let _ = std::fs::remove_file(&self.file);
    }
}
