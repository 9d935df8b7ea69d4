//! A choice of episodes, as users write it: `few`, `all`, `0,3,7`.

use std::str::FromStr;

use crate::errors::UsageError;

/// Which episodes of a dataset to record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// A handful that tells the most.
    #[default]
    Few,
    /// Every sound one.
    All,
    /// These, by their index in the dataset.
    These(Vec<usize>),
}

impl FromStr for Choice {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, UsageError> {
        match text {
            "few" => Ok(Choice::Few),
            "all" => Ok(Choice::All),
            _ => {
                let indices = text.split(',').map(|index| index.trim().parse()).collect::<Result<Vec<usize>, _>>();
                indices
                    .map(Choice::These)
                    .map_err(|_| UsageError("expected few, all, or indices of episodes such as 0,3,7".to_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn episodes_are_chosen_by_word_or_index() {
        let choices = ["few", "all", "3", "0, 7,3"].map(|text| text.parse::<Choice>().ok());
        let these = |indices: &[usize]| Some(Choice::These(indices.to_vec()));
        assert_eq!(choices, [Some(Choice::Few), Some(Choice::All), these(&[3]), these(&[0, 7, 3])]);
        assert!(["", "0,,1", "-1", "most"].iter().all(|text| text.parse::<Choice>().is_err()));
    }
}
