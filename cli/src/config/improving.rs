//! What `[improve]`, the share of what is cloned and the noise of judging must be to make sense, given the robot's cameras.

use world_model::model::Kind;

use super::RunConfig;
use crate::errors::UsageError;

impl RunConfig {
    /// # Errors
    /// Shares and noise that are none; members of a world model are to be compared that has none, for a robot with so many cameras.
    pub fn check_improving(&self, cameras: usize) -> Result<(), UsageError> {
        let advantage = self.improve.advantage;
        let wrong =
            |key: &str, found: f32, expected: &str| Err(UsageError(format!("{key} is {found}; expected {expected}")));
        let noise = self.evaluate.noise;
        if !(noise >= 0.0 && noise.is_finite()) {
            return wrong("evaluate.noise", noise, "0 (means alone) or more, such as 1");
        }
        let share = self.policy.best_share;
        if !(share > 0.0 && share <= 1.0) {
            return wrong("policy.best_share", share, "a share of the steps above 0 and at most 1, such as 0.25");
        }
        if !(advantage.good > 0.0 && advantage.good < 1.0) {
            return wrong("improve.advantage.good", advantage.good, "a share between 0 and 1, such as 0.25");
        }
        if !(0.0..1.0).contains(&advantage.unadvised) {
            return wrong("improve.advantage.unadvised", advantage.unadvised, "a share from 0 to below 1, such as 0.2");
        }
        if !(advantage.guidance >= 0.0 && advantage.guidance.is_finite()) {
            return wrong("improve.advantage.guidance", advantage.guidance, "0 (acts as the clone) or more, such as 4");
        }
        let (lambda, model) = (self.improve.inconsistency, &self.world_model);
        let speak = model.ensemble.elites.clamp(1, model.ensemble.members.max(1));
        let found = match model.resolved_kind(cameras) {
            _ if lambda == 0.0 => return Ok(()),
            _ if !(lambda > 0.0 && lambda.is_finite()) => {
                return wrong("improve.inconsistency", lambda, "0 or more, such as 1");
            }
            Kind::Ensemble if speak > 1 => return Ok(()),
            Kind::Ensemble => "one that speaks".to_owned(),
            _ => "an rssm, which has none".to_owned(),
        };
        Err(UsageError(format!(
            "improve.inconsistency is {lambda} and compares members of the world model: found {found}; expected \
             world_model.kind = \"ensemble\" with at least 2 members, or improve.inconsistency = 0"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused_in_words() {
        let refused = |change: &dyn Fn(&mut RunConfig), cameras: usize| {
            let mut config = RunConfig::default();
            change(&mut config);
            config.check_improving(cameras).err().map(|e| e.to_string()).unwrap_or_default()
        };
        assert_eq!(refused(&|_| {}, 1), "");
        assert_eq!(refused(&|c| c.improve.inconsistency = 1.0, 0), "", "an ensemble of seven");
        assert_eq!(
            refused(&|c| c.improve.inconsistency = 1.0, 1),
            "improve.inconsistency is 1 and compares members of the world model: found an rssm, which has none; expected \
             world_model.kind = \"ensemble\" with at least 2 members, or improve.inconsistency = 0"
        );
        let one = |c: &mut RunConfig| (c.improve.inconsistency, c.world_model.ensemble.elites) = (1.0, 1);
        assert!(refused(&one, 0).contains("found one that speaks;"));
        assert!(refused(&|c| c.improve.inconsistency = f32::NAN, 0).starts_with("improve.inconsistency is NaN;"));
        assert_eq!(
            refused(&|c| c.improve.advantage.good = 1.0, 0),
            "improve.advantage.good is 1; expected a share between 0 and 1, such as 0.25"
        );
        assert!(refused(&|c| c.improve.advantage.unadvised = 1.0, 0).contains("from 0 to below 1"));
        assert_eq!(
            refused(&|c| c.evaluate.noise = -1.0, 1),
            "evaluate.noise is -1; expected 0 (means alone) or more, such as 1"
        );
        assert_eq!(
            refused(&|c| c.policy.best_share = 0.0, 1),
            "policy.best_share is 0; expected a share of the steps above 0 and at most 1, such as 0.25"
        );
        assert!(refused(&|c| c.policy.best_share = f32::NAN, 1).starts_with("policy.best_share is NaN;"));
        assert!(refused(&|c| c.improve.advantage.guidance = -1.0, 0).contains("0 (acts as the clone) or more"));
    }
}
