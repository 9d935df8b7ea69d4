//! Where training sequences start: windows of fixed length inside episodes, every start equally likely.

use rand::{Rng, RngExt};

/// `window_len` consecutive steps of one episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Position in [`crate::Dataset::episodes`].
    pub episode: usize,
    /// First step.
    pub start: usize,
}

/// Draws windows that lie wholly inside an episode, uniformly over all possible starts, so that long episodes
/// count by their steps.
#[derive(Clone, Debug)]
pub struct WindowSampler {
    /// Episode position and the number of starts in all episodes up to and including it.
    cumulative: Vec<(usize, usize)>,
    window_len: usize,
    too_short: usize,
}

impl WindowSampler {
    /// Takes `(episode position, steps)` pairs; episodes shorter than `window_len` steps have no window and are
    /// counted in [`WindowSampler::too_short`].
    pub fn new(episodes: &[(usize, usize)], window_len: usize) -> Self {
        let mut cumulative = Vec::with_capacity(episodes.len());
        let (mut total, mut too_short) = (0, 0);
        for &(episode, len) in episodes {
            match len.checked_sub(window_len.max(1)) {
                Some(last_start) => {
                    total += last_start + 1;
                    cumulative.push((episode, total));
                }
                None => too_short += 1,
            }
        }
        Self { cumulative, window_len, too_short }
    }

    /// Steps per window.
    pub fn window_len(&self) -> usize {
        self.window_len
    }

    /// Number of distinct windows.
    pub fn windows(&self) -> usize {
        self.cumulative.last().map_or(0, |&(_, n)| n)
    }

    /// Episodes too short for a single window.
    pub fn too_short(&self) -> usize {
        self.too_short
    }

    /// The `i`-th of all [`WindowSampler::windows`], episode after episode.
    ///
    /// # Panics
    /// If `i` is not below [`WindowSampler::windows`].
    pub fn window(&self, i: usize) -> Window {
        assert!(i < self.windows(), "window {i} of {}", self.windows());
        let k = self.cumulative.partition_point(|&(_, end)| end <= i);
        let begin = if k == 0 { 0 } else { self.cumulative[k - 1].1 };
        Window { episode: self.cumulative[k].0, start: i - begin }
    }

    /// Draws `batch` windows with replacement; none where no episode is long enough.
    pub fn sample(&self, rng: &mut impl Rng, batch: usize) -> Vec<Window> {
        let n = self.windows();
        if n == 0 {
            return Vec::new();
        }
        (0..batch).map(|_| self.window(rng.random_range(0..n))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    #[test]
    fn every_start_is_possible_equally_likely_and_inside() {
        let sampler = WindowSampler::new(&[(4, 5), (7, 2), (9, 3)], 3);
        assert_eq!((sampler.windows(), sampler.too_short()), (4, 1));
        let mut counts = std::collections::BTreeMap::new();
        for w in sampler.sample(&mut StdRng::seed_from_u64(1), 8000) {
            *counts.entry((w.episode, w.start)).or_insert(0) += 1;
        }
        let starts: Vec<_> = counts.keys().copied().collect();
        assert_eq!(starts, vec![(4, 0), (4, 1), (4, 2), (9, 0)]);
        assert!(counts.values().all(|&c| (1800..2200).contains(&c)), "{counts:?}");
    }

    #[test]
    fn nothing_long_enough_gives_nothing() {
        let sampler = WindowSampler::new(&[(0, 2)], 3);
        assert!(sampler.sample(&mut StdRng::seed_from_u64(1), 8).is_empty());
    }
}
