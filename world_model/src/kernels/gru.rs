//! Gated recurrent unit from its three linear parts `(a, b, c)`:
//! `h' = h + u ⊙ (m - h)` with `r = σ(a)`, `m = tanh(r ⊙ b)`, `u = σ(c - 1)` (DreamerV3, app. B).
//!
//! Backward, with `g = dh'`: `dm = g u`, `du = g (m - h)`, `dh = g (1 - u)`, `ds = dm (1 - m²)` for `s = r b`, then
//! `da = ds b r (1 - r)`, `db = ds r`, `dc = du u (1 - u)`.

use burn::tensor::Tensor;

use super::maths::{sigmoid, tanh, vectorised};
use super::prelude::*;
use super::{Values, fused, sizes, tensor, writable};

/// Parts `[B, 3H]` and state `h [B, H]` to the next state `[B, H]`.
pub fn gated(parts: Tensor<2>, h: Tensor<2>) -> Tensor<2> {
    let ([batch, all], [rows, hidden]) = (parts.dims(), h.dims());
    assert!(batch == rows && all == 3 * hidden, "parts are [B, 3H], found [{batch}, {all}] for h [{rows}, {hidden}]");
    if !fused(&parts) {
        return plain(parts, h);
    }
    Tensor::from_dispatch(<Dispatch as Gated>::gated(parts.into_dispatch(), h.into_dispatch()))
}

fn plain(parts: Tensor<2>, h: Tensor<2>) -> Tensor<2> {
    use burn::tensor::activation::sigmoid;
    let [_, hidden] = h.dims();
    let reset = sigmoid(parts.clone().narrow(1, 0, hidden));
    let candidate = (reset * parts.clone().narrow(1, hidden, hidden)).tanh();
    let update = sigmoid(parts.narrow(1, 2 * hidden, hidden).sub_scalar(1.0));
    h.clone() + update * (candidate - h)
}

#[backend_extension(Flex, Autodiff)]
trait Gated: Backend {
    fn gated(parts: FloatTensor<Self>, h: FloatTensor<Self>) -> FloatTensor<Self>;
}

vectorised! {
    fn step<'a>(parts: &'a mut [f32], h: &'a mut [f32], hidden: usize) {
        for (parts, h) in parts.chunks_exact_mut(3 * hidden).zip(h.chunks_exact_mut(hidden)) {
            let (reset, rest) = parts.split_at_mut(hidden);
            let (candidate, update) = rest.split_at_mut(hidden);
            // Pass by pass, each writing one slice: together they would not be vectorised.
            reset.iter_mut().for_each(|r| *r = sigmoid(*r));
            update.iter_mut().for_each(|u| *u = sigmoid(*u - 1.0));
            for (((h, r), b), u) in h.iter_mut().zip(&*reset).zip(&*candidate).zip(&*update) {
                *h += u * (tanh(r * b) - *h);
            }
        }
    }
}

vectorised! {
    fn back<'a>(gates: &'a mut [f32], h: &'a [f32], dh: &'a mut [f32], hidden: usize) {
        let (mut m, mut ds, mut du) = (vec![0.0; hidden], vec![0.0; hidden], vec![0.0; hidden]);
        let rows = gates.chunks_exact_mut(3 * hidden).zip(h.chunks_exact(hidden));
        for ((gates, h), g) in rows.zip(dh.chunks_exact_mut(hidden)) {
            let (reset, rest) = gates.split_at_mut(hidden);
            let (candidate, update) = rest.split_at_mut(hidden);
            for ((m, r), b) in m.iter_mut().zip(&*reset).zip(&*candidate) {
                *m = tanh(r * b);
            }
            for (((ds, g), u), m) in ds.iter_mut().zip(&*g).zip(&*update).zip(&m) {
                *ds = g * u * (1.0 - m * m);
            }
            for ((((du, g), u), m), h) in du.iter_mut().zip(&*g).zip(&*update).zip(&m).zip(h) {
                *du = g * (m - h) * u * (1.0 - u);
            }
            g.iter_mut().zip(&*update).for_each(|(g, u)| *g *= 1.0 - u);
            update.copy_from_slice(&du);
            for ((b, r), ds) in candidate.iter_mut().zip(&mut *reset).zip(&ds) {
                let (of_b, of_r) = (ds * *r, ds * *b * *r * (1.0 - *r));
                *b = of_b;
                *r = of_r;
            }
        }
    }
}

/// `(r, b, u)` in place of `(a, b, c)`, with the next state.
fn forward(parts: FlexTensor, h: &FlexTensor) -> (FlexTensor, FlexTensor) {
    let (mut parts, h) = (writable(parts), Values::of(h));
    let dims = sizes(&parts);
    let hidden = dims[1] / 3;
    let mut next = h.to_vec();
    step(parts.storage_mut(), &mut next, hidden);
    (parts, tensor(next, [dims[0], hidden]))
}

impl Gated for Flex {
    fn gated(parts: FlexTensor, h: FlexTensor) -> FlexTensor {
        forward(parts, &h).1
    }
}

/// Gradients to the parts and to `h`.
fn backward(gates: FlexTensor, h: &FlexTensor, dy: &FlexTensor) -> (FlexTensor, FlexTensor) {
    let (mut gates, h, dy) = (writable(gates), Values::of(h), Values::of(dy));
    let dims = sizes(&gates);
    let hidden = dims[1] / 3;
    let mut dh = dy.to_vec();
    back(gates.storage_mut(), &h, &mut dh, hidden);
    (gates, tensor(dh, [dims[0], hidden]))
}

impl<C: CheckpointStrategy> Gated for Autodiff<Flex, C> {
    fn gated(parts: FloatTensor<Self>, h: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Op;

        impl Backward<Flex, 2> for Op {
            type State = (FlexTensor, FlexTensor);

            fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
                let (gates, h) = ops.state;
                let (d_parts, dh) = backward(gates, &h, &grads.consume::<Flex>(&ops.node));
                for (parent, gradient) in ops.parents.into_iter().zip([d_parts, dh]) {
                    if let Some(parent) = parent {
                        grads.register::<Flex>(parent.id, gradient);
                    }
                }
            }
        }

        let ((parts, of_parts), (h, of_h)) = (parts.into_parts(), h.into_parts());
        let (gates, next) = forward(parts, &h);
        match Op.prepare::<C>([of_parts, of_h]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((gates, h), next),
            OpsKind::UnTracked(prep) => prep.finish(next),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{agree, differences, uniform};

    #[test]
    fn agrees_with_the_plain_composition_and_with_differences() {
        for (rows, hidden) in [(1, 1), (3, 7), (5, 32)] {
            let inputs = [uniform(&[rows, 3 * hidden], 1), uniform(&[rows, hidden], 2)];
            let of = |f: fn(Tensor<2>, Tensor<2>) -> Tensor<2>| move |x: &[Tensor<2>]| f(x[0].clone(), x[1].clone());
            agree(&inputs, of(gated), of(plain), 2e-6);
            differences(&inputs, of(gated), 2e-2);
        }
    }

    #[test]
    fn by_hand_a_closed_gate_keeps_and_an_open_one_takes_the_candidate() {
        let parts = Tensor::<2>::from_floats([[50.0, 1.0, -50.0], [50.0, 1.0, 50.0]], &burn::tensor::Device::default());
        let h = Tensor::<2>::from_floats([[0.25], [0.25]], &burn::tensor::Device::default());
        let next = crate::vision::floats(gated(parts, h));
        assert!((next[0] - 0.25).abs() < 1e-6 && (next[1] - 1f32.tanh()).abs() < 1e-6, "{next:?}");
    }
}
