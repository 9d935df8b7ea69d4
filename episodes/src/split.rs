//! Which episodes are learned from and which are held out: by whole episode, the same for the same seed.

/// Positions in [`crate::Dataset::episodes`], each list in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Episodes to learn from.
    pub train: Vec<usize>,
    /// Episodes never learned from.
    pub held_out: Vec<usize>,
}

/// Splits `n` episodes by whole episode, at random but reproducibly in `seed`.
///
/// About `held_out_fraction` (0 to 1) are held out: at least one, and at least one kept for training, as soon as
/// there are two episodes. A single episode is trained on and nothing is held out.
pub fn split(n: usize, held_out_fraction: f64, seed: u64) -> Split {
    let mut order: Vec<usize> = (0..n).collect();
    let mut state = seed;
    for i in (1..n).rev() {
        // The bias of the remainder is below n / 2^64.
        order.swap(i, (splitmix64(&mut state) % (i as u64 + 1)) as usize);
    }
    let held_out_len = match n {
        0 | 1 => 0,
        _ => ((n as f64 * held_out_fraction).round() as usize).clamp(1, n - 1),
    };
    let mut held_out = order.split_off(n - held_out_len);
    held_out.sort_unstable();
    order.sort_unstable();
    Split { train: order, held_out }
}

/// SplitMix64 (Steele, Lea & Flood 2014): spelt out here so that a split never changes with a library version.
fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_episode_is_on_exactly_one_side() {
        for n in 0..40 {
            for seed in 0..5 {
                let s = split(n, 0.2, seed);
                let mut all = [s.train.clone(), s.held_out.clone()].concat();
                all.sort_unstable();
                assert_eq!(all, (0..n).collect::<Vec<_>>());
                assert_eq!(s.held_out.is_empty(), n < 2);
                assert_eq!(s, split(n, 0.2, seed));
            }
        }
        assert_ne!(split(30, 0.2, 1), split(30, 0.2, 2));
    }

    #[test]
    fn extreme_fractions_leave_both_sides_something() {
        assert_eq!(split(10, 0.0, 0).held_out.len(), 1);
        assert_eq!(split(10, 1.0, 0).train.len(), 1);
        assert_eq!(split(10, f64::NAN, 0).held_out.len(), 1);
    }

    #[test]
    fn the_generator_is_the_published_one() {
        let mut state = 0;
        assert_eq!(splitmix64(&mut state), 0xE220_A839_7B1D_CDAF);
    }
}
