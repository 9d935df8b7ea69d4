//! `rehearsal cache`: what the frame cache holds, and how it is made smaller.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use episodes::frames::{CacheEntry, cache_entries, evict};
use serde::Serialize;

use crate::doctor::size;
use crate::errors::UsageError;
use crate::output;

/// The cache as it is afterwards, and what was done.
#[derive(Debug, Default, Serialize)]
struct Account {
    /// Where it lies.
    directory: PathBuf,
    /// What it holds, the least recently used first.
    entries: Vec<Row>,
    /// Length of its files together.
    total_bytes: u64,
    /// What was removed.
    evicted: Vec<Row>,
    /// What was asked for but stays, because a running rehearsal uses it.
    kept_in_use: Vec<Row>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Row {
    /// Where the dataset lay; absent where the file does not say.
    dataset: Option<String>,
    camera: String,
    /// Height and width, pixels.
    resolution: usize,
    frames: usize,
    bytes: u64,
    /// Seconds since 1970.
    last_use_unix_s: u64,
    in_use: bool,
    /// False for what a killed process left, with which the next one goes on, and for what is being decoded now.
    is_complete: bool,
}

impl From<&CacheEntry> for Row {
    fn from(entry: &CacheEntry) -> Row {
        Row {
            dataset: entry.dataset.clone(),
            camera: entry.camera.clone(),
            resolution: entry.size,
            frames: entry.frames,
            bytes: entry.bytes,
            last_use_unix_s: entry.last_use.duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs()),
            in_use: entry.in_use,
            is_complete: entry.is_complete,
        }
    }
}

/// Lists the cache in `dir`, after removing the frames of one dataset (or `all`) and the least recently used until
/// the rest is below `keep_below` bytes. What a running rehearsal uses stays.
///
/// # Errors
/// No frames of the dataset named; a cache that cannot be read or changed.
pub fn cache(dir: &Path, which: Option<&str>, keep_below: Option<u64>, json: bool) -> Result<()> {
    let mut account = Account { directory: dir.to_owned(), ..Account::default() };
    let mut entries = cache_entries(dir)?;
    if let Some(which) = which {
        let (chosen, rest): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| is_meant(entry, which));
        if chosen.is_empty() && which != "all" {
            return Err(nothing_of(which, &rest, dir).into());
        }
        entries = rest;
        for entry in chosen {
            entries.extend(account.remove(entry)?);
        }
    }
    if let Some(limit) = keep_below {
        let mut total: u64 = entries.iter().map(|entry| entry.bytes).sum();
        let mut kept = Vec::new();
        for entry in entries {
            let bytes = entry.bytes;
            // One that has just been found in use need not be tried again.
            let row = Row::from(&entry);
            match total > limit && !account.kept_in_use.contains(&row) {
                true => match account.remove(entry)? {
                    None => total -= bytes,
                    still_there => kept.extend(still_there),
                },
                false => kept.push(entry),
            }
        }
        entries = kept;
    }
    entries.sort_by_key(|entry| entry.last_use);
    account.entries = entries.iter().map(Row::from).collect();
    account.total_bytes = entries.iter().map(|entry| entry.bytes).sum();
    if json {
        return output::answer_json(&account);
    }
    output::answer(&account.to_string());
    if let Some(limit) = keep_below.filter(|limit| account.total_bytes > *limit) {
        output::tell(&format!("the cache stays above {}, because the rest is in use", size(Some(limit as f64 / 1e6))));
    }
    Ok(())
}

impl Account {
    /// Removes an entry, or gives it back if it is in use.
    fn remove(&mut self, entry: CacheEntry) -> Result<Option<CacheEntry>> {
        let row = Row::from(&entry);
        if evict(&entry)? {
            self.evicted.push(row);
            return Ok(None);
        }
        let entry = CacheEntry { in_use: true, ..entry };
        self.kept_in_use.push(Row::from(&entry));
        Ok(Some(entry))
    }
}

/// A dataset is meant by its path, however written, by the name of its folder, or by its address on the hub.
fn is_meant(entry: &CacheEntry, which: &str) -> bool {
    if which == "all" {
        return true;
    }
    let Some(dataset) = &entry.dataset else { return false };
    if let Some(Ok(address)) = hub::Address::from_path(Path::new(which)) {
        return address.owns(Path::new(dataset));
    }
    let canonical = std::fs::canonicalize(which).map(|path| path.display().to_string());
    let name = Path::new(dataset).file_name().is_some_and(|name| name == which);
    name || dataset == which || canonical.is_ok_and(|path| path == *dataset)
}

fn nothing_of(which: &str, rest: &[CacheEntry], dir: &Path) -> UsageError {
    let mut known: Vec<&str> = rest.iter().filter_map(|entry| entry.dataset.as_deref()).collect();
    known.sort_unstable();
    known.dedup();
    let has = match (rest.is_empty(), known.is_empty()) {
        (true, _) => "is empty".to_owned(),
        (_, true) => "has no such dataset, and none with a name".to_owned(),
        _ => format!("has no such dataset; it has: {}", known.join(", ")),
    };
    UsageError(format!("--evict {which}: the frame cache {} {has}", dir.display()))
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let block = |f: &mut fmt::Formatter<'_>, words: &str, rows: &[Row]| {
            let bytes: u64 = rows.iter().map(|row| row.bytes).sum();
            let entries = if rows.len() == 1 { "entry" } else { "entries" };
            writeln!(f, "{words}: {} {entries}, {}", rows.len(), size(Some(bytes as f64 / 1e6)))?;
            rows.iter().try_for_each(|row| writeln!(f, "{row}"))
        };
        block(f, &self.directory.display().to_string(), &self.entries)?;
        if !self.evicted.is_empty() {
            block(f, "removed", &self.evicted)?;
        }
        if !self.kept_in_use.is_empty() {
            block(f, "in use by a running rehearsal, therefore kept", &self.kept_in_use)?;
        }
        Ok(())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
        let used = match (self.in_use, self.is_complete) {
            (true, _) => "in use".to_owned(),
            (false, true) => ago(now.saturating_sub(self.last_use_unix_s)),
            (false, false) => "unfinished".to_owned(),
        };
        let (bytes, camera) =
            (size(Some(self.bytes as f64 / 1e6)), if self.camera.is_empty() { "?" } else { &self.camera });
        let frames = format!("{} frames of {r}x{r}", self.frames, r = self.resolution);
        let dataset = self.dataset.as_deref().unwrap_or("dataset unknown");
        write!(f, "  {bytes:>8}  {used:<14} {frames:<24} {camera:<32} {dataset}")
    }
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => "just now".to_owned(),
        120..7200 => format!("{} minutes ago", seconds / 60),
        7200..172_800 => format!("{} hours ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86400),
    }
}
