//! Arms of a comparison, as users write them: `logged`, `improved`, `scaled:0.5`, `file:PATH`.

use std::path::PathBuf;
use std::str::FromStr;

use crate::errors::UsageError;

/// What a branch does instead of what was recorded.
#[derive(Clone, Debug, PartialEq)]
pub enum Arm {
    /// The recorded actions.
    Logged,
    /// The cloned policy.
    Cloned,
    /// The improved policy.
    Improved,
    /// The recorded actions moved away from the one at the fork by a factor: `a_0 + factor (a_t - a_0)`.
    Scaled(f32),
    /// The action before the fork (the first one at step 0), held.
    Hold,
    /// One way in which a policy might act: its noise drawn once, by number, and the same whatever the world does.
    Draw(Drawn, usize),
    /// Actions from a file: one row per step, comma-separated, raw units.
    File(PathBuf),
}

/// A policy whose noise is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawn {
    /// The cloned policy.
    Cloned,
    /// The improved policy.
    Improved,
}

impl Drawn {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Drawn::Cloned => "cloned",
            Drawn::Improved => "improved",
        }
    }

    fn find(text: &str) -> Option<Drawn> {
        [Drawn::Cloned, Drawn::Improved].into_iter().find(|policy| policy.name() == text)
    }
}

impl Arm {
    /// The policy network it asks, if any.
    pub fn network(&self) -> Option<&'static str> {
        match self {
            Arm::Cloned => Some("cloned"),
            Arm::Improved => Some("improved"),
            Arm::Draw(policy, _) => Some(policy.name()),
            _ => None,
        }
    }
}

/// One entry of `--arms`: an arm, or `improved:8` for several draws of a policy's noise as an arm each.
#[derive(Clone, Debug, PartialEq)]
pub struct Arms(pub Vec<Arm>);

/// Most draws of one policy: more than that nobody looks at.
const MOST_DRAWS: usize = 64;

impl FromStr for Arms {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, UsageError> {
        let drawn = text.split_once(':').and_then(|(policy, count)| Some((Drawn::find(policy)?, count)));
        let Some((policy, count)) = drawn else { return text.parse().map(|arm| Arms(vec![arm])) };
        match count.parse::<usize>() {
            Ok(count) if (1..=MOST_DRAWS).contains(&count) => {
                Ok(Arms((1..=count).map(|number| Arm::Draw(policy, number)).collect()))
            }
            _ => Err(UsageError(format!(
                "'{count}' is no number of draws; expected 1 to {MOST_DRAWS}, as in improved:8"
            ))),
        }
    }
}

impl FromStr for Arm {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, UsageError> {
        let wrong = |why: &str| {
            UsageError(format!(
                "{why}; expected logged, cloned, improved, cloned:K, improved:K, scaled:FACTOR, hold or file:PATH"
            ))
        };
        if let Some((policy, number)) = text.split_once('#') {
            let number = number.parse().ok().filter(|number| *number > 0);
            return match (Drawn::find(policy), number) {
                (Some(policy), Some(number)) => Ok(Arm::Draw(policy, number)),
                _ => Err(wrong(&format!("no arm '{text}'"))),
            };
        }
        match text.split_once(':') {
            None => match text {
                "logged" => Ok(Arm::Logged),
                "cloned" => Ok(Arm::Cloned),
                "improved" => Ok(Arm::Improved),
                "hold" => Ok(Arm::Hold),
                _ => Err(wrong(&format!("no arm '{text}'"))),
            },
            Some(("scaled", factor)) => match factor.parse::<f32>() {
                Ok(factor) if factor.is_finite() => Ok(Arm::Scaled(factor)),
                _ => Err(wrong(&format!("'{factor}' is no factor"))),
            },
            Some(("file", path)) if !path.is_empty() => Ok(Arm::File(path.into())),
            Some(_) => Err(wrong(&format!("no arm '{text}'"))),
        }
    }
}

impl std::fmt::Display for Arm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Arm::Logged => f.write_str("logged"),
            Arm::Cloned => f.write_str("cloned"),
            Arm::Improved => f.write_str("improved"),
            Arm::Scaled(factor) => write!(f, "scaled:{factor}"),
            Arm::Hold => f.write_str("hold"),
            Arm::Draw(policy, number) => write!(f, "{}#{number}", policy.name()),
            Arm::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_read_back_as_they_are_written() -> Result<(), UsageError> {
        for text in ["logged", "cloned", "improved", "scaled:0.5", "scaled:-1", "hold", "improved#3", "file:a/b.csv"] {
            assert_eq!(text.parse::<Arm>()?.to_string(), text);
        }
        Ok(())
    }

    #[test]
    fn several_draws_of_a_policy_are_an_arm_each() -> Result<(), UsageError> {
        let names = |text: &str| {
            text.parse::<Arms>().map(|arms| arms.0.iter().map(ToString::to_string).collect::<Vec<String>>())
        };
        assert_eq!(names("cloned:2")?, ["cloned#1", "cloned#2"]);
        assert_eq!(names("scaled:2")?, ["scaled:2"]);
        for wrong in ["improved:0", "improved:65", "improved:x", "improved#0", "hold#1"] {
            assert!(wrong.parse::<Arms>().is_err(), "{wrong}");
        }
        Ok(())
    }
}
