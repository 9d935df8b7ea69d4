//! Which episodes of a dataset tell the most.

use std::collections::BTreeSet;

use anyhow::Result;
use episodes::Inspection;
use episodes::inspect::EpisodeReport;

use crate::args::Choice;
use crate::errors::UsageError;

/// An episode to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Position in the dataset.
    pub position: usize,
    /// Index in the dataset.
    pub index: usize,
    /// What is special about it, such as `longest, failure`; may be empty.
    pub note: String,
}

/// The chosen episodes in the dataset's order.
///
/// # Errors
/// An index that no sound episode has.
pub fn choose(choice: &Choice, inspection: &Inspection) -> Result<Vec<Chosen>> {
    let list = &inspection.episode_list;
    let positions: BTreeSet<usize> = match choice {
        Choice::Few => few(list),
        Choice::All => (0..list.len()).collect(),
        Choice::These(indices) => {
            indices.iter().map(|&index| find(index, inspection)).collect::<Result<_, UsageError>>()?
        }
    };
    let (shortest, longest) = extremes(list);
    let chosen = |position: usize| {
        let episode = &list[position];
        let outcome = match episode.success {
            Some(true) => "success",
            Some(false) => "failure",
            None => "",
        };
        let words = [
            if Some(position) == shortest { "shortest" } else { "" },
            if Some(position) == longest { "longest" } else { "" },
            outcome,
        ];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        Chosen { position, index: episode.index, note: words.join(", ") }
    };
    Ok(positions.into_iter().map(chosen).collect())
}

/// First, middle and last, the shortest, the longest, and a success and a failure where none of these is one.
fn few(list: &[EpisodeReport]) -> BTreeSet<usize> {
    let Some(last) = list.len().checked_sub(1) else { return BTreeSet::new() };
    let (shortest, longest) = extremes(list);
    let mut positions = BTreeSet::from([0, last / 2, last]);
    positions.extend(shortest.into_iter().chain(longest));
    for wanted in [Some(true), Some(false)] {
        if !positions.iter().any(|&position| list[position].success == wanted) {
            positions.extend(list.iter().position(|episode| episode.success == wanted));
        }
    }
    positions
}

/// Positions of the shortest and the longest; none where all are equally long.
fn extremes(list: &[EpisodeReport]) -> (Option<usize>, Option<usize>) {
    let first_of = |len: Option<usize>| list.iter().position(|episode| Some(episode.len) == len);
    let (shortest, longest) = (list.iter().map(|e| e.len).min(), list.iter().map(|e| e.len).max());
    if shortest == longest { (None, None) } else { (first_of(shortest), first_of(longest)) }
}

fn find(index: usize, inspection: &Inspection) -> Result<usize, UsageError> {
    let list = &inspection.episode_list;
    list.iter().position(|episode| episode.index == index).ok_or_else(|| {
        let (first, last) = (list.first().map_or(0, |e| e.index), list.last().map_or(0, |e| e.index));
        UsageError(format!(
            "--episodes {index}: there is no such episode, or it was left out; expected one of {} from {first} to {last}",
            list.len()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn episode(index: usize, len: usize, success: Option<bool>) -> EpisodeReport {
        EpisodeReport { index, len, success, idle_share: 0.0, is_held_out: false }
    }

    fn positions(list: &[EpisodeReport]) -> Vec<usize> {
        few(list).into_iter().collect()
    }

    #[test]
    fn few_are_spread_and_tell_the_extremes() {
        let mut list: Vec<EpisodeReport> = (0..11).map(|i| episode(i, 100, None)).collect();
        assert_eq!(positions(&list), [0, 5, 10]);
        (list[2].len, list[7].len) = (80, 120);
        assert_eq!(positions(&list), [0, 2, 5, 7, 10]);
        list.iter_mut().for_each(|e| e.success = Some(true));
        list[3].success = Some(false);
        assert_eq!(positions(&list), [0, 2, 3, 5, 7, 10]);
        assert_eq!(positions(&list[..1]), [0]);
        assert_eq!(positions(&[]), [0; 0]);
    }
}
