//! Lines over a horizon or over training.

use std::fmt::Write;

use super::axes::{brief, decades, plain, range, ticks};
use super::{escaped, svg};

/// One line.
pub struct Line<'a> {
    /// Legend.
    pub label: &'a str,
    /// Class of the line, its colour.
    pub class: &'static str,
    /// Points, x rising.
    pub points: Vec<(f64, f64)>,
}

/// Lines over a common axis; with `log` the vertical axis is logarithmic, where a value is negative an inverse hyperbolic sine: a first
/// loss that is far off hides nothing. Values that cannot be drawn are left out.
///
/// `axes` name what goes across and what goes up, with units. Nothing without points.
pub fn lines(axes: (&str, &str), lines: &[Line<'_>], log: bool) -> String {
    const SIZE: (f64, f64) = (340.0, 214.0);
    const PAD: (f64, f64, f64, f64) = (56.0, 14.0, 24.0, 36.0); // left, right, top, bottom
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
    let (Some((x0, x1)), Some((y0, y1))) = (range(all().map(|p| p.0)), range(all().map(|p| scale(p.1)))) else {
        return String::new();
    };
    let x = |v: f64| PAD.0 + (SIZE.0 - PAD.0 - PAD.1) * (v - x0) / (x1 - x0);
    let y = |v: f64| SIZE.1 - PAD.3 - (SIZE.1 - PAD.2 - PAD.3) * (v - y0) / (y1 - y0);
    let named = lines.iter().filter(|line| !line.points.is_empty()).map(|line| line.label);
    let about = format!("{} over {}: {}", axes.1, axes.0, named.collect::<Vec<_>>().join(", "));
    let mut out = svg(SIZE.0, SIZE.1, &about);
    // Writing to a String cannot fail.
    let _ = write!(out, "<text x=\"0\" y=\"12\" class=\"axis\">{}</text>", escaped(axes.1));
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
        "<text class=\"axis\" x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        (PAD.0 + SIZE.0 - PAD.1) / 2.0,
        SIZE.1 - 4.0,
        escaped(axes.0)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_skip_what_cannot_be_drawn() {
        let points = vec![(1.0, 0.1), (2.0, 0.0), (3.0, f64::NAN), (4.0, 10.0)];
        let svg = lines(("h", "error"), &[Line { label: "model", class: "model", points }], true);
        assert!(svg.contains("points=\"56.0,178.0 326.0,24.0\""), "{svg}");
        // From 0.1 to -10: the ends of the axis, however it is bent.
        let points = vec![(1.0, 0.1), (4.0, -10.0)];
        let svg = lines(("updates", "loss"), &[Line { label: "loss", class: "model", points }], true);
        assert!(svg.contains("points=\"56.0,24.0 326.0,178.0\""), "{svg}");
        assert_eq!(lines(("h", "none"), &[], true), "");
    }
}
