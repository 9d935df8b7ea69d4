//! Training of the two parts of a world model, one update at a time. The command line owns the loop.

mod draw;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use episodes::{Dataset, Window, WindowSampler};

use crate::corpus::{Corpus, Embeddings, Sequence};
use crate::dropout::CameraDropout;
use crate::ensemble::calibration::Surprise;
use crate::events::Events;
use crate::health::{Reactions, Spread};
use crate::hints;
use crate::model::{BEGINNING, Dynamics, WorldModel, WorldModelConfig};
use crate::noise;
use crate::optimise::{Metrics, Schedule, Trainee};
use crate::representation::{Data, Pairs, Representation, Seen};
use crate::shards::Ahead;
use draw::{Draw, LEARNING, Shard};

/// Trains the representation.
pub struct RepresentationLearner<'a> {
    /// Network and optimiser.
    pub trainee: Trainee<Representation>,
    config: WorldModelConfig,
    data: Data<'a>,
    returns: Vec<Vec<f32>>,
    ahead: Ahead<Pairs>,
    device: Device,
    seed: u64,
}

impl<'a> RepresentationLearner<'a> {
    /// `representation` must live on `device`, an autodiff device.
    pub fn new(
        representation: Representation,
        config: &WorldModelConfig,
        data: (&'a Dataset, &'a Corpus),
        device: &Device,
        seed: u64,
    ) -> Self {
        let (dataset, corpus) = data;
        Self::with_features(representation, config, (dataset, corpus, None), device, seed)
    }

    /// The same where pictures have features beside them.
    pub fn with_features(
        representation: Representation,
        config: &WorldModelConfig,
        data: Data<'a>,
        device: &Device,
        seed: u64,
    ) -> Self {
        let corpus = data.1;
        let returns = (0..corpus.tracks.len()).map(|t| corpus.returns_to_go(t)).collect();
        let trainee = Trainee::new(representation, config.weight_decay);
        Self { trainee, config: *config, data, returns, ahead: Ahead::default(), device: device.clone(), seed }
    }

    /// Update number `update` of a planned `updates`.
    pub fn update(&mut self, update: usize, updates: usize) -> Metrics {
        let Self { trainee, config, data, returns, ahead, device, seed } = self;
        let representation = config.representation;
        let per_shard = representation.batch.div_ceil(config.shards);
        let sizes = (per_shard, trainee.network.embedding(data.1.state_len));
        let draw = |update: usize| -> Vec<Pairs> {
            let mut rng = noise::generator(*seed, "representation", update as u64);
            (0..config.shards).map(|_| Pairs::sample(*data, returns, sizes, &mut rng, device)).collect()
        };
        let schedule = Schedule { learning_rate: representation.learning_rate, updates };
        let weight = representation.task_weight;
        ahead.learn(update, draw, |shards| {
            trainee.update(schedule.at(update), shards, device, |net, pairs| net.loss(pairs, weight))
        })
    }

    /// Error of what the cameras tell of the hints of held-out episodes (training episodes where there are none), the same moments each
    /// time; `None` without hints.
    pub fn held_out_hint(&self) -> Option<f32> {
        let ((dataset, corpus, _), device) = (self.data, self.device.clone().inner());
        corpus.hints.as_ref()?;
        let mut rng = noise::generator(self.seed, "hints", 0);
        let at = corpus.draw_steps(corpus.judged_on(), HINT_MOMENTS, &mut rng);
        let seen: Vec<Seen> =
            (0..dataset.spec.cameras.len()).map(|camera| Seen::at(self.data, camera, &at, &device)).collect();
        let (cameras, width) = (seen.len(), corpus.hint_len());
        let e = self.trainee.frozen().encoder.encode(seen, Tensor::zeros([at.len(), corpus.state_len], &device));
        let told = Tensor::cat((0..cameras).map(|c| e.clone().narrow(1, c * width, width)).collect(), 0);
        let hint = hints::recorded(corpus, at.iter().copied(), &device).repeat_dim(0, cameras);
        let error = hints::smooth_error(told, hint, self.config.representation.hints.squared_below);
        Some(error.into_scalar())
    }

