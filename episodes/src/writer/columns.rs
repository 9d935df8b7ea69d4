//! The columns of a written dataset: their types, values, shapes in `info.json` and statistics.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use serde_json::{Value, json};

use super::arrays;
use super::cameras::{self, Camera};
use super::footage::{Footage, Medium};
use super::imagined::{DOUBT, FROM_EPISODE, FROM_STEP, IS_IMAGINED, Origin};
use super::stats::Stats;
use crate::lerobot::info::Feature;
use crate::{DatasetSpec, Episode, VectorFeature};

/// What one column holds.
enum Kind {
    /// Elements `offset..offset + len` of the state vector.
    State {
        offset: usize,
    },
    Action,
    Camera(Camera),
    Reward,
    Success,
    Intervention,
    IsImagined,
    Doubt,
    FromEpisode,
    FromStep,
    Terminated,
    Truncated,
    Done,
    Timestamp,
    FrameIndex,
    EpisodeIndex,
    Index,
    TaskIndex,
}

struct Column {
    key: String,
    kind: Kind,
    dtype: &'static str,
    /// Elements per step of a vector; 1 otherwise.
    len: usize,
    names: Option<Vec<String>>,
    /// Over all episodes so far.
    stats: Option<Stats>,
}

fn scalar(key: &str, kind: Kind, dtype: &'static str) -> Column {
    Column { key: key.to_owned(), kind, dtype, len: 1, names: None, stats: None }
}

/// Types of numbers that a dataset may have chosen for a column.
const NUMBERS: [&str; 5] = ["float32", "float64", "int32", "int64", "bool"];

impl Column {
    /// Whether it is in the data files; videos are files of their own.
    fn is_in_rows(&self) -> bool {
        !matches!(&self.kind, Kind::Camera(camera) if camera.medium == Medium::Video)
    }
}

/// All columns in file order, with running statistics.
pub(super) struct Columns {
    columns: Vec<Column>,
    rate_hz: f64,
    state_len: usize,
    action_len: usize,
    /// Of the episode that is checked, counted and written next; `None` for one that was recorded.
    pub(super) origin: Option<Origin>,
}

impl Columns {
    /// `media` says how each camera of the spec is kept.
    /// `intervention` is the name of the column that says when a person had the controls, if there is one.
    pub(super) fn new(spec: &DatasetSpec, intervention: Option<&str>, media: &[Medium]) -> Self {
        let vector = |f: &VectorFeature, kind| Column {
            key: f.key.clone(),
            kind,
            dtype: "float32",
            len: f.len,
            names: Some(f.names.clone()),
            stats: None,
        };
        let mut columns = Vec::new();
        let mut offset = 0;
        for f in &spec.state {
            columns.push(vector(f, Kind::State { offset }));
            offset += f.len;
        }
        columns.push(vector(&spec.action, Kind::Action));
        for (position, (c, &medium)) in spec.cameras.iter().zip(media).enumerate() {
            let camera = Camera { position, height: c.native_height, width: c.native_width, medium, about: None };
            columns.push(Column {
                key: c.key.clone(),
                dtype: camera.dtype(),
                names: Some(camera.axes()),
                kind: Kind::Camera(camera),
                len: 1,
                stats: None,
            });
        }
        if spec.has_reward {
            columns.push(scalar("next.reward", Kind::Reward, "float32"));
        }
        if spec.has_success {
            columns.push(scalar("next.success", Kind::Success, "bool"));
        }
        if let Some(key) = intervention {
            columns.push(scalar(key, Kind::Intervention, "bool"));
        }
        columns.push(scalar("next.terminated", Kind::Terminated, "bool"));
        columns.push(scalar("next.truncated", Kind::Truncated, "bool"));
        columns.push(scalar("next.done", Kind::Done, "bool"));
        columns.push(scalar("timestamp", Kind::Timestamp, "float32"));
        for (key, kind) in [
            ("frame_index", Kind::FrameIndex),
            ("episode_index", Kind::EpisodeIndex),
            ("index", Kind::Index),
            ("task_index", Kind::TaskIndex),
        ] {
            columns.push(scalar(key, kind, "int64"));
        }
        let (rate_hz, state_len, action_len) = (spec.control_rate_hz, spec.state_len(), spec.action_len());
        Self { columns, rate_hz, state_len, action_len, origin: None }
    }

    /// The same for episodes that were imagined.
    pub(super) fn marking_imagined(mut self) -> Self {
        self.columns.extend([
            scalar(IS_IMAGINED, Kind::IsImagined, "bool"),
            scalar(DOUBT, Kind::Doubt, "float32"),
            scalar(FROM_EPISODE, Kind::FromEpisode, "int64"),
            scalar(FROM_STEP, Kind::FromStep, "int64"),
        ]);
        self
    }

