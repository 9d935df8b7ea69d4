//! Success that the reward tells: of many tasks success is a level of the reward (how well the block covers its target), and a level is known
//! from all steps, where the few that succeeded teach a network of states little about which nearly did.
//!
//! ```text
//! success  ⇔  r̂ ≥ level       as many recorded steps are read as successes as there were
//! ```
//! It holds where every recorded success has a larger reward than any other step. The level is one of what is *read*, so that readings which
//! are all too low there do no harm; at it a success is missed as often as another step is taken for one. What comes of it is yes or no and no
//! probability: a reading that is wrong stays so from step to step, and a block that rests just short of its target would otherwise succeed by
//! resting, a small chance at a time.

use burn::tensor::Tensor;

use super::Ensemble;
use crate::agreement::mean;
use crate::corpus::Sequence;
use crate::vision::floats;

/// One recorded step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The reward that is read of it, `r̂`.
    pub read: f32,
    /// The reward that was recorded.
    pub reward: f32,
    /// It led to success.
    pub success: bool,
}

/// Fewer successes than this say nothing of where they begin.
const LEAST_SUCCESSES: usize = 5;

/// The reward from which on a step succeeds, from all recorded steps; `None` where successes are few or not told from the rest by their reward.
pub fn level(steps: &[Reading]) -> Option<f32> {
    let of = |success: bool| steps.iter().filter(move |step| step.success == success);
    let least = of(true).map(|step| step.reward).fold(f32::MAX, f32::min);
    let most = of(false).map(|step| step.reward).fold(f32::MIN, f32::max);
    let successes = of(true).count();
    if successes < LEAST_SUCCESSES || successes == steps.len() || least <= most {
        return None;
    }
    // A reading that does not rise with success is none.
    let [with, without] =
        [true, false].map(|success| mean(of(success).map(|step| step.read).collect::<Vec<_>>().into_iter()));
    let mut read: Vec<f32> = steps.iter().map(|step| step.read).collect();
    read.sort_by(|a, b| b.total_cmp(a));
    (with > without).then(|| (read[successes - 1] + read[successes]) / 2.0)
}

impl Ensemble {
    /// The reward has a network of its own.
    pub fn reads_reward(&self) -> bool {
        self.reward.is_some()
    }

    /// What the steps of sequences are worth and what is read of it; none where the reward has no network of its own.
    pub fn readings(&self, s: Sequence) -> Vec<Reading> {
        let [batch, steps, _] = s.action.dims();
        let all = Tensor::ones([steps, self.count, batch], &s.action.device());
        let [reward, success, taken] = [s.reward.clone(), s.success.clone(), s.taken.clone()].map(floats);
        // Nothing is read of steps further ahead.
        let single = Self { many_step: 0.0, ..self.clone() };
        let Some(read) = single.terms(s, all).read.map(floats) else { return Vec::new() };
        let steps = read.into_iter().zip(reward).zip(success.into_iter().zip(taken));
        let steps = steps.filter(|(_, (_, taken))| *taken > 0.0);
        steps.map(|((read, reward), (success, _))| Reading { read, reward, success: success > 0.0 }).collect()
    }

    /// Takes success from the reward that is read, where that is what the recordings do.
    pub fn tell_success(&mut self, readings: &[Reading]) {
        if let Some(level) = level(readings) {
            self.ends.tell(level);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::noise::generator;

    /// Steps of reward 0 to 1, success from 0.95 on, read with errors up to `off` either way.
    fn steps(count: usize, off: f32) -> Vec<Reading> {
        let mut rng = generator(0, "readings", 0);
        let mut step = |i: usize| {
            let reward = i as f32 / count as f32;
            let read = reward + off * (2.0 * rng.random::<f32>() - 1.0);
            Reading { read, reward, success: reward >= 0.95 }
        };
        (0..count).map(&mut step).collect()
    }

    #[test]
    fn success_begins_where_readings_of_it_do() {
        for off in [0.005, 0.04] {
            let level = level(&steps(2000, off)).expect("the reward tells success");
            assert!((level - 0.95).abs() < 0.002 + 0.2 * off, "{level} with errors of {off}");
        }
    }

    #[test]
    fn what_is_read_too_low_succeeds_where_it_is_read() {
        let mut low = steps(2000, 0.01);
        low.iter_mut().for_each(|step| step.read -= 0.1 * step.reward);
        let level = level(&low).expect("the reward tells success");
        assert!((level - 0.855).abs() < 0.006, "{level}");
    }

    #[test]
    fn where_the_reward_does_not_tell_success_nothing_is_told() {
        let of = |change: fn(&mut Reading)| {
            let mut steps = steps(2000, 0.01);
            steps.iter_mut().for_each(change);
            level(&steps)
        };
        assert_eq!(of(|step| step.success = false), None, "no success");
        assert_eq!(of(|step| step.success = step.reward > 0.9985), None, "few");
        assert_eq!(of(|step| step.success |= step.reward == 0.5), None, "one of half the reward");
        assert_eq!(of(|step| step.reward = 0.0), None, "no reward");
        assert_eq!(of(|step| step.read = -step.read), None, "read the wrong way round");
        assert_eq!(level(&[]), None);
    }
}