    /// How much every camera's part of the embedding differs between moments, the same moments of training episodes each time.
    pub fn spreads(&self) -> Vec<Spread> {
        let ((dataset, corpus, _), device) = (self.data, self.device.clone().inner());
        let mut rng = noise::generator(self.seed, "spread", 0);
        let at = corpus.draw_steps(&corpus.train_home, SPREAD_MOMENTS, &mut rng);
        let seen: Vec<Seen> =
            (0..dataset.spec.cameras.len()).map(|camera| Seen::at(self.data, camera, &at, &device)).collect();
        let network = self.trainee.frozen();
        let e = network.encoder.encode(seen.clone(), Tensor::zeros([at.len(), corpus.state_len], &device));
        let width = (e.dims()[1] - corpus.state_len) / seen.len().max(1);
        seen.into_iter()
            .enumerate()
            .map(|(c, seen)| {
                let key = &dataset.spec.cameras[c].key;
                Spread::of(key, e.clone().narrow(1, c * width, width), seen.picture.flatten::<2>(1, 2))
            })
            .collect()
    }
}

/// Moments over which the error of hints is measured.
const HINT_MOMENTS: usize = 512;

/// Moments over which the spread of the embedding is measured.
const SPREAD_MOMENTS: usize = 128;

/// Trains the dynamics on cached embeddings.
pub struct DynamicsLearner<'a> {
    /// Network and optimiser.
    pub trainee: Trainee<Dynamics>,
    draw: Draw<'a>,
    /// Tracks that are learned from.
    learned: Vec<usize>,
    learning_rate: f64,
    sampler: WindowSampler,
    /// Of the tracks that elites are chosen on.
    apart: WindowSampler,
    held_out: WindowSampler,
    ahead: Ahead<Shard>,
    device: Device,
}

impl<'a> DynamicsLearner<'a> {
    /// `dynamics` must live on `device`, an autodiff device.
    pub fn new(
        dynamics: Dynamics,
        config: &WorldModelConfig,
        data: (&'a Corpus, &'a Embeddings),
        device: &Device,
        seed: u64,
    ) -> Self {
        let (corpus, embeddings) = data;
        let (learned, apart) = set_apart(&dynamics, &corpus.train);
        let dynamics = match dynamics {
            Dynamics::Ensemble(m) => Dynamics::Ensemble(m.fit(data, &learned, device)),
            rssm => rssm,
        };
        // Half a horizon is enough to enter: the rest is masked, so that the ends of episodes are seen as often as the rest.
        let longest = learned.iter().map(|&track| corpus.tracks[track].len).max().unwrap_or(1);
        let entry = config.horizon.div_ceil(2).min(longest);
        let (noise_len, members) = match &dynamics {
            Dynamics::Rssm(m) => (m.noise_len(), m.member_count()),
            Dynamics::Ensemble(m) => (1, m.member_count()),
        };
        let events = (config.eventful > 0.0).then(|| Events::of(embeddings, &learned));
        let beginnings = corpus.beginnings(&learned, entry, BEGINNING * config.horizon);
        Self {
            trainee: Trainee::new(dynamics, config.weight_decay),
            draw: Draw {
                config: *config,
                corpus,
                embeddings,
                noise_len,
                members,
                seed,
                dropout: None,
                events,
                beginnings,
            },
            learning_rate: config.learning_rate,
            sampler: corpus.sampler(&learned, entry),
            learned,
            apart: corpus.sampler(&apart, entry),
            held_out: corpus.sampler(&corpus.held_out, entry),
            ahead: Ahead::default(),
            device: device.clone(),
        }
    }

