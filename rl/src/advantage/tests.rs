//! Which chunks are called good, and what a policy makes of it.

use super::*;
use crate::toys;

#[test]
fn the_best_share_of_a_group_is_good() {
    assert_eq!(best(&[0.1, 3.0, -1.0, 2.0], 0.5), [false, true, false, true]);
    assert_eq!(best(&[0.1, 3.0, -1.0, 2.0], 0.01), [false, true, false, false], "at least one");
    assert_eq!(best(&[1.0, 1.0, 1.0], 0.3), [true, false, false], "ties go to no more than that");
    assert_eq!(best(&[f32::NAN, 1.0], 1.0), [true, true]);
    // (3 + 2)/2 - 1.
    assert!((better(&[0.0, 3.0, -1.0, 2.0], &[false, true, false, true]) - 1.5).abs() < 1e-6);
}

/// From the state 0 the action `a` leads to the state `a`, which pays `(1 + a)/2` a step: a clone's actions are as good as their mean.
#[test]
fn a_policy_that_is_asked_for_good_chunks_is_better_than_the_clone_and_stays_among_its_actions() {
    let (corpus, embeddings) = toys::slope();
    let (data, device, inner) = ((&corpus, &embeddings), Device::default().autodiff(), Device::default());
    device.seed(5);
    let model = toys::world(data, &device);
    let flow = toys::flow(48, 6);
    let actor = toys::clone(&flow, data, &device);
    let clone = burn::module::Module::valid(&actor);
    let values = burn::module::Module::valid(&toys::valued(data, &device));
    let config = ImproveConfig { updates: 400, learning_rate: 3e-3, context: 0, ..ImproveConfig::default() };
    let prior = Prior { model: &model, clone: &clone, limits: toys::LIMITS };
    let mut learner = AdvantageLearner::new((actor, values), prior, data, (&config, &flow), 2, (&device, 0));
    let metrics: Vec<_> = (0..config.updates).map(|update| learner.update(update, config.updates)).collect();
    let named = |name: &str| metrics.last().and_then(|m| m.iter().find(|m| m.0 == name)).map_or(f32::NAN, |m| m.1);
    assert!(named("gain") > 0.02, "good chunks are imagined better: {}", named("gain"));
    assert!((0.0..=1.0).contains(&named("recorded_good")));
    let noise = noise::normal([300, 1], &mut noise::generator(0, "ask", 0), &inner);
    let [before, after] =
        [&clone, &learner.actor.frozen()].map(|policy| floats(policy.act(toys::start(300), noise.clone())));
    let mean = |actions: &[f32]| actions.iter().sum::<f32>() / 300.0;
    assert!(after.iter().all(|a| a.abs() <= 1.0));
    assert!(mean(&after) > mean(&before) + 0.3, "{} before, {} after", mean(&before), mean(&after));
}
