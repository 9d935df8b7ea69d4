//! The door: from an address to the folder of one commit.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::address::Address;
use crate::client::{Client, Failure};
use crate::error::Error;
use crate::listing::{self, Listed};
use crate::settings::HubSettings;
use crate::store::Store;
use crate::transfer::Transfer;
use crate::workers::{WORKERS, for_each};

/// Letters of a commit that are enough for people.
const SHORT: usize = 8;

/// A dataset of the hub as it was at one commit, in a folder that fills as files are fetched; or LeRobot's own copy of it.
pub struct Snapshot {
    address: Address,
    folder: PathBuf,
    note: Option<String>,
    commit: Option<Commit>,
}

/// What belongs to a commit, as against a folder that is read as it is.
struct Commit {
    hash: String,
    /// Its files; `None` for a copy of unknown extent.
    files: Option<Vec<Listed>>,
    client: Client,
    store: Store,
    retry_pause: Duration,
    /// Why the hub was not asked, where it should have been.
    unreachable: Option<String>,
}

impl Snapshot {
    /// Finds the commit that an address names, and which files it has. No file of it is downloaded yet.
    ///
    /// Without a revision, `owner/name` in LeRobot's own folder is taken as it is, where it is there. A commit whose files
    /// are known needs no network. Where the hub cannot be reached, what it said last is taken, and
    /// [`Snapshot::note`] says so.
    ///
    /// # Errors
    /// [`Error::NotToBeHad`] if there is no such dataset or revision, it may not be read, or the hub cannot be reached and
    /// the cache has nothing of it; [`Error::Io`] if the cache cannot be written.
    pub fn find(address: &Address, settings: &HubSettings) -> Result<Snapshot, Error> {
        let copy = settings.lerobot_dir.join(&address.owner).join(&address.name);
        if address.revision.is_none() && copy.join("meta/info.json").is_file() {
            let note = Some(format!("{address}: reading {} as it is", copy.display()));
            return Ok(Snapshot { address: address.clone(), folder: copy, note, commit: None });
        }
        let client = Client::new(settings, WORKERS);
        let store = Store::new(&settings.cache_dir, address);
        let known = address.commit().and_then(|hash| Some((hash.to_owned(), store.read_tree(hash)?)));
        let found = match known {
            Some(known) => Ok(known),
            None => ask(&client, &store, address)?,
        };
        let (hash, files, unreachable) = match found {
            Ok((hash, files)) => (hash, Some(files), None),
            Err(failure) => {
                let hash = address.commit().map(str::to_owned).or_else(|| store.read_ref(address.revision()));
                let hash = hash.filter(|hash| failure.is_passing() && store.snapshot(hash).is_dir());
                let hash = hash.ok_or_else(|| nothing_of(&client, &store, address, &failure))?;
                let files = store.read_tree(&hash);
                (hash, files, Some(words(&failure)))
            }
        };
        let note = unreachable
            .as_ref()
            .map(|why| format!("{address}: {why}; reading the copy of commit {} in the cache", &hash[..SHORT]));
        let folder = store.snapshot(&hash);
        let retry_pause = settings.retry_pause;
        let commit = Commit { hash, files, client, store, retry_pause, unreachable };
        Ok(Snapshot { address: address.clone(), folder, note, commit: Some(commit) })
    }

    /// The folder of the dataset.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Something that whoever asked should know: that the hub was not asked, or need not be.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The address at which the same files will be found for ever; `None` for a folder that is read as it is.
    pub fn pinned(&self) -> Option<Address> {
        self.commit.as_ref().map(|commit| self.address.at(&commit.hash))
    }

    /// The same for people: `hub:owner/name@` and the beginning of the commit.
    pub fn source(&self) -> Option<String> {
        self.commit.as_ref().map(|commit| self.address.at(&commit.hash[..SHORT]).to_string())
    }

    /// Whether nobody knows which files the dataset has, so that [`Snapshot::fetch`] cannot tell whether some are missing.
    pub fn is_unlisted(&self) -> bool {
        self.commit.as_ref().is_some_and(|commit| commit.files.is_none())
    }

