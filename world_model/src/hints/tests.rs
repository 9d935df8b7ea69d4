use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use rand::RngExt;

use super::*;
use crate::noise;
use crate::optimise::{Schedule, Trainee};
use crate::vision::{floats, to_blocks};

const SIZE: usize = 32;

/// A white bar on grey: its centre, from -1 to 1, and its direction.
fn bar([x, y, turn]: [f32; 3]) -> Vec<u8> {
    let (along, across) = ((turn.cos(), turn.sin()), (-turn.sin(), turn.cos()));
    let place = |i: usize| (i as f32 + 0.5) * 2.0 / SIZE as f32 - 1.0;
    (0..SIZE * SIZE)
        .flat_map(|i| {
            let (dx, dy) = (place(i % SIZE) - x, place(i / SIZE) - y);
            let (far, wide) = (dx * along.0 + dy * along.1, dx * across.0 + dy * across.1);
            // Thicker at one end, so that the direction can be told from its opposite.
            let thick = if far > 0.0 { 0.22 } else { 0.08 };
            let inside = far.abs() < 0.45 && wide.abs() < thick;
            [if inside { 230 } else { 90 }; 3]
        })
        .collect()
}

fn drawn(rows: usize, rng: &mut rand::rngs::StdRng) -> (Vec<[f32; 3]>, Vec<Vec<u8>>) {
    let places: Vec<[f32; 3]> = (0..rows)
        .map(|_| [rng.random_range(-0.5..0.5), rng.random_range(-0.5..0.5), rng.random_range(-3.1..3.1)])
        .collect();
    let pictures = places.iter().map(|&place| bar(place)).collect();
    (places, pictures)
}

fn code() -> HintCode {
    let names = ["x", "y", "turn"].map(str::to_owned);
    let angles = Angles::named(&names, &names[2..], "data.hint_angles").expect("one of the names");
    let rows: [[f32; 3]; 2] = [[-0.5, -0.5, 0.0], [0.5, 0.5, 1.0]];
    HintCode::fit(rows.iter().map(<[f32; 3]>::as_slice), angles)
}

#[test]
fn a_code_and_back_is_the_same_hint() {
    let code = code();
    // Mean 0, standard deviation 0.5; the sine is behind.
    let encoded = code.encode(&[0.25, -0.5, 2.0]);
    for (x, expected) in encoded.iter().zip([0.5, -1.0, -0.416_146_8, 0.909_297_4]) {
        assert!((x - expected).abs() < 1e-5, "{encoded:?}");
    }
    for (back, raw) in code.decode(&encoded).iter().zip([0.25, -0.5, 2.0]) {
        assert!((back - raw).abs() < 1e-5, "{back} is not {raw}");
    }
}

#[test]
fn the_error_is_squared_where_small_and_absolute_beyond() {
    let device = Device::default();
    let of = |wrong: f32| -> f32 {
        let estimate = Tensor::<2>::from_floats([[wrong]], &device);
        smooth_error(estimate, Tensor::zeros([1, 1], &device), 0.1).into_scalar()
    };
    // 0.05² / 0.2 and 1 - 0.05.
    assert!((of(0.05) - 0.0125).abs() < 1e-6 && (of(-1.0) - 0.95).abs() < 1e-6);
}

#[test]
fn the_place_and_direction_of_a_bar_are_told_in_pictures_never_seen() {
    let device = Device::default().autodiff();
    device.seed(1);
    let (code, config) = (code(), HintConfig { channels: [8, 12, 12], points: 8, width: 48, squared_below: 0.05 });
    let network = HintEncoder::new(&config, 0, code.code_len(), &device).materialize();
    let mut trainee = Trainee::new(network, 1e-4);
    let batch = |rows: usize, rng: &mut rand::rngs::StdRng, device: &Device| {
        let (places, pictures) = drawn(rows, rng);
        let hint = code.encode(&places.concat());
        let hint = Tensor::<2>::from_data(TensorData::new(hint, [rows, code.code_len()]), device);
        (places, to_blocks(pictures.iter().map(Vec::as_slice), SIZE, device), hint)
    };
    const UPDATES: usize = 500;
    let schedule = Schedule { learning_rate: 4e-3, updates: UPDATES };
    for update in 0..UPDATES {
        let mut rng = noise::generator(0, "bars", update as u64);
        let (_, pictures, hint) = batch(16, &mut rng, &device);
        trainee.update(schedule.at(update), vec![(pictures, hint)], &device, |net, (pictures, hint)| {
            (smooth_error(net.forward(pictures, None), hint, config.squared_below), Vec::new())
        });
    }
    let inner = device.inner();
    let (places, pictures, _) = batch(64, &mut noise::generator(1, "bars", 0), &inner);
    let told = code.decode(&floats(trainee.frozen().forward(pictures, None)));
    let mut errors = [Vec::new(), Vec::new()];
    for (told, place) in told.chunks_exact(3).zip(&places) {
        errors[0].push((told[0] - place[0]).hypot(told[1] - place[1]));
        errors[1].push(code.angles.apart(2, told[2], place[2]));
    }
    let [place, turn] = errors.map(|mut errors| {
        errors.sort_by(f32::total_cmp);
        errors[errors.len() / 2]
    });
    // A pixel is 0.06 wide; guessing the middle is wrong by 0.39 and 1.6.
    assert!(place < 0.06 && turn < 0.3, "wrong by {place} and {turn}");
}

struct Untaught(GradientsParams, usize);

impl ModuleVisitor for Untaught {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = self.0.get::<D>(param.id).map(floats).unwrap_or_default();
        self.1 += usize::from(gradient.iter().all(|&g| g == 0.0));
    }
}

#[test]
fn every_layer_learns_and_a_feature_is_used() {
    let device = Device::default().autodiff();
    device.seed(2);
    let network = HintEncoder::new(&HintConfig::default(), 3, 2, &device).materialize();
    let (_, pictures) = drawn(4, &mut noise::generator(3, "bars", 0));
    let pictures = to_blocks(pictures.iter().map(Vec::as_slice), SIZE, &device);
    let feature = noise::normal([4, 3], &mut noise::generator(3, "feature", 0), &device).require_grad();
    let told = network.forward(pictures, Some(feature.clone()));
    assert_eq!(told.dims(), [4, 2]);
    let grads = told.square().sum().backward();
    assert!(feature.grad(&grads).is_some_and(|g| floats(g).iter().any(|&g| g != 0.0)));
    let mut untaught = Untaught(GradientsParams::from_grads(grads, &network), 0);
    network.visit(&mut untaught);
    assert_eq!(untaught.1, 0, "parameters without a gradient");
}
