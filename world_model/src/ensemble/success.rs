//! Success that the reward tells: of many tasks success is a level of the reward (how well the block covers its target), and a level is known
//! from all steps, where the few that succeeded teach a network of states little about which nearly did.
//!
//! ```text
//! P(y = 1) = σ(a r̂ + b)        logistic regression over recorded steps on the reward r̂ that is read of them
//! success  ⇔  r̂ ≥ -b / a       the reward of an even chance
//! ```
//! It holds where every recorded success has a larger reward than any other step. The regression is on what is *read*, not on what was
//! recorded, so that it knows where readings of successes lie. What comes of it is yes or no and no probability: a reading that is wrong
//! stays so from step to step, and a block that rests just short of its target would otherwise succeed by resting, a small chance at a time.

use crate::agreement::mean;

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

/// Steps of Newton's method, far more than it takes.
const STEPS: usize = 100;

/// The reward from which on a step succeeds, from all recorded steps; `None` where successes are few or not told from the rest by their reward.
pub fn level(steps: &[Reading]) -> Option<f32> {
    let of = |success: bool| steps.iter().filter(move |step| step.success == success);
    let least = of(true).map(|step| step.reward).fold(f32::MAX, f32::min);
    let most = of(false).map(|step| step.reward).fold(f32::MIN, f32::max);
    if of(true).count() < LEAST_SUCCESSES || of(false).count() == 0 || least <= most {
        return None;
    }
    let read: Vec<f64> = of(true).map(|step| f64::from(step.read)).collect();
    let centre = mean(read.iter().copied());
    let deviation = mean(read.iter().map(|read| (read - centre).powi(2))).sqrt();
    let unit = deviation.max(1e-4 * f64::from(least - most).abs()).max(1e-6);
    // In deviations of the successes: logit = a z + b.
    let z: Vec<(f64, bool)> = steps.iter().map(|s| ((f64::from(s.read) - centre) / unit, s.success)).collect();
    let (a, b) = logistic(&z);
    // A reading that does not rise with success is none.
    (a > 0.0).then(|| (centre - b / a * unit) as f32)
}

/// Slope and offset of greatest likelihood, by Newton's method with steps halved until they help.
fn logistic(z: &[(f64, bool)]) -> (f64, f64) {
    let loss = |(a, b): (f64, f64)| -> f64 {
        let softplus = |x: f64| if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() };
        let each = z.iter().map(|&(z, y)| softplus(if y { -(a * z + b) } else { a * z + b }));
        each.sum::<f64>() + RIDGE * a * a
    };
    let (mut at, mut best) = ((1.0, 0.0), loss((1.0, 0.0)));
    for _ in 0..STEPS {
        let (a, b) = at;
        let (mut ga, mut gb, mut haa, mut hab, mut hbb) = (2.0 * RIDGE * a, 0.0, 2.0 * RIDGE, 0.0, 1e-9);
        for &(z, y) in z {
            let p = 1.0 / (1.0 + (-(a * z + b)).exp());
            let (off, weight) = (p - f64::from(u8::from(y)), p * (1.0 - p));
            (ga, gb) = (ga + off * z, gb + off);
            (haa, hab, hbb) = (haa + weight * z * z, hab + weight * z, hbb + weight);
        }
        let determinant = haa * hbb - hab * hab;
        let (da, db) = match determinant > 1e-12 {
            true => ((hbb * ga - hab * gb) / determinant, (haa * gb - hab * ga) / determinant),
            false => (ga / haa, gb / hbb.max(1e-3)),
        };
        let step = (0..30).map(|halved| 0.5f64.powi(halved)).find_map(|share| {
            let to = (a - share * da, b - share * db);
            let found = loss(to);
            (found < best).then_some((to, found))
        });
        let Some((to, found)) = step else { break };
        let gain = best - found;
        (at, best) = (to, found);
        if gain < 1e-9 {
            break;
        }
    }
    at
}

/// Keeps the slope finite where the readings tell all.
const RIDGE: f64 = 1e-3;

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
    fn the_likelihood_is_greatest_there() {
        let z: Vec<(f64, bool)> =
            [(-2.0, false), (-1.0, false), (-0.5, true), (0.0, false), (0.5, true), (1.5, true)].to_vec();
        let (a, b) = logistic(&z);
        // Both slopes of the loss are 0.
        let slope = |f: fn(f64) -> f64| -> f64 {
            z.iter().map(|&(z, y)| f(z) * (1.0 / (1.0 + (-(a * z + b)).exp()) - f64::from(u8::from(y)))).sum()
        };
        assert!((slope(|z| z) + 2.0 * RIDGE * a).abs() < 1e-4 && slope(|_| 1.0).abs() < 1e-4, "{a} {b}");
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
