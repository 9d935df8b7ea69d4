//! The columns of a written dataset: their types, values, shapes in `info.json` and statistics.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float32Array, Int64Array, RecordBatch};
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use serde_json::{Value, json};

use super::arrays;
use super::pictures::Encoded;
use crate::normaliser::Moments;
use crate::survey::Picture;
use crate::{DatasetSpec, Episode, RecordedEpisode, VectorFeature};

/// What one column holds.
enum Kind {
    /// Elements `offset..offset + len` of the state vector.
    State {
        offset: usize,
    },
    Action,
    Camera {
        position: usize,
        height: usize,
        width: usize,
    },
    Reward,
    Success,
    Intervention,
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
    /// One per vector element or colour channel.
    moments: Vec<Moments>,
}

/// All columns in file order, with running statistics.
pub(super) struct Columns {
    columns: Vec<Column>,
    rate_hz: f64,
    state_len: usize,
    action_len: usize,
    frames: u64,
}

impl Columns {
    pub(super) fn new(spec: &DatasetSpec, has_intervention: bool) -> Self {
        let vector = |f: &VectorFeature, kind| Column {
            key: f.key.clone(),
            kind,
            dtype: "float32",
            len: f.len,
            names: Some(f.names.clone()),
            moments: vec![Moments::default(); f.len],
        };
        let scalar = |key: &str, kind, dtype| Column {
            key: key.to_owned(),
            kind,
            dtype,
            len: 1,
            names: None,
            moments: vec![Moments::default()],
        };
        let mut columns = Vec::new();
        let mut offset = 0;
        for f in &spec.state {
            columns.push(vector(f, Kind::State { offset }));
            offset += f.len;
        }
        columns.push(vector(&spec.action, Kind::Action));
        for (position, c) in spec.cameras.iter().enumerate() {
            columns.push(Column {
                key: c.key.clone(),
                kind: Kind::Camera { position, height: c.native_height, width: c.native_width },
                dtype: "image",
                len: 1,
                names: Some(["height", "width", "channel"].map(str::to_owned).to_vec()),
                moments: vec![Moments::default(); 3],
            });
        }
        if spec.has_reward {
            columns.push(scalar("next.reward", Kind::Reward, "float32"));
        }
        if spec.has_success {
            columns.push(scalar("next.success", Kind::Success, "bool"));
        }
        if has_intervention {
            columns.push(scalar("intervention", Kind::Intervention, "bool"));
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
        Self {
            columns,
            rate_hz: spec.control_rate_hz,
            state_len: spec.state_len(),
            action_len: spec.action_len(),
            frames: 0,
        }
    }

    /// Compares an episode's shapes with the columns; `Err` is (found, expected).
    pub(super) fn check(&self, e: &Episode, cameras: &[Encoded]) -> Result<(), (String, String)> {
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
        let declared = self.columns.iter().filter(|c| matches!(c.kind, Kind::Camera { .. })).count();
        same("cameras", cameras.len(), declared)?;
        for c in &self.columns {
            if let Kind::Camera { position, height, width } = c.kind {
                same(&format!("pictures of {}", c.key), cameras[position].len(), e.len)?;
                let (found_height, found_width) = cameras[position].size.unwrap_or((height, width));
                if (found_height, found_width) != (height, width) {
                    let found = format!("pictures of {} with {found_height}x{found_width} pixels", c.key);
                    return Err((found, format!("{height}x{width}")));
                }
            }
        }
        let declared = |found: Option<usize>, what: &str, wanted: fn(&Kind) -> bool| match (
            found,
            self.columns.iter().any(|c| wanted(&c.kind)),
        ) {
            (Some(n), true) => same(&format!("{what} values"), n, e.len),
            (None, false) => Ok(()),
            (Some(_), false) => Err((format!("a {what} column"), format!("no {what} column, as in this dataset"))),
            (None, true) => Err((format!("no {what} column"), format!("a {what} column, as in this dataset"))),
        };
        declared(e.reward.as_ref().map(Vec::len), "reward", |k| matches!(k, Kind::Reward))?;
        declared(e.success.as_ref().map(Vec::len), "success", |k| matches!(k, Kind::Success))?;
        declared(e.intervention.as_ref().map(Vec::len), "intervention", |k| matches!(k, Kind::Intervention))
    }

    /// Recorded pixels of every camera as PNG, lossless; `Err` is (found, expected).
    pub(super) fn encode(&self, recorded: &RecordedEpisode) -> Result<Vec<Encoded>, (String, String)> {
        let mut cameras: Vec<Encoded> = recorded.frames.iter().map(|_| Encoded::new()).collect();
        for c in &self.columns {
            let Kind::Camera { position, height, width } = c.kind else { continue };
            // Too few cameras are named when the episode is checked.
            let Some(frames) = recorded.frames.get(position) else { continue };
            let (len, bytes) = (recorded.episode.len, height * width * 3);
            if frames.len() != len * bytes {
                let found = format!("{} bytes of pictures of {}", frames.len(), c.key);
                return Err((found, format!("{} for {len} steps", len * bytes)));
            }
            let rgb = |pixels: &[u8]| Picture::Rgb { pixels: pixels.to_vec(), height, width };
            let pictures = frames.chunks_exact(bytes.max(1)).map(rgb).collect();
            cameras[position].extend(pictures).map_err(|why| (why, "pictures that can be written".to_owned()))?;
        }
        Ok(cameras)
    }

    /// One episode as a record batch of `len` rows.
    pub(super) fn batch(
        &self,
        e: &Episode,
        cameras: Vec<Encoded>,
        episode_index: usize,
        first_frame: usize,
        task_index: usize,
    ) -> Result<RecordBatch, ArrowError> {
        let mut cameras = cameras.into_iter().map(|camera| camera.pictures);
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for c in &self.columns {
            arrays.push(match &c.kind {
                Kind::Camera { .. } => arrays::picture_array(cameras.next().unwrap_or_default())?,
                Kind::State { .. } | Kind::Action => {
                    arrays::vector_array(c.len, self.values(c, e, 0, 0, 0).map(|x| x as f32).collect())?
                }
                _ => {
                    let values = self.values(c, e, episode_index, first_frame, task_index);
                    match c.dtype {
                        "bool" => Arc::new(BooleanArray::from_iter(values.map(|x| Some(x != 0.0)))) as ArrayRef,
                        "int64" => Arc::new(Int64Array::from_iter_values(values.map(|x| x as i64))),
                        _ => Arc::new(Float32Array::from_iter_values(values.map(|x| x as f32))),
                    }
                }
            });
        }
        RecordBatch::try_new(Arc::new(self.schema()), arrays)
    }

    /// Takes an episode into the running statistics.
    pub(super) fn count(
        &mut self,
        e: &Episode,
        cameras: &[Encoded],
        episode_index: usize,
        first_frame: usize,
        task_index: usize,
    ) {
        let mut columns = std::mem::take(&mut self.columns);
        for c in &mut columns {
            let mut moments = std::mem::take(&mut c.moments);
            match c.kind {
                Kind::Camera { position, .. } => cameras[position].count_into(&mut moments),
                _ => {
                    for (i, x) in self.values(c, e, episode_index, first_frame, task_index).enumerate() {
                        moments[i % c.len].add(x);
                    }
                }
            }
            c.moments = moments;
        }
        self.columns = columns;
        self.frames += e.len as u64;
    }

    /// The numbers of a vector or scalar column, row by row; exact in `f64` for every column type.
    fn values<'a>(
        &self,
        c: &'a Column,
        e: &'a Episode,
        episode_index: usize,
        first_frame: usize,
        task_index: usize,
    ) -> Box<dyn Iterator<Item = f64> + 'a> {
        let (state_len, rate_hz) = (self.state_len, self.rate_hz);
        let steps = 0..e.len;
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
            Kind::Camera { .. } => Box::new(std::iter::empty()),
            Kind::Reward => Box::new(e.reward.iter().flatten().map(|&x| f64::from(x))),
            Kind::Success => Box::new(flags(&e.success)),
            Kind::Intervention => Box::new(flags(&e.intervention)),
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
        let fields: Vec<Field> =
            self.columns.iter().map(|c| Field::new(&c.key, arrays::data_type(c.dtype, c.len), true)).collect();
        let features: serde_json::Map<String, Value> =
            self.columns.iter().map(|c| (c.key.clone(), arrays::hugging_face_feature(c.dtype, c.len))).collect();
        let info = json!({"info": {"features": features}}).to_string();
        Schema::new_with_metadata(fields, [("huggingface".to_owned(), info)].into())
    }

    /// `features` of `info.json`.
    pub(super) fn info_features(&self) -> Value {
        let feature = |c: &Column| {
            let shape = match c.kind {
                Kind::Camera { height, width, .. } => vec![height, width, 3],
                _ => vec![c.len],
            };
            json!({"dtype": c.dtype, "shape": shape, "names": c.names})
        };
        Value::Object(self.columns.iter().map(|c| (c.key.clone(), feature(c))).collect())
    }

    /// Content of `stats.json`.
    pub(super) fn stats(&self) -> Value {
        let stats = |c: &Column| {
            let each = |of: fn(&Moments) -> f64| -> Vec<Value> {
                let nest = |x: f64| {
                    if c.dtype == "image" { json!([[x]]) } else { json!(x) }
                };
                c.moments.iter().map(|m| nest(of(m))).collect()
            };
            json!({
                "min": each(Moments::min),
                "max": each(Moments::max),
                "mean": each(Moments::mean),
                "std": each(Moments::std),
                "count": [self.frames],
            })
        };
        Value::Object(self.columns.iter().map(|c| (c.key.clone(), stats(c))).collect())
    }
}
