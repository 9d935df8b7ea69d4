//! The few fields of an H.264 sequence parameter set that decide whether and how a stream is read
//! (ITU-T H.264, 7.3.2.1.1 and E.1.1).

use super::color::Colors;

/// Fields of a sequence parameter set.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sps {
    /// 0 grey, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub(super) chroma_format_idc: u32,
    /// The larger of luma and chroma.
    pub(super) bit_depth: u32,
    pub(super) is_interlaced: bool,
    pub(super) colors: Colors,
}

/// Profiles whose parameter sets carry the colour format.
const PROFILES_WITH_FORMAT: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

impl Sps {
    /// Reads a NAL unit (header byte included); `None` where it ends early.
    pub(super) fn parse(nal: &[u8]) -> Option<Sps> {
        let mut bits = Bits { bytes: without_emulation_prevention(nal.get(1..)?), at: 0 };
        let profile = bits.take(8)?;
        bits.take(16)?; // constraint flags, level
        bits.golomb()?; // seq_parameter_set_id
        let (mut chroma_format_idc, mut bit_depth) = (1, 8);
        if PROFILES_WITH_FORMAT.contains(&profile) {
            chroma_format_idc = bits.golomb()?;
            if chroma_format_idc == 3 {
                bits.take(1)?; // separate_colour_plane_flag
            }
            bit_depth = 8 + bits.golomb()?.max(bits.golomb()?);
            bits.take(1)?; // qpprime_y_zero_transform_bypass_flag
            if bits.flag()? {
                for list in 0..if chroma_format_idc == 3 { 12 } else { 8 } {
                    if bits.flag()? {
                        bits.skip_scaling_list(if list < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }
        bits.golomb()?; // log2_max_frame_num_minus4
        match bits.golomb()? {
            0 => drop(bits.golomb()?), // log2_max_pic_order_cnt_lsb_minus4
            1 => {
                bits.take(1)?; // delta_pic_order_always_zero_flag
                bits.golomb()?; // offset_for_non_ref_pic
                bits.golomb()?; // offset_for_top_to_bottom_field
                for _ in 0..bits.golomb()? {
                    bits.golomb()?;
                }
            }
            _ => {}
        }
        bits.golomb()?; // max_num_ref_frames
        bits.take(1)?; // gaps_in_frame_num_value_allowed_flag
        bits.golomb()?; // width
        bits.golomb()?; // height
        let is_interlaced = !bits.flag()?;
        if is_interlaced {
            bits.take(1)?; // mb_adaptive_frame_field_flag
        }
        bits.take(1)?; // direct_8x8_inference_flag
        if bits.flag()? {
            for _ in 0..4 {
                bits.golomb()?; // frame cropping
            }
        }
        let colors = if bits.flag()? { bits.colors_of_vui()? } else { Colors::UNSPECIFIED };
        Some(Sps { chroma_format_idc, bit_depth, is_interlaced, colors })
    }
}

/// Drops the 3 of every `0 0 3`.
fn without_emulation_prevention(nal: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

impl Bits {
    fn take(&mut self, n: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..n {
            let byte = *self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    fn flag(&mut self) -> Option<bool> {
        Some(self.take(1)? == 1)
    }

    /// Unsigned Exp-Golomb code; a signed one has the same length.
    fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
        }
        if zeros > 31 {
            return None;
        }
        Some((1 << zeros) - 1 + self.take(zeros)?)
    }

    fn skip_scaling_list(&mut self, len: usize) -> Option<()> {
        let (mut last, mut next) = (8, 8);
        for _ in 0..len {
            if next != 0 {
                let code = i64::from(self.golomb()?);
                let delta = if code % 2 == 1 { (code + 1) / 2 } else { -(code / 2) };
                next = (last + delta).rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
        Some(())
    }

    fn colors_of_vui(&mut self) -> Option<Colors> {
        let mut colors = Colors::UNSPECIFIED;
        if self.flag()? && self.take(8)? == 255 {
            self.take(32)?; // sample aspect ratio
        }
        if self.flag()? {
            self.take(1)?; // overscan_appropriate_flag
        }
        if self.flag()? {
            self.take(3)?; // video_format
            colors.is_full_range = self.flag()?;
            if self.flag()? {
                self.take(16)?; // colour_primaries, transfer_characteristics
                colors.matrix = self.take(8)? as u8;
            }
        }
        Some(colors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAYS_NOTHING: &str = "6764000aacd9463684000003000400000300f03c489658";
    const BT709_FULL_RANGE: &str = "6764000aacd946369b810100a0000003002000000781e244b2c0";
    const BT709_LIMITED_RANGE: &str = "6764000aacd946369a810100a0000003002000000781e244b2c0";
    const INTERLACED: &str = "67640015acd9466d08000003000800000301e0f8a14cb0";
    const YUV444: &str = "67f4000a919b28c6d080000003008000001e078912cb";
    const TEN_BITS: &str = "676e000aa6cd94636840000003004000000f03c4896580";

    /// Parameter sets written by x264 for 96x96 pixels.
    fn parsed(hex: &str) -> Sps {
        let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
        let nal: Vec<u8> = digits.chunks_exact(2).map(|d| (d[0] << 4 | d[1]) as u8).collect();
        assert!((0..6).all(|len| Sps::parse(&nal[..len]).is_none()), "a cut-off parameter set is none");
        Sps::parse(&nal).expect("a complete parameter set")
    }

    #[test]
    fn colours_follow_the_usability_information() {
        let plain = Sps { chroma_format_idc: 1, bit_depth: 8, is_interlaced: false, colors: Colors::UNSPECIFIED };
        assert_eq!(parsed(SAYS_NOTHING), plain);
        assert_eq!(parsed(BT709_FULL_RANGE).colors, Colors { matrix: 1, is_full_range: true });
        assert_eq!(parsed(BT709_LIMITED_RANGE).colors, Colors { matrix: 1, is_full_range: false });
    }

    #[test]
    fn what_cannot_be_decoded_is_seen() {
        assert!(parsed(INTERLACED).is_interlaced);
        assert_eq!(parsed(YUV444).chroma_format_idc, 3);
        assert_eq!(parsed(TEN_BITS).bit_depth, 10);
    }
}
