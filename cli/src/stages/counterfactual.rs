//! The test of the product, where there is a simulator to ask: does imagination rank what could have been done at a recorded
//! moment as the truth does?

use std::time::Instant;

use anyhow::Result;
use burn::tensor::Tensor;
use policy::{Bundle, Memory};
use rand::RngExt;
use rayon::prelude::*;
use rollouts::branch::ForkOptions;
use rollouts::outcome;
use rollouts::score::real_return;
use world_model::vision::floats;
use world_model::{Embeddings, noise};

use super::record::Minds;
use super::workshop::Workshop;
use crate::args::Arm;
use crate::interrupt;
use crate::progress::Progress;
use crate::report::CounterfactualCheck;

/// Recorded moments that are forked.
const FORKS: usize = 100;
/// Control steps from each.
const HORIZON: usize = 20;
/// Draws of noise per imagined arm.
const SAMPLES: usize = 4;
/// True drives of a policy per moment; its noise is averaged over.
const DRIVES: u64 = 2;
/// Pairs whose true returns differ by less are not counted.
const LEAST_DIFFERENCE: f32 = 0.01;

impl Workshop {
    /// Forks held-out episodes at random moments and drives every arm in the simulator too. Only `demo` may ask.
    ///
    /// # Errors
    /// A policy that is not there; Ctrl-C.
    pub fn check_counterfactuals(&self, minds: &Minds, embeddings: &Embeddings) -> Result<CounterfactualCheck> {
        let mut arms = vec![Arm::Logged, Arm::Hold, Arm::Scaled(0.5)];
        arms.extend(minds.policies.keys().filter_map(|name| name.parse().ok()));
        let tracks = self.corpus.judged_on();
        let mut rng = noise::generator(self.config.seed, "counterfactual", 0);
        let forks: Vec<(usize, usize)> = (0..FORKS)
            .map(|_| {
                let track = tracks[rng.random_range(0..tracks.len())];
                (track, rng.random_range(0..self.corpus.tracks[track].len))
            })
            .collect();
        let mut progress = Progress::stage("counterfactuals", FORKS as u64, "moments");
        let mut scores = Vec::new();
        for part in forks.chunks(10) {
            interrupt::check()?;
            let scored: Result<Vec<Vec<(f32, f32)>>> =
                part.par_iter().map(|&at| self.imagined_and_true(minds, embeddings, &arms, at)).collect();
            scores.extend(scored?);
            progress.set(scores.len() as u64, "");
        }
        progress.finish();
        Ok(check(&scores, &arms, self.config.evaluate.resamples, self.config.seed))
    }

    /// (imagined, true) return of every arm from one recorded moment.
    fn imagined_and_true(
        &self,
        minds: &Minds,
        embeddings: &Embeddings,
        arms: &[Arm],
        (track, step): (usize, usize),
    ) -> Result<Vec<(f32, f32)>> {
        let context = self.config.quality.context;
        let options = ForkOptions { track, step, horizon: HORIZON, samples: SAMPLES, context, seed: self.config.seed };
        let rule = &self.corpus.returns;
        arms.iter()
            .map(|arm| {
                let predictions = self.imagine_arm(minds, embeddings, arm, &options)?.imagined.predictions;
                // Beyond the horizon the last reward is held, imagined and true alike.
                let end: Tensor<1> = predictions
                    .last()
                    .map(|p| p.reward.clone().clamp(rule.low, rule.high))
                    .unwrap_or_else(|| Tensor::zeros([SAMPLES], &self.inner()));
                let imagined = floats(outcome(&predictions, rule, end).value).iter().sum::<f32>() / SAMPLES as f32;
                let drives = if minds.policies.contains_key(&arm.to_string()) { DRIVES } else { 1 };
                let truth: f32 =
                    (0..drives).map(|drive| self.driven(minds, arm, (track, step), drive)).sum::<f32>() / drives as f32;
                Ok((imagined, truth))
            })
            .collect()
    }

