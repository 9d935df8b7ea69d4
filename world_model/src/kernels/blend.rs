//! Repainting: `y = ref + g ⊙ (paint - ref)` with one gate `g = σ(gate - 1)` per pixel of three colours.
//!
//! Backward: `d paint = dy g`, `d gate = g (1 - g) Σ_colours dy (paint - ref)`; the reference gets no gradient.

use burn::tensor::Tensor;

use super::maths::{sigmoid, vectorised};
use super::prelude::*;
use super::{Values, fused, sizes, writable};

/// Rows of paint and gates `[R, 4n]`, first `3n` colours, then `n` gates, over a reference `[R, 3n]`: `[R, 3n]`.
pub fn blended(painted: Tensor<2>, reference: Tensor<2>) -> Tensor<2> {
    let ([rows, all], [reference_rows, colours]) = (painted.dims(), reference.dims());
    let fits = rows == reference_rows && colours % 3 == 0 && 3 * all == 4 * colours;
    assert!(fits, "paint and gates are [R, 4n], found [{rows}, {all}] over [{reference_rows}, {colours}]");
    if !fused(&painted) {
        return plain(painted, reference);
    }
    Tensor::from_dispatch(<Dispatch as Blended>::blended(painted.into_dispatch(), reference.into_dispatch()))
}

fn plain(painted: Tensor<2>, reference: Tensor<2>) -> Tensor<2> {
    let [rows, colours] = reference.dims();
    let pixels = colours / 3;
    let gate = burn::tensor::activation::sigmoid(painted.clone().narrow(1, colours, pixels) - 1.0);
    let gate = gate.reshape([rows, pixels, 1]).expand([rows, pixels, 3]).reshape([rows, colours]);
    reference.clone() + gate * (painted.narrow(1, 0, colours) - reference)
}

#[backend_extension(Flex, Autodiff)]
trait Blended: Backend {
    fn blended(painted: FloatTensor<Self>, reference: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Pixels of one row at a time whose gates are kept on the stack.
const PIXELS: usize = 16;

vectorised! {
    fn paint_over<'a>(y: &'a mut [f32], painted: &'a [f32], colours: usize) {
        for (y, painted) in y.chunks_exact_mut(colours).zip(painted.chunks_exact(colours / 3 * 4)) {
            let (paint, gates) = painted.split_at(colours);
            let parts = y.chunks_mut(3 * PIXELS).zip(paint.chunks(3 * PIXELS)).zip(gates.chunks(PIXELS));
            for ((y, paint), gates) in parts {
                let g = gates_of(gates);
                for (i, (y, paint)) in y.iter_mut().zip(paint).enumerate() {
                    *y += g[i / 3] * (paint - *y);
                }
            }
        }
    }
}

#[inline(always)]
fn gates_of(gates: &[f32]) -> [f32; PIXELS] {
    let mut g = [0.0; PIXELS];
    g.iter_mut().zip(gates).for_each(|(g, gate)| *g = sigmoid(gate - 1.0));
    g
}

vectorised! {
    fn back<'a>(d: &'a mut [f32], reference: &'a [f32], dy: &'a [f32], colours: usize) {
        let rows = d.chunks_exact_mut(colours / 3 * 4);
        for ((d, reference), dy) in rows.zip(reference.chunks_exact(colours)).zip(dy.chunks_exact(colours)) {
            let (paint, gates) = d.split_at_mut(colours);
            let parts = paint.chunks_mut(3 * PIXELS).zip(gates.chunks_mut(PIXELS));
            let others = reference.chunks(3 * PIXELS).zip(dy.chunks(3 * PIXELS));
            for ((paint, gates), (reference, dy)) in parts.zip(others) {
                let g = gates_of(gates);
                let mut along = [0.0; 3 * PIXELS];
                for (i, ((paint, reference), dy)) in paint.iter_mut().zip(reference).zip(dy).enumerate() {
                    along[i] = dy * (*paint - reference);
                    *paint = dy * g[i / 3];
                }
                for ((gate, g), along) in gates.iter_mut().zip(g).zip(along.chunks_exact(3)) {
                    *gate = g * (1.0 - g) * (along[0] + along[1] + along[2]);
                }
            }
        }
    }
}

impl Blended for Flex {
    fn blended(painted: FlexTensor, reference: FlexTensor) -> FlexTensor {
        let (painted, mut y) = (Values::of(&painted), writable(reference));
        let dims = sizes(&y);
        let colours = dims[1];
        paint_over(y.storage_mut(), &painted, colours);
        y
    }
}

/// Gradient to paint and gates.
fn backward(painted: FlexTensor, reference: &FlexTensor, dy: &FlexTensor) -> FlexTensor {
    let (mut d, reference, dy) = (writable(painted), Values::of(reference), Values::of(dy));
    let colours = sizes(&d)[1] / 4 * 3;
    back(d.storage_mut(), &reference, &dy, colours);
    d
}

impl<C: CheckpointStrategy> Blended for Autodiff<Flex, C> {
    fn blended(painted: FloatTensor<Self>, reference: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Op;

        impl Backward<Flex, 1> for Op {
            type State = (FlexTensor, FlexTensor);

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let (painted, reference) = ops.state;
                unary::<Flex, _>(ops.parents, ops.node, grads, |dy| backward(painted, &reference, &dy));
            }
        }

        let ((painted, node), reference) = (painted.into_parts(), reference.into_primitive());
        let y = Flex::blended(painted.clone(), reference.clone());
        match Op.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((painted, reference), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{agree, differences, uniform};

    #[test]
    fn agrees_with_the_plain_composition_and_with_differences() {
        for (rows, pixels) in [(1, 1), (3, 16), (2, 21)] {
            let reference = uniform(&[rows, 3 * pixels], 1);
            let inputs = [uniform(&[rows, 4 * pixels], 2)];
            let of = |f: fn(Tensor<2>, Tensor<2>) -> Tensor<2>| {
                let reference = reference.clone();
                move |x: &[Tensor<2>]| f(x[0].clone(), Tensor::from_data(reference.to_data(), &x[0].device()))
            };
            agree(&inputs, of(blended), of(plain), 1e-6);
            differences(&inputs, of(blended), 2e-2);
        }
    }
}
