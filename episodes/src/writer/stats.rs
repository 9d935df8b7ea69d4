//! Statistics of one feature as LeRobot keeps them: per episode in its list, and over the dataset in `stats.json`.

use serde_json::{Value, json};

/// LeRobot's quantiles.
const QUANTILES: [(&str, f64); 5] = [("q01", 0.01), ("q10", 0.10), ("q50", 0.50), ("q90", 0.90), ("q99", 0.99)];

/// What every dataset has of every feature, beside `count`. Quantiles came later.
const BASIC: [&str; 4] = ["min", "max", "mean", "std"];

/// Of one element of a vector, or one colour channel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Element {
    /// In the order of [`BASIC`].
    basic: [f64; BASIC.len()],
    /// In the order of [`QUANTILES`].
    quantiles: [f64; QUANTILES.len()],
}

/// Of all elements of a feature over some steps.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stats {
    elements: Vec<Element>,
    /// Steps, or frames, that were looked at.
    count: u64,
    has_quantiles: bool,
}

impl Stats {
    /// Of rows of `len` elements each.
    pub(super) fn of_rows(values: impl Iterator<Item = f64>, len: usize) -> Stats {
        let mut columns = vec![Vec::new(); len];
        for (i, x) in values.enumerate() {
            columns[i % len].push((x, 1));
        }
        let count = columns.first().map_or(0, Vec::len) as u64;
        for column in &mut columns {
            column.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        Stats { elements: columns.iter().map(|c| Element::of(c)).collect(), count, has_quantiles: true }
    }

    /// Of pictures, from how often each brightness occurs in `frames` of them, per colour channel; 0 to 1.
    pub(super) fn of_pictures(histogram: &[[u64; 256]; 3], frames: u64) -> Stats {
        let channel = |counts: &[u64; 256]| {
            let values = counts.iter().enumerate().filter(|&(_, &n)| n > 0);
            Element::of(&values.map(|(value, &n)| (value as f64 / 255.0, n)).collect::<Vec<_>>())
        };
        Stats { elements: histogram.iter().map(channel).collect(), count: frames, has_quantiles: true }
    }

    /// Of these and other steps together. Quantiles of two sets are not a function of theirs; as in LeRobot they are
    /// averaged, weighted by steps.
    pub(super) fn merge(&self, other: &Stats) -> Stats {
        let (n, m) = (self.count as f64, other.count as f64);
        let share = |a: f64, b: f64| if n + m > 0.0 { (n * a + m * b) / (n + m) } else { 0.0 };
        let elements = self.elements.iter().zip(&other.elements).map(|(a, b)| {
            let ([a_min, a_max, a_mean, a_std], [b_min, b_max, b_mean, b_std]) = (a.basic, b.basic);
            let mean = share(a_mean, b_mean);
            // The spread of a set about the common mean is its own and that of its mean.
            let about = |std: f64, x: f64| std * std + (x - mean) * (x - mean);
            let std = share(about(a_std, a_mean), about(b_std, b_mean)).sqrt();
            let quantiles = std::array::from_fn(|q| share(a.quantiles[q], b.quantiles[q]));
            Element { basic: [a_min.min(b_min), a_max.max(b_max), mean, std], quantiles }
        });
        let has_quantiles = self.has_quantiles && other.has_quantiles;
        Stats { elements: elements.collect(), count: self.count + other.count, has_quantiles }
    }

    /// From an entry of `stats.json`; `Err` is the name of what is not there.
    pub(super) fn read(entry: &Value) -> Result<Stats, &'static str> {
        let leaves = |name: &'static str| {
            let mut leaves = Vec::new();
            flatten(&entry[name], &mut leaves);
            if leaves.is_empty() { Err(name) } else { Ok(leaves) }
        };
        let basic = [leaves(BASIC[0])?, leaves(BASIC[1])?, leaves(BASIC[2])?, leaves(BASIC[3])?];
        let quantiles: Option<Vec<Vec<f64>>> = QUANTILES.iter().map(|(name, _)| leaves(name).ok()).collect();
        let has_quantiles = quantiles.is_some();
        let quantiles = quantiles.unwrap_or_else(|| vec![Vec::new(); QUANTILES.len()]);
        let at = |of: &[Vec<f64>], which: usize, i: usize| of[which].get(i).copied().unwrap_or(0.0);
        let elements = (0..basic[0].len()).map(|i| Element {
            basic: std::array::from_fn(|which| at(&basic, which, i)),
            quantiles: std::array::from_fn(|which| at(&quantiles, which, i)),
        });
        let count = leaves("count")?[0].max(0.0) as u64;
        Ok(Stats { elements: elements.collect(), count, has_quantiles })
    }

    /// As an entry of `stats.json`; each element as `[[x]]` where it is a colour channel.
    pub(super) fn json(&self, is_camera: bool) -> Value {
        let nest = |x: &f64| if is_camera { json!([[x]]) } else { json!(x) };
        let all = self.named().into_iter().map(|(name, values)| (name.to_owned(), values.iter().map(nest).collect()));
        let mut entry: serde_json::Map<String, Value> = all.collect();
        entry.insert("count".to_owned(), json!([self.count]));
        Value::Object(entry)
    }

    /// Steps, or frames, that were looked at.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The other statistics by LeRobot's names, a value per element.
    pub(super) fn named(&self) -> Vec<(&'static str, Vec<f64>)> {
        let basic = BASIC.iter().enumerate().map(|(i, &name)| (name, self.each(|e| e.basic[i])));
        let quantiles = QUANTILES.iter().enumerate().map(|(i, &(name, _))| (name, self.each(|e| e.quantiles[i])));
        basic.chain(quantiles.filter(|_| self.has_quantiles)).collect()
    }

    fn each(&self, of: impl Fn(&Element) -> f64) -> Vec<f64> {
        self.elements.iter().map(of).collect()
    }
}

