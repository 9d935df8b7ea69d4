//! Scores with whiskers, under each other on one scale.

use std::fmt::Write;

use rl::track_record::is_bounded;

use super::super::markdown::between;
use super::axes::{range, tick, ticks};
use super::{escaped, mark, svg};

/// One mark with its interval on a common scale.
pub struct Whisker<'a> {
    /// Row label.
    pub label: &'a str,
    /// Class of the mark: `imagined`, `truth`, `fqe` or `doubly-robust`.
    pub class: &'static str,
    /// Mean.
    pub mean: f64,
    /// 95 % interval.
    pub ci95: [f64; 2],
}

impl Whisker<'_> {
    /// The interval where it is known.
    fn known(&self) -> Option<[f64; 2]> {
        Some(self.ci95).filter(|&ci95| is_bounded(ci95))
    }
}

/// What numbers go along a scale.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Shares, written in percent, from 0 to 1 at least.
    Share,
    /// Differences: 0 is among them.
    Gain,
    /// Any numbers.
    Plain,
}

/// Least width of a drawing, and of the part right of the labels.
const WIDTH: f64 = 480.0;
const ROOM: f64 = 260.0;
/// Least room for labels, what a letter takes at most, and what is between them and the scale.
const LABELS: f64 = 84.0;
const LETTER: f64 = 6.8;
const GAP: f64 = 16.0;
/// Between the end of the scale and the border: marks and numbers at the end are whole.
const END: f64 = 20.0;
/// From one mark of a row to the next, and around them.
const BESIDE: f64 = 11.0;
const ROW: f64 = 20.0;
/// Half of the line across an end, which shows also whiskers of no length.
const CAP: f64 = 4.0;

