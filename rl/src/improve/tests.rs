//! What the candidates of a comparison may do, and what a policy makes of it.

use episodes::Normaliser;
use policy::flow::LearnFrom;
use world_model::WorldModelConfig;

use super::*;
use crate::toys;

#[test]
fn nudges_stay_within_what_was_recorded_and_touch_nothing_else() {
    let device = Device::default().autodiff();
    device.seed(3);
    let (mut corpus, embeddings) = toys::slope();
    corpus.action_normaliser = Normaliser { min: vec![-0.2], max: vec![0.3], ..Normaliser::identity(1) };
    let inner = Device::default();
    let model = WorldModel::new(&WorldModelConfig::default(), &[], 2, 1, &inner).expect("no pictures, no misfit");
    let flow = FlowConfig { chunk: 2, execute: 2, width: 8, flow_steps: 2, ..FlowConfig::default() };
    let actor = FlowPolicy::new(&flow, 2, 1, &device);
    let clone = actor.valid();
    let limits = Limits { disagreement_95: 1.0, doubt_budget: f32::INFINITY };
    let values = toys::values();
    let drawn = |nudge: f32| {
        let config = ImproveConfig { nudge, ..ImproveConfig::default() };
        let critic = Critic::new(&values, 2, &corpus.returns, &device);
        let prior = Prior { model: &model, clone: &clone, limits };
        let sizes = (&config, &values, &flow);
        let learner =
            ImproveLearner::new((actor.clone(), critic), prior, (&corpus, &embeddings), sizes, 1, (&device, 0));
        let mut rng = noise::generator(0, "candidates", 0);
        let noise = model.draw_noise(5, &mut rng, &inner);
        let latent = model.start(toys::start(5), noise);
        floats(learner.candidates(&clone, &latent, 12, &mut rng, &inner))
    };
    let (plain, nudged) = (drawn(0.0), drawn(4.0));
    // 12 candidates of 2 actions: 6 of the clone, 3 of the copy, 3 of the copy nudged.
    let (mut low, mut high) = (0, 0);
    for (plain, nudged) in plain.chunks_exact(24).zip(nudged.chunks_exact(24)) {
        assert_eq!(plain[..18], nudged[..18]);
        assert!(nudged[18..].iter().all(|a| (-0.2..=0.3).contains(a)), "{nudged:?}");
        low += nudged[18..].iter().filter(|a| **a == -0.2).count();
        high += nudged[18..].iter().filter(|a| **a == 0.3).count();
    }
    assert!(low > 0 && high > 0, "a nudge of four deviations reaches both ends: {low}, {high}");
}

/// From the state 0 the action `a` leads to the state `a`, which pays `(1 + a)/2` a step: a clone's actions are as good as their mean.
#[test]
fn a_copy_that_compares_in_imagination_is_better_than_the_clone_and_stays_among_its_actions() {
    let (corpus, embeddings) = toys::slope();
    let (data, device, inner) = ((&corpus, &embeddings), Device::default().autodiff(), Device::default());
    device.seed(5);
    let config = ImproveConfig {
        updates: 150,
        starts: 16,
        segments: 1,
        learning_rate: 3e-3,
        context: 0,
        ..ImproveConfig::default()
    };
    let (model, values, flow) = (toys::world(data, &device), toys::values(), toys::flow(48, 6));
    let actor = toys::clone(&flow, data, &device);
    let clone = actor.valid();
    let prior = Prior { model: &model, clone: &clone, limits: toys::LIMITS };
    let networks = (actor, toys::valued(data, &device));
    let mut learner = ImproveLearner::new(networks, prior, data, (&config, &values, &flow), 2, (&device, 0));
    (0..config.updates).for_each(|update| drop(learner.update(update, config.updates)));
    let noise = noise::normal([300, 1], &mut noise::generator(0, "ask", 0), &inner);
    let [before, after] =
        [&clone, &learner.actor.frozen()].map(|policy| floats(policy.act(toys::start(300), noise.clone())));
    // A flow overshoots what it learned from, seldom.
    let among = after.iter().filter(|a| a.abs() <= 1.0).count();
    assert!(among >= 285, "{among} of 300 are actions that were recorded");
    let mean = |actions: &[f32]| actions.iter().sum::<f32>() / 300.0;
    assert!(mean(&after) > mean(&before) + 0.3, "{} before, {} after", mean(&before), mean(&after));
}

#[test]
fn the_leash_holds_to_what_the_clone_learned_from_as_far_as_is_asked() {
    let device = Device::default().autodiff();
    let (corpus, embeddings) = toys::slope();
    let data = (&corpus, &embeddings);
    let model = WorldModel::new(&WorldModelConfig::default(), &[], 2, 1, &Device::default()).expect("no misfit");
    let held = |learn_from: LearnFrom, leash_to_clone: f32| {
        let flow = FlowConfig { learn_from, best_share: 0.25, ..toys::flow(8, 2) };
        let config = ImproveConfig { leash_to_clone, ..ImproveConfig::default() };
        let (values, actor) = (toys::values(), FlowPolicy::new(&flow, 2, 1, &device));
        let (clone, critic) = (actor.valid(), Critic::new(&values, 2, &corpus.returns, &device));
        let prior = Prior { model: &model, clone: &clone, limits: toys::LIMITS };
        let learner = ImproveLearner::new((actor, critic), prior, data, (&config, &values, &flow), 1, (&device, 0));
        // Recorded steps of the worst eight episodes.
        let recorded: Vec<_> = (0..8).map(|track| (track, 0)).collect();
        learner.leash(&recorded, &mut noise::generator(0, "leash", 0))
    };
    // The best quarter of the steps are those of the last 25 of 100 episodes.
    let best = |at: &[(usize, usize)]| at.iter().filter(|(track, _)| *track >= 75).count();
    for (share, expected) in [(0.0, 0), (0.5, 4), (1.0, 8), (7.0, 8)] {
        let held = held(LearnFrom::Best, share);
        assert_eq!((held.len(), best(&held)), (8, expected), "{share}");
    }
    assert_eq!(best(&held(LearnFrom::All, 1.0)), 0, "the clone learned from all");
}
