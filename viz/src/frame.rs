//! One square colour picture.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use crate::Error;

/// Up to this side, pixels, frames are stored as PNG: JPEG's blocks are visible in pictures this small, and
/// the bytes saved are few.
const MAX_PNG_SIZE: usize = 64;
/// JPEG quality of larger frames; above it files grow faster than the eye notices.
const JPEG_QUALITY: u8 = 90;

/// Spread of a pixel, grey levels of 255, at which its colour is the brightest: fixed, so that pictures can be compared.
pub const BRIGHTEST_SPREAD: f32 = 48.0;

/// A square colour picture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// Side, pixels.
    pub size: usize,
    /// `[size, size, 3]`, red, green, blue, 0 to 255.
    pub rgb: Vec<u8>,
}

impl Frame {
    /// Checks that the bytes fit the size; `what` names the frame in the error.
    ///
    /// # Errors
    /// [`Error::Frame`] when they do not.
    pub fn check(&self, what: impl FnOnce() -> String) -> Result<(), Error> {
        let (found, size, expected) =
            (self.rgb.len(), self.size, self.size.saturating_mul(self.size).saturating_mul(3));
        if found == expected && size > 0 { Ok(()) } else { Err(Error::Frame { what: what(), found, size, expected }) }
    }

    /// Absolute difference of two frames of the same size, per channel; black where they agree. Frames of
    /// different sizes differ everywhere: the result is white.
    pub fn difference(&self, other: &Frame) -> Frame {
        let rgb = if self.size == other.size && self.rgb.len() == other.rgb.len() {
            self.rgb.iter().zip(&other.rgb).map(|(a, b)| a.abs_diff(*b)).collect()
        } else {
            vec![255; self.rgb.len()]
        };
        Frame { size: self.size, rgb }
    }

    /// The picture in dim grey under how far its pixels are spread, `[size, size]`, in grey levels of 255: from no colour at 0 over
    /// violet and orange to light yellow at [`BRIGHTEST_SPREAD`] and beyond.
    pub fn heat(&self, spread: &[f32]) -> Frame {
        /// Stops of the colour map, evenly spaced: brighter all the way, so that it can be read without seeing colours.
        const COLOURS: [[f32; 3]; 5] =
            [[0.0, 0.0, 0.0], [90.0, 20.0, 110.0], [190.0, 55.0, 85.0], [245.0, 140.0, 20.0], [252.0, 250.0, 160.0]];
        let rgb = self.rgb.chunks_exact(3).zip(spread).flat_map(|(pixel, spread)| {
            let share = (spread / BRIGHTEST_SPREAD).clamp(0.0, 1.0);
            let at = share * (COLOURS.len() - 1) as f32;
            let below = (at as usize).min(COLOURS.len() - 2);
            let grey = pixel.iter().map(|value| f32::from(*value)).sum::<f32>() / 3.0;
            [0, 1, 2].map(|channel| {
                let (low, high) = (COLOURS[below][channel], COLOURS[below + 1][channel]);
                let colour = low + (at - below as f32) * (high - low);
                (colour + (1.0 - share) * 0.45 * grey).round().clamp(0.0, 255.0) as u8
            })
        });
        Frame { size: self.size, rgb: rgb.collect() }
    }

    /// Mean over all pixels and channels, 0 (black) to 1 (white).
    pub fn mean(&self) -> f32 {
        let sum: u64 = self.rgb.iter().map(|value| u64::from(*value)).sum();
        (sum as f64 / (255.0 * self.rgb.len().max(1) as f64)) as f32
    }

    /// PNG when tiny, else JPEG.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, image::ImageError> {
        let mut bytes = Vec::new();
        let side = self.size as u32;
        if self.is_png() {
            let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive);
            encoder.write_image(&self.rgb, side, side, ExtendedColorType::Rgb8)?;
        } else {
            JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY).write_image(
                &self.rgb,
                side,
                side,
                ExtendedColorType::Rgb8,
            )?;
        }
        Ok(bytes)
    }

    /// Whether [`Frame::encode`] writes PNG.
    pub(crate) fn is_png(&self) -> bool {
        self.size <= MAX_PNG_SIZE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_and_mean() {
        let a = Frame { size: 1, rgb: vec![10, 20, 255] };
        let b = Frame { size: 1, rgb: vec![20, 10, 0] };
        assert_eq!(a.difference(&b).rgb, [10, 10, 255]);
        assert!((a.difference(&b).mean() - 275.0 / 765.0).abs() < 1e-6);
        assert_eq!(a.difference(&Frame::default()).rgb, [255; 3]);
    }

    #[test]
    fn heat_is_dim_grey_without_spread_and_brighter_the_more_there_is() {
        let frame = Frame { size: 2, rgb: vec![100; 12] };
        let heat = frame.heat(&[0.0, 0.5 * BRIGHTEST_SPREAD, BRIGHTEST_SPREAD, 1e3]);
        assert_eq!(&heat.rgb[..3], [45; 3]);
        // Half way: the third stop, and half of the grey.
        assert_eq!(&heat.rgb[3..6], [213, 78, 108]);
        assert_eq!(heat.rgb[6..], [252, 250, 160, 252, 250, 160]);
        let sums: Vec<u32> = heat.rgb.chunks_exact(3).map(|p| p.iter().map(|v| u32::from(*v)).sum()).collect();
        assert!(sums.is_sorted(), "{sums:?}");
    }

    #[test]
    fn both_encodings_read_back() -> Result<(), image::ImageError> {
        for size in [MAX_PNG_SIZE, MAX_PNG_SIZE + 1] {
            let frame = Frame { size, rgb: vec![200; size * size * 3] };
            let back = image::load_from_memory(&frame.encode()?)?.to_rgb8();
            assert_eq!(back.dimensions(), (size as u32, size as u32));
            assert!(back.as_raw().iter().all(|value| value.abs_diff(200) <= 2));
        }
        Ok(())
    }

    #[test]
    fn a_frame_that_contradicts_itself_is_an_error() {
        let text = |frame: Frame| frame.check(|| "the frame".to_owned()).err().map(|error| error.to_string());
        assert_eq!(text(Frame { size: 2, rgb: vec![0; 12] }), None);
        assert!(
            text(Frame { size: 2, rgb: vec![0; 11] })
                .is_some_and(|text| text.starts_with("found 11 bytes in the frame, expected 12"))
        );
        assert!(text(Frame::default()).is_some());
    }
}
