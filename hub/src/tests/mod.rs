//! The whole way from an address to a folder, against a stand-in for the hub.

mod broken;
mod fetching;
mod finding;
mod server;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use self::server::{Hub, Server};
use crate::{Error, HubSettings, Snapshot};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const COMMIT: &str = "1111111111111111111111111111111111111111";
const LATER: &str = "2222222222222222222222222222222222222222";
const VIDEO: &str = "videos/observation.images.top/chunk-000/file-000.mp4";

/// A hub with one small dataset, and an empty cache.
struct Place {
    server: Server,
    dir: TempDir,
    settings: HubSettings,
}

impl Place {
    fn new() -> Result<Place, std::io::Error> {
        let server = Server::start(
            "127.0.0.1",
            Hub {
                id: "me/tiny".to_owned(),
                revisions: BTreeMap::from([("main".to_owned(), COMMIT.to_owned())]),
                commits: BTreeMap::from([(COMMIT.to_owned(), files())]),
                large_from: 1000,
                page: 1000,
                ..Hub::default()
            },
        )?;
        let dir = tempfile::tempdir()?;
        let settings = HubSettings {
            endpoint: server.endpoint(),
            token: None,
            cache_dir: dir.path().join("hub"),
            lerobot_dir: dir.path().join("lerobot"),
            is_offline: false,
            retry_pause: Duration::from_millis(1),
        };
        Ok(Place { server, dir, settings })
    }

    fn find(&self, address: &str) -> Result<Snapshot, Error> {
        Snapshot::find(&address.parse()?, &self.settings)
    }

    /// Everything but what is no data.
    fn fetch(&self, address: &str) -> Result<Snapshot, Error> {
        let snapshot = self.find(address)?;
        snapshot.fetch(&is_data, &|| false, &mut |_, _| {})?;
        snapshot.remember()?;
        Ok(snapshot)
    }

    /// The dataset's folder in the cache.
    fn repo(&self) -> std::path::PathBuf {
        self.settings.cache_dir.join("datasets--me--tiny")
    }
}

fn files() -> BTreeMap<String, Vec<u8>> {
    let long = |seed: usize, len: usize| (0..len).map(|i| ((i * 31 + seed) % 251) as u8).collect::<Vec<u8>>();
    BTreeMap::from([
        (".gitattributes".to_owned(), b"* text".to_vec()),
        ("README.md".to_owned(), b"words".to_vec()),
        ("meta/info.json".to_owned(), b"{}".to_vec()),
        ("meta/empty.jsonl".to_owned(), Vec::new()),
        ("data/chunk-000/file 000.parquet".to_owned(), long(1, 5_000)),
        (VIDEO.to_owned(), long(2, 300_000)),
    ])
}

fn is_data(path: &str) -> bool {
    ["meta/", "data/", "videos/"].iter().any(|folder| path.starts_with(folder))
}

/// Panics unless the folder holds exactly the data.
fn assert_whole(folder: &Path) -> Outcome {
    for (path, content) in files() {
        if is_data(&path) {
            assert_eq!(std::fs::read(folder.join(&path))?, content, "{path}");
        } else {
            assert!(!folder.join(&path).exists(), "{path}");
        }
    }
    Ok(())
}

/// The names in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The words of an outcome that must be an error.
fn complaint<T>(outcome: Result<T, Error>) -> String {
    outcome.err().map_or_else(|| "no error".to_owned(), |error| error.to_string())
}
