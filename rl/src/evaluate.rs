//! Judging policies offline: imagined return and success with bootstrap intervals, and the gate.
//!
//! A policy is imagined closed-loop from the first observation of episodes the optimiser never saw. The recorded
//! behaviour has no network to ask; it is imagined along its own episodes with the recorded actions, set back onto the
//! recording every few steps, so that what is judged is the model and not the drift of an open loop.

mod behaviour;
mod outcome;
mod sequences;
#[cfg(test)]
mod tests;

use burn::tensor::{Device, Tensor};
use policy::Receding;
use rand::rngs::StdRng;
use rollouts::Imagined;
use rollouts::imagine::{Actor, imagine_knowing, shared_noise, split_chunk};
use serde::{Deserialize, Serialize};
use world_model::agreement::mean;
use world_model::shards::side_by_side;
use world_model::train::latents_at;
use world_model::{Corpus, Embeddings, Latent, WorldModel, noise};

pub(crate) use behaviour::LATE;
pub use behaviour::imagine_behaviour;
pub use outcome::{Belief, PerStart, RAREST_SUCCESS, time_to_success};
use outcome::{join, per_start};
pub(crate) use sequences::follow;
pub use sequences::{Played, imagine_sequences};

use crate::fqe::FqeConfig;
use crate::members::Column;
use crate::plan::Planner;
use crate::track_record::{self, TrackRecord};

/// How policies are judged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateConfig {
    /// Steps imagined from the first observation.
    pub horizon: usize,
    /// Noise draws per start.
    pub samples: usize,
    /// Most starts used.
    pub starts: usize,
    /// Steps after which the behaviour is set back onto its recording.
    pub anchor_every: usize,
    /// Every policy is imagined under each member of the world model alone, too, and intervals know how far members disagree. It makes
    /// judging take about twice as long, and says nothing where the members are no models of their own (`rssm`).
    pub members: bool,
    /// Share of its deviation, as large as it was found on episodes set apart, that an ensemble adds as noise when policies are judged,
    /// whatever it does when they are improved: what happens once in a while (a fall, a somersault) is never imagined by means alone.
    pub noise: f32,
    /// Bootstrap resamples.
    pub resamples: usize,
    /// Parts into which the starts are split over threads; part of the result, so not taken from the machine.
    pub shards: usize,
    /// The estimator that asks no world model, and what corrects it.
    pub fqe: FqeConfig,
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        Self {
            horizon: 100,
            samples: 4,
            starts: 64,
            anchor_every: 10,
            members: true,
            noise: 1.0,
            resamples: 2000,
            shards: 2,
            fqe: FqeConfig::default(),
        }
    }
}

/// Return and success with 95 % intervals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Mean discounted return, units of the reward.
    pub r#return: f64,
    /// Interval of the mean return.
    pub return_ci95: [f64; 2],
    /// Share of successes.
    pub success: f64,
    /// Interval of the success share.
    pub success_ci95: [f64; 2],
}

/// Acts in imagination: `(embedding [B, E], generator)` to chunk `[B, chunk*A]`, executed as [`Receding`] says.
pub type Act<'a> = &'a (dyn Fn(&Tensor<2>, &mut StdRng) -> Tensor<2> + Sync);

/// What becomes of normalised actions `[B, C*A]` before they are executed.
pub type Change<'a> = &'a (dyn Fn(Tensor<2>, &mut StdRng) -> Tensor<2> + Sync);

/// First steps of the episodes used as starts: held-out ones; training ones where there are none.
pub fn starts(corpus: &Corpus, most: usize) -> Vec<(usize, usize)> {
    let tracks = corpus.judged_on();
    tracks.iter().take(most).map(|&t| (t, 0)).collect()
}

/// Starts by which an optimiser chooses among its own copies: first steps of home's training episodes. What it chose is judged from
/// [`starts`], which had no say in the choice.
pub fn choosing_starts(corpus: &Corpus, most: usize) -> Vec<(usize, usize)> {
    corpus.train.iter().filter(|&&t| corpus.tracks[t].part == 0).take(most).map(|&t| (t, 0)).collect()
}

