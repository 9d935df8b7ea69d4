//! What a dataset says of its videos.

use re_mp4::StsdBoxContent;

use super::sps::Sps;

/// Codec and pixel format in LeRobot's (FFmpeg's) words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) codec: &'static str,
    /// Where the container says it.
    pub(crate) pix_fmt: Option<&'static str>,
}

impl About {
    /// What the container says of its video track.
    pub(super) fn of(coded_as: &StsdBoxContent) -> About {
        // Bits per channel, and the colour format as H.264 numbers it.
        let (codec, format) = match coded_as {
            StsdBoxContent::Av01(entry) => {
                let about = &entry.av1c.contents;
                let chroma = match (about.monochrome, about.chroma_subsampling_x, about.chroma_subsampling_y) {
                    (true, ..) => 0,
                    (_, 1, 1) => 1,
                    (_, 1, _) => 2,
                    _ => 3,
                };
                ("av1", Some((u32::from(about.bit_depth), chroma)))
            }
            StsdBoxContent::Avc1(entry) => {
                let sps = entry.avcc.contents.sequence_parameter_sets.first().and_then(|nal| Sps::parse(&nal.bytes));
                ("h264", sps.map(|sps| (sps.bit_depth, sps.chroma_format_idc)))
            }
            StsdBoxContent::Hvc1(entry) | StsdBoxContent::Hev1(entry) => {
                let about = &entry.hvcc.contents;
                ("hevc", Some((8 + u32::from(about.bit_depth_luma_minus8), about.chroma_format_idc.into())))
            }
            StsdBoxContent::Vp08(_) => ("vp8", Some((8, 1))),
            StsdBoxContent::Vp09(entry) => {
                let about = &entry.vpcc.contents;
                // 0 and 1 are both 4:2:0 and differ in where its colours lie.
                ("vp9", Some((about.bit_depth.into(), u32::from(about.chroma_subsampling).max(1))))
            }
            _ => ("unknown", None),
        };
        let name = |chroma: u32| ["gray", "yuv420p", "yuv422p", "yuv444p"].get(chroma as usize).copied();
        About { codec, pix_fmt: format.filter(|(bits, _)| *bits == 8).and_then(|(_, chroma)| name(chroma)) }
    }
}
