//! End of a dense layer: `y = act(x + b)`, the bias of each group of rows added and, if asked, ReLU applied.
//!
//! Backward: `dx = dy ⊙ 1[y > 0]` (or `dy`), `db = Σ_rows dx`, one pass for both.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use super::maths::vectorised;
use super::prelude::*;
use super::{Values, fused, sizes, tensor, writable};

/// `act(x + b)`: rows `x [R, N]` with one bias `[1, N]`, or groups of rows `x [K, R, N]` with one bias each `[K, 1, N]`.
pub fn biased<const D: usize>(x: Tensor<D>, bias: Tensor<D>, rectified: bool) -> Tensor<D> {
    let (of_x, of_bias) = (x.dims(), bias.dims());
    let fits = of_x[D - 1] == of_bias[D - 1] && of_bias[D - 2] == 1 && of_x[..D - 2] == of_bias[..D - 2];
    assert!(fits, "a bias [K, 1, N] for rows [K, R, N], found {of_bias:?} for {of_x:?}");
    if !fused(&x) {
        return plain(x, bias, rectified);
    }
    Tensor::from_dispatch(<Dispatch as Biased>::biased(x.into_dispatch(), bias.into_dispatch(), rectified))
}

fn plain<const D: usize>(x: Tensor<D>, bias: Tensor<D>, rectified: bool) -> Tensor<D> {
    let y = x + bias;
    if rectified { relu(y) } else { y }
}

#[backend_extension(Flex, Autodiff)]
trait Biased: Backend {
    fn biased(x: FloatTensor<Self>, bias: FloatTensor<Self>, rectified: bool) -> FloatTensor<Self>;
}

/// What no output is below.
fn floor(rectified: bool) -> f32 {
    if rectified { 0.0 } else { f32::NEG_INFINITY }
}

impl Biased for Flex {
    fn biased(x: FlexTensor, bias: FlexTensor, rectified: bool) -> FlexTensor {
        let (mut y, bias) = (writable(x), Values::of(&bias));
        let dims = sizes(&y);
        let (width, rows) = (dims[dims.len() - 1], dims[dims.len() - 2]);
        let floor = floor(rectified);
        let groups = y.storage_mut::<f32>().chunks_exact_mut((rows * width).max(1));
        for (group, bias) in groups.zip(bias.chunks_exact(width)) {
            add(group, bias, floor);
        }
        y
    }
}

vectorised! {
    fn add<'a>(rows: &'a mut [f32], bias: &'a [f32], floor: f32) {
        for row in rows.chunks_exact_mut(bias.len()) {
            for (y, b) in row.iter_mut().zip(bias) {
                let sum = *y + b;
                // What is not a number stays so, to be noticed.
                *y = if sum < floor { floor } else { sum };
            }
        }
    }
}

vectorised! {
    fn take<'a>(rows: &'a mut [f32], y: &'a [f32], db: &'a mut [f32], floor: f32) {
        for (dx, y) in rows.chunks_exact_mut(db.len()).zip(y.chunks_exact(db.len())) {
            for ((dx, y), db) in dx.iter_mut().zip(y).zip(db.iter_mut()) {
                let passed = if *y <= floor { 0.0 } else { *dx };
                *dx = passed;
                *db += passed;
            }
        }
    }
}

/// Gradients to `x`, in place of those to `y`, and to the bias.
fn backward(y: &FlexTensor, dy: FlexTensor, rectified: bool, bias_shape: &[usize]) -> (FlexTensor, FlexTensor) {
    let mut dx = writable(dy);
    let dims = sizes(y);
    let (width, rows) = (dims[dims.len() - 1], dims[dims.len() - 2]);
    let mut db = vec![0.0; bias_shape.iter().product()];
    let (y, floor) = (Values::of(y), floor(rectified));
    let block = (rows * width).max(1);
    let groups = dx.storage_mut::<f32>().chunks_exact_mut(block).zip(y.chunks_exact(block));
    for ((dx, y), db) in groups.zip(db.chunks_exact_mut(width)) {
        take(dx, y, db, floor);
    }
    (dx, tensor(db, bias_shape.to_vec()))
}

impl<C: CheckpointStrategy> Biased for Autodiff<Flex, C> {
    fn biased(x: FloatTensor<Self>, bias: FloatTensor<Self>, rectified: bool) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Op;

        impl Backward<Flex, 2> for Op {
            type State = (FlexTensor, Vec<usize>, bool);

            fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
                let (y, bias_shape, rectified) = ops.state;
                let (dx, db) = backward(&y, grads.consume::<Flex>(&ops.node), rectified, &bias_shape);
                for (parent, gradient) in ops.parents.into_iter().zip([dx, db]) {
                    if let Some(parent) = parent {
                        grads.register::<Flex>(parent.id, gradient);
                    }
                }
            }
        }

        let ((x, of_x), (bias, of_bias)) = (x.into_parts(), bias.into_parts());
        let shape = sizes(&bias);
        let y = Flex::biased(x, bias, rectified);
        match Op.prepare::<C>([of_x, of_bias]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((y.clone(), shape, rectified), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{agree, differences, uniform};

    #[test]
    fn rows_and_groups_agree_with_the_plain_composition_and_with_differences() {
        for (rows, width) in [(1, 1), (3, 5), (7, 33), (64, 16)] {
            for rectified in [false, true] {
                let inputs = [uniform(&[rows, width], 1), uniform(&[1, width], 2)];
                let of = |f: fn(Tensor<2>, Tensor<2>, bool) -> Tensor<2>| {
                    move |x: &[Tensor<2>]| f(x[0].clone(), x[1].clone(), rectified)
                };
                agree(&inputs, of(biased), of(plain), 1e-6);
                differences(&inputs, of(biased), 2e-2);
            }
        }
        let inputs = [uniform(&[3, 4, 6], 3), uniform(&[3, 1, 6], 4)];
        let of =
            |f: fn(Tensor<3>, Tensor<3>, bool) -> Tensor<3>| move |x: &[Tensor<3>]| f(x[0].clone(), x[1].clone(), true);
        agree(&inputs, of(biased), of(plain), 1e-6);
        differences(&inputs, of(biased), 2e-2);
    }

    #[test]
    fn an_input_that_others_hold_is_not_written_over() {
        let x = uniform(&[2, 3], 5);
        let before = crate::vision::floats(x.clone());
        let _ = biased(x.clone(), uniform(&[1, 3], 6), true);
        assert_eq!(crate::vision::floats(x), before);
    }
}
