//! Policies to judge: those of a run, and the same with their actions changed, `improved+noise:0.5`.
//!
//! A judge is only as good as the range of policies it can tell apart. A policy with noise, a bias or a wrong gain is a
//! policy like any other; how well each does is known where there is a simulator, and can be tried on a robot.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Device, Tensor, TensorData};
use episodes::Normaliser;
use rand::RngExt;
use rand::rngs::StdRng;
use world_model::noise;
use world_model::vision::floats;

use super::distilling::{DISTILLED, DISTILLED_PLAN};
use super::learn::EXPLORER;
use crate::config_file::nearest;
use crate::errors::UsageError;

/// Where the actions come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// Uniform over the range of the recorded actions.
    Random,
    /// Always the mean recorded action.
    Mean,
    /// Always 0 in the units of the recording: a robot that is told speeds or differences stands still.
    Idle,
    /// The first recorded action of the start's episode, held: a robot that is told positions stays there.
    Hold,
    /// The recorded actions of the start's episode, replayed without looking.
    Logged,
    /// What was recorded.
    Behaviour,
    /// The cloned policy.
    Cloned,
    /// The improved policy: what `improve` returns.
    Improved,
    /// A plan made anew every few steps.
    Planned,
    /// The improved policy of the run that this one goes on from.
    Previous,
    /// The best copy that improvement came to, whether or not it was returned.
    Candidate,
    /// The copy after the last update of improvement, whatever was judged of it.
    Last,
    /// What `distil` made of the improved policy.
    Distilled,
    /// What `distil` made of planning.
    DistilledPlan,
    /// The clone of everything from which improvement drew its alternatives, where the clone learned from a part.
    Explorer,
}

impl Base {
    fn name(self) -> &'static str {
        NAMED.iter().find(|(_, base)| *base == self).map_or("", |(name, _)| name)
    }

    /// Element `i` of a raw action by a rule that needs no start: random, idle, or else the mean recorded one.
    pub fn ruled(self, recorded: &Normaliser, i: usize, rng: &mut StdRng) -> f32 {
        match self {
            Self::Random => recorded.min[i] + (recorded.max[i] - recorded.min[i]) * rng.random::<f32>(),
            Self::Idle => 0.0,
            _ => recorded.mean[i],
        }
    }
}

/// What is done to normalised actions: 1 is a standard deviation of the recorded ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// Normal noise of this standard deviation, anew at every step.
    Noise(f32),
    /// This much is added.
    Bias(f32),
    /// Actions about their mean times this.
    Gain(f32),
}

/// A policy by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// Whose actions.
    pub base: Base,
    /// Done to them, in order.
    pub changes: Vec<Change>,
}

/// The copy after the last update of improvement, as a policy's and a file's name.
pub(super) const LAST: &str = "last";

/// Policies by name.
const NAMED: [(&str, Base); 15] = [
    ("random", Base::Random),
    ("mean", Base::Mean),
    ("idle", Base::Idle),
    ("hold", Base::Hold),
    ("logged", Base::Logged),
    ("behaviour", Base::Behaviour),
    ("planned", Base::Planned),
    ("cloned", Base::Cloned),
    ("improved", Base::Improved),
    ("candidate", Base::Candidate),
    (LAST, Base::Last),
    (EXPLORER, Base::Explorer),
    (DISTILLED, Base::Distilled),
    (DISTILLED_PLAN, Base::DistilledPlan),
    ("previous", Base::Previous),
];

const EXPECTED: &str = "random, mean, idle, hold, logged, behaviour, planned, cloned, improved, candidate, last, (where the clone learned from the best) explorer, (after distil) distilled and distilled_plan or (after --more) previous, the last nine also with +noise:S, +bias:B or +gain:G (in standard deviations of the recorded actions)";

