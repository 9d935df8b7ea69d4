//! Columns of frames and numbers into a recording, many rows at a time.

use rerun::components::MediaType;
use rerun::{
    AsComponents, EncodedImage, EntityPath, EntityPathPart, RecordingStream, Scalars, SeriesLines, SeriesPoints,
    TimeColumn,
};

use crate::{Error, Frame, Still};

/// Timeline of positions in an episode.
pub(crate) const FRAME_INDEX: &str = "frame_index";
/// Timeline of seconds since the start of an episode.
const TIMESTAMP: &str = "timestamp";
/// Timeline of training steps.
pub(crate) const UPDATE: &str = "update";

/// Frames per chunk of a recording: about a megabyte of pictures, which the viewer loads in one piece.
const FRAMES_PER_CHUNK: usize = 128;

/// One colour per arm of a branch, told apart also by readers with a colour vision deficiency
/// (Okabe and Ito's palette).
const PALETTE: [u32; 7] = [0xE69F_00FF, 0x56B4_E9FF, 0x009E_73FF, 0xF0E4_42FF, 0x0072_B2FF, 0xD55E_00FF, 0xCC79_A7FF];

/// The colour of line number `index`.
pub(crate) fn colour(index: usize) -> u32 {
    PALETTE[index % PALETTE.len()]
}

/// Entity path of parts that may hold any character.
pub(crate) fn path(parts: &[&str]) -> EntityPath {
    EntityPath::new(parts.iter().map(|part| EntityPathPart::new(*part)).collect())
}

/// Entity name of a camera as LeRobot's viewer shows it.
pub(crate) fn camera_entity(name: &str) -> String {
    if name.starts_with("observation.") { name.to_owned() } else { format!("observation.images.{name}") }
}

/// Where rows go: a recording, and the moment its row 0 stands for.
pub(crate) struct Track<'r> {
    rec: &'r RecordingStream,
    /// `None` where nobody knows it.
    fps: Option<f64>,
    first_frame: usize,
}

impl<'r> Track<'r> {
    /// # Errors
    /// [`Error::Fps`] when the rate is not positive.
    pub(crate) fn new(rec: &'r RecordingStream, what: &str, fps: f64, first_frame: usize) -> Result<Self, Error> {
        if fps.is_finite() && fps > 0.0 {
            Ok(Track { rec, fps: Some(fps), first_frame })
        } else {
            Err(Error::Fps { what: what.to_owned(), fps })
        }
    }

    /// A track whose rate nobody knows: it has no seconds.
    pub(crate) fn without_clock(rec: &'r RecordingStream) -> Self {
        Track { rec, fps: None, first_frame: 0 }
    }

    fn times(&self, rows: impl Iterator<Item = usize> + Clone) -> Vec<TimeColumn> {
        let frames = rows.map(|row| self.first_frame + row);
        let mut times = vec![TimeColumn::new_sequence(FRAME_INDEX, frames.clone().map(|frame| frame as i64))];
        times.extend(
            self.fps.map(|fps| TimeColumn::new_duration_secs(TIMESTAMP, frames.map(|frame| frame as f64 / fps))),
        );
        times
    }

    /// Sends frames `[T]`.
    pub(crate) fn frames(&self, at: &EntityPath, frames: &[Frame]) -> Result<(), Error> {
        for (chunk, frames) in frames.chunks(FRAMES_PER_CHUNK).enumerate() {
            let first = chunk * FRAMES_PER_CHUNK;
            let mut blobs = Vec::with_capacity(frames.len());
            for (index, frame) in frames.iter().enumerate() {
                let what = || format!("frame {} of {}", first + index, at.ui_string());
                frame.check(what)?;
                blobs
                    .push(frame.encode().map_err(|error| Error::Picture { what: what(), message: error.to_string() })?);
            }
            let kinds = frames.iter().map(|frame| if frame.is_png() { MediaType::PNG } else { MediaType::JPEG });
            self.pictures(at, first..first + frames.len(), blobs, kinds)?;
        }
        Ok(())
    }

