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
/// count by their steps; of several groups of episodes first the group, by its weight.
#[derive(Clone, Debug)]
pub struct WindowSampler {
    /// Episode position and the number of starts in all episodes up to and including it.
    cumulative: Vec<(usize, usize)>,
    /// First start of each group that has any, and its weight.
    groups: Vec<(usize, f64)>,
    window_len: usize,
    too_short: usize,
}

impl WindowSampler {
    /// Takes `(episode position, steps)` pairs; episodes shorter than `window_len` steps have no window and are
    /// counted in [`WindowSampler::too_short`].
    pub fn new(episodes: &[(usize, usize)], window_len: usize) -> Self {
        Self::weighted(&[(1.0, episodes.to_vec())], window_len)
    }

    /// The same of several groups `(weight, episodes)`: a group is drawn as often as its weight says, however many steps
    /// it has. A group without a window is never drawn.
    pub fn weighted(groups: &[(f64, Vec<(usize, usize)>)], window_len: usize) -> Self {
        let mut sampler = Self { cumulative: Vec::new(), groups: Vec::new(), window_len, too_short: 0 };
        let mut total = 0;
        for (weight, episodes) in groups {
            let first = total;
            for &(episode, len) in episodes {
                match len.checked_sub(window_len.max(1)) {
                    Some(last_start) => {
                        total += last_start + 1;
                        sampler.cumulative.push((episode, total));
                    }
                    None => sampler.too_short += 1,
                }
            }
            if total > first {
                sampler.groups.push((first, *weight));
            }
        }
        sampler
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
        if self.windows() == 0 {
            return Vec::new();
        }
        (0..batch).map(|_| self.window(self.draw(rng))).collect()
    }

    /// One of all windows; groups are drawn only where there are several.
    fn draw(&self, rng: &mut impl Rng) -> usize {
        let total: f64 = self.groups.iter().map(|group| group.1).sum();
        let mut group = 0;
        if self.groups.len() > 1 {
            let mut at = rng.random::<f64>() * total;
            while group + 1 < self.groups.len() && at >= self.groups[group].1 {
                at -= self.groups[group].1;
                group += 1;
            }
        }
        let end = self.groups.get(group + 1).map_or(self.windows(), |next| next.0);
        rng.random_range(self.groups[group].0..end)
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
    fn groups_are_drawn_by_their_weight_and_within_them_every_start_alike() {
        let groups = [(1.0, vec![(0, 3)]), (9.0, vec![(1, 1)]), (3.0, vec![(2, 12), (3, 4)])];
        let sampler = WindowSampler::weighted(&groups, 3);
        assert_eq!((sampler.windows(), sampler.too_short()), (1 + 10 + 2, 1));
        let mut counts = [0; 4];
        sampler.sample(&mut StdRng::seed_from_u64(2), 12_000).iter().for_each(|w| counts[w.episode] += 1);
        // A quarter to the first, which has one window; the rest 10 to 2; the second is too short, whatever its weight.
        assert!((2800..3200).contains(&counts[0]) && counts[1] == 0, "{counts:?}");
        assert!((7200..7800).contains(&counts[2]) && (1350..1650).contains(&counts[3]), "{counts:?}");
    }

    #[test]
    fn nothing_long_enough_gives_nothing() {
        let sampler = WindowSampler::new(&[(0, 2)], 3);
        assert!(sampler.sample(&mut StdRng::seed_from_u64(1), 8).is_empty());
    }
}
