//! What fitted Q evaluation must do, in a corridor whose truth is known.

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
        differences: world_model::differences::Differences::NONE,
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
    let critic = config.critic((5, execute), &data.0.returns, &device);
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
    let place =
        |&(track, t): &(usize, usize)| embeddings.at(track, t).iter().position(|&x| x == 1.0).expect("it is somewhere");
    // Two steps a chunk, always to the right: success after 5 - place steps, held for ever.
    let right = |_: &[(usize, usize)], e: &Tensor<2>, _: &mut StdRng| Tensor::ones([e.dims()[0], 2], &e.device());
    let values = fit((&corpus, &embeddings), &right, 2).evaluate(&starts).per_start();
    for (start, value) in starts.iter().zip(values) {
        let truth = GAMMA.powi(5 - place(start) as i32);
        assert!((value - truth).abs() < 0.08, "{value} instead of {truth} from place {}", place(start));
    }
    // Always to the left: never.
    let left = |_: &[(usize, usize)], e: &Tensor<2>, _: &mut StdRng| Tensor::ones([e.dims()[0], 2], &e.device()).neg();
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
