//! End of a smooth dense layer: `y = s σ(s)` of `s = x + b`, the bias of each group of rows added and SiLU applied.
//!
//! Backward, with `g = dy`: `dx = g σ(s) (1 + s (1 - σ(s)))`, `db = Σ_rows dx`.
//! SiLU: Elfwing, Uchibe and Doya 2018, arXiv:1702.03118.

use burn::tensor::Tensor;

use super::maths::{sigmoid, vectorised};
use super::prelude::*;
use super::{Values, fused, sizes, tensor, writable};

/// `silu(x + b)`: groups of rows `x [K, R, N]` with one bias each `[K, 1, N]`.
pub fn silu(x: Tensor<3>, bias: Tensor<3>) -> Tensor<3> {
    let (of_x, of_bias) = (x.dims(), bias.dims());
    let fits = of_bias == [of_x[0], 1, of_x[2]];
    assert!(fits, "a bias [K, 1, N] for rows [K, R, N], found {of_bias:?} for {of_x:?}");
    if !fused(&x) {
        return plain(x, bias);
    }
    Tensor::from_dispatch(<Dispatch as Silu>::silu(x.into_dispatch(), bias.into_dispatch()))
}

fn plain(x: Tensor<3>, bias: Tensor<3>) -> Tensor<3> {
    burn::tensor::activation::silu(x + bias)
}

#[backend_extension(Flex, Autodiff)]
trait Silu: Backend {
    fn silu(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;
}

vectorised! {
    fn add<'a>(rows: &'a mut [f32], bias: &'a [f32]) {
        for row in rows.chunks_exact_mut(bias.len()) {
            row.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
        }
    }
}

vectorised! {
    fn bend<'a>(y: &'a mut [f32]) {
        y.iter_mut().for_each(|y| *y *= sigmoid(*y));
    }
}

vectorised! {
    fn take<'a>(rows: &'a mut [f32], s: &'a [f32], db: &'a mut [f32]) {
        for (dx, s) in rows.chunks_exact_mut(db.len()).zip(s.chunks_exact(db.len())) {
            for (dx, s) in dx.iter_mut().zip(s) {
                let gate = sigmoid(*s);
                *dx *= gate * (1.0 + s * (1.0 - gate));
            }
            db.iter_mut().zip(&*dx).for_each(|(db, dx)| *db += dx);
        }
    }
}

/// `s` in place of `x`.
fn sum(x: FlexTensor, bias: &FlexTensor) -> FlexTensor {
    let (mut s, bias) = (writable(x), Values::of(bias));
    let [_, rows, width] = sizes(&s)[..] else { unreachable!("three dimensions were asserted") };
    let groups = s.storage_mut::<f32>().chunks_exact_mut((rows * width).max(1));
    groups.zip(bias.chunks_exact(width)).for_each(|(group, bias)| add(group, bias));
    s
}

fn bent(s: FlexTensor) -> FlexTensor {
    let mut y = writable(s);
    bend(y.storage_mut());
    y
}

impl Silu for Flex {
    fn silu(x: FlexTensor, bias: FlexTensor) -> FlexTensor {
        bent(sum(x, &bias))
    }
}

/// Gradients to `x`, in place of those to `y`, and to the bias.
fn backward(s: &FlexTensor, dy: FlexTensor) -> (FlexTensor, FlexTensor) {
    let (mut dx, s) = (writable(dy), Values::of(s));
    let [groups, rows, width] = sizes(&dx)[..] else { unreachable!("three dimensions were asserted") };
    let (mut db, block) = (vec![0.0; groups * width], (rows * width).max(1));
    let blocks = dx.storage_mut::<f32>().chunks_exact_mut(block).zip(s.chunks_exact(block));
    for ((dx, s), db) in blocks.zip(db.chunks_exact_mut(width)) {
        take(dx, s, db);
    }
    (dx, tensor(db, [groups, 1, width]))
}

impl<C: CheckpointStrategy> Silu for Autodiff<Flex, C> {
    fn silu(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Op;

        impl Backward<Flex, 2> for Op {
            type State = FlexTensor;

            fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
                let (dx, db) = backward(&ops.state, grads.consume::<Flex>(&ops.node));
                for (parent, gradient) in ops.parents.into_iter().zip([dx, db]) {
                    if let Some(parent) = parent {
                        grads.register::<Flex>(parent.id, gradient);
                    }
                }
            }
        }

        let ((x, of_x), (bias, of_bias)) = (x.into_parts(), bias.into_parts());
        let s = sum(x, &bias);
        match Op.prepare::<C>([of_x, of_bias]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = tensor(Values::of(&s).to_vec(), sizes(&s));
                prep.finish(s, bent(y))
            }
            OpsKind::UnTracked(prep) => prep.finish(bent(s)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{agree, differences, uniform};

    #[test]
    fn agrees_with_the_plain_composition_and_with_differences() {
        for (groups, rows, width) in [(1, 1, 1), (1, 3, 5), (3, 4, 33), (2, 64, 16)] {
            let inputs = [uniform(&[groups, rows, width], 1), uniform(&[groups, 1, width], 2)];
            let of = |f: fn(Tensor<3>, Tensor<3>) -> Tensor<3>| move |x: &[Tensor<3>]| f(x[0].clone(), x[1].clone());
            agree(&inputs, of(silu), of(plain), 2e-6);
            differences(&inputs, of(silu), 2e-2);
        }
    }

    #[test]
    fn by_hand_and_an_input_that_others_hold_is_not_written_over() {
        let device = burn::tensor::Device::default();
        let x = Tensor::<3>::from_floats([[[0.0, 1.0, -3.0]]], &device);
        let y = crate::vision::floats(silu(x.clone(), Tensor::from_floats([[[0.0, 1.0, 1.0]]], &device)));
        // 2 / (1 + e^-2) and -2 / (1 + e^2).
        for (y, expected) in y.iter().zip([0.0, 1.761_594_2, -0.238_405_84]) {
            assert!((y - expected).abs() < 1e-6, "{y} is not {expected}");
        }
        assert_eq!(crate::vision::floats(x), [0.0, 1.0, -3.0]);
    }
}
