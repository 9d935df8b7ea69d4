//! Policies judged side by side: points with intervals, the verdict, film strips.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use rerun::blueprint::ContainerLike;
use rerun::components::MediaType;
use rerun::{AsComponents, EncodedImage, EntityPath, LineStrips2D, Points2D, RecordingStream, TextDocument};

use crate::series::{colour, path};
use crate::{Error, EvaluationView, ScoreChart, contact_sheet, layout};

/// Length of an axis, in the units of the drawing; its height follows from the rows.
const WIDTH: f64 = 400.0;
/// Height of a row.
const ROW: f64 = 26.0;
/// Between the ways to know one score.
const BESIDE: f64 = 7.0;
/// Middle of the names, left of the axis.
const NAMES: f64 = 110.0;
/// The viewer writes a label below its point.
const LABEL_BELOW: f64 = 16.0;
/// Intervals on an axis.
const TICKS: usize = 4;
const GREY: u32 = 0x8080_80FF;
const INK: u32 = 0xC8C8_C8FF;

pub(crate) fn record(rec: &RecordingStream, view: &EvaluationView) -> Result<ContainerLike, Error> {
    let mut charts = Vec::new();
    for chart in view.charts.iter().filter(|chart| !chart.rows.is_empty()) {
        draw(rec, chart)?;
        charts.push(layout::drawing(&title(chart), path(&["evaluation", &chart.name])));
    }
    let verdict = path(&["evaluation", "verdict"]);
    send(rec, &verdict, &TextDocument::from_markdown(view.verdict.as_str()))?;
    let strips = if view.strips.is_empty() {
        None
    } else {
        let at = path(&["evaluation", "strips"]);
        let sheet = contact_sheet(&view.strips, 1)?;
        let mut png = Vec::new();
        PngEncoder::new_with_quality(&mut png, CompressionType::Default, FilterType::Adaptive)
            .write_image(sheet.as_raw(), sheet.width(), sheet.height(), ExtendedColorType::Rgb8)
            .map_err(|error| Error::Picture { what: "the film strips".to_owned(), message: error.to_string() })?;
        send(rec, &at, &EncodedImage::from_file_contents(png).with_media_type(MediaType::PNG))?;
        Some(layout::picture("recorded and imagined", at))
    };
    Ok(layout::evaluation(layout::page("verdict", verdict), charts, strips))
}

fn send(rec: &RecordingStream, at: &EntityPath, what: &impl AsComponents) -> Result<(), Error> {
    rec.log_static(at.clone(), what).map_err(|error| Error::recording("the evaluation", error))
}

/// Lowest and highest number on the axis of a chart: what is drawn, and 0 and 1 where it is all shares.
fn span(chart: &ScoreChart) -> [f64; 2] {
    let all = chart.rows.iter().flat_map(|row| &row.scores).flat_map(|(_, value, [low, high])| [*value, *low, *high]);
    let all: Vec<f64> = all.filter(|value| value.is_finite()).collect();
    let low = all.iter().copied().fold(f64::INFINITY, f64::min);
    let high = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if low >= 0.0 && high <= 1.0 {
        [0.0, 1.0]
    } else if low < high {
        [low, high]
    } else {
        [low - 0.5, high + 0.5]
    }
}

/// The ways to know a score that some row has, in the order of their colours.
fn ways(chart: &ScoreChart) -> Vec<&str> {
    let mut ways: Vec<&str> = Vec::new();
    for (way, ..) in chart.rows.iter().flat_map(|row| &row.scores) {
        if !ways.contains(&way.as_str()) {
            ways.push(way);
        }
    }
    ways
}

/// The chart's title with its colours: drawings have no legend.
fn title(chart: &ScoreChart) -> String {
    let names = ["orange", "light blue", "green", "yellow", "blue", "red", "pink"];
    let legend: Vec<String> =
        ways(chart).into_iter().zip(names.iter().cycle()).map(|(way, colour)| format!("{way} {colour}")).collect();
    format!("{} ({})", chart.title, legend.join(", "))
}