    /// Whether the episodes are imagined ones.
    pub(super) fn marks_imagined(&self) -> bool {
        self.has(|kind| matches!(kind, Kind::IsImagined))
    }

    /// The columns for episodes that are added to a dataset with these features: its types of numbers, and of the three that
    /// say how an episode ended those that it has.
    pub(super) fn following(mut self, features: &BTreeMap<String, Feature>) -> Self {
        let is_end = |c: &Column| matches!(c.kind, Kind::Terminated | Kind::Truncated | Kind::Done);
        self.columns.retain(|c| !is_end(c) || features.contains_key(&c.key));
        for c in self.columns.iter_mut().filter(|c| NUMBERS.contains(&c.dtype)) {
            let theirs = features.get(&c.key).and_then(|f| NUMBERS.iter().find(|&&dtype| dtype == f.dtype));
            c.dtype = theirs.copied().unwrap_or(c.dtype);
        }
        self
    }

    fn has(&self, wanted: fn(&Kind) -> bool) -> bool {
        self.columns.iter().any(|c| wanted(&c.kind))
    }

    /// Whether a reader of these columns would learn how an episode ended; `Err` is (found, expected).
    fn check_end(&self, e: &Episode) -> Result<(), (String, String)> {
        let is_told = self.has(|k| matches!(k, Kind::Terminated))
            || self.has(|k| matches!(k, Kind::Done)) && self.has(|k| matches!(k, Kind::Truncated));
        // Where nothing else is said, success is what ends an episode.
        let solved = e.success.as_ref().and_then(|flags| flags.last().copied()).unwrap_or(false);
        if is_told || e.terminated == solved {
            return Ok(());
        }
        let found = if e.terminated { "it ended without success" } else { "it was cut off at a success" };
        let expected = "an end that a dataset without the column next.terminated can tell: convert that dataset first, which \
                        adds the column, and append to what was converted";
        Err((found.to_owned(), expected.to_owned()))
    }

    /// Compares an episode's shapes with the columns; `Err` is (found, expected).
    pub(super) fn check(&self, e: &Episode, footage: &[Footage]) -> Result<(), (String, String)> {
        let same = |what: &str, found: usize, expected: usize| {
            if found == expected {
                Ok(())
            } else {
                Err((format!("{found} {what}"), format!("{expected} for {} steps", e.len)))
            }
        };
        if e.len == 0 {
            return Err(("no steps".to_owned(), "at least one step".to_owned()));
        }
        same("state values", e.state.len(), e.len * self.state_len)?;
        same("action values", e.action.len(), e.len * self.action_len)?;
        let cameras = || {
            self.columns
                .iter()
                .filter_map(|c| if let Kind::Camera(camera) = &c.kind { Some((c, camera)) } else { None })
        };
        same("cameras", footage.len(), cameras().count())?;
        for (c, camera) in cameras() {
            let footage = &footage[camera.position];
            same(&format!("pictures of {}", c.key), footage.len(), e.len)?;
            camera.check(&c.key, footage)?;
        }
        self.check_end(e)?;
        let declared = |found: Option<usize>, what: &str, wanted: fn(&Kind) -> bool| match (found, self.has(wanted)) {
            (Some(n), true) => same(&format!("{what} values"), n, e.len),
            (None, false) => Ok(()),
            (Some(_), false) => Err((format!("a {what} column"), format!("no {what} column, as in this dataset"))),
            (None, true) => Err((format!("no {what} column"), format!("a {what} column, as in this dataset"))),
        };
        declared(self.origin.as_ref().map(|o| o.doubt.len()), "doubt", |k| matches!(k, Kind::IsImagined))?;
        declared(e.reward.as_ref().map(Vec::len), "reward", |k| matches!(k, Kind::Reward))?;
        declared(e.success.as_ref().map(Vec::len), "success", |k| matches!(k, Kind::Success))?;
        declared(e.intervention.as_ref().map(Vec::len), "intervention", |k| matches!(k, Kind::Intervention))
    }

    /// One episode as a record batch of `len` rows.
    pub(super) fn batch(
        &self,
        e: &Episode,
        footage: Vec<Footage>,
        episode_index: usize,
        first_frame: usize,
        task_index: usize,
    ) -> Result<RecordBatch, ArrowError> {
        let mut pictures = footage.into_iter().filter_map(cameras::embedded);
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for c in self.columns.iter().filter(|c| c.is_in_rows()) {
            arrays.push(match &c.kind {
                Kind::Camera(_) => arrays::picture_array(pictures.next().unwrap_or_default())?,
                _ => {
                    let values = self.values(c, e, episode_index, first_frame, task_index);
                    arrays::number_array(c.dtype, c.len, values.collect())?
                }
            });
        }
        RecordBatch::try_new(Arc::new(self.schema()), arrays)
    }

