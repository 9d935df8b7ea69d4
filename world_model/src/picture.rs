//! How alike two pictures are: PSNR and SSIM, over frames `[size, size, 3]` of bytes.

/// Peak signal-to-noise ratio, decibels; 60 for pictures that are the same.
pub fn psnr_db(a: &[u8], b: &[u8]) -> f64 {
    const SAME: f64 = 60.0;
    let mse =
        a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>() / a.len().max(1) as f64;
    (10.0 * (255.0 * 255.0 / mse.max(1e-9)).log10()).min(SAME)
}

/// Structural similarity of the brightness, mean over windows of 8×8 pixels every 4 pixels (Wang et al. 2004, eq. 13).
pub fn ssim(a: &[u8], b: &[u8], size: usize) -> f64 {
    const WINDOW: usize = 8;
    const STRIDE: usize = 4;
    let (c1, c2) = ((0.01f64 * 255.0).powi(2), (0.03f64 * 255.0).powi(2));
    let grey = |x: &[u8]| -> Vec<f64> {
        x.chunks_exact(3).map(|p| 0.299 * f64::from(p[0]) + 0.587 * f64::from(p[1]) + 0.114 * f64::from(p[2])).collect()
    };
    let (a, b) = (grey(a), grey(b));
    let places: Vec<usize> = (0..=size.saturating_sub(WINDOW)).step_by(STRIDE).collect();
    let mut sum = 0.0;
    for &top in &places {
        for &left in &places {
            let [mut ma, mut mb, mut aa, mut bb, mut ab] = [0.0; 5];
            for y in top..(top + WINDOW).min(size) {
                for i in y * size + left..y * size + (left + WINDOW).min(size) {
                    let (x, y) = (a[i], b[i]);
                    ma += x;
                    mb += y;
                    aa += x * x;
                    bb += y * y;
                    ab += x * y;
                }
            }
            let n = (WINDOW * WINDOW) as f64;
            let (ma, mb) = (ma / n, mb / n);
            let (va, vb, cov) = (aa / n - ma * ma, bb / n - mb * mb, ab / n - ma * mb);
            sum += (2.0 * ma * mb + c1) * (2.0 * cov + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2));
        }
    }
    sum / (places.len() * places.len()).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn psnr_by_hand() {
        // Every value off by one: 20 log10(255) = 48.13.
        assert!((psnr_db(&[10; 12], &[11; 12]) - 48.1308).abs() < 1e-3);
        assert_eq!(psnr_db(&[7; 12], &[7; 12]), 60.0);
    }

    #[test]
    fn ssim_is_one_for_the_same_and_follows_the_formula_for_flat_pictures() {
        let size = 16;
        let noisy: Vec<u8> = (0..size * size * 3).map(|i| (i * 37 % 251) as u8).collect();
        assert!((ssim(&noisy, &noisy, size) - 1.0).abs() < 1e-12);
        // Flat pictures have no variance: only the brightness term (2·100·50 + c1) / (100² + 50² + c1) is left.
        let (a, b) = (vec![100; size * size * 3], vec![50; size * size * 3]);
        assert!((ssim(&a, &b, size) - (10_000.0 + 6.5025) / (12_500.0 + 6.5025)).abs() < 1e-6);
        let upside_down: Vec<u8> = noisy.iter().map(|v| 255 - v).collect();
        assert!(ssim(&noisy, &upside_down, size) < 0.0);
    }
}
