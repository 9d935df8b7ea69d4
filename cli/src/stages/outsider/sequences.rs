//! Action sequences of a dataset, replayed in imagination, and the held-out start that each of them goes with.
//!
//! A sequence that is numbered as a held-out episode and begins as that one does is imagined from its start: so are other actions for
//! known episodes judged. Where there is none, each sequence goes with the held-out start whose first observation is nearest.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use burn::tensor::Tensor;
use episodes::{ControlRate, Dataset, Episode, OpenOptions};
use policy::Bundle;
use rl::slices::Space;
use world_model::vision::floats;
use world_model::{Embeddings, WorldModel};

use crate::errors::UsageError;
use crate::source::Source;
use crate::stages::workshop::Workshop;
use crate::tools;

/// First observations that are no further apart are of the same start, in standard deviations over the held-out starts: what another
/// coding of the same pictures may change.
const SAME: f64 = 0.25;

/// Action sequences that were read.
pub struct Sequences {
    dataset: Dataset,
    /// What of its first observations can be compared with those of the run.
    seen: Seen,
    /// Per episode, normalised actions `[T, A]`.
    actions: Vec<Vec<f32>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// State and every camera of the run.
    All,
    /// The state.
    State,
    Nothing,
}

/// Which sequence is imagined from which start.
pub struct Matched {
    /// Positions of (start, sequence).
    pub played: Vec<(usize, usize)>,
    /// How they were matched, for the report.
    pub note: String,
}

impl Sequences {
    /// Normalised actions of one of them, `[T, A]`.
    pub fn actions(&self, i: usize) -> &[f32] {
        &self.actions[i]
    }
}

impl Workshop {
    /// Reads a dataset's actions, and as much of what was seen as the run knows too.
    ///
    /// # Errors
    /// As [`Source::open`]; its actions are not those of this robot.
    pub(super) fn sequences(&self, path: &Path) -> Result<Sequences> {
        let (own, source) = (&self.dataset.spec, Source::find(path, None)?);
        let options = |state: bool, cameras: bool| OpenOptions {
            image_size: self.config.data.image_size,
            cache_dir: tools::cache_dir(),
            control_rate: ControlRate::IfRecorded,
            state_keys: own.state.iter().filter(|_| state).map(|f| f.key.clone()).collect(),
            action_key: own.action.key.clone(),
            cameras: Some(own.cameras.iter().filter(|_| cameras).map(|c| c.key.clone()).collect()),
            ..OpenOptions::default()
        };
        let is_missing =
            |error: &anyhow::Error| matches!(error.downcast_ref(), Some(episodes::Error::MissingFeature { .. }));
        let mut opened = source.open(options(true, true)).map(|dataset| (dataset, Seen::All));
        if opened.as_ref().is_err_and(is_missing) {
            opened = source.open(options(true, false)).map(|dataset| (dataset, Seen::State));
        }
        if opened.as_ref().is_err_and(is_missing) {
            opened = source.open(options(false, false)).map(|dataset| (dataset, Seen::Nothing));
        }
        let (dataset, seen) = opened?;
        let found = dataset.spec.action_len();
        if found != own.action_len() {
            return Err(UsageError(format!(
                "{}: actions of {found} numbers; expected {}, as '{}' of this run's robot has",
                dataset.spec.source,
                own.action_len(),
                own.action.key
            ))
            .into());
        }
        // Nothing to see, or not the same of it.
        let seen = match seen {
            _ if dataset.spec.state_len() != own.state_len() || own.state_len() + own.cameras.len() == 0 => {
                Seen::Nothing
            }
            Seen::State if own.state_len() == 0 => Seen::Nothing,
            seen => seen,
        };
        let actions = dataset.episodes.iter().map(|episode| self.normalised_actions(&episode.action)).collect();
        Ok(Sequences { dataset, seen, actions })
    }

    /// Raw actions `[T, A]` of this robot as the networks take them; what only other robots have stays at its mean.
    pub(super) fn normalised_actions(&self, raw: &[f32]) -> Vec<f32> {
        let (own, all) = (self.dataset.spec.action_len(), self.corpus.action_len);
        let mut out = vec![0.0; raw.len() / own * all];
        for (raw, row) in raw.chunks_exact(own).zip(out.chunks_exact_mut(all)) {
            let mut raw = raw.to_vec();
            raw.resize(all, 0.0);
            self.corpus.action_normaliser.normalise(&raw, row);
            row[own..].fill(0.0);
        }
        out
    }

    /// Which of the sequences is imagined from which of the starts; `most` of them where they are matched by what is seen.
    ///
    /// # Errors
    /// Nothing tells which start a sequence goes with.
    pub(super) fn matched(
        &self,
        (model, embeddings): (&WorldModel, &Embeddings),
        (name, sequences): (&str, &Sequences),
        (most, starts): (usize, &[(usize, usize)]),
    ) -> Result<Matched> {
        let numbers: Vec<usize> =
            starts.iter().map(|&(track, _)| self.dataset.episodes[self.corpus.tracks[track].episode].index).collect();
        let episodes = &sequences.dataset.episodes;
        let numbered: Vec<(usize, usize)> = (0..episodes.len())
            .filter_map(|i| Some((numbers.iter().position(|&number| number == episodes[i].index)?, i)))
            .collect();
        if sequences.seen == Seen::Nothing {
            if numbered.is_empty() {
                return Err(UsageError(format!(
                    "policy '{name}': {} shares neither an episode number with the held-out episodes nor what is seen at their \
                     first step; expected one of them, to tell from which start its actions are imagined",
                    sequences.dataset.spec.source
                ))
                .into());
            }
            let note = by_number(name, &numbered, episodes.len(), "their first observations cannot be compared");
            return Ok(Matched { played: numbered, note });
        }
        let own = self.firsts(embeddings, sequences.seen, starts);
        let theirs = self.their_firsts(model, sequences)?;
        let space = Space::of(&own);
        let place = |rows: &[Vec<f32>]| rows.iter().map(|row| space.place(row)).collect::<Vec<_>>();
        let (own, theirs) = (place(&own), place(&theirs));
        let is_same = |&(start, i): &(usize, usize)| Space::apart(&own[start], &theirs[i]) <= SAME;
        if !numbered.is_empty() && numbered.iter().all(is_same) {
            let note = by_number(name, &numbered, episodes.len(), "they begin as those did");
            return Ok(Matched { played: numbered, note });
        }
        Ok(by_sight(name, &own, &theirs[..theirs.len().min(most)]))
    }