    /// Takes an episode into the running statistics; returns its own, one per column.
    pub(super) fn count(
        &mut self,
        e: &Episode,
        footage: &[Footage],
        episode_index: usize,
        first_frame: usize,
        task_index: usize,
    ) -> Vec<Stats> {
        let mut columns = std::mem::take(&mut self.columns);
        let each = columns.iter_mut().map(|c| {
            let stats = match &mut c.kind {
                Kind::Camera(camera) => camera.count(&footage[camera.position]),
                _ => Stats::of_rows(self.values(c, e, episode_index, first_frame, task_index), c.len),
            };
            c.stats = Some(c.stats.as_ref().map_or_else(|| stats.clone(), |all| all.merge(&stats)));
            stats
        });
        let each = each.collect();
        self.columns = columns;
        each
    }

    /// The numbers of a vector or scalar column, row by row; exact in `f64` for every column type.
    fn values<'a>(
        &'a self,
        c: &'a Column,
        e: &'a Episode,
        episode_index: usize,
        first_frame: usize,
        task_index: usize,
    ) -> Box<dyn Iterator<Item = f64> + 'a> {
        let (state_len, rate_hz) = (self.state_len, self.rate_hz);
        let steps = 0..e.len;
        let origin = || self.origin.iter();
        let flag = |x: bool| f64::from(u8::from(x));
        let flags = move |v: &'a Option<Vec<bool>>| v.iter().flatten().map(move |&x| flag(x));
        match c.kind {
            Kind::State { offset } => Box::new(
                e.state
                    .chunks_exact(state_len.max(1))
                    .flat_map(move |row| &row[offset..offset + c.len])
                    .map(|&x| f64::from(x)),
            ),
            Kind::Action => Box::new(e.action.iter().map(|&x| f64::from(x))),
            Kind::Camera(_) => Box::new(std::iter::empty()),
            Kind::Reward => Box::new(e.reward.iter().flatten().map(|&x| f64::from(x))),
            Kind::Success => Box::new(flags(&e.success)),
            Kind::Intervention => Box::new(flags(&e.intervention)),
            Kind::IsImagined => Box::new(steps.map(|_| 1.0)),
            Kind::Doubt => Box::new(origin().flat_map(|o| o.doubt.iter().map(|&x| f64::from(x)))),
            Kind::FromEpisode => Box::new(steps.zip(origin().cycle()).map(|(_, o)| o.from_episode as f64)),
            Kind::FromStep => Box::new(steps.zip(origin().cycle()).map(|(_, o)| o.from_step as f64)),
            Kind::Terminated => Box::new(steps.map(move |t| flag(e.terminated && t + 1 == e.len))),
            Kind::Truncated => Box::new(steps.map(move |t| flag(e.truncated && t + 1 == e.len))),
            Kind::Done => Box::new(steps.map(move |t| flag(t + 1 == e.len))),
            Kind::Timestamp => Box::new(steps.map(move |t| t as f64 / rate_hz)),
            Kind::FrameIndex => Box::new(steps.map(|t| t as f64)),
            Kind::EpisodeIndex => Box::new(steps.map(move |_| episode_index as f64)),
            Kind::Index => Box::new(steps.map(move |t| (first_frame + t) as f64)),
            Kind::TaskIndex => Box::new(steps.map(move |_| task_index as f64)),
        }
    }

    fn schema(&self) -> Schema {
        let in_rows = || self.columns.iter().filter(|c| c.is_in_rows());
        let fields: Vec<Field> =
            in_rows().map(|c| Field::new(&c.key, arrays::data_type(c.dtype, c.len), true)).collect();
        let features: serde_json::Map<String, Value> =
            in_rows().map(|c| (c.key.clone(), arrays::hugging_face_feature(c.dtype, c.len))).collect();
        let info = json!({"info": {"features": features}}).to_string();
        Schema::new_with_metadata(fields, [("huggingface".to_owned(), info)].into())
    }

    /// `features` of `info.json`.
    pub(super) fn info_features(&self) -> Value {
        let feature = |c: &Column| match &c.kind {
            Kind::Camera(camera) => camera.info(c.names.as_deref().unwrap_or_default(), self.rate_hz),
            _ => json!({"dtype": c.dtype, "shape": [c.len], "names": c.names}),
        };
        Value::Object(self.columns.iter().map(|c| (c.key.clone(), feature(c))).collect())
    }

    /// Whether any camera is video.
    pub(super) fn has_videos(&self) -> bool {
        self.columns.iter().any(|c| !c.is_in_rows())
    }

    /// Every column's name, whether it is a camera, and its statistics over all episodes.
    pub(super) fn stats(&self) -> impl Iterator<Item = (&str, bool, &Stats)> {
        self.columns.iter().filter_map(|c| Some((c.key.as_str(), matches!(c.kind, Kind::Camera(_)), c.stats.as_ref()?)))
    }
}
