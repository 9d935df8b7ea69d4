//! One dataset's folder in the cache that is shared with Python's `huggingface_hub`.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

use crate::address::{Address, is_commit};
use crate::error::Error;
use crate::listing::{Listed, Tree};

/// Between two looks at a lock that somebody else holds.
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// Lists of files made here. Not Python's folder: without network Python refuses a copy that lacks any file of its list,
/// and here nobody wants the README.
const OUR_TREES: &str = ".listings";
/// Lists of files that Python made.
const PYTHON_S_TREES: &str = "trees";

/// Makes one file stand for another under a second name.
type Link = fn(target: &Path, name: &Path) -> io::Result<()>;

/// The folder of one dataset, and its locks.
pub(crate) struct Store {
    root: PathBuf,
    locks: PathBuf,
    /// How blobs get their names in a snapshot, where the file system has symbolic links.
    pub link: Link,
}

impl Store {
    /// The folder of `address` below `cache_dir`; nothing is made yet.
    pub fn new(cache_dir: &Path, address: &Address) -> Store {
        let folder = address.folder_name();
        Store { root: cache_dir.join(&folder), locks: cache_dir.join(".locks").join(folder), link: symlink }
    }

    /// The dataset's folder in the cache.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a commit's files.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.root.join("snapshots").join(commit)
    }

    /// The commit that a revision was when it was last read.
    pub fn read_ref(&self, revision: &str) -> Option<String> {
        let text = fs::read_to_string(self.root.join("refs").join(revision)).ok()?;
        Some(text.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Notes which commit a revision is.
    pub fn write_ref(&self, revision: &str, commit: &str) -> Result<(), Error> {
        write_whole(&self.root.join("refs").join(revision), commit.as_bytes())
    }

    /// The files of a commit, where they were listed before, by Python or here; a list that cannot be read counts as none.
    pub fn read_tree(&self, commit: &str) -> Option<Vec<Listed>> {
        [OUR_TREES, PYTHON_S_TREES].into_iter().find_map(|folder| {
            let text = fs::read(self.tree(folder, commit)).ok()?;
            serde_json::from_slice::<Tree>(&text).ok()?.files().ok()
        })
    }

    /// Keeps the list of a commit's files.
    pub fn write_tree(&self, commit: &str, tree: &Tree) -> Result<(), Error> {
        let path = self.tree(OUR_TREES, commit);
        let text = serde_json::to_vec(tree).map_err(io::Error::other).map_err(Error::io("cannot write", &path))?;
        write_whole(&path, &text)
    }

    fn tree(&self, folder: &str, commit: &str) -> PathBuf {
        self.root.join(folder).join(format!("{commit}.json"))
    }

    /// Whether a commit's file is there, whole.
    pub fn holds(&self, commit: &str, file: &Listed) -> bool {
        is_whole(&self.snapshot(commit).join(&file.path), file.size)
    }

    /// Whether the content of a file is there, whole, be it under another name.
    pub fn has_blob(&self, file: &Listed) -> bool {
        is_whole(&self.blob(file), file.size)
    }

    /// Where the content of a file ends up.
    pub fn blob(&self, file: &Listed) -> PathBuf {
        self.root.join("blobs").join(&file.blob)
    }

    /// Where the content of a file is while it is not whole.
    pub fn incomplete(&self, file: &Listed) -> PathBuf {
        self.root.join("blobs").join(format!("{}.incomplete", file.blob))
    }

    /// Waits until nobody else, in this process or another, downloads the same content; `None` where files cannot be
    /// locked, or somebody asked to stop.
    pub fn lock(&self, file: &Listed, stop: &dyn Fn() -> bool) -> Result<Option<File>, Error> {
        let path = self.locks.join(format!("{}.lock", file.blob));
        make_parent(&path)?;
        let options = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let lock = options.map_err(Error::io("cannot write", &path))?;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Some(lock)),
                Err(TryLockError::WouldBlock) if stop() => return Ok(None),
                Err(TryLockError::WouldBlock) => sleep(LOCK_PAUSE),
                // Some network file systems have no locks: two downloads at once would fail the hash and be repeated.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(Error::io("cannot lock", &path)(error)),
            }
        }
    }

    /// Gives a blob its name in a commit's folder: a link, or where there are none the file itself.
    pub fn place(&self, commit: &str, file: &Listed) -> Result<(), Error> {
        let name = self.snapshot(commit).join(&file.path);
        make_parent(&name)?;
        // What is there is not whole, or leads nowhere.
        match fs::remove_file(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("cannot replace", &name)(error));
            }
            _ => {}
        }
        let mut target: PathBuf = Path::new(&file.path).components().map(|_| "..").collect();
        target.extend(["..", "blobs", &file.blob]);
        let blob = self.blob(file);
        let linked = (self.link)(&target, &name).or_else(|_| fs::hard_link(&blob, &name));
        match linked.or_else(|_| fs::rename(&blob, &name)) {
            // Another process was quicker.
            Err(_) if self.holds(commit, file) => Ok(()),
            placed => placed.map_err(Error::io("cannot write", &name)),
        }
    }
}

#[cfg(unix)]
fn symlink(target: &Path, name: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, name)
}

#[cfg(windows)]
fn symlink(target: &Path, name: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, name)
}

fn is_whole(path: &Path, size: u64) -> bool {
    fs::metadata(path).is_ok_and(|about| about.is_file() && about.len() == size)
}

/// Makes the folder that a file is to lie in.
pub(crate) fn make_parent(path: &Path) -> Result<(), Error> {
    path.parent().map_or(Ok(()), |parent| fs::create_dir_all(parent).map_err(Error::io("cannot make", parent)))
}

/// Writes a small file that appears whole or not at all.
fn write_whole(path: &Path, content: &[u8]) -> Result<(), Error> {
    make_parent(path)?;
    // One name for each process and, within it, for each call: whoever renames first takes nobody's file away.
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}-{}", std::process::id(), CALLS.fetch_add(1, Ordering::Relaxed)));
    let temporary = PathBuf::from(temporary);
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| fs::rename(&temporary, path));
    written.map_err(|error| {
        // Best effort: the error that is told is the one before.
        let _ = fs::remove_file(&temporary);
        Error::io("cannot write", path)(error)
    })
}
