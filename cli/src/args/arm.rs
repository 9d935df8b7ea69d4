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
    /// The recorded actions times a factor, about the action's mean.
    Scaled(f32),
    /// The action recorded at the fork, held.
    Hold,
    /// Actions from a file: one row per step, comma-separated, raw units.
    File(PathBuf),
}

impl FromStr for Arm {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, UsageError> {
        let wrong = |why: &str| {
            UsageError(format!("{why}; expected logged, cloned, improved, scaled:FACTOR, hold or file:PATH"))
        };
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
            Arm::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_read_back_as_they_are_written() -> Result<(), UsageError> {
        for text in ["logged", "cloned", "improved", "scaled:0.5", "scaled:-1", "hold", "file:a/b.csv"] {
            assert_eq!(text.parse::<Arm>()?.to_string(), text);
        }
        Ok(())
    }
}
