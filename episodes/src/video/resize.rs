//! Area-averaging resize of rows of bytes, what every picture passes through.

/// Resizes RGB `[height, width, 3]` to RGB `[size, size, 3]` by area averaging (a box filter, so no aliasing);
/// a picture that is not square is squeezed. Rounds to nearest. Copies when nothing changes.
///
/// Training pictures and the live ones that a policy server receives go through this same function. Frames of videos are
/// averaged over the same areas, before their colours are converted: the same but for rounding.
///
/// # Panics
/// When a side is zero or a slice does not have the length its shape promises.
pub fn resize_rgb(src: &[u8], width: usize, height: usize, size: usize, out: &mut [u8]) {
    assert!(width > 0 && height > 0 && size > 0, "a picture needs at least one pixel");
    assert_eq!(src.len(), width * height * 3, "source is not [{height}, {width}, 3]");
    assert_eq!(out.len(), size * size * 3, "output is not [{size}, {size}, 3]");
    if width == size && height == size {
        out.copy_from_slice(src);
        return;
    }
    let mut areas = Areas::<3>::new(width, height, size);
    let per_area = 1.0 / (width * height) as f64;
    // Half an area more rounds to nearest; half a unit more keeps the product of whole numbers off the next lower one.
    let half = ((width * height / 2) as f64) + 0.5;
    for (y, out_row) in out.chunks_exact_mut(size * 3).enumerate() {
        for (value, &sum) in out_row.iter_mut().zip(areas.row((src, width * 3), y)) {
            *value = ((sum as f64 + half) * per_area) as u8;
        }
    }
}

/// Sums over the areas that output pixels cover, row by row; `CHANNELS` values lie side by side in a pixel.
///
/// In units of 1/size of a source pixel everything is an integer: source pixel i covers [i·size, (i+1)·size),
/// output pixel j covers [j·width, (j+1)·width), and the overlaps of one output pixel sum to `width`. The sum of an area
/// is therefore `width · height` times its mean.
pub(super) struct Areas<const CHANNELS: usize> {
    /// Edges of the output pixels, one more than there are of these.
    across: Vec<Edge>,
    down: Vec<Edge>,
    size: usize,
    /// Rows that are covered wholly, added up.
    whole: Vec<u16>,
    /// Sums over the rows of one output row, in units of 1/size; a pixel of zeros follows.
    column: Vec<u32>,
    /// Sums of `column` over all pixels further left.
    left: Vec<i64>,
    sums: Vec<i64>,
}

/// Where an output pixel begins: `part` units of 1/size into source pixel `at`.
#[derive(Clone, Copy)]
struct Edge {
    at: usize,
    part: u32,
}

/// So many bytes add up, and so large a weight multiplies one, within 16 bits.
const FIT_16_BITS: usize = 257;

impl<const CHANNELS: usize> Areas<CHANNELS> {
    pub(super) fn new(width: usize, height: usize, size: usize) -> Self {
        Self {
            across: edges(width, size),
            down: edges(height, size),
            size,
            whole: vec![0; width * CHANNELS],
            column: vec![0; (width + 1) * CHANNELS],
            left: vec![0; (width + 1) * CHANNELS],
            sums: vec![0; size * CHANNELS],
        }
    }

    /// Sums of the areas in output row `y` of the source with its bytes per row, `[size, CHANNELS]`.
    pub(super) fn row(&mut self, (src, stride): (&[u8], usize), y: usize) -> &[i64] {
        self.add_rows(src, stride, y);
        let mut so_far = [0; CHANNELS];
        for (left, pixel) in self.left.chunks_exact_mut(CHANNELS).zip(self.column.chunks_exact(CHANNELS)) {
            left.copy_from_slice(&so_far);
            so_far.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += i64::from(value));
        }
        let mut begin = [0; CHANNELS];
        for (sums, edge) in self.sums.chunks_exact_mut(CHANNELS).zip(&self.across[1..]) {
            let pixel = edge.at * CHANNELS..(edge.at + 1) * CHANNELS;
            let pixel = self.left[pixel.clone()].iter().zip(&self.column[pixel]);
            for ((sum, begin), (&left, &value)) in sums.iter_mut().zip(&mut begin).zip(pixel) {
                let end = self.size as i64 * left + i64::from(edge.part) * i64::from(value);
                *sum = end - *begin;
                *begin = end;
            }
        }
        &self.sums
    }

    /// Fills `column` with what lies in output row `y`.
    fn add_rows(&mut self, src: &[u8], stride: usize, y: usize) {
        let (begin, end, size) = (self.down[y], self.down[y + 1], self.size as u32);
        let len = self.whole.len();
        let row = |y: usize| &src[y * stride..y * stride + len];
        let column = &mut self.column[..len];
        column.fill(0);
        if begin.at == end.at {
            return add_weighted(column, row(begin.at), end.part - begin.part);
        }
        if begin.part > 0 {
            add_weighted(column, row(begin.at), size - begin.part);
        }
        let first = begin.at + usize::from(begin.part > 0);
        for from in (first..end.at).step_by(FIT_16_BITS) {
            self.whole.fill(0);
            for y in from..end.at.min(from + FIT_16_BITS) {
                self.whole.iter_mut().zip(row(y)).for_each(|(sum, &value)| *sum += u16::from(value));
            }
            add_scaled(column, &self.whole, size);
        }
        if end.part > 0 {
            add_weighted(column, row(end.at), end.part);
        }
    }
}

