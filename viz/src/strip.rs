//! Film strips for pages: frames side by side in one small picture, without a word in it.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use crate::{Error, Frame};

/// JPEG quality of strips whose frames are not tiny: they are looked at one beside the other, not one by one.
const JPEG_QUALITY: u8 = 82;

/// A picture as a browser takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Its type, such as `image/png`.
    pub mime: &'static str,
    /// The file.
    pub bytes: Vec<u8>,
}

/// Frames of one size beside each other, without a gap: PNG where they are tiny, else JPEG.
///
/// # Errors
/// [`Error::Frame`] when one contradicts itself or is of another size; [`Error::Picture`] when there is none, or the encoder fails.
pub fn strip(frames: &[Frame]) -> Result<Encoded, Error> {
    let failed = |message: String| Error::Picture { what: "a film strip".to_owned(), message };
    let first = frames.first().ok_or_else(|| failed("it has no frame".to_owned()))?;
    let (size, expected) = (first.size, first.size * first.size * 3);
    for (index, frame) in frames.iter().enumerate() {
        let what = || format!("frame {index} of a film strip");
        frame.check(what)?;
        if frame.size != size {
            return Err(Error::Frame { what: what(), found: frame.rgb.len(), size, expected });
        }
    }
    let line = size * 3;
    let rows = (0..size).flat_map(|y| frames.iter().flat_map(move |frame| &frame.rgb[y * line..(y + 1) * line]));
    let rgb: Vec<u8> = rows.copied().collect();
    let (width, height, mut bytes) = ((size * frames.len()) as u32, size as u32, Vec::new());
    let (mime, written) = if first.is_png() {
        let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::Adaptive);
        ("image/png", encoder.write_image(&rgb, width, height, ExtendedColorType::Rgb8))
    } else {
        let encoder = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
        ("image/jpeg", encoder.write_image(&rgb, width, height, ExtendedColorType::Rgb8))
    };
    written.map_err(|error| failed(error.to_string()))?;
    Ok(Encoded { mime, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_lie_beside_each_other() -> Result<(), Box<dyn std::error::Error>> {
        for (size, mime) in [(2, "image/png"), (96, "image/jpeg")] {
            let frame = |value: u8| Frame { size, rgb: vec![value; size * size * 3] };
            let encoded = strip(&[frame(10), frame(200)])?;
            let back = image::load_from_memory(&encoded.bytes)?.to_rgb8();
            assert_eq!((encoded.mime, back.dimensions()), (mime, (2 * size as u32, size as u32)));
            let last = (size - 1) as u32;
            assert!(back.get_pixel(0, last).0[0].abs_diff(10) <= 2);
            assert!(back.get_pixel(2 * size as u32 - 1, 0).0[0].abs_diff(200) <= 2);
        }
        Ok(())
    }

    #[test]
    fn frames_of_two_sizes_are_no_strip() {
        let frame = |size: usize| Frame { size, rgb: vec![0; size * size * 3] };
        let words = strip(&[frame(2), frame(3)]).map(|_| ()).map_err(|error| error.to_string());
        assert!(words.is_err_and(|words| words.starts_with("found 27 bytes in frame 1 of a film strip, expected 12")));
        assert!(strip(&[]).is_err());
    }
}
