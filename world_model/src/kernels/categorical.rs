//! Groups of categoricals: probabilities with a share of uniform, and a sample with a straight-through gradient.
//!
//! `p = (1 - m) softmax(l) + m / C` over each group of `C` logits (DreamerV3, "unimix"). Backward: `s (d - Σ s d)` with
//! `d = (1 - m) dp`. The sample is the one-hot of the largest `log p + gumbel`; its gradient is passed on to `p` as it is.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;

use super::maths::{exp, vectorised};
use super::prelude::*;
use super::{Values, fused, sizes, writable};

/// Probabilities of logits `[N, G, C]`, with the share `unimix` of uniform mixed in.
pub fn probabilities(logits: Tensor<3>, unimix: f64) -> Tensor<3> {
    if !fused(&logits) {
        return plain_probabilities(logits, unimix);
    }
    Tensor::from_dispatch(<Dispatch as Categorical>::probabilities(logits.into_dispatch(), unimix as f32))
}

fn plain_probabilities(logits: Tensor<3>, unimix: f64) -> Tensor<3> {
    let [_, _, classes] = logits.dims();
    softmax(logits, 2) * (1.0 - unimix) + unimix / classes as f64
}

/// One-hot `[N, G, C]` of the largest `log p + gumbel` of each group, with the gradient of `p [N, G, C]`.
pub fn sample(p: Tensor<3>, gumbel: Tensor<3>) -> Tensor<3> {
    assert_eq!(p.dims(), gumbel.dims(), "a Gumbel for every class [N, G, C]");
    if !fused(&p) {
        return plain_sample(p, gumbel);
    }
    Tensor::from_dispatch(<Dispatch as Categorical>::sample(p.into_dispatch(), gumbel.into_dispatch()))
}

fn plain_sample(p: Tensor<3>, gumbel: Tensor<3>) -> Tensor<3> {
    let fixed = p.clone().detach();
    let noisy = fixed.clone().log() + gumbel;
    let hard = noisy.clone().greater_equal(noisy.max_dim(2)).float();
    hard - fixed + p
}

#[backend_extension(Flex, Autodiff)]
trait Categorical: Backend {
    fn probabilities(logits: FloatTensor<Self>, unimix: f32) -> FloatTensor<Self>;
    fn sample(p: FloatTensor<Self>, gumbel: FloatTensor<Self>) -> FloatTensor<Self>;
}

#[inline(always)]
fn largest(values: &[f32]) -> f32 {
    values.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a })
}

vectorised! {
    fn mix<'a>(values: &'a mut [f32], classes: usize, unimix: f32) {
        let uniform = unimix / classes as f32;
        for group in values.chunks_exact_mut(classes) {
            let top = largest(group);
            group.iter_mut().for_each(|x| *x -= top);
        }
        values.iter_mut().for_each(|x| *x = exp(*x));
        for group in values.chunks_exact_mut(classes) {
            let scale = (1.0 - unimix) / group.iter().sum::<f32>();
            group.iter_mut().for_each(|x| *x = *x * scale + uniform);
        }
    }
}

vectorised! {
    fn choose<'a>(values: &'a mut [f32], p: &'a [f32], classes: usize) {
        // p · e^gumbel is largest where log p + gumbel is.
        values.iter_mut().zip(p).for_each(|(x, p)| *x = p * exp(*x));
        for group in values.chunks_exact_mut(classes) {
            let top = largest(group);
            group.iter_mut().for_each(|x| *x = f32::from(u8::from(*x >= top)));
        }
    }
}

vectorised! {
    fn back<'a>(d: &'a mut [f32], p: &'a [f32], classes: usize, unimix: f32) {
        let uniform = unimix / classes as f32;
        for (d, p) in d.chunks_exact_mut(classes).zip(p.chunks_exact(classes)) {
            // (1 - m) s is p without its share of uniform.
            let inner = d.iter().zip(p).map(|(d, p)| d * (p - uniform)).sum::<f32>() / (1.0 - unimix);
            d.iter_mut().zip(p).for_each(|(d, p)| *d = (p - uniform) * (*d - inner));
        }
    }
}

impl Categorical for Flex {
    fn probabilities(logits: FlexTensor, unimix: f32) -> FlexTensor {
        let mut p = writable(logits);
        let classes = sizes(&p)[2];
        mix(p.storage_mut(), classes, unimix);
        p
    }

    fn sample(p: FlexTensor, gumbel: FlexTensor) -> FlexTensor {
        let (p, mut out) = (Values::of(&p), writable(gumbel));
        let classes = sizes(&out)[2];
        choose(out.storage_mut(), &p, classes);
        out
    }
}

/// Gradient to the logits, in place of that to `p`.
fn backward(p: &FlexTensor, dp: FlexTensor, unimix: f32) -> FlexTensor {
    let (p, mut d) = (Values::of(p), writable(dp));
    let classes = sizes(&d)[2];
    back(d.storage_mut(), &p, classes, unimix);
    d
}

impl<C: CheckpointStrategy> Categorical for Autodiff<Flex, C> {
    fn probabilities(logits: FloatTensor<Self>, unimix: f32) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Op;

        impl Backward<Flex, 1> for Op {
            type State = (FlexTensor, f32);

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let (p, unimix) = ops.state;
                unary::<Flex, _>(ops.parents, ops.node, grads, |d| backward(&p, d, unimix));
            }
        }

        let (logits, node) = logits.into_parts();
        let p = Flex::probabilities(logits, unimix);
        match Op.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((p.clone(), unimix), p),
            OpsKind::UnTracked(prep) => prep.finish(p),
        }
    }

    fn sample(p: FloatTensor<Self>, gumbel: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Op;

        impl Backward<Flex, 1> for Op {
            type State = ();

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                unary::<Flex, _>(ops.parents, ops.node, grads, |d| d);
            }
        }

        let (p, node) = p.into_parts();
        let out = Flex::sample(p, gumbel.into_primitive());
        match Op.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{agree, differences, uniform};
    use crate::vision::floats;

    #[test]
    fn probabilities_agree_with_the_plain_composition_and_with_differences() {
        for (n, groups, classes) in [(1, 1, 2), (5, 3, 8), (2, 4, 5)] {
            for unimix in [0.0, 0.01, 0.3] {
                let inputs = [uniform(&[n, groups, classes], 1)];
                agree(
                    &inputs,
                    |x| probabilities(x[0].clone(), unimix),
                    |x| plain_probabilities(x[0].clone(), unimix),
                    1e-6,
                );
                differences(&inputs, |x| probabilities(x[0].clone(), unimix), 2e-2);
            }
        }
    }

    #[test]
    fn probabilities_sum_to_one_however_large_the_logits() {
        let p = floats(probabilities(uniform(&[6, 2, 8], 2) * 40.0, 0.01));
        for group in p.chunks_exact(8) {
            assert!((group.iter().sum::<f32>() - 1.0).abs() < 1e-5 && group.iter().all(|&p| p >= 0.00124), "{group:?}");
        }
    }

    #[test]
    fn a_sample_is_the_plain_one_and_hands_its_gradient_to_the_probabilities() {
        let p = probabilities(uniform(&[40, 4, 8], 3), 0.01);
        let gumbel = uniform(&[40, 4, 8], 4);
        agree(
            std::slice::from_ref(&p),
            |x| sample(x[0].clone(), gumbel.clone()),
            |x| plain_sample(x[0].clone(), gumbel.clone()),
            1e-6,
        );
        let drawn = floats(sample(p, gumbel));
        assert!(drawn.chunks_exact(8).all(|group| group.iter().sum::<f32>() == 1.0));
    }
}
