//! What a run file names for [`super::Differences`]: elements on one axis, bodies that turn, and where those are found.

use serde::{Deserialize, Serialize};

use super::Place;
use crate::Error;
use crate::angles::Angles;

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

/// The elements of a vector: their names, which are angles, and where they stand.
type Vector<'a> = (&'a [String], &'a Angles, fn(usize) -> Place);

/// Elements by name: hints first, then those of the state, then those of the action.
pub struct Named<'a> {
    vectors: [Vector<'a>; 3],
}

/// Places of all in `vectors` that is called so; of cosine and sine, where that is an angle.
fn called<'n>(vectors: &'n [Vector<'_>], name: &'n str, angle: bool) -> impl Iterator<Item = [Place; 2]> + 'n {
    vectors.iter().flat_map(move |(names, angles, place)| {
        let here = names.iter().enumerate().filter(move |(_, of)| *of == name);
        here.filter_map(move |(i, _)| match angles.sine_of(i) {
            Some(sine) => angle.then(|| [place(i), place(sine)]),
            None => (!angle).then(|| [place(i); 2]),
        })
    })
}

fn mismatch(vectors: &[Vector<'_>], found: String, expected: &str, angle: bool) -> Error {
    let known = vectors.iter().flat_map(|(names, angles, _)| {
        let of_kind = move |(i, _): &(usize, &String)| angles.is_angle(*i) == angle;
        names.iter().enumerate().filter(of_kind).map(|(_, name)| name.as_str())
    });
    let known: Vec<&str> = known.collect();
    let known = if known.is_empty() { "nothing: there are none".into() } else { known.join(", ") };
    Error::Mismatch { found, expected: format!("{expected}: {known}") }
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

    /// The elements called so on every axis of `data.same_axis`.
    ///
    /// # Errors
    /// A name that there is none of, or that is an angle; an axis with less than two elements, or with actions alone.
    pub fn axes(&self, axes: &[Vec<String>]) -> Result<Vec<Vec<Place>>, Error> {
        let mismatch = |found| mismatch(&self.vectors, found, "two or more on an axis, each one of", false);
        axes.iter()
            .map(|axis| {
                let mut places = Vec::new();
                for name in axis {
                    let before = places.len();
                    places.extend(called(&self.vectors, name, false).map(|[place, _]| place));
                    if places.len() == before {
                        return Err(mismatch(format!("data.same_axis names '{name}'")));
                    }
                }
                if places.len() < 2 {
                    return Err(mismatch(format!("data.same_axis has an axis of {} elements", places.len())));
                }
                if places.iter().all(|place| place.is_action()) {
                    return Err(mismatch("data.same_axis has an axis of actions alone".into()));
                }
                Ok(places)
            })
            .collect()
    }

    /// The bodies of `data.seen_from`: of hints and state, which are seen.
    ///
    /// # Errors
    /// A name that there is none of, an angle that is none, a body without points.
    pub fn bodies(&self, bodies: &[SeenFrom]) -> Result<Vec<Body>, Error> {
        let seen = &self.vectors[..2];
        let place = |name: &str, angle: bool| {
            called(seen, name, angle).next().ok_or_else(|| {
                let expected = if angle { "an angle, one of" } else { "an element that is no angle, one of" };
                mismatch(seen, format!("data.seen_from names '{name}'"), expected, angle)
            })
        };
        let both = |x: &str, y: &str| Ok([place(x, false)?[0], place(y, false)?[0]]);
        bodies
            .iter()
            .map(|SeenFrom { x, y, angle, points }| {
                if points.is_empty() {
                    let found = format!("data.seen_from at '{x}' has no points");
                    return Err(mismatch(seen, found, "points = [[\"…\", \"…\"]], of", false));
                }
                let points = points.iter().map(|[x, y]| both(x, y)).collect::<Result<_, Error>>()?;
                Ok(Body { at: both(x, y)?, turned: place(angle, true)?, points })
            })
            .collect()
    }
}
