//! A small feed-forward policy that somebody trained elsewhere: state in, actions out.
//!
//! `a = action_offset + action_scale · g(W_n f(… f(W_1 x + b_1) …) + b_n)`, in the units of the recording, with `x` the state, `f` and
//! `g` as the file's words name them, and `g` and the affine part optional. `a` is a chunk of actions, one after the other; all of them
//! are executed before the policy looks again.
//!
//! | word | values | where it is missing |
//! |---|---|---|
//! | `activation` (f) | relu, tanh, elu, gelu, identity | refused, unless there is one layer |
//! | `final_activation` (g) | tanh, identity | identity |
//! | `input` (x) | `state`: as recorded; `state_normalised`: less its mean over training episodes, over its standard deviation, angles told by `data.state_angles` as cosines and sines | `state` |
//!
//! Layers are pairs `layers.0.weight` `[out, in]`, `layers.0.bias` `[out]` and so on, or the names of a `nn.Sequential`; a missing bias
//! is 0. `action_scale` and `action_offset` have one number, one per element of an action, or one per output.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use burn::tensor::activation::{gelu, relu};
use burn::tensor::{Device, Tensor, TensorData};
use world_model::vision::floats;

use super::weights::{Array, Weights};
use crate::errors::UsageError;
use crate::stages::workshop::Workshop;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activation {
    Relu,
    Tanh,
    Elu,
    Gelu,
    Identity,
}

impl Activation {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "relu" => Self::Relu,
            "tanh" => Self::Tanh,
            "elu" => Self::Elu,
            "gelu" => Self::Gelu,
            "identity" => Self::Identity,
            _ => return None,
        })
    }

    fn apply(self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Relu => relu(x),
            Self::Tanh => x.tanh(),
            // x above 0, e^x - 1 below.
            Self::Elu => relu(x.clone()) + x.clamp_max(0.0).exp() - 1.0,
            Self::Gelu => gelu(x),
            Self::Identity => x,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    State,
    StateNormalised,
}

/// Numbers that a robot's policy takes and gives.
struct Sizes {
    /// Elements of the state as recorded.
    state: usize,
    /// Elements of the state as networks of the run see it.
    normalised: usize,
    /// Elements of an action.
    action: usize,
}

/// The policy.
pub struct Network {
    /// Per layer, weights `[in, out]` and biases `[1, out]`.
    layers: Vec<(Tensor<2>, Tensor<2>)>,
    activation: Activation,
    last: Activation,
    input: Input,
    /// `[1, out]`.
    scale: Tensor<2>,
    offset: Tensor<2>,
    chunk: usize,
}

impl Network {
    /// From weights, for a robot; `Err` says what is wrong with them.
    fn of(weights: &Weights, sizes: &Sizes, device: &Device) -> Result<Self, String> {
        if sizes.state == 0 {
            return Err(
                "a network of the state; this robot has cameras alone: serve a policy that sees (NAME=ws://HOST:PORT)"
                    .into(),
            );
        }
        let input = match weights.word("input") {
            None | Some("state") => Input::State,
            Some("state_normalised") => Input::StateNormalised,
            Some(other) => return Err(format!("input '{other}'; expected state or state_normalised")),
        };
        let layers = layers(weights)?;
        let known = "relu, tanh, elu, gelu or identity";
        let activation = match weights.word("activation") {
            None if layers.len() == 1 => Activation::Identity,
            None => return Err(format!("{} layers and no word 'activation'; expected it to be {known}", layers.len())),
            Some(word) => Activation::of(word).ok_or_else(|| format!("activation '{word}'; expected {known}"))?,
        };
        let last = match weights.word("final_activation") {
            None | Some("identity") => Activation::Identity,
            Some("tanh") => Activation::Tanh,
            Some(other) => return Err(format!("final_activation '{other}'; expected tanh or identity")),
        };
        let (takes, gives) = (layers[0].0.shape[1], layers[layers.len() - 1].0.shape[0]);
        let (expected, what) = match input {
            Input::State => (sizes.state, "the robot's state has"),
            Input::StateNormalised => (sizes.normalised, "the robot's state has, its angles as cosine and sine"),
        };
        if takes != expected {
            return Err(format!("a network that takes {takes} numbers; expected {expected}, as {what}"));
        }
        if gives == 0 || gives % sizes.action != 0 {
            return Err(format!(
                "a network that gives {gives} numbers; expected {}, an action of the robot, or a multiple of it",
                sizes.action
            ));
        }
        let row = |name: &str, default: f32| match weights.tensors.get(name) {
            None => Ok(vec![default; gives]),
            Some(Array { values, .. })
                if gives % values.len().max(1) == 0 && [1, sizes.action, gives].contains(&values.len()) =>
            {
                Ok(values.iter().copied().cycle().take(gives).collect())
            }
            Some(Array { values, .. }) => {
                let found = values.len();
                Err(format!("'{name}' has {found} numbers; expected 1, {} or {gives}", sizes.action))
            }
        };
        let matrix =
            |values: Vec<f32>, shape: [usize; 2]| Tensor::<2>::from_data(TensorData::new(values, shape), device);
        let (scale, offset) = (row("action_scale", 1.0)?, row("action_offset", 0.0)?);
        let layer = |(weight, bias): (&Array, Vec<f32>)| {
            let out = weight.shape[0];
            (matrix(weight.values.clone(), [out, weight.shape[1]]).transpose(), matrix(bias, [1, out]))
        };
        Ok(Self {
            layers: layers.into_iter().map(layer).collect(),
            activation,
            last,
            input,
            scale: matrix(scale, [1, gives]),
            offset: matrix(offset, [1, gives]),
            chunk: gives / sizes.action,
        })
    }