/// Adds sums of rows so many times.
fn add_scaled(sums: &mut [u32], rows: &[u16], weight: u32) {
    match u16::try_from(weight) {
        // Factors known to be of 16 bits are what every processor has vectors for.
        Ok(weight) => sums.iter_mut().zip(rows).for_each(|(sum, &row)| *sum += u32::from(row) * u32::from(weight)),
        Err(_) => sums.iter_mut().zip(rows).for_each(|(sum, &row)| *sum += u32::from(row) * weight),
    }
}

/// Adds a row so many times. Every processor has vectors for products of 16 bits.
fn add_weighted(sums: &mut [u32], row: &[u8], weight: u32) {
    match u16::try_from(weight) {
        Ok(weight) if usize::from(weight) <= FIT_16_BITS => {
            sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += u32::from(weight * u16::from(value)));
        }
        _ => sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += weight * u32::from(value)),
    }
}

/// Edges of `to` output pixels over `from` source pixels.
fn edges(from: usize, to: usize) -> Vec<Edge> {
    (0..=to).map(|j| Edge { at: j * from / to, part: (j * from % to) as u32 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each value as a grey pixel.
    fn grey(values: &[u8]) -> Vec<u8> {
        values.iter().flat_map(|&v| [v; 3]).collect()
    }

    fn resized(src: &[u8], width: usize, height: usize, size: usize) -> Vec<u8> {
        let mut out = vec![0; size * size * 3];
        resize_rgb(src, width, height, size, &mut out);
        out
    }

    #[test]
    fn same_size_copies() {
        let src: Vec<u8> = (0..27).collect();
        assert_eq!(resized(&src, 3, 3, 3), src);
    }

    #[test]
    fn whole_factors_are_plain_means() {
        // mean(1, 2, 5, 6) = 3.5 -> 4, mean(3, 4, 7, 8) = 5.5 -> 6, ...
        let src = grey(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
        assert_eq!(resized(&src, 4, 4, 2), grey(&[4, 6, 12, 14]));
    }

    #[test]
    fn fractions_are_weighted_by_overlap() {
        // 3 -> 2: each output covers one whole pixel and half of the middle one.
        // (2·0 + 1·90) / 3 = 30 and (1·90 + 2·240) / 3 = 190, in both directions.
        let src = grey(&[0, 90, 240, 0, 90, 240, 0, 90, 240]);
        assert_eq!(resized(&src, 3, 3, 2), grey(&[30, 190, 30, 190]));
    }

    #[test]
    fn wide_pictures_are_squeezed_and_channels_kept_apart() {
        let src = [10, 0, 0, 20, 0, 0, 0, 30, 0, 0, 50, 0, 0, 0, 7, 0, 0, 8, 100, 0, 0, 200, 0, 0];
        assert_eq!(resized(&src, 4, 2, 2), [15, 0, 0, 0, 40, 0, 0, 0, 8, 150, 0, 0]);
    }

    #[test]
    fn enlarging_repeats_and_blends() {
        assert_eq!(resized(&grey(&[0, 100, 200, 40]), 2, 2, 4), {
            let (top, bottom) = ([0, 0, 100, 100], [200, 200, 40, 40]);
            grey(&[top, top, bottom, bottom].concat())
        });
        assert_eq!(resized(&[9, 8, 7], 1, 1, 2), [9, 8, 7, 9, 8, 7, 9, 8, 7, 9, 8, 7]);
    }

    #[test]
    fn constant_pictures_stay_constant() {
        assert!(resized(&[255; 640 * 480 * 3], 640, 480, 96).iter().all(|&v| v == 255));
        assert!(resized(&[1; 97 * 31 * 3], 97, 31, 64).iter().all(|&v| v == 1));
    }
}
