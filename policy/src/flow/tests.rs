use super::*;
use world_model::dropout::CameraDropout;
use world_model::noise::{generator, normal, uniform};
use world_model::optimise::{Schedule, Trainee};
use world_model::representation::Encoder;
use world_model::vision::VisionConfig;

/// Two modes, -1 and +1, chosen by nothing: a mean regressor would answer 0, a flow must answer one of the two.
#[test]
fn learns_both_modes_and_not_their_mean() {
    let device = Device::default().autodiff();
    device.seed(1);
    let config = FlowConfig { chunk: 1, width: 64, ..FlowConfig::default() };
    let mut trainee = Trainee::new(FlowPolicy::new(&config, 1, 1, &device), 0.0);
    let schedule = Schedule { learning_rate: 3e-3, updates: 800 };
    for update in 0..800 {
        let mut rng = generator(0, "modes", update as u64);
        let sign = (uniform([128, 1], &mut rng, &device) - 0.5).sign();
        let (noise, tau) = (normal([128, 1], &mut rng, &device), uniform([128, 1], &mut rng, &device));
        trainee.update(schedule.at(update), vec![(sign, noise, tau)], &device, |net, (a, noise, tau)| {
            let e = Tensor::zeros([128, 1], &a.device());
            (net.loss(e, (a, noise, tau), Tensor::ones([128], &device), None), Vec::new())
        });
    }
    let inner = Device::default();
    let noise = normal([400, 1], &mut generator(0, "modes-test", 0), &inner);
    let actions = trainee.frozen().act(Tensor::zeros([400, 1], &inner), noise);
    let values = actions.try_into_vec_as::<f32>().expect("floats");
    let near = values.iter().filter(|v| (v.abs() - 1.0).abs() < 0.3).count();
    let positive = values.iter().filter(|v| **v > 0.0).count();
    assert!(near > 330, "{near} of 400 near a mode");
    assert!((120..280).contains(&positive), "{positive} of 400 positive");
}

/// Two cameras show the same; what is to be done is what they show. How wrong is the policy when one of them is black?
fn error_without_a_camera(share: f32) -> f32 {
    let device = Device::default().autodiff();
    device.seed(4);
    let vision = VisionConfig { keypoints: 1, global: 1, ..VisionConfig::default() };
    let encoder = Encoder::new(&vision, &[16, 16], &device).expect("16 is a block");
    let dropout = |share: f32| CameraDropout::new(share, (&encoder, None), &[16, 16], 0, &Device::default());
    let config = FlowConfig { chunk: 1, width: 32, ..FlowConfig::default() };
    let mut trainee = Trainee::new(FlowPolicy::new(&config, 6, 1, &device), 0.0);
    let moments = |rng: &mut rand::rngs::StdRng, device: &Device| {
        let x = uniform([64, 1], rng, device) * 2.0 - 1.0;
        let camera = Tensor::cat(vec![x.clone(), x.clone() * 0.5, x.clone().neg()], 1);
        (Tensor::cat(vec![camera.clone(), camera], 1), x)
    };
    let schedule = Schedule { learning_rate: 3e-3, updates: 300 };
    let (learned, judged) = (dropout(share), dropout(1.0));
    let lost = |e: Tensor<2>, dropout: &Option<CameraDropout>, rng: &mut rand::rngs::StdRng| match dropout {
        Some(dropout) => dropout.apply(e.unsqueeze_dim(1), rng).squeeze_dim::<2>(1),
        None => e,
    };
    for update in 0..300 {
        let mut rng = generator(0, "cameras", update as u64);
        let (e, x) = moments(&mut rng, &device);
        let e = lost(e, &learned, &mut rng);
        let (noise, tau) = (normal([64, 1], &mut rng, &device), uniform([64, 1], &mut rng, &device));
        trainee.update(schedule.at(update), vec![(e, x, noise, tau)], &device, |net, (e, x, noise, tau)| {
            (net.loss(e, (x, noise, tau), Tensor::ones([64], &device), None), Vec::new())
        });
    }
    let (inner, mut rng) = (Device::default(), generator(1, "cameras", 0));
    let (e, x) = moments(&mut rng, &inner);
    let e = lost(e, &judged, &mut rng);
    let noise = normal([64, 1], &mut rng, &inner);
    (trainee.frozen().act(e, noise) - x).abs().mean().into_scalar()
}