fn draw(rec: &RecordingStream, chart: &ScoreChart) -> Result<(), Error> {
    let at = |part: &str| path(&["evaluation", &chart.name, part]);
    let [low, high] = span(chart);
    let x = |value: f64| (WIDTH * ((value - low) / (high - low)).clamp(0.0, 1.0)) as f32;
    let bottom = (ROW * chart.rows.len() as f64) as f32;
    let ticks: Vec<f64> = (0..=TICKS).map(|i| low + (high - low) * i as f64 / TICKS as f64).collect();
    let lines = ticks.iter().map(|tick| [[x(*tick), -6.0], [x(*tick), bottom]]);
    send(rec, &at("axis"), &LineStrips2D::new(lines).with_colors([GREY]).with_radii([0.3]))?;
    let feet = ticks.iter().map(|tick| [x(*tick), bottom + 4.0]);
    let numbers = ticks.iter().map(|tick| format!("{tick:.2}"));
    let numbers = Points2D::new(feet).with_labels(numbers).with_show_labels(true).with_colors([GREY]).with_radii([0.3]);
    send(rec, &at("ticks"), &numbers)?;
    let middle = |row: usize| (ROW * (row as f64 + 0.5)) as f32;
    let heads = (0..chart.rows.len()).map(|row| [-NAMES as f32, middle(row) - LABEL_BELOW as f32]);
    let names = chart.rows.iter().map(|row| row.name.clone());
    let names = Points2D::new(heads).with_labels(names).with_show_labels(true).with_colors([INK]).with_radii([0.3]);
    send(rec, &at("names"), &names)?;
    let ways = ways(chart);
    for (index, way) in ways.iter().enumerate() {
        let (mut points, mut strips, mut words) = (Vec::new(), Vec::new(), Vec::new());
        for (row, score) in chart.rows.iter().enumerate() {
            let mine = score.scores.iter().filter(|(name, value, _)| name == way && value.is_finite());
            for (_, value, [low, high]) in mine {
                let y = middle(row) + (BESIDE * (index as f64 - 0.5 * (ways.len() - 1) as f64)) as f32;
                points.push([x(*value), y]);
                if low.is_finite() && high.is_finite() {
                    strips.push([[x(*low), y], [x(*high), y]]);
                    words.push(format!("{way} {value:.2} [{low:.2}, {high:.2}]"));
                } else {
                    words.push(format!("{way} {value:.2} [unknown]"));
                }
            }
        }
        let drawn = colour(index);
        send(rec, &at(&format!("{way}_ci95")), &LineStrips2D::new(strips).with_colors([drawn]).with_radii([1.0]))?;
        // Words appear under the pointer: beside each other they would cover the intervals.
        let points =
            Points2D::new(points).with_labels(words).with_show_labels(false).with_colors([drawn]).with_radii([3.0]);
        send(rec, &at(way), &points)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScoreRow;

    #[test]
    fn shares_have_the_whole_axis_and_other_scores_what_they_need() {
        let chart = |scores: &[(f64, [f64; 2])]| ScoreChart {
            rows: scores
                .iter()
                .map(|&(value, ci)| ScoreRow { name: String::new(), scores: vec![("imagined".to_owned(), value, ci)] })
                .collect(),
            ..ScoreChart::default()
        };
        assert_eq!(span(&chart(&[(0.2, [0.1, 0.4]), (0.7, [0.5, 0.8])])), [0.0, 1.0]);
        assert_eq!(span(&chart(&[(2.0, [1.5, 2.5]), (f64::NAN, [0.0, 3.0])])), [0.0, 3.0]);
        assert_eq!(span(&chart(&[(2.0, [2.0, 2.0])])), [1.5, 2.5]);
        assert_eq!(title(&chart(&[(0.2, [0.1, 0.4])])), " (imagined orange)");
    }
}
