//! Is imagination too kind? Actions that should fail, imagined from recorded starts.
//!
//! A world model that has seen mostly successes may imagine them whatever is done, and a policy that is improved in it learns to
//! please it. So held-out episodes are imagined without looking along four kinds of actions: their own, their own with noise of one
//! standard deviation, their own in another order, and those of another episode. Of their own actions it is known what came of them:
//! recorded failures must not become successes. Of the others it is not, but where the task asks for skill they rarely succeed.

use burn::tensor::Device;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand_distr::StandardNormal;
use rollouts::score::ended_by;
use serde::{Deserialize, Serialize};
use world_model::shards::side_by_side;
use world_model::{Corpus, Embeddings, Prediction, WorldModel, noise};

use crate::evaluate::{EvaluateConfig, LATE, Played, follow, interval};

/// Starts that are imagined in one batch: whole episodes of many steps take their memory.
const STARTS_AT_A_TIME: usize = 16;

/// Imagined share of successes with its 95 % bootstrap interval over starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Mean probability, 0 to 1.
    pub success: f64,
    /// Its interval.
    pub success_ci95: [f64; 2],
}

/// Successes imagined along one kind of actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Along {
    /// From the starts of all episodes.
    pub all: Share,
    /// From the starts of recorded failures; `None` where there are none.
    pub failures: Option<Share>,
}

/// What imagination makes of held-out episodes and of actions that should fail there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Optimism {
    /// Held-out episodes.
    pub episodes: usize,
    /// Of these, recorded failures.
    pub failures: usize,
    /// Share of recorded successes.
    pub recorded_success: f64,
    /// Along the recorded actions.
    pub recorded_actions: Along,
    /// Along the recorded actions with normal noise of one standard deviation of the recorded ones.
    pub noisy_actions: Along,
    /// Along the recorded actions in another order.
    pub shuffled_actions: Along,
    /// Along the actions of another of the episodes.
    pub other_actions: Along,
}

