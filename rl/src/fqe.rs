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

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use world_model::agreement::mean;
use world_model::corpus::ReturnRule;
use world_model::layers::EnsembleMlp;
use world_model::optimise::{Metrics, Schedule, Trainee};
use world_model::shards::side_by_side;
use world_model::two_hot::TwoHot;
use world_model::vision::floats;
use world_model::{Corpus, Embeddings, noise};

use crate::critic::{blend, n_step_target};
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
    /// Evaluate also policies with changed actions, `improved+noise:0.5`.
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

/// `Q_m(e, c)` of executed actions `c`.
#[derive(Module, Debug)]
pub struct ChunkValues {
    members: EnsembleMlp,
    low: f64,
    high: f64,
    bins: usize,
}

impl ChunkValues {
    /// A fresh ensemble for embeddings of `embedding` elements and `actions` elements executed, between the rule's `low` and `high`.
    pub fn new(config: &FqeConfig, (embedding, actions): (usize, usize), rule: &ReturnRule, device: &Device) -> Self {
        let sizes = [embedding + actions, config.width, config.width, config.bins];
        let members = EnsembleMlp::new(config.members, &sizes, device);
        Self { members, low: f64::from(rule.low), high: f64::from(rule.high), bins: config.bins }.materialize()
    }

    fn code(&self) -> TwoHot {
        TwoHot { low: self.low as f32, high: self.high as f32, count: self.bins }
    }

    /// Every member's value of `(e, c) [B, E + C*A]`: `[M, B]`.
    pub fn values(&self, x: Tensor<2>) -> Tensor<2> {
        self.code().mean(self.members.forward(x))
    }

    /// Cross-entropy of each member's values of `x [B, E + C*A]` to its own `target [M, B]`, weighted by `weight [M, B]`.
    pub fn loss(&self, x: Tensor<2>, target: Tensor<2>, weight: Tensor<2>) -> Tensor<1> {
        let [members, rows] = target.dims();
        assert_eq!(weight.dims(), target.dims(), "a weight for every target [M, B]");
        let logits = self.members.forward(x).reshape([1, members * rows, self.bins]);
        let each = self.code().cross_entropy(logits, target.reshape([members * rows])).reshape([members, rows]);
        (each * weight.clone()).sum() / weight.sum().clamp_min(1e-6)
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
        widened(&values, &|rng| self.draw(rng) + near.draw(rng), resamples, seed)
    }

