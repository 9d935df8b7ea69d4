//! How points lie around places of a picture: for a place `c` and a point `p`, with `(dx, dy) = c - p` and `d² = dx² + dy²`,
//! `near = exp(-N d²)`, `wide = exp(-W d²)`, and the directions `4 dx wide`, `4 dy wide`.
//!
//! Backward, with the gradients `(n, x, y, w)` of the four:
//! `dp = 2 N n near (dx, dy) + 2 W (4 x dx + 4 y dy + w) wide (dx, dy) - 4 wide (x, y)`, summed over places.

use burn::tensor::Tensor;

use super::maths::{LANES, exp, load, store, vectorised};
use super::prelude::*;
use super::{Values, fused, sizes, tensor};

/// Falloff of a point's influence, per squared half picture: `N` reaches a patch, `W` a third of the picture.
const FALLOFF: [f32; 2] = [60.0, 5.0];

/// Points `[B, 2K]` as `x, y` pairs and places `[P, 2]`, which get no gradient, to `[B, P, 4K]`: near, across, down, wide.
pub fn nearness(points: Tensor<2>, places: &Tensor<2>) -> Tensor<3> {
    let ([_, values], [_, two]) = (points.dims(), places.dims());
    assert!(values % 2 == 0 && two == 2, "points are [B, 2K] and places [P, 2], found [.., {values}] and [.., {two}]");
    if !fused(&points) {
        return plain(points, places);
    }
    Tensor::from_dispatch(<Dispatch as Nearness>::nearness(points.into_dispatch(), places.clone().into_dispatch()))
}

fn plain(points: Tensor<2>, places: &Tensor<2>) -> Tensor<3> {
    let ([batch, values], [count, _]) = (points.dims(), places.dims());
    let points = points.reshape([batch, 1, values / 2, 2]);
    let along = |axis: usize| {
        let point = points.clone().narrow(3, axis, 1).reshape([batch, 1, values / 2]);
        places.clone().narrow(1, axis, 1).reshape([1, count, 1]) - point
    };
    let (dx, dy) = (along(0), along(1));
    let squared = dx.clone() * dx.clone() + dy.clone() * dy.clone();
    let [near, wide] = FALLOFF.map(|f| (squared.clone() * -f).exp());
    Tensor::cat(vec![near, dx * wide.clone() * 4.0, dy * wide.clone() * 4.0, wide], 2)
}

