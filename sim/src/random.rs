//! Random numbers that stay the same on every platform and with every library version.

/// SplitMix64 (Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
#[derive(Clone, Debug)]
pub(crate) struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `[low, high)`.
    pub(crate) fn uniform(&mut self, low: f32, high: f32) -> f32 {
        let unit = (self.next_u64() >> 40) as f32 / (1u64 << 24) as f32;
        low + (high - low) * unit
    }

    /// Uniform in `low..high`.
    pub(crate) fn integer(&mut self, low: usize, high: usize) -> usize {
        low + (self.next_u64() % (high - low) as u64) as usize
    }

    /// Mean 0, standard deviation 1, within ±6: the sum of twelve uniforms needs no transcendental function, whose
    /// last bit differs between platforms.
    pub(crate) fn gaussian(&mut self) -> f32 {
        (0..12).map(|_| self.uniform(0.0, 1.0)).sum::<f32>() - 6.0
    }
}

/// Seed of episode `i` of a collection with seed `seed`: the output of SplitMix64 seeded with
/// `seed * 1_000_000 + i`, so that neighbouring collections and episodes have nothing in common.
pub fn episode_seed(seed: u64, i: u64) -> u64 {
    SplitMix64::new(seed.wrapping_mul(1_000_000).wrapping_add(i)).next_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        assert_eq!(SplitMix64::new(0).next_u64(), 0xE220_A839_7B1D_CDAF);
    }

    #[test]
    fn moments_are_right() {
        let mut rng = SplitMix64::new(7);
        let n = 100_000;
        let xs: Vec<f32> = (0..n).map(|_| rng.gaussian()).collect();
        let mean = xs.iter().sum::<f32>() / n as f32;
        let var = xs.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / n as f32;
        assert!(mean.abs() < 0.02 && (var - 1.0).abs() < 0.03, "{mean} {var}");
        assert!((0..1000).all(|_| (3..7).contains(&rng.integer(3, 7))));
    }
}
