//! Differences of what is measured along one axis, and points as bodies see them, in a corpus ([`crate::differences`]).

use episodes::{Dataset, VectorFeature};

use super::{Corpus, padded};
use crate::Error;
use crate::angles::Angles;
use crate::differences::{Differences, Element, Named, Place, SeenFrom};

fn names(features: &[VectorFeature]) -> Vec<String> {
    features.iter().flat_map(|feature| feature.names.clone()).collect()
}

impl Corpus {
    /// The same with differences of state and hints in the state, before the task: of every two elements that are named on the
    /// same axis, then points as bodies see them. They are 0 in the tracks; the encoder works them out. All parts are
    /// the same robot's.
    ///
    /// # Errors
    /// As [`Named::axes`] and [`Named::bodies`].
    pub fn with_differences(
        mut self,
        dataset: &Dataset,
        axes: &[Vec<String>],
        bodies: &[SeenFrom],
    ) -> Result<Self, Error> {
        if axes.is_empty() && bodies.is_empty() {
            return Ok(self);
        }
        assert!(self.is_of_one_robot(), "differences are told where all episodes are one robot's");
        let (hints, state) = (names(&dataset.spec.hints), names(&dataset.spec.state));
        let action = dataset.spec.action.names.clone();
        let turning = self.hints.as_ref().map_or_else(|| Angles::none(hints.len()), |code| code.angles.clone());
        let free = Angles::none(action.len());
        let named = Named::new([(&hints, &turning), (&state, &self.state_angles), (&action, &free)]);
        let (axes, bodies) = (named.axes(axes)?, named.bodies(bodies)?);
        let element = |place: Place| {
            let (normaliser, i) = match (place, &self.hints) {
                (Place::Hint(i), Some(code)) => (&code.normaliser, i),
                (Place::Action(i), _) => (&self.action_normaliser, i),
                (Place::Hint(i) | Place::State(i), _) => (&self.state_normaliser, i),
            };
            Element { place, mean: normaliser.mean[i], std: normaliser.std[i] }
        };
        let raw = |place: Place, track: usize, t: usize| {
            let episode = &dataset.episodes[self.tracks[track].episode];
            match place {
                Place::Hint(i) => episode.hint[t * hints.len() + i],
                Place::State(i) => episode.state[t * state.len() + i],
                Place::Action(i) => episode.action[t * action.len() + i],
            }
        };
        let rows = |of: &[Place]| {
            let steps = |track: usize| (0..self.tracks[track].len).map(move |t| (track, t));
            let row = |(track, t)| of.iter().map(|&place| raw(place, track, t)).collect();
            self.fitted().flat_map(steps).map(row).collect()
        };
        let (before, task) = (self.state_len, self.task_len);
        let differences = Differences::fit((&axes, &bodies), (before, task), element, rows);
        let (told, after) = (before - task, before + differences.len());
        for track in &mut self.tracks {
            let rows = track.state.chunks_exact(before);
            let widened = |row: &[f32]| {
                let mut wide = row[..told].to_vec();
                wide.resize(told + differences.len(), 0.0);
                wide.extend_from_slice(&row[told..]);
                wide
            };
            track.state = rows.flat_map(widened).collect();
        }
        let mut normaliser = self.state_normaliser.clone();
        for of in [&mut normaliser.mean, &mut normaliser.std, &mut normaliser.min, &mut normaliser.max] {
            of.truncate(told);
        }
        Ok(Self { state_len: after, state_normaliser: padded(normaliser, after), differences, ..self })
    }
}
