//! Recorded video: finds the wanted frames in an mp4 file and decodes AV1 or H.264 into RGB, one frame at a time.
//! HEVC, VP9 and VP8 are left to an `ffmpeg` on PATH, where there is one, which also helps with AV1. The other way round,
//! pictures become H.264 in an mp4 file.
//!
//! Which coded frame belongs to which moment is settled from the container's sample table before anything is
//! decoded ([`match_times`]). Decoding then starts at the last keyframe before the first wanted frame, runs
//! strictly forward and keeps no frame. Broken files are reasons ([`DecodeError::Video`]), never panics.

mod about;
mod av1;
mod color;
mod ffmpeg;
mod film;
mod h264;
mod matching;
mod mux;
mod patience;
mod quick;
mod resize;
mod shrink;
mod sps;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

pub(crate) use about::About;
use color::Planes;
use ffmpeg::Form;
pub use ffmpeg::ffmpeg_is_there;
pub(crate) use ffmpeg::was_missing;
pub(crate) use film::Film;
pub use matching::match_times;
use patience::PatientReader;
use re_mp4::{Mp4, StsdBoxContent, TrackKind};
pub use resize::resize_rgb;

use crate::guard::guarded;

/// Why frames could not be handed on.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The file is missing, broken or of a kind that is not read; the reason in a few words.
    #[error("{0}")]
    Video(String),
    /// The receiver of the frames failed, e.g. because the disk is full.
    #[error("cannot pass the decoded frame on: {0}")]
    Output(#[from] io::Error),
}

/// One coded frame. `position` counts frames in the order in which they are shown.
struct Sample {
    offset_bytes: u64,
    len_bytes: u64,
    position: usize,
    is_sync: bool,
    /// When it is decoded, on the clock of [`Video::times_s`] less its first entry, seconds.
    decoded_at_s: f64,
}

/// One coded frame with its content, on the way to a decoder.
struct Packet {
    position: usize,
    is_sync: bool,
    bytes: Vec<u8>,
}

/// One shown frame: in the decoder's planes, or RGB with its width and height.
enum Shown<'a> {
    Planes(&'a Planes<'a>),
    Rgb(&'a [u8], usize, usize),
}

/// What a decoder calls with the position of a shown frame and its planes.
type Sink<'a> = dyn FnMut(usize, &Planes<'_>) -> Result<(), DecodeError> + 'a;

enum Codec {
    Av1,
    H264(h264::Config),
    /// Width and height, pixels.
    Ffmpeg(usize, usize),
}

/// The video track of one mp4 file, demultiplexed but not decoded.
pub struct Video {
    path: PathBuf,
    len_bytes: u64,
    codec: Codec,
    about: About,
    /// In decoding order.
    samples: Vec<Sample>,
    /// `decode_order[p]` is the index in `samples` of the `p`-th frame shown.
    decode_order: Vec<usize>,
    times_s: Vec<f64>,
}

impl Video {
    /// Reads the tables of the first video track of the mp4 file at `path`.
    ///
    /// # Errors
    /// The reason in a few words: no file, not an mp4, truncated, or a codec that is not read.
    pub fn open(path: &Path) -> Result<Video, String> {
        guarded(|| Video::open_unguarded(path))
            .unwrap_or_else(|| Err("the tables of the mp4 file are corrupt".to_owned()))
    }

