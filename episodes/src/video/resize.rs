//! Area-averaging resize of RGB rows, the one function every picture passes through.

/// Resizes RGB `[height, width, 3]` to RGB `[size, size, 3]` by area averaging (a box filter, so no aliasing);
/// a picture that is not square is squeezed. Rounds to nearest. Copies when nothing changes.
///
/// Training frames and the live frames a policy server receives go through this same function.
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
    // In units of 1/size of a source pixel everything is an integer: source pixel i covers [i·size, (i+1)·size),
    // output pixel j covers [j·width, (j+1)·width), and the overlaps of one output pixel sum to `width`.
    let area = (width * height) as u64;
    let mut row_sum = vec![0_u32; width * 3];
    for (y, out_row) in out.chunks_exact_mut(size * 3).enumerate() {
        row_sum.fill(0);
        for (source_y, weight) in overlaps(y, height, size) {
            let row = &src[source_y * width * 3..(source_y + 1) * width * 3];
            for (sum, &value) in row_sum.iter_mut().zip(row) {
                *sum += weight as u32 * u32::from(value);
            }
        }
        for (x, pixel) in out_row.chunks_exact_mut(3).enumerate() {
            let mut sum = [0_u64; 3];
            for (source_x, weight) in overlaps(x, width, size) {
                for (s, &v) in sum.iter_mut().zip(&row_sum[source_x * 3..source_x * 3 + 3]) {
                    *s += weight as u64 * u64::from(v);
                }
            }
            for (p, s) in pixel.iter_mut().zip(sum) {
                *p = ((s + area / 2) / area) as u8;
            }
        }
    }
}

/// Source pixels under output pixel `j` of `to`, with their overlap in units of `1/to` of a source pixel.
fn overlaps(j: usize, from: usize, to: usize) -> impl Iterator<Item = (usize, usize)> {
    let (start, end) = (j * from, (j + 1) * from);
    (start / to..end.div_ceil(to)).map(move |i| (i, end.min((i + 1) * to) - start.max(i * to)))
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
