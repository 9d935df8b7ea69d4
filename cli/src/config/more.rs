//! `improve --more`: what a run that goes on from another one with new episodes is made of.

use std::path::PathBuf;

use episodes::OpenOptions;
use serde::{Deserialize, Serialize};

use super::{DataConfig, RunConfig};
use crate::errors::UsageError;

/// How a run goes on from another one, `[more]`. Symmetric sampling: RLPD (Ball et al. 2023, arXiv:2302.02948, sec. 4.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MoreConfig {
    /// The run that this one goes on from; empty for none. Nothing is read there once its weights are copied.
    pub from: PathBuf,
    /// Share of what is drawn that is of the new episodes, between 0 and 1; all that was there before shares the rest as before.
    pub share: f64,
    /// Share of every stage's updates that is made, with the old weights to begin from.
    pub updates: f64,
    /// Factor on every learning rate.
    pub learning_rate: f64,
}

impl Default for MoreConfig {
    fn default() -> Self {
        Self { from: PathBuf::new(), share: 0.5, updates: 0.25, learning_rate: 0.3 }
    }
}

impl MoreConfig {
    /// Whether there is a run to go on from.
    pub fn is_set(&self) -> bool {
        !self.from.as_os_str().is_empty()
    }

    /// # Errors
    /// Shares and factors that make no sense.
    pub fn check(&self) -> Result<(), UsageError> {
        let wrong = |key: &str, value: f64, expected: &str| {
            Err(UsageError(format!("more.{key} is {value}; expected {expected}")))
        };
        if !(self.share > 0.0 && self.share < 1.0) {
            return wrong("share", self.share, "a share between 0 and 1, such as 0.5");
        }
        if !(self.updates > 0.0 && self.updates.is_finite()) {
            return wrong("updates", self.updates, "a share of the updates above 0, such as 0.25");
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return wrong("learning_rate", self.learning_rate, "a factor above 0, such as 0.3");
        }
        Ok(())
    }
}

/// Episodes that the same robot recorded later, `[[data.more]]`: `improve --more` adds one. Columns and cameras are those of the main
/// dataset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LaterConfig {
    /// LeRobot dataset directory, HDF5 file, directory of HDF5 files, or `hub:owner/name@commit`.
    pub path: PathBuf,
    /// How often it is drawn from, relative to the others.
    pub weight: f64,
    /// CSV file with the columns `episode` and `success`, in the place of recorded success; empty for none.
    pub labels: PathBuf,
}

impl LaterConfig {
    /// What the reader is told; columns and cameras are left to `home`, as it was opened.
    pub fn options(&self, main: &DataConfig, home: &episodes::DatasetSpec) -> OpenOptions {
        let own = DataConfig { path: self.path.clone(), labels: self.labels.clone(), ..main.clone() };
        OpenOptions {
            state_keys: home.state.iter().map(|feature| feature.key.clone()).collect(),
            action_key: home.action.key.clone(),
            cameras: Some(home.cameras.iter().map(|camera| camera.key.clone()).collect()),
            ..own.options()
        }
    }
}

impl RunConfig {
    /// The configuration by which training goes: where another run is gone on from, a share of the updates, more slowly.
    pub fn training(&self) -> RunConfig {
        let mut config = self.clone();
        if !self.more.is_set() {
            return config;
        }
        for updates in [
            &mut config.world_model.updates,
            &mut config.policy.updates,
            &mut config.value.updates,
            &mut config.improve.updates,
            &mut config.improve.model_free.updates,
        ] {
            *updates = ((*updates as f64 * self.more.updates).round() as usize).max(1);
        }
        for rate in [
            &mut config.world_model.learning_rate,
            &mut config.policy.learning_rate,
            &mut config.value.learning_rate,
            &mut config.improve.learning_rate,
            &mut config.improve.model_free.learning_rate,
        ] {
            *rate *= self.more.learning_rate;
        }
        // Few updates are judged as often as many.
        for judge_every in [&mut config.improve.judge_every, &mut config.improve.model_free.judge_every] {
            let judged = (*judge_every as f64 * self.more.updates).round() as usize;
            *judge_every = judged.clamp(1, (*judge_every).max(1));
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn going_on_makes_a_share_of_the_updates_and_everything_else_is_as_it_was() {
        let mut config = RunConfig::default();
        assert_eq!(config.training(), config);
        config.more.from = "runs/old".into();
        let training = config.training();
        assert_eq!((training.world_model.updates, training.improve.updates), (750, 375));
        assert!((training.policy.learning_rate - 0.3 * config.policy.learning_rate).abs() < 1e-12);
        assert_eq!(training.improve.judge_every, 63);
        let floors = (config.improve.model_free.updates, training.improve.model_free.updates);
        assert_eq!(floors.0, 4 * floors.1);
        assert_eq!(training.world_model.representation, config.world_model.representation);
    }

    #[test]
    fn shares_that_make_no_sense_are_refused() {
        let refused = |more: MoreConfig| more.check().err().map(|e| e.to_string()).unwrap_or_default();
        assert_eq!(
            refused(MoreConfig { share: 1.0, ..MoreConfig::default() }),
            "more.share is 1; expected a share between 0 and 1, such as 0.5"
        );
        assert!(refused(MoreConfig { updates: 0.0, ..MoreConfig::default() }).starts_with("more.updates is 0;"));
        assert!(refused(MoreConfig { learning_rate: f64::NAN, ..MoreConfig::default() }).contains("NaN"));
        assert_eq!(MoreConfig::default().check(), Ok(()));
    }
}
