//! Contact sheets: rows of frames with a label each, for readers without a viewer.

use std::fs;
use std::path::Path;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage};

use crate::recorder::partial_name;
use crate::{Error, Frame, font};

/// Space around everything, pixels.
const MARGIN: u32 = 8;
/// Space between frames, pixels.
const GAP: u32 = 2;
/// Size of the label's dots, pixels.
const TEXT_SCALE: u32 = 2;
const PAPER: Rgb<u8> = Rgb([255, 255, 255]);
const INK: Rgb<u8> = Rgb([40, 40, 40]);

/// One row of a contact sheet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SheetRow {
    /// Written above the frames; letters are drawn as capitals.
    pub label: String,
    /// Left to right.
    pub frames: Vec<Frame>,
}

/// Draws rows of frames, each pixel `scale` pixels wide.
///
/// # Errors
/// [`Error::Frame`] when a frame contradicts itself.
pub fn contact_sheet(rows: &[SheetRow], scale: usize) -> Result<RgbImage, Error> {
    let scale = scale.max(1);
    for row in rows {
        for (index, frame) in row.frames.iter().enumerate() {
            frame.check(|| format!("frame {index} of the row \"{}\"", row.label))?;
        }
    }
    let side = |frame: &Frame| (frame.size * scale) as u32;
    let strip = |row: &SheetRow| row.frames.iter().map(|frame| side(frame) + GAP).sum::<u32>();
    let text_height = (font::HEIGHT + 3) * TEXT_SCALE;
    let height = |row: &SheetRow| text_height + row.frames.iter().map(side).max().unwrap_or(0) + MARGIN;
    let width = rows.iter().map(|row| strip(row).max(font::width(&row.label) * TEXT_SCALE)).max().unwrap_or(0);
    let mut sheet = RgbImage::from_pixel(width + 2 * MARGIN, rows.iter().map(height).sum::<u32>() + MARGIN, PAPER);
    let mut top = MARGIN;
    for row in rows {
        font::draw(&row.label, |x, y| {
            for dot in 0..TEXT_SCALE * TEXT_SCALE {
                sheet.put_pixel(
                    MARGIN + x * TEXT_SCALE + dot % TEXT_SCALE,
                    top + y * TEXT_SCALE + dot / TEXT_SCALE,
                    INK,
                );
            }
        });
        let mut left = MARGIN;
        for frame in &row.frames {
            draw_frame(&mut sheet, frame, left, top + text_height, scale);
            left += side(frame) + GAP;
        }
        top += height(row);
    }
    Ok(sheet)
}

fn draw_frame(sheet: &mut RgbImage, frame: &Frame, left: u32, top: u32, scale: usize) {
    let side = frame.size * scale;
    for y in 0..side {
        for x in 0..side {
            let at = (y / scale * frame.size + x / scale) * 3;
            let pixel = Rgb([frame.rgb[at], frame.rgb[at + 1], frame.rgb[at + 2]]);
            sheet.put_pixel(left + x as u32, top + y as u32, pixel);
        }
    }
}

/// Draws rows of frames into a PNG file; the folder is made if needed.
///
/// # Errors
/// As [`contact_sheet`]; [`Error::Picture`] and [`Error::File`] when the file cannot be written.
pub fn save_sheet(path: &Path, rows: &[SheetRow], scale: usize) -> Result<(), Error> {
    let sheet = contact_sheet(rows, scale)?;
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive)
        .write_image(sheet.as_raw(), sheet.width(), sheet.height(), ExtendedColorType::Rgb8)
        .map_err(|error| Error::Picture { what: path.display().to_string(), message: error.to_string() })?;
    let failed = |source| Error::File { source, path: path.to_owned() };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let partial = partial_name(path);
    fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, path)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_lie_below_each_other() -> Result<(), Error> {
        let frame = |value: u8| Frame { size: 2, rgb: vec![value; 12] };
        let rows = [
            SheetRow { label: "a".to_owned(), frames: vec![frame(0), frame(100)] },
            SheetRow { label: String::new(), frames: vec![frame(200)] },
        ];
        let sheet = contact_sheet(&rows, 3)?;
        assert_eq!(sheet.dimensions(), (2 * (6 + 2) + 16, 2 * (20 + 6 + 8) + 8));
        let (first, second) = (8 + 20, 8 + 34 + 20);
        assert_eq!(sheet.get_pixel(8, first).0, [0; 3]);
        assert_eq!(sheet.get_pixel(8 + 5, first + 5).0, [0; 3]);
        assert_eq!(sheet.get_pixel(8 + 6, first).0, [255; 3]);
        assert_eq!(sheet.get_pixel(8 + 8, first).0, [100; 3]);
        assert_eq!(sheet.get_pixel(8, second).0, [200; 3]);
        assert!(
            contact_sheet(&[SheetRow { label: String::new(), frames: vec![Frame { size: 2, rgb: vec![0] }] }], 1)
                .is_err()
        );
        assert_eq!(contact_sheet(&[], 1)?.dimensions(), (16, 8));
        Ok(())
    }
}
