//! Where the hub is, who asks, and where its files are kept: the environment variables that Python's `huggingface_hub` and
//! LeRobot know.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything that is not in the address.
#[derive(Clone, PartialEq, Eq)]
pub struct HubSettings {
    /// Address of the hub without a slash at the end (`HF_ENDPOINT`).
    pub endpoint: String,
    /// Who asks (`HF_TOKEN`, or the file `$HF_HOME/token` that `hf auth login` writes).
    pub token: Option<String>,
    /// Downloaded files (`HF_HUB_CACHE`, `$HF_HOME/hub`).
    pub cache_dir: PathBuf,
    /// LeRobot's own folder of datasets (`HF_LEROBOT_HOME`, `$HF_HOME/lerobot`).
    pub lerobot_dir: PathBuf,
    /// Never ask the network (`HF_HUB_OFFLINE`).
    pub is_offline: bool,
    /// Pause before a failed request is repeated; doubled each time.
    pub retry_pause: Duration,
}

impl HubSettings {
    /// The settings of this process; the token's file is read.
    pub fn from_env() -> HubSettings {
        HubSettings::from_vars(&|name| std::env::var_os(name))
    }

    /// The same from any source of variables.
    pub fn from_vars(var: &dyn Fn(&str) -> Option<OsString>) -> HubSettings {
        let set = |name: &str| var(name).filter(|value| !value.is_empty());
        let text = |name: &str| set(name).map(|value| value.to_string_lossy().trim().to_owned());
        let user = set("HOME").or_else(|| set("USERPROFILE")).map(PathBuf::from);
        let path = |name: &str| set(name).map(|value| expand(Path::new(&value), user.as_deref()));
        let caches = || {
            let below_user = user.as_ref().map(|user| user.join(".cache"));
            path("XDG_CACHE_HOME").or(below_user).unwrap_or_else(std::env::temp_dir)
        };
        let home = path("HF_HOME").unwrap_or_else(|| caches().join("huggingface"));
        let token_file = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        let token = text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN")).or_else(|| {
            // No file, no token: most datasets need none, and the hub says so where one does.
            std::fs::read_to_string(token_file).ok().map(|token| token.trim().to_owned())
        });
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        let is_yes = |value: String| matches!(value.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE");
        HubSettings {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: token.filter(|token| !token.is_empty()),
            cache_dir: path("HF_HUB_CACHE")
                .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
                .unwrap_or_else(|| home.join("hub")),
            lerobot_dir: path("HF_LEROBOT_HOME").unwrap_or_else(|| home.join("lerobot")),
            is_offline: text("HF_HUB_OFFLINE").is_some_and(is_yes),
            retry_pause: Duration::from_millis(500),
        }
    }
}

/// `~/x` as a shell would read it: the variables may come from where no shell was.
fn expand(path: &Path, user: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), user) {
        (Ok(rest), Some(user)) => user.join(rest),
        _ => path.to_path_buf(),
    }
}

/// Leaves out the token: what is logged may be read by others.
impl fmt::Debug for HubSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubSettings")
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("cache_dir", &self.cache_dir)
            .field("lerobot_dir", &self.lerobot_dir)
            .field("is_offline", &self.is_offline)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> HubSettings {
        HubSettings::from_vars(&|name| {
            vars.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn without_variables_it_is_where_python_puts_it() {
        let settings = read(&[("HOME", "/u"), ("HF_TOKEN", ""), ("HF_HUB_OFFLINE", "0")]);
        assert_eq!(settings.endpoint, "https://huggingface.co");
        assert_eq!(settings.cache_dir, Path::new("/u/.cache/huggingface/hub"));
        assert_eq!(settings.lerobot_dir, Path::new("/u/.cache/huggingface/lerobot"));
        assert_eq!((settings.token, settings.is_offline), (None, false));
        assert_eq!(read(&[("XDG_CACHE_HOME", "/c")]).cache_dir, Path::new("/c/huggingface/hub"));
    }

    #[test]
    fn every_variable_has_its_say() {
        let home = read(&[("HOME", "/u"), ("HF_HOME", "~/h")]);
        assert_eq!((home.cache_dir, home.lerobot_dir), ("/u/h/hub".into(), "/u/h/lerobot".into()));
        let settings = read(&[
            ("HF_HOME", "/h"),
            ("HF_HUB_CACHE", "/c"),
            ("HF_LEROBOT_HOME", "/l"),
            ("HF_ENDPOINT", "http://mirror/"),
            ("HF_TOKEN", " hf_x\n"),
            ("HF_HUB_OFFLINE", "true"),
        ]);
        assert_eq!((settings.cache_dir.as_path(), settings.lerobot_dir.as_path()), (Path::new("/c"), Path::new("/l")));
        assert_eq!((settings.endpoint.as_str(), settings.token.as_deref()), ("http://mirror", Some("hf_x")));
        assert!(settings.is_offline);
        assert!(!format!("{settings:?}").contains("hf_x"));
    }

    #[test]
    fn the_token_may_lie_in_a_file() -> Result<(), std::io::Error> {
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("token"), "hf_file\n")?;
        let home = dir.path().to_str().unwrap_or_default();
        assert_eq!(read(&[("HF_HOME", home)]).token.as_deref(), Some("hf_file"));
        assert_eq!(read(&[("HF_HOME", home), ("HF_TOKEN", "hf_set")]).token.as_deref(), Some("hf_set"));
        Ok(())
    }
}
