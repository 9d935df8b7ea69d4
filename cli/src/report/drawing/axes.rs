//! Round numbers along an axis, and how they are written.

/// The smallest range that holds all numbers, or one around the only one; `None` where there is none.
pub fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let held = values.filter(|v| v.is_finite()).fold(None, |held, v| match held {
        None => Some((v, v)),
        Some((low, high)) => Some((v.min(low), v.max(high))),
    });
    held.map(|(low, high)| if high > low { (low, high) } else { (low - 0.5, high + 0.5) })
}

/// Round numbers from `low` to `high`, a few.
pub fn ticks(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= 0.999 * rough).unwrap_or(rough);
    let (first, last) = ((low / step - 1e-6).ceil() as i64, (high / step + 1e-6).floor() as i64);
    (first..=last).map(|k| k as f64 * step).collect()
}

/// Powers of ten between two, given as logarithms; where there is but one, its doubles and fivefolds too, and where there are not even
/// these, round numbers.
pub fn decades(low: f64, high: f64) -> Vec<f64> {
    let powers: Vec<i32> = (low.floor() as i32..=high.ceil() as i32).collect();
    let between = |v: &f64| (low - 1e-6..=high + 1e-6).contains(&v.log10());
    let tens: Vec<f64> = powers.iter().map(|k| 10f64.powi(*k)).filter(between).collect();
    if tens.len() > 1 {
        return tens;
    }
    let all = powers.iter().flat_map(|k| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(*k)));
    let some: Vec<f64> = all.filter(between).collect();
    if some.len() > 2 { some } else { ticks(10f64.powf(low), 10f64.powf(high)) }
}

/// A share in percent, or a round number.
pub fn tick(v: f64, percent: bool) -> String {
    if percent { format!("{:.0} %", 100.0 * v) } else { plain(v) }
}

/// A round number without needless digits.
pub fn plain(v: f64) -> String {
    let text = format!("{v:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A number of any size, a few digits.
pub fn brief(v: f64) -> String {
    match v.abs() {
        a if a == 0.0 || (a >= 1.0 && v.fract() == 0.0) => format!("{v:.0}"),
        a if a >= 10.0 => format!("{v:.0}"),
        a if a >= 0.01 => format!("{v:.2}"),
        _ => format!("{v:.0e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_numbers() {
        let words = |low, high| ticks(low, high).into_iter().map(plain).collect::<Vec<_>>().join(" ");
        assert_eq!(words(0.0, 1.0), "0 0.2 0.4 0.6 0.8 1");
        assert_eq!(words(-0.05, 0.194), "-0.05 0 0.05 0.1 0.15");
        assert_eq!(words(20.0, 3980.0), "1000 2000 3000");
        assert_eq!(words(1.0, 64.0), "20 40 60");
        assert_eq!(decades(-3.4, 0.3), [0.001, 0.01, 0.1, 1.0]);
        assert_eq!(decades(-2.9, -1.6), [0.002, 0.005, 0.01, 0.02]);
        // From 0.52 to 1.77 there is one power of ten.
        assert_eq!(decades(-0.28, 0.248).into_iter().map(plain).collect::<Vec<_>>().join(" "), "0.75 1 1.25 1.5 1.75");
        assert_eq!(tick(0.25, true), "25 %");
    }

    #[test]
    fn a_range_is_never_empty() {
        assert_eq!(range([2.0, f64::NAN, -1.0].into_iter()), Some((-1.0, 2.0)));
        assert_eq!(range([2.0].into_iter()), Some((1.5, 2.5)));
        assert_eq!(range(std::iter::empty()), None);
    }
}
