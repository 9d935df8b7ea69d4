//! A background that moves by itself: discs that drift over the table, under everything that matters.
//!
//! They have nothing to do with the task and cannot be influenced; a model that spends itself on them has less left for the
//! block. Off by default, for measuring what the task's say in the representation is worth.

use crate::random::SplitMix64;
use crate::scene::ARENA_HALF_M;

/// Keeps the discs apart from the start pose drawn with the same episode seed.
const STREAM: u64 = 0xBAC6_0D15_C500_0000;

const RADIUS_M: (f32, f32) = (0.05, 0.14);
/// Metres per control step: about as fast as the block is pushed.
const SPEED_M: (f32, f32) = (0.005, 0.02);

/// One disc.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Disc {
    pub(crate) centre: [f32; 2],
    pub(crate) radius_m: f32,
    pub(crate) colour: [f32; 3],
    velocity: [f32; 2],
}

/// Discs as they are when the episode starts.
pub(crate) fn discs(count: usize, seed: u64) -> Vec<Disc> {
    let mut rng = SplitMix64::new(seed ^ STREAM);
    let mut either = |(low, high): (f32, f32)| rng.uniform(low, high);
    (0..count)
        .map(|_| {
            let place = (-ARENA_HALF_M, ARENA_HALF_M);
            let centre = [either(place), either(place)];
            let velocity = [0, 1].map(|_| either(SPEED_M) * if either((-1.0, 1.0)) < 0.0 { -1.0 } else { 1.0 });
            Disc { centre, radius_m: either(RADIUS_M), colour: [0, 1, 2].map(|_| either((60.0, 230.0))), velocity }
        })
        .collect()
}

impl Disc {
    /// After so many control steps; it turns round at the walls.
    pub(crate) fn after(self, steps: usize) -> Self {
        let along = |from: f32, speed: f32| {
            // Unfolded, a way between two walls is a straight line; folded back, every second stretch is mirrored.
            let way = (from + ARENA_HALF_M + speed * steps as f32).rem_euclid(4.0 * ARENA_HALF_M);
            way.min(4.0 * ARENA_HALF_M - way) - ARENA_HALF_M
        };
        Self { centre: [0, 1].map(|i| along(self.centre[i], self.velocity[i])), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discs_move_every_step_stay_on_the_table_and_are_the_same_for_the_same_seed() {
        for disc in discs(8, 3) {
            let mut before = disc;
            for steps in 1..300 {
                let now = disc.after(steps);
                let moved = [0, 1].map(|i| (now.centre[i] - before.centre[i]).abs());
                assert!(moved.iter().all(|&m| m <= SPEED_M.1 + 1e-5) && moved[0] + moved[1] > 0.0, "{moved:?}");
                assert!(now.centre.iter().all(|c| c.abs() <= ARENA_HALF_M + 1e-5));
                before = now;
            }
        }
        assert_eq!(discs(8, 3), discs(8, 3));
        assert_ne!(discs(8, 3), discs(8, 4));
        assert!(discs(0, 3).is_empty());
    }
}
