//! Angles among the elements of a vector: a number that jumps where it wraps is told by its cosine and its sine.

use serde::{Deserialize, Serialize};

use crate::Error;

/// Which elements of a vector are angles, radians.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Angles {
    len: usize,
    at: Vec<usize>,
}

impl Angles {
    /// The elements of a vector with these `names` that are called so in `angles`.
    ///
    /// # Errors
    /// No element has that name; `setting` is where it was asked for.
    pub fn named(names: &[String], angles: &[String], setting: &str) -> Result<Self, Error> {
        let place = |angle: &String| {
            names.iter().position(|name| name == angle).ok_or_else(|| Error::Mismatch {
                found: format!("{setting} names '{angle}'"),
                expected: if names.is_empty() {
                    "no name: there are no elements".into()
                } else {
                    format!("one of: {}", names.join(", "))
                },
            })
        };
        let mut at = angles.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        at.sort_unstable();
        at.dedup();
        Ok(Self { len: names.len(), at })
    }

    /// None, in vectors of `len` elements.
    pub fn none(len: usize) -> Self {
        Self { len, at: Vec::new() }
    }

    /// Elements of a vector as it is recorded.
    pub fn raw_len(&self) -> usize {
        self.len
    }

    /// Elements after [`Self::spread`].
    pub fn spread_len(&self) -> usize {
        self.len + self.at.len()
    }

    /// Elements of a spread vector that are cosines or sines.
    pub fn circular(&self) -> impl Iterator<Item = usize> {
        self.at.iter().copied().chain(self.len..self.spread_len())
    }

    /// Rows `[.., D]` with the cosine in the place of every angle, and the sines behind: `[.., D + angles]`.
    pub fn spread(&self, rows: &[f32]) -> Vec<f32> {
        let mut out = Vec::with_capacity(rows.len() / self.len.max(1) * self.spread_len());
        for row in rows.chunks_exact(self.len.max(1)) {
            let start = out.len();
            out.extend_from_slice(row);
            out.extend(self.at.iter().map(|&i| row[i].sin()));
            self.at.iter().for_each(|&i| out[start + i] = row[i].cos());
        }
        out
    }

    /// The way back: angles between -π and π, whatever the length of cosine and sine.
    pub fn gather(&self, rows: &[f32]) -> Vec<f32> {
        let mut out = Vec::with_capacity(rows.len() / self.spread_len().max(1) * self.len);
        for row in rows.chunks_exact(self.spread_len().max(1)) {
            let start = out.len();
            out.extend_from_slice(&row[..self.len]);
            for (k, &i) in self.at.iter().enumerate() {
                out[start + i] = row[self.len + k].atan2(row[i]);
            }
        }
        out
    }

    /// Distance of two values of element `i`: around the circle where that is an angle.
    pub fn apart(&self, i: usize, a: f32, b: f32) -> f32 {
        let d = a - b;
        if self.at.contains(&i) { d.sin().atan2(d.cos()).abs() } else { d.abs() }
    }

    /// Where the sine stands in a spread vector of the angle whose cosine is element `i`.
    pub fn sine_of(&self, i: usize) -> Option<usize> {
        self.at.iter().position(|&at| at == i).map(|k| self.len + k)
    }

    /// Whether element `i` of a recorded vector is an angle.
    pub fn is_angle(&self, i: usize) -> bool {
        self.at.contains(&i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn an_angle_becomes_cosine_and_sine_and_comes_back_within_one_turn() -> Result<(), Error> {
        let angles = Angles::named(&names(&["x", "turn", "y"]), &names(&["turn"]), "data.hint_angles")?;
        let spread = angles.spread(&[1.0, 0.0, 2.0, 3.0, 4.0, 5.0]);
        for (x, expected) in spread.iter().zip([1.0, 1.0, 2.0, 0.0, 3.0, -0.653_643_6, 5.0, -0.756_802_5]) {
            assert!((x - expected).abs() < 1e-6, "{x} is not {expected}");
        }
        // 4 - 2π; twice the length is the same direction.
        let back = angles.gather(&[3.0, 2.0 * -0.653_643_6, 5.0, 2.0 * -0.756_802_5]);
        assert!((back[1] + 2.283_185_3).abs() < 1e-5 && back[0] == 3.0 && back[2] == 5.0, "{back:?}");
        assert!((angles.apart(1, 3.1, -3.1) - 0.083_185_3).abs() < 1e-5);
        assert!((angles.apart(0, 3.1, -3.1) - 6.2).abs() < 1e-5);
        assert_eq!((angles.raw_len(), angles.spread_len()), (3, 4));
        assert_eq!(angles.circular().collect::<Vec<_>>(), [1, 3]);
        assert_eq!((angles.sine_of(0), angles.sine_of(1)), (None, Some(3)));
        Ok(())
    }

    #[test]
    fn a_name_that_is_none_is_refused_with_those_there_are() {
        let error = Angles::named(&names(&["x", "y"]), &names(&["z"]), "data.hint_angles").expect_err("no such name");
        assert_eq!(error.to_string(), "data.hint_angles names 'z'; expected one of: x, y");
    }
}
