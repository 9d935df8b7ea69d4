//! One process per run directory. The lock is the operating system's, so it goes with the process however it ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::Path;

use anyhow::{Result, anyhow};

use super::files::write_error;

/// Holds `lock` in a run directory until dropped; the file contains the process id, for the message.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// # Errors
    /// Another process holds it, or the directory cannot be written.
    pub(super) fn take(root: &Path) -> Result<Lock> {
        let path = root.join("lock");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|e| write_error(&path, &e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let process = fs::read_to_string(&path).unwrap_or_default();
                return Err(anyhow!(
                    "{} is in use by another rehearsal (process {}); wait for it to end, or choose another \
                     directory with --out DIR",
                    root.display(),
                    process.trim()
                ));
            }
            // Some network file systems have no locks: better to run than to refuse.
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(write_error(&path, &error)),
        }
        file.set_len(0)
            .and_then(|()| file.write_all(std::process::id().to_string().as_bytes()))
            .map_err(|e| write_error(&path, &e))?;
        Ok(Lock { _file: file })
    }
}