    /// The same, learning from sequences that have lost a camera.
    pub fn with_dropout(mut self, dropout: Option<CameraDropout>) -> Self {
        self.draw.dropout = dropout;
        self
    }

    /// Update number `update` of a planned `updates`.
    pub fn update(&mut self, update: usize, updates: usize) -> Metrics {
        let Self { trainee, draw, learning_rate, sampler, ahead, device, .. } = self;
        let schedule = Schedule { learning_rate: *learning_rate, updates };
        ahead.learn(
            update,
            |update| draw.shards(LEARNING, update, sampler, draw.config.shards, device),
            |shards| trainee.update(schedule.at(update), shards, device, loss),
        )
    }

    /// Lets the members of an ensemble speak that are best on the tracks set apart, and finds how large their errors are there beside what
    /// they say of them; nothing where no tracks are.
    pub fn elect(&mut self) {
        self.tell_success();
        if self.apart.windows() == 0 {
            return;
        }
        let device = self.device.clone().inner();
        let shards: Vec<Shard> = (0..HELD_OUT_BATCHES)
            .flat_map(|batch| self.draw.shards("elites", batch, &self.apart, 1, &device))
            .collect();
        if let (Dynamics::Ensemble(frozen), Dynamics::Ensemble(m)) = (self.trainee.frozen(), &mut self.trainee.network)
        {
            let mut total = vec![0.0; frozen.member_count()];
            for shard in &shards {
                total.iter_mut().zip(frozen.errors(shard.sequence.clone())).for_each(|(sum, error)| *sum += error);
            }
            m.elect(&total);
            let elected = m.valid();
            let surprise = shards.into_iter().map(|shard| elected.surprise(shard.sequence)).reduce(Surprise::plus);
            surprise.into_iter().for_each(|surprise| m.calibrate(surprise));
        }
    }

    /// Success is told from the reward, where recordings do so; from all steps that are learned from.
    fn tell_success(&mut self) {
        let (Draw { corpus, embeddings, config, .. }, device) = (&self.draw, self.device.clone().inner());
        let (Dynamics::Ensemble(frozen), Dynamics::Ensemble(m)) = (self.trainee.frozen(), &mut self.trainee.network)
        else {
            return;
        };
        if !frozen.reads_reward() {
            return;
        }
        let steps = config.horizon;
        let starts = |&episode: &usize| (0..corpus.tracks[episode].len).step_by(steps).map(move |at| (episode, at));
        let windows = self.learned.iter().flat_map(starts).map(|(episode, start)| Window { episode, start });
        let windows: Vec<Window> = windows.collect();
        let read = |part: &[Window]| frozen.readings(Sequence::gather(corpus, embeddings, part, steps, &device));
        m.tell_success(&windows.chunks(config.batch.max(1)).flat_map(read).collect::<Vec<_>>());
    }

    /// The same loss on the same few batches of held-out episodes each time, without learning; `None` where no
    /// held-out episode is long enough.
    pub fn held_out(&self) -> Option<Metrics> {
        if self.held_out.windows() == 0 {
            return None;
        }
        let (device, frozen) = (self.device.clone().inner(), self.trainee.frozen());
        let mut total = Metrics::new();
        for batch in 0..HELD_OUT_BATCHES {
            let shard = self.draw.shards("held-out", batch, &self.held_out, 1, &device).pop()?;
            let (value, mut metrics) = loss(&frozen, shard);
            metrics.insert(0, ("loss", value.into_scalar()));
            if total.is_empty() {
                total = metrics.iter().map(|m| (m.0, 0.0)).collect();
            }
            for (sum, (_, value)) in total.iter_mut().zip(metrics) {
                sum.1 += value / HELD_OUT_BATCHES as f32;
            }
        }
        Some(total)
    }

