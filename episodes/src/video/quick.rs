//! AV1 by an `ffmpeg` on PATH, where our own decoder is built without assembly, which costs it much of its speed.
//!
//! AV1 is decoded exactly, so the frames are the same to the bit. That is not taken on trust: the first wanted frame is
//! decoded by both. What ffmpeg does not do (it knows no AV1, the file is damaged) is left to our own decoder, which then
//! says what is wrong.

use std::path::Path;

use super::color::{Colors, Layout, Planes};
use super::ffmpeg::{self, Form};
use super::{DecodeError, Shown, Video};

/// Starting a process costs as much as decoding this many pixels.
pub(super) const WORTH_IT_PIXELS: usize = 4_000_000;

/// Hands the first frames of `wanted` to `on_shown` and returns how many, perhaps none: the others are still to be decoded.
/// None where all of them together have less than `least_pixels`.
///
/// # Errors
/// [`DecodeError::Output`] when `on_shown` fails, [`DecodeError::Video`] when the first frame does not decode.
pub(super) fn decode(
    video: &Video,
    program: &Path,
    least_pixels: usize,
    wanted: &[usize],
    on_shown: &mut dyn FnMut(Shown<'_>) -> Result<(), DecodeError>,
) -> Result<usize, DecodeError> {
    let (Some(&first), Some(&last)) = (wanted.first(), wanted.last()) else { return Ok(0) };
    let mut ours = None;
    video.decode_here(&[first], &mut |shown| {
        if let Shown::Planes(planes) = shown {
            ours = Packed::of(planes);
        }
        Ok(())
    })?;
    let Some(ours) = ours else { return Ok(0) };
    if ours.width * ours.height * wanted.len() < least_pixels {
        return Ok(0);
    }
    let (start, from_s) = video.seekable(first);
    let request = ffmpeg::Request {
        path: &video.path,
        width: ours.width,
        height: ours.height,
        from_s,
        frames: last - start + 1,
        form: Form::Yuv420,
    };
    let mut done = 0;
    let decoded = ffmpeg::decode(program, &request, ffmpeg::PATIENCE, &mut |number, yuv| {
        if wanted.get(done) != Some(&(start + number)) {
            return Ok(());
        }
        if done == 0 && yuv != ours.yuv {
            return Err(DecodeError::Video("ffmpeg decodes another frame".to_owned()));
        }
        on_shown(Shown::Planes(&ours.planes(yuv)))?;
        done += 1;
        Ok(())
    });
    match decoded {
        Err(DecodeError::Output(error)) => Err(DecodeError::Output(error)),
        Ok(()) | Err(DecodeError::Video(_)) => Ok(done),
    }
}

/// A frame of half as many colours as pixels each way, its planes one after the other without gaps.
struct Packed {
    width: usize,
    height: usize,
    colors: Colors,
    yuv: Vec<u8>,
}

impl Packed {
    /// `None` where the colours are sampled in another way.
    fn of(planes: &Planes<'_>) -> Option<Packed> {
        let &Planes { width, height, colors, layout, .. } = planes;
        if layout != Layout::Yuv420 {
            return None;
        }
        let mut yuv = Vec::with_capacity(Form::Yuv420.frame_len(width, height));
        for ((plane, stride), (across, down)) in planes.yuv.into_iter().zip(sizes(width, height)) {
            plane.chunks(stride).take(down).for_each(|row| yuv.extend_from_slice(&row[..across]));
        }
        Some(Packed { width, height, colors, yuv })
    }

    /// Another frame of the same video.
    fn planes<'a>(&self, yuv: &'a [u8]) -> Planes<'a> {
        let [luma, (across, down), _] = sizes(self.width, self.height);
        let (y, uv) = yuv.split_at(luma.0 * luma.1);
        let (u, v) = uv.split_at(across * down);
        Planes {
            width: self.width,
            height: self.height,
            layout: Layout::Yuv420,
            colors: self.colors,
            yuv: [(y, luma.0), (u, across), (v, across)],
        }
    }
}

/// Width and height of the three planes.
fn sizes(width: usize, height: usize) -> [(usize, usize); 3] {
    let chroma = (width.div_ceil(2), height.div_ceil(2));
    [(width, height), chroma, chroma]
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// What a program that answers with `answer` contributes to decoding all frames.
    fn with(answer: &[u8], video: &Video, least_pixels: usize) -> Result<(usize, Vec<Vec<u8>>), DecodeError> {
        let dir = tempfile::tempdir()?;
        let (program, bytes) = (dir.path().join("ffmpeg"), dir.path().join("bytes"));
        std::fs::write(&bytes, answer)?;
        std::fs::write(&program, format!("#!/bin/sh\nexec cat '{}'\n", bytes.display()))?;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
        let mut frames = Vec::new();
        let wanted: Vec<usize> = (0..video.times_s().len()).collect();
        let done = decode(video, &program, least_pixels, &wanted, &mut |shown| {
            frames.push(packed(&shown).unwrap_or_default());
            Ok(())
        })?;
        Ok((done, frames))
    }

    fn packed(shown: &Shown<'_>) -> Option<Vec<u8>> {
        match shown {
            Shown::Planes(planes) => Packed::of(planes).map(|packed| packed.yuv),
            Shown::Rgb(..) => None,
        }
    }

    #[test]
    fn frames_of_a_quick_decoder_count_only_where_the_first_is_ours() -> Result<(), Box<dyn std::error::Error>> {
        let video = Video::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/colours_av1.mp4"))?;
        let all: Vec<usize> = (0..video.times_s().len()).collect();
        let mut own = Vec::new();
        video.decode_here(&all, &mut |shown| {
            own.push(packed(&shown).ok_or_else(|| DecodeError::Video("sampled otherwise".to_owned()))?);
            Ok(())
        })?;
        let (n, pixels) = (all.len(), own[0].len() * 2 / 3);
        assert_eq!(with(&own.concat(), &video, n * pixels + 1)?.0, 0, "too few to start a process for");
        assert_eq!(with(&own.concat(), &video, n * pixels)?, (n, own.clone()));
        assert_eq!(with(&own[..n - 1].concat(), &video, 0)?.0, n - 1, "it broke off, the rest is ours to decode");
        assert_eq!(with(&own[1..].concat(), &video, 0)?, (0, Vec::new()), "it begins with another frame");
        assert_eq!(with(b"", &video, 0)?.0, 0, "it knows no AV1");
        Ok(())
    }
}
