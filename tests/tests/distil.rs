//! A distilled policy answers in one pass what its teacher answers in many, and is as manifold as it.

mod recorded;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use episodes::Error;
use policy::{Acting, CloneLearner, DistilConfig, DistilLearner, FlowConfig, FlowPolicy};
use recorded::{corpus, record};
use world_model::vision::floats;
use world_model::{Embeddings, noise};

#[test]
fn one_pass_says_what_eight_said_under_the_same_noise() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = dir.path().join("data");
    // +1 and -1, as often.
    record(&data, |index, t| if (t / 3 + index) % 2 == 0 { 1.0 } else { -1.0 }, None, |_| false)?;
    let corpus = corpus(&data)?;
    let embeddings = Embeddings { dim: 1, rows: corpus.tracks.iter().map(|track| vec![0.0; track.len]).collect() };
    let (device, inner) = (Device::default().autodiff(), Device::default());
    device.seed(1);
    let config = FlowConfig { chunk: 1, execute: 1, width: 48, flow_steps: 8, ..FlowConfig::default() };
    let data = (&corpus, &embeddings);
    let mut cloning = CloneLearner::new(FlowPolicy::new(&config, 1, 1, &device), &config, data, 1, &device, 0);
    (0..500).for_each(|update| drop(cloning.update(update, 500)));
    let (student, teacher) = (cloning.trainee.network.clone(), cloning.trainee.network.valid());
    let distil = DistilConfig { updates: 600, batch: 128, learning_rate: 3e-3 };
    let mut learner = DistilLearner::new((student, teacher.clone()), data, &distil, 2, (&device, 0));
    let before = learner.held_out(512).expect("something is held out");
    (0..distil.updates).for_each(|update| drop(learner.update(update, distil.updates)));
    let after = learner.held_out(512).expect("something is held out");
    assert!(after < 0.15 && after < 0.5 * before, "{before} before, {after} after, of actions of 1");
    let student = learner.student.frozen();
    assert_eq!(student.acting(), Acting::OneStep);
    let noise = noise::normal([400, 1], &mut noise::generator(0, "ask", 0), &inner);
    let seen = || Tensor::from_data(TensorData::new(vec![0.0f32; 400], [400, 1]), &inner);
    let [one, eight] = [&student, &teacher].map(|policy| floats(policy.act(seen(), noise.clone())));
    let up = |actions: &[f32]| actions.iter().filter(|a| **a > 0.0).count();
    // Both ways of acting are left, under the same noise the same one.
    assert!((120..280).contains(&up(&eight)) && up(&one).abs_diff(up(&eight)) < 20, "{} and {}", up(&one), up(&eight));
    let agree = one.iter().zip(&eight).filter(|(a, b)| (**a > 0.0) == (**b > 0.0)).count();
    assert!(agree > 380, "{agree} of 400");
    Ok(())
}
