//! Which policy leaves `improve`, decided from held-out starts, and what a reader should know of that decision.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use rl::TrackRecord;
use rl::doubly_robust::DoublyRobust;
use rl::evaluate::{self, EvaluateConfig, PerStart};
use rl::fqe::{Evaluated, FqeConfig};
use rl::optimism::Share;
use rl::selection::{self, Kept};
use serde::{Deserialize, Serialize};
use world_model::agreement::mean;
use world_model::{Embeddings, WorldModel};

use super::variant::{Base, Variant};
use super::workshop::Workshop;
use crate::report::{Difference, EpisodeGain, Gained, Gains, Improvement, WorldModelReport};
use crate::run_dir::write_json_atomic;

/// File in a run directory.
const FILE: &str = "improvement.json";

/// Episodes that are named on either side.
const NAMED: usize = 3;

/// The decision, and what recorded steps say of the policies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Selected {
    /// For the report.
    pub improvement: Improvement,
    /// By policy; `improved` goes by the name of the one that it is.
    pub fits: BTreeMap<String, Evaluated>,
    /// How recorded steps were asked, and of how many starts; of a run of before unknown, and taken to be as now.
    #[serde(default)]
    pub asked: Option<(FqeConfig, usize)>,
    /// The policy that went in.
    #[serde(default)]
    pub went_in: Option<String>,
}

impl Selected {
    /// What an earlier command decided, if it can be read; without what recorded steps said where they are to be asked otherwise now.
    pub fn load(dir: &Path, config: &EvaluateConfig) -> Option<Self> {
        let now = Some((config.fqe, config.starts));
        let decided = Self::read(dir)?;
        let fits = if decided.asked.is_some() && decided.asked != now { BTreeMap::new() } else { decided.fits };
        Some(Self { fits, asked: now, ..decided })
    }

    fn read(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(dir.join(FILE)).ok()?).ok()
    }

    /// Name of the policy that left `improve` in the run in `dir`; of one that was never judged the improved one.
    pub fn leaves(dir: &Path) -> &'static str {
        Self::read(dir).map_or("improved", |decided| decided.improvement.leaves())
    }

    /// What `improve` kept in the run in `dir`; `None` where that was never decided.
    pub fn kept(dir: &Path) -> Option<Kept> {
        Self::read(dir).map(|decided| decided.improvement.kept)
    }

    /// The policy behind a name.
    pub fn stands_for(&self, name: &str) -> String {
        let own = match self.improvement.kept {
            Kept::Improved => "candidate",
            // Runs of before did not write down what went in.
            Kept::Cloned if self.went_in.is_none() && self.fits.contains_key("previous") => "previous",
            Kept::Cloned => self.went_in.as_deref().unwrap_or("cloned"),
        };
        match name.strip_prefix("improved") {
            Some(changes) => format!("{own}{changes}"),
            None => name.to_owned(),
        }
    }
}

const fn plain(base: Base) -> Variant {
    Variant { base, changes: Vec::new() }
}

impl Workshop {
    /// Decides what `improve` returns, unless that is decided or nothing has been improved.
    ///
    /// # Errors
    /// A policy that cannot be read; Ctrl-C.
    pub fn select(&mut self, model: &WorldModel, embeddings: &Embeddings, quality: &WorldModelReport) -> Result<()> {
        if self.selected.is_some() || !self.run.is_complete("improve") {
            return Ok(());
        }
        let limits = self.limits(model, embeddings);
        let imagine = |base| self.imagine_named(model, embeddings, &plain(base), limits.into());
        let went_in = if self.went_in() == "previous" { Base::Previous } else { Base::Cloned };
        let (cloned, candidate) = (imagine(went_in)?, imagine(Base::Candidate)?);
        let calibration = self.calibration(&imagine(Base::Behaviour)?);
        let mut fits = BTreeMap::new();
        for base in [Base::Behaviour, went_in, Base::Candidate] {
            let fit = self.fit(embeddings, &plain(base))?;
            fits.extend(fit.map(|fit| (plain(base).to_string(), fit)));
        }
        let (resamples, seed) = (self.config.evaluate.resamples, self.config.seed);
        let record = quality.whole_episodes.as_ref().map(|whole| &whole.value);
        let gate = evaluate::gate(&candidate, &cloned, record, resamples, seed);
        let of_fqe = self.fit_record(fits.get("behaviour"));
        let both = fits.get(self.went_in()).zip(fits.get("candidate"));
        let fqe = both.map(|(cloned, candidate)| candidate.gain(cloned, &of_fqe, resamples, seed));
        let correct = |imagined: &PerStart| DoublyRobust::of(imagined.returns(), record?);
        let corrected = correct(&candidate).zip(correct(&cloned));
        let doubly_robust = corrected.map(|(candidate, cloned)| candidate.gain(&cloned, resamples, seed));
        let fault = if candidate.value == cloned.value {
            Some("no copy of it was imagined better beyond doubt while improving.".to_owned())
        } else {
            let records = quality.whole_episodes.as_ref().map(|whole| [&whole.value, &whole.success]);
            let of_candidate = evaluate::estimate(&candidate, records, resamples, seed);
            let judged = Share { success: of_candidate.success, success_ci95: of_candidate.success_ci95 };
            self.fault(quality, Some(&calibration), judged, self.config.policy.chunk)
        };
        let others = [("fitted Q evaluation", fqe), ("the doubly robust estimate", doubly_robust)];
        let (kept, why) = selection::choose(fault.as_deref(), &gate, &others, self.went_in());
        // The gate speaks of a clone.
        let old = self.went_in();
        let why =
            why.replace("cloned policy", &format!("{old} policy")).replace("the cloned one", &format!("the {old} one"));
        let difference = |(mean, ci95)| Difference { mean, ci95 };
        let gains = Gains {
            imagined: difference((gate.gain, gate.gain_ci95)),
            fitted_q: fqe.map(difference),
            doubly_robust: doubly_robust.map(difference),
        };
        let of_success = quality.whole_episodes.as_ref().map(|whole| &whole.success);
        let gained = self.gained((&candidate, &cloned), gains, of_success);
        let is_worse = fault.is_none() && gate.decision == "NO-GO";
        let (over, chosen) = (old.to_owned(), self.chosen_copy()?);
        let improvement = Improvement { kept, why, over, is_worse, gained, chosen, planning: None };
        let asked = Some((self.config.evaluate.fqe, self.config.evaluate.starts));
        self.selected = Some(Selected { improvement, fits, asked, went_in: Some(self.went_in().to_owned()) });
        Ok(())
    }