impl Element {
    /// Of values in rising order, each with how often it occurs.
    fn of(sorted: &[(f64, u64)]) -> Element {
        let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else { return Element::default() };
        let n: u64 = sorted.iter().map(|&(_, n)| n).sum();
        let mean_of = |f: &dyn Fn(f64) -> f64| sorted.iter().map(|&(x, n)| n as f64 * f(x)).sum::<f64>() / n as f64;
        let mean = mean_of(&|x| x);
        let std = mean_of(&|x| (x - mean) * (x - mean)).sqrt();
        let at = |rank: u64| {
            let mut seen = 0;
            let reached = |&&(_, n): &&(f64, u64)| {
                seen += n;
                seen > rank
            };
            sorted.iter().find(reached).map_or(last.0, |&(x, _)| x)
        };
        // Between two values in proportion, as numpy does.
        let quantile = |q: f64| {
            let rank = q * (n - 1) as f64;
            let (low, high) = (at(rank.floor() as u64), at(rank.ceil() as u64));
            low + (high - low) * rank.fract()
        };
        let quantiles = std::array::from_fn(|i| quantile(QUANTILES[i].1));
        Element { basic: [first.0, last.0, mean, std], quantiles }
    }
}

/// The numbers in nested lists, in order; booleans count as 0 and 1.
fn flatten(value: &Value, leaves: &mut Vec<f64>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| flatten(item, leaves)),
        Value::Bool(flag) => leaves.push(f64::from(u8::from(*flag))),
        value => leaves.extend(value.as_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_give_what_numpy_gives() {
        // numpy: min, max, mean, std and quantile of [3, 1, 2, 10], and of a constant.
        let stats = Stats::of_rows([3.0, 7.0, 1.0, 7.0, 2.0, 7.0, 10.0, 7.0].into_iter(), 2);
        let named: std::collections::BTreeMap<_, _> = stats.named().into_iter().collect();
        assert_eq!((named["min"][0], named["max"][0], named["mean"][0]), (1.0, 10.0, 4.0));
        assert!((named["std"][0] - 12.5f64.sqrt()).abs() < 1e-12);
        assert!((named["q50"][0] - 2.5).abs() < 1e-12 && (named["q90"][0] - 7.9).abs() < 1e-12);
        assert!((named["q01"][0] - 1.03).abs() < 1e-12);
        assert_eq!((named["std"][1], named["q99"][1], stats.count()), (0.0, 7.0, 4));
    }

    #[test]
    fn pictures_count_as_their_pixels_do() {
        let mut histogram = [[0; 256]; 3];
        histogram[0][0] = 3;
        histogram[0][255] = 1;
        histogram[1][51] = 4;
        histogram[2][51] = 4;
        let stats = Stats::of_pictures(&histogram, 1);
        let pixels = [0.0, 0.2, 0.2, 0.0, 0.2, 0.2, 0.0, 0.2, 0.2, 1.0, 0.2, 0.2];
        let rows = Stats::of_rows(pixels.into_iter(), 3);
        assert_eq!((stats.elements.clone(), stats.count()), (rows.elements, 1));
        assert_eq!(stats.json(true)["max"], json!([[[1.0]], [[0.2]], [[0.2]]]));
    }

    #[test]
    fn two_sets_together_are_their_union_and_survive_json() {
        let (a, b) = ([1.0, 4.0, 2.0], [8.0, 0.5]);
        let both = Stats::of_rows(a.into_iter(), 1).merge(&Stats::of_rows(b.into_iter(), 1));
        let whole = Stats::of_rows(a.into_iter().chain(b), 1);
        assert_eq!(both.count, 5);
        for (x, y) in both.elements[0].basic.iter().zip(whole.elements[0].basic) {
            assert!((x - y).abs() < 1e-12);
        }
        assert!((both.elements[0].quantiles[2] - (3.0 * 2.0 + 2.0 * 4.25) / 5.0).abs() < 1e-12);
        assert_eq!(Stats::read(&both.json(false)), Ok(both.clone()));
        assert_eq!(Stats::read(&both.json(true)), Ok(both.clone()));
        let mut old = both.json(false);
        old.as_object_mut().expect("an entry").retain(|name, _| !name.starts_with('q'));
        assert!(!Stats::read(&old).expect("the basic ones are there").merge(&both).has_quantiles);
        old["std"] = Value::Null;
        assert_eq!(Stats::read(&old), Err("std"));
    }
}
