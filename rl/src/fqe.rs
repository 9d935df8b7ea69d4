//! Fitted Q evaluation of one policy from recorded steps alone: no world model is asked.
//!
//! `Q_m(e, c)` says what executing the actions `c` at `e` and following the policy π from then on is worth, as a two-hot
//! ensemble (Le, Voloshin and Yue 2019, sec. 4, [arXiv:1903.08738](https://arxiv.org/abs/1903.08738); the steadiest of the direct
//! methods in Voloshin et al. 2021, [arXiv:1911.06854](https://arxiv.org/abs/1911.06854)). The target of a recorded step is
//! `y_m = Σ_{k<C} γ^k (1-γ) r_{t+k} + γ^C Q̄_m(e_{t+C}, π(e_{t+C}, noise))` over the `C` executed actions of a chunk, with a slow
//! copy `Q̄`; ends are those of [`n_step_target`]: a success is worth `R` for ever, a cut-off episode bootstraps.
//!
//! Every member weighs the recorded episodes by exponential draws of its own, in its loss and through its own slow copy in its
//! targets: the spread of the members is a Bayesian bootstrap over training episodes (Rubin 1981; for this estimator Hao et al.
//! 2021, [arXiv:2102.03607](https://arxiv.org/abs/2102.03607)).

#[cfg(test)]
mod tests;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use world_model::agreement::mean;
use world_model::corpus::ReturnRule;
use world_model::optimise::{Metrics, Schedule, Trainee};
use world_model::shards::side_by_side;
use world_model::vision::floats;
use world_model::{Corpus, Embeddings, noise};

use crate::critic::{Critic, CriticConfig, blend, n_step_target};
use crate::track_record::{Near, TrackRecord, widened};

/// Sizes and training of the evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FqeConfig {
    /// Updates per policy; 0 for none: then imagination is the only estimator.
    pub updates: usize,
    /// Recorded steps in a batch.
    pub batch: usize,
    /// Members of the ensemble.
    pub members: usize,
    /// Width of the two hidden layers.
    pub width: usize,
    /// Bins of the two-hot code.
    pub bins: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Share of the way the slow copy moves at each update.
    pub target_rate: f32,
    /// Chunks of the policy drawn once for every recorded step, of which an update takes one: asking it anew each time would take
    /// most of the time.
    pub draws: usize,
    /// Noise draws of the policy per held-out start.
    pub samples: usize,
    /// Evaluate also policies with changed actions, `improved+noise:0.5`, and scripted ones.
    pub changed: bool,
}

impl Default for FqeConfig {
    fn default() -> Self {
        Self {
            updates: 5000,
            batch: 256,
            members: 3,
            width: 128,
            bins: 41,
            learning_rate: 1e-3,
            target_rate: 0.03,
            draws: 2,
            samples: 16,
            changed: false,
        }
    }
}

impl FqeConfig {
    /// A fresh `Q_m(e, c)` for embeddings of `embedding` elements and `actions` elements executed: a [`Critic`] of both side by side.
    pub fn critic(&self, (embedding, actions): (usize, usize), rule: &ReturnRule, device: &Device) -> Critic {
        let sizes =
            CriticConfig { members: self.members, width: self.width, bins: self.bins, ..CriticConfig::default() };
        Critic::new(&sizes, embedding + actions, rule, device)
    }
}

/// What the policy executes at recorded steps: `(track, step)` pairs, their embeddings `[B, E]` and a generator for its noise, to
/// executed actions `[B, C*A]`.
pub type Executes<'a> = &'a (dyn Fn(&[(usize, usize)], &Tensor<2>, &mut StdRng) -> Tensor<2> + Sync);

/// A policy as evaluated: values of the held-out starts by every member, `[M][starts]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// Per member, the value of every start, units of the reward.
    pub members: Vec<Vec<f32>>,
}

impl Evaluated {
    /// Mean over members, per start.
    pub fn per_start(&self) -> Vec<f32> {
        let starts = self.members.first().map_or(0, Vec::len);
        (0..starts).map(|i| mean(self.members.iter().map(|values| values[i])) as f32).collect()
    }

    /// The value with its 95 % bootstrap interval over starts, members, and the errors in the estimator's `record` of the recorded
    /// behaviour; one of fewer than [`FEWEST_STARTS`](crate::evaluate::FEWEST_STARTS) episodes widens nothing.
    pub fn estimate(&self, record: &TrackRecord, resamples: usize, seed: u64) -> (f64, [f64; 2]) {
        let values = self.per_start();
        let near = Near::new(&values, record);
        widened(&values, &|rng| self.draw(rng) + near.draw(rng), &[], resamples, seed)
    }

