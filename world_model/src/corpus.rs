//! Episodes as the learners see them: outcome rule applied, vectors normalised, embeddings cached, sequences gathered.

mod axes;
mod best;
mod codes;
pub mod human;
mod parts;
mod sequence;
#[cfg(test)]
pub(crate) mod tests;

use burn::tensor::{Device, Tensor, TensorData};
use episodes::{Dataset, Normaliser, OutcomeRule, RewardRule, Split, WindowSampler};
use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use human::Human;
pub use parts::Part;
use parts::{in_turns, normalised, padded, parts_of};
pub use sequence::{Embeddings, Sequence};

use crate::angles::Angles;
use crate::differences::Differences;
use crate::hints::HintCode;
use crate::task::{TaskConfig, TaskEncoder, When};

/// One usable episode: `T` steps of normalised vectors and what followed from each action.
#[derive(Clone, Debug, Default)]
pub struct Track {
    /// Position in [`Dataset::episodes`].
    pub episode: usize,
    /// Position in [`Corpus::parts`].
    pub part: usize,
    /// Steps `T` up to and including the first success.
    pub len: usize,
    /// Normalised state `[T, S]`.
    pub state: Vec<f32>,
    /// Code of the recorded hint `[T, H]`; empty where there is none.
    pub hint: Vec<f32>,
    /// Normalised actions `[T, A]`.
    pub action: Vec<f32>,
    /// Reward that followed each action `[T]`.
    pub reward: Vec<f32>,
    /// The last action led to success.
    pub success: bool,
    /// The last action led to a state without a future (success or failure).
    pub terminated: bool,
    /// What a person said of each step by taking the controls or not `[T]`.
    pub human: Vec<Human>,
}

/// What the value of a state means, shared by data, critics and evaluation.
///
/// `G_t = Σ_k γ^k (1-γ) r_{t+k}`, and a success is worth `success_reward` at every later step. The factor `1-γ` puts
/// returns into the units of the reward, so that success held from now on is worth exactly `success_reward`. An end
/// without success is worth `failure_reward` at every later step: 0 unless steps cost something.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReturnRule {
    /// Discount per control step γ.
    pub gamma: f32,
    /// Reward per step held for ever after a success; no reward of a step is larger.
    pub success_reward: f32,
    /// Reward per step held for ever after an end without success: the step cost goes on, so that giving up saves nothing.
    pub failure_reward: f32,
    /// Smallest reward in the data (and 0 and `failure_reward`).
    pub low: f32,
    /// Largest reward in the data (and `success_reward`).
    pub high: f32,
}

impl ReturnRule {
    /// What a return means under `rule` (resolved) where the steps' `rewards`, cost already taken off, are these.
    ///
    /// Solving sooner is never worth less: a success holds at least the largest reward, and ends the step cost.
    pub fn new(gamma: f32, rule: &OutcomeRule, rewards: impl Iterator<Item = f32>) -> Self {
        let (smallest, largest) = rewards.fold((f32::MAX, f32::MIN), |(low, high), r| (low.min(r), high.max(r)));
        let best = largest + rule.step_cost;
        // Under a reward column a success holds the best reward ever recorded; otherwise success itself is worth 1.
        let success_reward = if rule.reward == RewardRule::Column && best > 0.0 { best } else { 1.0 };
        let failure_reward = 0.0 - rule.step_cost;
        Self {
            gamma,
            success_reward,
            failure_reward,
            low: smallest.min(failure_reward).min(0.0),
            high: success_reward.max(largest),
        }
    }

    /// Reward per step held after the end of an episode: of a success, of another end, or (cut off) the last one.
    pub fn held(&self, success: bool, terminated: bool, last: f32) -> f32 {
        match (success, terminated) {
            (true, _) => self.success_reward,
            (false, true) => self.failure_reward,
            (false, false) => last,
        }
    }
}

/// The encoder of the tasks of training episodes, if they are to be told: of home, and of all.
fn tasks(dataset: &Dataset, home: &[usize], all: &[usize], config: &TaskConfig) -> Option<TaskEncoder> {
    let of = |episodes: &[usize]| {
        TaskEncoder::fit(episodes.iter().map(|&e| dataset.episodes[e].task.as_str()), config.elements)
    };
    match config.when {
        When::Never => None,
        When::Auto => of(home).and_then(|_| of(all)),
        When::Always => of(all),
    }
}

