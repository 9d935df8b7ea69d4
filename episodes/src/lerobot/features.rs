//! From the features in `info.json` to a [`DatasetSpec`]: which columns are state and action, which cameras there are.

use std::path::Path;

use serde_json::Value;

use super::info::{Feature, Info};
use crate::dataset::ALL;
use crate::error::Error;
use crate::holes::Holes;
use crate::spec::{CameraFeature, DatasetSpec, VectorFeature};

/// More elements than any state or action has; a broken shape must not exhaust the memory.
const MAX_ELEMENTS: usize = 100_000;

/// What the user wants to read.
pub(crate) struct Selection<'a> {
    /// Columns that make up the state, in order.
    pub state_keys: &'a [String],
    /// Columns that make up the hints, in order.
    pub hint_keys: &'a [String],
    /// The action column.
    pub action_key: &'a str,
    /// Cameras in model order; `None` for every colour camera.
    pub cameras: Option<&'a [String]>,
    /// Height and width of the frames the model sees, pixels.
    pub image_size: usize,
}

/// Builds the spec (without task texts) for a selection; names depth cameras that are left out.
pub(crate) fn spec(
    root: &Path,
    info: &Info,
    selection: &Selection<'_>,
    holes: &mut Holes,
) -> Result<DatasetSpec, Error> {
    let numeric = |key: &str| info.features.get(key).is_some_and(Feature::is_numeric);
    Ok(DatasetSpec {
        source: root.display().to_string(),
        codebase_version: info.codebase_version.clone(),
        robot_type: info.robot_type.clone(),
        control_rate_hz: info.fps,
        state: vectors(root, info, selection.state_keys, "data.state_keys")?,
        hints: vectors(root, info, selection.hint_keys, "data.hints")?,
        action: vector(root, info, selection.action_key, "data.action_key", 0)?,
        cameras: cameras(root, info, selection, holes)?,
        tasks: Vec::new(),
        has_reward: numeric("next.reward"),
        has_success: numeric("next.success"),
    })
}

/// Columns to offer as state where nobody has chosen: `observation.state`, else every numeric observation.
pub(crate) fn default_state_keys(info: &Info) -> Vec<String> {
    const STATE: &str = "observation.state";
    if info.features.contains_key(STATE) {
        return vec![STATE.to_owned()];
    }
    let keys = every_state_key(info);
    if keys.is_empty() { vec![STATE.to_owned()] } else { keys }
}

/// Columns that make up the state by the options of a reader.
pub(crate) fn chosen_state_keys(info: &Info, state_keys: &[String]) -> Vec<String> {
    match state_keys {
        [] => vec!["observation.state".to_owned()],
        [all] if all == ALL => every_state_key(info),
        keys => keys.to_vec(),
    }
}

/// Every numeric observation.
pub(crate) fn every_state_key(info: &Info) -> Vec<String> {
    let observations = info.features.iter().filter(|(key, f)| key.starts_with("observation") && f.is_numeric());
    observations.map(|(key, _)| key.clone()).collect()
}

/// Column to offer as action where nobody has chosen: `action`, else the first numeric column so prefixed.
pub(crate) fn default_action_key(info: &Info) -> String {
    const ACTION: &str = "action";
    if info.features.contains_key(ACTION) {
        return ACTION.to_owned();
    }
    let mut actions = info.features.iter().filter(|(key, f)| key.starts_with(ACTION) && f.is_numeric());
    actions.next().map_or_else(|| ACTION.to_owned(), |(key, _)| key.clone())
}

fn vectors(root: &Path, info: &Info, keys: &[String], setting: &str) -> Result<Vec<VectorFeature>, Error> {
    let mut offset = 0;
    let place = |key: &String| {
        let feature = vector(root, info, key, setting, offset)?;
        offset += feature.len;
        Ok(feature)
    };
    keys.iter().map(place).collect()
}

fn vector(root: &Path, info: &Info, key: &str, setting: &str, offset: usize) -> Result<VectorFeature, Error> {
    let feature = info
        .features
        .get(key)
        .filter(|f| f.is_numeric())
        .ok_or_else(|| missing(root, info, key, setting, Feature::is_numeric))?;
    let len = feature.len();
    if !(1..=MAX_ELEMENTS).contains(&len) {
        return Err(Error::BadFile {
            found: format!("feature '{key}' has shape {:?}", feature.shape),
            expected: format!("1 to {MAX_ELEMENTS} elements"),
            path: root.join("meta/info.json"),
        });
    }
    Ok(VectorFeature { key: key.to_owned(), names: element_names(key, &feature.names, len), offset, len })
}