/// Whiskers under each other, one row per label, several marks per row; `axis` names the scale with its unit. Nothing without marks.
pub fn whiskers(axis: &str, marks: &[Whisker<'_>], scale: Scale) -> String {
    if marks.is_empty() {
        return String::new();
    }
    let mut labels: Vec<&str> = Vec::new();
    for mark in marks {
        if !labels.contains(&mark.label) {
            labels.push(mark.label);
        }
    }
    let held: &[f64] = match scale {
        Scale::Share => &[0.0, 1.0],
        Scale::Gain => &[0.0],
        Scale::Plain => &[],
    };
    let Some((low, high)) =
        range(marks.iter().flat_map(|m| m.known().into_iter().flatten().chain([m.mean])).chain(held.iter().copied()))
    else {
        return String::new();
    };
    let longest = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    let left = LABELS.max(LETTER * longest as f64 + GAP);
    let width = WIDTH.max(left + ROOM);
    let x = |v: f64| left + (width - left - END) * (v - low) / (high - low);
    let most = labels.iter().map(|label| marks.iter().filter(|m| m.label == *label).count()).max().unwrap_or(1);
    let row_height = ROW + BESIDE * most.saturating_sub(1) as f64;
    let bottom = 6.0 + row_height * labels.len() as f64;
    let mut out = svg(width, bottom + 38.0, &format!("{axis}: {}", labels.join(", ")));
    // Writing to a String cannot fail.
    for v in ticks(low, high) {
        let _ = write!(
            out,
            "<line class=\"grid{3}\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"2\" y2=\"{bottom}\"/><text class=\"tick\" x=\"{0:.1}\" y=\"{1}\" text-anchor=\"middle\">{2}</text>",
            x(v),
            bottom + 15.0,
            tick(v, scale == Scale::Share),
            if v == 0.0 && scale == Scale::Gain { " zero" } else { "" }
        );
    }
    let (middle, below) = (0.5 * (left + width - END), bottom + 32.0);
    let _ = write!(
        out,
        "<text class=\"axis\" x=\"{middle:.1}\" y=\"{below}\" text-anchor=\"middle\">{}</text>",
        escaped(axis)
    );
    for (row, label) in labels.iter().enumerate() {
        let here: Vec<&Whisker<'_>> = marks.iter().filter(|m| m.label == *label).collect();
        let middle = 6.0 + row_height * (row as f64 + 0.5);
        let _ = write!(out, "<text x=\"0\" y=\"{:.1}\">{}</text>", middle + 4.0, escaped(label));
        for (i, m) in here.iter().enumerate() {
            let y = middle + BESIDE * (i as f64 - (here.len() as f64 - 1.0) / 2.0);
            let interval = m.known().map_or(String::new(), |[low, high]| {
                let (low, high, top, height) = (x(low), x(high), y - CAP, 2.0 * CAP);
                format!(
                    "<path class=\"whisker\" d=\"M{low:.1} {top:.1}v{height}m0 -{CAP}H{high:.1}m0 -{CAP}v{height}\"/>"
                )
            });
            let _ = write!(
                out,
                "<g class=\"{0}\"><title>{1}, {0}: {2:.3} {3}</title>{interval}{4}</g>",
                m.class,
                escaped(m.label),
                m.mean,
                between(m.ci95, |x| format!("{x:.3}")),
                mark(m.class, x(m.mean), y)
            );
        }
    }
    out.push_str("</svg>");
    out
}

#[cfg(test)]
mod tests {
    use rl::track_record::UNBOUNDED;

    use super::*;

    #[test]
    fn marks_lie_where_their_values_are() {
        let marks = [Whisker { label: "a<b", class: "imagined", mean: 0.5, ci95: [0.25, 1.0] }];
        let svg = whiskers("success", &marks, Scale::Share);
        // From 84 to 460: a half is 272, a quarter 178; the row's middle is at 16.
        assert!(svg.contains("cx=\"272.0\" cy=\"16.0\"") && svg.contains("M178.0 12.0v8m0 -4H460.0m0 -4v8"), "{svg}");
        assert!(svg.contains("a&lt;b") && !svg.contains("a<b"));
        assert!(svg.contains(">100 %</text>") && svg.contains("aria-label=\"success: a&lt;b\""));
        assert_eq!(whiskers("success", &[], Scale::Share), "");
        let gain = [Whisker { label: "a", class: "imagined", mean: 0.2, ci95: [0.1, 0.3] }];
        assert!(whiskers("gain", &gain, Scale::Gain).contains("<line class=\"grid zero\" x1=\"84.0\""));
        assert!(!whiskers("return", &gain, Scale::Plain).contains("zero"));
    }

    #[test]
    fn long_names_are_whole_and_the_scale_keeps_its_room() {
        let of = |label: &'static str| {
            whiskers("return", &[Whisker { label, class: "truth", mean: 0.0, ci95: [0.0, 1.0] }], Scale::Plain)
        };
        // 20 letters take 152, 40 of them 288 of a wider drawing.
        assert!(of("improved+noise:0.125").contains("<rect x=\"148.0\""));
        let long = of("a policy with a name of forty characters");
        assert!(long.contains("viewBox=\"0 0 548 ") && long.contains("<rect x=\"284.0\""), "{long}");
    }

    #[test]
    fn an_interval_that_is_not_known_is_not_drawn_and_leaves_the_scale_alone() {
        let whisker = |label, mean, ci95| Whisker { label, class: "imagined", mean, ci95 };
        let marks = [whisker("one", 0.5, [-UNBOUNDED, UNBOUNDED]), whisker("many", 0.4, [0.3, 0.6])];
        let svg = whiskers("return", &marks, Scale::Plain);
        assert!(
            svg.contains("<title>one, imagined: 0.500 [unknown]</title>") && svg.contains("0.400 [0.300, 0.600]"),
            "{svg}"
        );
        assert!(!svg.contains("1000000000") && svg.contains(">0.3</text>"), "{svg}");
        assert_eq!(svg.matches("class=\"whisker\"").count(), 1);
    }
}
