//! One open HDF5 file: names, shapes, rows and attributes. What is wrong is said in a few words, never by a panic.

use std::ops::Range;
use std::path::{Path, PathBuf};

use hdf5_reader::error::Error;
use hdf5_reader::{Dataset, Datatype, H5Type, Hdf5File, OpenOptions, SliceInfo, SliceInfoElem, StringSize, VarLenKind};

use super::element::{Bytes, Number, describe, is_number};
use crate::guard::guarded;

/// Deflate makes at most 1032 bytes of one: a dataset that claims more than that of its file is damaged, and its
/// size must not exhaust the memory.
const MAX_EXPANSION: usize = 1032;
/// What one read may always take, so that small files of empty chunks are read; and what none may.
const READ_LIMITS_BYTES: (usize, usize) = (64 << 20, 8 << 30);

/// What the cells of a dataset are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Cell {
    /// Unsigned bytes: pixels, encoded pictures, or small numbers.
    Byte,
    /// Numbers or booleans.
    Number,
    /// Byte strings, all of one length or each of its own.
    Bytes,
    /// Nothing this crate reads.
    Other,
}

/// Dimensions and type of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Elements per axis; the first counts steps.
    pub dims: Vec<usize>,
    /// What one element is.
    pub cell: Cell,
}

/// An open file.
pub(super) struct H5 {
    file: Hdf5File,
    /// Where it is.
    pub path: PathBuf,
}

impl H5 {
    /// Opens a file and reads its first bytes.
    pub fn open(path: &Path) -> Result<H5, String> {
        let len = std::fs::metadata(path).map_err(|err| err.to_string())?.len();
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let (least, most) = READ_LIMITS_BYTES;
        let limit = len.saturating_mul(MAX_EXPANSION).clamp(least, most);
        let options = OpenOptions::default().with_max_read_bytes(limit);
        let file = whole(|| Hdf5File::open_with_options(path, options).map_err(|err| err.to_string()))?;
        Ok(H5 { file, path: path.to_path_buf() })
    }

    /// Names of the groups and of the datasets in a group, each sorted; `""` is the root.
    pub fn members(&self, group: &str) -> Result<(Vec<String>, Vec<String>), String> {
        let names = || self.file.group(group)?.member_names();
        let (mut groups, mut datasets) = whole(|| names().map_err(|err: Error| err.to_string()))?;
        groups.sort();
        datasets.sort();
        Ok((groups, datasets))
    }

    /// Dimensions and type of a dataset.
    pub fn shape(&self, dataset: &str) -> Result<Shape, String> {
        let dataset = self.dataset(dataset)?;
        let dims = dataset.shape().iter().map(|&n| usize::try_from(n).unwrap_or(usize::MAX)).collect();
        let cell = match dataset.dtype() {
            Datatype::FixedPoint { size: 1, signed: false, .. } => Cell::Byte,
            dtype if is_number(dtype) => Cell::Number,
            Datatype::String { .. } | Datatype::VarLen { kind: VarLenKind::Sequence, .. } => Cell::Bytes,
            _ => Cell::Other,
        };
        Ok(Shape { dims, cell })
    }

    /// Rows of a dataset as numbers, row-major.
    pub fn numbers(&self, dataset: &str, rows: Range<usize>) -> Result<Vec<f64>, String> {
        let dataset = self.dataset(dataset)?;
        if !is_number(dataset.dtype()) {
            return Err(format!("holds {}, not numbers", describe(dataset.dtype())));
        }
        Ok(slice::<Number>(&dataset, rows)?.into_iter().map(|number| number.0).collect())
    }

    /// Rows of a dataset of bytes, row-major.
    pub fn bytes(&self, dataset: &str, rows: Range<usize>) -> Result<Vec<u8>, String> {
        slice::<u8>(&self.dataset(dataset)?, rows)
    }

    /// Rows of a dataset of byte strings.
    pub fn byte_strings(&self, dataset: &str, rows: Range<usize>) -> Result<Vec<Vec<u8>>, String> {
        let dataset = self.dataset(dataset)?;
        let cells = slice::<Bytes>(&dataset, rows)?.into_iter().map(|cell| cell.0);
        match dataset.dtype() {
            Datatype::String { size: StringSize::Fixed(_), .. } => Ok(cells.collect()),
            Datatype::String { .. } | Datatype::VarLen { .. } => cells
                .map(|cell| whole(|| dataset.resolve_vlen_reference_bytes(&cell, 1).map_err(|err| err.to_string())))
                .collect(),
            other => Err(format!("holds {}, not pictures", describe(other))),
        }
    }

    /// All of a dataset of texts; none where it is not there or not text.
    pub fn texts(&self, dataset: &str) -> Option<Vec<String>> {
        guarded(|| self.dataset(dataset).ok()?.read_strings().ok())?
    }

    /// A text attribute of a group; none where it is not there or not text.
    pub fn text_attribute(&self, group: &str, name: &str) -> Option<String> {
        guarded(|| self.file.group(group).ok()?.attribute(name).ok()?.read_string().ok())?
    }

    /// A number attribute of a group; none where it is not there or not a number.
    pub fn number_attribute(&self, group: &str, name: &str) -> Option<f64> {
        guarded(|| self.file.group(group).ok()?.attribute(name).ok()?.read_as_f64().ok())?
    }

    fn dataset(&self, name: &str) -> Result<Dataset, String> {
        whole(|| self.file.dataset(name).map_err(|err| err.to_string()))
    }
}

/// Rows `rows` of a dataset, row-major; fewer than asked for is an error.
fn slice<T: H5Type>(dataset: &Dataset, rows: Range<usize>) -> Result<Vec<T>, String> {
    let dims = dataset.shape();
    let have = dims.first().copied().unwrap_or(0);
    if dims.is_empty() || (rows.end as u64) > have {
        return Err(format!("has {have} rows, {} are needed", rows.end));
    }
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut selection = SliceInfo::all(dims.len());
    selection.selections[0] = SliceInfoElem::Slice { start: rows.start as u64, end: rows.end as u64, step: 1 };
    let array = whole(|| dataset.read_slice::<T>(&selection).map_err(|err| err.to_string()))?;
    // An array that was just read lies in one piece; walking its axes would cost more than encoding the pictures.
    if !array.is_standard_layout() {
        return Ok(array.into_iter().collect());
    }
    let len = array.len();
    let (mut values, offset) = array.into_raw_vec_and_offset();
    values.drain(..offset.unwrap_or(0));
    values.truncate(len);
    Ok(values)
}

/// Runs the library; a panic in it is a reason like any other.
fn whole<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    guarded(read).unwrap_or_else(|| Err("its content is corrupt".to_owned()))
}