fn cameras(
    root: &Path,
    info: &Info,
    selection: &Selection<'_>,
    holes: &mut Holes,
) -> Result<Vec<CameraFeature>, Error> {
    let mut cameras = Vec::new();
    let Some(wanted) = selection.cameras else {
        for (key, feature) in info.features.iter().filter(|(_, f)| f.is_camera()) {
            if is_depth(feature) {
                holes.note(format!("camera {key}"), "is a depth camera, only colour cameras are read");
            } else {
                cameras.push(camera(key, feature, selection.image_size));
            }
        }
        return Ok(cameras);
    };
    for key in wanted {
        let colour = |f: &Feature| f.is_camera() && !is_depth(f);
        let feature = info
            .features
            .get(key)
            .filter(|f| colour(f))
            .ok_or_else(|| missing(root, info, key, "data.cameras", colour))?;
        cameras.push(camera(key, feature, selection.image_size));
    }
    Ok(cameras)
}

fn missing(root: &Path, info: &Info, wanted: &str, setting: &str, fits: impl Fn(&Feature) -> bool) -> Error {
    let fitting: Vec<&str> = info.features.iter().filter(|(_, f)| fits(f)).map(|(key, _)| key.as_str()).collect();
    Error::MissingFeature {
        wanted: wanted.to_owned(),
        available: if fitting.is_empty() { "nothing of this kind".to_owned() } else { fitting.join(", ") },
        setting: setting.to_owned(),
        path: root.to_path_buf(),
    }
}

fn is_depth(feature: &Feature) -> bool {
    ["video.is_depth_map", "is_depth_map", "video.is_depth", "is_depth"]
        .iter()
        .any(|key| feature.detail(key).and_then(Value::as_bool).unwrap_or(false))
}

fn camera(key: &str, feature: &Feature, model_size: usize) -> CameraFeature {
    let (height, width) = height_width(feature);
    let detail = |name: &str, fallback: usize| {
        feature.detail(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok()).unwrap_or(fallback)
    };
    CameraFeature {
        key: key.to_owned(),
        native_height: detail("video.height", height),
        native_width: detail("video.width", width),
        model_size,
    }
}

/// Height and width from a shape that may be HWC or CHW; axis names decide, else the small axis is the channels.
pub(crate) fn height_width(feature: &Feature) -> (usize, usize) {
    let [a, b, c] = match *feature.shape.as_slice() {
        [a, b, c] => [a, b, c],
        [a, b] => return (a, b),
        _ => return (0, 0),
    };
    let first = element_name_list(&feature.names).and_then(|names| names.into_iter().next());
    let channels_first = match first {
        Some(name) => name.starts_with('c'),
        None => a <= 4 && c > 4,
    };
    if channels_first { (b, c) } else { (a, b) }
}

/// One name per element; generated where the dataset's names do not fit.
pub(crate) fn element_names(key: &str, names: &Value, len: usize) -> Vec<String> {
    match element_name_list(names) {
        Some(found) if found.len() == len => found,
        _ => (0..len).map(|i| format!("{key}[{i}]")).collect(),
    }
}

/// Names from a list, a nested list, `{"motors": [..]}` or `{"name": position}`.
fn element_name_list(names: &Value) -> Option<Vec<String>> {
    match names {
        Value::String(name) => Some(vec![name.clone()]),
        Value::Array(items) => {
            let parts: Option<Vec<Vec<String>>> = items.iter().map(element_name_list).collect();
            Some(parts?.concat())
        }
        Value::Object(map) if !map.is_empty() && map.values().all(Value::is_u64) => {
            let mut placed: Vec<(u64, &String)> = map.iter().filter_map(|(k, v)| Some((v.as_u64()?, k))).collect();
            placed.sort();
            Some(placed.into_iter().map(|(_, name)| name.clone()).collect())
        }
        Value::Object(map) => {
            let parts: Option<Vec<Vec<String>>> = map.values().map(element_name_list).collect();
            Some(parts?.concat())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_come_in_many_forms() {
        for names in [json!(["x", "y"]), json!([["x", "y"]]), json!({"motors": ["x", "y"]}), json!({"y": 1, "x": 0})] {
            assert_eq!(element_names("action", &names, 2), ["x", "y"], "{names}");
        }
        assert_eq!(element_names("action", &Value::Null, 2), ["action[0]", "action[1]"]);
        assert_eq!(element_names("action", &json!(["only"]), 2), ["action[0]", "action[1]"]);
    }

    #[test]
    fn image_shapes_may_be_channels_first() -> Result<(), serde_json::Error> {
        let of = |value: Value| serde_json::from_value::<Feature>(value).map(|feature| height_width(&feature));
        assert_eq!(
            of(json!({"dtype": "image", "shape": [48, 64, 3], "names": ["height", "width", "channel"]}))?,
            (48, 64)
        );
        assert_eq!(
            of(json!({"dtype": "image", "shape": [3, 48, 64], "names": ["channels", "height", "width"]}))?,
            (48, 64)
        );
        assert_eq!(of(json!({"dtype": "image", "shape": [3, 48, 64], "names": null}))?, (48, 64));
        Ok(())
    }
}
