//! What cameras saw: pixels or encoded pictures, a few rows at a time.

use std::io::Cursor;
use std::ops::Range;

use image::ImageReader;

use super::contents::Storage;
use super::file::H5;
use crate::survey::Picture;

/// Pictures held in memory at a time.
const PICTURES_PER_BATCH: usize = 32;

/// Hands over the pictures in `rows`, in order; `Ok(Err)` says why one could not be read.
pub(super) fn read<E>(
    h5: &H5,
    path: &str,
    storage: Storage,
    rows: Range<usize>,
    receive: &mut dyn FnMut(Vec<Picture>) -> Result<(), E>,
) -> Result<Result<(), String>, E> {
    let mut start = rows.start;
    while start < rows.end {
        let end = rows.end.min(start + PICTURES_PER_BATCH);
        match batch(h5, path, storage, start..end) {
            Ok(pictures) => receive(pictures)?,
            Err(why) => return Ok(Err(why)),
        }
        start = end;
    }
    Ok(Ok(()))
}

/// Height and width of the first picture, pixels.
pub(super) fn size(h5: &H5, path: &str, storage: Storage) -> Result<(usize, usize), String> {
    match storage {
        Storage::RowsFirst { height, width } | Storage::ChannelsFirst { height, width } => Ok((height, width)),
        Storage::Padded | Storage::Strings => match batch(h5, path, storage, 0..1)?.into_iter().next() {
            Some(Picture::Encoded(bytes)) => {
                let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
                let (width, height) =
                    reader.map_err(|err| err.to_string())?.into_dimensions().map_err(|err| err.to_string())?;
                Ok((height as usize, width as usize))
            }
            _ => Err("there is no picture".to_owned()),
        },
    }
}

fn batch(h5: &H5, path: &str, storage: Storage, rows: Range<usize>) -> Result<Vec<Picture>, String> {
    let n = rows.len();
    match storage {
        Storage::RowsFirst { height, width } => {
            let pixels = h5.bytes(path, rows)?;
            Ok(pixels
                .chunks_exact((height * width * 3).max(1))
                .map(|pixels| Picture::Rgb { pixels: pixels.to_vec(), height, width })
                .collect())
        }
        Storage::ChannelsFirst { height, width } => {
            let planes = h5.bytes(path, rows)?;
            let area = height * width;
            Ok(planes
                .chunks_exact((area * 3).max(1))
                .map(|planes| {
                    let pixels = (0..area * 3).map(|i| planes[i % 3 * area + i / 3]).collect();
                    Picture::Rgb { pixels, height, width }
                })
                .collect())
        }
        Storage::Padded => {
            let bytes = h5.bytes(path, rows)?;
            let len = bytes.len() / n.max(1);
            bytes.chunks_exact(len.max(1)).map(encoded).collect()
        }
        Storage::Strings => h5.byte_strings(path, rows)?.iter().map(|bytes| encoded(bytes)).collect(),
    }
}

/// An encoded picture without its padding; neither PNG nor JPEG ends with a zero.
fn encoded(padded: &[u8]) -> Result<Picture, String> {
    match padded.iter().rposition(|&byte| byte != 0) {
        Some(last) => Ok(Picture::Encoded(padded[..=last].to_vec())),
        None => Err("a picture is empty".to_owned()),
    }
}