/// All usable episodes of a dataset and its companions, split by episode.
///
/// Robots of other sizes share one state and one action vector: as long as the longest, padded with 0, and behind the state
/// one element per robot, 1 for the robot it is. Behind these, where there are several tasks, stands the code of the episode's
/// task ([`crate::task`]). Losses leave out what is padding ([`Corpus::known`]).
#[derive(Clone, Debug)]
pub struct Corpus {
    /// Usable episodes.
    pub tracks: Vec<Track>,
    /// Positions in `tracks` used for training.
    pub train: Vec<usize>,
    /// Those of them recorded with the robot that the policy is for: where improvement starts, and what a clone may become.
    pub train_home: Vec<usize>,
    /// Positions in `tracks` kept out of all training, of home and of what its robot recorded later, in turns.
    pub held_out: Vec<usize>,
    /// The datasets, home first.
    pub parts: Vec<Part>,
    /// Elements of the state, those of the task among them.
    pub state_len: usize,
    /// Elements of the task: the last of the state, the same at every step of an episode.
    pub task_len: usize,
    /// Elements of an action.
    pub action_len: usize,
    /// Which elements of home's state are told as cosine and sine, the sines behind its own elements.
    pub state_angles: Angles,
    /// What stands in the state before the task, worked out from its other elements and from hints.
    pub differences: Differences,
    /// State normalisation of home's robot, from training episodes; beyond its own elements 0 becomes padding and mark.
    pub state_normaliser: Normaliser,
    /// Action normalisation of home's robot, from training episodes; beyond its own elements 0 stays 0.
    pub action_normaliser: Normaliser,
    /// How recorded hints are told; `None` where there are none.
    pub hints: Option<HintCode>,
    /// Text of a task to its elements; `None` where the task is not told.
    pub tasks: Option<TaskEncoder>,
    /// Meaning of a return.
    pub returns: ReturnRule,
    /// The rule of rewards and success, resolved.
    pub rule: OutcomeRule,
}

impl Corpus {
    /// Applies `rule` and the normalisers to every episode of `dataset`. Normalisers see training episodes only.
    /// Companions are read by what their columns say; [`Corpus::joined`] for other rules.
    pub fn new(dataset: &Dataset, rule: impl Into<OutcomeRule>, split: &Split, gamma: f32) -> Self {
        Self::joined(dataset, &[rule.into()], split, gamma, &TaskConfig::default())
    }

