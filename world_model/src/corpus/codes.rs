//! How elements are told to networks, in a corpus: angles as cosine and sine, hints by their code.

use episodes::{Dataset, Normaliser};

use super::{Corpus, Track, normalised, padded};
use crate::Error;
use crate::angles::Angles;
use crate::hints::HintCode;

impl Corpus {
    /// The same with those elements of the state told as cosine and sine that are called so in `angles`; all parts
    /// are the same robot's.
    ///
    /// # Errors
    /// An angle is no element of the state.
    pub fn with_state_angles(mut self, dataset: &Dataset, angles: &[String]) -> Result<Self, Error> {
        let names: Vec<String> = dataset.spec.state.iter().flat_map(|state| state.names.clone()).collect();
        let angles = Angles::named(&names, angles, "data.state_angles")?;
        let (own, task_len) = (angles.spread_len(), self.task_len);
        if own == names.len() {
            return Ok(self);
        }
        assert!(self.is_of_one_robot(), "angles of the state are told where all episodes are one robot's");
        let spread = |t: usize| angles.spread(&dataset.episodes[self.tracks[t].episode].state);
        let rows: Vec<Vec<f32>> = self.fitted().map(spread).collect();
        let fitted = Normaliser::fit(rows.iter().flat_map(|rows| rows.chunks_exact(own)), own);
        let normaliser = padded(fitted, own + task_len);
        let states: Vec<Vec<f32>> = (0..self.tracks.len())
            .map(|t| {
                let mut rows = normalised(&normaliser, &spread(t), (own, self.tracks[t].len));
                let before = self.tracks[t].state.chunks_exact(self.state_len);
                for (row, before) in rows.chunks_exact_mut(own + task_len).zip(before) {
                    row[own..].copy_from_slice(&before[self.state_len - task_len..]);
                }
                rows
            })
            .collect();
        self.tracks.iter_mut().zip(states).for_each(|(track, state)| track.state = state);
        self.parts.iter_mut().for_each(|part| part.state_len = own);
        Ok(Self { state_len: own + task_len, state_normaliser: normaliser, state_angles: angles, ..self })
    }

    /// The same with the hints of `dataset`, those of its elements told as angles that are called so.
    ///
    /// # Errors
    /// An angle is no element of the hints; there are hints and no camera to tell them.
    pub fn with_hints(mut self, dataset: &Dataset, angles: &[String]) -> Result<Self, Error> {
        let names: Vec<String> = dataset.spec.hints.iter().flat_map(|hint| hint.names.clone()).collect();
        let angles = Angles::named(&names, angles, "data.hint_angles")?;
        if names.is_empty() {
            return Ok(self);
        }
        if dataset.spec.cameras.is_empty() {
            return Err(Error::Mismatch {
                found: "data.hints, and no camera that could tell them".into(),
                expected: "a camera under data.cameras, or no hints".into(),
            });
        }
        let rows = self.fitted().flat_map(|t| {
            let Track { episode, len, .. } = self.tracks[t];
            dataset.episodes[episode].hint.chunks_exact(names.len()).take(len)
        });
        let code = HintCode::fit(rows, angles);
        for track in &mut self.tracks {
            track.hint = code.encode(&dataset.episodes[track.episode].hint[..track.len * names.len()]);
        }
        self.hints = Some(code);
        Ok(self)
    }
}