    /// True return of one arm: the recorded actions up to the moment, then the arm's.
    fn driven(&self, minds: &Minds, arm: &Arm, (track, step): (usize, usize), drive: u64) -> f32 {
        let episode = &self.dataset.episodes[self.corpus.tracks[track].episode];
        let recorded = |t: usize| {
            let a = episode.action_at(t.min(self.corpus.tracks[track].len - 1), 2);
            [a[0], a[1]]
        };
        let seed = sim::episode_seed(self.config.seed, episode.index as u64);
        let before: Vec<[f32; 2]> = (0..step).map(recorded).collect();
        let mut sim = sim::replay(&self.config.demo.sim, seed, &before);
        let bundle = minds.policies.get(&arm.to_string()).map(|policy| {
            let encoder = minds.model.representation.encoder.clone();
            Bundle::new(self.bundle_spec(), encoder, policy.clone(), &self.inner()).seeing(self.vit.clone())
        });
        let mut rng = noise::generator(seed, "counterfactual-drive", (step as u64) << 8 | drive);
        let mut queue = std::collections::VecDeque::new();
        let (mut memory, mut now) = (Memory::default(), Instant::now());
        let mut rewards = Vec::with_capacity(HORIZON);
        for k in 0..HORIZON {
            let action = match (arm, &bundle) {
                (Arm::Scaled(factor), _) => {
                    let (first, now) = (recorded(step), recorded(step + k));
                    [0, 1].map(|i| first[i] + factor * (now[i] - first[i]))
                }
                (Arm::Hold, _) => recorded(step.saturating_sub(1)),
                (_, Some(bundle)) => {
                    if queue.is_empty() {
                        // The simulator's observations always fit the spec they were recorded with.
                        let (image, state) = (sim.image(), sim.state());
                        let seen: (&[&[u8]], &[f32], _) = (&[&image], &state, None);
                        let chunk = bundle.act_after(&mut memory, seen, &mut rng, now).unwrap_or_default();
                        now += self.chunk_time();
                        queue.extend(chunk.chunks_exact(2).map(|a| [a[0], a[1]]));
                    }
                    queue.pop_front().unwrap_or_else(|| sim.state())
                }
                _ => recorded(step + k),
            };
            let after = sim.step(action);
            rewards.push(self.corpus.rule.reward_of_step(after.reward));
            if after.terminated {
                return real_return(&rewards, true, true, &self.corpus.returns);
            }
        }
        real_return(&rewards, false, false, &self.corpus.returns)
    }
}

/// Agreement over pairs within a moment, and what the choice of the arm imagined best gives up.
fn check(scores: &[Vec<(f32, f32)>], arms: &[Arm], resamples: usize, seed: u64) -> CounterfactualCheck {
    let mut shares = Vec::new();
    let (mut pairs, mut regret, mut regret_of_chance) = (0, 0.0, 0.0);
    for moment in scores {
        let (mut counted, mut agreed) = (0, 0);
        for (i, a) in moment.iter().enumerate() {
            for b in &moment[i + 1..] {
                if (a.1 - b.1).abs() >= LEAST_DIFFERENCE {
                    counted += 1;
                    agreed += usize::from((a.0 - b.0) * (a.1 - b.1) > 0.0);
                }
            }
        }
        if counted > 0 {
            shares.push(agreed as f32 / counted as f32);
        }
        pairs += counted;
        let best = moment.iter().map(|s| s.1).fold(f32::MIN, f32::max);
        let chosen = moment.iter().fold((f32::MIN, 0.0), |top, s| if s.0 > top.0 { *s } else { top }).1;
        let mean = moment.iter().map(|s| s.1).sum::<f32>() / moment.len().max(1) as f32;
        regret += f64::from(best - chosen) / scores.len() as f64;
        regret_of_chance += f64::from(best - mean) / scores.len() as f64;
    }
    let (agreement, agreement_ci95) = rl::evaluate::interval(&shares, resamples, seed);
    CounterfactualCheck {
        moments: scores.len(),
        arms: arms.iter().map(ToString::to_string).collect(),
        horizon: HORIZON,
        pairs,
        agreement,
        agreement_ci95,
        regret,
        regret_of_chance,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_and_regret_by_hand() {
        // Moment 1: imagination swaps the last two of three; moment 2: no true difference worth counting.
        let scores = [vec![(0.9, 0.8), (0.5, 0.2), (0.4, 0.5)], vec![(0.1, 0.500), (0.2, 0.505), (0.3, 0.501)]];
        let found = check(&scores, &[Arm::Logged, Arm::Hold, Arm::Improved], 100, 0);
        assert_eq!((found.moments, found.pairs), (2, 3));
        assert!((found.agreement - 2.0 / 3.0).abs() < 1e-6);
        // The best is chosen at the first moment; at the second 0.004 is given up.
        assert!((found.regret - 0.002).abs() < 1e-6, "{}", found.regret);
        assert!((found.regret_of_chance - (0.3 + 0.003) / 2.0).abs() < 1e-6, "{}", found.regret_of_chance);
    }
}
