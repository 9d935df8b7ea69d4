//! Differences of elements that are measured along one axis, and points as a body that turns sees them: where the gripper is *from*
//! the cup tells of touch what neither place alone does.
//!
//! They stand in the embedding beside the elements themselves, so that dynamics, policy and values all see them, and are never
//! foreseen but worked out from the elements that are:
//! ```text
//! e = [cameras, state, differences, points, task]      d_k = (raw_i - raw_j) / deviation of (raw_i - raw_j)
//! point = R(angle)ᵀ (raw point - raw body) / deviation of (raw point - raw body)
//! ```
//! Where an action on the same axis says where to go, how far that is stands beside state and action in what dynamics see.
//! Networks could form them, and at the scale of a whole table form them too coarsely: with them the dynamics of PushT are twice as
//! exact after as many updates (docs/LOG.md, 2026-11-26).

mod named;
#[cfg(test)]
mod tests;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

pub use named::{Body, Named, SeenFrom};

/// Where an element stands in an embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In the first camera's estimate of the hints.
    Hint(usize),
    /// In the state.
    State(usize),
    /// In the action.
    Action(usize),
}

impl Place {
    pub(crate) fn is_action(self) -> bool {
        matches!(self, Self::Action(_))
    }
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

impl Difference {
    fn new([of, from]: [Element; 2], deviation: f32) -> Self {
        Self {
            of: [of.place, from.place],
            scale: [of.std / deviation, from.std / deviation],
            offset: (of.mean - from.mean) / deviation,
        }
    }
}

/// Standard deviation, or 1 where there is none.
fn deviation(values: Vec<f32>) -> f32 {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let variance = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
    if variance > 1e-12 { variance.sqrt() as f32 } else { 1.0 }
}

/// A point in the plane as a body that turns sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    /// x, y: the point from the body, deviations of it.
    from: [Difference; 2],
    /// Cosine and sine of the body's angle.
    turned: [Place; 2],
    /// What codes of 0 mean there, and what codes of 1 add.
    mean: [f32; 2],
    std: [f32; 2],
}

impl Seen {
    /// Turns `[x, y]` back by the angle of `[cosine, sine]`, whatever the length of that.
    fn turn_back([x, y]: [f32; 2], [c, s]: [f32; 2]) -> [f32; 2] {
        let length = (c * c + s * s).sqrt().max(LEAST_LENGTH);
        [(c * x + s * y) / length, (c * y - s * x) / length]
    }
}

/// Cosine and sine shorter than this say nothing.
const LEAST_LENGTH: f32 = 1e-3;

/// What an embedding tells beside its elements.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Differences {
    all: Vec<Difference>,
    #[serde(default)]
    seen: Vec<Seen>,
    /// From elements to where actions on their axis say.
    #[serde(default)]
    ways: Vec<Difference>,
    /// Elements of the state, differences and task among them.
    state: usize,
    /// Elements of the task.
    task: usize,
}

impl Differences {
    /// Nothing beside the elements.
    pub const NONE: Self = Self { all: Vec::new(), seen: Vec::new(), ways: Vec::new(), state: 0, task: 0 };