    /// The same with a rule for each companion: `rules` are home's and theirs, in order.
    ///
    /// `split` is of home's episodes and of those that its robot recorded later ([`Dataset::split`]); other companions are only
    /// learned from. Rewards of a companion are scaled so that a success is worth the same everywhere.
    ///
    /// Nothing is fitted to later episodes: normalisers, the code of the tasks and the meaning of a return stay what networks were
    /// trained with. A later reward beyond the range of the earlier ones counts as its end.
    pub fn joined(dataset: &Dataset, rules: &[OutcomeRule], split: &Split, gamma: f32, task: &TaskConfig) -> Self {
        let home = dataset.home_episodes();
        let (parts, positions, specs) = parts_of(dataset);
        let robots = parts.iter().map(|part| part.embodiment).max().unwrap_or(0) + 1;
        let marks = if robots > 1 { robots } else { 0 };
        let longest = |of: fn(&Part) -> usize| parts.iter().map(of).max().unwrap_or(0);
        let (padded_state, action_len) = (longest(|part| part.state_len), longest(|part| part.action_len));
        let (own, later): (Vec<usize>, Vec<usize>) = split.train.iter().partition(|&&e| e < home);
        let only_learned = (home..dataset.episodes.len()).filter(|&e| !parts[positions[e]].is_later);
        let fitted: Vec<usize> = own.iter().copied().chain(only_learned).collect();
        let train = [fitted.clone(), later].concat();
        let tasks = tasks(dataset, &own, &fitted, task);
        let task_len = tasks.as_ref().map_or(0, TaskEncoder::code_len);
        let state_len = padded_state + marks + task_len;
        let fit = |robot: usize, of: fn(&episodes::Episode) -> &Vec<f32>, own: fn(&Part) -> usize| {
            let rows = fitted.iter().filter(|&&e| parts[positions[e]].embodiment == robot);
            let len = parts.iter().find(|part| part.embodiment == robot).map_or(0, own);
            Normaliser::fit(rows.flat_map(|&e| of(&dataset.episodes[e]).chunks_exact(len.max(1))), len)
        };
        let normalisers: Vec<(Normaliser, Normaliser)> = (0..robots)
            .map(|robot| {
                let mut state = padded(fit(robot, |e| &e.state, |part| part.state_len), state_len);
                if marks > 0 {
                    // A raw 0 there becomes 1.
                    state.mean[padded_state + robot] = -1.0;
                }
                (state, padded(fit(robot, |e| &e.action, |part| part.action_len), action_len))
            })
            .collect();
        let mut rules: Vec<OutcomeRule> =
            specs.iter().enumerate().map(|(i, spec)| rules.get(i).cloned().unwrap_or_default().resolve(spec)).collect();
        for i in (1..rules.len()).filter(|&i| parts[i].is_later) {
            rules[i].reward = rules[0].reward.of_later(specs[i]);
        }
        let mut tracks: Vec<Track> = dataset
            .episodes
            .iter()
            .enumerate()
            .map(|(position, episode)| {
                let part = positions[position];
                let outcome = rules[part].apply(episode);
                let (state, action) = &normalisers[parts[part].embodiment];
                let mut rows = normalised(state, &episode.state, (parts[part].state_len, outcome.len));
                if let Some(tasks) = tasks.as_ref().filter(|_| !episode.task.is_empty()) {
                    let code = tasks.hear(&episode.task).code;
                    let row = |row: &mut [f32]| row[state_len - task_len..].copy_from_slice(&code);
                    rows.chunks_exact_mut(state_len).for_each(row);
                }
                Track {
                    episode: position,
                    part,
                    len: outcome.len,
                    state: rows,
                    hint: Vec::new(),
                    action: normalised(action, &episode.action, (parts[part].action_len, outcome.len)),
                    reward: outcome.reward,
                    success: outcome.success,
                    terminated: outcome.terminated,
                    human: human::of_steps(episode.intervention.as_deref(), outcome.len, dataset.spec.control_rate_hz),
                }
            })
            .collect();
        let rule_of = |part: usize, tracks: &[Track]| {
            let of_part = fitted.iter().filter(|&&t| tracks[t].part == part);
            ReturnRule::new(gamma, &rules[part], of_part.flat_map(|&t| tracks[t].reward.iter().copied()))
        };
        let mut returns = rule_of(0, &tracks);
        for part in (1..parts.len()).filter(|&part| !parts[part].is_later) {
            let theirs = rule_of(part, &tracks);
            let scale = returns.success_reward / theirs.success_reward;
            for track in tracks.iter_mut().filter(|track| track.part == part) {
                track.reward.iter_mut().for_each(|reward| *reward *= scale);
            }
            returns.low = returns.low.min(theirs.low * scale);
            returns.high = returns.high.max(theirs.high * scale);
        }
        for track in tracks.iter_mut().filter(|track| parts[track.part].is_later) {
            track.reward.iter_mut().for_each(|reward| *reward = reward.clamp(returns.low, returns.high));
        }
        let held_out = in_turns(&split.held_out, |t| tracks[t].part, parts.len());
        let train_home = train.iter().copied().filter(|&t| parts[tracks[t].part].embodiment == 0).collect();
        let mut normalisers = normalisers.into_iter();
        let (state_normaliser, action_normaliser) = normalisers.next().unwrap_or_else(|| {
            // There is always a home.
            (Normaliser::identity(state_len), Normaliser::identity(action_len))
        });
        Self {
            tracks,
            train,
            train_home,
            held_out,
            parts,
            state_len,
            task_len,
            action_len,
            state_angles: Angles::none(dataset.spec.state_len()),
            differences: Differences::NONE,
            state_normaliser,
            action_normaliser,
            hints: None,
            tasks,
            returns,
            rule: rules.into_iter().next().unwrap_or_default(),
        }
    }

    /// Elements of a hint's code; 0 where there are none.
    pub fn hint_len(&self) -> usize {
        self.hints.as_ref().map_or(0, HintCode::code_len)
    }

