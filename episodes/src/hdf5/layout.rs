//! Where each format keeps what: robomimic, ALOHA, Minari and D4RL.
//!
//! Sources: robomimic's dataset overview (robomimic.github.io), ACT's `record_episodes.py` and `compress_data.py`,
//! Minari's dataset standards (minari.farama.org), D4RL's `offline_env.py`.

use std::ops::Range;

use serde_json::Value;

use super::file::H5;

/// One of the formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// `data/demo_N/{actions, rewards, dones, obs/…}`.
    Robomimic,
    /// `action`, `observations/{qpos, qvel, images/CAM}`: one episode per file.
    Aloha,
    /// `episode_N/{observations, actions, rewards, terminations, truncations}`.
    Minari,
    /// `observations`, `actions`, `rewards`, `terminals`, `timeouts`: all episodes in a row.
    D4rl,
}

/// What would be read, as said in errors.
pub(super) const EXPECTED: &str = "robomimic (data/demo_N/actions), ALOHA (action, observations/), Minari \
     (episode_N/actions) or D4RL (observations, actions)";

/// One episode a file claims to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// `episode_index`.
    pub index: usize,
    /// Position in the list of files.
    pub file: usize,
    /// The group it lies in; `""` for the root.
    pub group: String,
    /// Its rows where several episodes share a dataset.
    pub rows: Option<Range<usize>>,
}

impl Layout {
    /// Tells the format by what is at the root; the error says what is there instead.
    pub fn recognise(h5: &H5) -> Result<Layout, String> {
        let (groups, datasets) = h5.members("")?;
        let has = |names: &[String], name: &str| names.iter().any(|have| have == name);
        if has(&groups, "data") && h5.members("data")?.0.iter().any(|name| name.starts_with("demo")) {
            return Ok(Layout::Robomimic);
        }
        if has(&datasets, "action") && has(&groups, "observations") {
            return Ok(Layout::Aloha);
        }
        if groups.iter().any(|name| name.starts_with("episode_")) {
            return Ok(Layout::Minari);
        }
        if has(&datasets, "actions") && has(&datasets, "observations") {
            return Ok(Layout::D4rl);
        }
        const SHOWN: usize = 8;
        let names: Vec<&str> = groups.iter().chain(&datasets).map(String::as_str).take(SHOWN).collect();
        Err(if names.is_empty() { "an empty HDF5 file".to_owned() } else { format!("HDF5 with {}", names.join(", ")) })
    }

    /// Name for people.
    pub fn name(self) -> &'static str {
        match self {
            Layout::Robomimic => "robomimic HDF5",
            Layout::Aloha => "ALOHA HDF5",
            Layout::Minari => "Minari HDF5",
            Layout::D4rl => "D4RL HDF5",
        }
    }

    /// The action dataset in an episode's group.
    pub fn action(self) -> &'static str {
        if self == Layout::Aloha { "action" } else { "actions" }
    }

    /// The group or dataset of observations in an episode's group.
    pub fn observations(self) -> &'static str {
        if self == Layout::Robomimic { "obs" } else { "observations" }
    }

    /// LeRobot's name of an observation; `path` is relative to [`Layout::observations`], empty if that is a dataset.
    pub fn state_key(self, path: &str) -> String {
        match (self, path) {
            (Layout::Aloha, "qpos") | (_, "") => "observation.state".to_owned(),
            (Layout::Aloha, "qvel") => "observation.velocity".to_owned(),
            _ => format!("observation.{}", path.replace('/', ".")),
        }
    }

    /// LeRobot's name of a camera.
    pub fn camera_key(self, path: &str) -> String {
        format!("observation.images.{}", path.strip_prefix("images/").unwrap_or(path).replace('/', "."))
    }

    /// Whether observations hold one row more than actions: what was seen after the last one.
    pub fn has_last_observation(self) -> bool {
        self == Layout::Minari
    }

    /// Episodes in one file, which is the only one or one of several.
    pub fn places(self, h5: &H5, file: usize) -> Result<Vec<Place>, String> {
        let grouped = |parent: &str, prefix: &str| -> Result<Vec<Place>, String> {
            let (groups, _) = h5.members(parent)?;
            let named = groups.iter().filter(|name| name.starts_with(prefix));
            let mut places: Vec<Place> = named
                .filter_map(|name| {
                    let group = if parent.is_empty() { name.clone() } else { format!("{parent}/{name}") };
                    Some(Place { index: number_in(name)?, file, group, rows: None })
                })
                .collect();
            places.sort_by_key(|place| place.index);
            Ok(places)
        };
        match self {
            Layout::Robomimic => grouped("data", "demo"),
            Layout::Minari => grouped("", "episode_"),
            Layout::Aloha => {
                let name = h5.path.file_stem().unwrap_or_default().to_string_lossy();
                Ok(vec![Place { index: number_in(&name).unwrap_or(file), file, group: String::new(), rows: None }])
            }
            Layout::D4rl => {
                let rows = cuts(h5)?;
                Ok(rows
                    .into_iter()
                    .enumerate()
                    .map(|(index, rows)| Place { index, file, group: String::new(), rows: Some(rows) })
                    .collect())
            }
        }
    }
}

