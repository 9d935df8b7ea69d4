//! What is known to be true of a fork: its recorded continuation, and how wrong imagination was about those of other episodes.

use burn::tensor::Tensor;
use rand::RngExt;
use rayon::prelude::*;
use rl::{Critic, TrackRecord};
use rollouts::Branch;
use rollouts::branch::{Arm, ForkOptions, fork};
use rollouts::score::{outcome, real_return};
use serde::Serialize;
use world_model::vision::floats;
use world_model::{Embeddings, noise};

use super::comparing::Measures;
use super::record::Minds;
use super::workshop::Workshop;

/// Held-out episodes from each of which one moment is imagined.
const MOMENTS: usize = 64;
/// Draws of noise from each.
const DRAWS: usize = 4;

/// One moment of a held-out episode, imagined along its own actions.
#[derive(Clone, Copy, Debug)]
pub struct KnownMoment {
    /// The episode's track.
    pub track: usize,
    /// Return as imagined, mean over draws.
    pub imagined: f32,
    /// Return as recorded.
    pub recorded: f32,
}

/// How wrong the model was about moments of other episodes than that of `track`.
pub(super) fn record_without(moments: &[KnownMoment], track: usize) -> TrackRecord {
    let others = moments.iter().filter(|moment| moment.track != track);
    let (imagined, recorded) = others.map(|moment| (moment.imagined, moment.recorded)).unzip();
    TrackRecord { imagined, recorded }
}

/// The replay of the logged actions beside what was recorded.
#[derive(Clone, Debug, Serialize)]
pub struct LoggedCheck {
    /// Recorded steps after the fork, at most the horizon.
    pub steps: usize,
    /// How far the imagined state is from the recorded one after so many steps: root mean square over its elements, in standard
    /// deviations of the recorded states; `None` where the robot has no state or nothing was recorded after the fork.
    pub state_error_sd: Option<f64>,
    /// The same of the state at the fork, held.
    pub state_error_of_holding_sd: Option<f64>,
    /// Probability of success within the horizon, imagined.
    pub success_imagined: f64,
    /// Whether the episode succeeded within the horizon.
    pub success_recorded: bool,
    /// Return from the fork on, imagined; the value at the end is that of the recorded behaviour, who went on.
    pub return_imagined: f64,
    /// Return from the fork on, as recorded.
    pub return_recorded: f64,
}

impl LoggedCheck {
    /// In a sentence.
    pub fn in_words(&self) -> String {
        let state = match (self.state_error_sd, self.state_error_of_holding_sd) {
            (Some(error), Some(holding)) => format!(
                "after {} recorded steps its state is {error:.2} standard deviations from the recorded one (standing still would be \
                 {holding:.2}), ",
                self.steps
            ),
            _ => String::new(),
        };
        format!(
            "Check on what is known: the logged replay was imagined too; {state}success within the horizon was imagined with \
             probability {:.2} and {}, return {:.3} imagined and {:.3} recorded.",
            self.success_imagined,
            if self.success_recorded { "recorded" } else { "not recorded" },
            self.return_imagined,
            self.return_recorded
        )
    }
}

impl Workshop {
    /// Imagined and recorded returns of one moment of each of up to 64 held-out episodes, along their own actions; none where no episode is
    /// held out. The value at the end is that of the recorded behaviour, `critic`, who went on.
    pub fn known_moments(
        &self,
        minds: &Minds,
        embeddings: &Embeddings,
        (critic, horizon): (&Critic, usize),
    ) -> Vec<KnownMoment> {
        let device = self.inner();
        let value = |e: &Tensor<2>| critic.cautious(e);
        let moments =
            self.corpus.held_out.par_iter().take(MOMENTS).filter(|&&track| self.corpus.tracks[track].len > 0).map(
                |&track| {
                    let mut rng = noise::generator(self.config.seed, "moment", track as u64);
                    let step = rng.random_range(0..self.corpus.tracks[track].len);
                    let (context, seed) = (self.config.quality.context, self.config.seed);
                    let options = ForkOptions { track, step, horizon, samples: DRAWS, context, seed };
                    let branch =
                        fork(&minds.model, (&self.corpus, embeddings), &Arm::Logged, &options, &value, &device)
                            .values();
                    let imagined = branch.iter().sum::<f32>() / branch.len().max(1) as f32;
                    KnownMoment { track, imagined, recorded: self.recorded_return(track, step) }
                },
            );
        moments.collect()
    }

