//! Decoded frames at model resolution, averaged before their colours are converted.

use yuv::YuvStandardMatrix;

use super::color::{Layout, Planes};
use super::resize::{Areas, resize_rgb};

impl Planes<'_> {
    /// RGB `[size, size, 3]` in `out`, as [`Planes::to_rgb`] and [`resize_rgb`] one after the other would give it.
    ///
    /// Where the frame gets smaller its planes are averaged first: they are half as many values as RGB. Colours are
    /// linear in them, so only rounding differs, and values out of range, which are averaged before they are cut off.
    pub(super) fn to_rgb_at(&self, size: usize, out: &mut [u8]) -> Result<(), String> {
        let (width, height) = (self.width, self.height);
        if width == size && height == size {
            return self.convert(out);
        }
        let (across, down) = match self.layout {
            Layout::Yuv420 => (2, 2),
            Layout::Yuv422 => (2, 1),
            Layout::Yuv444 | Layout::Grey => (1, 1),
        };
        // With an odd side the last colours belong to half as many pixels as the others.
        let is_even = width.is_multiple_of(across) && height.is_multiple_of(down);
        if size > width.min(height) || !is_even {
            let mut rgb = Vec::new();
            self.to_rgb(&mut rgb)?;
            resize_rgb(&rgb, width, height, size, out);
            return Ok(());
        }
        let colours = Linear::new(self.matrix()?, self.colors.is_full_range);
        let mut luma = Means::new(width, height, size);
        let mut chroma = Means::new(width / across, height / down, size);
        let [mut y, mut u, mut v] = [0.0, GREY, GREY].map(|value| vec![value; size]);
        for (number, row) in out.chunks_exact_mut(size * 3).enumerate() {
            luma.row(self.yuv[0], number, &mut y);
            if self.layout != Layout::Grey {
                chroma.row(self.yuv[1], number, &mut u);
                chroma.row(self.yuv[2], number, &mut v);
            }
            for (pixel, ((&y, &u), &v)) in row.chunks_exact_mut(3).zip(y.iter().zip(&u).zip(&v)) {
                pixel.copy_from_slice(&colours.rgb(y, u, v));
            }
        }
        Ok(())
    }
}

/// The chroma of grey.
const GREY: f32 = 128.0;

/// Means of one plane's areas.
struct Means {
    areas: Areas<1>,
    per_area: f32,
}

impl Means {
    fn new(width: usize, height: usize, size: usize) -> Means {
        Means { areas: Areas::new(width, height, size), per_area: 1.0 / (width * height) as f32 }
    }

    fn row(&mut self, plane: (&[u8], usize), number: usize, means: &mut [f32]) {
        let sums = self.areas.row(plane, number);
        means.iter_mut().zip(sums).for_each(|(mean, &sum)| *mean = sum as f32 * self.per_area);
    }
}

/// From Y, Cb and Cr to RGB, each 0 to 255: `R = y + r·Cr`, `G = y - (g_b·Cb + g_r·Cr)`, `B = y + b·Cb`, where luma is
/// stretched from 16..235 and chroma from 16..240 unless the range is full.
struct Linear {
    black: f32,
    y: f32,
    r: f32,
    g_b: f32,
    g_r: f32,
    b: f32,
}

impl Linear {
    fn new(matrix: YuvStandardMatrix, is_full_range: bool) -> Linear {
        let (black, y, c) = if is_full_range { (0.0, 1.0, 1.0) } else { (16.0, 255.0 / 219.0, 255.0 / 224.0) };
        let (kr, kb) = (matrix.get_kr_kb().kr, matrix.get_kr_kb().kb);
        let (r, b, kg) = (2.0 * (1.0 - kr), 2.0 * (1.0 - kb), 1.0 - kr - kb);
        Linear { black, y, r: r * c, g_b: b * kb / kg * c, g_r: r * kr / kg * c, b: b * c }
    }

    fn rgb(&self, y: f32, u: f32, v: f32) -> [u8; 3] {
        // Half a unit more rounds to nearest; the conversion cuts off what is out of range.
        let (y, u, v) = ((y - self.black) * self.y + 0.5, u - GREY, v - GREY);
        [y + self.r * v, y - (self.g_b * u + self.g_r * v), y + self.b * u].map(|value| value as u8)
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::super::color::Colors;
    use super::*;

    #[test]
    fn averaging_before_the_colours_are_converted_is_the_same_but_for_rounding() -> Result<(), String> {
        let mut rng = StdRng::seed_from_u64(7);
        let sides = [
            (640, 480, 96),
            (640, 480, 64),
            (96, 96, 64),
            (48, 64, 48),
            (64, 48, 7),
            (30, 31, 8),
            (8, 8, 16),
            (10, 10, 10),
        ];
        for (width, height, size) in sides {
            for layout in [Layout::Grey, Layout::Yuv420, Layout::Yuv422, Layout::Yuv444] {
                for (matrix, is_full_range) in [(2, false), (1, true), (9, false)] {
                    // Colours in the middle of the range: none of them is cut off.
                    let mut plane = |range: std::ops::Range<u8>| -> Vec<u8> {
                        (0..(width + 5) * height).map(|_| rng.random_range(range.clone())).collect()
                    };
                    let (y, u, v) = (plane(90..160), plane(118..139), plane(118..139));
                    let colors = Colors { matrix, is_full_range };
                    let yuv = [(&*y, width + 5), (&*u, width + 5), (&*v, width + 5)];
                    let planes = Planes { width, height, layout, colors, yuv };
                    let (mut rgb, [mut expected, mut found]) = (Vec::new(), [(); 2].map(|()| vec![0; size * size * 3]));
                    planes.to_rgb(&mut rgb)?;
                    resize_rgb(&rgb, width, height, size, &mut expected);
                    planes.to_rgb_at(size, &mut found)?;
                    let apart = || expected.iter().zip(&found).map(|(e, f)| e.abs_diff(*f));
                    let mean = apart().map(f64::from).sum::<f64>() / found.len() as f64;
                    // Converted first, every pixel is rounded, some to the same side: two units at most.
                    let what = format!("{width}x{height} to {size}, {layout:?}, {colors:?}");
                    assert!(apart().max() <= Some(2) && mean < 0.6, "{what}: {:?} at most, {mean}", apart().max());
                }
            }
        }
        Ok(())
    }
}