/// Where D4RL's rows are cut into episodes: after every termination and every time-out.
fn cuts(h5: &H5) -> Result<Vec<Range<usize>>, String> {
    let len = h5.shape("actions")?.dims.first().copied().unwrap_or(0);
    let mut ends = vec![false; len];
    for name in ["terminals", "timeouts"] {
        let Ok(shape) = h5.shape(name) else { continue };
        if shape.dims.iter().product::<usize>() != len {
            return Err(format!("{name} has shape {:?}, there are {len} actions", shape.dims));
        }
        for (end, flag) in ends.iter_mut().zip(h5.numbers(name, 0..len)?) {
            *end |= flag > 0.5;
        }
    }
    let mut start = 0;
    let mut rows = Vec::new();
    for (row, end) in ends.into_iter().enumerate() {
        if end || row + 1 == len {
            rows.push(start..row + 1);
            start = row + 1;
        }
    }
    Ok(rows)
}

/// The last whole number in a name: 12 in `episode_12`.
pub(super) fn number_in(name: &str) -> Option<usize> {
    let end = name.rfind(|c: char| c.is_ascii_digit())? + 1;
    let start = name[..end].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
    name.get(start..end)?.parse().ok()
}

/// What a file says about the robot: control rate, task and type.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct About {
    /// Hz.
    pub rate_hz: Option<f64>,
    /// The task of all its episodes.
    pub task: Option<String>,
    /// E.g. `Panda`.
    pub robot_type: Option<String>,
}

impl About {
    /// Reads the attributes in which the formats keep such things.
    pub fn read(h5: &H5) -> About {
        let json =
            |group: &str, name: &str| -> Option<Value> { serde_json::from_str(&h5.text_attribute(group, name)?).ok() };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let env_args = json("data", "env_args").unwrap_or_default();
        let kwargs = &env_args["env_kwargs"];
        let named = ["control_rate_hz", "control_freq", "control_hz", "fps"];
        let attribute =
            || named.iter().find_map(|name| ["", "data"].iter().find_map(|group| h5.number_attribute(group, name)));
        let problem = json("data", "problem_info").unwrap_or_default();
        let env_spec = json("", "env_spec").unwrap_or_default();
        let robots = &kwargs["robots"];
        About {
            rate_hz: kwargs["control_freq"].as_f64().or_else(attribute).filter(|hz| hz.is_finite() && *hz > 0.0),
            task: text(&problem["language_instruction"])
                .or_else(|| task(h5, ""))
                .or_else(|| text(&env_args["env_name"]))
                .or_else(|| text(&env_spec["id"])),
            robot_type: text(robots).or_else(|| text(&robots[0])),
        }
    }
}

/// The task text of one group, under the names in use.
pub(super) fn task(h5: &H5, group: &str) -> Option<String> {
    const NAMES: [&str; 4] = ["task", "instruction", "language_instruction", "language_raw"];
    let in_dataset = |name: &&str| {
        let path = if group.is_empty() { (*name).to_owned() } else { format!("{group}/{name}") };
        h5.texts(&path)?.into_iter().next()
    };
    let attribute = NAMES.iter().find_map(|name| h5.text_attribute(group, name));
    attribute.or_else(|| NAMES.iter().find_map(in_dataset)).filter(|task| !task.is_empty())
}

#[cfg(test)]
mod tests {
    use super::number_in;

    #[test]
    fn names_are_numbered_by_their_last_number() {
        assert_eq!(number_in("episode_12"), Some(12));
        assert_eq!(number_in("2024_demo7x"), Some(7));
        assert_eq!(number_in("demo"), None);
        assert_eq!(number_in("episode_99999999999999999999999"), None);
    }
}
