//! Squared error of a painted picture in which what moved counts four times: `mean(m ⊙ (y - shown)²)` with
//! `m = 4` where `|shown - seen| > 0.1`, else 1. Backward: `dy = 2 m (y - shown) / n`.

use burn::tensor::Tensor;

use super::maths::vectorised;
use super::prelude::*;
use super::{Values, fused, sizes, tensor};

/// Colour values, of a range of 1, by which something has moved.
const MOVED: f32 = 0.1;

/// Painted, shown and formerly seen pictures, all of one shape; only the painted one gets a gradient. One value `[1]`.
pub fn moved_error(painted: Tensor<3>, shown: Tensor<3>, seen: Tensor<3>) -> Tensor<1> {
    let shape = painted.dims();
    assert!(shape == shown.dims() && shape == seen.dims(), "three pictures of one shape, the first is {shape:?}");
    if !fused(&painted) {
        return plain(painted, shown, seen);
    }
    let [painted, shown, seen] = [painted, shown, seen].map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as MovedError>::moved_error(painted, shown, seen))
}

fn plain(painted: Tensor<3>, shown: Tensor<3>, seen: Tensor<3>) -> Tensor<1> {
    let weight = (shown.clone() - seen).abs().greater_elem(MOVED).float() * 3.0 + 1.0;
    ((painted - shown).square() * weight).mean()
}

#[backend_extension(Flex, Autodiff)]
trait MovedError: Backend {
    fn moved_error(painted: FloatTensor<Self>, shown: FloatTensor<Self>, seen: FloatTensor<Self>) -> FloatTensor<Self>;
}

#[inline(always)]
fn weight(shown: f32, seen: f32) -> f32 {
    if (shown - seen).abs() > MOVED { 4.0 } else { 1.0 }
}

vectorised! {
    fn sum<'a>(painted: &'a [f32], shown: &'a [f32], seen: &'a [f32], total: &'a mut f64) {
        // Sums of a few hundred values in each of sixteen lanes keep the rounding small.
        const PART: usize = 4096;
        for ((painted, shown), seen) in painted.chunks(PART).zip(shown.chunks(PART)).zip(seen.chunks(PART)) {
            let mut lanes = [0.0f32; 16];
            for ((painted, shown), seen) in painted.chunks(16).zip(shown.chunks(16)).zip(seen.chunks(16)) {
                for (((lane, painted), shown), seen) in lanes.iter_mut().zip(painted).zip(shown).zip(seen) {
                    *lane += weight(*shown, *seen) * (painted - shown) * (painted - shown);
                }
            }
            *total += lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>();
        }
    }
}

vectorised! {
    fn slope<'a>(painted: &'a mut [f32], shown: &'a [f32], seen: &'a [f32], scale: f32) {
        for ((painted, shown), seen) in painted.iter_mut().zip(shown).zip(seen) {
            *painted = scale * weight(*shown, *seen) * (*painted - shown);
        }
    }
}

impl MovedError for Flex {
    fn moved_error(painted: FlexTensor, shown: FlexTensor, seen: FlexTensor) -> FlexTensor {
        let [painted, shown, seen] = [&painted, &shown, &seen].map(Values::of);
        let mut total = 0.0;
        sum(&painted, &shown, &seen, &mut total);
        tensor(vec![(total / painted.len().max(1) as f64) as f32], [1])
    }
}

fn backward(painted: &FlexTensor, shown: &FlexTensor, seen: &FlexTensor, d: &FlexTensor) -> FlexTensor {
    let shape = sizes(painted);
    let [painted, shown, seen, d] = [painted, shown, seen, d].map(Values::of);
    let scale = 2.0 * d[0] / painted.len().max(1) as f32;
    let mut slopes = painted.to_vec();
    slope(&mut slopes, &shown, &seen, scale);
    tensor(slopes, shape)
}

impl<C: CheckpointStrategy> MovedError for Autodiff<Flex, C> {
    fn moved_error(painted: FloatTensor<Self>, shown: FloatTensor<Self>, seen: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Op;

        impl Backward<Flex, 1> for Op {
            type State = [FlexTensor; 3];

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let [painted, shown, seen] = ops.state;
                unary::<Flex, _>(ops.parents, ops.node, grads, |d| backward(&painted, &shown, &seen, &d));
            }
        }

        let (painted, node) = painted.into_parts();
        let state = [painted, shown.into_primitive(), seen.into_primitive()];
        let [painted, shown, seen] = state.clone();
        let error = Flex::moved_error(painted, shown, seen);
        match Op.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(state, error),
            OpsKind::UnTracked(prep) => prep.finish(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{agree, differences, uniform};

    #[test]
    fn agrees_with_the_plain_composition_and_with_differences() {
        for shape in [[1, 1, 1], [3, 4, 5], [2, 3, 1000]] {
            let others = [uniform(&shape, 1), uniform(&shape, 2)];
            let inputs = [uniform(&shape, 3)];
            let of = |f: fn(Tensor<3>, Tensor<3>, Tensor<3>) -> Tensor<1>| {
                let others = others.clone();
                move |x: &[Tensor<3>]| {
                    let [shown, seen] = others.clone().map(|o| Tensor::from_data(o.to_data(), &x[0].device()));
                    f(x[0].clone(), shown, seen)
                }
            };
            agree(&inputs, of(moved_error), of(plain), 2e-6);
            differences(&inputs, of(moved_error), 5e-2);
        }
    }
}