#[test]
fn a_policy_that_has_lost_cameras_acts_without_one() {
    let (never, often) = (error_without_a_camera(0.0), error_without_a_camera(0.5));
    assert!(often < 0.15 && often < 0.5 * never, "{often} after dropout, {never} without");
}

#[test]
fn a_weight_of_zero_removes_a_row() {
    let device = Device::default();
    device.seed(2);
    let policy = FlowPolicy::new(&FlowConfig { chunk: 2, width: 16, ..FlowConfig::default() }, 3, 2, &device);
    let mut rng = generator(0, "weights", 0);
    let (e, a) = (normal([2, 3], &mut rng, &device), normal([2, 4], &mut rng, &device));
    let (noise, tau) = (normal([2, 4], &mut rng, &device), uniform([2, 1], &mut rng, &device));
    let weights = Tensor::from_data(TensorData::new(vec![1.0f32, 0.0], [2]), &device);
    let both: f32 = policy.loss(e.clone(), (a.clone(), noise.clone(), tau.clone()), weights, None).into_scalar();
    let first = |x: Tensor<2>| x.narrow(0, 0, 1);
    let one: f32 =
        policy.loss(first(e), (first(a), first(noise), first(tau)), Tensor::ones([1], &device), None).into_scalar();
    assert!((both - one).abs() < 1e-5);
}

#[test]
fn one_step_policies_by_hand_and_kept_inside_the_range() {
    let device = Device::default();
    device.seed(6);
    let policy = FlowPolicy::new(&FlowConfig { chunk: 2, width: 8, ..FlowConfig::default() }, 3, 2, &device);
    let mut rng = generator(0, "acting", 0);
    let (e, noise) = (normal([5, 3], &mut rng, &device), normal([5, 4], &mut rng, &device));
    let floats = |x: Tensor<2>| x.try_into_vec_as::<f32>().expect("floats");
    let velocity = |x: Tensor<2>| policy.velocity(x, Tensor::zeros([5, 1], &device), e.clone(), None);
    let one = policy.clone().with_acting(Acting::OneStep);
    assert_eq!(floats(one.act(e.clone(), noise.clone())), floats(noise.clone() + velocity(noise.clone())));
    let still = policy.clone().with_acting(Acting::Deterministic);
    assert_eq!(floats(still.act(e.clone(), noise.clone())), floats(velocity(noise.zeros_like())));
    // The first element of each action between -0.1 and 0.2, the second above 0.3.
    let kept = one.clone().within(vec![[-0.1, 0.2], [0.3, 9.0]]);
    let (free, kept) = (floats(one.act(e.clone(), noise.clone())), floats(kept.act(e.clone(), noise.clone())));
    for (row, (free, kept)) in free.chunks(2).zip(kept.chunks(2)).enumerate() {
        assert_eq!(kept, [free[0].clamp(-0.1, 0.2), free[1].clamp(0.3, 9.0)], "{row}");
    }
}

#[test]
fn noise_is_scaled_as_configured_and_without_it_the_answer_is_always_the_same() {
    let device = Device::default();
    device.seed(7);
    let policy = FlowPolicy::new(&FlowConfig { width: 8, ..FlowConfig::default() }, 3, 2, &device);
    let mut rng = generator(0, "acting", 0);
    let e = normal([5, 3], &mut rng, &device);
    let [one, other] = [(); 2].map(|()| normal([5, policy.noise_len()], &mut rng, &device));
    let acts = |noise: f64, drawn: &Tensor<2>| -> Vec<f32> {
        let actions = policy.clone().with_noise(noise).act(e.clone(), drawn.clone());
        actions.try_into_vec_as::<f32>().expect("floats")
    };
    assert_eq!(acts(0.0, &one), acts(0.0, &other));
    assert_ne!(acts(0.5, &one), acts(0.5, &other));
    assert_eq!(acts(0.5, &one), acts(1.0, &(one.clone() * 0.5)));
}

