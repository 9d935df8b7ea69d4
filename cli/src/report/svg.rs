//! The two drawings of `report.html`: scores with whiskers, and lines over a horizon or over training.

use std::fmt::Write;

/// One mark with its interval on a common scale.
pub struct Whisker<'a> {
    /// Row label.
    pub label: &'a str,
    /// Class of the mark: `imagined` or `truth`.
    pub class: &'static str,
    /// Mean.
    pub mean: f64,
    /// 95 % interval.
    pub ci95: [f64; 2],
}

/// One line.
pub struct Line<'a> {
    /// Legend.
    pub label: &'a str,
    /// Class of the line, its colour.
    pub class: &'static str,
    /// Points, x rising.
    pub points: Vec<(f64, f64)>,
}

/// Text safe inside HTML and SVG.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Whiskers under each other, one row per label, several marks per row. `percent` writes shares.
pub fn whiskers(title: &str, marks: &[Whisker<'_>], percent: bool) -> String {
    const WIDTH: f64 = 430.0;
    /// Least room for labels, and what a letter takes.
    const LEFT: f64 = 84.0;
    const LETTER: f64 = 6.8;
    const RIGHT: f64 = 24.0;
    const ROW: f64 = 34.0;
    let mut labels: Vec<&str> = Vec::new();
    for mark in marks {
        if !labels.contains(&mark.label) {
            labels.push(mark.label);
        }
    }
    let low = marks.iter().map(|m| m.ci95[0]).fold(if percent { 0.0 } else { f64::MAX }, f64::min);
    let high = marks.iter().map(|m| m.ci95[1]).fold(if percent { 1.0 } else { f64::MIN }, f64::max);
    let (low, high) = if high > low { (low, high) } else { (low - 0.5, low + 0.5) };
    let longest = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    let left = LEFT.max(LETTER * longest as f64 + 14.0).min(0.6 * WIDTH);
    let x = |v: f64| left + (WIDTH - left - RIGHT) * (v - low) / (high - low);
    let height = 28.0 + ROW * labels.len() as f64 + 22.0;
    let mut out = format!(
        "<svg width=\"{WIDTH}\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">",
        escaped(title)
    );
    // Writing to a String cannot fail.
    let _ = write!(out, "<text x=\"0\" y=\"14\" class=\"title\">{}</text>", escaped(title));
    let bottom = 28.0 + ROW * labels.len() as f64;
    for v in ticks(low, high) {
        let words = if percent { format!("{:.0} %", 100.0 * v) } else { plain(v) };
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"24\" y2=\"{bottom}\"/><text class=\"tick\" x=\"{0:.1}\" y=\"{1}\" text-anchor=\"middle\">{words}</text>",
            x(v),
            bottom + 15.0
        );
    }
    for (row, label) in labels.iter().enumerate() {
        let here: Vec<&Whisker<'_>> = marks.iter().filter(|m| m.label == *label).collect();
        let middle = 28.0 + ROW * (row as f64 + 0.5);
        let _ = write!(out, "<text class=\"label\" x=\"0\" y=\"{:.1}\">{}</text>", middle + 4.0, escaped(label));
        for (i, m) in here.iter().enumerate() {
            let y = middle + 11.0 * (i as f64 - (here.len() as f64 - 1.0) / 2.0);
            let _ = write!(
                out,
                "<g class=\"{}\"><title>{}: {:.3} [{:.3}, {:.3}]</title><line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4.5\"/></g>",
                m.class,
                m.class,
                m.mean,
                m.ci95[0],
                m.ci95[1],
                x(m.ci95[0]),
                x(m.ci95[1]),
                x(m.mean)
            );
        }
    }
    out.push_str("</svg>");
    out
}

/// Lines over a common axis; with `log` the vertical axis is logarithmic, where a value is negative an inverse hyperbolic sine: a first
/// loss that is far off hides nothing. Values that cannot be drawn are left out.
pub fn lines(title: &str, x_label: &str, lines: &[Line<'_>], log: bool) -> String {
    const SIZE: (f64, f64) = (330.0, 200.0);
    const PAD: (f64, f64, f64, f64) = (56.0, 20.0, 26.0, 34.0); // left, right, top, bottom
    // Negative log-likelihoods fall below 0 as they are learned.
    let is_signed = log && lines.iter().flat_map(|l| &l.points).any(|p| p.1 < 0.0);
    let log = log && !is_signed;
    let drawable = |p: &&(f64, f64)| p.1.is_finite() && (!log || p.1 > 0.0);
    let usual = if is_signed { usual_size(lines) } else { 1.0 };
    let scale = |v: f64| match (log, is_signed) {
        (true, _) => v.log10(),
        (_, true) => (v / usual).asinh(),
        _ => v,
    };
    let all = || lines.iter().flat_map(|l| l.points.iter().filter(drawable));
    if all().next().is_none() {
        return String::new();
    }
    let range = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
        if high > low { (low, high) } else { (low - 0.5, high + 0.5) }
    };
    let (x0, x1) = range(&mut all().map(|p| p.0));
    let (y0, y1) = range(&mut all().map(|p| scale(p.1)));
    let x = |v: f64| PAD.0 + (SIZE.0 - PAD.0 - PAD.1) * (v - x0) / (x1 - x0);
    let y = |v: f64| SIZE.1 - PAD.3 - (SIZE.1 - PAD.2 - PAD.3) * (v - y0) / (y1 - y0);
    let mut out = format!(
        "<svg width=\"{0}\" viewBox=\"0 0 {0} {1}\" role=\"img\" aria-label=\"{2}\">",
        SIZE.0,
        SIZE.1,
        escaped(title)
    );
    let _ = write!(out, "<text x=\"0\" y=\"14\" class=\"title\">{}</text>", escaped(title));
    let heights: Vec<f64> = match (log, is_signed) {
        (true, _) => decades(y0, y1),
        (_, true) => (0..=3).map(|k| usual * (y0 + (y1 - y0) * f64::from(k) / 3.0).sinh()).collect(),
        _ => ticks(y0, y1),
    };
    for value in heights {
        let at = y(scale(value));
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{0}\" x2=\"{1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text class=\"tick\" x=\"{2}\" y=\"{3:.1}\" text-anchor=\"end\">{4}</text>",
            PAD.0,
            SIZE.0 - PAD.1,
            PAD.0 - 6.0,
            at + 4.0,
            brief(value)
        );
    }
    for u in ticks(x0, x1) {
        let _ = write!(
            out,
            "<text class=\"tick\" x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            x(u),
            SIZE.1 - PAD.3 + 15.0,
            plain(u)
        );
    }
    let _ = write!(
        out,
        "<text class=\"tick\" x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        (PAD.0 + SIZE.0 - PAD.1) / 2.0,
        SIZE.1 - 4.0,
        escaped(x_label)
    );
    for line in lines {
        let points: Vec<String> =
            line.points.iter().filter(drawable).map(|p| format!("{:.1},{:.1}", x(p.0), y(scale(p.1)))).collect();
        let _ = write!(
            out,
            "<polyline class=\"{}\" points=\"{}\"><title>{}</title></polyline>",
            line.class,
            points.join(" "),
            escaped(line.label)
        );
    }
    out.push_str("</svg>");
    out
}