    /// The gain over another policy that was evaluated with the same seed, paired by start and by member, with its interval; as
    /// doubtful as both of its sides.
    pub fn gain(&self, over: &Self, record: &TrackRecord, resamples: usize, seed: u64) -> (f64, [f64; 2]) {
        let minus = |(a, b): (&Vec<f32>, &Vec<f32>)| a.iter().zip(b).map(|(a, b)| a - b).collect();
        let gain = Self { members: self.members.iter().zip(&over.members).map(minus).collect() };
        let [near_a, near_b] = [self, over].map(|of| Near::new(&of.per_start(), record));
        let error = |rng: &mut StdRng| gain.draw(rng) + near_a.draw(rng) - near_b.draw(rng);
        widened(&gain.per_start(), &error, &[], resamples, seed)
    }

    /// How far one of the members is from their mean.
    fn draw(&self, rng: &mut StdRng) -> f64 {
        let mean_of = |values: &[f32]| mean(values.iter().copied());
        match self.members.len() {
            0 => 0.0,
            n => mean_of(&self.members[rng.random_range(0..n)]) - mean_of(&self.per_start()),
        }
    }
}

/// Tracks whose steps the policy is asked about at a time.
const TRACKS_AT_A_TIME: usize = 16;

/// Evaluates one policy.
pub struct FqeLearner<'a> {
    /// Network and optimiser.
    pub trainee: Trainee<Critic>,
    /// Slow copy, without gradients.
    pub slow: Critic,
    config: FqeConfig,
    corpus: &'a Corpus,
    embeddings: &'a Embeddings,
    executes: Executes<'a>,
    execute: usize,
    /// Per track, what the policy executes at its steps `[T, draws, C*A]`; nothing for tracks that are not trained on.
    drawn: Vec<Vec<f32>>,
    /// Per member, the weight of every track.
    weights: Vec<Vec<f32>>,
    shards: usize,
    device: Device,
    seed: u64,
}

