//! `rehearsal view`: opens a run's recording in the rerun viewer, or says how to.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::errors::UsageError;
use crate::{output, tools};

/// The viewer must not be older than the recording's format.
const VIEWER: &str = "uvx --from rerun-sdk==0.36.3 rerun";

/// For people without a viewer.
pub const HOW_TO_GET_A_VIEWER: &str =
    "install it with 'pip install rerun-sdk==0.36.3', or fetch it with 'uvx --from rerun-sdk==0.36.3 rerun FILE.rrd'";

/// Opens the recording of `run` (a run directory or an `.rrd` file); with `json` only says where it is.
///
/// # Errors
/// There is no recording, or the viewer cannot be started.
pub fn view(run: &Path, json: bool) -> Result<()> {
    let recording = find(run)?;
    if json {
        return output::answer_json(&serde_json::json!({
            "recording": recording,
            "command": format!("{VIEWER} {}", recording.display()),
        }));
    }
    let Some(viewer) = tools::on_path("rerun") else {
        output::answer(&format!(
            "{}\nNo rerun viewer is on PATH. To look at it:\n  {VIEWER} {}",
            recording.display(),
            recording.display()
        ));
        return Ok(());
    };
    output::tell(&format!("opening {}", recording.display()));
    let status =
        Command::new(&viewer).arg(&recording).status().with_context(|| format!("cannot start {}", viewer.display()))?;
    anyhow::ensure!(status.success(), "the rerun viewer ended with {status}; {HOW_TO_GET_A_VIEWER}");
    Ok(())
}

/// The recording that `run` means.
fn find(run: &Path) -> Result<PathBuf> {
    let recording = if run.is_dir() { run.join("recording.rrd") } else { run.to_owned() };
    if recording.is_file() && recording.extension().is_some_and(|e| e == "rrd") {
        return Ok(recording);
    }
    let found = match (run.exists(), run.is_dir()) {
        (false, _) => "does not exist",
        (true, true) => "holds no recording.rrd; a run writes it near its end",
        (true, false) => "is no .rrd recording",
    };
    Err(UsageError(format!("{} {found}; expected a run directory or a recording.rrd", run.display())).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_found_in_its_run_or_by_its_name() -> Result<()> {
        let temp = tempfile::tempdir()?;
        let words = |path: &Path| find(path).map_err(|e| e.to_string());
        assert!(words(temp.path()).is_err_and(|w| w.contains("holds no recording.rrd")));
        let recording = temp.path().join("recording.rrd");
        std::fs::write(&recording, "")?;
        assert_eq!(words(temp.path()), Ok(recording.clone()));
        assert_eq!(words(&recording), Ok(recording.clone()));
        assert!(words(&temp.path().join("nowhere")).is_err_and(|w| w.contains("does not exist")));
        Ok(())
    }
}