    /// How the model reacts to actions and to its stochastic state, on the same few batches of held-out episodes (training
    /// episodes where none is long enough) each time.
    pub fn reactions(&self) -> Reactions {
        let (device, frozen) = (self.device.clone().inner(), self.trainee.frozen());
        let sampler = if self.held_out.windows() > 0 { &self.held_out } else { &self.sampler };
        let mut rng = noise::generator(self.draw.seed, "reactions", 0);
        (0..HELD_OUT_BATCHES)
            .flat_map(|batch| self.draw.shards("reactions", batch, sampler, 1, &device))
            .map(|shard| Reactions::of(&frozen, &shard.sequence, self.draw.corpus.state_len, &mut rng, &device))
            .fold(Reactions::default(), |sum, found| found.plus(&sum))
    }
}

/// One in so many training tracks is set apart to choose elites on.
const APART: usize = 20;

/// Tracks to learn from, and those to choose elites on: none where all members speak, or where tracks are few.
fn set_apart(dynamics: &Dynamics, train: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let chooses = matches!(dynamics, Dynamics::Ensemble(m) if m.elite_count() < m.member_count());
    if !chooses || train.len() < APART {
        return (train.to_vec(), Vec::new());
    }
    let (apart, learned): (Vec<_>, Vec<_>) = train.iter().enumerate().partition(|(i, _)| i % APART == APART - 1);
    [learned, apart].map(|tracks| tracks.into_iter().map(|(_, &track)| track).collect()).into()
}

/// Held-out batches behind a held-out loss: ends are rare, and one batch may hold none.
const HELD_OUT_BATCHES: usize = 6;

fn loss(dynamics: &Dynamics, shard: Shard) -> (Tensor<1>, Metrics) {
    match dynamics {
        Dynamics::Rssm(m) => m.loss(shard.sequence, shard.noise, shard.bootstrap),
        Dynamics::Ensemble(m) => m.loss(shard.sequence, shard.bootstrap),
    }
}

/// Latent states at (track, step) pairs, reached by observing up to `context` recorded steps before each.
pub fn latents_at(
    model: &WorldModel,
    data: (&Corpus, &Embeddings),
    at: &[(usize, usize)],
    context: usize,
    rng: &mut rand::rngs::StdRng,
    device: &Device,
) -> crate::Latent {
    let (corpus, embeddings) = data;
    let context = context.max(model.memory());
    let actions = corpus.action_len;
    let rows = at.len();
    let step =
        |back: usize| -> Vec<(usize, usize)> { at.iter().map(|&(track, t)| (track, t.saturating_sub(back))).collect() };
    let mut latent = model.start(embeddings.gather(&step(context), device), model.draw_noise(rows, rng, device));
    for back in (0..context).rev() {
        let here = step(back);
        let e = embeddings.gather(&here, device);
        let mut action = Vec::with_capacity(rows * actions);
        let mut begins = Vec::with_capacity(rows);
        for (&(track, t), &(_, target)) in here.iter().zip(at) {
            // Before the episode there is nothing to observe: the state begins anew at its first observation.
            begins.push(target <= back);
            let before = t.saturating_sub(1);
            action.extend_from_slice(&corpus.tracks[track].action[before * actions..(before + 1) * actions]);
        }
        let action = Tensor::from_data(burn::tensor::TensorData::new(action, [rows, actions]), device);
        let noise = model.draw_noise(rows, rng, device);
        let begun = model.start(e.clone(), noise.clone());
        let observed = model.observe(&latent, action, e.clone(), noise);
        let mask = Tensor::<1, burn::tensor::Bool>::from_data(burn::tensor::TensorData::new(begins, [rows]), device);
        let choose = |observed: Option<Tensor<2>>, begun: Option<Tensor<2>>| match (observed, begun) {
            (Some(o), Some(b)) => {
                let mask = mask.clone().unsqueeze_dim::<2>(1).expand(o.dims());
                Some(o.mask_where(mask, b))
            }
            _ => None,
        };
        latent = crate::Latent { e, h: choose(observed.h, begun.h), z: choose(observed.z, begun.z) };
    }
    latent
}
