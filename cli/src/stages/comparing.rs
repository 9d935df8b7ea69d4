//! Several futures of one recorded moment: imagined, compared with the logged replay, ranked, and made ready to be looked at.

use anyhow::Result;
use burn::tensor::Tensor;
use rl::Critic;
use rollouts::Branch;
use rollouts::branch::ForkOptions;
use rollouts::score::ended_by;
use viz::{ArmView, BranchView, Frame, RealView};
use world_model::trust::Limits;
use world_model::vision::floats;
use world_model::{Embeddings, Latent};

use super::known_truth::{KnownMoment, LoggedCheck, record_without};
use super::ranking::{ArmRow, BranchVerdict, row, table, verdict};
use super::record::Minds;
use super::workshop::Workshop;
use crate::args::Arm;

/// What futures are measured by.
pub struct Measures {
    /// Where the model stops being believed.
    pub limits: Limits,
    /// Moments of held-out episodes, imagined and recorded.
    pub moments: Vec<KnownMoment>,
    /// Values of the recorded behaviour.
    pub recorded_critic: Critic,
}

/// Futures of one moment, ranked.
pub struct Comparison {
    /// A row per future, the one that is most probably better than the logged replay first.
    pub rows: Vec<ArmRow>,
    /// The futures in the order of the rows.
    pub futures: Vec<(Arm, Branch)>,
    /// Moments of other episodes by which it is known how wrong the model is.
    pub moments_known: usize,
    /// The logged replay against what was recorded.
    pub check: LoggedCheck,
    /// The conclusion.
    pub verdict: BranchVerdict,
    /// To look at.
    pub view: BranchView,
}

impl Workshop {
    /// What futures of `horizon` steps are measured by.
    ///
    /// # Errors
    /// The values are not trained.
    pub fn measures(&self, minds: &Minds, embeddings: &Embeddings, horizon: usize) -> Result<Measures> {
        let recorded_critic = self.recorded_critic()?;
        Ok(Measures {
            limits: self.limits(&minds.model, embeddings),
            moments: self.known_moments(minds, embeddings, (&recorded_critic, horizon)),
            recorded_critic,
        })
    }

    /// Imagines the arms, and the logged replay if it is not among them, and ranks them.
    ///
    /// # Errors
    /// As [`Self::imagine_arm`].
    pub fn compare(
        &self,
        minds: &Minds,
        embeddings: &Embeddings,
        arms: &[Arm],
        options: &ForkOptions,
        measures: &Measures,
    ) -> Result<Comparison> {
        let logged = self.imagine_arm(minds, embeddings, &Arm::Logged, options)?;
        let (reference, check) = (logged.values(), self.check_logged(embeddings, &logged, options, measures));
        let record = record_without(&measures.moments, options.track);
        let row = |arm: &Arm, branch: &Branch| {
            let against = (*arm != Arm::Logged).then_some((reference.as_slice(), &record));
            row(arm, branch, against, &measures.limits, (options, self.config.seed))
        };
        let mut ranked = vec![(row(&Arm::Logged, &logged), Arm::Logged, logged)];
        for arm in arms.iter().filter(|arm| **arm != Arm::Logged) {
            let branch = self.imagine_arm(minds, embeddings, arm, options)?;
            ranked.push((row(arm, &branch), arm.clone(), branch));
        }
        // The replay is as good as itself: what is probably worse stands below it.
        let rank = |row: &ArmRow| (row.likely_better().unwrap_or(0.5), row.gain_over_logged.unwrap_or(0.0));
        ranked.sort_by(|(a, ..), (b, ..)| {
            let ((pa, ga), (pb, gb)) = (rank(a), rank(b));
            pb.total_cmp(&pa).then(gb.total_cmp(&ga))
        });
        let views =
            ranked.iter().map(|(_, arm, branch)| self.arm_view((minds, embeddings), arm, branch, options)).collect();
        let (rows, futures): (Vec<ArmRow>, Vec<(Arm, Branch)>) =
            ranked.into_iter().map(|(row, arm, branch)| (row, (arm, branch))).unzip();
        let moments_known = record.imagined.len();
        let verdict = verdict(&rows, options.horizon, moments_known);
        let view = BranchView {
            arms: views,
            table: format!("{}\n{}\n", table(&rows, options.horizon), self.what_return_means(options.horizon)),
            verdict: format!("### {}\n\n{}\n\n{}\n", verdict.decision, verdict.why, check.in_words()),
            ..self.bare_view(options, &measures.limits)
        };
        Ok(Comparison { rows, futures, moments_known, check, verdict, view })
    }

    /// What is written under a table of returns.
    fn what_return_means(&self, horizon: usize) -> String {
        let who = if self.judges_by_improved_values() { "the improved policy" } else { "the recorded behaviour" };
        format!("return: {horizon} imagined steps, then as {who} goes on.")
    }

    /// What a view says of the moment itself.
    fn bare_view(&self, options: &ForkOptions, limits: &Limits) -> BranchView {
        let ForkOptions { track, step, horizon, .. } = *options;
        let t = &self.corpus.tracks[track];
        let after = (step + 1).min(t.len)..(step + 1 + horizon).min(t.len);
        let cameras = self.dataset.spec.cameras.iter().enumerate();
        BranchView {
            name: format!("episode {} at step {step}", self.dataset.episodes[t.episode].index),
            fps: self.dataset.spec.control_rate_hz,
            fork_step: step,
            real: RealView {
                cameras: cameras
                    .filter(|_| !after.is_empty())
                    .map(|(c, camera)| (camera.key.clone(), self.real_frames(c, track, after.clone())))
                    .collect(),
                reward: t.reward[step..(step + horizon).min(t.len)].to_vec(),
            },
            action_names: self.dataset.spec.action.names.clone(),
            draws: options.samples,
            doubt_budget: Some(limits.doubt_budget),
            disagreement_limit: Some(limits.disagreement_95),
            ..BranchView::default()
        }
    }

