//! Sequences in which something happens, drawn more often than they were recorded.
//!
//! Of a robot that pushes things most steps are on the way: the robot moves, the things rest. How eventful a sequence is, is the sum
//! over its steps and elements of squared changes, each element's in its own mean: what moves all the time counts little, what seldom
//! moves counts much. Of two sequences drawn the more eventful one is learned from.

use episodes::{Window, WindowSampler};
use rand::rngs::StdRng;

use crate::corpus::Embeddings;

/// Mean squared changes of a corpus.
#[derive(Clone, Debug)]
pub struct Events {
    /// Per element of the embedding `[E]`; 0 where nothing ever changes.
    mean: Vec<f32>,
}

impl Events {
    /// Of the given tracks.
    pub fn of(embeddings: &Embeddings, tracks: &[usize]) -> Self {
        let (mut sum, mut count) = (vec![0.0f64; embeddings.dim], 0usize);
        for &track in tracks {
            let rows: Vec<&[f32]> = embeddings.rows[track].chunks_exact(embeddings.dim.max(1)).collect();
            for pair in rows.windows(2) {
                let changes = pair[0].iter().zip(pair[1]);
                sum.iter_mut().zip(changes).for_each(|(sum, (now, next))| *sum += f64::from(next - now).powi(2));
                count += 1;
            }
        }
        Self { mean: sum.into_iter().map(|sum| (sum / count.max(1) as f64) as f32).collect() }
    }

    /// How eventful the `steps` transitions of a window are.
    pub fn within(&self, embeddings: &Embeddings, window: &Window, steps: usize) -> f32 {
        let rows = &embeddings.rows[window.episode];
        let from = window.start * embeddings.dim;
        let until = (from + (steps + 1) * embeddings.dim).min(rows.len());
        let rows: Vec<&[f32]> = rows[from..until].chunks_exact(embeddings.dim.max(1)).collect();
        let of_step = |pair: &[&[f32]]| -> f32 {
            let changes = pair[0].iter().zip(pair[1]).zip(&self.mean);
            changes.filter(|(_, mean)| **mean > 0.0).map(|((now, next), mean)| (next - now).powi(2) / mean).sum()
        };
        rows.windows(2).map(of_step).sum()
    }

    /// Draws `batch` windows, a `share` of them each the more eventful of two.
    pub fn sample(
        &self,
        embeddings: &Embeddings,
        sampler: &WindowSampler,
        (batch, steps): (usize, usize),
        share: f32,
        rng: &mut StdRng,
    ) -> Vec<Window> {
        let chosen = ((batch as f32 * share.clamp(0.0, 1.0)).round() as usize).min(batch);
        let mut windows = sampler.sample(rng, batch);
        for (window, other) in windows.iter_mut().zip(sampler.sample(rng, chosen)) {
            if self.within(embeddings, &other, steps) > self.within(embeddings, window, steps) {
                *window = other;
            }
        }
        windows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::generator;

    /// Two elements: the first moves by 1 all the time, the second by 2 in one step of eight.
    fn pusher() -> Embeddings {
        let mut rows = Vec::new();
        let mut second = 0.0;
        for t in 0..80 {
            rows.extend([(t % 2) as f32, second]);
            second += if t % 8 == 7 { 2.0 } else { 0.0 };
        }
        Embeddings { dim: 2, rows: vec![rows] }
    }

    #[test]
    fn what_seldom_moves_counts_much_by_hand() {
        let embeddings = pusher();
        let events = Events::of(&embeddings, &[0]);
        // Of 79 changes 9 are pushes of 4 squared.
        assert!((events.mean[0] - 1.0).abs() < 1e-6 && (events.mean[1] - 36.0 / 79.0).abs() < 1e-6);
        let of = |start: usize, steps: usize| events.within(&embeddings, &Window { episode: 0, start }, steps);
        assert!((of(0, 3) - 3.0).abs() < 1e-5);
        assert!((of(6, 3) - (3.0 + 4.0 * 79.0 / 36.0)).abs() < 1e-4);
        // Beyond the end nothing happens.
        assert!((of(78, 8) - 1.0).abs() < 1e-5);
    }

    #[test]
    fn eventful_windows_are_drawn_more_often() {
        let embeddings = pusher();
        let (events, sampler) = (Events::of(&embeddings, &[0]), WindowSampler::new(&[(0, 80)], 2));
        let pushes = |share: f32| {
            let mut rng = generator(0, "events", 0);
            let drawn = events.sample(&embeddings, &sampler, (2000, 1), share, &mut rng);
            drawn.iter().filter(|window| window.start % 8 == 7).count()
        };
        // One in eight; of two, one is a push with 1 - (7/8)^2.
        let (plain, all) = (pushes(0.0), pushes(1.0));
        assert!((180..300).contains(&plain), "{plain}");
        assert!((400..540).contains(&all), "{all}");
    }
}