impl Variant {
    /// The policy network it needs, if any.
    pub fn network(&self) -> Option<&'static str> {
        let is_network = matches!(
            self.base,
            Base::Cloned
                | Base::Improved
                | Base::Previous
                | Base::Candidate
                | Base::Last
                | Base::Distilled
                | Base::DistilledPlan
                | Base::Explorer
        );
        is_network.then(|| self.base.name())
    }

    /// Whether it follows a rule that nobody has learned, so that asking recorded steps about it tells little.
    pub fn is_scripted(&self) -> bool {
        matches!(self.base, Base::Mean | Base::Idle | Base::Hold | Base::Logged)
    }

    /// Normalised actions `[B, chunk*A]`, changed, but kept within what was recorded as the robot's are; `recorded` is of `A` elements.
    pub fn change(&self, actions: Tensor<2>, recorded: &Normaliser, rng: &mut StdRng) -> Tensor<2> {
        if self.changes.is_empty() {
            return actions;
        }
        let ([_, width], device) = (actions.dims(), actions.device());
        let bound = |of: &[f32]| {
            let unit = (0..width).map(|i| i % recorded.dim()).map(|i| (of[i] - recorded.mean[i]) / recorded.std[i]);
            Tensor::<2>::from_data(TensorData::new(unit.collect::<Vec<f32>>(), [1, width]), &device)
        };
        self.apply(actions, rng).max_pair(bound(&recorded.min)).min_pair(bound(&recorded.max))
    }

    fn apply(&self, actions: Tensor<2>, rng: &mut StdRng) -> Tensor<2> {
        self.changes.iter().fold(actions, |actions, change| match *change {
            Change::Noise(scale) => {
                let noise = noise::normal(actions.dims(), rng, &actions.device());
                actions + noise * scale
            }
            Change::Bias(by) => actions + by,
            Change::Gain(factor) => actions * factor,
        })
    }
}

impl Variant {
    /// Raw actions, rows of `len` elements, changed as normalised ones are and kept within what was recorded.
    pub fn changed(
        &self,
        mut raw: Vec<f32>,
        (normaliser, len): (&Normaliser, usize),
        (rng, device): (&mut StdRng, &Device),
    ) -> Vec<f32> {
        if self.changes.is_empty() || raw.is_empty() {
            return raw;
        }
        // A normaliser may be longer: of a longer robot that was learned from, too.
        let scale = |i: usize| (normaliser.mean[i % len], normaliser.std[i % len]);
        let unit = raw.iter().enumerate().map(|(i, x)| (x - scale(i).0) / scale(i).1).collect();
        let unit = Tensor::from_data(TensorData::new::<f32, _>(unit, [1, raw.len()]), device);
        for (i, (x, unit)) in raw.iter_mut().zip(floats(self.apply(unit, rng))).enumerate() {
            *x = (scale(i).0 + scale(i).1 * unit).max(normaliser.min[i % len]).min(normaliser.max[i % len]);
        }
        raw
    }
}

