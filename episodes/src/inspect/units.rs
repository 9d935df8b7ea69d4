//! Numbers in two units: between state and action, between episodes, within one vector.

use std::collections::BTreeMap;

use super::follow::Pair;
use crate::holes::name_episodes;
use crate::normaliser::Moments;
use crate::{DatasetSpec, Episode, VectorFeature};

/// A factor between two spellings of one quantity.
struct Factor {
    /// Larger number over smaller number.
    ratio: f64,
    /// The two spellings: of the larger numbers, of the smaller ones.
    spellings: (&'static str, &'static str),
}

const FACTORS: [Factor; 4] = [
    Factor { ratio: 180.0 / std::f64::consts::PI, spellings: ("degrees", "radians") },
    Factor { ratio: 100.0, spellings: ("percent or cm", "0 to 1 or m") },
    Factor { ratio: 255.0, spellings: ("0 to 255", "0 to 1") },
    Factor { ratio: 1000.0, spellings: ("mm", "m") },
];

/// How far a ratio may be from a factor.
const FACTOR_TOLERANCE: f64 = 0.15;

/// Correlation below which state and action are not taken for the same quantity.
const SAME_QUANTITY_R: f64 = 0.8;

/// Episodes in one unit are not this many times larger than each other; between the two units there is more.
const SAME_UNIT_RATIO: f64 = 4.0;

/// Largest angle in radians that a joint is expected to have: one turn.
const LARGEST_RADIANS: f64 = std::f64::consts::TAU;

/// From here on an angle is hardly in radians, nor a gripper between 0 and 1.
const SMALLEST_LARGE: f64 = 20.0;

/// Parts of names of angles and of grippers.
const ANGLES: [&str; 14] = [
    "joint", "shoulder", "elbow", "wrist", "pitch", "roll", "yaw", "hip", "knee", "ankle", "waist", "pan", "flex",
    "angle",
];
const GRIPPERS: [&str; 4] = ["grip", "finger", "jaw", "claw"];

/// Position of the factor that `ratio` is about.
fn factor_near(ratio: f64) -> Option<usize> {
    FACTORS.iter().position(|factor| (ratio / factor.ratio - 1.0).abs() < FACTOR_TOLERANCE)
}

/// Pairs that move together, one so many times as far as the other; equal factors are told together.
pub(super) fn between_state_and_action(pairs: &[Pair], state: &[Moments], action: &[Moments]) -> Vec<String> {
    let mut groups: BTreeMap<(usize, bool), Vec<&Pair>> = BTreeMap::new();
    for pair in pairs.iter().filter(|pair| pair.follow.r_next >= SAME_QUANTITY_R) {
        let ratio = action[pair.action].std() / state[pair.state].std();
        let larger_action = factor_near(ratio).map(|number| (number, true));
        if let Some(group) = larger_action.or_else(|| factor_near(1.0 / ratio).map(|number| (number, false))) {
            groups.entry(group).or_default().push(pair);
        }
    }
    let doubt = |((number, is_action), pairs): ((usize, bool), Vec<&Pair>)| {
        let (large, small) = FACTORS[number].spellings;
        let (of_action, of_state) = if is_action { (large, small) } else { (small, large) };
        let first = pairs.first()?;
        let more = if pairs.len() > 1 { format!(" (and {} more likewise)", pairs.len() - 1) } else { String::new() };
        Some(format!(
            "{} moves with {} but spreads over {:.4} against {:.4}{more}: the action in {of_action}, the state in {of_state}?",
            first.follow.action,
            first.follow.state,
            action[first.action].std(),
            state[first.state].std()
        ))
    };
    groups.into_iter().filter_map(doubt).collect()
}

