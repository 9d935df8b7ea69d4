//! Differences of elements that are measured along one axis: where the gripper is *from* the cup tells of touch what neither place
//! alone does.
//!
//! They stand in the embedding beside the elements themselves, so that dynamics, policy and values all see them, and are never
//! foreseen but worked out from the elements that are:
//! ```text
//! e = [cameras, state, differences, task]      d_k = (raw_i - raw_j) / deviation of (raw_i - raw_j)
//! ```
//! Networks could form them, and at the scale of a whole table form them too coarsely: with them the dynamics of PushT are twice as
//! exact after as many updates (docs/LOG.md, 2026-11-26).

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::angles::Angles;

/// Where an element stands in an embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In the first camera's estimate of the hints.
    Hint(usize),
    /// In the state.
    State(usize),
}

/// An element that can be measured from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Element {
    /// Where it stands.
    pub place: Place,
    /// What its code of 0 means, raw units.
    pub mean: f32,
    /// What its code of 1 adds, raw units.
    pub std: f32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    of: [Place; 2],
    scale: [f32; 2],
    offset: f32,
}

/// What an embedding tells beside its elements.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Differences {
    all: Vec<Difference>,
    /// Elements of the state, differences and task among them.
    state: usize,
    /// Elements of the task.
    task: usize,
}

impl Differences {
    /// Nothing beside the elements.
    pub const NONE: Self = Self { all: Vec::new(), state: 0, task: 0 };

    /// Every pair of `axes` in codes: the differences of raw units, in their own deviation among `rows`, which gives the raw
    /// values of two elements at every training step. `state` and `task` are the elements of the state without differences, and those of the
    /// task at its end.
    pub fn fit<'a>(
        axes: &[Vec<Element>],
        (state, task): (usize, usize),
        rows: impl Fn(Place, Place) -> Vec<[f32; 2]> + 'a,
    ) -> Self {
        let mut all = Vec::new();
        for axis in axes {
            for (k, &of) in axis.iter().enumerate() {
                for &from in &axis[k + 1..] {
                    let apart: Vec<f64> = rows(of.place, from.place).iter().map(|[a, b]| f64::from(a - b)).collect();
                    let count = apart.len().max(1) as f64;
                    let mean = apart.iter().sum::<f64>() / count;
                    let variance = apart.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / count;
                    let deviation = if variance > 1e-12 { variance.sqrt() as f32 } else { 1.0 };
                    all.push(Difference {
                        of: [of.place, from.place],
                        scale: [of.std / deviation, from.std / deviation],
                        offset: (of.mean - from.mean) / deviation,
                    });
                }
            }
        }
        Self { state: state + all.len(), task, all }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Where an element stands in embeddings of `width` elements.
    fn at(&self, place: Place, width: usize) -> usize {
        match place {
            Place::Hint(i) => i,
            Place::State(i) => width - self.state + i,
        }
    }

    /// Embeddings `[.., E]` with the differences that belong to their elements.
    pub fn renewed<const D: usize>(&self, e: Tensor<D>) -> Tensor<D> {
        let Some(width) = e.dims().last().copied().filter(|_| !self.is_empty()) else { return e };
        let element = |place: Place| e.clone().narrow(D - 1, self.at(place, width), 1);
        let told = width - self.task - self.len();
        let mut parts = vec![e.clone().narrow(D - 1, 0, told)];
        parts.extend(self.all.iter().map(|d| {
            element(d.of[0]) * f64::from(d.scale[0]) - element(d.of[1]) * f64::from(d.scale[1]) + f64::from(d.offset)
        }));
        if self.task > 0 {
            parts.push(e.narrow(D - 1, width - self.task, self.task));
        }
        Tensor::cat(parts, D - 1)
    }

    /// The same of one row `[E]`.
    pub fn renew(&self, row: &mut [f32]) {
        let width = row.len();
        for (k, d) in self.all.iter().enumerate() {
            let [a, b] = d.of.map(|place| row[self.at(place, width)]);
            row[width - self.task - self.len() + k] = d.scale[0] * a - d.scale[1] * b + d.offset;
        }
    }
}

