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
    /// In the action.
    Action(usize),
}

impl Place {
    fn is_action(self) -> bool {
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

/// A body that turns in the plane of two axes, and points to tell as it sees them; elements of state and hints by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenFrom {
    /// Where the body is.
    pub x: String,
    /// Where the body is, across.
    pub y: String,
    /// How far it is turned from x to y, radians; an angle of `data.state_angles` or `data.hint_angles`.
    pub angle: String,
    /// Points on the same two axes.
    pub points: Vec<[String; 2]>,
}

/// The same, found: places of x, y, cosine and sine of the body, and of its points.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// x, y.
    pub at: [Place; 2],
    /// Cosine, sine.
    pub turned: [Place; 2],
    /// x, y each.
    pub points: Vec<[Place; 2]>,
}

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

/// Elements by name: hints first, then those of the state, then those of the action.
pub struct Named<'a> {
    vectors: [(&'a [String], &'a Angles, fn(usize) -> Place); 3],
}

impl<'a> Named<'a> {
    /// Of names and angles of hints, state and action.
    pub fn new([hints, state, action]: [(&'a [String], &'a Angles); 3]) -> Self {
        Self {
            vectors: [
                (hints.0, hints.1, Place::Hint),
                (state.0, state.1, Place::State),
                (action.0, action.1, Place::Action),
            ],
        }
    }

    /// Places of all that is called so; of cosine and sine, where that is an angle.
    fn called<'n>(&'n self, name: &'n str, angle: bool) -> impl Iterator<Item = [Place; 2]> + 'n {
        self.vectors.iter().flat_map(move |(names, angles, place)| {
            let here = names.iter().enumerate().filter(move |(_, of)| *of == name);
            here.filter_map(move |(i, _)| match angles.sine_of(i) {
                Some(sine) => angle.then(|| [place(i), place(sine)]),
                None => (!angle).then(|| [place(i); 2]),
            })
        })
    }

    fn mismatch(&self, found: String, expected: &str, angle: bool) -> Error {
        let known = self.vectors.iter().flat_map(|(names, angles, _)| {
            let of_kind = move |(i, _): &(usize, &String)| angles.is_angle(*i) == angle;
            names.iter().enumerate().filter(of_kind).map(|(_, name)| name.as_str())
        });
        let known: Vec<&str> = known.collect();
        let known = if known.is_empty() { "nothing: there are none".into() } else { known.join(", ") };
        Error::Mismatch { found, expected: format!("{expected}: {known}") }
    }

    /// The elements called so on every axis of `data.same_axis`.
    ///
    /// # Errors
    /// A name that there is none of, or that is an angle; an axis with less than two elements.
    pub fn axes(&self, axes: &[Vec<String>]) -> Result<Vec<Vec<Place>>, Error> {
        let mismatch = |found| self.mismatch(found, "two or more on an axis, each one of", false);
        axes.iter()
            .map(|axis| {
                let mut places = Vec::new();
                for name in axis {
                    let before = places.len();
                    places.extend(self.called(name, false).map(|[place, _]| place));
                    if places.len() == before {
                        return Err(mismatch(format!("data.same_axis names '{name}'")));
                    }
                }
                if places.len() < 2 {
                    return Err(mismatch(format!("data.same_axis has an axis of {} elements", places.len())));
                }
                Ok(places)
            })
            .collect()
    }