impl FromStr for Variant {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, UsageError> {
        let mut parts = text.split('+');
        let name = parts.next().unwrap_or_default();
        let wrong = || {
            let near = nearest(name, NAMED.iter().map(|(name, _)| *name), 0.6).filter(|near| *near != name);
            UsageError(match near {
                Some(near) => format!("no policy '{text}'; did you mean '{near}'?"),
                None => format!("no policy '{text}'; expected {EXPECTED}"),
            })
        };
        let (_, base) = *NAMED.iter().find(|(known, _)| *known == name).ok_or_else(wrong)?;
        let change = |part: &str| {
            let (what, value) = part.split_once(':')?;
            let value = value.parse::<f32>().ok().filter(|v| v.is_finite())?;
            match what {
                "noise" if value >= 0.0 => Some(Change::Noise(value)),
                "bias" => Some(Change::Bias(value)),
                "gain" => Some(Change::Gain(value)),
                _ => None,
            }
        };
        let changes = parts.map(|part| change(part).ok_or_else(wrong)).collect::<Result<Vec<_>, _>>()?;
        let variant = Self { base, changes };
        if !variant.changes.is_empty() && variant.network().is_none() && base != Base::Planned {
            return Err(wrong());
        }
        Ok(variant)
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base.name())?;
        self.changes.iter().try_for_each(|change| match change {
            Change::Noise(x) => write!(f, "+noise:{x}"),
            Change::Bias(x) => write!(f, "+bias:{x}"),
            Change::Gain(x) => write!(f, "+gain:{x}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_as_they_are_written_and_wrong_ones_are_one_sentence() {
        let changed = ["improved+noise:0.5", "planned+gain:0.5", "explorer+noise:1", "cloned+gain:0.5+bias:-0.2"];
        for name in NAMED.iter().map(|(name, _)| *name).chain(changed) {
            assert_eq!(name.parse::<Variant>().map(|v| v.to_string()).ok().as_deref(), Some(name));
        }
        for name in ["best", "improved+noise", "improved+noise:-1", "random+noise:1", "improved+gain:nan", ""] {
            let message = name.parse::<Variant>().expect_err("no policy").to_string();
            assert!(message.contains(&format!("'{name}'")) && message.contains("+noise:S"), "{message}");
        }
        let near = |name: &str| name.parse::<Variant>().expect_err("no policy").to_string();
        assert_eq!(near("imporved"), "no policy 'imporved'; did you mean 'improved'?");
        assert_eq!(near("distiled+noise:1"), "no policy 'distiled+noise:1'; did you mean 'distilled'?");
    }

    #[test]
    fn rules_stay_within_what_was_recorded() {
        let recorded = Normaliser { mean: vec![9.0], min: vec![8.0], max: vec![12.0], ..Normaliser::identity(1) };
        let mut rng = noise::generator(0, "variant", 0);
        assert_eq!([Base::Idle, Base::Mean].map(|rule| rule.ruled(&recorded, 0, &mut rng)), [0.0, 9.0]);
        let drawn: Vec<f32> = (0..100).map(|_| Base::Random.ruled(&recorded, 0, &mut rng)).collect();
        assert!(drawn.iter().all(|x| (8.0..=12.0).contains(x)));
        assert!(drawn.iter().any(|x| *x < 9.0) && drawn.iter().any(|x| *x > 11.0));
    }

    #[test]
    fn raw_actions_are_changed_in_deviations_of_the_recorded_ones() -> Result<(), UsageError> {
        let recorded = Normaliser {
            mean: vec![10.0, 0.0, 9.0],
            std: vec![2.0, 1.0, 9.0],
            min: vec![0.0, -0.5, 0.0],
            max: vec![12.5, 3.0, 0.0],
        };
        let (mut rng, device) = (noise::generator(0, "variant", 0), Device::default());
        let variant: Variant = "planned+bias:1+gain:0.5".parse()?;
        let changed = variant.changed(vec![14.0, 0.0, 10.0, -3.0], (&recorded, 2), (&mut rng, &device));
        // In deviations 2, 0, 0, -3: (3, 1, 1, -2) / 2, raw 13, 0.5, 11, -1; no further than recorded.
        assert_eq!(changed, [12.5, 0.5, 11.0, -0.5]);
        Ok(())
    }

    #[test]
    fn changes_by_hand_in_their_order() -> Result<(), UsageError> {
        let actions = || Tensor::<2>::from_floats([[1.0, -2.0]], &Device::default());
        let recorded = Normaliser { min: vec![-5.0], max: vec![1.2], ..Normaliser::identity(1) };
        let mut rng = noise::generator(0, "variant", 0);
        let changed =
            |name: &str, rng: &mut StdRng| Ok(floats(name.parse::<Variant>()?.change(actions(), &recorded, rng)));
        assert_eq!(changed("cloned+gain:0.5+bias:1", &mut rng)?, [1.2, 0.0], "no further than recorded");
        assert_eq!(changed("cloned+bias:1+gain:0.5", &mut rng)?, [1.0, -0.5]);
        assert_eq!(changed("cloned+noise:0", &mut rng)?, [1.0, -2.0]);
        assert_ne!(changed("cloned+noise:0.1", &mut rng)?, [1.0, -2.0]);
        Ok(())
    }
}