/// Finds the elements called so on every axis: hints with these names and angles first, then those of the state.
///
/// # Errors
/// A name that there is none of, or that is an angle; an axis with less than two elements. `setting` is where it was asked for.
pub fn find(
    axes: &[Vec<String>],
    vectors: [(&[String], &Angles, fn(usize) -> Place); 2],
    setting: &str,
) -> Result<Vec<Vec<Place>>, Error> {
    let known: Vec<&str> = vectors
        .iter()
        .flat_map(|(names, angles, _)| {
            names.iter().enumerate().filter(|(i, _)| !angles.is_angle(*i)).map(|(_, name)| name.as_str())
        })
        .collect();
    let mismatch = |found: String| Error::Mismatch {
        found,
        expected: format!("two or more on an axis, each one of: {}", known.join(", ")),
    };
    axes.iter()
        .map(|axis| {
            let mut places = Vec::new();
            for name in axis {
                let here = vectors.iter().flat_map(|(names, angles, place)| {
                    let called = |(i, of): (usize, &String)| (of == name && !angles.is_angle(i)).then(|| place(i));
                    names.iter().enumerate().filter_map(called)
                });
                let before = places.len();
                places.extend(here);
                if places.len() == before {
                    return Err(mismatch(format!("{setting} names '{name}'")));
                }
            }
            if places.len() < 2 {
                return Err(mismatch(format!("{setting} has an axis of {} elements", places.len())));
            }
            Ok(places)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::floats;
    use burn::tensor::Device;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// A hint of mean 10 and deviation 2, a state of mean 4 and deviation 1, a task of one element.
    fn differences() -> Differences {
        let axis = vec![
            Element { place: Place::Hint(0), mean: 10.0, std: 2.0 },
            Element { place: Place::State(1), mean: 4.0, std: 1.0 },
        ];
        // 3, 7: mean 5, deviation 2.
        Differences::fit(&[axis], (3, 1), |_, _| vec![[8.0, 5.0], [12.0, 5.0]])
    }

    #[test]
    fn a_difference_by_hand_in_rows_and_tensors() {
        let d = differences();
        assert_eq!((d.len(), d.is_empty()), (1, false));
        // [hint | state 0, state 1 | difference | task]; raw 10 + 2·0.5 = 11 from 4 - 1 = 3, in deviations of 2.
        let mut row = [0.5, 9.0, -1.0, 99.0, 7.0];
        let e = Tensor::<2>::from_data([row], &Device::default());
        d.renew(&mut row);
        assert_eq!(row, [0.5, 9.0, -1.0, 4.0, 7.0]);
        assert_eq!(floats(d.renewed(e.clone())), row);
        assert_eq!(floats(d.renewed(e.unsqueeze::<3>())), row);
        let untouched = Tensor::<2>::ones([1, 2], &Device::default());
        assert_eq!(floats(Differences::NONE.renewed(untouched)), [1.0, 1.0]);
    }

    #[test]
    fn elements_are_found_by_name_and_angles_are_none() -> Result<(), Error> {
        let (hints, state) = (names(&["block_x", "block_turn"]), names(&["agent_x", "agent_y"]));
        let turning = Angles::named(&hints, &hints[1..], "data.hint_angles")?;
        let still = Angles::none(2);
        let find = |axes: &[&[&str]]| {
            let axes: Vec<Vec<String>> = axes.iter().map(|axis| names(axis)).collect();
            let vectors: [(&[String], &Angles, fn(usize) -> Place); 2] =
                [(&hints, &turning, Place::Hint), (&state, &still, Place::State)];
            super::find(&axes, vectors, "data.same_axis")
        };
        assert_eq!(find(&[&["agent_x", "block_x"]])?, [[Place::State(0), Place::Hint(0)]]);
        for (axes, found) in [
            (vec!["agent_x", "block_turn"], "data.same_axis names 'block_turn'"),
            (vec!["agent_x"], "data.same_axis has an axis of 1 elements"),
        ] {
            let words = find(&[&axes]).expect_err("cannot be").to_string();
            assert_eq!(
                words,
                format!("{found}; expected two or more on an axis, each one of: block_x, agent_x, agent_y")
            );
        }
        Ok(())
    }
}
