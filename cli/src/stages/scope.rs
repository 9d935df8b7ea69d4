//! Held-out starts in groups that a person can find again: by task, by what is seen first, by what was recorded from there.

use std::collections::BTreeMap;

use rl::evaluate::{self, FEWEST_STARTS};
use rl::slices::{Space, Standing, clusters};
use rl::{TrackRecord, track_record};
use world_model::Embeddings;

use super::judge::Judged;
use super::workshop::Workshop;
use crate::report::{SliceGain, SliceKind, SlicePolicy, SliceReport};

/// Elements of a centre that are named in words, those that tell it most from the rest.
const NAMED: usize = 3;

/// Starts that belong together.
#[derive(Clone, Debug)]
pub struct Slice {
    about: SliceReport,
    /// Positions of the starts.
    members: Vec<usize>,
}

/// What tells one start from another.
struct Firsts {
    /// Per start, what is compared: the hint's code, else the embedding, else the normalised state.
    rows: Vec<Vec<f32>>,
    /// Per start, what is told: the code of the hint, else the normalised state.
    told: Vec<Vec<f32>>,
    /// Names of the told elements, raw.
    names: Vec<String>,
}

impl Workshop {
    /// The groups.
    pub fn slices(&self, embeddings: &Embeddings) -> Vec<Slice> {
        let starts = evaluate::starts(&self.corpus, self.config.evaluate.starts);
        let firsts = self.firsts_of(embeddings, &starts);
        let tracks: Vec<_> = starts.iter().map(|&(track, _)| &self.corpus.tracks[track]).collect();
        let mut groups: Vec<(SliceKind, String, String, Vec<usize>)> = Vec::new();
        let mut tasks: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (i, track) in tracks.iter().enumerate() {
            tasks.entry(&self.dataset.episodes[track.episode].task).or_default().push(i);
        }
        if tasks.len() > 1 {
            for (k, (task, members)) in tasks.into_iter().enumerate() {
                groups.push((SliceKind::Task, format!("task {}", k + 1), format!("'{task}'"), members));
            }
        }
        for (k, cluster) in clusters(&firsts.rows, self.config.seed).into_iter().enumerate() {
            groups.push((SliceKind::Start, format!("start {}", k + 1), String::new(), cluster.members));
        }
        let mut halves = |kind, names: [&str; 2], about: [String; 2], is_first: &dyn Fn(usize) -> bool| {
            let (first, second): (Vec<usize>, Vec<usize>) = (0..tracks.len()).partition(|&i| is_first(i));
            // Where all failures run to the last step, short recordings are the successes.
            let is_told = groups.iter().any(|group| group.3 == first || group.3 == second);
            if !first.is_empty() && !second.is_empty() && !is_told {
                for (i, members) in [first, second].into_iter().enumerate() {
                    groups.push((kind, names[i].to_owned(), about[i].clone(), members));
                }
            }
        };
        let about = ["the recordings from there end in success", "they do not"].map(str::to_owned);
        halves(SliceKind::Outcome, ["successes", "failures"], about, &|i| tracks[i].success);
        let mut lens: Vec<usize> = tracks.iter().map(|track| track.len).collect();
        lens.sort_unstable();
        // Where most are as long as any, those that are shorter stand against them.
        let (median, longest) = (lens.get(lens.len().saturating_sub(1) / 2), lens.last());
        let limit = lens.iter().rev().find(|len| Some(*len) <= median && Some(*len) < longest).copied().unwrap_or(0);
        let about = [format!("recordings of at most {limit} steps"), format!("recordings of more than {limit} steps")];
        halves(SliceKind::Length, ["short", "long"], about, &|i| tracks[i].len <= limit);
        let number = |i: usize| self.dataset.episodes[tracks[i].episode].index;
        let slice = |(kind, name, about, members): (SliceKind, String, String, Vec<usize>)| {
            let (centre, words, nearest) = self.centre(&firsts, &members);
            let about = if kind == SliceKind::Start { words } else { about };
            let episodes: Vec<usize> = members.iter().map(|&i| number(i)).collect();
            let example_episode = number(nearest);
            let about = SliceReport { kind, name, about, centre, example_episode, episodes, policies: Vec::new() };
            Slice { about, members }
        };
        groups.into_iter().map(slice).collect()
    }

    fn firsts_of(&self, embeddings: &Embeddings, starts: &[(usize, usize)]) -> Firsts {
        let (spec, spread) = (&self.dataset.spec, self.corpus.state_angles.spread_len());
        let hint = self.corpus.hint_len();
        let told = |&(track, t): &(usize, usize)| {
            let track = &self.corpus.tracks[track];
            match hint {
                0 => track.state[t * self.corpus.state_len..][..spread].to_vec(),
                _ => track.hint[t * hint..(t + 1) * hint].to_vec(),
            }
        };
        let seen = |&(track, t): &(usize, usize)| {
            let row = embeddings.at(track, t);
            row[..row.len() - self.corpus.state_len + spread].to_vec()
        };
        let told: Vec<Vec<f32>> = starts.iter().map(told).collect();
        let is_seen = hint == 0 && !spec.cameras.is_empty();
        let rows = if is_seen { starts.iter().map(seen).collect() } else { told.clone() };
        let features = if hint == 0 { &spec.state } else { &spec.hints };
        Firsts { rows, told, names: features.iter().flat_map(|f| f.names.clone()).collect() }
    }

