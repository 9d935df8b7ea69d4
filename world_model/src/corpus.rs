//! Episodes as the learners see them: outcome rule applied, vectors normalised, embeddings cached, sequences gathered.

use burn::tensor::{Device, Tensor, TensorData};
use episodes::{Dataset, Normaliser, OutcomeRule, RewardRule, Split, Window, WindowSampler};
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// One usable episode: `T` steps of normalised vectors and what followed from each action.
#[derive(Clone, Debug)]
pub struct Track {
    /// Position in [`Dataset::episodes`].
    pub episode: usize,
    /// Steps `T` up to and including the first success.
    pub len: usize,
    /// Normalised state `[T, S]`.
    pub state: Vec<f32>,
    /// Normalised actions `[T, A]`.
    pub action: Vec<f32>,
    /// Reward that followed each action `[T]`.
    pub reward: Vec<f32>,
    /// The last action led to success.
    pub success: bool,
    /// The last action led to a state without a future (success or failure).
    pub terminated: bool,
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

/// All usable episodes of a dataset, split by episode.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// Usable episodes.
    pub tracks: Vec<Track>,
    /// Positions in `tracks` used for training.
    pub train: Vec<usize>,
    /// Positions in `tracks` kept out of all training.
    pub held_out: Vec<usize>,
    /// Elements of the state.
    pub state_len: usize,
    /// Elements of an action.
    pub action_len: usize,
    /// State normalisation, from training episodes.
    pub state_normaliser: Normaliser,
    /// Action normalisation, from training episodes.
    pub action_normaliser: Normaliser,
    /// Meaning of a return.
    pub returns: ReturnRule,
    /// The rule of rewards and success, resolved.
    pub rule: OutcomeRule,
}

