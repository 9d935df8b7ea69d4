//! Other programs on PATH, and where caches go.

use std::path::{Path, PathBuf};

/// The program `name` on PATH, where there is one.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(&file)).find(|path| is_program(path))
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

/// Where decoded frames are kept between runs: `$REHEARSAL_CACHE`, else the user's cache directory, else the
/// system's temporary one.
pub fn cache_dir() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("REHEARSAL_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("rehearsal")))
        .or_else(|| set("LOCALAPPDATA").map(|dir| dir.join("rehearsal")))
        .or_else(|| set("HOME").map(|dir| dir.join(".cache").join("rehearsal")))
        .unwrap_or_else(|| std::env::temp_dir().join("rehearsal"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_on_the_path_and_nonsense_is_not() {
        assert!(on_path("sh").is_some());
        assert_eq!(on_path("no-such-program-anywhere"), None);
    }
}
