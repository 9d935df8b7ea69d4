//! Parquet files: open, look at the columns, read some of them.

use std::ops::Range;
use std::path::Path;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::file::metadata::ParquetStatisticsPolicy::SkipAll;

use super::blocks::Blocks;
use crate::guard::guarded;

/// Rows decoded at a time where rows are small.
pub(crate) const ROWS_PER_BATCH: usize = 1024;

/// Said where the parquet reader panics.
pub(crate) const CORRUPT: &str = "its content is corrupt";

/// An open parquet file.
pub(crate) struct Table {
    file: Blocks,
    metadata: ArrowReaderMetadata,
}

impl Table {
    /// Opens a file and reads its footer. The error says what is wrong, not where.
    pub fn open(path: &Path) -> Result<Table, String> {
        guarded(|| Table::open_unguarded(path)).unwrap_or_else(|| Err(CORRUPT.to_owned()))
    }

    fn open_unguarded(path: &Path) -> Result<Table, String> {
        let file = Blocks::open(path).map_err(|err| err.to_string())?;
        // The plain parquet types suffice, and a strange Arrow schema beside them cannot get in the way.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        // Nothing is filtered by statistics. With a row group per episode and a hundred columns they fill the memory.
        let options = options
            .with_column_stats_policy(SkipAll)
            .with_size_stats_policy(SkipAll)
            .with_encoding_stats_policy(SkipAll);
        let metadata = ArrowReaderMetadata::load(&file, options).map_err(|err| match err {
            parquet::errors::ParquetError::General(why) => {
                format!("{why}; an interrupted recording leaves such files")
            }
            other => other.to_string(),
        })?;
        Ok(Table { file, metadata })
    }

    /// Position of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.metadata.schema().index_of(name).ok()
    }

    /// Reads all rows of some columns, batch by batch.
    pub fn batches(&self, columns: &[usize]) -> Result<ParquetRecordBatchReader, String> {
        self.builder(columns).with_batch_size(ROWS_PER_BATCH).build().map_err(|err| err.to_string())
    }

    /// Reads ascending row ranges of one column; the row groups around them stay untouched.
    pub fn rows(
        &self,
        column: usize,
        ranges: &[Range<usize>],
        batch: usize,
    ) -> Result<ParquetRecordBatchReader, String> {
        let mut groups = Vec::new();
        let mut selected = Vec::new();
        let (mut start, mut local) = (0, 0);
        for (group, about) in self.metadata.metadata().row_groups().iter().enumerate() {
            let len = usize::try_from(about.num_rows()).map_err(|err| err.to_string())?;
            let inside = ranges
                .iter()
                .map(|range| range.start.max(start)..range.end.min(start + len))
                .filter(|range| range.start < range.end)
                .map(|range| range.start - start + local..range.end - start + local);
            let before = selected.len();
            selected.extend(inside);
            if selected.len() > before {
                groups.push(group);
                local += len;
            }
            start += len;
        }
        let selection = RowSelection::from_consecutive_ranges(selected.into_iter(), local);
        let builder = self.builder(&[column]).with_row_groups(groups).with_row_selection(selection);
        builder.with_batch_size(batch).build().map_err(|err| err.to_string())
    }

    /// Reads a small file at once, only the columns whose name passes.
    pub fn read_all(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<RecordBatch, String> {
        guarded(|| Table::read_all_unguarded(path, wanted)).unwrap_or_else(|| Err(CORRUPT.to_owned()))
    }

    fn read_all_unguarded(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<RecordBatch, String> {
        let table = Table::open(path)?;
        let fields = table.metadata.schema().fields();
        let columns: Vec<usize> =
            fields.iter().enumerate().filter(|(_, field)| wanted(field.name())).map(|(i, _)| i).collect();
        let reader = table.batches(&columns)?;
        let schema = arrow::array::RecordBatchReader::schema(&reader);
        let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().map_err(|err| err.to_string())?;
        concat_batches(&schema, &batches).map_err(|err| err.to_string())
    }

    fn builder(&self, columns: &[usize]) -> ParquetRecordBatchReaderBuilder<Blocks> {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone());
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns.iter().copied());
        builder.with_projection(mask)
    }
}

/// A column of a batch by name, converted; the error names the column.
pub(crate) fn convert<T>(
    batch: &RecordBatch,
    name: &str,
    how: impl FnOnce(&ArrayRef) -> Result<T, String>,
) -> Result<T, String> {
    let column = batch.column_by_name(name).ok_or_else(|| format!("no column '{name}'"))?;
    how(column).map_err(|why| format!("column '{name}' {why}"))
}
