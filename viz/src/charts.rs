//! Bar charts over a whole dataset.

use rerun::blueprint::ContainerLike;
use rerun::{BarChart, Color, RecordingStream};

use crate::series::{colour, path};
use crate::{Chart, Error, layout};

/// Sends the charts; returns one view per chart. Bars without a point leave nothing behind.
pub(crate) fn record(rec: &RecordingStream, charts: &[Chart]) -> Result<Vec<ContainerLike>, Error> {
    let mut views = Vec::new();
    for chart in charts {
        let mut shown = Vec::new();
        for (index, bars) in chart.bars.iter().enumerate().filter(|(_, bars)| !bars.points.is_empty()) {
            let mut parts = vec!["dataset"];
            parts.extend(chart.name.split('/').filter(|part| !part.is_empty()));
            parts.extend(Some(bars.name.as_str()).filter(|name| !name.is_empty()));
            let at = path(&parts);
            // The viewer draws a bar to the right of its place.
            let (places, heights): (Vec<f64>, Vec<f64>) =
                bars.points.iter().map(|(middle, height)| (middle - 0.5 * chart.bar_width, *height)).unzip();
            let widths = vec![chart.bar_width as f32; places.len()];
            let drawn = BarChart::new(heights.as_slice())
                .with_abscissa(places.as_slice())
                .with_widths(widths)
                .with_color(Color::from_u32(colour(index)));
            rec.log_static(at.clone(), &drawn).map_err(|error| Error::recording(&chart.title, error))?;
            shown.push(at);
        }
        views.push(layout::chart(&chart.title, &shown));
    }
    Ok(views)
}