    /// Actions per answer.
    pub fn chunk(&self) -> usize {
        self.chunk
    }

    /// Raw actions `[B, chunk*A]` at inputs `[B, S]`.
    fn act(&self, x: Tensor<2>) -> Tensor<2> {
        let mut x = x;
        for (i, (weight, bias)) in self.layers.iter().enumerate() {
            x = x.matmul(weight.clone()) + bias.clone();
            x = if i + 1 < self.layers.len() { self.activation.apply(x) } else { self.last.apply(x) };
        }
        x * self.scale.clone() + self.offset.clone()
    }
}

/// The layers in the order of their numbers: weights `[out, in]` and biases, checked against each other.
fn layers(weights: &Weights) -> Result<Vec<(&Array, Vec<f32>)>, String> {
    let mut found: BTreeMap<(&str, usize), [Option<&Array>; 2]> = BTreeMap::new();
    let mut unknown = Vec::new();
    for (name, array) in &weights.tensors {
        let which = |ending: &str| {
            let stem = name.strip_suffix(ending)?;
            let digits = stem.len() - stem.bytes().rev().take_while(u8::is_ascii_digit).count();
            let (prefix, number) = stem.split_at(digits);
            Some((prefix, number.parse::<usize>().ok()?))
        };
        match (which(".weight"), which(".bias"), name.as_str()) {
            (Some(layer), ..) if array.shape.len() == 2 => found.entry(layer).or_default()[0] = Some(array),
            (_, Some(layer), _) if array.shape.len() == 1 => found.entry(layer).or_default()[1] = Some(array),
            (.., "action_scale" | "action_offset") => {}
            _ => unknown.push(format!("{name} {:?}", array.shape)),
        }
    }
    let expected = "expected layers.0.weight [out, in], layers.0.bias [out], layers.1.weight and so on, and nothing else but action_scale and action_offset";
    let prefixes = found.keys().map(|(prefix, _)| prefix).collect::<std::collections::BTreeSet<_>>().len();
    if found.is_empty() || !unknown.is_empty() || prefixes > 1 {
        let what = if unknown.is_empty() { format!("layers under {prefixes} names") } else { unknown.join(", ") };
        return Err(format!("{what}; {expected}"));
    }
    let mut layers: Vec<(&Array, Vec<f32>)> = Vec::new();
    for ((prefix, number), [weight, bias]) in found {
        let weight = weight.ok_or_else(|| format!("{prefix}{number}.bias without a weight; {expected}"))?;
        let out = weight.shape[0];
        let bias = bias.map_or_else(|| vec![0.0; out], |bias| bias.values.clone());
        let before = layers.last().map_or(weight.shape[1], |(before, _)| before.shape[0]);
        if bias.len() != out || weight.shape[1] != before {
            return Err(format!(
                "{prefix}{number}: weight {:?} and {} biases behind a layer of {before}; expected [out, in] with as many biases as out, \
                 and in as the layer before gives",
                weight.shape,
                bias.len()
            ));
        }
        layers.push((weight, bias));
    }
    Ok(layers)
}

impl Workshop {
    /// Reads a feed-forward policy.
    ///
    /// # Errors
    /// The file cannot be read, or is no such policy of this robot.
    pub(super) fn network(&self, path: &Path) -> Result<Network> {
        let sizes = Sizes {
            state: self.dataset.spec.state_len(),
            normalised: self.corpus.state_angles.spread_len(),
            action: self.dataset.spec.action_len(),
        };
        let read = Weights::read(path).and_then(|weights| Network::of(&weights, &sizes, &self.inner()));
        Ok(read.map_err(|why| UsageError(format!("{}: {why}", path.display())))?)
    }

    /// What it does at embeddings `[B, E]`, from whose end the state is read: normalised actions `[B, chunk*A]`.
    pub fn network_actions(&self, network: &Network, e: &Tensor<2>) -> Tensor<2> {
        let ([rows, dim], device) = (e.dims(), e.device());
        let x = match network.input {
            Input::StateNormalised => {
                e.clone().narrow(1, dim - self.corpus.state_len, self.corpus.state_angles.spread_len())
            }
            Input::State => {
                let state = self.state_rows(e);
                let width = self.dataset.spec.state_len();
                Tensor::from_data(TensorData::new(state.concat(), [rows, width]), &device)
            }
        };
        let actions = self.normalised_actions(&floats(network.act(x)));
        Tensor::from_data(TensorData::new(actions, [rows, network.chunk * self.corpus.action_len]), &device)
    }
}

#[cfg(test)]
mod tests;
