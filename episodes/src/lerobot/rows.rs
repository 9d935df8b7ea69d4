//! Data files as rows per episode: columns are read batch by batch and cut where `episode_index` changes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use arrow::array::RecordBatch;

use super::columns::{doubles, integers, vectors};
use super::info::{Feature, Info};
use super::table::{Table, convert};
use crate::spec::{DatasetSpec, VectorFeature};

/// The columns to read, by meaning.
pub(crate) struct Wanted<'a> {
    spec: &'a DatasetSpec,
    /// Per entry of [`Rows::extras`] the column that feeds it, where the dataset has one.
    extras: [Option<&'a str>; EXTRAS.len()],
}

/// Names of the column that says when a person had the controls; the first is ours.
pub(crate) const INTERVENTION: [&str; 2] = ["intervention", "complementary_info.is_intervention"];

/// Optional scalar columns and their usual names.
const EXTRAS: [(Extra, &[&str]); 7] = [
    (Extra::TimeS, &["timestamp"]),
    (Extra::Reward, &["next.reward"]),
    (Extra::Success, &["next.success"]),
    (Extra::Terminated, &["next.terminated"]),
    (Extra::Truncated, &["next.truncated"]),
    (Extra::Done, &["next.done"]),
    (Extra::Intervention, &INTERVENTION),
];

/// Names an optional scalar column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extra {
    /// `timestamp`, seconds.
    TimeS,
    /// `next.reward`.
    Reward,
    /// `next.success`.
    Success,
    /// `next.terminated`.
    Terminated,
    /// `next.truncated`.
    Truncated,
    /// `next.done`.
    Done,
    /// `intervention`.
    Intervention,
}

impl<'a> Wanted<'a> {
    /// Picks the columns that `info.json` promises.
    pub fn new(info: &'a Info, spec: &'a DatasetSpec) -> Wanted<'a> {
        let promised = |name: &&&str| info.features.get(**name).is_some_and(Feature::is_numeric);
        let extras = EXTRAS.map(|(_, names)| names.iter().find(promised).copied());
        Wanted { spec, extras }
    }
}

/// Columns that nothing is made of. `action` and vector observations count as read, whether chosen or not.
pub(crate) fn unread(info: &Info) -> Vec<String> {
    let places = ["frame_index", "episode_index", "index", "task_index"];
    let is_read = |key: &str| {
        let is_meant = EXTRAS.iter().any(|(_, names)| names.contains(&key)) || places.contains(&key);
        is_meant || key.starts_with("action") || key.starts_with("observation")
    };
    let columns = info.features.iter().filter(|(key, feature)| !feature.is_camera() && !is_read(key));
    columns.map(|(key, _)| key.clone()).collect()
}

/// Consecutive rows of one data file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// Position in the list of data files.
    pub file: usize,
    /// Rows within the file.
    pub rows: Range<usize>,
}

/// The rows of one episode, `n` of them, in the order of the file until [`Rows::sort`].
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// `frame_index` `[n]`.
    pub frame: Vec<i64>,
    /// `task_index` of the first row.
    pub task: Option<i64>,
    /// State `[n, S]`.
    pub state: Vec<f32>,
    /// Hints `[n, H]`.
    pub hint: Vec<f32>,
    /// Action `[n, A]`.
    pub action: Vec<f32>,
    /// Optional columns `[n]`, empty where absent; see [`Rows::extra`].
    extras: [Vec<f64>; EXTRAS.len()],
    /// Where the rows are, in order.
    pub sources: Vec<Source>,
}

impl Rows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.frame.len()
    }

    /// An optional column `[n]`; NaN where a cell is empty. `None` where (some of) the rows lack it.
    pub fn extra(&self, which: Extra) -> Option<&[f64]> {
        let place = EXTRAS.iter().position(|(extra, _)| *extra == which)?;
        Some(self.extras[place].as_slice()).filter(|column| column.len() == self.len())
    }

    /// Puts the rows in the order of `frame_index`.
    pub fn sort(&mut self) {
        if self.frame.is_sorted() {
            return;
        }
        let n = self.len();
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by_key(|&row| self.frame[row]);
        self.state = permute(&self.state, &order);
        self.hint = permute(&self.hint, &order);
        self.action = permute(&self.action, &order);
        self.frame = permute(&self.frame, &order);
        for column in &mut self.extras {
            if column.len() == n {
                *column = permute(column, &order);
            }
        }
        let rows: Vec<(usize, usize)> =
            self.sources.iter().flat_map(|source| source.rows.clone().map(|row| (source.file, row))).collect();
        self.sources.clear();
        for row in order {
            let (file, row) = rows[row];
            push_source(&mut self.sources, Source { file, rows: row..row + 1 });
        }
    }
}

