//! Cross-entropy of logits against the two-hot code of a number (DreamerV3, eq. 9), and the mean under the logits.
//!
//! `position` tells where the number lies among the bins: between bins `i` and `i + 1`, with the weight `1 - f` and `f`.
//! `loss = log Σ e^l - (1 - f) l_i - f l_{i+1}`, so `dl = (softmax(l) - code) dloss`.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Tensor, TensorData};

use super::maths::{exp, vectorised};
use super::prelude::*;
use super::{Values, fused, sizes, tensor, writable};

/// Logits `[K, B, C]` and positions `[B]` between 0 and `C - 1`, which get no gradient, to `[K, B]`.
pub fn cross_entropy(logits: Tensor<3>, position: Tensor<1>) -> Tensor<2> {
    let ([_, batch, classes], [positions]) = (logits.dims(), position.dims());
    assert!(batch == positions && classes >= 2, "a position for each of the {batch} rows, found {positions}");
    if !fused(&logits) {
        return plain(logits, position);
    }
    Tensor::from_dispatch(<Dispatch as TwoHot>::two_hot(logits.into_dispatch(), position.into_dispatch()))
}

/// Two-hot weights of positions `[B]` between 0 and `classes - 1`: `[B, classes]`.
pub fn code(position: Tensor<1>, classes: usize) -> Tensor<2> {
    let index: Vec<f32> = (0..classes).map(|i| i as f32).collect();
    let index = Tensor::<2>::from_data(TensorData::new(index, [1, classes]), &position.device());
    // The hat function 1 - |position - i|, cut at zero, is exactly the two-hot weight of bin i.
    let distance = (position.unsqueeze_dim::<2>(1) - index).abs();
    (distance.neg() + 1.0).clamp_min(0.0)
}

fn plain(logits: Tensor<3>, position: Tensor<1>) -> Tensor<2> {
    let [_, _, classes] = logits.dims();
    let target = code(position.detach(), classes).unsqueeze::<3>();
    (log_softmax(logits, 2) * target).sum_dim(2).squeeze_dim::<2>(2).neg()
}

#[backend_extension(Flex, Autodiff)]
trait TwoHot: Backend {
    fn two_hot(logits: FloatTensor<Self>, position: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// The lower of the two bins and the weight of the upper one.
fn bins(position: f32, classes: usize) -> (usize, f32) {
    let lower = (position.max(0.0) as usize).min(classes - 2);
    (lower, position - lower as f32)
}

vectorised! {
    fn rows<'a>(logits: &'a mut [f32], position: &'a [f32], loss: &'a mut [f32], classes: usize) {
        let positions = position.iter().cycle();
        for ((logits, loss), position) in logits.chunks_exact_mut(classes).zip(loss).zip(positions) {
            let top = logits.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
            let (lower, upper_weight) = bins(*position, classes);
            let expected = (1.0 - upper_weight) * logits[lower] + upper_weight * logits[lower + 1];
            logits.iter_mut().for_each(|l| *l = exp(*l - top));
            let sum: f32 = logits.iter().sum();
            logits.iter_mut().for_each(|l| *l /= sum);
            *loss = top + sum.ln() - expected;
        }
    }
}

vectorised! {
    fn back<'a>(p: &'a mut [f32], position: &'a [f32], d_loss: &'a [f32], classes: usize) {
        let positions = position.iter().cycle();
        for ((p, d_loss), position) in p.chunks_exact_mut(classes).zip(d_loss).zip(positions) {
            let (lower, upper_weight) = bins(*position, classes);
            p[lower] -= 1.0 - upper_weight;
            p[lower + 1] -= upper_weight;
            p.iter_mut().for_each(|p| *p *= d_loss);
        }
    }
}

/// Probabilities in place of the logits, and the loss of every row.
fn forward(logits: FlexTensor, position: &FlexTensor) -> (FlexTensor, FlexTensor) {
    let (mut p, position) = (writable(logits), Values::of(position));
    let dims = sizes(&p);
    let (batch, classes) = (dims[1], dims[2]);
    let mut loss = vec![0.0; dims[0] * batch];
    rows(p.storage_mut(), &position, &mut loss, classes);
    (p, tensor(loss, [dims[0], batch]))
}

impl TwoHot for Flex {
    fn two_hot(logits: FlexTensor, position: FlexTensor) -> FlexTensor {
        forward(logits, &position).1
    }
}

/// Gradient to the logits, in place of the probabilities.
fn backward(p: FlexTensor, position: &FlexTensor, d_loss: &FlexTensor) -> FlexTensor {
    let (mut d, position, d_loss) = (writable(p), Values::of(position), Values::of(d_loss));
    let dims = sizes(&d);
    back(d.storage_mut(), &position, &d_loss, dims[2]);
    d
}

impl<C: CheckpointStrategy> TwoHot for Autodiff<Flex, C> {
    fn two_hot(logits: FloatTensor<Self>, position: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Op;

        impl Backward<Flex, 1> for Op {
            type State = (FlexTensor, FlexTensor);

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let (p, position) = ops.state;
                unary::<Flex, _>(ops.parents, ops.node, grads, |d| backward(p, &position, &d));
            }
        }

        let ((logits, node), position) = (logits.into_parts(), position.into_primitive());
        let (p, loss) = forward(logits, &position);
        match Op.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((p, position), loss),
            OpsKind::UnTracked(prep) => prep.finish(loss),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{agree, differences, uniform};
    use crate::vision::floats;
    use burn::tensor::Device;

    #[test]
    fn agrees_with_the_plain_composition_and_with_differences() {
        for (members, classes) in [(1, 2), (3, 41)] {
            let top = (classes - 1) as f32;
            let position = Tensor::<1>::from_floats([0.0, 0.25 * top, 0.77 * top, top, 1.0], &Device::default());
            let inputs = [uniform(&[members, 5, classes], 1)];
            let fused =
                |x: &[Tensor<3>]| cross_entropy(x[0].clone(), Tensor::from_data(position.to_data(), &x[0].device()));
            let plain = |x: &[Tensor<3>]| plain(x[0].clone(), Tensor::from_data(position.to_data(), &x[0].device()));
            agree(&inputs, fused, plain, 2e-6);
            differences(&inputs, fused, 2e-2);
        }
    }

    #[test]
    fn by_hand_equal_logits_cost_the_logarithm_of_their_number() {
        let loss = cross_entropy(
            Tensor::zeros([1, 2, 4], &Device::default()),
            Tensor::from_floats([0.0, 2.5], &Device::default()),
        );
        assert!(floats(loss).iter().all(|l| (l - 4f32.ln()).abs() < 1e-6));
    }
}
