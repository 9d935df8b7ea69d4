//! Plain counts and shares.

use super::report::{ElementReport, EpisodeReport, InterventionReport, Lengths};
use crate::Episode;
use crate::normaliser::Moments;

/// A change of the action below this many standard deviations counts as standing still.
const IDLE_CHANGE: f64 = 1e-3;

/// A value within this share of its range of the smallest or largest recorded value counts as saturated.
const SATURATION_MARGIN: f64 = 0.01;

/// Parts of a histogram: enough to see two peaks, few enough to print.
const BINS: usize = 32;

/// Moments of each element of rows `[T, dim]`.
pub(super) fn moments<'a>(blocks: impl Iterator<Item = &'a [f32]>, dim: usize) -> Vec<Moments> {
    let mut out = vec![Moments::default(); dim];
    for block in blocks {
        for row in block.chunks_exact(dim.max(1)) {
            for (m, &x) in out.iter_mut().zip(row) {
                m.add(f64::from(x));
            }
        }
    }
    out
}

/// Element `d` of rows `[T, dim]`.
pub(super) fn column<'a>(
    blocks: impl Iterator<Item = &'a [f32]> + Clone,
    d: usize,
    dim: usize,
) -> impl Iterator<Item = f64> + Clone {
    blocks.flat_map(move |block| block.chunks_exact(dim.max(1)).map(move |row| f64::from(row[d])))
}

/// The distribution of one element whose moments are `m`.
pub(super) fn element(name: String, m: &Moments, values: impl Iterator<Item = f64> + Clone) -> ElementReport {
    ElementReport {
        name,
        min: m.min(),
        max: m.max(),
        mean: m.mean(),
        std: m.std(),
        saturation_share: saturation_share(values.clone(), m),
        histogram: histogram(values, m),
    }
}

fn saturation_share(values: impl Iterator<Item = f64>, m: &Moments) -> f64 {
    let range = m.max() - m.min();
    if range == 0.0 {
        return 0.0;
    }
    let margin = SATURATION_MARGIN * range;
    let (mut saturated, mut steps) = (0, 0);
    for x in values {
        steps += 1;
        saturated += usize::from(x <= m.min() + margin || x >= m.max() - margin);
    }
    share(saturated, steps)
}

fn histogram(values: impl Iterator<Item = f64>, m: &Moments) -> Vec<u64> {
    let range = m.max() - m.min();
    let mut bins = vec![0; if range > 0.0 { BINS } else { 1 }];
    let last = bins.len() - 1;
    for x in values {
        // The largest value belongs to the last part; a cast saturates, so nothing is out of range.
        let bin = if range > 0.0 { ((x - m.min()) / range * BINS as f64) as usize } else { 0 };
        bins[bin.min(last)] += 1;
    }
    bins
}

pub(super) fn lengths(episodes: &[Episode]) -> Option<Lengths> {
    let mut sorted: Vec<usize> = episodes.iter().map(|e| e.len).collect();
    sorted.sort_unstable();
    Some(Lengths { min: *sorted.first()?, median: sorted[(sorted.len() - 1) / 2], max: *sorted.last()? })
}

pub(super) fn reward(episodes: &[Episode]) -> Option<ElementReport> {
    let blocks = episodes.iter().filter_map(|e| e.reward.as_deref());
    let m = moments(blocks.clone(), 1).pop().filter(|m| m.count > 0)?;
    Some(element("next.reward".to_owned(), &m, column(blocks, 0, 1)))
}

pub(super) fn interventions(episodes: &[Episode]) -> Option<InterventionReport> {
    let flags: Vec<&Vec<bool>> = episodes.iter().filter_map(|e| e.intervention.as_ref()).collect();
    let steps: usize = flags.iter().map(|flags| flags.iter().filter(|&&flag| flag).count()).sum();
    let of_steps = flags.iter().map(|flags| flags.len()).sum();
    let touched = flags.iter().filter(|flags| flags.contains(&true)).count();
    (!flags.is_empty()).then(|| InterventionReport { episodes: touched, steps, step_share: share(steps, of_steps) })
}

/// Share of steps (all but the first of each episode) whose action hardly differs from the one before.
pub(super) fn idle_share(episodes: &[Episode], action: &[Moments]) -> f64 {
    let idle = episodes.iter().map(|episode| idle_steps(episode, action)).sum();
    share(idle, episodes.iter().map(|episode| episode.len.saturating_sub(1)).sum())
}

fn idle_steps(episode: &Episode, action: &[Moments]) -> usize {
    let still = |t: &usize| {
        let (now, before) = (episode.action_at(*t, action.len()), episode.action_at(t - 1, action.len()));
        let mut changes = now.iter().zip(before).zip(action);
        changes.all(|((&a, &b), m)| f64::from((a - b).abs()) <= IDLE_CHANGE * m.std())
    };
    (1..episode.len).filter(still).count()
}

pub(super) fn episode(episode: &Episode, action: &[Moments]) -> EpisodeReport {
    EpisodeReport {
        index: episode.index,
        len: episode.len,
        success: episode.succeeded(),
        idle_share: share(idle_steps(episode, action), episode.len.saturating_sub(1)),
        is_held_out: false,
    }
}

pub(super) fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_count_every_step_once() {
        let values = [0.0, 0.0, 0.5, 1.0];
        let mut m = Moments::default();
        values.iter().for_each(|&x| m.add(x));
        let bins = histogram(values.into_iter(), &m);
        assert_eq!((bins.len(), bins[0], bins[BINS / 2], bins[BINS - 1]), (BINS, 2, 1, 1));
        assert_eq!(bins.iter().sum::<u64>(), 4);
        let mut constant = Moments::default();
        for _ in 0..3 {
            constant.add(7.0);
        }
        assert_eq!(histogram([7.0; 3].into_iter(), &constant), [3]);
        assert_eq!(histogram([].into_iter(), &Moments::default()), [0]);
    }
}