    /// The bodies of `data.seen_from`.
    ///
    /// # Errors
    /// A name that there is none of, an angle that is none, a body without points.
    pub fn bodies(&self, bodies: &[SeenFrom]) -> Result<Vec<Body>, Error> {
        let place = |name: &str, angle: bool| {
            self.called(name, angle).next().ok_or_else(|| {
                let expected = if angle { "an angle, one of" } else { "an element that is no angle, one of" };
                self.mismatch(format!("data.seen_from names '{name}'"), expected, angle)
            })
        };
        let both = |x: &str, y: &str| Ok([place(x, false)?[0], place(y, false)?[0]]);
        bodies
            .iter()
            .map(|SeenFrom { x, y, angle, points }| {
                if points.is_empty() {
                    let found = format!("data.seen_from at '{x}' has no points");
                    return Err(self.mismatch(found, "points = [[\"…\", \"…\"]], of", false));
                }
                let points = points.iter().map(|[x, y]| both(x, y)).collect::<Result<_, Error>>()?;
                Ok(Body { at: both(x, y)?, turned: place(angle, true)?, points })
            })
            .collect()
    }
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
        let axis = vec![Place::Hint(0), Place::State(1)];
        let element = |place| match place {
            Place::Hint(_) => Element { place, mean: 10.0, std: 2.0 },
            Place::State(_) => Element { place, mean: 4.0, std: 1.0 },
            Place::Action(_) => Element { place, mean: 0.0, std: 3.0 },
        };
        // 3, 7: mean 5, deviation 2.
        Differences::fit((&[axis], &[]), (3, 1), element, |_| vec![vec![8.0, 5.0], vec![12.0, 5.0]])
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
        assert!(d.ways().is_empty());
        let untouched = Tensor::<2>::ones([1, 2], &Device::default());
        assert_eq!(floats(Differences::NONE.renewed(untouched)), [1.0, 1.0]);
    }

    #[test]
    fn the_way_to_where_an_action_says() {
        let element = |place: Place| match place {
            Place::Action(_) => Element { place, mean: 1.0, std: 3.0 },
            _ => Element { place, mean: 4.0, std: 1.0 },
        };
        let axis = vec![Place::State(0), Place::Action(1), Place::Action(0)];
        let d = Differences::fit((&[axis], &[]), (2, 0), element, |_| vec![vec![8.0, 5.0], vec![12.0, 5.0]]);
        // Two ways from one element; nothing beside the elements, and none from an action to an action.
        assert_eq!((d.len(), d.ways().len()), (0, 2));
        let device = Device::default();
        let (e, action) =
            (Tensor::<2>::from_floats([[-1.0, 9.0]], &device), Tensor::from_floats([[0.0, 2.0]], &device));
        // From 4 - 1 = 3 to 1 + 3·2 = 7 and to 1, in deviations of 2.
        assert_eq!(floats(d.to_go(e, action)), [2.0, -1.0]);
    }

    #[test]
    fn a_point_as_a_turned_body_sees_it() {
        let [x, y, c, s, px, py] = [0, 1, 2, 3, 4, 5].map(Place::State);
        let body = Body { at: [x, y], turned: [c, s], points: vec![[px, py]] };
        let element = |place| Element { place, mean: if place == x { 1.0 } else { 0.0 }, std: 1.0 };
        // Turned by a quarter: (2, 1) - (0, 0) is seen at (1, -2), its opposite at (-1, 2): deviation √2.5.
        let quarter = std::f32::consts::FRAC_PI_2;
        let rows = |_: &[Place]| vec![vec![2.0, 1.0, 0.0, 0.0, quarter], vec![-2.0, -1.0, 0.0, 0.0, quarter]];
        let d = Differences::fit((&[], &[body]), (6, 0), element, rows);
        assert_eq!(d.len(), 2);
        // The body at (1 + 2, 5), turned by a quarter, told at twice the length; the point at (7, 8).
        let mut row = [2.0, 5.0, 0.0, 2.0, 7.0, 8.0, 99.0, 99.0];
        let e = Tensor::<2>::from_data([row], &Device::default());
        d.renew(&mut row);
        let scale = 2.5_f32.sqrt();
        for (found, expected) in row[6..].iter().zip([3.0 / scale, -4.0 / scale]) {
            assert!((found - expected).abs() < 1e-5, "{row:?}");
        }
        for (found, expected) in floats(d.renewed(e)).iter().zip(row) {
            assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
        }
    }

    #[test]
    fn elements_are_found_by_name_and_angles_are_none() -> Result<(), Error> {
        let (hints, state) = (names(&["block_x", "block_y", "block_turn"]), names(&["agent_x", "agent_y"]));
        let turning = Angles::named(&hints, &hints[2..], "data.hint_angles")?;
        let still = Angles::none(2);
        let (targets, free) = (names(&["target_x"]), Angles::none(1));
        let named = Named::new([(&hints, &turning), (&state, &still), (&targets, &free)]);
        let axes = |axes: &[&str]| named.axes(&[names(axes)]);
        assert_eq!(axes(&["agent_x", "block_x"])?, [[Place::State(0), Place::Hint(0)]]);
        assert_eq!(axes(&["target_x", "agent_x"])?, [[Place::Action(0), Place::State(0)]]);
        let known = "block_x, block_y, agent_x, agent_y, target_x";
        for (axis, found) in [
            (vec!["agent_x", "block_turn"], "data.same_axis names 'block_turn'"),
            (vec!["agent_x"], "data.same_axis has an axis of 1 elements"),
        ] {
            let words = axes(&axis).expect_err("cannot be").to_string();
            assert_eq!(words, format!("{found}; expected two or more on an axis, each one of: {known}"));
        }
        let from = |x: &str, angle: &str, points: &[[&str; 2]]| {
            let points = points.iter().map(|point| point.map(str::to_owned)).collect();
            named.bodies(&[SeenFrom { x: x.into(), y: "block_y".into(), angle: angle.into(), points }])
        };
        let agent = [["agent_x", "agent_y"]];
        let (at, turned) = ([Place::Hint(0), Place::Hint(1)], [Place::Hint(2), Place::Hint(3)]);
        let points = vec![[Place::State(0), Place::State(1)]];
        assert_eq!(from("block_x", "block_turn", &agent)?, [Body { at, turned, points }]);
        for (body, words) in [
            (
                from("block_turn", "block_turn", &agent),
                format!("data.seen_from names 'block_turn'; expected an element that is no angle, one of: {known}"),
            ),
            (
                from("block_x", "agent_x", &agent),
                "data.seen_from names 'agent_x'; expected an angle, one of: block_turn".into(),
            ),
            (
                from("block_x", "block_turn", &[]),
                format!("data.seen_from at 'block_x' has no points; expected points = [[\"…\", \"…\"]], of: {known}"),
            ),
        ] {
            assert_eq!(body.expect_err("cannot be").to_string(), words);
        }
        Ok(())
    }
}