    /// What is seen first at the starts, a row each.
    fn firsts(&self, embeddings: &Embeddings, seen: Seen, starts: &[(usize, usize)]) -> Vec<Vec<f32>> {
        let of = |&(track, t): &(usize, usize)| {
            let row = embeddings.at(track, t);
            let state = row.len() - self.corpus.state_len;
            match seen {
                Seen::All => row[..state + self.corpus.state_angles.spread_len()].to_vec(),
                _ => row[state..state + self.corpus.state_angles.spread_len()].to_vec(),
            }
        };
        starts.iter().map(of).collect()
    }

    /// The same of the sequences.
    fn their_firsts(&self, model: &WorldModel, sequences: &Sequences) -> Result<Vec<Vec<f32>>> {
        let (device, spec) = (self.inner(), &self.dataset.spec);
        let encoder = model.representation.encoder.clone();
        // Only what it sees is asked.
        let eyes =
            Bundle::new(self.bundle_spec(), encoder, self.fresh_policy(&device), &device).seeing(self.vit.clone());
        let (len, spread) = (spec.state_len(), self.corpus.state_angles.spread_len());
        let first = |(i, episode): (usize, &Episode)| -> Result<Vec<f32>> {
            let state = episode.state_at(0, len);
            if sequences.seen == Seen::State {
                let mut raw = self.corpus.state_angles.spread(state);
                raw.resize(self.corpus.state_len, 0.0);
                let mut row = vec![0.0; raw.len()];
                self.corpus.state_normaliser.normalise(&raw, &mut row);
                row.truncate(spread);
                return Ok(row);
            }
            let pictures: Vec<&[u8]> = (0..spec.cameras.len()).map(|c| sequences.dataset.frame(c, i, 0)).collect();
            let task = eyes.spec.tasks.as_ref().and_then(|tasks| tasks.texts().first().cloned());
            let prompt = if episode.task.is_empty() { task } else { Some(episode.task.clone()) };
            let e: Tensor<2> = eyes.embed(&pictures, state, prompt.as_deref())?;
            let mut row = floats(e);
            row.truncate(row.len() - self.corpus.state_len + spread);
            Ok(row)
        };
        sequences.dataset.episodes.iter().enumerate().map(first).collect()
    }
}

fn by_number(name: &str, numbered: &[(usize, usize)], all: usize, why: &str) -> String {
    format!(
        "{name}: {} of its {all} action sequences are numbered as held-out episodes and imagined from their starts ({why}); the others were not.",
        numbered.len()
    )
}

/// Every sequence with the start that is nearest.
fn by_sight(name: &str, own: &[Vec<f64>], theirs: &[Vec<f64>]) -> Matched {
    let nearest = |place: &Vec<f64>, without: Option<usize>| {
        let others = (0..own.len()).filter(|&i| Some(i) != without);
        others.map(|i| (i, Space::apart(place, &own[i]))).min_by(|a, b| a.1.total_cmp(&b.1))
    };
    let found: Vec<(usize, f64)> = theirs.iter().filter_map(|place| nearest(place, None)).collect();
    let median = |mut away: Vec<f64>| {
        away.sort_by(f64::total_cmp);
        away.get(away.len() / 2).copied().unwrap_or(0.0)
    };
    let neighbours = own.iter().enumerate().filter_map(|(i, place)| Some(nearest(place, Some(i))?.1)).collect();
    let note = format!(
        "{name}: {} action sequences, each imagined from the held-out start whose first observation is nearest, from {} different starts: \
         {:.2} standard deviations away in the median, {:.2} at most (held-out starts lie {:.2} from their nearest neighbour).",
        found.len(),
        found.iter().map(|f| f.0).collect::<BTreeSet<_>>().len(),
        median(found.iter().map(|f| f.1).collect()),
        found.iter().map(|f| f.1).fold(0.0, f64::max),
        median(neighbours)
    );
    Matched { played: found.iter().enumerate().map(|(i, f)| (f.0, i)).collect(), note }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sequence_goes_with_the_nearest_start_and_the_note_says_how_near() {
        let own = [vec![0.0, 0.0], vec![2.0, 0.0], vec![5.0, 0.0]];
        let theirs = [vec![4.0, 0.0], vec![0.0, 0.2], vec![5.0, 0.0]];
        let Matched { played, note } = by_sight("log", &own, &theirs);
        assert_eq!(played, [(2, 0), (0, 1), (2, 2)]);
        // Root mean squares over two elements: 1/√2, 0.2/√2, 0; neighbours 2/√2, 2/√2, 3/√2.
        let expected = "log: 3 action sequences, each imagined from the held-out start whose first observation is nearest, from 2 different \
                        starts: 0.14 standard deviations away in the median, 0.71 at most (held-out starts lie 1.41 from their nearest \
                        neighbour).";
        assert_eq!(note, expected);
    }
}