impl Optimism {
    /// Asks the model; `None` for fewer than two starts, and where no success was recorded. Each episode is imagined as long as the
    /// actions last, and a few steps longer.
    pub fn of(
        model: &WorldModel,
        data: (&Corpus, &Embeddings),
        config: &EvaluateConfig,
        starts: &[(usize, usize)],
        (seed, device): (u64, &Device),
    ) -> Option<Self> {
        let corpus = data.0;
        if starts.len() < 2 || !corpus.own_tracks().any(|track| corpus.tracks[track].success) {
            return None;
        }
        let failed: Vec<usize> = (0..starts.len()).filter(|&i| !corpus.tracks[starts[i].0].success).collect();
        let recorded: Vec<&[f32]> = starts.iter().map(|&(track, _)| &corpus.tracks[track].action[..]).collect();
        let kinds =
            kinds(&recorded, (corpus.action_len, corpus.home_action_len()), &mut noise::generator(seed, "optimism", 0));
        let along = kinds.map(|kind| {
            let played: Vec<Played<'_>> = starts.iter().copied().zip(kind.iter().map(Vec::as_slice)).collect();
            let parts: Vec<&[Played<'_>]> = played.chunks(STARTS_AT_A_TIME).collect();
            let success = side_by_side(parts, |part, played| {
                let steps: Vec<usize> = played.iter().map(|(_, a)| a.len() / corpus.action_len + LATE).collect();
                let config = EvaluateConfig { horizon: steps.iter().copied().max().unwrap_or(0), ..*config };
                reached(
                    &follow(model, data, &config, played, (seed, part as u64), device).predictions,
                    config.samples,
                    &steps,
                )
            })
            .concat();
            let share = |of: &[f32]| {
                let (success, ci95) = interval(of, config.resamples, seed);
                Share { success, success_ci95: ci95.map(|bound| bound.clamp(0.0, 1.0)) }
            };
            let of_failures: Vec<f32> = failed.iter().map(|&i| success[i]).collect();
            Along { all: share(&success), failures: (!failed.is_empty()).then(|| share(&of_failures)) }
        });
        let [recorded_actions, noisy_actions, shuffled_actions, other_actions] = along;
        Some(Self {
            episodes: starts.len(),
            failures: failed.len(),
            recorded_success: 1.0 - failed.len() as f64 / starts.len() as f64,
            recorded_actions,
            noisy_actions,
            shuffled_actions,
            other_actions,
        })
    }
}

/// Per kind and episode, normalised actions `[T, A]`: recorded, noisy, shuffled, another episode's. Noise touches the first `own`
/// elements, which are the robot's.
fn kinds(recorded: &[&[f32]], (a, own): (usize, usize), rng: &mut StdRng) -> [Vec<Vec<f32>>; 4] {
    let plain: Vec<Vec<f32>> = recorded.iter().map(|actions| actions.to_vec()).collect();
    let mut noisy = plain.clone();
    for action in noisy.iter_mut().flat_map(|actions| actions.chunks_exact_mut(a)) {
        action[..own].iter_mut().for_each(|x| *x += rng.sample::<f32, _>(StandardNormal));
    }
    let mut shuffled = Vec::with_capacity(plain.len());
    for actions in &plain {
        let mut order: Vec<&[f32]> = actions.chunks_exact(a).collect();
        order.shuffle(rng);
        shuffled.push(order.concat());
    }
    let mut other = plain.clone();
    // Turned by some places: nobody gets his own.
    other.rotate_left(rng.random_range(1..plain.len().max(2)));
    [plain, noisy, shuffled, other]
}

/// Probability of success within so many steps, per start, mean over its `samples` rows.
fn reached(predictions: &[Prediction], samples: usize, steps: &[usize]) -> Vec<f32> {
    let by = ended_by(predictions);
    let within =
        |row: &Vec<[f32; 2]>, steps: usize| row.iter().take(steps).next_back().map_or(0.0, |[success, _]| *success);
    let of_start = |(rows, &steps): (&[Vec<[f32; 2]>], &usize)| {
        rows.iter().map(|row| within(row, steps)).sum::<f32>() / samples as f32
    };
    by.chunks_exact(samples).zip(steps).map(of_start).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Tensor;

    #[test]
    fn corrupted_actions_are_what_they_are_called() {
        let recorded: Vec<Vec<f32>> =
            (0..5).map(|e| (0..2 * (e + 3)).map(|i| (100 * e + i) as f32).collect()).collect();
        let rows: Vec<&[f32]> = recorded.iter().map(Vec::as_slice).collect();
        let [plain, noisy, shuffled, other] = kinds(&rows, (2, 1), &mut noise::generator(0, "test", 0));
        assert_eq!(plain, recorded);
        for (e, own) in recorded.iter().enumerate() {
            let is_noisy = |i: usize| noisy[e][i] != own[i];
            assert!((0..own.len()).all(|i| is_noisy(i) == (i % 2 == 0)), "noise is on the robot's own elements alone");
            let mut steps: Vec<&[f32]> = shuffled[e].chunks_exact(2).collect();
            steps.sort_by(|a, b| a[0].total_cmp(&b[0]));
            assert_eq!(steps.concat(), *own, "the same actions, whole");
            assert!(other[e] != *own && recorded.contains(&other[e]));
        }
        assert_ne!(shuffled, recorded);
        let spread =
            noisy.iter().zip(&recorded).flat_map(|(n, r)| n.iter().zip(r).step_by(2)).map(|(n, r)| (n - r).powi(2));
        let spread: Vec<f32> = spread.collect();
        let deviation = (spread.iter().sum::<f32>() / spread.len() as f32).sqrt();
        assert!((0.6..1.5).contains(&deviation), "{deviation}");
    }

    #[test]
    fn success_counts_within_the_steps_of_the_episode_by_hand() {
        let step = |success: [f32; 2], failure: [f32; 2]| {
            let t = |v: [f32; 2]| Tensor::<1>::from_floats(v, &Device::default());
            let rest = t([0.0; 2]);
            Prediction {
                reward: rest.clone(),
                success: t(success),
                failure: t(failure),
                disagreement: rest.clone(),
                doubt: rest,
            }
        };
        let predictions = vec![step([0.5, 0.0], [0.0, 0.5]), step([0.5, 0.4], [0.0; 2]), step([1.0; 2], [0.0; 2])];
        // 0.5 + 0.5*0.5; the other one: 0.5*0.4 after a failure with a probability of a half.
        let each = reached(&predictions, 1, &[2, 2]);
        assert!((each[0] - 0.75).abs() < 1e-6 && (each[1] - 0.2).abs() < 1e-6, "{each:?}");
        let both = reached(&predictions, 2, &[1]);
        assert!((both[0] - 0.25).abs() < 1e-6, "{both:?}");
    }
}
