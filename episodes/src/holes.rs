//! Collects what is left out while reading, and says it in few entries: equal reasons are told once.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::spec::Skipped;

/// Index ranges listed in one entry before the rest is only counted.
const MAX_LISTED_RANGES: usize = 16;

/// Reasons quoted in one refusal before the rest is only counted.
const MAX_QUOTED: usize = 6;

/// Why one episode is left out: a reason shared by many episodes, and the file it concerns, if one does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Why {
    /// The reason, in words that fit one episode as well as many.
    pub text: String,
    /// The file concerned, relative to the dataset.
    pub file: Option<PathBuf>,
}

impl Why {
    /// A reason that concerns no particular file.
    pub fn new(text: impl Into<String>) -> Why {
        Why { text: text.into(), file: None }
    }

    /// A reason that concerns one file.
    pub fn in_file(text: impl Into<String>, file: &Path) -> Why {
        Why { text: text.into(), file: Some(file.to_path_buf()) }
    }
}

/// Everything left out so far.
#[derive(Debug, Default)]
pub(crate) struct Holes {
    /// Left out by nature (depth cameras): worth a word, no fault of the data.
    notes: Vec<Skipped>,
    /// Faults that are not one episode's: broken metadata, totals that lie.
    faults: Vec<Skipped>,
    /// Episodes left out.
    episodes: Vec<(usize, Why)>,
}

impl Holes {
    /// Mentions something that is left out although nothing is wrong with it.
    pub fn note(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.notes.push(Skipped { what: what.into(), why: why.into() });
    }

    /// Records a fault of the dataset as a whole.
    pub fn fault(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.faults.push(Skipped { what: what.into(), why: why.into() });
    }

    /// Records that an episode is left out.
    pub fn episode(&mut self, index: usize, why: Why) {
        self.episodes.push((index, why));
    }

    /// Fails if anything is wrong with the data and `strict` was asked for.
    pub fn refuse_if(&self, strict: bool, path: &Path) -> Result<(), Error> {
        let faults = self.fault_entries();
        if !strict || faults.is_empty() {
            return Ok(());
        }
        Err(Error::NothingLeft {
            found: format!("{} would be left out: {}", count(faults.len(), "item"), quote(&faults)),
            expected: "a dataset without holes, because strict reading was asked for".to_owned(),
            path: path.to_path_buf(),
        })
    }

    /// The error for a dataset of which nothing is left.
    pub fn nothing_left(self, path: &Path) -> Error {
        let faults = self.fault_entries();
        let reasons = if faults.is_empty() { String::new() } else { format!(": {}", quote(&faults)) };
        Error::NothingLeft {
            found: format!("no sound episode{reasons}"),
            expected: "at least one episode that can be read whole".to_owned(),
            path: path.to_path_buf(),
        }
    }

    /// All entries: notes, faults of the whole, then episodes.
    pub fn into_skipped(self) -> Vec<Skipped> {
        let mut entries = self.notes.clone();
        entries.extend(self.fault_entries());
        entries
    }

    fn fault_entries(&self) -> Vec<Skipped> {
        let mut groups: Vec<(&str, Vec<(usize, Option<&Path>)>)> = Vec::new();
        let mut sorted: Vec<&(usize, Why)> = self.episodes.iter().collect();
        sorted.sort_by_key(|(index, _)| *index);
        for (index, why) in sorted {
            let member = (*index, why.file.as_deref());
            match groups.iter_mut().find(|(text, _)| *text == why.text) {
                Some((_, members)) => members.push(member),
                None => groups.push((&why.text, vec![member])),
            }
        }
        let episodes = groups.into_iter().map(|(text, members)| {
            let indices: Vec<usize> = members.iter().map(|(index, _)| *index).collect();
            let files: BTreeSet<&Path> = members.iter().filter_map(|(_, file)| *file).collect();
            Skipped { what: name_episodes(&indices), why: with_files(text, &files) }
        });
        self.faults.iter().cloned().chain(episodes).collect()
    }
}

/// `episode 3` or `4 episodes (0, 3, 6-9)` for ascending indices.
pub(crate) fn name_episodes(indices: &[usize]) -> String {
    if let [only] = indices {
        return format!("episode {only}");
    }
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &index in indices {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => ranges.push((index, index)),
        }
    }
    let mut listed: Vec<String> = ranges
        .iter()
        .take(MAX_LISTED_RANGES)
        .map(|&(first, last)| match last - first {
            0 => first.to_string(),
            1 => format!("{first}, {last}"),
            _ => format!("{first}-{last}"),
        })
        .collect();
    if ranges.len() > MAX_LISTED_RANGES {
        listed.push("…".to_owned());
    }
    format!("{} episodes ({})", indices.len(), listed.join(", "))
}

/// `1 episode`, `2 episodes`.
pub(crate) fn count(n: usize, unit: &str) -> String {
    format!("{n} {unit}{}", if n == 1 { "" } else { "s" })
}

fn with_files(text: &str, files: &BTreeSet<&Path>) -> String {
    let mut why = text.to_owned();
    if let Some(first) = files.first() {
        // Writing to a string cannot fail.
        let _ = write!(why, ": {}", first.display());
        if files.len() > 1 {
            let _ = write!(why, " and {} more", files.len() - 1);
        }
    }
    why
}

fn quote(entries: &[Skipped]) -> String {
    let mut quoted: Vec<String> =
        entries.iter().take(MAX_QUOTED).map(|entry| format!("{} ({})", entry.what, entry.why)).collect();
    if entries.len() > MAX_QUOTED {
        quoted.push(format!("and {} more", entries.len() - MAX_QUOTED));
    }
    quoted.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_reasons_are_told_once() {
        let mut holes = Holes::default();
        for index in [9, 0, 3, 6] {
            holes.episode(index, Why::in_file("video missing", Path::new(&format!("videos/{index}.mp4"))));
        }
        holes.episode(4, Why::new("has 3 rows"));
        let skipped = holes.into_skipped();
        assert_eq!(skipped[0].what, "4 episodes (0, 3, 6, 9)");
        assert_eq!(skipped[0].why, "video missing: videos/0.mp4 and 3 more");
        assert_eq!(skipped[1], Skipped { what: "episode 4".into(), why: "has 3 rows".into() });
    }

    #[test]
    fn index_lists_stay_short() {
        assert_eq!(name_episodes(&(24..100).collect::<Vec<_>>()), "76 episodes (24-99)");
        assert_eq!(name_episodes(&[1, 2, 5, 6, 7]), "5 episodes (1, 2, 5-7)");
        let every_other: Vec<usize> = (0..80).step_by(2).collect();
        assert!(name_episodes(&every_other).ends_with("30, …)"));
    }

    #[test]
    fn notes_do_not_offend_strict_reading() {
        let mut holes = Holes::default();
        holes.note("camera depth", "is a depth camera");
        assert!(holes.refuse_if(true, Path::new("d")).is_ok());
        holes.fault("info.json total_frames", "says 3, 2 frames found");
        assert!(holes.refuse_if(false, Path::new("d")).is_ok());
        assert!(holes.refuse_if(true, Path::new("d")).is_err());
    }
}
