//! The best of what was recorded: episodes by their returns, a share of the steps (%BC; Chen et al. 2021, Decision Transformer,
//! [arXiv:2106.01345](https://arxiv.org/abs/2106.01345), sec. 5.1).

use std::collections::{BTreeMap, BTreeSet};

use super::Corpus;
use crate::agreement::mean;

impl Corpus {
    /// Those of the given tracks that went best, whole, in their order: of every dataset and task as many as make up `share` of its steps, and
    /// one at least. An episode is as good as its mean return-to-go, so that what follows from a fall or a success counts wherever it comes,
    /// and a long episode is not better for being long.
    pub fn best_tracks(&self, tracks: &[usize], share: f32) -> Vec<usize> {
        let mut groups: BTreeMap<(usize, Vec<u32>), Vec<(f64, usize)>> = BTreeMap::new();
        for &t in tracks {
            let track = &self.tracks[t];
            let code = &track.state[self.state_len - self.task_len..self.state_len];
            let group = groups.entry((track.part, code.iter().map(|x| x.to_bits()).collect())).or_default();
            group.push((mean(self.returns_to_go(t).into_iter()), t));
        }
        let mut best = BTreeSet::new();
        for mut group in groups.into_values() {
            group.sort_by(|(a, _), (b, _)| b.total_cmp(a));
            let steps: usize = group.iter().map(|&(_, t)| self.tracks[t].len).sum();
            let wanted = f64::from(share) * steps as f64;
            let mut taken = 0;
            for (_, t) in group {
                if taken > 0 && taken as f64 >= wanted {
                    break;
                }
                taken += self.tracks[t].len;
                best.insert(t);
            }
        }
        tracks.iter().copied().filter(|t| best.contains(t)).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::Corpus;
    use crate::corpus::Track;
    use crate::corpus::tests::{open, record};

    /// Tracks of rewards, of one dataset; those that end have fallen.
    fn of(episodes: &[(&[f32], bool)]) -> Result<Corpus, episodes::Error> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        record(&dir.path().join("home"), (2, 1), None, (2, 0.0, 1.0))?;
        let dataset = open(&dir.path().join("home"), &dir.path().join("cache"))?;
        let whole = episodes::Split { train: vec![0, 1], held_out: Vec::new() };
        let mut corpus = Corpus::new(&dataset, episodes::RewardRule::Column, &whole, 0.5);
        let of_rewards = |(rewards, terminated): &(&[f32], bool)| Track {
            len: rewards.len(),
            state: vec![0.0; 2 * rewards.len()],
            reward: rewards.to_vec(),
            terminated: *terminated,
            ..Track::default()
        };
        corpus.tracks = episodes.iter().map(of_rewards).collect();
        Ok(corpus)
    }

    #[test]
    fn the_best_make_up_their_share_of_the_steps_in_their_order() -> Result<(), episodes::Error> {
        let corpus = of(&[(&[0.2; 4], false), (&[0.9; 3], false), (&[0.5; 3], false), (&[0.1; 10], false)])?;
        let best = |share: f32| corpus.best_tracks(&[0, 1, 2, 3], share);
        assert_eq!(best(0.0), [1], "one at least");
        assert_eq!(best(0.14), [1], "3 of 20 steps are more than that");
        assert_eq!(best(0.16), [1, 2]);
        assert_eq!(best(0.5), [0, 1, 2]);
        assert_eq!(best(1.0), [0, 1, 2, 3]);
        assert_eq!(corpus.best_tracks(&[3, 0], 0.1), [0], "of the given ones alone");
        Ok(())
    }

    #[test]
    fn who_falls_is_worse_than_who_goes_on_and_length_alone_is_no_merit() -> Result<(), episodes::Error> {
        let corpus = of(&[(&[0.8; 4], true), (&[0.7; 4], false), (&[0.6; 40], false)])?;
        // Returns-to-go of the first, from its end: 0.4, 0.6, 0.7, 0.75, a mean of 0.61; of the others their reward.
        assert_eq!(corpus.best_tracks(&[0, 1, 2], 0.01), [1]);
        Ok(())
    }

    #[test]
    fn every_dataset_and_task_gives_its_best() -> Result<(), episodes::Error> {
        let mut corpus = of(&[(&[0.9; 4], false), (&[0.8; 4], false), (&[0.1; 4], false), (&[0.2; 4], false)])?;
        (corpus.tracks[2].part, corpus.tracks[3].part) = (1, 1);
        assert_eq!(corpus.best_tracks(&[0, 1, 2, 3], 0.5), [0, 3]);
        corpus.task_len = 1;
        // State [T, 2], of which the second element is the task.
        let tracks = corpus.tracks[1].state.chunks_exact_mut(2);
        tracks.for_each(|row| row[1] = 1.0);
        assert_eq!(corpus.best_tracks(&[0, 1, 2, 3], 0.5), [0, 1, 3]);
        Ok(())
    }
}
