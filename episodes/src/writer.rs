//! Recorded episodes out to a LeRobot v3.0 dataset, its cameras as embedded pictures or as video.
//!
//! Everything is written to a hidden sibling directory that takes its final name only in
//! [`LeRobotWriter::finish`]: an interrupted recording never looks like a dataset. What is appended to a dataset moves
//! into it file by file, `info.json` last, and no file with data of before is touched.

mod arrays;
mod cameras;
mod columns;
mod existing;
mod footage;
pub(crate) mod imagined;
mod meta;
mod stats;
mod videos;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::lerobot::info::stays_inside;
use crate::lerobot::rows::INTERVENTION;
use crate::lock::LockFile;
use crate::survey::Picture;
use crate::video::Film;
use crate::{DatasetSpec, Episode, Error, RecordedEpisode};
use columns::Columns;
use existing::Existing;
pub use footage::Pictures;
pub(crate) use footage::{Footage, Medium, Recorded};
pub use imagined::Origin;
use meta::EpisodeRow;
use videos::Videos;

/// LeRobot's defaults: a new data file after this many bytes, a new directory after this many files.
const DATA_FILE_MB: usize = 100;
const CHUNK_FILES: usize = 1000;

/// Pictures encoded together: enough for every core, little enough to hold in memory. Even, as [`Footage::extend`] asks.
pub(crate) const BATCH: usize = 32;

/// Writes one dataset, episode by episode (one parquet row group each).
///
/// Columns: the state and action vectors and cameras of the spec, `next.terminated`, `next.truncated`,
/// `next.done` (true at the last step), where the spec says so `next.reward` and `next.success`, where the first
/// episode has it `intervention`, and LeRobot's `timestamp`, `frame_index`, `episode_index`, `index`,
/// `task_index`.
pub struct LeRobotWriter {
    spec: DatasetSpec,
    final_dir: PathBuf,
    partial_dir: PathBuf,
    /// The dataset that is added to, if one is.
    existing: Option<Existing>,
    pictures: Pictures,
    columns: Option<Columns>,
    videos: Videos,
    file: Option<ArrowWriter<File>>,
    file_number: usize,
    tasks: Vec<String>,
    rows: Vec<EpisodeRow>,
    frames: usize,
    finished: bool,
    /// Keeps others from adding to the same dataset; given up last, when everything has moved in.
    _alone: Option<LockFile>,
}

impl LeRobotWriter {
    /// Starts a dataset that will appear at `dir`.
    ///
    /// `spec` names the columns; its `source` and `tasks` are not written (task texts come from the episodes) and
    /// frames are expected at each camera's native size.
    ///
    /// # Errors
    /// [`Error::BadFile`] if `dir` already exists or the spec contradicts itself, [`Error::Io`] if the disk
    /// refuses.
    pub fn create(dir: impl AsRef<Path>, spec: &DatasetSpec) -> Result<Self, Error> {
        let final_dir = dir.as_ref();
        if final_dir.exists() {
            return Err(bad(
                final_dir,
                "already exists".to_owned(),
                "a path that does not exist yet (choose another output path or remove this one)",
            ));
        }
        Self::start(final_dir, spec)
    }

    /// Starts episodes that will be added to the LeRobot v3.0 dataset at `dir`; its files with data stay as they are.
    ///
    /// # Errors
    /// [`Error::NotADataset`] and [`Error::BadFile`] if there is no such dataset, it is damaged, its features, shapes or
    /// rate are not those of `spec`, or another process is adding to it; [`Error::Io`] if the disk refuses.
    pub fn append(dir: impl AsRef<Path>, spec: &DatasetSpec) -> Result<Self, Error> {
        let final_dir = dir.as_ref();
        let alone = existing::claim(final_dir)?;
        let existing = Existing::read(final_dir)?;
        let media: Vec<Medium> = spec.cameras.iter().map(|camera| existing.medium(&camera.key)).collect();
        let columns = Columns::new(spec, existing.intervention(), &media).following(existing.features());
        existing.refuse_unless_same(spec, &columns)?;
        let mut writer = Self::start(final_dir, spec)?;
        writer.columns = Some(columns);
        writer.videos = Videos::new(&spec.cameras, |key| existing.next_video_file(key));
        writer.file_number = existing.next_data_file;
        writer.frames = existing.frames;
        writer.tasks.clone_from(&existing.tasks);
        writer.existing = Some(existing);
        writer._alone = alone;
        Ok(writer)
    }