impl<'a> FqeLearner<'a> {
    /// `critic` must live on `device`, an autodiff device; the policy executes `execute` actions of a chunk before it looks again.
    pub fn new(
        critic: Critic,
        config: &FqeConfig,
        (corpus, embeddings): (&'a Corpus, &'a Embeddings),
        (executes, execute): (Executes<'a>, usize),
        shards: usize,
        (device, seed): (&Device, u64),
    ) -> Self {
        let mut rng = noise::generator(seed, "fqe-members", 0);
        let exponential = |_| -rng.random_range(1e-6f32..1.0).ln();
        let all: Vec<f32> = (0..config.members * corpus.tracks.len()).map(exponential).collect();
        let weights = all.chunks(corpus.tracks.len().max(1)).map(<[f32]>::to_vec).collect();
        let mut drawn = vec![Vec::new(); corpus.tracks.len()];
        let parts: Vec<&[usize]> = corpus.train_home.chunks(TRACKS_AT_A_TIME).collect();
        let draw = |part: usize, tracks: &[usize]| {
            let inner = device.clone().inner();
            let mut rng = noise::generator(seed, "fqe-draws", part as u64);
            let steps = |&track: &usize| (0..corpus.tracks[track].len).map(move |t| (track, t));
            let at: Vec<_> = tracks.iter().flat_map(steps).flat_map(|at| vec![at; config.draws.max(1)]).collect();
            let mut rows = floats(executes(&at, &embeddings.gather(&at, &inner), &mut rng)).into_iter();
            let width = config.draws.max(1) * execute * corpus.action_len;
            tracks.iter().map(|&t| (t, rows.by_ref().take(corpus.tracks[t].len * width).collect())).collect::<Vec<_>>()
        };
        for (track, rows) in side_by_side(parts, draw).into_iter().flatten() {
            drawn[track] = rows;
        }
        Self {
            slow: critic.valid(),
            trainee: Trainee::new(critic, 1e-4),
            config: *config,
            corpus,
            embeddings,
            executes,
            execute,
            drawn,
            weights,
            shards,
            device: device.clone(),
            seed,
        }
    }

    /// Embeddings and what was executed at recorded steps: `[B, E + C*A]`.
    fn recorded(&self, at: &[(usize, usize)], device: &Device) -> Tensor<2> {
        let mut actions = Vec::new();
        at.iter().for_each(|&(track, t)| self.corpus.action_chunk(track, t, self.execute, &mut actions));
        let width = self.execute * self.corpus.action_len;
        let actions = Tensor::from_data(TensorData::new(actions, [at.len(), width]), device);
        Tensor::cat(vec![self.embeddings.gather(at, device), actions], 1)
    }

    /// Embeddings and what the policy executes there: `[B, E + C*A]`, without gradients.
    fn proposed(&self, at: &[(usize, usize)], rng: &mut StdRng) -> Tensor<2> {
        let e = self.embeddings.gather(at, &self.device.clone().inner());
        let actions = (self.executes)(at, &e, rng);
        Tensor::cat(vec![e, actions], 1)
    }

    /// The same with one of the chunks drawn in advance, for steps that are trained on.
    fn remembered(&self, at: &[(usize, usize)], rng: &mut StdRng) -> Tensor<2> {
        let (draws, width) = (self.config.draws.max(1), self.execute * self.corpus.action_len);
        let device = self.device.clone().inner();
        let mut actions = Vec::with_capacity(at.len() * width);
        for &(track, t) in at {
            let row = t * draws + rng.random_range(0..draws);
            actions.extend_from_slice(&self.drawn[track][row * width..(row + 1) * width]);
        }
        let actions = Tensor::from_data(TensorData::new(actions, [at.len(), width]), &device);
        Tensor::cat(vec![self.embeddings.gather(at, &device), actions], 1)
    }

    /// What follows from executing the recorded actions: (rewards on the way, discount of the rest, step where it begins).
    fn followed(&self, &(track, t): &(usize, usize)) -> (f32, f32, usize) {
        n_step_target(self.corpus, track, t, self.execute)
    }

    /// Update number `update` of a planned `updates`, on recorded steps of training episodes.
    pub fn update(&mut self, update: usize, updates: usize) -> Metrics {
        let mut rng = noise::generator(self.seed, "fqe", update as u64);
        let at = self.corpus.draw_steps(&self.corpus.train_home, self.config.batch, &mut rng);
        let parts: Vec<(f32, f32, usize)> = at.iter().map(|at| self.followed(at)).collect();
        let ends: Vec<(usize, usize)> = at.iter().zip(&parts).map(|(&(track, _), p)| (track, p.2)).collect();
        let rest = floats(self.slow.values(&self.remembered(&ends, &mut rng)));
        let (members, rows) = (self.config.members, at.len());
        let part = rows.div_ceil(self.shards.max(1)).max(1);
        let shards = (0..rows)
            .step_by(part)
            .map(|from| {
                let own = from..(from + part).min(rows);
                let mut target = Vec::with_capacity(members * own.len());
                let mut weight = Vec::with_capacity(members * own.len());
                for m in 0..members {
                    target.extend(own.clone().map(|i| parts[i].0 + parts[i].1 * rest[m * rows + i]));
                    // The last step of a cut-off episode has no future on record: it teaches nothing.
                    let seen = |i: usize| f32::from(u8::from(parts[i].1 < 1.0));
                    weight.extend(own.clone().map(|i| self.weights[m][at[i].0] * seen(i)));
                }
                let rows = |x: Vec<f32>| Tensor::<2>::from_data(TensorData::new(x, [members, own.len()]), &self.device);
                (self.recorded(&at[own.clone()], &self.device), rows(target), rows(weight))
            })
            .collect();
        let schedule = Schedule { learning_rate: self.config.learning_rate, updates };
        let metrics = self.trainee.update(schedule.at(update), shards, &self.device, |critic, (x, target, weight)| {
            (critic.loss_each(x, target, weight), Vec::new())
        });
        self.slow = blend(self.slow.clone(), &self.trainee.network, self.config.target_rate);
        metrics
    }

    /// What the policy is worth from each of `starts`, mean over its noise, as every member says.
    pub fn evaluate(&self, starts: &[(usize, usize)]) -> Evaluated {
        let (samples, mut rng) = (self.config.samples.max(1), noise::generator(self.seed, "fqe-starts", 0));
        let rows: Vec<(usize, usize)> = starts.iter().flat_map(|&s| std::iter::repeat_n(s, samples)).collect();
        let values = floats(self.slow.values(&self.proposed(&rows, &mut rng)));
        let per_start = |member: &[f32]| member.chunks_exact(samples).map(|c| mean(c.iter().copied()) as f32).collect();
        Evaluated { members: values.chunks_exact(rows.len().max(1)).map(per_start).collect() }
    }
}
