//! The video files of a written dataset: one numbering per camera, and every file whole when its episode is taken in.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::footage::{Content, Footage};
use super::{CHUNK_FILES, io};
use crate::Error;
use crate::spec::CameraFeature;

/// Where video files are, as Python formats it.
pub(super) const VIDEO_PATH: &str = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4";

/// Path of a video file below the dataset's root.
pub(super) fn video_file(key: &str, number: usize) -> String {
    format!("videos/{key}/chunk-{:03}/file-{:03}.mp4", number / CHUNK_FILES, number % CHUNK_FILES)
}

/// The part of a video file that is one episode of one camera.
#[derive(Clone, Debug)]
pub(super) struct VideoRow {
    pub(super) key: String,
    pub(super) number: usize,
    pub(super) from_s: f64,
    pub(super) to_s: f64,
}

/// The video files written so far.
#[derive(Debug)]
pub(super) struct Videos {
    cameras: Vec<Camera>,
}

#[derive(Debug)]
struct Camera {
    key: String,
    first: usize,
    next: usize,
    /// Files that were copied, and their numbers.
    copied: BTreeMap<PathBuf, usize>,
}

impl Videos {
    /// No files yet; `first` gives the first free number of a camera.
    pub(super) fn new(cameras: &[CameraFeature], first: impl Fn(&str) -> usize) -> Videos {
        let camera = |camera: &CameraFeature| {
            let first = first(&camera.key);
            Camera { key: camera.key.clone(), first, next: first, copied: BTreeMap::new() }
        };
        Videos { cameras: cameras.iter().map(camera).collect() }
    }

    /// Puts the footage that is video into files below `dir`: what was encoded into a file of its own, a recorded file
    /// as it is, once.
    pub(super) fn keep(&mut self, dir: &Path, footage: &[Footage], rate_hz: f64) -> Result<Vec<VideoRow>, Error> {
        let mut rows = Vec::new();
        for (camera, footage) in self.cameras.iter_mut().zip(footage) {
            let (number, from_s) = match &footage.content {
                Content::Pictures(_) => continue,
                Content::Film(film) => {
                    let path = camera.new_file(dir)?;
                    film.write(&path).map_err(io("cannot write", &path))?;
                    (camera.next - 1, 0.0)
                }
                Content::Recorded(recorded) => match camera.copied.get(&recorded.path) {
                    Some(&number) => (number, recorded.from_s),
                    None => {
                        let path = camera.new_file(dir)?;
                        copy(&recorded.path, &path)?;
                        camera.copied.insert(recorded.path.clone(), camera.next - 1);
                        (camera.next - 1, recorded.from_s)
                    }
                },
            };
            let to_s = from_s + footage.len() as f64 / rate_hz;
            rows.push(VideoRow { key: camera.key.clone(), number, from_s, to_s });
        }
        Ok(rows)
    }

    /// The files written, relative to the dataset.
    pub(super) fn files(&self) -> impl Iterator<Item = String> + '_ {
        self.cameras.iter().flat_map(|camera| (camera.first..camera.next).map(|number| video_file(&camera.key, number)))
    }
}

impl Camera {
    /// Path of the file with the next number, whose folder then exists.
    fn new_file(&mut self, dir: &Path) -> Result<PathBuf, Error> {
        let path = dir.join(video_file(&self.key, self.next));
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(io("cannot create", parent))?;
        }
        self.next += 1;
        Ok(path)
    }
}

/// Copies a file byte for byte (without copying, where the file system can share blocks). A copy may be written to, even
/// if the recording may not.
fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    fs::copy(from, to).map_err(|source| {
        let place = format!("{} to {}", from.display(), to.display());
        Error::Io { doing: "cannot copy", source, path: place.into() }
    })?;
    let mut permissions = fs::metadata(to).map_err(io("cannot read", to))?.permissions();
    if permissions.readonly() {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            permissions.set_mode(permissions.mode() | 0o200);
        }
        #[cfg(not(unix))]
        permissions.set_readonly(false);
        fs::set_permissions(to, permissions).map_err(io("cannot change", to))?;
    }
    Ok(())
}
