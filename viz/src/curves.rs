//! Training curves over updates.

use std::collections::BTreeMap;
use std::iter;

use rerun::blueprint::ContainerLike;
use rerun::{EntityPath, RecordingStream, SeriesLines, TimeColumn};

use crate::layout::{self, Plot};
use crate::series::{UPDATE, path, send_scalars};
use crate::{Curve, Error};

/// Sends the curves; returns one titled plot per group.
pub(crate) fn record(rec: &RecordingStream, curves: &[Curve]) -> Result<Vec<(String, ContainerLike)>, Error> {
    send(rec, curves)?;
    let shown: Vec<Curve> = curves.iter().filter(|curve| !curve.points.is_empty()).cloned().collect();
    Ok(views(&shown))
}

/// Sends the points of the curves.
pub(crate) fn send(rec: &RecordingStream, curves: &[Curve]) -> Result<(), Error> {
    for curve in curves.iter().filter(|curve| !curve.points.is_empty()) {
        let (_, line) = split_name(&curve.name);
        let updates = curve.points.iter().map(|(update, _)| i64::try_from(*update).unwrap_or(i64::MAX));
        let values = curve.points.iter().map(|(_, value)| *value).collect();
        send_scalars(
            rec,
            &entity(curve),
            [TimeColumn::new_sequence(UPDATE, updates)],
            values,
            1,
            &SeriesLines::new().with_names([line]),
        )?;
    }
    Ok(())
}

/// One titled plot per group of curves.
pub(crate) fn views(curves: &[Curve]) -> Vec<(String, ContainerLike)> {
    let mut groups: BTreeMap<(&str, &str), Vec<EntityPath>> = BTreeMap::new();
    for curve in curves {
        let (plot, _) = split_name(&curve.name);
        groups.entry((plot, curve.unit.as_str())).or_default().push(entity(curve));
    }
    let titled = groups.into_iter().map(|((plot, unit), lines)| {
        let title = if unit.is_empty() { plot.to_owned() } else { format!("{plot} [{unit}]") };
        let view = layout::plot(Plot::new(&title, lines, false));
        (title, view)
    });
    titled.collect()
}

fn entity(curve: &Curve) -> EntityPath {
    let parts = curve.name.split(['/', ':']).filter(|part| !part.is_empty());
    path(&iter::once("curves").chain(parts).collect::<Vec<_>>())
}

/// Plot and line of a curve's name.
fn split_name(name: &str) -> (&str, &str) {
    name.rsplit_once(':').unwrap_or((name, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_colon_is_the_line() {
        assert_eq!(split_name("world_model/loss:train"), ("world_model/loss", "train"));
        assert_eq!(split_name("world_model/loss"), ("world_model/loss", "world_model/loss"));
    }
}