/// Median size of the values of lines, above 0.
fn usual_size(lines: &[Line<'_>]) -> f64 {
    let mut sizes: Vec<f64> =
        lines.iter().flat_map(|l| &l.points).map(|p| p.1.abs()).filter(|size| size.is_finite()).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.get(sizes.len() / 2).copied().unwrap_or(1.0).max(1e-9)
}

/// Round numbers from `low` to `high`, a few.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= 0.999 * rough).unwrap_or(rough);
    let (first, last) = ((low / step - 1e-6).ceil() as i64, (high / step + 1e-6).floor() as i64);
    (first..=last).map(|k| k as f64 * step).collect()
}

/// Powers of ten between two, given as logarithms; where there is but one, its doubles and fivefolds too.
fn decades(low: f64, high: f64) -> Vec<f64> {
    let powers: Vec<i32> = (low.floor() as i32..=high.ceil() as i32).collect();
    let between = |v: &f64| (low - 1e-6..=high + 1e-6).contains(&v.log10());
    let tens: Vec<f64> = powers.iter().map(|k| 10f64.powi(*k)).filter(between).collect();
    if tens.len() > 1 {
        return tens;
    }
    let all = powers.iter().flat_map(|k| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(*k)));
    let some: Vec<f64> = all.filter(between).collect();
    if some.len() > 1 { some } else { vec![10f64.powf(low), 10f64.powf(high)] }
}

/// A round number without needless digits.
fn plain(v: f64) -> String {
    let text = format!("{v:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A number on an axis, a few digits.
fn brief(v: f64) -> String {
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
    fn marks_lie_where_their_values_are() {
        let marks = [Whisker { label: "a<b", class: "imagined", mean: 0.5, ci95: [0.25, 0.75] }];
        let svg = whiskers("success", &marks, true);
        // From 84 to 406: a half is 245.
        assert!(svg.contains("cx=\"245.0\"") && svg.contains("x1=\"164.5\" x2=\"325.5\""), "{svg}");
        assert!(svg.contains("a&lt;b") && !svg.contains("a<b"));
        // A long label pushes the axis to the right: 20 letters take 150.
        let long = [Whisker { label: "improved+noise:0.125", class: "imagined", mean: 0.0, ci95: [0.0, 1.0] }];
        assert!(whiskers("success", &long, true).contains("cx=\"150.0\""));
    }

    #[test]
    fn lines_skip_what_cannot_be_drawn() {
        let points = vec![(1.0, 0.1), (2.0, 0.0), (3.0, f64::NAN), (4.0, 10.0)];
        let svg = lines("error", "h", &[Line { label: "model", class: "model", points }], true);
        assert!(svg.contains("points=\"56.0,166.0 310.0,26.0\""), "{svg}");
        // From 0.1 to -10: the ends of the axis, however it is bent.
        let points = vec![(1.0, 0.1), (4.0, -10.0)];
        let svg = lines("loss", "updates", &[Line { label: "loss", class: "model", points }], true);
        assert!(svg.contains("points=\"56.0,26.0 310.0,166.0\""), "{svg}");
        assert_eq!(lines("none", "h", &[], true), "");
    }

    #[test]
    fn axes_have_round_numbers() {
        let words = |low, high| ticks(low, high).into_iter().map(plain).collect::<Vec<_>>().join(" ");
        assert_eq!(words(0.0, 1.0), "0 0.2 0.4 0.6 0.8 1");
        assert_eq!(words(-0.05, 0.194), "-0.05 0 0.05 0.1 0.15");
        assert_eq!(words(20.0, 3980.0), "1000 2000 3000");
        assert_eq!(words(1.0, 64.0), "20 40 60");
        assert_eq!(decades(-3.4, 0.3), [0.001, 0.01, 0.1, 1.0]);
        assert_eq!(decades(-2.9, -2.2), [0.002, 0.005]);
    }
}
