use super::*;
use crate::noise;
use burn::module::ModuleVisitor;
use burn::module::Param;
use burn::optim::GradientsParams;

struct Gradients(GradientsParams, Vec<f32>);

impl ModuleVisitor for Gradients {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.1.extend(self.0.get::<D>(param.id).map(floats).unwrap_or_default());
    }
}

fn encoder_gradients(display_points: usize) -> (usize, Vec<f32>) {
    let device = Device::default().autodiff();
    device.seed(5);
    let vision = VisionConfig { display_points, ..VisionConfig::default() };
    let config = RepresentationConfig { vision, ..RepresentationConfig::default() };
    let network = Representation::new(&config, &[16], (2, 1), &device).expect("16 is a block").materialize();
    let mut rng = noise::generator(0, "representation", 0);
    let mut picture = || vec![Seen { picture: noise::uniform([3, 1, 768], &mut rng, &device) - 0.5, feature: None }];
    let (now, next, reference) = (picture(), picture(), picture());
    let shown_reference = vec![Seen { picture: picture()[0].picture.clone().narrow(0, 0, 2), feature: None }];
    let mut row = |width| noise::normal([3, width], &mut rng, &device);
    let pairs = Pairs {
        now,
        next,
        reference,
        shown_reference,
        state_now: row(2),
        state_next: row(2),
        state_reference: row(2),
        state_shown_reference: Tensor::zeros([2, 2], &device),
        action: row(1),
        reward: row(1),
        value: row(1),
        known: None,
        hints: None,
    };
    let grads = network.loss(pairs, 0.3).0.backward();
    let mut all = Gradients(GradientsParams::from_grads(grads, &network), Vec::new());
    network.encoder.visit(&mut all);
    let of_encoder = std::mem::take(&mut all.1);
    network.displays.visit(&mut all);
    (all.1.iter().filter(|g| **g != 0.0).count(), of_encoder)
}

#[test]
fn the_decoder_for_showing_learns_and_teaches_the_embedding_nothing() {
    let ((none, without), (some, with)) = (encoder_gradients(0), encoder_gradients(4));
    assert!(none == 0 && some > 1000, "{none} and {some} weights of the second decoder learn");
    assert!(without.iter().any(|g| *g != 0.0));
    let most = with.iter().zip(&without).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(most < 1e-6, "the encoder's gradients differ by {most}");
}

#[test]
fn what_is_shown_is_painted_on_the_past_of_the_same_episode_near_more_often_than_far() -> Result<(), episodes::Error> {
    use crate::corpus::tests::{open, record};
    let dir = tempfile::tempdir().expect("a temporary directory");
    let device = Device::default();
    let camera = "observation.images.top";
    record(&dir.path().join("home"), (1, 1), Some(camera), (4, 1.0, 0.5))?;
    let dataset = open(&dir.path().join("home"), dir.path())?;
    let split = episodes::split::split(4, 0.25, 0);
    let corpus = Corpus::new(&dataset, episodes::RewardRule::Column, &split, 0.9);
    let returns: Vec<Vec<f32>> = (0..4).map(|t| corpus.returns_to_go(t)).collect();
    let mut rng = noise::generator(0, "pairs", 0);
    let pairs = Pairs::sample((&dataset, &corpus, None), &returns, (200, 1), &mut rng, &device);
    assert_eq!(pairs.shown_reference[0].picture.dims(), [100, 1, 768]);
    // The state grows by 1 a step, before it is normalised.
    let (now, past) = (floats(pairs.state_now), floats(pairs.state_shown_reference));
    let std = corpus.state_normaliser.std[0];
    let back: Vec<f32> = now.iter().zip(&past).map(|(now, past)| ((now - past) * std).round()).collect();
    assert!(back.iter().all(|back| (0.0..=4.0).contains(back)), "{back:?}");
    let of = |steps: f32| back.iter().filter(|back| **back == steps).count();
    assert!(of(1.0) > of(3.0) && of(2.0) > 0 && of(3.0) > 0, "{back:?}");
    Ok(())
}
