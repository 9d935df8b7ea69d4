//! One camera's pictures of one episode on their way into a dataset: encoded, and counted for the statistics.

use image::ImageFormat;
use rayon::prelude::*;

use super::arrays;
use crate::frames::decode_picture;
use crate::normaliser::Moments;
use crate::survey::Picture;

/// Pictures as they will be written, and how often each brightness occurs in them.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// PNG or JPEG.
    pub(super) pictures: Vec<Vec<u8>>,
    /// Height and width, pixels; none before the first picture.
    pub(crate) size: Option<(usize, usize)>,
    /// Per colour channel, how many bytes have each value.
    histogram: [[u64; 256]; 3],
}

impl Encoded {
    /// No pictures yet.
    pub(crate) fn new() -> Encoded {
        Encoded { pictures: Vec::new(), size: None, histogram: [[0; 256]; 3] }
    }

    /// Number of pictures.
    pub(crate) fn len(&self) -> usize {
        self.pictures.len()
    }

    /// Adds pictures. What is PNG or JPEG already stays as it is, pixels become PNG, which loses nothing.
    ///
    /// The error says which picture cannot be decoded or differs in size from the first.
    pub(crate) fn extend(&mut self, batch: Vec<Picture>) -> Result<(), String> {
        let first = self.pictures.len();
        let done: Result<Vec<_>, String> = batch
            .into_par_iter()
            .enumerate()
            .map(|(i, picture)| one(picture).map_err(|why| format!("picture {} {why}", first + i)))
            .collect();
        for (bytes, size, histogram) in done? {
            let expected = *self.size.get_or_insert(size);
            if size != expected {
                let (found, expected) = (by(size), by(expected));
                return Err(format!("picture {} has {found} pixels, the first {expected}", self.pictures.len()));
            }
            self.pictures.push(bytes);
            for (all, one) in self.histogram.iter_mut().flatten().zip(histogram.iter().flatten()) {
                *all += one;
            }
        }
        Ok(())
    }

    /// Takes the brightness of every pixel into per-channel statistics, 0 to 1.
    pub(super) fn count_into(&self, moments: &mut [Moments]) {
        for (moments, counts) in moments.iter_mut().zip(&self.histogram) {
            for (value, &count) in counts.iter().enumerate() {
                moments.add_many(value as f64 / 255.0, count);
            }
        }
    }
}

/// `480x640`: height, then width.
fn by((height, width): (usize, usize)) -> String {
    format!("{height}x{width}")
}

type One = (Vec<u8>, (usize, usize), Box<[[u64; 256]; 3]>);

fn one(picture: Picture) -> Result<One, String> {
    let png =
        |rgb: &[u8], height, width| arrays::png(rgb, height, width).map_err(|err| format!("cannot be written ({err})"));
    match picture {
        Picture::Rgb { pixels, height, width } => {
            Ok((png(&pixels, height, width)?, (height, width), histogram(&pixels)))
        }
        Picture::Encoded(bytes) => {
            let rgb = decode_picture(&bytes).map_err(|why| format!("cannot be read ({why})"))?;
            let (height, width) = (rgb.height() as usize, rgb.width() as usize);
            let bytes = match image::guess_format(&bytes) {
                Ok(ImageFormat::Png | ImageFormat::Jpeg) => bytes,
                _ => png(&rgb, height, width)?,
            };
            Ok((bytes, (height, width), histogram(&rgb)))
        }
    }
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
