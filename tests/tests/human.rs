//! What people say of a policy's episodes: a person takes over, an episode is labelled a success. What is cloned follows.

mod recorded;

use burn::tensor::{Device, Tensor, TensorData};
use episodes::Error;
use policy::flow::LearnFrom;
use policy::{CloneLearner, FlowConfig, FlowPolicy};
use recorded::{corpus, record};
use world_model::vision::floats;
use world_model::{Corpus, Embeddings, noise};

/// Share of a clone's actions that are positive, and what its learner warns of.
fn positive_share(corpus: &Corpus, config: FlowConfig) -> (f64, Option<String>) {
    let device = Device::default().autodiff();
    device.seed(1);
    let rows = corpus.tracks.iter().map(|track| vec![0.0; track.len]).collect();
    let (embeddings, config) = (Embeddings { dim: 1, rows }, FlowConfig { chunk: 1, execute: 1, width: 48, ..config });
    let policy = FlowPolicy::new(&config, 1, 1, &device);
    let mut learner = CloneLearner::new(policy, &config, (corpus, &embeddings), 1, &device, 0);
    for update in 0..500 {
        learner.update(update, 500);
    }
    let (inner, drawn) = (Device::default(), 1000);
    let noise = noise::normal([drawn, 1], &mut noise::generator(0, "human", 0), &inner);
    let seen = Tensor::from_data(TensorData::new(vec![0.0f32; drawn], [drawn, 1]), &inner);
    let actions = floats(learner.trainee.frozen().act(seen, noise));
    let normaliser = &corpus.action_normaliser;
    let raw = actions.iter().map(|a| a * normaliser.std[0] + normaliser.mean[0]);
    (raw.filter(|a| *a > 0.0).count() as f64 / drawn as f64, learner.warning())
}

/// The robot does -1 for two seconds; then a person takes over and does +1.
fn robot_then_person(_: usize, t: usize) -> f32 {
    if t < 20 { -1.0 } else { 1.0 }
}

#[test]
fn a_clone_does_as_the_person_who_took_over() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let silent = dir.path().join("silent");
    record(&silent, robot_then_person, None, |_| true)?;
    let spoken = dir.path().join("spoken");
    record(&spoken, robot_then_person, Some(|t| t >= 20), |_| true)?;
    let config = FlowConfig { intervention_weight: 2.0, ..FlowConfig::default() };
    let (silent, spoken) = (corpus(&silent)?, corpus(&spoken)?);
    let said = spoken.said();
    assert_eq!((said.positives, said.negatives), (7 * 20, 7 * 10));
    let share = |corpus: &Corpus| positive_share(corpus, config).0;
    // 20 steps of either are half; 20 steps of weight 2 against 10 of weight 1 are 80 %.
    let (without, with) = (share(&silent), share(&spoken));
    assert!((without - 0.5).abs() < 0.1 && (with - 0.8).abs() < 0.1, "{without} without a person, {with} with one");
    Ok(())
}

#[test]
fn a_clone_of_successes_does_as_they_did_and_of_too_few_as_all_did() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let by_outcome = |index: usize, _: usize| if index.is_multiple_of(2) { 1.0 } else { -1.0 };
    let half = dir.path().join("half");
    record(&half, by_outcome, None, |index| index.is_multiple_of(2))?;
    let none = dir.path().join("none");
    record(&none, by_outcome, None, |_| false)?;
    let from = |learn_from, least_successes| FlowConfig { learn_from, least_successes, ..FlowConfig::default() };
    let half = corpus(&half)?;
    let (all, silent) = positive_share(&half, from(LearnFrom::All, 3));
    let (successes, nothing) = positive_share(&half, from(LearnFrom::Successes, 3));
    assert!((all - 0.5).abs() < 0.15 && successes > 0.97, "{all} of all, {successes} of successes");
    assert_eq!((silent, nothing), (None, None));
    let (few, warning) = positive_share(&corpus(&none)?, from(LearnFrom::Successes, 3));
    assert!((few - 0.5).abs() < 0.15, "{few}");
    let warning = warning.expect("there are no successes");
    assert!(warning.contains("0 training episodes succeed, fewer than policy.least_successes = 3"), "{warning}");
    Ok(())
}
