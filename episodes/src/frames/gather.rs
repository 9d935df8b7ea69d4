//! From what is wanted to a store: what files of the scope hold is used where it lies, the rest is read into a new one.
//!
//! One process at a time adds to a scope. The next waits for it, then looks again; whoever finds a file that was left
//! unfinished first makes what is finished in it a complete one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::build::Build;
use super::cache::{CacheFile, Hash, Scope};
use super::journal::salvage;
use super::keeping::remove_unless_used;
use super::{FrameProgress, FrameStore};
use crate::error::Error;
use crate::lock::LockFile;

/// Files that one store is made of at most. Every file in use is open and mapped; and appending an episode a day must
/// not end with a file per day.
const MAX_FILES: usize = 16;
/// So many are left when the smallest are copied into one: many more times may then pass before the next copying.
const FILES_AFTER_MERGE: usize = 8;
/// Temporary files untouched for this long belong to nobody.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);

/// One episode of one camera.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Hash of everything its frames depend on, their number included.
    pub(super) key: Hash,
    pub(super) frames: usize,
}

/// The lock of the file under construction at `build`.
pub(super) fn lock_path(build: &Path) -> PathBuf {
    build.with_extension("lock")
}

/// The frames of all parts, in order, and those (by position) that cannot be read and are black, with the reason.
///
/// `is_worth_another_try` looks at the reason why a part could not be read; the rest is final. `read` reads what is missing,
/// [`Build::slots`], and settles each.
pub(super) fn gather(
    scope: &Scope<'_>,
    parts: &[Part],
    is_worth_another_try: &dyn Fn(&str) -> bool,
    progress: &mut dyn FnMut(FrameProgress),
    read: &mut dyn FnMut(&mut Build<'_>, &mut dyn FnMut(FrameProgress)) -> Result<(), Error>,
) -> Result<(FrameStore, Vec<(usize, String)>), Error> {
    let total = parts.iter().map(|part| part.frames).sum();
    let look = || Found::new(scope.files(), parts, is_worth_another_try);
    let mut found = look();
    let mut lock = None;
    if !found.missing.is_empty() {
        fs::create_dir_all(scope.dir).map_err(|source| Error::Io {
            doing: "cannot create the cache directory",
            source,
            path: scope.dir.to_path_buf(),
        })?;
        remove_abandoned(scope.dir);
        let build = scope.build_path();
        lock = LockFile::wait(&lock_path(&build), &mut || progress(FrameProgress::Waiting { total }));
        if lock.is_some() {
            salvage(scope, total, progress)?;
            found = look();
        }
    }
    let mut not_now = HashMap::new();
    if !found.missing.is_empty() {
        let mut build = Build::start(scope, parts, &found, lock.take())?;
        build.advance(0, progress);
        build.copy(progress)?;
        read(&mut build, progress)?;
        let (new, not) = build.finish()?;
        not_now = not;
        found = found.with(new, parts);
    }
    progress(FrameProgress::At { done: total, total });
    found.into_store(scope, parts, &not_now)
}

/// What the files of a scope hold of what is wanted.
pub(super) struct Found {
    files: Vec<CacheFile>,
    /// For each part: position of its file, and in the table of that.
    places: Vec<Option<(usize, usize)>>,
    /// Parts that are in no file, each key once.
    missing: Vec<usize>,
    /// Files that hold nothing that a newer file does not hold.
    superseded: Vec<CacheFile>,
}

/// A part for the new file.
pub(super) struct Wanted<'f> {
    pub(super) position: usize,
    /// The file that has it and where (or why it cannot be read); none for what is missing.
    pub(super) from: Option<(&'f CacheFile, &'f Result<usize, String>)>,
}

