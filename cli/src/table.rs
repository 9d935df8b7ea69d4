//! Tables that users write: CSV with a header, every row with its line, so that a mistake can be pointed at.

use std::path::{Path, PathBuf};

use csv::{ErrorKind, Position, ReaderBuilder, StringRecord, Trim};

use crate::errors::UsageError;

/// A table as it was read.
pub struct Table {
    path: PathBuf,
    header: StringRecord,
    rows: Vec<StringRecord>,
}

/// One row of a table.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    table: &'a Table,
    fields: &'a StringRecord,
}

impl Table {
    /// Reads a file whose header names all of `required`; other columns may stand beside them.
    ///
    /// # Errors
    /// No file, no such header, a row that cannot be read or has more or fewer fields: the file, the line, and what was expected.
    pub fn read(path: &Path, required: &[&str]) -> Result<Self, UsageError> {
        let bytes = std::fs::read(path).map_err(|e| {
            UsageError(format!("cannot read {} ({e}); expected a CSV file with {}", path.display(), required.join(",")))
        })?;
        Self::parse(path, &bytes, required)
    }

    fn parse(path: &Path, bytes: &[u8], required: &[&str]) -> Result<Self, UsageError> {
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(bytes);
        let unreadable = |error: &csv::Error| {
            let line = error.position().map_or(1, Position::line);
            let why = match error.kind() {
                ErrorKind::UnequalLengths { expected_len, len, .. } => {
                    format!("has {len} fields; expected {expected_len}, as in the header")
                }
                ErrorKind::Utf8 { .. } => "is not text; expected UTF-8".to_owned(),
                _ => format!("cannot be read ({error})"),
            };
            UsageError(format!("{}: line {line} {why}", path.display()))
        };
        let header = reader.headers().map_err(|error| unreadable(&error))?.clone();
        if !required.iter().all(|name| header.iter().any(|found| found.eq_ignore_ascii_case(name))) {
            let found = header.iter().collect::<Vec<_>>().join(",");
            return Err(UsageError(format!(
                "{}: line 1 is '{found}'; expected a header with {}",
                path.display(),
                required.join(",")
            )));
        }
        let rows = reader.records().collect::<Result<Vec<_>, _>>().map_err(|error| unreadable(&error))?;
        Ok(Self { path: path.to_path_buf(), header, rows })
    }

    /// Whether the header names a column.
    pub fn has(&self, column: &str) -> bool {
        self.header.iter().any(|found| found.eq_ignore_ascii_case(column))
    }

    /// In their order.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|fields| Row { table: self, fields })
    }
}

impl<'a> Row<'a> {
    /// What stands in a column; nothing where there is no such column.
    pub fn get(&self, column: &str) -> &'a str {
        let place = self.table.header.iter().position(|found| found.eq_ignore_ascii_case(column));
        place.and_then(|place| self.fields.get(place)).unwrap_or("")
    }

    /// Line in the file, from 1.
    pub fn line(&self) -> u64 {
        self.fields.position().map_or(0, Position::line)
    }

    /// A number, or nothing where the field is empty.
    ///
    /// # Errors
    /// It is none, or `is` does not hold of it.
    pub fn number(&self, column: &str, expected: &str, is: fn(f64) -> bool) -> Result<Option<f64>, UsageError> {
        let text = self.get(column);
        if text.is_empty() {
            return Ok(None);
        }
        let number = text.parse::<f64>().ok().filter(|x| x.is_finite() && is(*x));
        number.map(Some).ok_or_else(|| self.wrong(&format!("says {column} '{text}'"), expected))
    }

    /// What is wrong with the row.
    pub fn wrong(&self, found: &str, expected: &str) -> UsageError {
        UsageError(format!("{}: line {} {found}; expected {expected}", self.table.path.display(), self.line()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(bytes: &[u8]) -> String {
        Table::parse(Path::new("t.csv"), bytes, &["policy", "success"]).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn columns_go_by_name_and_mistakes_by_line() {
        let text = "\u{feff}note,Success , policy\n\"two\nlines\",0.5,cloned\n,,improved\n".as_bytes();
        let table = Table::parse(Path::new("t.csv"), text, &["policy", "success"]).expect("a sound table");
        let read: Vec<_> =
            table.rows().map(|r| (r.line(), r.get("policy"), r.number("success", "", |_| true))).collect();
        assert_eq!(read, [(2, "cloned", Ok(Some(0.5))), (4, "improved", Ok(None))]);
        assert!(table.has("NOTE") && !table.has("return"));
        let row = table.rows().next().expect("a row");
        let wrong = row.number("success", "a share from 0 to 0.4", |x| x <= 0.4).expect_err("too much").to_string();
        assert_eq!(wrong, "t.csv: line 2 says success '0.5'; expected a share from 0 to 0.4");
        assert_eq!(
            words(b"policy,sucess\n"),
            "t.csv: line 1 is 'policy,sucess'; expected a header with policy,success"
        );
        assert_eq!(words(b"policy,success\na,1\nb\n"), "t.csv: line 3 has 1 fields; expected 2, as in the header");
        assert_eq!(words(b"policy,success\n\xff,1\n"), "t.csv: line 2 is not text; expected UTF-8");
    }
}
