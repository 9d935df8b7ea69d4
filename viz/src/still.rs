//! One picture of a recorded episode, small enough to look at.

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};

use crate::Error;

/// Longest side of a still, pixels: enough to see what a gripper holds, a few kilobytes each.
const MAX_SIDE: u32 = 256;
/// JPEG quality; a dataset's own video is rarely better.
const JPEG_QUALITY: u8 = 80;
/// Up to this side, pixels, a picture is shown so large that blocks are seen, and its bytes are few.
const MAX_FINE_SIDE: u32 = 128;
/// JPEG quality of those.
const FINE_JPEG_QUALITY: u8 = 92;

/// A picture of one step, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Still {
    /// Step of the episode.
    pub(crate) step: usize,
    pub(crate) jpeg: Vec<u8>,
}

impl Still {
    /// Takes the picture `rgb` `[height, width, 3]` of a step, made smaller where a side is longer than 256 pixels.
    ///
    /// # Errors
    /// [`Error::Still`] when the bytes do not fit the size, [`Error::Picture`] when the encoder fails.
    pub fn new(step: usize, height: usize, width: usize, rgb: &[u8]) -> Result<Still, Error> {
        let wrong = || Error::Still { step, found: rgb.len(), height, width };
        let sides = (u32::try_from(width), u32::try_from(height));
        let (Ok(w), Ok(h), true) = (sides.0, sides.1, width > 0 && height > 0) else {
            return Err(wrong());
        };
        let picture =
            RgbImage::from_raw(w, h, rgb.to_vec()).filter(|picture| picture.as_raw().len() == width * height * 3);
        let picture = picture.ok_or_else(wrong)?;
        let longest = w.max(h);
        let picture = if longest > MAX_SIDE {
            let fit = |side: u32| (u64::from(side) * u64::from(MAX_SIDE) / u64::from(longest)).max(1) as u32;
            imageops::resize(&picture, fit(w), fit(h), FilterType::Triangle)
        } else {
            picture
        };
        let quality = if longest <= MAX_FINE_SIDE { FINE_JPEG_QUALITY } else { JPEG_QUALITY };
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, quality).encode_image(&picture).map_err(|error| Error::Picture {
            what: format!("the picture of step {step}"),
            message: error.to_string(),
        })?;
        Ok(Still { step, jpeg })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_picture_is_made_smaller_and_keeps_its_shape() -> Result<(), Box<dyn std::error::Error>> {
        for (height, width, expected) in [(480, 640, (256, 192)), (96, 96, (96, 96)), (1024, 1, (1, 256))] {
            let still = Still::new(7, height, width, &vec![200; height * width * 3])?;
            let back = image::load_from_memory(&still.jpeg)?.to_rgb8();
            assert_eq!((still.step, back.dimensions()), (7, expected));
            assert!(back.as_raw().iter().all(|value| value.abs_diff(200) <= 2));
        }
        Ok(())
    }

    #[test]
    fn a_picture_that_contradicts_itself_is_an_error() {
        for (height, width, bytes) in [(2, 2, 11), (2, 2, 13), (0, 2, 0)] {
            let error = Still::new(3, height, width, &vec![0; bytes]).map(|_| ()).map_err(|error| error.to_string());
            let expected = format!("found {bytes} bytes in the picture of step 3, expected {height} x {width} pixels");
            assert!(error.is_err_and(|words| words.starts_with(&expected)));
        }
    }
}
