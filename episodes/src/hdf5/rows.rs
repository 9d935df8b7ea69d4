//! From an episode's datasets to an [`Episode`], if they are sound; else the reason in one sentence.

use std::ops::Range;

use super::contents::{Storage, join};
use super::features::Selected;
use super::file::{Cell, H5};
use super::layout::{Layout, Place, task};
use crate::episode::Episode;
use crate::outcome::Labels;
use crate::spec::{VectorFeature, first_not_finite};

/// An episode whose rows are sound.
#[derive(Debug)]
pub(crate) struct Sound {
    /// The episode; `first_frame` is not yet known.
    pub episode: Episode,
    /// Where it lies.
    pub(super) place: Place,
}

/// One step of these many has a reward, a flag, …: the datasets of that kind, beside the observations.
struct Columns<'a> {
    h5: &'a H5,
    group: &'a str,
    rows: Range<usize>,
    /// Rows the datasets must have in all.
    total: usize,
}

impl Columns<'_> {
    /// A scalar column, where there is one.
    fn scalar(&self, name: &str) -> Result<Option<Vec<f64>>, String> {
        let path = join(self.group, name);
        let Ok(shape) = self.h5.shape(&path) else { return Ok(None) };
        if shape.dims.first() != Some(&self.total) || shape.dims.iter().skip(1).product::<usize>() != 1 {
            return Err(format!("{name} has shape {:?}, there are {} actions", shape.dims, self.total));
        }
        let values = self.h5.numbers(&path, self.rows.clone()).map_err(|why| format!("{name}: {why}"))?;
        match values.iter().position(|x| !x.is_finite()) {
            Some(row) => Err(format!("{name} is {} at frame {row}", values[row])),
            None => Ok(Some(values)),
        }
    }

    fn flags(&self, name: &str) -> Result<Option<Vec<bool>>, String> {
        Ok(self.scalar(name)?.map(|values| values.into_iter().map(|x| x > 0.5).collect()))
    }
}

/// Reads one episode.
///
/// `terminated` is the format's own word for it at the last step: `terminations` (Minari), `terminals` (D4RL).
/// robomimic's `dones` also mark a mere end of the recording, so there only a rewarded end counts, and none whose success
/// a label denies; ALOHA records neither. Everything else was cut off.
///
/// `intervention` beside the actions says where a person had the controls; no format demands it.
/// `labels` take the place of recorded success: success at the last step, which then ends the episode, or none.
pub(super) fn read(
    h5: &H5,
    layout: Layout,
    place: &Place,
    selected: &Selected,
    labels: Option<&Labels>,
) -> Result<Sound, String> {
    let group = place.group.as_str();
    let action_path = join(group, layout.action());
    let total = h5.shape(&action_path)?.dims.first().copied().unwrap_or(0);
    let rows = place.rows.clone().unwrap_or(0..total);
    let len = rows.len();
    if len == 0 {
        return Err("has no rows".to_owned());
    }
    let observations = join(group, layout.observations());
    for (path, storage) in &selected.cameras {
        check_camera(h5, &join(&observations, path), path, *storage, layout, total)?;
    }
    let vectors = |paths: &[String], features: &[VectorFeature]| -> Result<Vec<f32>, String> {
        let mut parts = Vec::with_capacity(features.len());
        for (path, feature) in paths.iter().zip(features) {
            let name = if path.is_empty() { layout.observations() } else { path };
            let path = join(&observations, path);
            check_rows(h5, &path, name, feature.len, total, layout.has_last_observation())?;
            parts.push((feature.len, h5.numbers(&path, rows.clone()).map_err(|why| format!("{name}: {why}"))?));
        }
        let side_by_side = |row| parts.iter().flat_map(move |(width, values)| &values[row * width..(row + 1) * width]);
        let all: Vec<f32> = (0..len).flat_map(side_by_side).map(|&x| x as f32).collect();
        first_not_finite(&all, features).map_or(Ok(all), Err)
    };
    let state = vectors(&selected.state_paths, &selected.state)?;
    let hint = vectors(&selected.hint_paths, &selected.hints)?;
    check_rows(h5, &action_path, layout.action(), selected.action.len, total, false)?;
    let action = narrow(&h5.numbers(&action_path, rows.clone()).map_err(|why| format!("{}: {why}", layout.action()))?);
    if let Some(why) = first_not_finite(&action, std::slice::from_ref(&selected.action)) {
        return Err(why);
    }
    let columns = Columns { h5, group, rows, total };
    let reward = if layout == Layout::Aloha { None } else { columns.scalar("rewards")? };
    let last = |flags: Option<Vec<bool>>| flags.and_then(|flags| flags.last().copied()).unwrap_or(false);
    let label = labels.and_then(|labels| labels.get(place.index));
    let recorded_end = match layout {
        Layout::Robomimic => {
            let rewarded = reward.as_ref().and_then(|reward| reward.last()).is_some_and(|&r| r > 0.0);
            last(columns.flags("dones")?) && rewarded && label != Some(false)
        }
        Layout::Aloha => false,
        Layout::Minari => {
            columns.flags("truncations")?; // Held to its length; that the rest was cut off follows.
            last(columns.flags("terminations")?)
        }
        Layout::D4rl => last(columns.flags("terminals")?),
    };
    let terminated = label == Some(true) || recorded_end;
    let success = match labels {
        Some(_) => label.map(|solved| (1..=len).map(|t| solved && t == len).collect()),
        None => success(h5, layout, group, len)?,
    };
    let task = if group.is_empty() { None } else { task(h5, group) };
    let episode = Episode {
        index: place.index,
        task: task.unwrap_or_default(),
        len,
        state,
        hint,
        action,
        reward: reward.map(|values| narrow(&values)),
        success,
        intervention: columns.flags("intervention")?,
        terminated,
        truncated: !terminated,
        first_frame: 0,
    };
    Ok(Sound { episode, place: place.clone() })
}

