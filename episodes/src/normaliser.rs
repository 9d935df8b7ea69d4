//! Per-element normalisation fitted on recorded rows: zero mean, unit standard deviation, exact way back.

use serde::{Deserialize, Serialize};

/// Smallest standard deviation as a share of the element's range, so that one rare jump in an otherwise still
/// channel does not blow noise up to many standard deviations.
const STD_FLOOR_OF_RANGE: f64 = 1e-3;

/// A range this small against the element's magnitude is rounding of a constant in `f32`.
const CONSTANT_RELATIVE_RANGE: f64 = 1e-6;

/// `x_norm = (x - mean) / std` per element, for vectors of `D` elements.
///
/// Statistics always come from the rows themselves, never from a dataset's own metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normaliser {
    /// Mean of each element `[D]`, raw units.
    pub mean: Vec<f32>,
    /// Standard deviation of each element `[D]`, raw units; at least a thousandth of the range, 1 where constant.
    pub std: Vec<f32>,
    /// Smallest value of each element `[D]`, raw units.
    pub min: Vec<f32>,
    /// Largest value of each element `[D]`, raw units.
    pub max: Vec<f32>,
}

impl Normaliser {
    /// Fits to `rows` of `dim` elements each; give it the rows of the training episodes only.
    ///
    /// Non-finite elements are ignored. An element without any finite value, or with a constant one, gets `std` 1
    /// and so normalises to 0.
    ///
    /// # Panics
    /// If a row does not have `dim` elements.
    pub fn fit<'a>(rows: impl IntoIterator<Item = &'a [f32]>, dim: usize) -> Self {
        let mut moments = vec![Moments::default(); dim];
        for row in rows {
            assert_eq!(row.len(), dim, "every row given to a normaliser has the same number of elements");
            for (m, &x) in moments.iter_mut().zip(row) {
                m.add(f64::from(x));
            }
        }
        Self {
            mean: moments.iter().map(|m| m.mean() as f32).collect(),
            std: moments.iter().map(|m| floored_std(m) as f32).collect(),
            min: moments.iter().map(|m| m.min() as f32).collect(),
            max: moments.iter().map(|m| m.max() as f32).collect(),
        }
    }

    /// Leaves vectors of `dim` elements as they are: mean 0, standard deviation 1, range -1 to 1.
    pub fn identity(dim: usize) -> Self {
        Self { mean: vec![0.0; dim], std: vec![1.0; dim], min: vec![-1.0; dim], max: vec![1.0; dim] }
    }

    /// Elements per row `D`.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// Raw units to normalised, `values` `[.., D]` into `out` `[.., D]`.
    ///
    /// # Panics
    /// If the lengths differ or are not a multiple of `D`.
    pub fn normalise(&self, values: &[f32], out: &mut [f32]) {
        self.check(values, out);
        let d = self.dim().max(1);
        for (i, (y, &x)) in out.iter_mut().zip(values).enumerate() {
            *y = (x - self.mean[i % d]) / self.std[i % d];
        }
    }

    /// Smallest and largest value that was seen of every element, normalised.
    pub fn range(&self) -> Vec<[f32; 2]> {
        let side = |raw: &[f32]| {
            let mut out = vec![0.0; raw.len()];
            self.normalise(raw, &mut out);
            out
        };
        side(&self.min).into_iter().zip(side(&self.max)).map(|(low, high)| [low, high]).collect()
    }

    /// Normalised to raw units, `values` `[.., D]` into `out` `[.., D]`.
    ///
    /// # Panics
    /// If the lengths differ or are not a multiple of `D`.
    pub fn denormalise(&self, values: &[f32], out: &mut [f32]) {
        self.check(values, out);
        let d = self.dim().max(1);
        for (i, (y, &x)) in out.iter_mut().zip(values).enumerate() {
            *y = x * self.std[i % d] + self.mean[i % d];
        }
    }

    fn check(&self, values: &[f32], out: &[f32]) {
        assert_eq!(values.len(), out.len(), "normalisation writes as many values as it reads");
        let whole_rows = if self.dim() == 0 { values.is_empty() } else { values.len().is_multiple_of(self.dim()) };
        assert!(whole_rows, "{} values are not whole rows of {}", values.len(), self.dim());
    }
}