    /// The gain over another policy that was evaluated with the same seed, paired by start and by member, with its interval; as
    /// doubtful as both of its sides.
    pub fn gain(&self, over: &Self, record: &TrackRecord, resamples: usize, seed: u64) -> (f64, [f64; 2]) {
        let minus = |(a, b): (&Vec<f32>, &Vec<f32>)| a.iter().zip(b).map(|(a, b)| a - b).collect();
        let gain = Self { members: self.members.iter().zip(&over.members).map(minus).collect() };
        let [near_a, near_b] = [self, over].map(|of| Near::new(&of.per_start(), record));
        let error = |rng: &mut StdRng| gain.draw(rng) + near_a.draw(rng) - near_b.draw(rng);
        widened(&gain.per_start(), &error, resamples, seed)
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
    pub trainee: Trainee<ChunkValues>,
    /// Slow copy, without gradients.
    pub slow: ChunkValues,
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
        critic: ChunkValues,
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
        let rest = floats(self.slow.values(self.remembered(&ends, &mut rng)));
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
            (critic.loss(x, target, weight), Vec::new())
        });
        self.slow = blend(self.slow.clone(), &self.trainee.network, self.config.target_rate);
        metrics
    }

    /// What the policy is worth from each of `starts`, mean over its noise, as every member says.
    pub fn evaluate(&self, starts: &[(usize, usize)]) -> Evaluated {
        let (samples, mut rng) = (self.config.samples.max(1), noise::generator(self.seed, "fqe-starts", 0));
        let rows: Vec<(usize, usize)> = starts.iter().flat_map(|&s| std::iter::repeat_n(s, samples)).collect();
        let values = floats(self.slow.values(self.proposed(&rows, &mut rng)));
        let per_start = |member: &[f32]| member.chunks_exact(samples).map(|c| mean(c.iter().copied()) as f32).collect();
        Evaluated { members: values.chunks_exact(rows.len().max(1)).map(per_start).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use episodes::{Normaliser, OutcomeRule};
    use world_model::corpus::{Part, Track};

    const GAMMA: f32 = 0.8;

    /// A corridor of five places; right leads on, left back, success behind the last. Episodes of random steps, cut off after 12.
    fn corridor(episodes: usize) -> (Corpus, Embeddings) {
        let mut rng = noise::generator(5, "corridor", 0);
        let (mut tracks, mut rows) = (Vec::new(), Vec::new());
        for episode in 0..episodes {
            let (mut place, mut action, mut row) = (rng.random_range(0..5usize), Vec::new(), Vec::new());
            let mut success = false;
            while !success && action.len() < 12 {
                let right = rng.random_bool(0.5);
                row.extend((0..5).map(|i| f32::from(u8::from(i == place))));
                action.push(if right { 1.0 } else { -1.0 });
                success = right && place == 4;
                place = if right { (place + 1).min(4) } else { place.saturating_sub(1) };
            }
            let (part, len, state, reward) = (0, action.len(), row.clone(), vec![0.0; action.len()]);
            tracks.push(Track {
                episode,
                part,
                len,
                state,
                action,
                reward,
                success,
                terminated: success,
                ..Track::default()
            });
            rows.push(row);
        }
        let part = Part { weight: 1.0, embodiment: 0, is_later: false, state_len: 5, action_len: 1, sees: Vec::new() };
        let (train, held_out): (Vec<usize>, Vec<usize>) = (0..episodes).partition(|i| i % 5 != 0);
        let corpus = Corpus {
            tracks,
            train_home: train.clone(),
            train,
            held_out,
            parts: vec![part],
            hints: None,
            state_angles: world_model::angles::Angles::none(5),
            state_len: 5,
            task_len: 0,
            action_len: 1,
            state_normaliser: Normaliser::identity(5),
            action_normaliser: Normaliser::identity(1),
            tasks: None,
            returns: ReturnRule { gamma: GAMMA, success_reward: 1.0, failure_reward: 0.0, low: 0.0, high: 1.0 },
            rule: OutcomeRule::default(),
        };
        (corpus, Embeddings { dim: 5, rows })
    }

    fn fit<'a>(data: (&'a Corpus, &'a Embeddings), executes: Executes<'a>, execute: usize) -> FqeLearner<'a> {
        let device = Device::default().autodiff();
        device.seed(0);
        let config = FqeConfig { updates: 1200, batch: 64, members: 2, width: 32, bins: 21, ..FqeConfig::default() };
        let config = FqeConfig { learning_rate: 4e-3, target_rate: 0.1, ..config };
        let critic = ChunkValues::new(&config, (5, execute), &data.0.returns, &device);
        let mut learner = FqeLearner::new(critic, &config, data, (executes, execute), 1, (&device, 0));
        for update in 0..config.updates {
            learner.update(update, config.updates);
        }
        learner
    }

    #[test]
    fn a_policy_that_nobody_drove_is_worth_what_it_is_worth() {
        let (corpus, embeddings) = corridor(200);
        let starts: Vec<(usize, usize)> = corpus.held_out.iter().map(|&track| (track, 0)).collect();
        let place = |&(track, t): &(usize, usize)| {
            embeddings.at(track, t).iter().position(|&x| x == 1.0).expect("it is somewhere")
        };
        // Two steps a chunk, always to the right: success after 5 - place steps, held for ever.
        let right = |_: &[(usize, usize)], e: &Tensor<2>, _: &mut StdRng| Tensor::ones([e.dims()[0], 2], &e.device());
        let values = fit((&corpus, &embeddings), &right, 2).evaluate(&starts).per_start();
        for (start, value) in starts.iter().zip(values) {
            let truth = GAMMA.powi(5 - place(start) as i32);
            assert!((value - truth).abs() < 0.08, "{value} instead of {truth} from place {}", place(start));
        }
        // Always to the left: never.
        let left =
            |_: &[(usize, usize)], e: &Tensor<2>, _: &mut StdRng| Tensor::ones([e.dims()[0], 2], &e.device()).neg();
        let (value, [low, high]) =
            fit((&corpus, &embeddings), &left, 2).evaluate(&starts).estimate(&TrackRecord::default(), 500, 0);
        assert!(value < 0.1 && low <= value && value <= high, "{value} [{low}, {high}]");
    }

    #[test]
    fn a_gain_is_paired_by_start_and_by_member() {
        // Members and starts differ widely, the gain is 0.1 everywhere: there is nothing to doubt.
        let of = |gain: f32| Evaluated {
            members: (0..3).map(|m| (0..20).map(|i| 0.2 * m as f32 + 0.01 * i as f32 + gain).collect()).collect(),
        };
        let (gain, [low, high]) = of(0.1).gain(&of(0.0), &TrackRecord::default(), 500, 0);
        assert!((gain - 0.1).abs() < 1e-5 && high - low < 1e-5, "{gain} [{low}, {high}]");
        // The value itself is as doubtful as its members: 0, 0.2 and 0.4 about their mean.
        let (value, [low, high]) = of(0.0).estimate(&TrackRecord::default(), 2000, 0);
        assert!((value - 0.295).abs() < 1e-5 && low < 0.11 && high > 0.48, "{value} [{low}, {high}]");
        // An estimator that was off by half a unit here and there about the behaviour has no say about a tenth.
        let imagined: Vec<f32> = (0..40).map(|i| 0.01 * i as f32).collect();
        let recorded = imagined.iter().enumerate().map(|(i, x)| x + [0.5, -0.5][i % 2]).collect();
        let (_, [low, _]) = of(0.1).gain(&of(0.0), &TrackRecord { imagined, recorded }, 500, 0);
        assert!(low < 0.0, "{low}");
    }
}