    fn open_unguarded(path: &Path) -> Result<Video, String> {
        let file = File::open(path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => format!("{} is missing", path.display()),
            _ => format!("cannot open {}: {e}", path.display()),
        })?;
        let len_bytes = file.metadata().map_err(|e| format!("cannot read {}: {e}", path.display()))?.len();
        let mp4 = Mp4::read(PatientReader::new(BufReader::new(file), len_bytes), len_bytes)
            .map_err(|e| format!("{} is not a complete mp4 file ({e})", path.display()))?;
        let track = mp4.tracks().values().find(|t| t.kind == Some(TrackKind::Video));
        let Some(track) = track else {
            return Err(match mp4.moov.traks.first().map(|t| &t.mdia.minf.stbl.stsd.contents) {
                Some(StsdBoxContent::Unknown(code)) => unsupported(&code.to_string()),
                _ => "the mp4 file has no video track".to_owned(),
            });
        };
        let coded_as = &track.trak(&mp4).mdia.minf.stbl.stsd.contents;
        let codec = match coded_as {
            StsdBoxContent::Av01(entry) => match entry.av1c.contents.bit_depth {
                8 => Codec::Av1,
                bits => return Err(format!("video has {bits} bits per channel; only 8 are read")),
            },
            StsdBoxContent::Avc1(entry) => Codec::H264(h264::Config::new(entry)?),
            StsdBoxContent::Hvc1(_) | StsdBoxContent::Hev1(_) => left_to_ffmpeg("hevc", track)?,
            StsdBoxContent::Vp08(_) => left_to_ffmpeg("vp8", track)?,
            StsdBoxContent::Vp09(_) => left_to_ffmpeg("vp9", track)?,
            _ => return Err("the mp4 file has no video track".to_owned()),
        };
        let about = About::of(coded_as);
        if track.timescale == 0 {
            return Err("the mp4 file has no time scale".to_owned());
        }
        let shown_at = |i: usize| track.samples[i].composition_timestamp;
        let mut decode_order: Vec<usize> = (0..track.samples.len()).collect();
        decode_order.sort_by_key(|&i| shown_at(i));
        let first_shown = decode_order.first().map_or(0, |&i| shown_at(i));
        let seconds = |ticks: i64| ticks as f64 / track.timescale as f64;
        let times_s = decode_order.iter().map(|&i| shown_at(i) as f64 / track.timescale as f64).collect();
        let mut samples: Vec<Sample> = track
            .samples
            .iter()
            .map(|s| Sample {
                offset_bytes: s.offset,
                len_bytes: s.size,
                position: 0,
                is_sync: s.is_sync,
                decoded_at_s: seconds(s.decode_timestamp.saturating_sub(first_shown)),
            })
            .collect();
        for (position, &i) in decode_order.iter().enumerate() {
            samples[i].position = position;
        }
        Ok(Video { path: path.to_path_buf(), len_bytes, codec, about, samples, decode_order, times_s })
    }

    /// Codec and pixel format.
    pub(crate) fn about(&self) -> About {
        self.about
    }

    /// Whether the file is long enough to hold the frames at `wanted`; nothing is read or decoded.
    pub(crate) fn holds(&self, wanted: &[usize]) -> Result<(), String> {
        for sample in wanted.iter().map(|&position| &self.samples[self.decode_order[position]]) {
            let what = match sample.offset_bytes.checked_add(sample.len_bytes) {
                Some(end) if end <= self.len_bytes && sample.len_bytes > 0 => continue,
                Some(_) if sample.len_bytes == 0 => "has an empty sample",
                _ => "is cut off",
            };
            return Err(format!("the mp4 file {what} at frame {} of {}", sample.position, self.samples.len()));
        }
        Ok(())
    }

    /// The last keyframe among the frames from `first` to `last` (positions), which decodes without its neighbours;
    /// `last` itself where there is none.
    pub(crate) fn last_keyframe(&self, first: usize, last: usize) -> usize {
        let is_key = |position: &usize| self.samples[self.decode_order[*position]].is_sync;
        (first..=last).rev().find(is_key).unwrap_or(last)
    }

    /// Presentation times of all frames in the order in which they are shown, seconds from the first.
    pub fn times_s(&self) -> &[f64] {
        &self.times_s
    }

    /// Decodes the frames at `wanted` (ascending positions in [`Video::times_s`]) and hands each, in that order,
    /// to `on_frame` as RGB `[height, width, 3]` with its width and height.
    ///
    /// # Errors
    /// [`DecodeError::Video`] at the first frame that does not decode, [`DecodeError::Output`] when `on_frame` fails.
    pub fn decode(
        &self,
        wanted: &[usize],
        on_frame: &mut dyn FnMut(&[u8], usize, usize) -> io::Result<()>,
    ) -> Result<(), DecodeError> {
        let mut converted = Vec::new();
        self.show(wanted, &mut |shown| {
            let (rgb, width, height) = match shown {
                Shown::Planes(planes) => {
                    planes.to_rgb(&mut converted).map_err(DecodeError::Video)?;
                    (converted.as_slice(), planes.width, planes.height)
                }
                Shown::Rgb(rgb, width, height) => (rgb, width, height),
            };
            Ok(on_frame(rgb, width, height)?)
        })
    }

    /// As [`Video::decode`], each frame resized to RGB `[size, size, 3]` by area averaging.
    ///
    /// # Errors
    /// As [`Video::decode`].
    pub fn decode_resized(
        &self,
        wanted: &[usize],
        size: usize,
        on_frame: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), DecodeError> {
        let mut resized = vec![0; size * size * 3];
        self.show(wanted, &mut |shown| {
            match shown {
                Shown::Planes(planes) => planes.to_rgb_at(size, &mut resized).map_err(DecodeError::Video)?,
                Shown::Rgb(rgb, width, height) => resize_rgb(rgb, width, height, size, &mut resized),
            }
            Ok(on_frame(&resized)?)
        })
    }

    fn show(
        &self,
        wanted: &[usize],
        on_shown: &mut dyn FnMut(Shown<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        guarded(|| self.show_unguarded(wanted, on_shown))
            .unwrap_or_else(|| Err(DecodeError::Video("the video stream is corrupt".to_owned())))
    }

    fn show_unguarded(
        &self,
        wanted: &[usize],
        on_shown: &mut dyn FnMut(Shown<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        match self.codec {
            Codec::Ffmpeg(width, height) => self.decode_by_ffmpeg(wanted, (width, height), on_shown),
            Codec::Av1 if !cfg!(feature = "asm") && ffmpeg_is_there() => {
                let done = quick::decode(self, Path::new("ffmpeg"), quick::WORTH_IT_PIXELS, wanted, on_shown)?;
                self.decode_here(&wanted[done..], on_shown)
            }
            Codec::Av1 | Codec::H264(_) => self.decode_here(wanted, on_shown),
        }
    }

    /// By the decoders that are built in.
    fn decode_here(
        &self,
        wanted: &[usize],
        on_shown: &mut dyn FnMut(Shown<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let coded = || wanted.iter().map(|&p| self.decode_order[p]);
        let (Some(first), Some(last)) = (coded().min(), coded().max()) else {
            return Ok(());
        };
        let file = File::open(&self.path)
            .map_err(|e| DecodeError::Video(format!("cannot open {}: {e}", self.path.display())))?;
        let start = self.last_entry_point(&file, first)?;
        let mut packets = self.samples[start..=last].iter().map(|sample| self.read(&file, sample));

        let mut found = 0;
        let mut sink = |position: usize, planes: &Planes<'_>| {
            if wanted.get(found) == Some(&position) {
                on_shown(Shown::Planes(planes))?;
                found += 1;
            }
            Ok(())
        };
        match &self.codec {
            Codec::Av1 => av1::decode(&mut packets, &mut sink)?,
            Codec::H264(config) => h264::decode(config, &mut packets, &mut sink)?,
            Codec::Ffmpeg(..) => {}
        }
        if found < wanted.len() {
            return Err(DecodeError::Video(format!("only {found} of {} frames could be decoded", wanted.len())));
        }
        Ok(())
    }

    fn decode_by_ffmpeg(
        &self,
        wanted: &[usize],
        (width, height): (usize, usize),
        on_shown: &mut dyn FnMut(Shown<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let (Some(&first), Some(&last)) = (wanted.first(), wanted.last()) else {
            return Ok(());
        };
        let (first, from_s) = self.seekable(first);
        let request =
            ffmpeg::Request { path: &self.path, width, height, from_s, frames: last - first + 1, form: Form::Rgb };
        let mut found = 0;
        ffmpeg::decode(Path::new("ffmpeg"), &request, ffmpeg::PATIENCE, &mut |number, rgb| {
            if wanted.get(found) == Some(&(first + number)) {
                on_shown(Shown::Rgb(rgb, width, height))?;
                found += 1;
            }
            Ok(())
        })
    }

    /// The last shown frame up to `first` that ffmpeg surely begins with when it is sent to the time beside it.
    ///
    /// ffmpeg goes to the last keyframe that is *decoded* by the time it is given. Where frames are reordered that may be
    /// shown later than frames that are wanted, which are then silently missing; so only a time will do at which that
    /// keyframe is the one meant.
    fn seekable(&self, first: usize) -> (usize, f64) {
        let lands_on = |time_s: f64| self.samples.iter().rposition(|s| s.is_sync && s.decoded_at_s <= time_s);
        for position in (1..=first).rev().filter(|&p| self.samples[self.decode_order[p]].is_sync) {
            // Half a frame early, so that rounding cannot lose it.
            let time_s = 0.5 * (self.times_s[position - 1] + self.times_s[position]) - self.times_s[0];
            if time_s > 0.0 && lands_on(time_s) == Some(self.decode_order[position]) {
                return (position, time_s);
            }
        }
        (0, 0.0)
    }

    /// The last coded frame up to `first` at which decoding can start.
    fn last_entry_point(&self, file: &File, first: usize) -> Result<usize, DecodeError> {
        for i in (0..=first).rev().filter(|&i| self.samples[i].is_sync) {
            let is_entry = match &self.codec {
                Codec::Av1 | Codec::Ffmpeg(..) => true,
                Codec::H264(config) => config.is_entry_point(&self.read(file, &self.samples[i])?),
            };
            if is_entry {
                return Ok(i);
            }
        }
        Ok(0)
    }

    fn read(&self, mut file: &File, sample: &Sample) -> Result<Packet, DecodeError> {
        let fail =
            |why: &str| DecodeError::Video(format!("{why} at frame {} of {}", sample.position, self.samples.len()));
        let file_len_bytes = file.metadata().map_err(|e| fail(&e.to_string()))?.len();
        if sample.offset_bytes.saturating_add(sample.len_bytes) > file_len_bytes {
            return Err(fail("the mp4 file is cut off"));
        }
        if sample.len_bytes == 0 {
            return Err(fail("the mp4 file has an empty sample"));
        }
        let mut bytes = vec![0; sample.len_bytes as usize];
        file.seek(SeekFrom::Start(sample.offset_bytes))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|e| fail(&e.to_string()))?;
        Ok(Packet { position: sample.position, is_sync: sample.is_sync, bytes })
    }
}

fn left_to_ffmpeg(codec: &str, track: &re_mp4::Track) -> Result<Codec, String> {
    if !ffmpeg_is_there() {
        return Err(ffmpeg::missing(codec));
    }
    Ok(Codec::Ffmpeg(usize::from(track.width), usize::from(track.height)))
}

fn unsupported(codec: &str) -> String {
    format!("video codec {codec} is not read; re-encode as av1 or h264")
}

#[cfg(test)]
mod tests;
