//! The scope of competence: starts that belong together, and what can be said of two policies there.
//!
//! A mean over all starts hides where a policy is good. Starts are clustered by what is seen at them: k-means (Lloyd 1982) from
//! k-means++ seeds (Arthur and Vassilvitskii 2007), over elements in units of their own spread. Of 4, 3 and 2 clusters the largest
//! number is taken with which none is smaller than the fewest starts that are worth a row.

use rand::RngExt;
use serde::{Deserialize, Serialize};
use world_model::noise;

use crate::evaluate::FEWEST_STARTS;

/// Clusters tried at most: more rows nobody reads.
pub const MOST_CLUSTERS: usize = 4;

/// Starts below which a cluster is not worth a row.
pub const FEWEST_IN_CLUSTER: usize = 5;

/// Fresh seedings of k-means, of which the tightest counts.
const RESTARTS: usize = 10;

/// Rounds of k-means; it settles in far fewer.
const ROUNDS: usize = 50;

/// Spread below which an element is the same everywhere.
const STILL: f64 = 1e-5;

/// Elements in units of their own spread over some rows; those that never change are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    /// Per element that changes: position, mean, standard deviation.
    elements: Vec<(usize, f64, f64)>,
}

impl Space {
    /// Fitted to rows of equal length.
    pub fn of(rows: &[Vec<f32>]) -> Self {
        let (n, width) = (rows.len().max(1) as f64, rows.first().map_or(0, Vec::len));
        let element = |i: usize| {
            let mean = rows.iter().map(|row| f64::from(row[i])).sum::<f64>() / n;
            let spread = (rows.iter().map(|row| (f64::from(row[i]) - mean).powi(2)).sum::<f64>() / n).sqrt();
            (i, mean, spread)
        };
        Self { elements: (0..width).map(element).filter(|e| e.2 > STILL).collect() }
    }

    /// Where a row lies.
    pub fn place(&self, row: &[f32]) -> Vec<f64> {
        self.elements.iter().map(|&(i, mean, spread)| (f64::from(row[i]) - mean) / spread).collect()
    }

    /// How far apart two places are: root of the mean squared difference, in standard deviations; 0 where nothing ever changes.
    pub fn apart(a: &[f64], b: &[f64]) -> f64 {
        (squared(a, b) / a.len().max(1) as f64).sqrt()
    }
}

fn squared(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

/// Starts that lie together.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Positions of its rows, ascending.
    pub members: Vec<usize>,
    /// The member nearest the centre.
    pub nearest: usize,
}

/// Rows of equal length in at most [`MOST_CLUSTERS`] clusters of at least [`FEWEST_IN_CLUSTER`], the largest first; none where that
/// cannot be done with two or more, or all rows are alike.
pub fn clusters(rows: &[Vec<f32>], seed: u64) -> Vec<Cluster> {
    let space = Space::of(rows);
    if space.elements.is_empty() {
        return Vec::new();
    }
    let places: Vec<Vec<f64>> = rows.iter().map(|row| space.place(row)).collect();
    let largest = MOST_CLUSTERS.min(rows.len() / FEWEST_IN_CLUSTER);
    (2..=largest).rev().find_map(|k| tightest(&places, k, seed)).unwrap_or_default()
}

/// The tightest of several clusterings into `k`, among those without one that is too small.
fn tightest(places: &[Vec<f64>], k: usize, seed: u64) -> Option<Vec<Cluster>> {
    let attempt = |restart: usize| {
        let (centres, own) = k_means(places, k, (seed, (k * RESTARTS + restart) as u64));
        let mut clusters = Vec::with_capacity(k);
        for (c, centre) in centres.iter().enumerate() {
            let members: Vec<usize> = (0..places.len()).filter(|&i| own[i] == c).collect();
            let away = |&i: &usize| squared(&places[i], centre);
            let nearest = members.iter().copied().min_by(|a, b| away(a).total_cmp(&away(b)))?;
            clusters.push(Cluster { members, nearest });
        }
        let spread: f64 = places.iter().zip(&own).map(|(place, &c)| squared(place, &centres[c])).sum();
        let is_large = clusters.iter().all(|c| c.members.len() >= FEWEST_IN_CLUSTER);
        is_large.then_some((spread, clusters))
    };
    let (_, mut best) = (0..RESTARTS).filter_map(attempt).min_by(|a, b| a.0.total_cmp(&b.0))?;
    best.sort_by_key(|c| (std::cmp::Reverse(c.members.len()), c.nearest));
    Some(best)
}