#[backend_extension(Flex, Autodiff)]
trait Nearness: Backend {
    fn nearness(points: FloatTensor<Self>, places: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// All `x` and all `y` of `x, y` pairs, in lanes.
#[inline(always)]
fn apart(pairs: &[f32]) -> Vec<[[f32; LANES]; 2]> {
    let lanes = pairs.chunks(2 * LANES).map(|pairs| {
        let mut lanes = [[0.0; LANES]; 2];
        for (i, pair) in pairs.chunks_exact(2).enumerate() {
            (lanes[0][i], lanes[1][i]) = (pair[0], pair[1]);
        }
        lanes
    });
    lanes.collect()
}

vectorised! {
    fn lay_out<'a>(out: &'a mut [f32], points: &'a [f32], places: &'a [f32], k: usize) {
        let block = (places.len() / 2 * 4 * k).max(1);
        for (out, points) in out.chunks_exact_mut(block).zip(points.chunks_exact(2 * k)) {
            let points = apart(points);
            for (out, place) in out.chunks_exact_mut(4 * k).zip(places.chunks_exact(2)) {
                let (near, rest) = out.split_at_mut(k);
                let (across, rest) = rest.split_at_mut(k);
                let (down, wide) = rest.split_at_mut(k);
                let parts = near.chunks_mut(LANES).zip(across.chunks_mut(LANES));
                let parts = parts.zip(down.chunks_mut(LANES).zip(wide.chunks_mut(LANES)));
                for (((near, across), (down, wide)), [x, y]) in parts.zip(&points) {
                    let [mut of_near, mut of_across, mut of_down, mut of_wide] = [[0.0; LANES]; 4];
                    for i in 0..LANES {
                        let (dx, dy) = (place[0] - x[i], place[1] - y[i]);
                        let squared = dx * dx + dy * dy;
                        of_near[i] = exp(-FALLOFF[0] * squared);
                        of_wide[i] = exp(-FALLOFF[1] * squared);
                        of_across[i] = 4.0 * dx * of_wide[i];
                        of_down[i] = 4.0 * dy * of_wide[i];
                    }
                    store(near, of_near);
                    store(across, of_across);
                    store(down, of_down);
                    store(wide, of_wide);
                }
            }
        }
    }
}

vectorised! {
    fn back<'a>(d_points: &'a mut [f32], given: [&'a [f32]; 4], k: usize) {
        let [points, places, out, d] = given;
        let block = (places.len() / 2 * 4 * k).max(1);
        let rows = d_points.chunks_exact_mut(2 * k).zip(points.chunks_exact(2 * k));
        for ((d_points, points), (out, d)) in rows.zip(out.chunks_exact(block).zip(d.chunks_exact(block))) {
            for (part, (d_points, [x, y])) in d_points.chunks_mut(2 * LANES).zip(&apart(points)).enumerate() {
                let (start, end) = (part * LANES, (part * LANES + LANES).min(k));
                let (mut sum_x, mut sum_y) = ([0.0; LANES], [0.0; LANES]);
                let places = places.chunks_exact(2);
                for ((out, d), place) in out.chunks_exact(4 * k).zip(d.chunks_exact(4 * k)).zip(places) {
                    let of = |values: &[f32], which: usize| load(&values[which * k + start..which * k + end]);
                    let (near, wide) = (of(out, 0), of(out, 3));
                    let (of_near, of_across, of_down, of_wide) = (of(d, 0), of(d, 1), of(d, 2), of(d, 3));
                    for i in 0..LANES {
                        let (dx, dy) = (place[0] - x[i], place[1] - y[i]);
                        let along = 4.0 * (of_across[i] * dx + of_down[i] * dy) + of_wide[i];
                        let pull = 2.0 * (FALLOFF[0] * of_near[i] * near[i] + FALLOFF[1] * along * wide[i]);
                        sum_x[i] += pull * dx - 4.0 * wide[i] * of_across[i];
                        sum_y[i] += pull * dy - 4.0 * wide[i] * of_down[i];
                    }
                }
                for (pair, (x, y)) in d_points.chunks_exact_mut(2).zip(sum_x.iter().zip(&sum_y)) {
                    pair.copy_from_slice(&[*x, *y]);
                }
            }
        }
    }
}

impl Nearness for Flex {
    fn nearness(points: FlexTensor, places: FlexTensor) -> FlexTensor {
        let ([batch, values], count) = ([sizes(&points)[0], sizes(&points)[1]], sizes(&places)[0]);
        let (points, places) = (Values::of(&points), Values::of(&places));
        let k = values / 2;
        let mut out = vec![0.0; batch * count * 4 * k];
        lay_out(&mut out, &points, &places, k);
        tensor(out, [batch, count, 4 * k])
    }
}

/// Gradient to the points, from what was computed (near and wide are read off it) and its gradient.
fn backward(points: &FlexTensor, places: &FlexTensor, out: &FlexTensor, d: &FlexTensor) -> FlexTensor {
    let [batch, values] = [sizes(points)[0], sizes(points)[1]];
    let (points, places, out, d) = (Values::of(points), Values::of(places), Values::of(out), Values::of(d));
    let k = values / 2;
    let mut d_points = vec![0.0; batch * values];
    back(&mut d_points, [&points, &places, &out, &d], k);
    tensor(d_points, [batch, values])
}

impl<C: CheckpointStrategy> Nearness for Autodiff<Flex, C> {
    fn nearness(points: FloatTensor<Self>, places: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Op;

        impl Backward<Flex, 1> for Op {
            type State = [FlexTensor; 3];

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let [points, places, out] = ops.state;
                unary::<Flex, _>(ops.parents, ops.node, grads, |d| backward(&points, &places, &out, &d));
            }
        }

        let ((points, node), places) = (points.into_parts(), places.into_primitive());
        let out = Flex::nearness(points.clone(), places.clone());
        match Op.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish([points, places, out.clone()], out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{agree, differences, uniform};

    #[test]
    fn agrees_with_the_plain_composition_and_with_differences() {
        for (batch, points, places) in [(1, 1, 1), (3, 5, 7), (2, 16, 9)] {
            let at = uniform(&[places, 2], 1) * 0.5;
            let inputs = [uniform(&[batch, 2 * points], 2) * 0.5];
            let of = |f: fn(Tensor<2>, &Tensor<2>) -> Tensor<3>| {
                let at = at.clone();
                move |x: &[Tensor<2>]| f(x[0].clone(), &Tensor::from_data(at.to_data(), &x[0].device()))
            };
            agree(&inputs, of(nearness), of(plain), 2e-6);
            differences(&inputs, of(nearness), 3e-2);
        }
    }
}
