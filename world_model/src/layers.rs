//! The few layers everything is built from. Activations are ReLU, the cheapest on any device, unless said otherwise.

use burn::module::{Initializer, Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor};

use crate::kernels::bias::biased;
use crate::kernels::gru::gated;
use crate::kernels::silu::silu;

/// Multi-layer perceptron with ReLU between layers and a linear end.
#[derive(Module, Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
}

impl Mlp {
    /// `sizes` from input to output, at least two.
    pub fn new(sizes: &[usize], device: &Device) -> Self {
        let layers = sizes.windows(2).map(|w| LinearConfig::new(w[0], w[1]).init(device)).collect();
        Self { layers }
    }

    /// The same with the last layer at zero, so that the output starts at zero.
    pub fn ending_at_zero(sizes: &[usize], device: &Device) -> Self {
        let mut mlp = Self::new(sizes, device);
        if let (Some(last), [.., input, output]) = (mlp.layers.last_mut(), sizes) {
            *last = LinearConfig::new(*input, *output).with_initializer(Initializer::Zeros).init(device);
        }
        mlp
    }

    /// The same with `more` inputs at the end, which count for nothing yet.
    #[must_use]
    pub fn widened(mut self, more: usize) -> Self {
        if let Some(first) = self.layers.first_mut() {
            let weight = first.weight.val();
            let ([_, width], device) = (weight.dims(), weight.device());
            let wider = Tensor::cat(vec![weight, Tensor::zeros([more, width], &device)], 0);
            // By its values: a parameter is the beginning of what is differentiated.
            first.weight = Param::from_tensor(Tensor::from_data(wider.into_data(), &device));
        }
        self
    }

    /// `[B, in]` to `[B, out]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let last = self.layers.len() - 1;
        self.layers.iter().enumerate().fold(x, |x, (i, layer)| dense(layer, x, i < last))
    }
}

/// One layer, `[B, in]` to `[B, out]`, with ReLU after it or not.
pub fn dense(layer: &Linear, x: Tensor<2>, rectified: bool) -> Tensor<2> {
    let y = x.matmul(layer.weight.val());
    match &layer.bias {
        Some(bias) => biased(y, bias.val().unsqueeze::<2>(), rectified),
        None if rectified => relu(y),
        None => y,
    }
}

/// `K` linear layers side by side, one batched product.
#[derive(Module, Debug)]
pub struct EnsembleLinear {
    weight: Param<Tensor<3>>,
    bias: Param<Tensor<3>>,
}

/// `K` independent perceptrons evaluated together, with ReLU between layers or, where they are smooth, SiLU.
#[derive(Module, Debug)]
pub struct EnsembleMlp {
    layers: Vec<EnsembleLinear>,
    smooth: bool,
}

impl EnsembleMlp {
    /// `members` perceptrons with the given layer sizes.
    pub fn new(members: usize, sizes: &[usize], device: &Device) -> Self {
        let init =
            |zero_fan: usize| Initializer::KaimingUniform { gain: 1.0 / 3f64.sqrt(), fan_out_only: zero_fan == 0 };
        let layers = sizes
            .windows(2)
            .map(|w| EnsembleLinear {
                weight: init(1).init_with([members, w[0], w[1]], Some(w[0]), Some(w[1]), device),
                bias: Initializer::Zeros.init([members, 1, w[1]], device),
            })
            .collect();
        Self { layers, smooth: false }
    }

    /// The same with SiLU between layers: dearer, and nearer to what is smooth itself.
    pub fn smooth(members: usize, sizes: &[usize], device: &Device) -> Self {
        Self { smooth: true, ..Self::new(members, sizes, device) }
    }

    /// The members at `indices [N]` alone.
    pub fn select(&self, indices: &Tensor<1, Int>) -> EnsembleOutputs {
        let pick = |x: &Param<Tensor<3>>| x.val().select(0, indices.clone());
        let layers = self.layers.iter().map(|layer| (pick(&layer.weight), pick(&layer.bias))).collect();
        EnsembleOutputs { layers, smooth: self.smooth }
    }

    /// `[B, in]` to `[K, B, out]`: every member sees the whole batch.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<3> {
        let members = self.layers[0].weight.dims()[0];
        let [batch, input] = x.dims();
        self.forward_each(x.unsqueeze::<3>().expand([members, batch, input]))
    }

    /// `[K, B, in]` to `[K, B, out]`: every member sees its own batch.
    pub fn forward_each(&self, x: Tensor<3>) -> Tensor<3> {
        self.outputs(0, self.layers.last().map_or(0, |last| last.bias.dims()[2])).forward_each(x)
    }

    /// [`Self::forward`] where the outputs from `split` on teach the hidden layers nothing.
    pub fn forward_apart(&self, x: Tensor<2>, split: usize) -> Tensor<3> {
        let all = self.layers.last().map_or(0, |last| last.bias.dims()[2]);
        let mut front = self.outputs(0, all);
        let Some((weight, bias)) = front.layers.pop() else { return x.unsqueeze() };
        let hidden = front.forward_hidden(x);
        let tail = |hidden: Tensor<3>, start: usize, len: usize| {
            biased(hidden.matmul(weight.clone().narrow(2, start, len)), bias.clone().narrow(2, start, len), false)
        };
        Tensor::cat(vec![tail(hidden.clone(), 0, split), tail(hidden.detach(), split, all - split)], 2)
    }

    /// The part that gives the outputs `start .. start + len`, to be asked many times.
    pub fn outputs(&self, start: usize, len: usize) -> EnsembleOutputs {
        let mut layers: Vec<_> = self.layers.iter().map(|layer| (layer.weight.val(), layer.bias.val())).collect();
        if let Some((weight, bias)) = layers.pop() {
            let all = bias.dims()[2] == len;
            let part = |x: Tensor<3>| if all { x } else { x.narrow(2, start, len) };
            layers.push((part(weight), part(bias)));
        }
        EnsembleOutputs { layers, smooth: self.smooth }
    }
}