/// Centres, and which of them each place belongs to.
fn k_means(places: &[Vec<f64>], k: usize, (seed, attempt): (u64, u64)) -> (Vec<Vec<f64>>, Vec<usize>) {
    let mut rng = noise::generator(seed, "slices", attempt);
    let mut centres = vec![places[rng.random_range(0..places.len())].clone()];
    while centres.len() < k {
        let away = |place: &Vec<f64>| centres.iter().map(|c| squared(place, c)).fold(f64::MAX, f64::min);
        let mut left = rng.random::<f64>() * places.iter().map(away).sum::<f64>();
        let drawn = places.iter().find(|place| {
            left -= away(place);
            left < 0.0
        });
        centres.push(drawn.or(places.last()).cloned().unwrap_or_default());
    }
    let mut own = vec![usize::MAX; places.len()];
    for _ in 0..ROUNDS {
        let nearest = |place: &Vec<f64>| {
            let by = |&a: &usize, &b: &usize| squared(place, &centres[a]).total_cmp(&squared(place, &centres[b]));
            (0..k).min_by(by).unwrap_or(0)
        };
        let now: Vec<usize> = places.iter().map(nearest).collect();
        if now == own {
            break;
        }
        own = now;
        for (c, centre) in centres.iter_mut().enumerate() {
            let members: Vec<&Vec<f64>> = places.iter().zip(&own).filter(|(_, own)| **own == c).map(|p| p.0).collect();
            for (i, x) in centre.iter_mut().enumerate().filter(|_| !members.is_empty()) {
                *x = members.iter().map(|m| m[i]).sum::<f64>() / members.len() as f64;
            }
        }
    }
    (centres, own)
}

/// What is known of a policy against another one on a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The interval of the gain is above zero.
    Better,
    /// It is below zero.
    Worse,
    /// It holds zero.
    Unknown,
    /// There are too few starts for an interval to mean anything.
    TooFew,
}

impl Standing {
    /// From the interval of the gain over `starts` starts.
    pub fn of(gain_ci95: [f64; 2], starts: usize) -> Self {
        match gain_ci95 {
            _ if starts < FEWEST_STARTS => Self::TooFew,
            [low, _] if low > 0.0 => Self::Better,
            [_, high] if high < 0.0 => Self::Worse,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_lie_apart_are_found_whatever_their_units() {
        // Three places on a line, one of them twice as crowded; the second element is a thousand times larger, the third stands still.
        let row = |place: usize, i: usize| vec![place as f32 + 0.01 * (i % 5) as f32, 1000.0 * (i % 2) as f32, 7.0];
        let rows: Vec<Vec<f32>> = (0..24).map(|i| row([0, 1, 5, 5][i % 4], i / 4)).collect();
        let found = clusters(&rows[..], 0);
        assert!(found.len() >= 2 && found.iter().all(|c| c.members.len() >= FEWEST_IN_CLUSTER));
        assert_eq!(found.iter().map(|c| c.members.len()).sum::<usize>(), 24, "every start belongs to one");
        assert!(found.windows(2).all(|w| w[0].members.len() >= w[1].members.len()));
        assert!(found.iter().all(|c| c.members.contains(&c.nearest)));
        assert_eq!(clusters(&rows, 0), found, "the same seed finds the same");
    }

    #[test]
    fn two_heaps_by_hand() {
        let rows: Vec<Vec<f32>> =
            (0..11).map(|i| vec![if i < 6 { 0.1 * i as f32 } else { 10.0 + 0.1 * i as f32 }]).collect();
        let found = clusters(&rows, 3);
        assert_eq!(found[0].members, [0, 1, 2, 3, 4, 5]);
        assert_eq!(found[1], Cluster { members: vec![6, 7, 8, 9, 10], nearest: 8 });
    }

    #[test]
    fn few_or_equal_starts_are_not_divided() {
        assert_eq!(clusters(&vec![vec![0.0]; 40], 0), []);
        assert_eq!(clusters(&(0..9).map(|i| vec![i as f32]).collect::<Vec<_>>(), 0), [], "two of five take ten");
        assert_eq!(clusters(&[], 0), []);
        // One far away is no cluster of its own.
        let rows: Vec<Vec<f32>> = (0..12).map(|i| vec![if i == 0 { 100.0 } else { (i % 3) as f32 }]).collect();
        assert!(clusters(&rows, 0).iter().all(|c| c.members.len() >= FEWEST_IN_CLUSTER));
    }

    #[test]
    fn distance_is_told_in_standard_deviations() {
        let space = Space::of(&[vec![0.0, 5.0], vec![2.0, 5.0], vec![4.0, 5.0]]);
        // The spread of 0, 2, 4 is √(8/3); the second element says nothing.
        let apart = Space::apart(&space.place(&[0.0, 9.0]), &space.place(&[2.0, 1.0]));
        assert!((apart - 2.0 / (8.0f64 / 3.0).sqrt()).abs() < 1e-6, "{apart}");
    }

    #[test]
    fn what_is_known_of_a_gain() {
        assert_eq!(Standing::of([0.1, 0.3], 8), Standing::Better);
        assert_eq!(Standing::of([-0.3, -0.1], 8), Standing::Worse);
        assert_eq!(Standing::of([-0.1, 0.3], 20), Standing::Unknown);
        assert_eq!(Standing::of([0.1, 0.3], 7), Standing::TooFew);
    }
}