    fn recorded_return(&self, track: usize, step: usize) -> f32 {
        let t = &self.corpus.tracks[track];
        real_return(&t.reward[step..], t.success, t.terminated, &self.corpus.returns)
    }

    /// The logged replay of a fork against what was recorded.
    pub fn check_logged(
        &self,
        embeddings: &Embeddings,
        branch: &Branch,
        options: &ForkOptions,
        measures: &Measures,
    ) -> LoggedCheck {
        let (track, step, device) = (options.track, options.step, self.inner());
        let t = &self.corpus.tracks[track];
        let steps = options.horizon.min(t.len - 1 - step);
        // The state's part of an embedding is normalised; what follows the state in it, differences and the task, is worked out from it or
        // never changes.
        let (s, own) = (self.corpus.state_len, self.corpus.state_angles.spread_len());
        let state = |e: Tensor<2>| {
            let [_, dim] = e.dims();
            floats(e.narrow(1, dim - s, own).mean_dim(0))
        };
        let error = |a: Tensor<2>| {
            let (a, b) = (state(a), state(embeddings.gather(&[(track, step + steps)], &device)));
            let sum: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
            (sum / own as f64).sqrt()
        };
        let known = steps > 0 && own > 0;
        let imagined = branch.imagined.latents.get(steps.wrapping_sub(1)).filter(|_| known);
        let end = branch.imagined.latents.last().map_or(&branch.start, |latent| &latent.e);
        let end = measures.recorded_critic.cautious(end);
        let went_on = outcome(&branch.imagined.predictions, &self.corpus.returns, end).value;
        let mean = |x: &Tensor<1>| f64::from(x.clone().mean().into_scalar::<f32>());
        LoggedCheck {
            steps,
            state_error_sd: imagined.map(|latent| error(latent.e.clone())),
            state_error_of_holding_sd: imagined.map(|_| error(branch.start.clone())),
            success_imagined: mean(&branch.outcome.success),
            success_recorded: t.success && step + options.horizon >= t.len,
            return_imagined: mean(&went_on),
            return_recorded: f64::from(self.recorded_return(track, step)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_episode_says_nothing_of_how_wrong_the_model_is_about_itself() {
        let moments = [3, 5].map(|track| KnownMoment { track, imagined: track as f32, recorded: 1.0 });
        let expected = TrackRecord { imagined: vec![5.0], recorded: vec![1.0] };
        assert_eq!(record_without(&moments, 3), expected);
        assert_eq!(record_without(&moments, 4).imagined, [3.0, 5.0]);
    }

    #[test]
    fn the_check_is_told_with_and_without_a_state() {
        let check = LoggedCheck {
            steps: 12,
            state_error_sd: Some(0.234),
            state_error_of_holding_sd: Some(1.5),
            success_imagined: 0.1,
            success_recorded: false,
            return_imagined: 0.5,
            return_recorded: 0.625,
        };
        let words = check.in_words();
        assert!(words.contains("after 12 recorded steps its state is 0.23 standard deviations"), "{words}");
        assert!(
            words
                .contains("imagined with probability 0.10 and not recorded, return 0.500 imagined and 0.625 recorded.")
        );
        let blind = LoggedCheck { state_error_sd: None, success_recorded: true, ..check }.in_words();
        assert!(blind.contains("imagined too; success within") && blind.contains("0.10 and recorded"), "{blind}");
    }
}
