//! The formula by hand, and what is refused.

use super::*;

fn array(shape: &[usize], values: &[f32]) -> Array {
    Array { shape: shape.to_vec(), values: values.to_vec() }
}

fn weights(tensors: &[(&str, Array)], words: &[(&str, &str)]) -> Weights {
    Weights {
        tensors: tensors.iter().map(|(name, array)| ((*name).to_owned(), array.clone())).collect(),
        words: words.iter().map(|(key, word)| ((*key).to_owned(), (*word).to_owned())).collect(),
    }
}

/// The network of the fixtures.
fn two_layers() -> Vec<(&'static str, Array)> {
    vec![
        ("layers.0.weight", array(&[3, 2], &[1.0, -1.0, 0.5, 2.0, 0.0, -0.5])),
        ("layers.0.bias", array(&[3], &[0.0, 1.0, -1.0])),
        ("layers.1.weight", array(&[2, 3], &[1.0, 0.0, 2.0, -1.0, 1.0, 0.0])),
        ("layers.1.bias", array(&[2], &[0.25, 0.0])),
    ]
}

const ROBOT: Sizes = Sizes { state: 2, normalised: 2, action: 2 };

fn act(weights: &Weights, sizes: &Sizes, x: [[f32; 2]; 1]) -> Result<Vec<f32>, String> {
    let device = Device::default();
    Ok(floats(Network::of(weights, sizes, &device)?.act(Tensor::from_floats(x, &device))))
}

#[test]
fn two_layers_by_hand() -> Result<(), String> {
    let relu = weights(&two_layers(), &[("activation", "relu")]);
    // W1 x + b1 = (-1, 5.5, -2); relu (0, 5.5, 0); a = (0.25, 5.5).
    assert_eq!(act(&relu, &ROBOT, [[1.0, 2.0]])?, [0.25, 5.5]);
    // At (3, 1): (2, 4.5, -1.5); relu (2, 4.5, 0); a = (2.25, 2.5).
    assert_eq!(act(&relu, &ROBOT, [[3.0, 1.0]])?, [2.25, 2.5]);
    // With nothing between the layers: (2 - 3 + 0.25, -2 + 4.5).
    let linear = weights(&two_layers(), &[("activation", "identity")]);
    assert_eq!(act(&linear, &ROBOT, [[3.0, 1.0]])?, [-0.75, 2.5]);
    Ok(())
}

#[test]
fn the_end_is_squashed_and_scaled() -> Result<(), String> {
    let mut tensors = two_layers();
    tensors.push(("action_scale", array(&[2], &[10.0, 100.0])));
    tensors.push(("action_offset", array(&[], &[1.0])));
    let weights = weights(&tensors, &[("activation", "relu"), ("final_activation", "tanh")]);
    let out = act(&weights, &ROBOT, [[3.0, 1.0]])?;
    assert!(
        (out[0] - (1.0 + 10.0 * 2.25f32.tanh())).abs() < 1e-4 && (out[1] - (1.0 + 100.0 * 2.5f32.tanh())).abs() < 1e-3
    );
    Ok(())
}

#[test]
fn activations_are_those_of_torch() {
    let x = Tensor::<2>::from_floats([[-2.0, -0.5, 0.0, 0.5, 2.0]], &Device::default());
    for (word, expected) in [
        ("relu", [0.0, 0.0, 0.0, 0.5, 2.0]),
        ("tanh", [-0.964028, -0.462117, 0.0, 0.462117, 0.964028]),
        ("elu", [-0.864665, -0.393469, 0.0, 0.5, 2.0]),
        ("gelu", [-0.0455, -0.154269, 0.0, 0.345731, 1.9545]),
    ] {
        let found = floats(Activation::of(word).expect("known").apply(x.clone()));
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 2e-6), "{word}: {found:?}");
    }
}

#[test]
fn a_sequential_of_torch_and_chunks_of_actions() -> Result<(), String> {
    let rename = |(name, array): (&str, Array)| (name.replace("layers.0", "net.0").replace("layers.1", "net.2"), array);
    let named: Vec<(String, Array)> = two_layers().into_iter().map(rename).collect();
    let named: Vec<(&str, Array)> = named.iter().map(|(name, array)| (name.as_str(), array.clone())).collect();
    let weights = weights(&named, &[("activation", "relu")]);
    assert_eq!(act(&weights, &ROBOT, [[1.0, 2.0]])?, [0.25, 5.5]);
    // Two actions of one number.
    let one = Sizes { action: 1, ..ROBOT };
    assert_eq!(Network::of(&weights, &one, &Device::default())?.chunk(), 2);
    Ok(())
}

#[test]
fn what_does_not_fit_is_one_sentence() {
    let words = |tensors: &[(&str, Array)], said: &[(&str, &str)], sizes: &Sizes| {
        Network::of(&weights(tensors, said), sizes, &Device::default()).err().expect("refused")
    };
    let (good, relu) = (two_layers(), [("activation", "relu")]);
    assert_eq!(
        words(&good, &relu, &Sizes { state: 7, ..ROBOT }),
        "a network that takes 2 numbers; expected 7, as the robot's state has"
    );
    assert_eq!(
        words(&good, &relu, &Sizes { action: 3, ..ROBOT }),
        "a network that gives 2 numbers; expected 3, an action of the robot, or a multiple of it"
    );
    assert!(words(&good, &relu, &Sizes { state: 0, ..ROBOT }).contains("this robot has cameras alone"));
    assert!(words(&good, &[], &ROBOT).starts_with("2 layers and no word 'activation'; expected it to be relu"));
    assert!(words(&good, &[("activation", "swish")], &ROBOT).starts_with("activation 'swish'; expected relu"));
    assert!(
        words(&good, &[("activation", "relu"), ("input", "image")], &ROBOT)
            .starts_with("input 'image'; expected state")
    );
    let with = |name: &'static str, array: Array| [two_layers(), vec![(name, array)]].concat();
    assert!(
        words(&with("log_std", array(&[2], &[0.0; 2])), &relu, &ROBOT)
            .starts_with("log_std [2]; expected layers.0.weight")
    );
    assert!(
        words(&with("critic.0.bias", array(&[2], &[0.0; 2])), &relu, &ROBOT)
            .starts_with("layers under 2 names; expected")
    );
    assert_eq!(
        words(&with("action_scale", array(&[3], &[1.0; 3])), &relu, &ROBOT),
        "'action_scale' has 3 numbers; expected 1, 2 or 2"
    );
    let mut bent = two_layers();
    bent[2].1 = array(&[2, 2], &[0.0; 4]);
    assert!(
        words(&bent, &relu, &ROBOT).starts_with("layers.1: weight [2, 2] and 2 biases behind a layer of 3; expected")
    );
}