    /// Downloads those files that `wants` (by their path in the dataset) and that are not here yet.
    ///
    /// `progress` hears bytes that are here and bytes that will be, of the files that were not; nothing where none is
    /// missing. `stop` is asked several times a second.
    ///
    /// # Errors
    /// [`Error::NotToBeHad`] if a file is not to be had, [`Error::DiskFull`], [`Error::Io`], [`Error::Stopped`]. In any
    /// case the next call goes on from where this one ended.
    pub fn fetch(
        &self,
        wants: &dyn Fn(&str) -> bool,
        stop: &(dyn Fn() -> bool + Sync),
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), Error> {
        let Some((commit, files)) = self.commit.as_ref().and_then(|commit| Some((commit, commit.files.as_ref()?)))
        else {
            return Ok(());
        };
        let wanted: Vec<&Listed> = files.iter().filter(|file| wants(&file.path)).collect();
        let missing: Vec<&Listed> =
            wanted.iter().copied().filter(|file| !commit.store.holds(&commit.hash, file)).collect();
        let Some(first) = missing.first() else { return Ok(()) };
        if commit.unreachable.is_some() {
            return Err(self.lacks(missing.len(), wanted.len(), &first.path));
        }
        let total: u64 = missing.iter().map(|file| file.size).sum();
        let left = |file: &Listed| std::fs::metadata(commit.store.incomplete(file)).map_or(0, |about| about.len());
        let have: Vec<AtomicU64> = missing.iter().map(|file| AtomicU64::new(left(file).min(file.size))).collect();
        let transfer = Transfer {
            client: &commit.client,
            store: &commit.store,
            address: &self.address,
            commit: &commit.hash,
            retry_pause: commit.retry_pause,
        };
        let here = || have.iter().map(|bytes| bytes.load(Ordering::Relaxed)).sum();
        progress(here(), total);
        let work = |number: usize, ends: &dyn Fn() -> bool| transfer.bring(missing[number], &have[number], ends);
        for_each(missing.len(), &work, stop, &mut || progress(here(), total))?;
        if stop() && missing.iter().any(|file| !commit.store.holds(&commit.hash, file)) {
            return Err(Error::Stopped { path: commit.store.root().to_path_buf() });
        }
        Ok(())
    }

    /// Notes that the revision is this commit: what is read where the hub cannot be reached. Call it when everything
    /// wanted is here.
    ///
    /// # Errors
    /// [`Error::Io`] if the cache cannot be written.
    pub fn remember(&self) -> Result<(), Error> {
        match &self.commit {
            Some(commit) if commit.unreachable.is_none() && self.address.commit().is_none() => {
                commit.store.write_ref(self.address.revision(), &commit.hash)
            }
            _ => Ok(()),
        }
    }

    /// The error for a copy in which `missing` of `wanted` files are not there, `first` among them.
    pub fn lacks(&self, missing: usize, wanted: usize, first: &str) -> Error {
        let why = self.commit.as_ref().and_then(|commit| commit.unreachable.as_deref()).unwrap_or("not complete");
        Error::NotToBeHad {
            asked: self.address.to_string(),
            found: format!("{why}, and {} lacks {missing} of {wanted} files, e.g. {first}", self.folder.display()),
            remedy: "run the same command again with a connection".to_owned(),
        }
    }
}

/// Asks the hub which commit it is, and which files that has.
fn ask(client: &Client, store: &Store, address: &Address) -> Result<Result<(String, Vec<Listed>), Failure>, Error> {
    let hash = match address.commit() {
        Some(hash) => hash.to_owned(),
        None => match listing::commit_of(client, address)? {
            Ok(hash) => hash,
            Err(failure) => return Ok(Err(failure)),
        },
    };
    if let Some(files) = store.read_tree(&hash) {
        return Ok(Ok((hash, files)));
    }
    let tree = match listing::list(client, address, &hash)? {
        Ok(tree) => tree,
        Err(failure) => return Ok(Err(failure)),
    };
    let folder = store.snapshot(&hash);
    std::fs::create_dir_all(&folder).map_err(Error::io("cannot make", &folder))?;
    store.write_tree(&hash, &tree)?;
    // It has been looked through.
    Ok(Ok((hash, tree.files().unwrap_or_default())))
}

/// The error where neither the hub nor the cache has anything.
fn nothing_of(client: &Client, store: &Store, address: &Address, failure: &Failure) -> Error {
    match client.explain(address, failure) {
        Error::NotToBeHad { asked, found, .. } if failure.is_passing() => Error::NotToBeHad {
            asked,
            found: format!("{found}, and {} holds no copy of {}", store.root().display(), address.revision()),
            remedy: "run the same command again with a connection".to_owned(),
        },
        error => error,
    }
}

fn words(failure: &Failure) -> String {
    match failure {
        Failure::Unreachable(why) => why.clone(),
        Failure::Refused { status, words, .. } => format!("the hub answers {status} {words}").trim_end().to_owned(),
    }
}