    /// The name of the copy that was not returned, for whoever wants to see what it would have been.
    pub fn refused(&self) -> Option<String> {
        let is_refused =
            |s: &&Selected| s.improvement.kept == Kept::Cloned && s.improvement.gained.gains.imagined.mean != 0.0;
        self.selected.as_ref().filter(is_refused).map(|_| Base::Candidate).map(|base| plain(base).to_string())
    }

    /// A policy beside the one it would replace: how much better, and from which starts better or worse; `of_success` is the model's record of successes.
    pub(super) fn gained(
        &self,
        (new, old): (&PerStart, &PerStart),
        by_estimator: Gains,
        of_success: Option<&TrackRecord>,
    ) -> Gained {
        let starts = evaluate::starts(&self.corpus, self.config.evaluate.starts);
        let (resamples, seed) = (self.config.evaluate.resamples, self.config.seed);
        let mut gains: Vec<EpisodeGain> = starts
            .iter()
            .zip(new.value.iter().zip(&old.value))
            .map(|(&(track, _), (a, b))| EpisodeGain {
                episode: self.dataset.episodes[self.corpus.tracks[track].episode].index,
                gain: f64::from(a - b),
            })
            .collect();
        let share =
            |is: fn(f64) -> bool| gains.iter().filter(|g| is(g.gain)).count() as f64 / gains.len().max(1) as f64;
        let (better, worse) = (share(|gain| gain > 0.0), share(|gain| gain < 0.0));
        gains.sort_by(|a, b| b.gain.total_cmp(&a.gain));
        let losses = gains.iter().rev().take(NAMED).filter(|g| g.gain < 0.0).copied().collect();
        Gained {
            starts: old.value.len(),
            gains: by_estimator,
            success: Difference::of(new.successes(), old.successes(), of_success, resamples, seed).of_shares(),
            better,
            worse,
            largest_gains: gains.iter().take(NAMED).filter(|g| g.gain > 0.0).copied().collect(),
            largest_losses: losses,
            unsupported_share: evaluate::unsupported_share(new),
            believed_steps: (!new.believed.is_empty()).then(|| mean(new.believed.iter().copied())),
        }
    }

    /// Writes down what was decided, for later commands.
    ///
    /// # Errors
    /// The run directory cannot be written.
    pub fn save_selected(&self) -> Result<()> {
        self.selected.as_ref().map_or(Ok(()), |selected| write_json_atomic(&self.run.path(FILE), selected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::demo;

    #[test]
    fn what_recorded_steps_said_is_kept_only_where_they_are_asked_as_they_were() -> Result<()> {
        let (dir, config) = (tempfile::tempdir()?, EvaluateConfig::default());
        let fits = BTreeMap::from([("cloned".to_owned(), Evaluated { members: vec![vec![0.5]] })]);
        let mut improvement = demo().improvement.expect("the demo's report has one");
        improvement.kept = Kept::Cloned;
        let asked = Some((config.fqe, config.starts));
        let decided = Selected { improvement, fits, asked, went_in: Some("previous".into()) };
        write_json_atomic(&dir.path().join(FILE), &decided)?;
        assert_eq!(Selected::load(dir.path(), &config), Some(decided.clone()));
        let otherwise = EvaluateConfig { starts: config.starts + 1, ..config };
        let found = Selected::load(dir.path(), &otherwise).expect("it can be read");
        assert!(found.fits.is_empty() && found.improvement == decided.improvement);
        // What went in is known without them.
        assert_eq!(found.stands_for("improved+noise:1"), "previous+noise:1");
        assert_eq!(Selected::kept(dir.path()), Some(Kept::Cloned));
        // A run of before says neither.
        let before = Selected { asked: None, went_in: None, ..decided };
        write_json_atomic(&dir.path().join(FILE), &before)?;
        let found = Selected::load(dir.path(), &otherwise).expect("it can be read");
        assert_eq!((found.fits.len(), found.stands_for("improved")), (1, "cloned".to_owned()));
        Ok(())
    }
}