    /// Sends pictures of some steps.
    pub(crate) fn stills(&self, at: &EntityPath, stills: &[Still]) -> Result<(), Error> {
        for stills in stills.chunks(FRAMES_PER_CHUNK) {
            let blobs = stills.iter().map(|still| still.jpeg.clone()).collect();
            self.pictures(at, stills.iter().map(|still| still.step), blobs, stills.iter().map(|_| MediaType::JPEG))?;
        }
        Ok(())
    }

    fn pictures(
        &self,
        at: &EntityPath,
        rows: impl Iterator<Item = usize> + Clone,
        blobs: Vec<Vec<u8>>,
        kinds: impl Iterator<Item = &'static str>,
    ) -> Result<(), Error> {
        EncodedImage::update_fields()
            .with_many_blob(blobs)
            .with_many_media_type(kinds)
            .columns_of_unit_batches()
            .map_err(rerun::RecordingStreamError::from)
            .and_then(|columns| self.rec.send_columns(at.clone(), self.times(rows), columns))
            .map_err(|error| Error::recording(&at.ui_string(), error))
    }

    /// Sends rows `[T, N]` as `N` lines. `prefix` goes before each name; empty `names` count from 0.
    pub(crate) fn rows(&self, at: &EntityPath, rows: &[Vec<f32>], names: &[String], prefix: &str) -> Result<(), Error> {
        let Some(first) = rows.first() else { return Ok(()) };
        let expected = if names.is_empty() { first.len() } else { names.len() };
        if let Some((row, found)) = rows.iter().map(Vec::len).enumerate().find(|(_, found)| *found != expected) {
            return Err(Error::Row { what: at.ui_string(), row, found, expected });
        }
        if expected == 0 {
            return Ok(());
        }
        let names: Vec<String> = match names {
            [] => (0..expected).map(|index| format!("{prefix}{index}")).collect(),
            names => names.iter().map(|name| format!("{prefix}{name}")).collect(),
        };
        let values = rows.iter().flatten().map(|value| f64::from(*value));
        self.send(at, values.collect(), expected, &SeriesLines::new().with_names(names))
    }

    /// Sends one line `[T]`.
    pub(crate) fn line(&self, at: &EntityPath, values: &[f32], name: &str, colour: Option<u32>) -> Result<(), Error> {
        if values.is_empty() {
            return Ok(());
        }
        let lines = SeriesLines::new().with_names([name]);
        let lines = match colour {
            Some(colour) => lines.with_colors([colour]),
            None => lines,
        };
        self.send(at, values.iter().map(|value| f64::from(*value)).collect(), 1, &lines)
    }

    /// Sends one line `[T]` that is so many points wide.
    pub(crate) fn thin_line(
        &self,
        at: &EntityPath,
        values: &[f32],
        name: &str,
        colour: u32,
        width: f32,
    ) -> Result<(), Error> {
        let lines = SeriesLines::new().with_names([name]).with_colors([colour]).with_widths([width]);
        self.send(at, values.iter().map(|value| f64::from(*value)).collect(), 1, &lines)
    }

    /// Sends one point, at a row.
    pub(crate) fn point(&self, at: &EntityPath, row: usize, value: f64, looks: &SeriesPoints) -> Result<(), Error> {
        send_scalars(self.rec, at, self.times(row..row + 1), vec![value], 1, looks)
    }

    fn send(&self, at: &EntityPath, values: Vec<f64>, per_row: usize, lines: &SeriesLines) -> Result<(), Error> {
        let times = self.times(0..values.len() / per_row);
        send_scalars(self.rec, at, times, values, per_row, lines)
    }
}

/// Sends `values` `[T, per_row]` at the given times, and how they look.
pub(crate) fn send_scalars(
    rec: &RecordingStream,
    at: &EntityPath,
    times: impl IntoIterator<Item = TimeColumn>,
    values: Vec<f64>,
    per_row: usize,
    looks: &impl AsComponents,
) -> Result<(), Error> {
    let count = values.len() / per_row;
    rec.log_static(at.clone(), looks)
        .and_then(|()| {
            let columns = Scalars::new(values).columns(std::iter::repeat_n(per_row, count))?;
            rec.send_columns(at.clone(), times, columns)
        })
        .map_err(|error| Error::recording(&at.ui_string(), error))
}
