//! Spatial soft-argmax (Finn et al. 2016, Deep Spatial Autoencoders, sec. IV): where in a picture each detector sees what it
//! looks for, `(x, y)_k = Σ_p w_pk c_p` with `w_k = softmax_p(8 s_pk)` over the places `c_p`.
//!
//! Backward: `ds_pk = 8 w_pk (dx c_p.x + dy c_p.y - dx x_k - dy y_k)`.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;

use super::maths::{exp, vectorised};
use super::prelude::*;
use super::{Values, fused, sizes, tensor, writable};

/// Lets a few places outweigh the hundreds of others from the start.
const SHARPNESS: f32 = 8.0;

/// Scores `[B, P, K]` at places `[P, 2]`, which get no gradient, to points `[B, 2K]` as `x, y` pairs.
pub fn keypoints(scores: Tensor<3>, places: &Tensor<2>) -> Tensor<2> {
    let ([_, count, _], of_places) = (scores.dims(), places.dims());
    assert_eq!(of_places, [count, 2], "a place [P, 2] for every row of scores [B, P, K]");
    if !fused(&scores) {
        return plain(scores, places);
    }
    Tensor::from_dispatch(<Dispatch as Keypoints>::keypoints(scores.into_dispatch(), places.clone().into_dispatch()))
}

fn plain(scores: Tensor<3>, places: &Tensor<2>) -> Tensor<2> {
    let [batch, count, points] = scores.dims();
    let weights = softmax((scores * SHARPNESS).swap_dims(1, 2).reshape([batch * points, count]), 1);
    weights.matmul(places.clone()).reshape([batch, 2 * points])
}

#[backend_extension(Flex, Autodiff)]
trait Keypoints: Backend {
    fn keypoints(scores: FloatTensor<Self>, places: FloatTensor<Self>) -> FloatTensor<Self>;
}

vectorised! {
    fn weigh<'a>(scores: &'a mut [f32], places: &'a [f32], points: &'a mut [f32], k: usize) {
        let pictures = scores.chunks_exact_mut((places.len() / 2 * k).max(1));
        for (scores, points) in pictures.zip(points.chunks_exact_mut(2 * k)) {
            let mut top = vec![f32::NEG_INFINITY; k];
            for row in scores.chunks_exact(k) {
                top.iter_mut().zip(row).for_each(|(top, s)| *top = if *s > *top { *s } else { *top });
            }
            let [mut sum, mut x, mut y] = [(); 3].map(|()| vec![0.0f32; k]);
            for (row, place) in scores.chunks_exact_mut(k).zip(places.chunks_exact(2)) {
                let sums = sum.iter_mut().zip(&mut x).zip(&mut y);
                for ((s, top), ((sum, x), y)) in row.iter_mut().zip(&top).zip(sums) {
                    let weight = exp(SHARPNESS * (*s - top));
                    *s = weight;
                    *sum += weight;
                    *x += weight * place[0];
                    *y += weight * place[1];
                }
            }
            sum.iter_mut().for_each(|sum| *sum = 1.0 / *sum);
            for row in scores.chunks_exact_mut(k) {
                row.iter_mut().zip(&sum).for_each(|(s, scale)| *s *= scale);
            }
            for ((pair, scale), (x, y)) in points.chunks_exact_mut(2).zip(&sum).zip(x.iter().zip(&y)) {
                pair.copy_from_slice(&[x * scale, y * scale]);
            }
        }
    }
}

vectorised! {
    fn back<'a>(weights: &'a mut [f32], places: &'a [f32], points: &'a [f32], d: &'a [f32], k: usize) {
        let pictures = weights.chunks_exact_mut((places.len() / 2 * k).max(1));
        for ((weights, points), d) in pictures.zip(points.chunks_exact(2 * k)).zip(d.chunks_exact(2 * k)) {
            let (dx, dy): (Vec<f32>, Vec<f32>) = d.chunks_exact(2).map(|d| (d[0], d[1])).unzip();
            let mean: Vec<f32> =
                points.chunks_exact(2).zip(d.chunks_exact(2)).map(|(p, d)| p[0] * d[0] + p[1] * d[1]).collect();
            for (row, place) in weights.chunks_exact_mut(k).zip(places.chunks_exact(2)) {
                for ((w, mean), (dx, dy)) in row.iter_mut().zip(&mean).zip(dx.iter().zip(&dy)) {
                    *w *= SHARPNESS * (dx * place[0] + dy * place[1] - mean);
                }
            }
        }
    }
}

/// Weights in place of the scores, and the points.
fn forward(scores: FlexTensor, places: &FlexTensor) -> (FlexTensor, FlexTensor) {
    let (mut weights, places) = (writable(scores), Values::of(places));
    let dims = sizes(&weights);
    let k = dims[2];
    let mut points = vec![0.0; dims[0] * 2 * k];
    weigh(weights.storage_mut(), &places, &mut points, k);
    (weights, tensor(points, [dims[0], 2 * k]))
}

impl Keypoints for Flex {
    fn keypoints(scores: FlexTensor, places: FlexTensor) -> FlexTensor {
        forward(scores, &places).1
    }
}

/// Gradient to the scores, in place of the weights.
fn backward(weights: FlexTensor, places: &FlexTensor, points: &FlexTensor, d: &FlexTensor) -> FlexTensor {
    let (mut weights, places, points, d) = (writable(weights), Values::of(places), Values::of(points), Values::of(d));
    let k = sizes(&weights)[2];
    back(weights.storage_mut(), &places, &points, &d, k);
    weights
}

impl<C: CheckpointStrategy> Keypoints for Autodiff<Flex, C> {
    fn keypoints(scores: FloatTensor<Self>, places: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Op;

        impl Backward<Flex, 1> for Op {
            type State = [FlexTensor; 3];

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let [weights, places, points] = ops.state;
                unary::<Flex, _>(ops.parents, ops.node, grads, |d| backward(weights, &places, &points, &d));
            }
        }

        let ((scores, node), places) = (scores.into_parts(), places.into_primitive());
        let (weights, points) = forward(scores, &places);
        match Op.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish([weights, places, points.clone()], points),
            OpsKind::UnTracked(prep) => prep.finish(points),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{agree, differences, uniform};

    #[test]
    fn agrees_with_the_plain_composition_and_with_differences() {
        for (batch, places, points) in [(1, 1, 1), (3, 7, 5), (2, 9, 16)] {
            let at = uniform(&[places, 2], 1) * 0.5;
            let inputs = [uniform(&[batch, places, points], 2) * 0.3];
            let of = |f: fn(Tensor<3>, &Tensor<2>) -> Tensor<2>| {
                let at = at.clone();
                move |x: &[Tensor<3>]| f(x[0].clone(), &Tensor::from_data(at.to_data(), &x[0].device()))
            };
            agree(&inputs, of(keypoints), of(plain), 2e-6);
            differences(&inputs, of(keypoints), 2e-2);
        }
    }
}