    fn arm_view(
        &self,
        (minds, embeddings): (&Minds, &Embeddings),
        arm: &Arm,
        branch: &Branch,
        options: &ForkOptions,
    ) -> ArmView {
        let latents = &branch.imagined.latents;
        let (mut cameras, mut spread) = (Vec::new(), Vec::new());
        for (c, camera) in self.dataset.spec.cameras.iter().enumerate() {
            let at = (options.track, options.step);
            let (frames, heat) = self.shown_draws((minds, embeddings), c, latents, at);
            cameras.push((camera.key.clone(), frames));
            if options.samples > 1 {
                spread.push((camera.key.clone(), heat));
            }
        }
        let values: Vec<Vec<f32>> = latents.iter().map(|latent| sorted(floats(minds.critic.mean(&latent.e)))).collect();
        let edge = |share: f32| values.iter().map(|v| v[((v.len() - 1) as f32 * share).round() as usize]).collect();
        ArmView {
            name: arm.to_string(),
            is_logged: *arm == Arm::Logged,
            cameras,
            spread,
            action: self.raw_actions(branch, 0),
            value: values.iter().map(|v| v.iter().sum::<f32>() / v.len() as f32).collect(),
            value_band: [edge(0.1), edge(0.9)],
            success_probability: solved_by(&ended_by(&branch.imagined.predictions)),
            disagreement: branch.series(|p| &p.disagreement),
            doubt: running_sum(&branch.series(|p| &p.doubt)),
            reward: branch.series(|p| &p.reward),
            return_mean: branch.outcome.value.clone().mean().into_scalar(),
        }
    }

    /// Actions of one draw in the data's units, `[H, A]`.
    pub(super) fn raw_actions(&self, branch: &Branch, draw: usize) -> Vec<Vec<f32>> {
        let normaliser = &self.corpus.action_normaliser;
        let raw = |action: &Tensor<2>| {
            let row = floats(action.clone().narrow(0, draw, 1));
            let mut raw = vec![0.0; row.len()];
            normaliser.denormalise(&row, &mut raw);
            raw.truncate(self.dataset.spec.action_len());
            raw
        };
        branch.imagined.actions.iter().map(raw).collect()
    }

    /// One camera's pictures of the first draw, and how far all draws disagree about each pixel, a picture per step.
    fn shown_draws(
        &self,
        (minds, embeddings): (&Minds, &Embeddings),
        camera: usize,
        latents: &[Latent],
        reference: (usize, usize),
    ) -> (Vec<Frame>, Vec<Frame>) {
        let paint = self.painter(&minds.model, camera, reference, embeddings);
        let shown = latents.iter().map(|latent| {
            let mut draws = paint(&latent.e);
            let spread = pixel_spread(&draws);
            let first = draws.swap_remove(0);
            let heat = first.heat(&spread);
            (first, heat)
        });
        shown.unzip()
    }
}

/// Standard deviation of each pixel over pictures of one size, root mean square over its colours, in grey levels of 255.
fn pixel_spread(pictures: &[Frame]) -> Vec<f32> {
    let n = pictures.len() as f32;
    let variance = |i: usize| {
        let mean = pictures.iter().map(|p| f32::from(p.rgb[i])).sum::<f32>() / n;
        pictures.iter().map(|p| (f32::from(p.rgb[i]) - mean).powi(2)).sum::<f32>() / n
    };
    let pixels = pictures.first().map_or(0, |p| p.rgb.len()) / 3;
    (0..pixels).map(|p| ((0..3).map(|c| variance(3 * p + c)).sum::<f32>() / 3.0).sqrt()).collect()
}

fn sorted(mut values: Vec<f32>) -> Vec<f32> {
    values.sort_by(f32::total_cmp);
    values
}

fn running_sum(values: &[f32]) -> Vec<f32> {
    let sum = values.iter().scan(0.0, |sum, value| {
        *sum += value;
        Some(*sum)
    });
    sum.collect()
}

/// Probability of success by each step, mean over draws `[B][H]`.
fn solved_by(ended: &[Vec<[f32; 2]>]) -> Vec<f32> {
    let steps = ended.first().map_or(0, Vec::len);
    (0..steps).map(|k| ended.iter().map(|row| row[k][0]).sum::<f32>() / ended.len() as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_and_sums_by_hand() {
        // First pixel: red 0 and 10, deviation 5; over three colours 5/√3. Second pixel the same in both.
        let picture = |red: u8| Frame { size: 1, rgb: vec![red, 7, 7, 1, 2, 3] };
        let spread = pixel_spread(&[picture(0), picture(10)]);
        assert!((spread[0] - 5.0 / 3.0f32.sqrt()).abs() < 1e-5 && spread[1] == 0.0, "{spread:?}");
        assert_eq!(running_sum(&[0.5, 0.25, 1.0]), [0.5, 0.75, 1.75]);
        // One draw in two succeeds at once, for sure: never more than a half of them.
        let ended = [vec![[1.0, 0.0], [1.0, 0.0]], vec![[0.0, 0.5], [0.0, 0.75]]];
        assert_eq!(solved_by(&ended), [0.5, 0.5]);
    }
}
