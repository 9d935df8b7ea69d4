//! Which files of a dataset reading it takes: for whoever brings them one by one, from wherever they are.

use std::path::{Path, PathBuf};

use super::features::{self, Selection};
use super::info::Info;
use super::listing::Listing;
use crate::dataset::OpenOptions;
use crate::error::Error;
use crate::holes::Holes;
use crate::spec::DatasetSpec;

/// Folders that hold what is recorded.
const FOLDERS: [&str; 3] = ["data", "videos", "images"];

/// The files that [`crate::Dataset::open`] with certain options would read, told from the metadata alone.
#[derive(Debug)]
pub struct Needs {
    root: PathBuf,
    info: Info,
    spec: DatasetSpec,
    /// Cameras that will not be looked at.
    unread: Vec<String>,
}

impl Needs {
    /// What is in front of everything else, and must be there for [`Needs::of`].
    pub fn is_meta(file: &str) -> bool {
        file.starts_with("meta/")
    }

    /// What reading with `options` takes; of the dataset at their path only `meta/` must be there.
    ///
    /// # Errors
    /// As [`crate::Dataset::open`] where the metadata cannot be read, or a selected column or camera does not exist: better
    /// said before anything large is brought.
    pub fn of(options: &OpenOptions) -> Result<Needs, Error> {
        let root = options.path.clone();
        let info = Info::read(&root)?;
        let selection = Selection {
            state_keys: &features::chosen_state_keys(&info, &options.state_keys),
            hint_keys: &options.hint_keys,
            action_key: &options.action_key,
            cameras: options.cameras.as_deref(),
            image_size: options.image_size,
        };
        let spec = features::spec(&root, &info, &selection, &mut Holes::default())?;
        let is_read = |key: &str| spec.cameras.iter().any(|camera| camera.key == key);
        let cameras = info.features.iter().filter(|(_, feature)| feature.is_camera());
        let unread = cameras.map(|(key, _)| key.clone()).filter(|key| !is_read(key)).collect();
        Ok(Needs { root, info, spec, unread })
    }

    /// Whether a file, by its path in the dataset with `/` between its parts, is among what is read.
    pub fn want(&self, file: &str) -> bool {
        if Needs::is_meta(file) {
            return true;
        }
        let Some((folder, _)) = file.split_once('/') else { return false };
        let is_recorded = FOLDERS.contains(&folder) || self.info.folders().any(|known| known == folder);
        is_recorded && !file.split('/').any(|part| self.unread.iter().any(|key| key == part))
    }

    /// Data files and videos that the list of episodes names and that are not there, and how many it names in all.
    pub fn missing(&self) -> (Vec<PathBuf>, usize) {
        let videos = self.spec.cameras.iter().map(|camera| camera.key.as_str()).filter(|key| self.info.is_video(key));
        let videos: Vec<&str> = videos.collect();
        // What is wrong with the list is told when the dataset is opened.
        let listing = Listing::read(&self.root, &self.info, &videos, &mut Holes::default());
        let files = listing.episodes.into_iter().flat_map(|episode| {
            let videos = episode.videos.into_iter().map(|video| video.file);
            std::iter::once(episode.data_file).chain(videos)
        });
        let mut named: Vec<PathBuf> = files.collect();
        named.sort();
        named.dedup();
        let all = named.len();
        named.retain(|file| !Path::new(&self.root).join(file).is_file());
        (named, all)
    }
}