    /// The tracks of home and of what its robot recorded later.
    pub fn own_tracks(&self) -> impl Iterator<Item = usize> + '_ {
        let own = |&t: &usize| self.tracks[t].part == 0 || self.parts[self.tracks[t].part].is_later;
        (0..self.tracks.len()).filter(own)
    }

    /// What judgement rests on: the held-out tracks, where there are none home's own training tracks; never a companion's.
    pub fn judged_on(&self) -> &[usize] {
        if !self.held_out.is_empty() {
            return &self.held_out;
        }
        let of_home = self.train.iter().take_while(|&&track| self.tracks[track].part == 0).count();
        &self.train[..of_home]
    }

    /// Whether some rows are padded or some cameras black, so that losses need masks.
    pub fn has_gaps(&self) -> bool {
        let whole = |part: &Part| {
            part.state_len + self.differences.len() + self.task_len == self.state_len
                && part.action_len == self.action_len
                && part.sees.iter().all(|&sees| sees)
        };
        !self.parts.iter().all(whole)
    }

    /// 1 for every element of an embedding of `dim` elements that the given tracks really have, 0 for black cameras, padding
    /// and marks: `[B, E]`.
    pub fn known(&self, tracks: impl ExactSizeIterator<Item = usize>, dim: usize, device: &Device) -> Tensor<2> {
        let rows = tracks.len();
        let mut known = Vec::with_capacity(rows * dim);
        for track in tracks {
            let part = &self.parts[self.tracks[track].part];
            let width = (dim - self.state_len) / part.sees.len().max(1);
            known.extend(part.sees.iter().flat_map(|&sees| std::iter::repeat_n(f32::from(u8::from(sees)), width)));
            known.extend((0..self.state_len).map(|i| f32::from(u8::from(i < part.state_len))));
        }
        Tensor::from_data(TensorData::new(known, [rows, dim]), device)
    }

    /// 1 for every element of chunks of `chunk` actions that the given tracks' robots have, 0 for padding: `[B, chunk*A]`.
    pub fn known_actions(
        &self,
        tracks: impl ExactSizeIterator<Item = usize>,
        chunk: usize,
        device: &Device,
    ) -> Tensor<2> {
        let (rows, width) = (tracks.len(), chunk * self.action_len);
        let mut known = Vec::with_capacity(rows * width);
        for track in tracks {
            let own = self.parts[self.tracks[track].part].action_len;
            known.extend((0..width).map(|i| f32::from(u8::from(i % self.action_len < own))));
        }
        Tensor::from_data(TensorData::new(known, [rows, width]), device)
    }

    /// Elements of an action of the robot that the policy is for.
    pub fn home_action_len(&self) -> usize {
        self.parts.first().map_or(self.action_len, |part| part.action_len)
    }

    /// Draws `rows` (track, step) pairs: the dataset by its weight, then uniform over its steps.
    pub fn draw_steps(&self, tracks: &[usize], rows: usize, rng: &mut StdRng) -> Vec<(usize, usize)> {
        let steps = self.sampler(tracks, 1);
        steps.sample(rng, rows).into_iter().map(|window| (window.episode, window.start)).collect()
    }

    /// Draws one of the given tracks: the dataset by its weight, then every track alike.
    pub fn draw_track(&self, tracks: &[usize], rng: &mut StdRng) -> usize {
        if self.parts.len() < 2 {
            return tracks[rng.random_range(0..tracks.len())];
        }
        let each: Vec<(usize, usize)> = tracks.iter().map(|&track| (track, 1)).collect();
        let drawn = WindowSampler::weighted(&self.grouped(each.into_iter()), 1).sample(rng, 1);
        drawn.first().map_or(tracks[0], |window| window.episode)
    }

    /// Tracks and their lengths, by dataset.
    fn grouped(&self, tracks: impl Iterator<Item = (usize, usize)>) -> Vec<(f64, Vec<(usize, usize)>)> {
        let mut groups: Vec<_> = self.parts.iter().map(|part| (part.weight, Vec::new())).collect();
        tracks.for_each(|(track, len)| groups[self.tracks[track].part].1.push((track, len)));
        groups
    }

    /// Discounted return from every step of a track `[T]`. A cut-off episode is continued with its last reward held:
    /// good enough to shape a representation, not used as a target for values.
    pub fn returns_to_go(&self, track: usize) -> Vec<f32> {
        let (track, rule) = (&self.tracks[track], &self.returns);
        let mut g = rule.held(track.success, track.terminated, track.reward.last().copied().unwrap_or(0.0));
        let mut out = vec![0.0; track.len];
        for t in (0..track.len).rev() {
            g = (1.0 - rule.gamma) * track.reward[t] + rule.gamma * g;
            out[t] = g;
        }
        out
    }

    /// Share of the given tracks that end in success.
    pub fn success_share(&self, tracks: &[usize]) -> f32 {
        tracks.iter().filter(|&&t| self.tracks[t].success).count() as f32 / tracks.len().max(1) as f32
    }

    /// A sampler of sequences of `steps` transitions over the given tracks: the dataset by its weight, then starts uniform
    /// over steps.
    pub fn sampler(&self, tracks: &[usize], steps: usize) -> WindowSampler {
        WindowSampler::weighted(&self.grouped(tracks.iter().map(|&t| (t, self.tracks[t].len))), steps)
    }

    /// The same of sequences that begin in the `first` steps of an episode.
    pub fn beginnings(&self, tracks: &[usize], steps: usize, first: usize) -> WindowSampler {
        let len = |track: usize| self.tracks[track].len.min((first + steps).saturating_sub(1));
        WindowSampler::weighted(&self.grouped(tracks.iter().map(|&t| (t, len(t)))), steps)
    }

    /// Chunk of `chunk` normalised actions from step `t` of a track, `[chunk * A]`; past the end the last action is held.
    pub fn action_chunk(&self, track: usize, t: usize, chunk: usize, out: &mut Vec<f32>) {
        let track = &self.tracks[track];
        for k in 0..chunk {
            let i = (t + k).min(track.len - 1);
            out.extend_from_slice(&track.action[i * self.action_len..(i + 1) * self.action_len]);
        }
    }
}
