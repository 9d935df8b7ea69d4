//! Several datasets in one corpus: whose episode is whose, and rows of one length for robots of many.

use episodes::{Dataset, DatasetSpec, Normaliser};

use super::Corpus;

/// One of the datasets behind a corpus: home, or a companion.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// How often it is drawn from, relative to the others.
    pub weight: f64,
    /// Which robot: 0 is home's.
    pub embodiment: usize,
    /// Recorded by home's robot after home was learned from: partly held out, and what is fitted to data is not fitted anew.
    pub is_later: bool,
    /// Elements of its own state; the rest of a row is padding, 0, and the mark of the embodiment.
    pub state_len: usize,
    /// Elements of its own action; the rest of a row is padding, 0.
    pub action_len: usize,
    /// Per camera of home, whether it has that camera; one that it lacks is black.
    pub sees: Vec<bool>,
}

/// The datasets of a joined one, the dataset of each of its episodes, and their specs.
pub(super) fn parts_of(dataset: &Dataset) -> (Vec<Part>, Vec<usize>, Vec<&DatasetSpec>) {
    let part = |spec: &DatasetSpec, weight, embodiment, sees| Part {
        weight,
        embodiment,
        is_later: false,
        state_len: spec.state_len(),
        action_len: spec.action_len(),
        sees,
    };
    let cameras = dataset.spec.cameras.len();
    let mut parts = vec![part(&dataset.spec, dataset.weight, 0, vec![true; cameras])];
    let mut positions = vec![0; dataset.home_episodes()];
    let mut robots = 1;
    for companion in &dataset.companions {
        let embodiment = if companion.is_same_robot { 0 } else { robots };
        robots += usize::from(!companion.is_same_robot);
        let sees = (0..cameras).map(|camera| companion.sees(camera)).collect();
        positions.extend(std::iter::repeat_n(parts.len(), companion.episodes));
        let is_later = companion.is_later;
        parts.push(Part { is_later, ..part(&companion.spec, companion.weight, embodiment, sees) });
    }
    let specs = std::iter::once(&dataset.spec).chain(dataset.companions.iter().map(|c| &c.spec)).collect();
    (parts, positions, specs)
}

/// Positions of each of `parts` parts in turn, so that the first few are of all of them.
pub(super) fn in_turns(positions: &[usize], part_of: impl Fn(usize) -> usize, parts: usize) -> Vec<usize> {
    let mut turns = vec![0; parts];
    let mut order: Vec<(usize, usize)> = Vec::with_capacity(positions.len());
    for &position in positions {
        let turn = &mut turns[part_of(position)];
        order.push((*turn, position));
        *turn += 1;
    }
    order.sort_unstable();
    order.into_iter().map(|(_, position)| position).collect()
}

/// A normaliser for rows of `len` elements, which leaves those beyond its own as they are.
pub(super) fn padded(mut normaliser: Normaliser, len: usize) -> Normaliser {
    let Normaliser { mean, std, min, max } = &mut normaliser;
    for of in [mean, min, max] {
        of.resize(len, 0.0);
    }
    std.resize(len, 1.0);
    normaliser
}

/// The first `len` rows of `own` elements each, padded with 0 to what the normaliser takes, and normalised.
pub(super) fn normalised(normaliser: &Normaliser, rows: &[f32], (own, len): (usize, usize)) -> Vec<f32> {
    let width = normaliser.dim();
    let (mut raw, mut out) = (vec![0.0; width], vec![0.0; len * width]);
    for (i, out) in out.chunks_exact_mut(width.max(1)).enumerate() {
        raw[..own].copy_from_slice(&rows[i * own..(i + 1) * own]);
        normaliser.normalise(&raw, out);
    }
    out
}

impl Corpus {
    /// Training tracks by which scales are fitted: none that were recorded later, because what was learned before was learned on the old scales.
    pub(super) fn fitted(&self) -> impl Iterator<Item = usize> {
        self.train.iter().copied().filter(|&track| !self.parts[self.tracks[track].part].is_later)
    }

    /// Whether all episodes are of one robot.
    pub(super) fn is_of_one_robot(&self) -> bool {
        self.parts.iter().all(|part| part.embodiment == self.parts[0].embodiment)
    }
}