/// Rows of a row-major table in another order.
fn permute<T: Copy>(values: &[T], order: &[usize]) -> Vec<T> {
    let width = values.len() / order.len();
    let mut out = Vec::with_capacity(values.len());
    for &row in order {
        out.extend_from_slice(&values[row * width..(row + 1) * width]);
    }
    out
}

fn push_source(sources: &mut Vec<Source>, next: Source) {
    match sources.last_mut() {
        Some(last) if last.file == next.file && last.rows.end == next.rows.start => last.rows.end = next.rows.end,
        _ => sources.push(next),
    }
}

/// Adds the rows of one data file to the episodes they belong to.
///
/// On an error everything that could be read has been added all the same; the first error is returned.
pub(crate) fn read_file(
    path: &Path,
    file: usize,
    wanted: &Wanted<'_>,
    episodes: &mut BTreeMap<i64, Rows>,
) -> Result<(), String> {
    let table = Table::open(path)?;
    let spec = wanted.spec;
    let mut names = vec!["episode_index", "frame_index", spec.action.key.as_str()];
    names.extend(spec.state.iter().chain(&spec.hints).map(|feature| feature.key.as_str()));
    let mut columns: Vec<usize> = Vec::with_capacity(names.len() + EXTRAS.len() + 1);
    for name in names {
        columns.push(table.column(name).ok_or_else(|| format!("no column '{name}'"))?);
    }
    columns.extend(wanted.extras.iter().flatten().filter_map(|name| table.column(name)));
    columns.extend(table.column("task_index"));
    let mut first_row = 0;
    let mut outcome = Ok(());
    for batch in table.batches(&columns)? {
        let batch = batch.map_err(|err| err.to_string())?;
        outcome = outcome.and(add_batch(&batch, wanted, file, first_row, episodes));
        first_row += batch.num_rows();
    }
    outcome
}

/// Vector columns side by side, `[n, …]`.
fn side_by_side(batch: &RecordBatch, features: &[VectorFeature]) -> Result<Vec<f32>, String> {
    let width: usize = features.iter().map(|feature| feature.len).sum();
    let mut out = vec![0.0; batch.num_rows() * width];
    for feature in features {
        let values = convert(batch, &feature.key, |column| vectors(column, feature.len))?;
        for (row, values) in values.chunks_exact(feature.len).enumerate() {
            let start = row * width + feature.offset;
            out[start..start + feature.len].copy_from_slice(values);
        }
    }
    Ok(out)
}

fn add_batch(
    batch: &RecordBatch,
    wanted: &Wanted<'_>,
    file: usize,
    first_row: usize,
    episodes: &mut BTreeMap<i64, Rows>,
) -> Result<(), String> {
    let spec = wanted.spec;
    let index = convert(batch, "episode_index", integers)?;
    let frame = convert(batch, "frame_index", integers)?;
    let task = convert(batch, "task_index", integers).unwrap_or_default();
    let (state_len, hint_len, action_len) = (spec.state_len(), spec.hint_len(), spec.action_len());
    let action = convert(batch, &spec.action.key, |column| vectors(column, action_len))?;
    let state = side_by_side(batch, &spec.state)?;
    let hint = side_by_side(batch, &spec.hints)?;
    let mut extras: [Vec<f64>; EXTRAS.len()] = Default::default();
    for (values, name) in extras.iter_mut().zip(wanted.extras) {
        if let Some(name) = name.filter(|name| batch.column_by_name(name).is_some()) {
            *values = convert(batch, name, doubles)?;
        }
    }
    let mut start = 0;
    for run in index.chunk_by(|a, b| a == b) {
        let rows = start..start + run.len();
        let episode = episodes.entry(run[0]).or_default();
        episode.frame.extend_from_slice(&frame[rows.clone()]);
        episode.state.extend_from_slice(&state[rows.start * state_len..rows.end * state_len]);
        episode.hint.extend_from_slice(&hint[rows.start * hint_len..rows.end * hint_len]);
        episode.action.extend_from_slice(&action[rows.start * action_len..rows.end * action_len]);
        for (to, from) in episode.extras.iter_mut().zip(&extras) {
            to.extend_from_slice(from.get(rows.clone()).unwrap_or_default());
        }
        episode.task = episode.task.or(task.get(rows.start).copied());
        push_source(&mut episode.sources, Source { file, rows: first_row + rows.start..first_row + rows.end });
        start = rows.end;
    }
    Ok(())
}
