//! Where a dataset is: a path as it is, or an address on the hub that becomes one. The one place that knows of both.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use episodes::lerobot::Needs;
use episodes::{ControlRate, Dataset, DatasetSpec, OpenOptions, Progress};
use hub::{Address, HubSettings, Snapshot};

use crate::errors::UsageError;
use crate::inspect::with_progress;
use crate::{interrupt, output};

/// Below so many bytes, progress of a download is counted in kilobytes.
const FEW_BYTES: u64 = 10_000_000;

/// A dataset that is there, at least its metadata.
pub struct Source {
    folder: PathBuf,
    /// Where the folder is a cache of the hub, or LeRobot's copy of a dataset there.
    snapshot: Option<Snapshot>,
}

impl Source {
    /// A path, whatever it looks like.
    pub fn local(path: &Path) -> Source {
        Source { folder: path.to_owned(), snapshot: None }
    }

    /// Finds what the user wrote as a dataset; of one on the hub the metadata are brought.
    ///
    /// `pinned` is [`Source::pinned`] of an earlier time: where it is of the same dataset, that commit is read again.
    ///
    /// # Errors
    /// An address that is none (a [`UsageError`]), and what [`Snapshot::find`] and [`Snapshot::fetch`] say. A path is
    /// not looked at yet.
    pub fn find(path: &Path, pinned: Option<&str>) -> Result<Source> {
        let Some(address) = Address::from_path(path) else { return Ok(Source::local(path)) };
        let address = address.map_err(|error| UsageError(error.to_string()))?;
        let pinned = pinned.and_then(|pinned| pinned.parse::<Address>().ok());
        let address = pinned.filter(|pinned| pinned.id() == address.id()).unwrap_or(address);
        let snapshot = Snapshot::find(&address, &HubSettings::from_env())?;
        if let Some(note) = snapshot.note() {
            output::tell(note);
        }
        bring(&snapshot, "metadata", &Needs::is_meta)?;
        Ok(Source { folder: snapshot.folder().to_owned(), snapshot: Some(snapshot) })
    }

    /// The address at which the same files will be found again; `None` for what is not on the hub.
    pub fn pinned(&self) -> Option<String> {
        Some(self.snapshot.as_ref()?.pinned()?.to_string())
    }

    /// [`episodes::probe`].
    ///
    /// # Errors
    /// As there.
    pub fn probe(&self, rate: ControlRate) -> Result<DatasetSpec> {
        self.named(episodes::probe(&self.folder, rate))
    }

    /// Options with state and action chosen from what the dataset holds, where nobody chose.
    ///
    /// # Errors
    /// As [`episodes::probe`].
    pub fn complete(&self, mut options: OpenOptions) -> Result<OpenOptions> {
        let spec = self.probe(options.control_rate)?;
        if options.state_keys.is_empty() {
            options.state_keys = spec.state.into_iter().map(|feature| feature.key).collect();
        }
        if options.action_key == OpenOptions::default().action_key {
            options.action_key = spec.action.key;
        }
        Ok(options)
    }

    /// Options that name the dataset's folder, with everything in it that reading by them takes.
    ///
    /// # Errors
    /// A selected column or camera that does not exist, and what [`Snapshot::fetch`] says.
    pub fn fetch(&self, options: OpenOptions) -> Result<OpenOptions> {
        let options = OpenOptions { path: self.folder.clone(), ..options };
        if let Some(snapshot) = &self.snapshot {
            let needs = self.named(Needs::of(&options))?;
            bring(snapshot, "data", &|file| needs.want(file))?;
            if snapshot.is_unlisted()
                && let (missing, all) = needs.missing()
                && let Some(first) = missing.first()
            {
                return Err(snapshot.lacks(missing.len(), all, &first.display().to_string()).into());
            }
            snapshot.remember()?;
        }
        Ok(options)
    }

    /// Fetches and opens the dataset with progress on stderr.
    ///
    /// # Errors
    /// As [`Source::fetch`] and [`Dataset::open`].
    pub fn open(&self, options: OpenOptions) -> Result<Dataset> {
        let options = self.fetch(options)?;
        let mut dataset = self.named(with_progress(|report| Dataset::open(&options, report)))?;
        if let Some(source) = self.snapshot.as_ref().and_then(Snapshot::source) {
            dataset.spec.source = source;
        }
        Ok(dataset)
    }

    /// Puts the address in front of an error that names the cache.
    pub fn named<T>(&self, outcome: Result<T, episodes::Error>) -> Result<T> {
        match self.snapshot.as_ref().and_then(Snapshot::source) {
            Some(source) => outcome.context(source),
            None => Ok(outcome?),
        }
    }
}

/// What to call a run that learns from `path`.
pub fn name_of(path: &Path) -> String {
    match Address::from_path(path) {
        Some(Ok(address)) => address.name,
        _ => path.file_name().map_or_else(|| "run".to_owned(), |name| name.to_string_lossy().into_owned()),
    }
}

/// Downloads what is wanted and not here, with progress on stderr.
fn bring(snapshot: &Snapshot, what: &str, wants: &dyn Fn(&str) -> bool) -> Result<()> {
    let fetched = interrupt::during(interrupt::DOWNLOAD, || {
        with_progress(|report| {
            snapshot.fetch(wants, &interrupt::requested, &mut |done, total| {
                let (scale, unit) = if total < FEW_BYTES { (1_000, "kB") } else { (1_000_000, "MB") };
                let count = |bytes: u64| usize::try_from(bytes.div_ceil(scale)).unwrap_or(usize::MAX);
                report(Progress { done: count(done), total: count(total), unit, what: format!("download {what}") });
            })
        })
    })?;
    Ok(fetched?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_called_after_its_dataset() {
        let names =
            ["data/pusht", "hub:lerobot/pusht", "hub:lerobot/pusht@refs/pr/1", ".."].map(|p| name_of(Path::new(p)));
        assert_eq!(names, ["pusht", "pusht", "pusht", "run"]);
    }

    #[test]
    fn what_looks_like_an_address_and_is_none_is_a_usage_error() -> Result<()> {
        let error = Source::find(Path::new("hub:pusht"), None).err().context("this is no address")?;
        assert!(error.is::<UsageError>());
        assert_eq!(Source::find(Path::new("some/folder"), Some("hub:a/b"))?.pinned(), None);
        Ok(())
    }
}
