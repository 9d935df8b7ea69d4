//! What was imagined against what is true: one point per policy, and the diagonal on which a perfect judge has them.

use std::fmt::Write;

use rl::track_record::is_bounded;

use super::axes::{range, tick, ticks};
use super::{escaped, mark, svg};

/// One score known in two ways.
pub struct Point<'a> {
    /// Written beside it where there is room; empty for none.
    pub label: &'a str,
    /// As it is, and its 95 % interval where that is known.
    pub truth: (f64, Option<[f64; 2]>),
    /// As imagined, and its interval.
    pub imagined: (f64, Option<[f64; 2]>),
}

/// Width and height of the drawing; what is left of, above, right of and below the square.
const SIZE: (f64, f64) = (480.0, 420.0);
const PAD: (f64, f64, f64, f64) = (72.0, 12.0, 26.0, 44.0);
/// What a letter of a label takes at most, and its line.
const LETTER: f64 = 6.2;
const LINE: f64 = 11.0;

/// Points with the bars of their intervals; `axes` name what is true and what is imagined, with units. Nothing without points.
pub fn scatter(axes: (&str, &str), points: &[Point<'_>], percent: bool) -> String {
    let both = |p: &Point<'_>| {
        [p.truth, p.imagined]
            .map(|(v, ci95)| [v; 2].into_iter().chain(ci95.filter(|&ci95| is_bounded(ci95)).unwrap_or([v; 2])))
    };
    let shares = percent.then_some([0.0, 1.0]).into_iter().flatten();
    let all = points.iter().flat_map(|p| both(p).into_iter().flatten());
    if points.is_empty() {
        return String::new();
    }
    let Some((low, high)) = range(all.chain(shares)) else { return String::new() };
    let (right, bottom) = (SIZE.0 - PAD.2, SIZE.1 - PAD.3);
    let x = |v: f64| PAD.0 + (right - PAD.0) * (v - low) / (high - low);
    let y = |v: f64| bottom - (bottom - PAD.1) * (v - low) / (high - low);
    let mut out = svg(SIZE.0, SIZE.1, &format!("{} against {}, a point each", axes.1, axes.0));
    // Writing to a String cannot fail.
    for v in ticks(low, high) {
        let (u, w, words) = (x(v), y(v), tick(v, percent));
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{u:.1} {0}V{bottom}M{1} {w:.1}H{right}\"/><text class=\"tick\" x=\"{u:.1}\" y=\"{2}\" text-anchor=\"middle\">{words}</text><text class=\"tick\" x=\"{3}\" y=\"{4:.1}\" text-anchor=\"end\">{words}</text>",
            PAD.1,
            PAD.0,
            bottom + 15.0,
            PAD.0 - 6.0,
            w + 4.0
        );
    }
    let (centre, middle) = (0.5 * (PAD.0 + right), 0.5 * (PAD.1 + bottom));
    let _ = write!(
        out,
        "<path class=\"diagonal\" d=\"M{} {bottom}L{right} {}\"/><text class=\"axis\" x=\"{centre}\" y=\"{}\" text-anchor=\"middle\">{}</text><text class=\"axis\" transform=\"translate(14 {middle}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        PAD.0,
        PAD.1,
        bottom + 34.0,
        escaped(axes.0),
        escaped(axes.1)
    );
    let mut taken: Vec<[f64; 4]> = points
        .iter()
        .map(|p| (x(p.truth.0), y(p.imagined.0)))
        .map(|(u, w)| [u - 5.0, u + 5.0, w - 5.0, w + 5.0])
        .collect();
    for p in points {
        let (u, w) = (x(p.truth.0), y(p.imagined.0));
        let _ = write!(
            out,
            "<g class=\"imagined\"><title>{}: {} {:.3}, {} {:.3}</title>",
            escaped(p.label),
            escaped(axes.0),
            p.truth.0,
            escaped(axes.1),
            p.imagined.0
        );
        for (ci95, upright) in [(p.truth.1, false), (p.imagined.1, true)] {
            let _ = match ci95.filter(|&ci95| is_bounded(ci95)) {
                Some([a, b]) if upright => write!(out, "<path class=\"bar\" d=\"M{u:.1} {:.1}V{:.1}\"/>", y(a), y(b)),
                Some([a, b]) => write!(out, "<path class=\"bar\" d=\"M{:.1} {w:.1}H{:.1}\"/>", x(a), x(b)),
                None => Ok(()),
            };
        }
        let _ = write!(out, "{}</g>", mark("imagined", u, w));
    }
    for p in points.iter().filter(|p| !p.label.is_empty()) {
        if let Some((at, anchor)) = place((x(p.truth.0), y(p.imagined.0)), p.label, (right, bottom), &mut taken) {
            let (u, w) = at;
            let _ = write!(
                out,
                "<text class=\"name\" x=\"{u:.1}\" y=\"{w:.1}\" text-anchor=\"{anchor}\">{}</text>",
                escaped(p.label)
            );
        }
    }
    out.push_str("</svg>");
    out
}

/// A free place for a label around its point: below right, above right, and to the left; `None` where there is none, and the label is
/// told by the pointer alone.
fn place(
    (u, w): (f64, f64),
    label: &str,
    (right, bottom): (f64, f64),
    taken: &mut Vec<[f64; 4]>,
) -> Option<((f64, f64), &'static str)> {
    let length = LETTER * label.chars().count() as f64;
    let side = |dx: f64, dy: f64, anchor: &'static str| {
        let left = if anchor == "start" { u + dx } else { u + dx - length };
        ([left, left + length, w + dy - LINE + 2.0, w + dy + 2.0], (u + dx, w + dy), anchor)
    };
    let around = [(7.0, 13.0), (7.0, -6.0), (7.0, 24.0), (7.0, -17.0)];
    let around = around.iter().flat_map(|&(dx, dy)| [side(dx, dy, "start"), side(-dx, dy, "end")]);
    let is_free = |[a, b, c, d]: [f64; 4]| {
        a >= PAD.0
            && b <= right + PAD.2
            && c >= 0.0
            && d <= bottom
            && taken.iter().all(|o| b < o[0] || a > o[1] || d < o[2] || c > o[3])
    };
    let (area, at, anchor) = around.into_iter().find(|(area, ..)| is_free(*area))?;
    taken.push(area);
    Some((at, anchor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_lies_where_truth_and_imagination_say_and_is_named_where_there_is_room() {
        let point = |truth: f64, imagined: f64, label: &'static str| Point {
            label,
            truth: (truth, Some([truth - 0.25, truth + 0.25])),
            imagined: (imagined, None),
        };
        let svg = scatter(("true success", "imagined success"), &[point(0.5, 0.25, "a<b")], true);
        // The square is 382 by 364 from (72, 376).
        assert!(svg.contains("cx=\"263.0\" cy=\"285.0\"") && svg.contains("M167.5 285.0H358.5"), "{svg}");
        assert!(svg.contains("<text class=\"name\" x=\"270.0\" y=\"298.0\" text-anchor=\"start\">a&lt;b</text>"));
        assert!(svg.contains("M72 376L454 12"), "the diagonal");
        // Of many at one place some have no name.
        let crowd: Vec<Point<'_>> = (0..20).map(|_| point(0.5, 0.5, "policy")).collect();
        let svg = scatter(("true success", "imagined success"), &crowd, true);
        let named = svg.matches(">policy</text>").count();
        assert!((1..=8).contains(&named) && svg.matches("<circle").count() == 20, "{named}");
        assert_eq!(scatter(("", ""), &[], true), "");
    }
}