#[test]
fn what_a_robot_does_not_have_is_zero_all_the_way_and_teaches_nothing() {
    let device = Device::default();
    device.seed(3);
    let config = FlowConfig { chunk: 2, width: 16, ..FlowConfig::default() };
    // Actions of three elements, two of them the robot's.
    let policy = FlowPolicy::padded(&config, 3, (3, 2), &device);
    let mut rng = generator(0, "padding", 0);
    let (e, noise) = (normal([4, 3], &mut rng, &device), normal([4, 6], &mut rng, &device));
    let other = Tensor::<2>::from_floats([[0.0f32, 0.0, 9.0, 0.0, 0.0, -7.0]], &device);
    let floats = |x: Tensor<2>| x.try_into_vec_as::<f32>().expect("floats");
    let acts = floats(policy.act(e.clone(), noise.clone()));
    assert!(acts.chunks(3).all(|a| a[2] == 0.0 && a[0] != 0.0), "{acts:?}");
    assert_eq!(acts, floats(policy.act(e.clone(), noise.clone() + other.clone())));
    let known = || Some(Tensor::<2>::from_floats([[1.0f32, 1.0, 0.0, 1.0, 1.0, 0.0]], &device).expand([4, 6]));
    let (chunk, tau) = (policy.own(normal([4, 6], &mut rng, &device)), uniform([4, 1], &mut rng, &device));
    let loss = |noise: Tensor<2>| -> f32 {
        let parts = (chunk.clone(), noise, tau.clone());
        policy.loss(e.clone(), parts, Tensor::ones([4], &device), known()).into_scalar()
    };
    assert_eq!(loss(noise.clone()), loss(noise + other));
}

#[test]
fn advice_counts_for_nothing_before_it_was_heard() {
    let device = Device::default();
    device.seed(8);
    let plain = FlowPolicy::new(&FlowConfig { width: 8, ..FlowConfig::default() }, 3, 2, &device);
    let mut rng = generator(0, "advice", 0);
    let (e, noise) = (normal([5, 3], &mut rng, &device), normal([5, plain.noise_len()], &mut rng, &device));
    let acts = |policy: &FlowPolicy| policy.act(e.clone(), noise.clone()).try_into_vec_as::<f32>().expect("floats");
    let guided = plain.clone().with_acting(Acting::Guided { steps: 6, weight: 3.0 });
    for (plain, guided) in acts(&plain).iter().zip(acts(&guided)) {
        assert!((plain - guided).abs() < 1e-5, "{plain} is not {guided}");
    }
}

#[test]
fn guidance_leads_to_what_was_called_good_and_none_of_it_back() {
    let device = Device::default().autodiff();
    device.seed(9);
    let config = FlowConfig { chunk: 1, width: 32, ..FlowConfig::default() };
    let guided = |weight: f32| Acting::Guided { steps: 6, weight };
    let mut trainee = Trainee::new(FlowPolicy::new(&config, 1, 1, &device).with_acting(guided(1.0)), 0.0);
    let schedule = Schedule { learning_rate: 3e-3, updates: 400 };
    for update in 0..400 {
        let mut rng = generator(0, "guided", update as u64);
        // +1 is good and -1 bad; of half of them it is said.
        let good = (uniform([128, 1], &mut rng, &device) - 0.5).sign();
        let said = uniform([128, 1], &mut rng, &device).lower_elem(0.5).float();
        let advice = Tensor::cat(vec![(good.clone() + 1.0) / 2.0, (good.clone().neg() + 1.0) / 2.0], 1) * said;
        let flow = (good, normal([128, 1], &mut rng, &device), uniform([128, 1], &mut rng, &device));
        trainee.update(schedule.at(update), vec![(advice, flow)], &device, |net, (advice, flow)| {
            let e = Tensor::zeros([128, 1], &advice.device());
            (net.advised_loss(e, advice, flow, Tensor::ones([128], &device), None), Vec::new())
        });
    }
    let (net, inner) = (trainee.frozen(), Device::default());
    let mean = |weight: f32| -> f32 {
        let noise = normal([400, 1], &mut generator(0, "guided-test", 0), &inner);
        net.clone().with_acting(guided(weight)).act(Tensor::zeros([400, 1], &inner), noise).mean().into_scalar()
    };
    assert!(mean(0.0).abs() < 0.25, "without guidance both alike: {}", mean(0.0));
    assert!(mean(1.0) > 0.85, "{}", mean(1.0));
}