fn floored_std(m: &Moments) -> f64 {
    let range = m.max() - m.min();
    let magnitude = m.max().abs().max(m.min().abs());
    if range <= CONSTANT_RELATIVE_RANGE * magnitude || range == 0.0 {
        1.0
    } else {
        m.std().max(STD_FLOOR_OF_RANGE * range)
    }
}

/// Running count, mean, variance (Welford), minimum and maximum of the finite values seen, in `f64`.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    pub(crate) count: u64,
    mean: f64,
    m2: f64,
    min: f64,
    max: f64,
}

impl Default for Moments {
    fn default() -> Self {
        Self { count: 0, mean: 0.0, m2: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY }
    }
}

impl Moments {
    /// Takes one value in; non-finite ones are ignored.
    pub(crate) fn add(&mut self, x: f64) {
        if !x.is_finite() {
            return;
        }
        self.count += 1;
        let delta = x - self.mean;
        self.mean += delta / self.count as f64;
        self.m2 += delta * (x - self.mean);
        self.min = self.min.min(x);
        self.max = self.max.max(x);
    }

    /// Mean; 0 when nothing was seen.
    pub(crate) fn mean(&self) -> f64 {
        self.mean
    }

    /// Population standard deviation; 0 when nothing was seen.
    pub(crate) fn std(&self) -> f64 {
        if self.count == 0 { 0.0 } else { (self.m2 / self.count as f64).max(0.0).sqrt() }
    }

    /// Smallest value; 0 when nothing was seen.
    pub(crate) fn min(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.min }
    }

    /// Largest value; 0 when nothing was seen.
    pub(crate) fn max(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    #[test]
    fn the_way_there_and_back_is_the_identity_and_the_fit_is_unit_normal() {
        for seed in 0..20u64 {
            let mut rng = StdRng::seed_from_u64(seed);
            let (dim, rows) = (rng.random_range(1..7), rng.random_range(2..200));
            let scale: Vec<f32> = (0..dim).map(|_| 10f32.powf(rng.random_range(-3.0..3.0))).collect();
            let shift: Vec<f32> = (0..dim).map(|_| rng.random_range(-5.0..5.0f32)).collect();
            let data: Vec<f32> =
                (0..rows * dim).map(|i| shift[i % dim] + scale[i % dim] * rng.random_range(-1.0..1.0f32)).collect();
            let n = Normaliser::fit(data.chunks(dim), dim);
            let (mut y, mut back) = (vec![0.0; data.len()], vec![0.0; data.len()]);
            n.normalise(&data, &mut y);
            n.denormalise(&y, &mut back);
            for (i, (a, b)) in data.iter().zip(&back).enumerate() {
                let tolerance = 1e-5 * (shift[i % dim].abs() + scale[i % dim]);
                assert!((a - b).abs() <= tolerance, "seed {seed}, element {i}: {a} came back as {b}");
            }
            let refit = Normaliser::fit(y.chunks(dim), dim);
            for d in 0..dim {
                assert!(refit.mean[d].abs() < 1e-3, "seed {seed}: mean {}", refit.mean[d]);
                assert!((refit.std[d] - 1.0).abs() < 1e-3, "seed {seed}: std {}", refit.std[d]);
            }
        }
    }

    #[test]
    fn constant_and_missing_elements_normalise_to_zero() {
        let rows = [[0.1f32, f32::NAN], [0.1, f32::NAN], [0.1, f32::NAN]];
        let n = Normaliser::fit(rows.iter().map(|r| r.as_slice()), 2);
        assert_eq!(n.std, vec![1.0, 1.0]);
        let mut out = [9.0; 2];
        n.normalise(&[0.1, 0.0], &mut out);
        assert!(out[0].abs() < 1e-6 && out[1] == 0.0, "{out:?}");
    }

    #[test]
    fn a_rare_jump_does_not_shrink_the_scale_below_a_thousandth_of_the_range() {
        let mut rows = vec![[0.0f32]; 10_000_000 / 1000];
        rows.extend(vec![[0.0f32]; 5_000_000]);
        rows.push([1.0]);
        let n = Normaliser::fit(rows.iter().map(|r| r.as_slice()), 1);
        assert_eq!(n.std, vec![1e-3]);
    }
}
