//! What one camera saw in one episode, on its way into a dataset: encoded or named, and counted for the statistics.

use std::path::PathBuf;

use image::{ImageFormat, RgbImage};
use rayon::prelude::*;

use super::arrays;
use super::stats::Stats;
use crate::frames::decode_picture;
use crate::survey::Picture;
use crate::video::{About, Film};

/// How a dataset keeps cameras that were recorded as pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pictures {
    /// As PNG or JPEG inside the data files: nothing is lost.
    #[default]
    Embedded,
    /// As H.264 video, near to visually lossless and about a twelfth of the size. Cameras whose size H.264 cannot hold
    /// (odd, or smaller than 16 pixels) stay embedded.
    Video,
}

/// How a dataset keeps one camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    /// Pictures inside the data files; LeRobot's `image`.
    Embedded,
    /// Files of their own; LeRobot's `video`.
    Video,
}

/// The frames of one camera in one episode, and how often each brightness occurs in them.
#[derive(Debug)]
pub(crate) struct Footage {
    pub(super) content: Content,
    /// Height and width, pixels; none before the first picture.
    pub(crate) size: Option<(usize, usize)>,
    /// Per colour channel, how many bytes have each value.
    histogram: [[u64; 256]; 3],
    /// Frames that the histogram counts.
    counted: u64,
}

/// Where the frames are.
#[derive(Debug)]
pub(super) enum Content {
    /// PNG or JPEG.
    Pictures(Vec<Vec<u8>>),
    /// Encoded as H.264, still in memory.
    Film(Film),
    /// In a video file.
    Recorded(Recorded),
}

/// A part of a video file that is copied as it is.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) path: PathBuf,
    /// Time of the first frame, seconds from the start of the file.
    pub(crate) from_s: f64,
    /// Number of frames.
    pub(crate) len: usize,
    pub(crate) about: About,
}

impl Footage {
    fn new(content: Content) -> Footage {
        Footage { content, size: None, histogram: [[0; 256]; 3], counted: 0 }
    }

    /// Pictures to embed; none yet.
    pub(crate) fn pictures() -> Footage {
        Footage::new(Content::Pictures(Vec::new()))
    }

    /// Pictures to encode as video; none yet.
    pub(crate) fn film(rate_hz: f64) -> Footage {
        Footage::new(Content::Film(Film::new(rate_hz)))
    }

    /// Frames in a video file. Some of them are to be counted with [`Footage::count`], at least one.
    pub(crate) fn recorded(recorded: Recorded) -> Footage {
        Footage::new(Content::Recorded(recorded))
    }

    /// How it will be kept.
    pub(crate) fn medium(&self) -> Medium {
        match self.content {
            Content::Pictures(_) => Medium::Embedded,
            Content::Film(_) | Content::Recorded(_) => Medium::Video,
        }
    }

    /// Number of frames.
    pub(crate) fn len(&self) -> usize {
        match &self.content {
            Content::Pictures(pictures) => pictures.len(),
            Content::Film(film) => film.len(),
            Content::Recorded(recorded) => recorded.len,
        }
    }

    /// Adds pictures to those that are embedded or encoded; an even number of them, except for the last call.
    ///
    /// What is PNG or JPEG already is embedded as it is, pixels become PNG, which loses nothing. The error says which
    /// picture cannot be decoded or written, or differs in size from the first.
    pub(crate) fn extend(&mut self, batch: Vec<Picture>) -> Result<(), String> {
        if batch.is_empty() {
            return Ok(());
        }
        let first = self.len();
        let embed = matches!(self.content, Content::Pictures(_));
        let done: Result<Vec<One>, String> = batch
            .into_par_iter()
            .enumerate()
            .map(|(i, picture)| One::of(picture, embed).map_err(|why| format!("picture {} {why}", first + i)))
            .collect();
        let done = done?;
        for (i, one) in done.iter().enumerate() {
            let expected = *self.size.get_or_insert(one.size);
            if one.size != expected {
                let (found, expected) = (by(one.size), by(expected));
                return Err(format!("picture {} has {found} pixels, the first {expected}", first + i));
            }
            self.add(&one.histogram);
        }
        let bytes = done.into_iter().map(|one| one.bytes);
        match &mut self.content {
            Content::Pictures(pictures) => pictures.extend(bytes),
            Content::Film(film) => {
                let (height, width) = self.size.unwrap_or_default();
                let pixels: Vec<Vec<u8>> = bytes.collect();
                film.extend(&pixels, height, width)?;
            }
            // Video files are not added to.
            Content::Recorded(_) => {}
        }
        Ok(())
    }

    /// Counts one frame of a video file, RGB `[height, width, 3]`.
    pub(crate) fn count(&mut self, rgb: &[u8], height: usize, width: usize) -> Result<(), String> {
        let expected = *self.size.get_or_insert((height, width));
        if expected != (height, width) {
            return Err(format!("it has frames of {} and of {} pixels", by(expected), by((height, width))));
        }
        self.add(&histogram(rgb));
        Ok(())
    }

    fn add(&mut self, histogram: &[[u64; 256]; 3]) {
        for (all, one) in self.histogram.iter_mut().flatten().zip(histogram.iter().flatten()) {
            *all += one;
        }
        self.counted += 1;
    }

    /// Per colour channel, of every counted pixel.
    pub(super) fn stats(&self) -> Stats {
        Stats::of_pictures(&self.histogram, self.counted)
    }
}

/// `480x640`: height, then width.
pub(crate) fn by((height, width): (usize, usize)) -> String {
    format!("{height}x{width}")
}

/// One picture: as it will be embedded, or its pixels.
struct One {
    bytes: Vec<u8>,
    size: (usize, usize),
    histogram: Box<[[u64; 256]; 3]>,
}

impl One {
    fn of(picture: Picture, embed: bool) -> Result<One, String> {
        let png = |rgb: &[u8], (height, width)| {
            arrays::png(rgb, height, width).map_err(|err| format!("cannot be written ({err})"))
        };
        match picture {
            Picture::Rgb { pixels, height, width } => {
                let (size, histogram) = ((height, width), histogram(&pixels));
                let bytes = if embed { png(&pixels, size)? } else { pixels };
                Ok(One { bytes, size, histogram })
            }
            Picture::Encoded(bytes) => {
                let rgb = decode_picture(&bytes).map_err(|why| format!("cannot be read ({why})"))?;
                let (size, histogram) = (size_of(&rgb), histogram(&rgb));
                let bytes = match image::guess_format(&bytes) {
                    _ if !embed => rgb.into_raw(),
                    Ok(ImageFormat::Png | ImageFormat::Jpeg) => bytes,
                    _ => png(&rgb, size)?,
                };
                Ok(One { bytes, size, histogram })
            }
        }
    }
}

fn size_of(rgb: &RgbImage) -> (usize, usize) {
    (rgb.height() as usize, rgb.width() as usize)
}

fn histogram(rgb: &[u8]) -> Box<[[u64; 256]; 3]> {
    let mut counts = Box::new([[0; 256]; 3]);
    for pixel in rgb.chunks_exact(3) {
        for (channel, &value) in pixel.iter().enumerate() {
            counts[channel][usize::from(value)] += 1;
        }
    }
    counts
}