    /// Every pair of `axes` in codes, the differences of raw units in their own deviation, then the points of `bodies`, `x` and `y` in one
    /// deviation. `rows` gives the raw values of elements at every training step, an angle for a cosine; `element` their
    /// codes. `state` and `task` are the elements of the state without differences, and those of the task at its end.
    pub fn fit<'a>(
        (axes, bodies): (&[Vec<Place>], &[Body]),
        (state, task): (usize, usize),
        element: impl Fn(Place) -> Element,
        rows: impl Fn(&[Place]) -> Vec<Vec<f32>> + 'a,
    ) -> Self {
        let (mut all, mut ways) = (Vec::new(), Vec::new());
        for axis in axes {
            for (k, &of) in axis.iter().enumerate() {
                for &from in &axis[k + 1..] {
                    let [of, from] = if from.is_action() { [from, of] } else { [of, from] };
                    let to = match [of, from].map(Place::is_action) {
                        [true, true] => continue,
                        [true, false] => &mut ways,
                        _ => &mut all,
                    };
                    let apart = rows(&[of, from]).iter().map(|row| row[0] - row[1]).collect();
                    to.push(Difference::new([of, from].map(&element), deviation(apart)));
                }
            }
        }
        let mut seen = Vec::new();
        for Body { at: [x, y], turned, points } in bodies {
            for &[px, py] in points {
                let told = |row: Vec<f32>| {
                    let angle = row[4];
                    Seen::turn_back([row[0] - row[2], row[1] - row[3]], [angle.cos(), angle.sin()])
                };
                let scale = deviation(rows(&[px, py, *x, *y, turned[0]]).into_iter().flat_map(told).collect());
                let from = [[px, *x], [py, *y]].map(|pair| Difference::new(pair.map(&element), scale));
                let [c, s] = turned.map(&element);
                seen.push(Seen { from, turned: *turned, mean: [c.mean, s.mean], std: [c.std, s.std] });
            }
        }
        Self { state: state + all.len() + 2 * seen.len(), task, all, seen, ways }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.all.len() + 2 * self.seen.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where an element stands in embeddings of `width` elements.
    fn at(&self, place: Place, width: usize) -> usize {
        match place {
            Place::Hint(i) => i,
            Place::State(i) => width - self.state + i,
            // Of the action itself.
            Place::Action(i) => i,
        }
    }

    /// From elements to where actions say.
    pub fn ways(&self) -> &[impl Sized] {
        &self.ways
    }

    /// How far it is from embeddings `[.., E]` to where actions `[.., A]` say: `[.., ways]`.
    pub fn to_go<const D: usize>(&self, e: Tensor<D>, action: Tensor<D>) -> Tensor<D> {
        let width = e.dims()[D - 1];
        let way = |d: &Difference| {
            let [to, from] = d.of.map(|place| self.at(place, width));
            action.clone().narrow(D - 1, to, 1) * f64::from(d.scale[0])
                - e.clone().narrow(D - 1, from, 1) * f64::from(d.scale[1])
                + f64::from(d.offset)
        };
        Tensor::cat(self.ways.iter().map(way).collect(), D - 1)
    }

    /// Embeddings `[.., E]` with the differences that belong to their elements.
    pub fn renewed<const D: usize>(&self, e: Tensor<D>) -> Tensor<D> {
        let Some(width) = e.dims().last().copied().filter(|_| !self.is_empty()) else { return e };
        let element = |place: Place| e.clone().narrow(D - 1, self.at(place, width), 1);
        let told = width - self.task - self.len();
        let apart = |d: &Difference| {
            element(d.of[0]) * f64::from(d.scale[0]) - element(d.of[1]) * f64::from(d.scale[1]) + f64::from(d.offset)
        };
        let mut parts = vec![e.clone().narrow(D - 1, 0, told)];
        parts.extend(self.all.iter().map(apart));
        for Seen { from, turned, mean, std } in &self.seen {
            let turn = |i: usize| element(turned[i]) * f64::from(std[i]) + f64::from(mean[i]);
            let ([x, y], [c, s]) = ([apart(&from[0]), apart(&from[1])], [turn(0), turn(1)]);
            let length = (c.clone().square() + s.clone().square()).sqrt().clamp_min(f64::from(LEAST_LENGTH));
            parts.push((c.clone() * x.clone() + s.clone() * y.clone()) / length.clone());
            parts.push((c * y - s * x) / length);
        }
        if self.task > 0 {
            parts.push(e.narrow(D - 1, width - self.task, self.task));
        }
        Tensor::cat(parts, D - 1)
    }

    /// The same of one row `[E]`.
    pub fn renew(&self, row: &mut [f32]) {
        let width = row.len();
        let element = |place: Place| row[self.at(place, width)];
        let apart = |d: &Difference| d.scale[0] * element(d.of[0]) - d.scale[1] * element(d.of[1]) + d.offset;
        let seen = self.seen.iter().flat_map(|Seen { from, turned, mean, std }| {
            let turn = [0, 1].map(|i| element(turned[i]) * std[i] + mean[i]);
            Seen::turn_back([apart(&from[0]), apart(&from[1])], turn)
        });
        let told: Vec<f32> = self.all.iter().map(apart).chain(seen).collect();
        let place = width - self.task - told.len();
        row[place..place + told.len()].copy_from_slice(&told);
    }
}
