//! Tables that users write: CSV with a header, every row with its line, so that a mistake can be pointed at.

use std::path::{Path, PathBuf};

use crate::errors::UsageError;

/// A table as it was read.
pub struct Table {
    path: PathBuf,
    header: Vec<String>,
    rows: Vec<(usize, Vec<String>)>,
}

/// One row of a table.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    table: &'a Table,
    line: usize,
    fields: &'a [String],
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
        let wrong = |line: usize, why: &str| UsageError(format!("{}: line {line} {why}", path.display()));
        let text = std::str::from_utf8(bytes).map_err(|e| {
            let line = 1 + bytes[..e.valid_up_to()].iter().filter(|&&b| b == b'\n').count();
            wrong(line, "is not text; expected UTF-8")
        })?;
        let mut rows = records(text.strip_prefix('\u{feff}').unwrap_or(text))
            .map_err(|line| wrong(line, "opens a quotation mark that nothing closes"))?;
        let header = if rows.is_empty() { Vec::new() } else { rows.remove(0).1 };
        if !required.iter().all(|name| header.iter().any(|found| found.eq_ignore_ascii_case(name))) {
            let why = format!("is '{}'; expected a header with {}", header.join(","), required.join(","));
            return Err(wrong(1, &why));
        }
        if let Some((line, fields)) = rows.iter().find(|(_, fields)| fields.len() != header.len()) {
            let why = format!("has {} fields; expected {}, as in the header", fields.len(), header.len());
            return Err(wrong(*line, &why));
        }
        Ok(Self { path: path.to_path_buf(), header, rows })
    }

    /// Whether the header names a column.
    pub fn has(&self, column: &str) -> bool {
        self.header.iter().any(|found| found.eq_ignore_ascii_case(column))
    }

    /// In their order.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|(line, fields)| Row { table: self, line: *line, fields })
    }
}

impl<'a> Row<'a> {
    /// What stands in a column; nothing where there is no such column.
    pub fn get(&self, column: &str) -> &'a str {
        let place = self.table.header.iter().position(|found| found.eq_ignore_ascii_case(column));
        place.and_then(|place| self.fields.get(place)).map_or("", String::as_str)
    }

    /// Line in the file, from 1.
    pub fn line(&self) -> usize {
        self.line
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

/// Records with the lines they begin on, fields without the spaces around them, empty lines left out (RFC 4180: a field in quotation marks
/// may hold commas and line ends, a doubled mark is one). The error is the line of a mark that nothing closes.
fn records(text: &str) -> Result<Vec<(usize, Vec<String>)>, usize> {
    let (mut records, mut fields, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut began, mut opened) = (1, 1, None);
    let mut letters = text.chars().chain(['\n']).peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if opened.is_some() && letters.peek() == Some(&'"') => field.extend(letters.next()),
            '"' => opened = if opened.is_some() { None } else { Some(line) },
            ',' if opened.is_none() => fields.push(std::mem::take(&mut field).trim().to_owned()),
            '\n' if opened.is_none() => {
                fields.push(std::mem::take(&mut field).trim().to_owned());
                let whole = std::mem::take(&mut fields);
                if whole.iter().any(|field| !field.is_empty()) {
                    records.push((began, whole));
                }
            }
            _ => field.push(letter),
        }
        if letter == '\n' {
            line += 1;
            began = if opened.is_none() { line } else { began };
        }
    }
    opened.map_or(Ok(records), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(bytes: &[u8]) -> String {
        Table::parse(Path::new("t.csv"), bytes, &["policy", "success"]).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn records_by_hand() {
        let fields = |of: &[&str]| of.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>();
        let read = records("a, b\r\n\n\"x, \"\"y\"\"\",\"1\n2\"\nlast,");
        assert_eq!(
            read,
            Ok(vec![(1, fields(&["a", "b"])), (3, fields(&["x, \"y\"", "1\n2"])), (5, fields(&["last", ""]))])
        );
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
        assert_eq!(words(b"policy,success\n\"a,1\n"), "t.csv: line 2 opens a quotation mark that nothing closes");
        assert_eq!(words(b""), "t.csv: line 1 is ''; expected a header with policy,success");
    }
}