    fn start(final_dir: &Path, spec: &DatasetSpec) -> Result<Self, Error> {
        let Some(name) = final_dir.file_name() else {
            return Err(bad(final_dir, "the path has no last name".to_owned(), "a directory name to create"));
        };
        if let Some(f) = spec.state.iter().chain([&spec.action]).find(|f| f.names.len() != f.len) {
            let found = format!("feature '{}' has {} elements but {} names", f.key, f.len, f.names.len());
            return Err(bad(final_dir, found, "one name per element"));
        }
        if !(spec.control_rate_hz.is_finite() && spec.control_rate_hz > 0.0) {
            return Err(bad(final_dir, format!("a control rate of {} Hz", spec.control_rate_hz), "a positive rate"));
        }
        if let Some(camera) = spec.cameras.iter().find(|camera| !stays_inside(&camera.key)) {
            let found = format!("the camera name '{}'", camera.key);
            return Err(bad(final_dir, found, "one that does not lead out of the dataset as a path"));
        }
        let partial_name = format!(".{}.partial-{}", name.to_string_lossy(), std::process::id());
        let partial_dir = final_dir.with_file_name(partial_name);
        if partial_dir.exists() {
            // Left by a process that had the same number and was killed.
            fs::remove_dir_all(&partial_dir).map_err(io("cannot remove", &partial_dir))?;
        }
        fs::create_dir_all(partial_dir.join("meta")).map_err(io("cannot create", &partial_dir))?;
        Ok(Self {
            spec: spec.clone(),
            final_dir: final_dir.to_path_buf(),
            partial_dir,
            existing: None,
            pictures: Pictures::default(),
            columns: None,
            videos: Videos::new(&spec.cameras, |_| 0),
            file: None,
            file_number: 0,
            tasks: Vec::new(),
            rows: Vec::new(),
            frames: 0,
            finished: false,
            _alone: None,
        })
    }

    /// How [`LeRobotWriter::push`] keeps pictures, instead of embedding them. Where episodes are added to a dataset, that
    /// dataset decides.
    #[must_use]
    pub fn with_pictures(mut self, pictures: Pictures) -> Self {
        self.pictures = pictures;
        self
    }

    /// Appends one episode; its `index` and `first_frame` are ignored and assigned in order.
    ///
    /// # Errors
    /// [`Error::BadFile`] if the episode does not have the shapes the spec promises, [`Error::Io`] if the disk
    /// refuses. An episode that was refused leaves the dataset as it was.
    pub fn push(&mut self, recorded: &RecordedEpisode) -> Result<(), Error> {
        let footage = self.encode(recorded).map_err(|(found, expected)| self.refusal(&found, expected))?;
        self.push_from(&recorded.episode, footage, None)
    }

    /// [`LeRobotWriter::push`] of an episode that was imagined, into a new dataset of such: every step is marked, with what
    /// `origin` says, in the columns `is_imagined`, `imagined.doubt`, `imagined.from_episode` and `imagined.from_step`.
    ///
    /// # Errors
    /// As there, and where recorded episodes were pushed before.
    pub fn push_imagined(&mut self, recorded: &RecordedEpisode, origin: Origin) -> Result<(), Error> {
        let footage = self.encode(recorded).map_err(|(found, expected)| self.refusal(&found, expected))?;
        self.push_from(&recorded.episode, footage, Some(origin))
    }

    /// Recorded pixels of every camera in the form in which they are kept; `Err` is (found, expected).
    fn encode(&self, recorded: &RecordedEpisode) -> Result<Vec<Footage>, (String, String)> {
        let mut encoded = Vec::with_capacity(recorded.frames.len());
        // Too few or too many cameras are named when the episode is checked.
        for (camera, frames) in self.spec.cameras.iter().zip(&recorded.frames) {
            let (height, width, len) = (camera.native_height, camera.native_width, recorded.episode.len);
            let bytes = height * width * 3;
            if frames.len() != len * bytes {
                let found = format!("{} bytes of pictures of {}", frames.len(), camera.key);
                return Err((found, format!("{} for {len} steps", len * bytes)));
            }
            let is_video = match &self.existing {
                Some(existing) => existing.medium(&camera.key) == Medium::Video,
                None => self.pictures == Pictures::Video && Film::takes(height, width),
            };
            let mut footage = if is_video { Footage::film(self.spec.control_rate_hz) } else { Footage::pictures() };
            for batch in frames.chunks((BATCH * bytes).max(1)) {
                let rgb = |pixels: &[u8]| Picture::Rgb { pixels: pixels.to_vec(), height, width };
                let pictures = batch.chunks_exact(bytes.max(1)).map(rgb).collect();
                footage.extend(pictures).map_err(|why| (why, "pictures that can be written".to_owned()))?;
            }
            encoded.push(footage);
        }
        let missing = recorded.frames.iter().skip(encoded.len()).map(|_| Footage::pictures());
        encoded.extend(missing);
        Ok(encoded)
    }

    /// [`LeRobotWriter::push`] with pictures that need no more work, and video files that are copied.
    pub(crate) fn push_footage(&mut self, episode: &Episode, footage: Vec<Footage>) -> Result<(), Error> {
        self.push_from(episode, footage, None)
    }