impl Found {
    /// Looks for every part in the files; the first that can show it is best.
    fn new(files: Vec<CacheFile>, parts: &[Part], is_worth_another_try: &dyn Fn(&str) -> bool) -> Found {
        let mut index: HashMap<Hash, (usize, usize)> = HashMap::new();
        for (number, file) in files.iter().enumerate() {
            for (entry, part) in file.parts.iter().enumerate() {
                let known = index.entry(part.key).or_insert((number, entry));
                if part.at.is_ok() && files[known.0].parts[known.1].at.is_err() {
                    *known = (number, entry);
                }
            }
        }
        let place = |part: &Part| {
            index.get(&part.key).copied().filter(|&(file, entry)| match &files[file].parts[entry] {
                there if there.frames != part.frames => false,
                there => there.at.as_ref().err().is_none_or(|why| !is_worth_another_try(why)),
            })
        };
        let places: Vec<_> = parts.iter().map(place).collect();
        let mut asked = HashSet::new();
        let is_missing = |&position: &usize| {
            let part: &Part = &parts[position];
            places[position].is_none() && part.frames > 0 && asked.insert(part.key)
        };
        let missing = (0..parts.len()).filter(is_missing).collect();
        Found { files, places, missing, superseded: Vec::new() }
    }

    /// What the new file is to hold, in order: all that is missing, and where there would be too many files, what is
    /// used of the smallest ones.
    pub(super) fn to_build(&self) -> Vec<Wanted<'_>> {
        let mut used: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut asked = HashSet::new();
        for (position, place) in self.places.iter().enumerate() {
            if let Some((file, _)) = place.filter(|&place| asked.insert(place)) {
                used.entry(file).or_default().push(position);
            }
        }
        let mut wanted = self.missing.clone();
        if used.len() + 1 > MAX_FILES {
            let mut smallest: Vec<usize> = used.keys().copied().collect();
            smallest.sort_by_key(|&file| self.files[file].frames);
            smallest.truncate(used.len() + 1 - FILES_AFTER_MERGE);
            wanted.extend(smallest.iter().filter_map(|file| used.remove(file)).flatten());
        }
        wanted.sort_unstable();
        let from = |position: usize| {
            let (file, entry) = self.places[position]?;
            Some((&self.files[file], &self.files[file].parts[entry].at))
        };
        wanted.into_iter().map(|position| Wanted { position, from: from(position) }).collect()
    }

    /// The same with a new file, which is preferred; what it supersedes is put aside.
    fn with(self, new: Option<CacheFile>, parts: &[Part]) -> Found {
        let keys: HashSet<Hash> = new.iter().flat_map(|file| &file.parts).map(|part| part.key).collect();
        let is_within = |file: &CacheFile| file.parts.iter().all(|part| keys.contains(&part.key));
        let (superseded, mut files): (Vec<_>, Vec<_>) = self.files.into_iter().partition(is_within);
        if let Some(new) = new {
            files.insert(0, new);
        }
        Found { superseded, ..Found::new(files, parts, &|_| false) }
    }

    fn into_store(
        self,
        scope: &Scope<'_>,
        parts: &[Part],
        not_now: &HashMap<Hash, String>,
    ) -> Result<(FrameStore, Vec<(usize, String)>), Error> {
        let not_read = "its frames were not read".to_owned();
        let mut unreadable = Vec::new();
        let mut pieces = Vec::with_capacity(parts.len());
        for (position, (part, place)) in parts.iter().zip(&self.places).enumerate() {
            let at = match place {
                Some((file, entry)) => self.files[*file].parts[*entry].at.as_ref().map(|&first| (*file, first)),
                None => Err(not_now.get(&part.key).unwrap_or(&not_read)),
            };
            pieces.push((part.frames, at.ok()));
            if let Err(why) = at
                && part.frames > 0
            {
                unreadable.push((position, why.clone()));
            }
        }
        for file in self.superseded {
            let path = file.path.clone();
            // Only after this process has let go of it. Where it cannot be removed it takes room, and can be evicted.
            drop(file);
            let _ = remove_unless_used(&path);
        }
        let store = FrameStore::new(self.files, scope.size, pieces.into_iter()).map_err(|source| Error::Io {
            doing: "cannot map the frame cache",
            source,
            path: scope.dir.to_path_buf(),
        })?;
        Ok((store, unreadable))
    }
}

/// Removes what killed processes left behind where there are no locks, as far as that is possible.
fn remove_abandoned(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_temporary = Path::new(&entry.file_name()).extension().is_some_and(|e| e == "tmp");
        let modified = entry.metadata().and_then(|meta| meta.modified());
        let is_old = modified.is_ok_and(|t| t.elapsed().is_ok_and(|age| age > ABANDONED_AFTER));
        if is_temporary && is_old {
            let _ = fs::remove_file(entry.path());
        }
    }
}