/// Minari keeps `infos/success` beside the observations: one more row than actions, the first before any of them.
fn success(h5: &H5, layout: Layout, group: &str, len: usize) -> Result<Option<Vec<bool>>, String> {
    const NAME: &str = "infos/success";
    let path = join(group, NAME);
    if layout != Layout::Minari {
        return Ok(None);
    }
    let Ok(shape) = h5.shape(&path) else { return Ok(None) };
    let have = shape.dims.first().copied().unwrap_or(0);
    if have != len && have != len + 1 || shape.dims.iter().skip(1).product::<usize>() != 1 {
        return Err(format!("{NAME} has shape {:?}, there are {len} actions", shape.dims));
    }
    let values = h5.numbers(&path, have - len..have).map_err(|why| format!("{NAME}: {why}"))?;
    Ok(Some(values.into_iter().map(|x| x > 0.5).collect()))
}

fn check_rows(h5: &H5, path: &str, name: &str, width: usize, total: usize, has_last: bool) -> Result<(), String> {
    let shape = h5.shape(path).map_err(|_| format!("{name} is missing"))?;
    let have = shape.dims.first().copied().unwrap_or(0);
    if have != total && !(has_last && have == total + 1) {
        return Err(format!("{name} has {have} rows, there are {total} actions"));
    }
    if shape.dims.iter().skip(1).product::<usize>() != width {
        return Err(format!("{name} has shape {:?}, in most episodes it has {width} elements", shape.dims));
    }
    Ok(())
}

fn check_camera(h5: &H5, path: &str, name: &str, storage: Storage, layout: Layout, total: usize) -> Result<(), String> {
    let shape = h5.shape(path).map_err(|_| format!("camera {name} is missing"))?;
    let have = shape.dims.first().copied().unwrap_or(0);
    if have != total && !(layout.has_last_observation() && have == total + 1) {
        return Err(format!("camera {name} has {have} pictures, there are {total} actions"));
    }
    let same = match storage {
        Storage::RowsFirst { height, width } => shape.dims[1..] == [height, width, 3],
        Storage::ChannelsFirst { height, width } => shape.dims[1..] == [3, height, width],
        Storage::Padded => shape.dims.len() == 2,
        Storage::Strings => shape.dims.len() == 1 && shape.cell == Cell::Bytes,
    };
    if same && (storage == Storage::Strings || shape.cell == Cell::Byte) {
        return Ok(());
    }
    Err(format!("camera {name} has shape {:?}, other than in most episodes", shape.dims))
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&x| x as f32).collect()
}
