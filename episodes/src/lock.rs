//! A file that at most one process at a time holds, and that is gone when nobody does.
//!
//! The lock belongs to the open file and goes with its process, however that ends: a lock file that is left behind is
//! empty and holds nobody up. Some network file systems have no locks; then nobody can be kept out.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Pause before a lock is tried again that could not even be waited for.
const PAUSE: Duration = Duration::from_millis(50);

/// What came of asking for a lock file.
#[derive(Debug)]
pub(crate) enum Claim {
    /// Nobody else has it until it is dropped.
    Held(LockFile),
    /// Another holder has it.
    Taken,
    /// The file system has no locks, or the file cannot be made.
    NoLocks,
}

/// A held lock file; dropping it gives it up and removes it.
#[derive(Debug)]
pub(crate) struct LockFile {
    path: PathBuf,
    file: File,
}

impl LockFile {
    /// Takes the lock file at `path` unless somebody has it.
    pub(crate) fn try_claim(path: &Path) -> Claim {
        loop {
            let Ok(file) = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path) else {
                return Claim::NoLocks;
            };
            match file.try_lock() {
                Ok(()) if is_current(&file) => return Claim::Held(LockFile { path: path.to_path_buf(), file }),
                // Its holder removed it after it was opened here: there may be another by now.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Claim::Taken,
                Err(TryLockError::Error(_)) => {
                    let _ = fs::remove_file(path);
                    return Claim::NoLocks;
                }
            }
        }
    }

    /// Takes the lock file at `path` as soon as nobody has it; `None` where there are no locks. `waits` is called
    /// before every wait.
    pub(crate) fn wait(path: &Path, waits: &mut dyn FnMut()) -> Option<LockFile> {
        loop {
            match LockFile::try_claim(path) {
                Claim::Held(lock) => return Some(lock),
                Claim::NoLocks => return None,
                Claim::Taken => waits(),
            }
            // Who is woken here lets go at once and asks again, because the file may have been removed meanwhile.
            let woken = OpenOptions::new().write(true).open(path).and_then(|file| file.lock());
            if woken.is_err() {
                thread::sleep(PAUSE);
            }
        }
    }

    /// Whether somebody has the lock file at `path` now.
    pub(crate) fn is_taken(path: &Path) -> bool {
        File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // First the name goes, then whoever waits for this file learns that it is no longer the one to wait for. A
        // length takes no room, so a full disk does not prevent it.
        if fs::remove_file(&self.path).is_ok() {
            let _ = self.file.set_len(1);
        }
    }
}

/// Whether an open lock file still has its name.
fn is_current(file: &File) -> bool {
    file.metadata().is_ok_and(|about| about.len() == 0)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn one_holder_at_a_time_and_nothing_is_left() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("lock");
        let (inside, most, entered) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let lock = LockFile::wait(&path, &mut || {});
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        entered.fetch_add(usize::from(lock.is_some()), Ordering::SeqCst);
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!((most.into_inner(), entered.into_inner()), (1, 400));
        assert!(!path.exists());
        Ok(())
    }

    #[test]
    fn a_lock_file_left_behind_holds_nobody_up() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("lock");
        fs::write(&path, "")?;
        let Claim::Held(lock) = LockFile::try_claim(&path) else { return Err(io::Error::other("not held")) };
        assert!(matches!(LockFile::try_claim(&path), Claim::Taken) && LockFile::is_taken(&path));
        drop(lock);
        assert!(!path.exists() && !LockFile::is_taken(&path));
        // Where no file can be made there is no lock, and nobody waits for ever.
        assert!(LockFile::wait(&dir.path().join("none/lock"), &mut || {}).is_none());
        Ok(())
    }
}
