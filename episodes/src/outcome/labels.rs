//! Success told per episode in a file beside the dataset: CSV with the columns `episode` and `success`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::Error;

/// What the first line must name; more columns may stand beside these.
const HEADER: [&str; 2] = ["episode", "success"];

/// Success by `episode_index`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Success and the line that says so.
    by_episode: BTreeMap<usize, (bool, u64)>,
}

impl Labels {
    /// Reads a label file.
    ///
    /// # Errors
    /// [`Error::Io`] without the file; [`Error::BadFile`] for a wrong header, a row that cannot be read and an
    /// episode that is labelled twice, naming the line.
    pub fn read(path: &Path) -> Result<Labels, Error> {
        let bytes = std::fs::read(path).map_err(|source| Error::Io {
            doing: "cannot read the labels (data.labels) in",
            source,
            path: path.to_path_buf(),
        })?;
        Labels::parse(&bytes).map_err(|(found, expected)| Error::BadFile { found, expected, path: path.to_path_buf() })
    }

    /// The label of an episode.
    pub fn get(&self, episode: usize) -> Option<bool> {
        self.by_episode.get(&episode).map(|(success, _)| *success)
    }

    /// Fails if an episode is labelled that is not `known`; `path` is for the message.
    ///
    /// # Errors
    /// [`Error::BadFile`], naming the line.
    pub fn check(&self, known: impl Fn(usize) -> bool, path: &Path) -> Result<(), Error> {
        match self.by_episode.iter().find(|(episode, _)| !known(**episode)) {
            None => Ok(()),
            Some((episode, (_, line))) => Err(Error::BadFile {
                found: format!("line {line} labels episode {episode}"),
                expected: "an episode that the dataset lists".to_owned(),
                path: path.to_path_buf(),
            }),
        }
    }

    /// The error is what was found and what was expected.
    fn parse(bytes: &[u8]) -> Result<Labels, (String, String)> {
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
        let row_expected = || "episode index and success (0, 1, true, false, yes or no)".to_owned();
        let unreadable = |error: &csv::Error| {
            let line = error.position().map_or(1, csv::Position::line);
            let why = match error.kind() {
                csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                    format!("has {len} fields, the header {expected_len}")
                }
                csv::ErrorKind::Utf8 { .. } => "is not UTF-8".to_owned(),
                _ => format!("cannot be read ({error})"),
            };
            (format!("line {line} {why}"), row_expected())
        };
        let header = reader.headers().map_err(|error| unreadable(&error))?.clone();
        let place = |name: &str| header.iter().position(|found| found.eq_ignore_ascii_case(name));
        let [Some(episode_at), Some(success_at)] = HEADER.map(place) else {
            let found = header.iter().collect::<Vec<_>>().join(",");
            return Err((format!("line 1 is '{found}'"), format!("a header with {}", HEADER.join(" and "))));
        };
        let mut labels = Labels::default();
        for row in reader.records() {
            let row = row.map_err(|error| unreadable(&error))?;
            let line = row.position().map_or(0, csv::Position::line);
            let (episode, success) = (&row[episode_at], &row[success_at]);
            let (Ok(index), Some(solved)) = (episode.parse::<usize>(), yes_or_no(success)) else {
                return Err((format!("line {line} says episode '{episode}', success '{success}'"), row_expected()));
            };
            if let Some((_, first)) = labels.by_episode.insert(index, (solved, line)) {
                let found = format!("line {line} labels episode {index} again, after line {first}");
                return Err((found, "one label per episode".to_owned()));
            }
        }
        Ok(labels)
    }
}

fn yes_or_no(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" => Some(true),
        "0" | "false" | "no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> String {
        let (found, expected) = Labels::parse(text.as_bytes()).expect_err("not sound");
        format!("{found}; expected {expected}")
    }

    #[test]
    fn labels_are_read_in_every_spelling_beside_other_columns() {
        let text =
            "\u{feff}operator, Success ,episode,note\nAnn,1,4,\"spilt, twice\nbut held\"\nBo,NO,0,\nBo,True,2,x\n";
        let labels = Labels::parse(text.as_bytes()).expect("sound labels");
        assert_eq!([4, 0, 2, 1].map(|episode| labels.get(episode)), [Some(true), Some(false), Some(true), None]);
        assert!(labels.check(|episode| episode < 5, Path::new("l.csv")).is_ok());
        // The quoted note runs over two lines: episode 0 stands on line 4.
        let unknown = labels.check(|episode| episode > 0, Path::new("l.csv")).expect_err("unknown").to_string();
        assert_eq!(unknown, "l.csv: line 4 labels episode 0; expected an episode that the dataset lists");
    }

    #[test]
    fn what_cannot_be_read_names_its_line() {
        let row = "expected episode index and success (0, 1, true, false, yes or no)";
        assert_eq!(
            words("episode,success\n0,1\n1,maybe\n"),
            format!("line 3 says episode '1', success 'maybe'; {row}")
        );
        assert_eq!(words("episode,success\n-1,1\n"), format!("line 2 says episode '-1', success '1'; {row}"));
        assert_eq!(words("episode,success\n0,1\n1\n"), format!("line 3 has 1 fields, the header 2; {row}"));
        assert_eq!(
            words("index,success\n0,1\n"),
            "line 1 is 'index,success'; expected a header with episode and success"
        );
        assert_eq!(words(""), "line 1 is ''; expected a header with episode and success");
        assert_eq!(
            words("episode,success\n3,1\n\n4,0\n3,0\n"),
            "line 5 labels episode 3 again, after line 2; expected one label per episode"
        );
        let (found, _) = Labels::parse(b"episode,success\n0,\xff\n").expect_err("not text");
        assert_eq!(found, "line 2 is not UTF-8");
    }
}
