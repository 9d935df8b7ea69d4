//! AV1 through rav1d: single-threaded (files and episodes are what runs in parallel), in presentation order.

use re_rav1d::dav1d::pixel::YUVRange;
use re_rav1d::dav1d::{Decoder, Error, Picture, PixelLayout, PlanarImageComponent, Settings};

use super::color::{Colors, Layout, Planes};
use super::{DecodeError, Packet, Sink};

/// Larger frames than this many pixels are refused: a corrupt header must not exhaust the memory.
const MAX_FRAME_PIXELS: u32 = 8192 * 8192;

/// Decodes `packets` (from a keyframe on) and calls `sink` for every shown frame.
pub(super) fn decode(
    packets: &mut dyn Iterator<Item = Result<Packet, DecodeError>>,
    sink: &mut Sink<'_>,
) -> Result<(), DecodeError> {
    let mut settings = Settings::new();
    settings.set_n_threads(1);
    settings.set_max_frame_delay(1);
    settings.set_all_layers(false);
    settings.set_frame_size_limit(MAX_FRAME_PIXELS);
    let mut decoder = Decoder::with_settings(&settings)
        .map_err(|e| DecodeError::Video(format!("cannot start the AV1 decoder: {e}")))?;
    for packet in packets {
        let packet = packet?;
        let position = packet.position;
        let broken = |e: Error| DecodeError::Video(format!("AV1 frame {position} does not decode ({e})"));
        let mut sent = decoder.send_data(packet.bytes, None, Some(position as i64), None);
        loop {
            let shown = drain(&mut decoder, sink, &broken)?;
            match sent {
                Ok(()) => break,
                Err(Error::Again) if shown > 0 => sent = decoder.send_pending_data(),
                Err(e) => return Err(broken(e)),
            }
        }
    }
    drain(&mut decoder, sink, &|e| DecodeError::Video(format!("the last AV1 frames do not decode ({e})")))?;
    Ok(())
}

/// Hands every finished frame to `sink`; returns how many there were.
fn drain(
    decoder: &mut Decoder,
    sink: &mut Sink<'_>,
    broken: &dyn Fn(Error) -> DecodeError,
) -> Result<usize, DecodeError> {
    let mut shown = 0;
    loop {
        match decoder.get_picture() {
            Ok(picture) => show(&picture, sink)?,
            Err(Error::Again) => return Ok(shown),
            Err(e) => return Err(broken(e)),
        }
        shown += 1;
    }
}

fn show(picture: &Picture, sink: &mut Sink<'_>) -> Result<(), DecodeError> {
    use PlanarImageComponent::{U, V, Y};
    let position = picture.timestamp().and_then(|t| usize::try_from(t).ok());
    let position = position.ok_or_else(|| DecodeError::Video("an AV1 frame has no time".to_owned()))?;
    if picture.bit_depth() != 8 {
        return Err(DecodeError::Video(format!("video has {} bits per channel; only 8 are read", picture.bit_depth())));
    }
    let layout = match picture.pixel_layout() {
        PixelLayout::I400 => Layout::Grey,
        PixelLayout::I420 => Layout::Yuv420,
        PixelLayout::I422 => Layout::Yuv422,
        PixelLayout::I444 => Layout::Yuv444,
    };
    let components = if layout == Layout::Grey { [Y, Y, Y] } else { [Y, U, V] };
    let buffers = components.map(|c| (picture.plane(c), picture.stride(c) as usize));
    let planes = Planes {
        width: picture.width() as usize,
        height: picture.height() as usize,
        layout,
        colors: Colors {
            matrix: picture.matrix_coefficients() as u8,
            is_full_range: picture.color_range() == YUVRange::Full,
        },
        yuv: [0, 1, 2].map(|i| (&*buffers[i].0, buffers[i].1)),
    };
    sink(position, &planes)
}
