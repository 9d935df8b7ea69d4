//! H.264 through openh264: mp4 samples become an Annex B stream, frames come out in presentation order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use openh264::OpenH264API;
use openh264::decoder::{DecodedYUV, Decoder, DecoderConfig, Flush};
use openh264::formats::YUVSource;
use re_mp4::Avc1Box;

use super::color::{Colors, Layout, Planes};
use super::sps::Sps;
use super::{DecodeError, Packet, Sink};

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// What the decoder needs to know from the container.
pub(super) struct Config {
    /// Parameter sets as Annex B; openh264 wants them again before every keyframe.
    parameter_sets: Vec<u8>,
    /// Size of the length field before each NAL unit, bytes.
    length_bytes: usize,
    colors: Colors,
}

impl Config {
    pub(super) fn new(entry: &Avc1Box) -> Result<Config, String> {
        let avcc = &entry.avcc.contents;
        let Some(first) = avcc.sequence_parameter_sets.first() else {
            return Err("the H.264 stream has no parameter sets".to_owned());
        };
        let sps = Sps::parse(&first.bytes).ok_or("the H.264 parameter sets are corrupt")?;
        if sps.bit_depth != 8 {
            return Err(format!("video has {} bits per channel; only 8 are read", sps.bit_depth));
        }
        if sps.chroma_format_idc > 1 {
            return Err("H.264 with 4:2:2 or 4:4:4 colour is not read; re-encode as yuv420p".to_owned());
        }
        if sps.is_interlaced {
            return Err("interlaced H.264 is not read; re-encode as progressive".to_owned());
        }
        let mut parameter_sets = Vec::new();
        for nal in avcc.sequence_parameter_sets.iter().chain(&avcc.picture_parameter_sets) {
            parameter_sets.extend_from_slice(&START_CODE);
            parameter_sets.extend_from_slice(&nal.bytes);
        }
        Ok(Config { parameter_sets, length_bytes: usize::from(avcc.length_size_minus_one & 3) + 1, colors: sps.colors })
    }

    /// Whether nothing before this frame is needed: with open groups of pictures some keyframes are followed by
    /// frames that are shown earlier and refer further back.
    pub(super) fn is_entry_point(&self, packet: &Packet) -> bool {
        const INSTANTANEOUS_REFRESH: u8 = 5;
        self.nal_units(packet).flatten().any(|nal| nal.first().is_some_and(|&b| b & 31 == INSTANTANEOUS_REFRESH))
    }

    /// NAL units of an mp4 sample; `None` where the lengths do not add up.
    fn nal_units<'a>(&self, packet: &'a Packet) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        let length_bytes = self.length_bytes;
        let mut rest = packet.bytes.as_slice();
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let next = rest.split_at_checked(length_bytes).and_then(|(length, after)| {
                after.split_at_checked(length.iter().fold(0, |n, &byte| n << 8 | usize::from(byte)))
            });
            rest = next.map_or(&[], |(_, after)| after);
            Some(next.map(|(nal, _)| nal))
        })
    }

    /// The mp4 sample as Annex B: length fields become start codes.
    fn annex_b(&self, packet: &Packet) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(packet.bytes.len() + self.parameter_sets.len() + 16);
        if packet.is_sync {
            out.extend_from_slice(&self.parameter_sets);
        }
        for nal in self.nal_units(packet) {
            out.extend_from_slice(&START_CODE);
            out.extend_from_slice(nal?);
        }
        Some(out)
    }
}

/// Decodes `packets` (from a keyframe on) and calls `sink` for every frame.
///
/// openh264 carries no times, but it returns frames in presentation order: the next one it returns is always the
/// earliest of those that went in and have not come out.
pub(super) fn decode(
    config: &Config,
    packets: &mut dyn Iterator<Item = Result<Packet, DecodeError>>,
    sink: &mut Sink<'_>,
) -> Result<(), DecodeError> {
    // Flushing after every frame, the default of the crate, fails as soon as frames are reordered.
    let options = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
    let mut decoder = Decoder::with_api_config(OpenH264API::from_source(), options)
        .map_err(|e| DecodeError::Video(format!("cannot start the H.264 decoder: {e}")))?;
    let mut inside = BinaryHeap::new();
    let mut show = |frame: &DecodedYUV<'_>, inside: &mut BinaryHeap<Reverse<usize>>| {
        let Some(Reverse(position)) = inside.pop() else {
            return Err(DecodeError::Video("the H.264 stream holds more frames than the file says".to_owned()));
        };
        let (width, height) = frame.dimensions();
        let (y, u, v) = frame.strides();
        let planes = Planes {
            width,
            height,
            layout: Layout::Yuv420,
            colors: config.colors,
            yuv: [(frame.y(), y), (frame.u(), u), (frame.v(), v)],
        };
        sink(position, &planes)
    };
    for packet in packets {
        let packet = packet?;
        let broken = |why: &str| DecodeError::Video(format!("H.264 frame {} {why}", packet.position));
        let bytes = config.annex_b(&packet).ok_or_else(|| broken("is cut off"))?;
        inside.push(Reverse(packet.position));
        if let Some(frame) = decoder.decode(&bytes).map_err(|_| broken("does not decode"))? {
            show(&frame, &mut inside)?;
        }
    }
    let last =
        decoder.flush_remaining().map_err(|_| DecodeError::Video("the last H.264 frames do not decode".to_owned()))?;
    for frame in &last {
        show(frame, &mut inside)?;
    }
    if !inside.is_empty() {
        return Err(DecodeError::Video(format!("{} H.264 frames are missing from the stream", inside.len())));
    }
    Ok(())
}
