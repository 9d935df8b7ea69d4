//! H.264 pictures into an mp4 file: their bytes one after the other, the tables behind them.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::num::NonZeroU32;
use std::path::Path;

use shiguredo_mp4::TrackKind;
use shiguredo_mp4::bitstream::h264::{H264SampleEntryConfig, LengthSize, build_avc1_box};
use shiguredo_mp4::boxes::SampleEntry;
use shiguredo_mp4::mux::{Mp4FileMuxer, Sample};

use super::film::Film;

/// Ticks per picture where the rate is a whole number.
const TICKS_PER_PICTURE: f64 = 512.0;

/// Ticks per second where it is not.
const TICKS_PER_SECOND: u32 = 1_000_000;

/// Writes the pictures of `film`, `rate_hz` of them a second.
pub(super) fn write(film: &Film, rate_hz: f64, path: &Path) -> io::Result<()> {
    let refused = |what: String| io::Error::other(format!("the mp4 file cannot be put together: {what}"));
    let [sps, pps] = film.parameter_sets.as_ref().ok_or_else(|| refused("there is no picture".to_owned()))?;
    let config = H264SampleEntryConfig { length_size: LengthSize::FourBytes };
    let entry = build_avc1_box(std::slice::from_ref(sps), std::slice::from_ref(pps), &config)
        .map_err(|e| refused(e.to_string()))?;
    let mut entry = Some(SampleEntry::Avc1(entry));
    let is_whole = rate_hz.fract() == 0.0 && rate_hz < 1e6;
    let timescale = if is_whole { (rate_hz * TICKS_PER_PICTURE) as u32 } else { TICKS_PER_SECOND };
    let timescale = NonZeroU32::new(timescale).ok_or_else(|| refused(format!("{rate_hz} pictures a second")))?;
    // Rounded from the start each time, so that rounding does not add up.
    let tick = |k: usize| (k as f64 / rate_hz * f64::from(timescale.get())).round() as u64;

    let mut muxer = Mp4FileMuxer::new().map_err(|e| refused(e.to_string()))?;
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(muxer.initial_boxes_bytes())?;
    let mut data_offset = muxer.initial_boxes_bytes().len() as u64;
    for (k, picture) in film.pictures.iter().enumerate() {
        file.write_all(&picture.bytes)?;
        let sample = Sample {
            track_kind: TrackKind::Video,
            sample_entry: entry.take(),
            keyframe: picture.is_key,
            timescale,
            duration: (tick(k + 1) - tick(k)) as u32,
            composition_time_offset: None,
            data_offset,
            data_size: picture.bytes.len(),
        };
        muxer.append_sample(&sample).map_err(|e| refused(e.to_string()))?;
        data_offset += picture.bytes.len() as u64;
    }
    let tables = muxer.finalize().map_err(|e| refused(e.to_string()))?;
    for (offset, bytes) in tables.offset_and_bytes_pairs() {
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)?;
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(())
}
