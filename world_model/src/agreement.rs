//! How far two lists of numbers agree: predictions against what was recorded, one score against another.

/// Mean of the values; 0 of none.
pub fn mean<T: Into<f64>>(values: impl ExactSizeIterator<Item = T>) -> f64 {
    let count = values.len().max(1) as f64;
    values.map(Into::into).sum::<f64>() / count
}

/// Share of the variance of `seen` that is explained, `1 - Σ(y - ŷ)² / Σ(y - ȳ)²`; `None` where it never changes.
pub fn explained(predicted: &[f32], seen: &[f32]) -> Option<f64> {
    let centre = mean(seen.iter().copied());
    let total: f64 = seen.iter().map(|&y| (f64::from(y) - centre).powi(2)).sum();
    let wrong: f64 = seen.iter().zip(predicted).map(|(&y, &p)| (f64::from(y) - f64::from(p)).powi(2)).sum();
    (total > 1e-9).then(|| 1.0 - wrong / total)
}

/// Pearson's r; `None` for fewer than 3 pairs or where either list never changes.
pub fn pearson<T: Copy + Into<f64>>(a: &[T], b: &[T]) -> Option<f64> {
    let (ma, mb) = (mean(a.iter().copied()), mean(b.iter().copied()));
    let (mut both, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (&x, &y) in a.iter().zip(b) {
        let (x, y): (f64, f64) = (x.into() - ma, y.into() - mb);
        both += x * y;
        aa += x * x;
        bb += y * y;
    }
    (a.len() >= 3 && aa > 1e-12 && bb > 1e-12).then(|| both / (aa * bb).sqrt())
}

/// Spearman's ρ: Pearson's r of the ranks.
pub fn spearman(a: &[f32], b: &[f32]) -> Option<f64> {
    pearson(&ranks(a), &ranks(b))
}

/// Area under the ROC curve as the rank-sum statistic; `None` where there is only one kind.
pub fn auroc(score: &[f32], positive: &[bool]) -> Option<f64> {
    let p = positive.iter().filter(|x| **x).count() as f64;
    let n = positive.len() as f64 - p;
    let sum: f64 = ranks(score).iter().zip(positive).filter(|(_, x)| **x).map(|(r, _)| r).sum();
    (p > 0.0 && n > 0.0).then(|| (sum - p * (p + 1.0) / 2.0) / (p * n))
}

/// Ranks from 1; ties share their mean rank.
fn ranks(x: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    let mut out = vec![0.0; x.len()];
    let mut i = 0;
    while i < order.len() {
        let tied = order[i..].iter().take_while(|&&j| x[j] == x[order[i]]).count();
        for &j in &order[i..i + tied] {
            out[j] = (2 * i + tied + 1) as f64 / 2.0;
        }
        i += tied;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_by_hand() {
        assert_eq!(ranks(&[0.3, 0.1, 0.3, 0.9]), [2.5, 1.0, 2.5, 4.0]);
    }

    #[test]
    fn auroc_by_hand() {
        // Pairs (positive, negative): 0.8 beats 0.1 and 0.5; 0.5 beats 0.1 and ties with 0.5.
        let score = [0.1, 0.5, 0.5, 0.8];
        let value = auroc(&score, &[false, false, true, true]).expect("both kinds");
        assert!((value - 3.5 / 4.0).abs() < 1e-12);
        assert_eq!(auroc(&score, &[true; 4]), None);
    }

    #[test]
    fn pearson_by_hand() {
        let r = pearson(&[1.0f32, 2.0, 3.0, 4.0], &[2.0, 1.0, 4.0, 3.0]).expect("both change");
        assert!((r - 0.6).abs() < 1e-9, "{r}");
        assert_eq!(pearson(&[1.0, 1.0, 1.0], &[0.0, 1.0, 2.0]), None);
        assert_eq!(pearson(&[1.0, 2.0], &[0.0, 1.0]), None);
    }

    #[test]
    fn spearman_by_hand() {
        let up = spearman(&[1.0, 2.0, 3.0], &[1.0, 10.0, 1000.0]).expect("both change");
        let down = spearman(&[1.0, 2.0, 3.0], &[5.0, 4.0, 0.0]).expect("both change");
        assert!((up - 1.0).abs() < 1e-12 && (down + 1.0).abs() < 1e-12);
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[1.0, 1.0, 1.0]), None);
    }

    #[test]
    fn explained_by_hand() {
        assert_eq!(explained(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]), Some(1.0));
        assert_eq!(explained(&[2.0, 2.0, 2.0], &[1.0, 2.0, 3.0]), Some(0.0));
        assert_eq!(explained(&[2.0, 2.0], &[1.0, 1.0]), None);
    }
}