    fn push_from(&mut self, episode: &Episode, footage: Vec<Footage>, origin: Option<Origin>) -> Result<(), Error> {
        let is_first = self.rows.is_empty() && self.existing.is_none();
        let mut columns = match self.columns.take() {
            Some(columns) => columns,
            None => {
                let medium = |camera| footage.get(camera).map_or(Medium::Embedded, Footage::medium);
                let media: Vec<Medium> = (0..self.spec.cameras.len()).map(medium).collect();
                let intervention = episode.intervention.as_ref().map(|_| INTERVENTION[0]);
                let columns = Columns::new(&self.spec, intervention, &media);
                if origin.is_some() { columns.marking_imagined() } else { columns }
            }
        };
        columns.origin = origin;
        let checked = columns.check(episode, &footage);
        self.columns = Some(columns);
        if let Err((found, expected)) = checked {
            if is_first {
                self.columns = None;
            }
            return Err(self.refusal(&found, expected));
        }
        let index = self.existing.as_ref().map_or(0, |existing| existing.episodes) + self.rows.len();
        let task_index = self.tasks.iter().position(|t| *t == episode.task).unwrap_or_else(|| {
            self.tasks.push(episode.task.clone());
            self.tasks.len() - 1
        });
        let mut row = EpisodeRow {
            index,
            task: episode.task.clone(),
            length: episode.len,
            chunk_index: self.file_number / CHUNK_FILES,
            file_index: self.file_number % CHUNK_FILES,
            first_frame: self.frames,
            videos: self.videos.keep(&self.partial_dir, &footage, self.spec.control_rate_hz)?,
            stats: Vec::new(),
        };
        let path = self.partial_dir.join(meta::data_file(row.chunk_index, row.file_index));
        let Some(columns) = &mut self.columns else { return Ok(()) };
        row.stats = columns.count(episode, &footage, index, self.frames, task_index);
        let batch =
            columns.batch(episode, footage, index, self.frames, task_index).map_err(|e| parquet_error(&path, e))?;
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(open_parquet(&path, batch.schema())?),
        };
        file.write(&batch).and_then(|()| file.flush()).map_err(|e| parquet_error(&path, e))?;
        self.frames += episode.len;
        self.rows.push(row);
        if file.bytes_written() >= DATA_FILE_MB << 20 {
            self.close_file()?;
        }
        Ok(())
    }

    /// The error for an episode of the wrong shape.
    fn refusal(&self, found: &str, expected: String) -> Error {
        let found = format!("episode {}: {found}", self.rows.len());
        Error::BadFile { found, expected, path: self.final_dir.clone() }
    }

    /// Writes the metadata and gives the dataset its final name.
    ///
    /// # Errors
    /// [`Error::NothingLeft`] if no episode was pushed, [`Error::Io`] if the disk refuses.
    pub fn finish(mut self) -> Result<(), Error> {
        self.close_file()?;
        let Some(columns) = self.columns.as_ref().filter(|_| !self.rows.is_empty()) else {
            return Err(Error::NothingLeft {
                found: "no episode was recorded".to_owned(),
                expected: "at least one episode to write a dataset".to_owned(),
                path: self.final_dir.clone(),
            });
        };
        let existing = self.existing.as_ref();
        meta::write(&self.partial_dir, &self.spec, columns, &self.tasks, &self.rows, existing)?;
        match existing {
            // What is left of the partial directory is removed on drop.
            Some(existing) => {
                existing.move_in(&self.partial_dir, &self.final_dir, self.videos.files(), self.file_number)
            }
            None => {
                fs::rename(&self.partial_dir, &self.final_dir)
                    .map_err(io("cannot move the finished dataset to", &self.final_dir))?;
                self.finished = true;
                Ok(())
            }
        }
    }

    fn close_file(&mut self) -> Result<(), Error> {
        if let Some(file) = self.file.take() {
            file.close().map_err(|e| parquet_error(&self.partial_dir, e))?;
            self.file_number += 1;
        }
        Ok(())
    }
}

impl Drop for LeRobotWriter {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing can be reported from here, and a leftover hidden directory harms nobody.
            let _ = fs::remove_dir_all(&self.partial_dir);
        }
    }
}

fn open_parquet(path: &Path, schema: arrow::datatypes::SchemaRef) -> Result<ArrowWriter<File>, Error> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(io("cannot create", parent))?;
    }
    let file = File::create(path).map_err(io("cannot write", path))?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    ArrowWriter::try_new(file, schema, Some(properties)).map_err(|e| parquet_error(path, e))
}

fn bad(path: &Path, found: String, expected: &str) -> Error {
    Error::BadFile { found, expected: expected.to_owned(), path: path.to_path_buf() }
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Io { doing, source, path }
}

fn parquet_error(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Io { doing: "cannot write", source: std::io::Error::other(source), path: path.to_path_buf() }
}

#[cfg(test)]
mod tests;