/// Elements that are so many times as large in some episodes as in the others.
pub(super) fn between_episodes(spec: &DatasetSpec, episodes: &[Episode]) -> Vec<String> {
    // Elements that change their unit in the same episodes are told together.
    let mut changes: BTreeMap<(usize, Vec<usize>), Vec<String>> = BTreeMap::new();
    let mut look = |features: &[VectorFeature], values: fn(&Episode) -> &[f32]| {
        let width: usize = features.iter().map(|f| f.len).sum();
        for (f, i, name) in features.iter().flat_map(|f| f.names.iter().enumerate().map(move |(i, n)| (f, i, n))) {
            let sizes = episodes.iter().map(|e| (largest(values(e), f.offset + i, width), e.index)).collect();
            if let Some(change) = two_sizes(sizes) {
                changes.entry(change).or_default().push(format!("{}/{name}", f.key));
            }
        }
    };
    look(&spec.state, |e| &e.state);
    look(std::slice::from_ref(&spec.action), |e| &e.action);
    let doubt = |((number, larger), names): ((usize, Vec<usize>), Vec<String>)| {
        let factor = &FACTORS[number];
        // One element of one episode may be that large by chance.
        let is_chance = names.len() == 1 && (larger.len() == 1 || larger.len() + 1 == episodes.len());
        (!is_chance).then(|| {
            let (large, small) = factor.spellings;
            let ratio = factor.ratio.round();
            let others = episodes.len() - larger.len();
            format!(
                "{} about {ratio} times as large in {} as in the other {others}: {large} there, {small} here?",
                listed(&names),
                name_episodes(&larger)
            )
        })
    };
    changes.into_iter().filter_map(doubt).collect()
}

fn largest(values: &[f32], element: usize, width: usize) -> f64 {
    values.chunks_exact(width.max(1)).map(|row| f64::from(row[element].abs())).fold(0.0, f64::max)
}

/// `a is`, `a and b are`, `a and 5 more are`.
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => format!("{one} is"),
        [one, two] => format!("{one} and {two} are"),
        [first, rest @ ..] => format!("{first} and {} more are", rest.len()),
    }
}

/// The factor (position) between two groups of sizes, and the episodes of the larger one, ascending.
fn two_sizes(mut sizes: Vec<(f64, usize)>) -> Option<(usize, Vec<usize>)> {
    // An element that stays at zero for an episode has no size there.
    if sizes.iter().any(|(size, _)| *size <= 0.0) {
        return None;
    }
    sizes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let ratio = |i: usize| sizes[i].0 / sizes[i - 1].0;
    let cut = (1..sizes.len()).max_by(|&a, &b| ratio(a).total_cmp(&ratio(b)))?;
    let (small, large) = sizes.split_at(cut);
    let spread = |group: &[(f64, usize)]| group[group.len() - 1].0 / group[0].0;
    let middle = |group: &[(f64, usize)]| group[group.len() / 2].0;
    let is_apart =
        [small, large].into_iter().all(|group| spread(group) <= SAME_UNIT_RATIO) && ratio(cut) > SAME_UNIT_RATIO;
    let apart = middle(large) / middle(small);
    let number = factor_near(apart)?;
    let mut larger: Vec<usize> = large.iter().map(|(_, index)| *index).collect();
    larger.sort_unstable();
    is_apart.then_some((number, larger))
}

/// Angles that are hardly in radians, and grippers that hardly run from 0 to 1, in a vector whose other elements may be.
pub(super) fn within_vectors(spec: &DatasetSpec, state: &[Moments], action: &[Moments]) -> Vec<String> {
    let vectors = spec.state.iter().map(|f| (f, state)).chain([(&spec.action, action)]);
    vectors.flat_map(|(feature, moments)| within_vector(feature, &moments[feature.offset..][..feature.len])).collect()
}

fn within_vector(feature: &VectorFeature, moments: &[Moments]) -> Vec<String> {
    let size = |m: &Moments| m.max().abs().max(m.min().abs());
    let (large, small): (Vec<usize>, Vec<usize>) =
        (0..moments.len()).partition(|&i| size(&moments[i]) >= SMALLEST_LARGE);
    let others = small.iter().map(|&i| size(&moments[i])).fold(0.0, f64::max);
    // A few large ones among many small ones: in degrees, a joint that hardly moves is small too.
    if large.is_empty() || 2 * large.len() >= small.len() || others > LARGEST_RADIANS {
        return Vec::new();
    }
    let doubt = |&i: &usize| {
        let name = feature.names[i].to_lowercase();
        let is = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
        let unit = match (is(&GRIPPERS), is(&ANGLES)) {
            (true, _) => "a gripper in percent or mm",
            (false, true) => "an angle in degrees",
            _ => return None,
        };
        let (min, max) = (moments[i].min(), moments[i].max());
        Some(format!(
            "{}/{} runs from {min:.1} to {max:.1}, the other elements stay within ±{others:.1}: {unit} beside radians or m?",
            feature.key, feature.names[i]
        ))
    };
    large.iter().filter_map(doubt).collect()
}

#[cfg(test)]
mod tests;