/// Imagines `act` from each start, `samples` times; every policy judged with the same `seed` meets the same noise.
pub fn imagine_policy(
    model: &WorldModel,
    data: (&Corpus, &Embeddings),
    (act, receding): (Act<'_>, impl Into<Receding>),
    (config, belief): (&EvaluateConfig, Belief<'_>),
    starts: &[(usize, usize)],
    (seed, device): (u64, &Device),
) -> PerStart {
    let shards: Vec<&[(usize, usize)]> = starts.chunks(starts.len().div_ceil(config.shards.max(1)).max(1)).collect();
    let receding = receding.into();
    let parts = side_by_side(shards, |part, starts| {
        let mut rng = noise::generator(seed, "evaluate-act", part as u64);
        let (action_len, mut last) = (data.0.action_len, None);
        let actor = &mut |latent: &Latent, _: usize| {
            let chunk = receding.go_on(&mut last, act(&latent.e, &mut rng), action_len);
            split_chunk(&chunk, action_len, receding.execute)
        };
        imagine_part(model, data, actor, (config, belief), starts, (seed, part as u64), device)
    });
    join(parts)
}

/// The same for an actor that cannot be asked from several threads, or from whom everything is asked at once: all starts in one
/// batch, `samples` neighbouring rows each.
pub fn imagine_actor(
    model: &WorldModel,
    data: (&Corpus, &Embeddings),
    actor: Actor<'_>,
    judged: (&EvaluateConfig, Belief<'_>),
    starts: &[(usize, usize)],
    (seed, device): (u64, &Device),
) -> PerStart {
    imagine_part(model, data, &mut |latent, step| actor(&latent.e, step), judged, starts, (seed, 0), device)
}

/// The same for the planned policy, which imagines itself: its plans know the whole latent state.
pub fn imagine_planned(
    model: &WorldModel,
    data: (&Corpus, &Embeddings),
    (planner, change): (&Planner<'_>, Change<'_>),
    (config, belief): (&EvaluateConfig, Belief<'_>),
    starts: &[(usize, usize)],
    (seed, device): (u64, &Device),
) -> PerStart {
    let shards: Vec<&[(usize, usize)]> = starts.chunks(starts.len().div_ceil(config.shards.max(1)).max(1)).collect();
    let parts = side_by_side(shards, |part, starts| {
        let mut rng = noise::generator(seed, "evaluate-plan", part as u64);
        let mut knots: Option<Vec<f32>> = None;
        let actor = &mut |latent: &Latent, _: usize| {
            let plan = planner.plan(latent, knots.as_deref(), &mut rng, device);
            knots = Some(planner.moved_on(&plan.knots, planner.execute()));
            split_chunk(&change(plan.actions, &mut rng), data.0.action_len, planner.execute())
        };
        imagine_part(model, data, actor, (config, belief), starts, (seed, part as u64), device)
    });
    join(parts)
}

fn imagine_part(
    model: &WorldModel,
    data: (&Corpus, &Embeddings),
    actor: &mut dyn FnMut(&Latent, usize) -> Vec<Tensor<2>>,
    (config, belief): (&EvaluateConfig, Belief<'_>),
    starts: &[(usize, usize)],
    random: (u64, u64),
    device: &Device,
) -> PerStart {
    let imagined = imagine_rows(model, data, actor, config, starts, random, device);
    per_start(&imagined, &data.0.returns, config.samples, belief)
}

/// `samples` neighbouring rows per start, imagined for the horizon.
fn imagine_rows(
    model: &WorldModel,
    data: (&Corpus, &Embeddings),
    actor: &mut dyn FnMut(&Latent, usize) -> Vec<Tensor<2>>,
    config: &EvaluateConfig,
    starts: &[(usize, usize)],
    (seed, part): (u64, u64),
    device: &Device,
) -> Imagined {
    let mut rng = noise::generator(seed, "evaluate", part);
    let rows: Vec<(usize, usize)> = starts.iter().flat_map(|&s| std::iter::repeat_n(s, config.samples)).collect();
    let latent = latents_at(model, data, &rows, 0, &mut rng, device);
    let noise = shared_noise(model, (rows.len(), 1), config.horizon, &mut rng, device);
    imagine_knowing(model, &latent, actor, &noise)
}

/// Mean and 95 % percentile bootstrap interval over starts.
pub fn interval(values: &[f32], resamples: usize, seed: u64) -> (f64, [f64; 2]) {
    track_record::widened(values, &|_| 0.0, &[], resamples, seed)
}

/// Mean of `a - b`, paired by position, with its interval.
pub fn paired(a: &[f32], b: &[f32], resamples: usize, seed: u64) -> (f64, [f64; 2]) {
    let differences: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    interval(&differences, resamples, seed)
}

/// Estimate with intervals over starts, over what members of the world model make of it, and, where there is one, over the model's record
/// of returns and of successes. The noise is in the starts: each has draws of its own.
pub fn estimate(outcome: &PerStart, record: Option<[&TrackRecord; 2]>, resamples: usize, seed: u64) -> Estimate {
    let over = |column: Column<'_>, which: usize| {
        track_record::estimate(column, record.map(|record| record[which]), resamples, seed)
    };
    let (value, return_ci95) = over(outcome.returns(), 0);
    let (success, success_ci95) = over(outcome.successes(), 1);
    let success_ci95 = success_ci95.map(|bound| bound.clamp(0.0, 1.0));
    Estimate { r#return: value, return_ci95, success, success_ci95 }
}

/// What to do with the improved policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// `GO`, `NO-GO` or `ABSTAIN`.
    pub decision: String,
    /// Why, in one or two sentences.
    pub why: String,
    /// Paired imagined gain of `improved` over `cloned`, units of the reward.
    pub gain: f64,
    /// Interval of the gain.
    pub gain_ci95: [f64; 2],
}

/// Share of unsupported steps above which nothing is said: five times what held-out data itself has.
pub const MOST_UNSUPPORTED: f64 = 0.25;

/// Starts below which a bootstrap interval over starts promises what it cannot keep.
pub const FEWEST_STARTS: usize = 8;

/// Why nothing is said from so few starts; `None` where they are enough.
pub fn too_few(starts: usize) -> Option<String> {
    let are = if starts == 1 { "start is" } else { "starts are" };
    (starts < FEWEST_STARTS).then(|| {
        format!(
            "{starts} held-out {are} too few to tell two policies apart, at least {FEWEST_STARTS} are needed; record more episodes, or hold out more with data.held_out."
        )
    })
}

/// Mean share of imagined steps that disagree more than 95 % of held-out data.
pub fn unsupported_share(outcome: &PerStart) -> f64 {
    outcome.unsupported.iter().map(|&x| f64::from(x)).sum::<f64>() / outcome.unsupported.len().max(1) as f64
}

/// Share of imagined episodes with an end below which a policy is taken to go on for as long as it may.
const RAREST_END: f64 = 0.05;

/// Imagined success below which a policy is taken never to succeed.
const NEVER: f32 = 0.005;

/// The paired gain in undiscounted return to the horizon, with its interval over starts and over what the members of the world model make of it: what a
/// discount hides, such as a fall long after a quick beginning; and to how many members alone it is a loss. `None` where what is imagined of the new
/// one hardly ever ends, so that nothing can be hidden, and where policies succeed: a success ends an episode, so that better ones earn less until then.
fn in_the_long_run(
    improved: &PerStart,
    cloned: &PerStart,
    resamples: usize,
    seed: u64,
) -> Option<(f64, [f64; 2], usize)> {
    let (new, old) = (&improved.undiscounted, &cloned.undiscounted);
    let ends = improved.failure.is_empty() || mean(improved.failure.iter().copied()) >= RAREST_END;
    let succeeds = improved.success.iter().chain(&cloned.success).any(|&success| success >= NEVER);
    if succeeds || !ends || new.is_empty() || new.len() != old.len() {
        return None;
    }
    let (new, old) = (improved.earned(), cloned.earned());
    let (gain, ci95) = track_record::difference(new, old, None, resamples, seed);
    Some((gain, ci95, new.members.minus(old.members).against(gain)))
}

/// The gate: GO only if the lower bound of the paired gain over the clone is above zero, no member of the world model alone sees it the
/// other way round, the better policy stayed on known ground, and (where nothing succeeds) it earns more to the horizon without a discount, too. `record` is the model's of returns; how wrong it has been widens the
/// interval of the gain.
pub fn gate(
    improved: &PerStart,
    cloned: &PerStart,
    record: Option<&TrackRecord>,
    resamples: usize,
    seed: u64,
) -> Verdict {
    let (gain, gain_ci95) = track_record::difference(improved.returns(), cloned.returns(), record, resamples, seed);
    let members = improved.returns().members.minus(cloned.returns().members);
    let against = members.against(gain);
    // What is imagined of the worse one may be as wrong as it likes: it is not what will be driven.
    let unsupported = unsupported_share(if gain >= 0.0 { improved } else { cloned });
    let starts = improved.value.len().min(cloned.value.len());
    let has_record = record.is_some_and(|record| record.imagined.len() >= FEWEST_STARTS);
    let width = if has_record { ", widened by what the model got wrong on whole held-out episodes," } else { "" };
    let (decision, why) = if let Some(why) = too_few(starts) {
        ("ABSTAIN", why)
    } else if unsupported > MOST_UNSUPPORTED {
        let percent = unsupported * 100.0;
        (
            "ABSTAIN",
            format!(
                "{percent:.0} % of the steps imagined for the policy that seems better disagree more than 95 % of held-out data: the model is guessing there."
            ),
        )
    } else if against > 0 {
        let why = format!(
            "The members of the world model disagree: to {against} of {} alone the policy that seems better is the worse one.",
            members.len()
        );
        ("ABSTAIN", why)
    } else if gain_ci95[0] > 0.0
        && let Some((long, [low, high], against)) = in_the_long_run(improved, cloned, resamples, seed)
            .filter(|(_, [low, _], against)| *low <= 0.0 || *against > 0)
    {
        let why = format!(
            "In imagination the improved policy gains soon and not in the long run: its undiscounted return to the horizon, {long:+.1} [{low:+.1}, {high:+.1}], cannot be told from the cloned one's."
        );
        let why = match (high < 0.0, low > 0.0) {
            (true, _) => why.replace("cannot be told from", "is below"),
            // Its interval is above zero, and yet there are members of another opinion.
            (_, true) => why.replace(
                ", cannot be told from the cloned one's",
                &format!(" more, is less to {against} of {} members of the world model alone", members.len()),
            ),
            _ => why,
        };
        ("ABSTAIN", why)
    } else if gain_ci95[0] > 0.0 {
        (
            "GO",
            format!(
                "In imagination the improved policy beats the cloned one from {starts} held-out starts; the 95 % interval of the gain{width} is above zero."
            ),
        )
    } else if gain_ci95[1] < 0.0 {
        ("NO-GO", "In imagination the improved policy is worse than the cloned one; keep the cloned policy.".to_owned())
    } else {
        ("ABSTAIN", "The imagined gain over the cloned policy cannot be told from zero.".to_owned())
    };
    Verdict { decision: decision.into(), why, gain, gain_ci95 }
}