    /// The centre of some starts in the units of the recording, what tells it from the rest in words, and the start nearest to it.
    fn centre(&self, firsts: &Firsts, members: &[usize]) -> (BTreeMap<String, f64>, String, usize) {
        let mean = |rows: &[Vec<f32>], of: &[usize]| {
            let width = rows.first().map_or(0, Vec::len);
            let mut mean = vec![0.0f32; width];
            for &i in of {
                mean.iter_mut().zip(&rows[i]).for_each(|(m, x)| *m += x / of.len() as f32);
            }
            mean
        };
        let space = Space::of(&firsts.rows);
        let centre = space.place(&mean(&firsts.rows, members));
        let away = |i: usize| Space::apart(&space.place(&firsts.rows[i]), &centre);
        let nearest = members.iter().copied().min_by(|&a, &b| away(a).total_cmp(&away(b))).unwrap_or(0);
        let all: Vec<usize> = (0..firsts.told.len()).collect();
        let raw: Vec<Vec<f32>> = firsts.told.iter().map(|row| self.raw_of(row)).collect();
        let (here, overall) = (self.raw_of(&mean(&firsts.told, members)), mean(&raw, &all));
        let spread =
            |i: usize| (raw.iter().map(|row| (row[i] - overall[i]).powi(2)).sum::<f32>() / raw.len() as f32).sqrt();
        let mut telling: Vec<(usize, f32)> = (0..here.len())
            .map(|i| (i, (here[i] - overall[i]).abs() / spread(i).max(1e-9)))
            .filter(|(i, _)| spread(*i) > 1e-5)
            .collect();
        telling.sort_by(|a, b| b.1.total_cmp(&a.1));
        let named = telling.iter().take(NAMED).map(|&(i, _)| format!("{} {:.3}", firsts.names[i], here[i]));
        let words = named.collect::<Vec<_>>().join(", ");
        let words = if words.is_empty() { "told apart by what the cameras see".to_owned() } else { words };
        (firsts.names.iter().cloned().zip(here.iter().map(|&x| f64::from(x))).collect(), words, nearest)
    }

    /// A told row in the units of the recording.
    fn raw_of(&self, told: &[f32]) -> Vec<f32> {
        if let Some(code) = &self.corpus.hints {
            return code.decode(told);
        }
        let mut normalised = told.to_vec();
        normalised.resize(self.corpus.state_len, 0.0);
        let mut raw = vec![0.0; normalised.len()];
        self.corpus.state_normaliser.denormalise(&normalised, &mut raw);
        raw.truncate(told.len());
        self.corpus.state_angles.gather(&raw)
    }

    /// What the policies that begin there do in each group, beside the clone; `record` is the model's of returns and of successes.
    pub(super) fn on_slices(
        &self,
        slices: Vec<Slice>,
        judged: &[Judged],
        record: Option<[&TrackRecord; 2]>,
    ) -> Vec<SliceReport> {
        let (resamples, seed) = (self.config.evaluate.resamples, self.config.seed);
        let cloned = judged.iter().find(|j| j.name == "cloned");
        let policy = |j: &Judged, members: &[usize]| {
            let starts = j.starts();
            let rows: Vec<usize> = (0..starts.len()).filter(|&row| members.contains(&starts[row])).collect();
            let is_told = |ci95: [f64; 2]| Some(ci95).filter(|_| rows.len() >= FEWEST_STARTS);
            if rows.is_empty() {
                return None;
            }
            let here = j.imagined.only(&rows);
            let e = evaluate::estimate(&here, record, resamples, seed);
            let gain = cloned.filter(|clone| clone.name != j.name).map(|clone| {
                let base = j.beside(clone).only(&rows);
                let record = record.map(|[record, _]| record);
                track_record::difference(here.returns(), base.returns(), record, resamples, seed)
            });
            Some(SlicePolicy {
                name: j.name.clone(),
                starts: rows.len(),
                return_: e.r#return,
                return_ci95: is_told(e.return_ci95),
                success: e.success,
                success_ci95: is_told(e.success_ci95),
                gain: gain.map(|(mean, ci95)| SliceGain { mean, ci95: is_told(ci95) }),
                standing: gain.map(|(_, ci95)| Standing::of(ci95, rows.len())),
            })
        };
        let told = |Slice { about, members }: Slice| {
            let policies = judged.iter().filter_map(|j| policy(j, &members)).collect();
            SliceReport { policies, ..about }
        };
        slices.into_iter().map(told).collect()
    }
}
