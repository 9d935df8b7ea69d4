//! From decoded YUV planes to RGB, with the matrix and range the stream names.

use yuv::{
    YuvGrayImage, YuvPlanarImage, YuvRange, YuvStandardMatrix, yuv400_to_rgb, yuv420_to_rgb, yuv422_to_rgb,
    yuv444_to_rgb,
};

/// How the colour planes are sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Grey,
    Yuv420,
    Yuv422,
    Yuv444,
}

/// What a stream says about its colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colors {
    /// Matrix coefficients as numbered in ISO/IEC 23091-2; 2 means unspecified.
    pub(super) matrix: u8,
    pub(super) is_full_range: bool,
}

impl Colors {
    /// BT.601 limited range is what recorders that say nothing mean.
    pub(super) const UNSPECIFIED: Colors = Colors { matrix: 2, is_full_range: false };
}

/// One plane and its bytes per row.
pub(super) type Plane<'a> = (&'a [u8], usize);

/// One decoded frame, still in the decoder's buffers. For [`Layout::Grey`] only the first plane is looked at.
pub(super) struct Planes<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) layout: Layout,
    pub(super) colors: Colors,
    pub(super) yuv: [Plane<'a>; 3],
}

impl Planes<'_> {
    /// Converts to RGB `[height, width, 3]`; `rgb` is resized to fit.
    pub(super) fn to_rgb(&self, rgb: &mut Vec<u8>) -> Result<(), String> {
        rgb.resize(self.width * self.height * 3, 0);
        self.convert(rgb)
    }

    /// The matrix that the stream names.
    pub(super) fn matrix(&self) -> Result<YuvStandardMatrix, String> {
        match self.colors.matrix {
            1 => Ok(YuvStandardMatrix::Bt709),
            2 | 3 | 5 | 6 => Ok(YuvStandardMatrix::Bt601),
            4 => Ok(YuvStandardMatrix::Fcc),
            7 => Ok(YuvStandardMatrix::Smpte240),
            9 => Ok(YuvStandardMatrix::Bt2020),
            other => Err(format!("video has colour matrix {other}, which is not read")),
        }
    }

    /// Converts to RGB `[height, width, 3]`.
    pub(super) fn convert(&self, rgb: &mut [u8]) -> Result<(), String> {
        let matrix = self.matrix()?;
        let range = if self.colors.is_full_range { YuvRange::Full } else { YuvRange::Limited };
        let (width, height) = (self.width as u32, self.height as u32);
        let [(y_plane, y_stride), (u_plane, u_stride), (v_plane, v_stride)] = self.yuv;
        let y_stride = y_stride as u32;
        if self.layout == Layout::Grey {
            let image = YuvGrayImage { y_plane, y_stride, width, height };
            return yuv400_to_rgb(&image, rgb, width * 3, range, matrix).map_err(|e| e.to_string());
        }
        let image = YuvPlanarImage {
            y_plane,
            y_stride,
            u_plane,
            u_stride: u_stride as u32,
            v_plane,
            v_stride: v_stride as u32,
            width,
            height,
        };
        let convert = match self.layout {
            Layout::Yuv422 => yuv422_to_rgb,
            Layout::Yuv444 => yuv444_to_rgb,
            Layout::Yuv420 | Layout::Grey => yuv420_to_rgb,
        };
        convert(&image, rgb, width * 3, range, matrix).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 2x2 picture of one colour.
    fn rgb_of(y: u8, u: u8, v: u8, colors: Colors) -> Result<[u8; 3], String> {
        let (y, u, v) = ([y; 4], [u], [v]);
        let planes = Planes { width: 2, height: 2, layout: Layout::Yuv420, colors, yuv: [(&y, 2), (&u, 1), (&v, 1)] };
        let mut rgb = Vec::new();
        planes.to_rgb(&mut rgb)?;
        Ok([rgb[0], rgb[1], rgb[2]])
    }

    #[test]
    fn unspecified_means_bt601_limited() {
        assert_eq!(rgb_of(16, 128, 128, Colors::UNSPECIFIED), Ok([0, 0, 0]));
        assert_eq!(rgb_of(235, 128, 128, Colors::UNSPECIFIED), Ok([255, 255, 255]));
        // Red is (81, 90, 240) in BT.601 limited range.
        let [r, g, b] = rgb_of(81, 90, 240, Colors::UNSPECIFIED).expect("a known matrix");
        assert!(r >= 253 && g <= 2 && b <= 2, "{r} {g} {b}");
    }

    #[test]
    fn named_matrix_and_range_are_followed() {
        assert_eq!(rgb_of(255, 128, 128, Colors { matrix: 1, is_full_range: true }), Ok([255, 255, 255]));
        assert_eq!(rgb_of(16, 128, 128, Colors { matrix: 1, is_full_range: true }), Ok([16, 16, 16]));
        // Red is (63, 102, 240) in BT.709 limited range.
        let [r, g, b] = rgb_of(63, 102, 240, Colors { matrix: 1, is_full_range: false }).expect("a known matrix");
        assert!(r >= 253 && g <= 2 && b <= 2, "{r} {g} {b}");
        assert!(rgb_of(16, 128, 128, Colors { matrix: 0, is_full_range: false }).is_err());
    }
}
