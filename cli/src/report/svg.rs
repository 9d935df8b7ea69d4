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
    const LEFT: f64 = 84.0;
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
    let x = |v: f64| LEFT + (WIDTH - LEFT - RIGHT) * (v - low) / (high - low);
    let height = 28.0 + ROW * labels.len() as f64 + 22.0;
    let mut out = format!(
        "<svg width=\"{WIDTH}\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">",
        escaped(title)
    );
    // Writing to a String cannot fail.
    let _ = write!(out, "<text x=\"0\" y=\"14\" class=\"title\">{}</text>", escaped(title));
    let bottom = 28.0 + ROW * labels.len() as f64;
    for k in 0..=4 {
        let v = low + (high - low) * f64::from(k) / 4.0;
        let words = if percent { format!("{:.0} %", 100.0 * v) } else { format!("{v:.2}") };
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

/// Lines over a common axis; with `log` the vertical axis is logarithmic, unless a value is negative. Values that cannot be drawn
/// are left out.
pub fn lines(title: &str, x_label: &str, lines: &[Line<'_>], log: bool) -> String {
    const SIZE: (f64, f64) = (330.0, 200.0);
    const PAD: (f64, f64, f64, f64) = (56.0, 20.0, 26.0, 34.0); // left, right, top, bottom
    // Negative log-likelihoods fall below 0 as they are learned.
    let log = log && !lines.iter().flat_map(|l| &l.points).any(|p| p.1 < 0.0);
    let drawable = |p: &&(f64, f64)| p.1.is_finite() && (!log || p.1 > 0.0);
    let scale = |v: f64| if log { v.log10() } else { v };
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
    for k in 0..=3 {
        let v = y0 + (y1 - y0) * f64::from(k) / 3.0;
        let value = if log { 10f64.powf(v) } else { v };
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1}\" y2=\"{2:.1}\"/><text class=\"tick\" x=\"{3}\" y=\"{4:.1}\" text-anchor=\"end\">{5}</text>",
            PAD.0,
            SIZE.0 - PAD.1,
            y(v),
            PAD.0 - 6.0,
            y(v) + 4.0,
            brief(value)
        );
        let u = (x0 + (x1 - x0) * f64::from(k) / 3.0).round();
        let _ = write!(
            out,
            "<text class=\"tick\" x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            x(u),
            SIZE.1 - PAD.3 + 15.0,
            brief(u)
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
    }

    #[test]
    fn lines_skip_what_cannot_be_drawn() {
        let points = vec![(1.0, 0.1), (2.0, 0.0), (3.0, f64::NAN), (4.0, 10.0)];
        let svg = lines("error", "h", &[Line { label: "model", class: "model", points }], true);
        assert!(svg.contains("points=\"56.0,166.0 310.0,26.0\""), "{svg}");
        // From 0.1 to -10 on a straight axis.
        let points = vec![(1.0, 0.1), (4.0, -10.0)];
        let svg = lines("loss", "updates", &[Line { label: "loss", class: "model", points }], true);
        assert!(svg.contains("points=\"56.0,26.0 310.0,166.0\""), "{svg}");
        assert_eq!(lines("none", "h", &[], true), "");
    }
}
