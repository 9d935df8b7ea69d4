//! Opening a recording in the viewer, which is a program of its own.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// Version of the rerun format this crate writes; viewers of this version or newer show it.
pub const RERUN_VERSION: &str = "0.36.3";

/// Runs `rerun FILE` and waits until the viewer is closed.
///
/// # Errors
/// [`Error::ViewerMissing`], which says how to get one, when there is no `rerun` on the PATH;
/// [`Error::ViewerFailed`] when it ends with an error, as it does without a display.
pub fn open_viewer(path: &Path) -> Result<(), Error> {
    let Some(program) = find_program("rerun") else {
        return Err(Error::ViewerMissing { path: path.to_owned() });
    };
    let failed = |reason: String| Error::ViewerFailed { reason, path: path.to_owned() };
    let status = Command::new(&program).arg(path).status().map_err(|error| failed(error.to_string()))?;
    if status.success() { Ok(()) } else { Err(failed(status.to_string())) }
}

fn find_program(name: &str) -> Option<PathBuf> {
    let file_name = format!("{name}{}", env::consts::EXE_SUFFIX);
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(&file_name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_named_is_the_version_linked() {
        assert_eq!(rerun::build_info().version.to_string(), RERUN_VERSION);
    }

    #[test]
    fn a_missing_viewer_is_explained() {
        let error = Error::ViewerMissing { path: PathBuf::from("runs/a/recording.rrd") };
        assert!(error.to_string().contains("uvx --from rerun-sdk==0.36.3 rerun runs/a/recording.rrd"));
        assert_eq!(find_program("no program has this name"), None);
    }
}