/// Some outputs, or some members, of an [`EnsembleMlp`]: its weights and biases, cut once.
pub struct EnsembleOutputs {
    layers: Vec<(Tensor<3>, Tensor<3>)>,
    smooth: bool,
}

impl EnsembleOutputs {
    /// `[B, in]` to `[K, B, len]`: every member sees the whole batch.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<3> {
        let members = self.layers[0].0.dims()[0];
        let [batch, input] = x.dims();
        self.forward_each(x.unsqueeze::<3>().expand([members, batch, input]))
    }

    /// `[B, in]` to `[K, B, hidden]`, as if another layer followed.
    fn forward_hidden(&self, x: Tensor<2>) -> Tensor<3> {
        let [batch, input] = x.dims();
        let members = self.layers.first().map_or(1, |(weight, _)| weight.dims()[0]);
        self.through(x.unsqueeze::<3>().expand([members, batch, input]), self.layers.len())
    }

    /// `[K, B, in]` to `[K, B, len]`: every member sees its own batch.
    pub fn forward_each(&self, x: Tensor<3>) -> Tensor<3> {
        self.through(x, self.layers.len() - 1)
    }

    /// Through all layers, layer `last` and those after it without an activation.
    fn through(&self, x: Tensor<3>, last: usize) -> Tensor<3> {
        self.layers.iter().enumerate().fold(x, |x, (i, (weight, bias))| {
            let x = x.matmul(weight.clone());
            if self.smooth && i < last { silu(x, bias.clone()) } else { biased(x, bias.clone(), i < last) }
        })
    }
}

/// Gated recurrent unit: `h' = u ⊙ tanh(r ⊙ c) + (1 - u) ⊙ h`, the update gate biased towards keeping (DreamerV3, app. B).
#[derive(Module, Debug)]
pub struct GruCell {
    gates: Linear,
}

impl GruCell {
    /// A cell for inputs of `input` and a state of `hidden` elements.
    pub fn new(input: usize, hidden: usize, device: &Device) -> Self {
        Self { gates: LinearConfig::new(input + hidden, 3 * hidden).init(device) }
    }

    /// `x [B, in]`, `h [B, hidden]` to the next `h [B, hidden]`.
    pub fn forward(&self, x: Tensor<2>, h: Tensor<2>) -> Tensor<2> {
        gated(dense(&self.gates, Tensor::cat(vec![x, h.clone()], 1), false), h)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise;

    #[test]
    fn ensemble_members_agree_with_single_products() {
        let device = Device::default();
        let mlp = EnsembleMlp::new(3, &[4, 8, 2], &device);
        let x = noise::normal([5, 4], &mut noise::generator(0, "layers", 0), &device);
        let all = mlp.forward(x.clone());
        assert_eq!(all.dims(), [3, 5, 2]);
        for k in 0..3 {
            let w = |i: usize| mlp.layers[i].weight.val().narrow(0, k, 1).squeeze_dim::<2>(0);
            let b = |i: usize| mlp.layers[i].bias.val().narrow(0, k, 1).squeeze_dim::<2>(0);
            let one = relu(x.clone().matmul(w(0)) + b(0)).matmul(w(1)) + b(1);
            let difference: f32 = (all.clone().narrow(0, k, 1).squeeze_dim::<2>(0) - one).abs().max().into_scalar();
            assert!(difference < 1e-5);
        }
    }

    #[test]
    fn some_outputs_of_an_ensemble_are_those_of_the_whole() {
        let device = Device::default();
        let mlp = EnsembleMlp::new(3, &[4, 8, 6], &device);
        let x = noise::normal([5, 4], &mut noise::generator(0, "layers", 2), &device);
        let part = mlp.outputs(1, 3).forward(x.clone());
        let difference: f32 = (mlp.forward(x).narrow(2, 1, 3) - part).abs().max().into_scalar();
        assert!(difference < 1e-6, "{difference}");
    }

    #[test]
    fn outputs_that_teach_the_hidden_layers_nothing_are_the_same_outputs() {
        let device = Device::default().autodiff();
        let mlp = EnsembleMlp::smooth(2, &[3, 8, 5], &device);
        let x = noise::normal([4, 3], &mut noise::generator(0, "layers", 3), &device);
        let (plain, apart) = (|| mlp.forward(x.clone()), || mlp.forward_apart(x.clone(), 3));
        let difference: f32 = (plain() - apart()).abs().max().into_scalar();
        assert!(difference < 1e-6, "{difference}");
        let taught = |y: Tensor<3>| -> f32 {
            let gradients = y.square().sum().backward();
            mlp.layers[0].weight.val().grad(&gradients).map_or(0.0, |g| g.abs().max().into_scalar())
        };
        assert_eq!(taught(apart().narrow(2, 3, 2)), 0.0);
        let (few, same) = (taught(apart().narrow(2, 0, 3)), taught(plain().narrow(2, 0, 3)));
        assert!(few > 0.0 && (few - same).abs() < 1e-5 * same.max(1.0), "{few} and {same}");
    }

    #[test]
    fn a_head_that_ends_at_zero_starts_at_zero() {
        let device = Device::default();
        let x = noise::normal([5, 4], &mut noise::generator(0, "layers", 1), &device);
        let y: f32 = Mlp::ending_at_zero(&[4, 8, 2], &device).forward(x).abs().max().into_scalar();
        assert_eq!(y, 0.0);
    }
}
