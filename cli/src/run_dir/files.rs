//! Writing so that a reader never meets half a file: a temporary name first, then a rename.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde::Serialize;

/// Names that start so are unfinished; a killed process leaves them behind and the next run removes them.
pub(super) const UNFINISHED: &str = ".tmp-";

/// Writes `bytes` to `path`: temporary file beside it, flushed to the disk, renamed.
///
/// # Errors
/// As [`write_error`] words them.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = unfinished_name(path)?;
    let attempt = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_parent(path)
    };
    attempt().map_err(|error| {
        let _ = fs::remove_file(&temporary);
        write_error(path, &error)
    })
}

/// [`write_atomic`] of a value as indented JSON.
///
/// # Errors
/// As [`write_atomic`]; a value JSON cannot hold.
pub fn write_json_atomic(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    write_atomic(path, &text)
}

/// Builds the directory `path` under a temporary name, then renames it; an older one of that name is replaced.
///
/// # Errors
/// What `fill` says, and as [`write_error`] words it.
pub fn write_dir_atomic(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let temporary = unfinished_name(path)?;
    let _ = fs::remove_dir_all(&temporary);
    let attempt = || -> Result<()> {
        fs::create_dir_all(&temporary).map_err(|e| write_error(&temporary, &e))?;
        fill(&temporary)?;
        sync_tree(&temporary).map_err(|e| write_error(path, &e))?;
        if path.exists() {
            let old = unfinished_name(&path.with_extension("old"))?;
            let _ = fs::remove_dir_all(&old);
            fs::rename(path, &old).map_err(|e| write_error(path, &e))?;
            fs::rename(&temporary, path).map_err(|e| write_error(path, &e))?;
            let _ = fs::remove_dir_all(&old);
        } else {
            fs::rename(&temporary, path).map_err(|e| write_error(path, &e))?;
        }
        sync_parent(path).map_err(|e| write_error(path, &e))
    };
    attempt().inspect_err(|_| {
        let _ = fs::remove_dir_all(&temporary);
    })
}

/// One sentence about a failed write: what, where, and what to do about it.
pub fn write_error(path: &Path, error: &io::Error) -> anyhow::Error {
    let advice = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space and run the same command again, or choose another place with --out DIR"
        }
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::NotFound => "; choose another place with --out DIR",
        _ => "",
    };
    anyhow!("cannot write {}: {error}{advice}", path.display())
}

/// Removes what a killed process left unfinished directly in `dir`.
pub(super) fn sweep(dir: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list {}", dir.display()))?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED)) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Removes a file or a whole directory.
pub(super) fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.with_context(|| format!("cannot remove {}", path.display()))
}

fn unfinished_name(path: &Path) -> Result<PathBuf> {
    let name = path.file_name().with_context(|| format!("{} names no file", path.display()))?;
    Ok(path.with_file_name(format!("{UNFINISHED}{}", name.to_string_lossy())))
}

fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            File::open(&path)?.sync_all()?;
        }
    }
    Ok(())
}

/// Makes a rename survive a power cut; only Unix lets a directory be opened for that.
fn sync_parent(path: &Path) -> io::Result<()> {
    if cfg!(unix)
        && let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty())
    {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_atomic_write_replaces_and_leaves_nothing_else() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("a.json");
        write_atomic(&path, b"one")?;
        write_atomic(&path, b"two")?;
        assert_eq!(fs::read(&path)?, b"two");
        assert_eq!(fs::read_dir(dir.path())?.count(), 1);
        Ok(())
    }

    #[test]
    fn a_directory_that_fails_half_way_does_not_appear() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("step_00000001");
        write_dir_atomic(&path, |d| Ok(fs::write(d.join("weights"), "old")?))?;
        let failed = write_dir_atomic(&path, |d| {
            fs::write(d.join("weights"), "new")?;
            anyhow::bail!("power cut")
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(path.join("weights"))?, b"old");
        write_dir_atomic(&path, |d| Ok(fs::write(d.join("weights"), "new")?))?;
        assert_eq!(fs::read(path.join("weights"))?, b"new");
        assert_eq!(fs::read_dir(dir.path())?.count(), 1);
        Ok(())
    }

    #[test]
    fn a_failed_write_says_what_to_do() {
        let full = write_error(Path::new("runs/demo/a"), &io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(
            full.to_string(),
            "cannot write runs/demo/a: no storage space; free some space and run the same command again, or \
             choose another place with --out DIR"
        );
    }
}