impl Corpus {
    /// Applies `rule` and the normalisers to every episode of `dataset`. Normalisers see training episodes only.
    pub fn new(dataset: &Dataset, rule: impl Into<OutcomeRule>, split: &Split, gamma: f32) -> Self {
        let spec = &dataset.spec;
        let (state_len, action_len) = (spec.state_len(), spec.action_len());
        let rule = rule.into().resolve(spec);
        let fit = |of: fn(&episodes::Episode) -> &Vec<f32>, len: usize| {
            Normaliser::fit(split.train.iter().flat_map(|&e| of(&dataset.episodes[e]).chunks_exact(len.max(1))), len)
        };
        let state_normaliser = fit(|e| &e.state, state_len);
        let action_normaliser = fit(|e| &e.action, action_len);
        let tracks: Vec<Track> = dataset
            .episodes
            .iter()
            .enumerate()
            .map(|(position, episode)| {
                let outcome = rule.apply(episode);
                let normalised = |n: &Normaliser, rows: &[f32], len: usize| {
                    let mut out = vec![0.0; outcome.len * len];
                    for (row, out) in rows.chunks_exact(len.max(1)).zip(out.chunks_exact_mut(len.max(1))) {
                        n.normalise(row, out);
                    }
                    out
                };
                Track {
                    episode: position,
                    len: outcome.len,
                    state: normalised(&state_normaliser, &episode.state, state_len),
                    action: normalised(&action_normaliser, &episode.action, action_len),
                    reward: outcome.reward,
                    success: outcome.success,
                    terminated: outcome.terminated,
                }
            })
            .collect();
        let rewards = split.train.iter().flat_map(|&t| tracks[t].reward.iter().copied());
        let returns = ReturnRule::new(gamma, &rule, rewards);
        Self {
            tracks,
            train: split.train.clone(),
            held_out: split.held_out.clone(),
            state_len,
            action_len,
            state_normaliser,
            action_normaliser,
            returns,
            rule,
        }
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

    /// A sampler of sequences of `steps` transitions over the given tracks; starts are uniform over steps.
    pub fn sampler(&self, tracks: &[usize], steps: usize) -> WindowSampler {
        let lengths: Vec<(usize, usize)> = tracks.iter().map(|&t| (t, self.tracks[t].len)).collect();
        WindowSampler::new(&lengths, steps)
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

/// Embeddings `e_t` of every step of every track, computed once with the frozen encoder.
#[derive(Clone, Debug)]
pub struct Embeddings {
    /// Elements `E` of one embedding.
    pub dim: usize,
    /// Per track `[T, E]`.
    pub rows: Vec<Vec<f32>>,
}

impl Embeddings {
    /// Embedding at step `t` of a track, `[E]`.
    pub fn at(&self, track: usize, t: usize) -> &[f32] {
        &self.rows[track][t * self.dim..(t + 1) * self.dim]
    }

    /// Embeddings at the given (track, step) pairs: `[B, E]`.
    pub fn gather(&self, at: &[(usize, usize)], device: &Device) -> Tensor<2> {
        let mut values = Vec::with_capacity(at.len() * self.dim);
        for &(track, t) in at {
            values.extend_from_slice(self.at(track, t));
        }
        Tensor::from_data(TensorData::new(values, [at.len(), self.dim]), device)
    }
}

/// A batch of `B` sequences of `L` transitions, ready for a dynamics loss.
///
/// Position `i` of a sequence is the transition from `e_i` by `a_i` to `e_{i+1}`; masks are 1 where it was recorded.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// Embeddings `[B, L+1, E]`; zero where nothing was recorded.
    pub embedding: Tensor<3>,
    /// Normalised actions `[B, L, A]`.
    pub action: Tensor<3>,
    /// Rewards `[B, L]`.
    pub reward: Tensor<2>,
    /// 1 where the action led to success `[B, L]`.
    pub success: Tensor<2>,
    /// 1 where the action led to an end that is no success `[B, L]`.
    pub failure: Tensor<2>,
    /// 1 where the action was recorded `[B, L]`.
    pub taken: Tensor<2>,
    /// 1 where the observation after the action was recorded `[B, L]`.
    pub observed: Tensor<2>,
}

impl Sequence {
    /// Gathers the windows (their `episode` is a track of `corpus`) as sequences of `steps` transitions.
    pub fn gather(corpus: &Corpus, embeddings: &Embeddings, windows: &[Window], steps: usize, device: &Device) -> Self {
        let (batch, width, actions) = (windows.len(), embeddings.dim, corpus.action_len);
        let mut embedding = vec![0.0; batch * (steps + 1) * width];
        let mut action = vec![0.0; batch * steps * actions];
        let [mut reward, mut success, mut failure, mut taken, mut observed] =
            [(); 5].map(|()| vec![0.0; batch * steps]);
        for (b, window) in windows.iter().enumerate() {
            let track = &corpus.tracks[window.episode];
            for i in 0..=steps {
                let t = window.start + i;
                if t >= track.len {
                    break;
                }
                let at = (b * (steps + 1) + i) * width;
                embedding[at..at + width].copy_from_slice(embeddings.at(window.episode, t));
                if i == steps {
                    break;
                }
                let row = b * steps + i;
                action[row * actions..(row + 1) * actions]
                    .copy_from_slice(&track.action[t * actions..(t + 1) * actions]);
                let last = t + 1 == track.len;
                reward[row] = track.reward[t];
                success[row] = f32::from(u8::from(last && track.success));
                failure[row] = f32::from(u8::from(last && track.terminated && !track.success));
                taken[row] = 1.0;
                observed[row] = f32::from(u8::from(!last));
            }
        }
        let flat = |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, [batch, steps]), device);
        Self {
            embedding: Tensor::from_data(TensorData::new(embedding, [batch, steps + 1, width]), device),
            action: Tensor::from_data(TensorData::new(action, [batch, steps, actions]), device),
            reward: flat(reward),
            success: flat(success),
            failure: flat(failure),
            taken: flat(taken),
            observed: flat(observed),
        }
    }

    /// Draws `batch` windows and gathers them in `shards` parts.
    pub fn sample(
        (corpus, embeddings): (&Corpus, &Embeddings),
        sampler: &WindowSampler,
        (batch, steps, shards): (usize, usize, usize),
        rng: &mut StdRng,
        device: &Device,
    ) -> Vec<Self> {
        let windows = sampler.sample(rng, batch);
        windows
            .chunks(batch.div_ceil(shards.max(1)))
            .map(|part| Self::gather(corpus, embeddings, part, steps, device))
            .collect()
    }
}
