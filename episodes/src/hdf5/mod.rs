//! Reading HDF5 recordings: robomimic, ALOHA, Minari and D4RL files, told apart by what lies at their root.
//!
//! `file` and `element` turn an open file into names, shapes and numbers; `layout` knows where each format keeps what;
//! `find` lists the episodes that files claim to hold; `contents` says what one of them holds and `features` what most of
//! them hold; `rows` reads and judges an episode; `survey` puts that together; `pictures` fetches what the cameras saw and
//! `ingest` sends it on. Columns get LeRobot's names, so everything
//! downstream, conversion included, sees one kind of dataset.

mod contents;
mod element;
mod features;
mod file;
mod find;
mod ingest;
mod layout;
mod pictures;
mod rows;
pub(crate) mod survey;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

const SIGNATURE: &[u8; 8] = b"\x89HDF\r\n\x1a\n";

/// Whether a path is for this reader: an HDF5 file, or a folder of those that is not a LeRobot dataset.
pub(crate) fn is_at(path: &Path) -> bool {
    if path.is_dir() {
        return !path.join("meta/info.json").exists() && !files_in(path).is_empty();
    }
    path.is_file() && (has_extension(path) || is_signed(path))
}

fn is_signed(path: &Path) -> bool {
    let mut start = [0; SIGNATURE.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *SIGNATURE
}

/// The HDF5 files directly in a folder, `episode_2` before `episode_10`.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file() && has_extension(path)).collect();
    files.sort_by_cached_key(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (layout::number_in(&name), name)
    });
    files
}

fn has_extension(path: &Path) -> bool {
    path.extension().is_some_and(|e| ["hdf5", "h5"].iter().any(|known| e.eq_ignore_ascii_case(known)))
}
