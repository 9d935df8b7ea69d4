//! Windows of a square picture laid out as rows, so that a convolution is one product: `y = unfold(x) W`.
//!
//! Channels lie side by side, so that a line of a window is one run of memory. Beyond the edge all is 0.
//! Backward: every place sums the gradients of the windows that show it.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::maths::vectorised;
use super::prelude::*;
use super::{Values, fused, sizes, tensor};

/// Square windows of `size` places, an odd number, every `stride` places; the first and the last reach over the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Places along a window.
    pub size: usize,
    /// Places from one window to the next.
    pub stride: usize,
}

impl Windows {
    /// Windows along a picture of `side` places.
    pub fn along(&self, side: usize) -> usize {
        (side - 1) / self.stride + 1
    }

    /// The lines of all windows of one picture: position in the windows and in the picture, and length, in places.
    fn lines(&self, side: usize, mut visit: impl FnMut(usize, usize, usize)) {
        let (pad, along) = (self.size / 2, self.along(side));
        for window in 0..along * along {
            let (top, left) = (window / along * self.stride, window % along * self.stride);
            // In the coordinates of a picture with a margin of `pad` places.
            let (first, last) = (left.max(pad), (left + self.size).min(side + pad));
            for line in 0..self.size {
                let y = top + line;
                if y >= pad && y < side + pad {
                    let to = (window * self.size + line) * self.size + first - left;
                    visit(to, (y - pad) * side + first - pad, last - first);
                }
            }
        }
    }
}

/// Pictures `[B, side², C]`, places row by row, to one row per window `[B * along², size² * C]`.
pub fn unfold(x: Tensor<3>, windows: Windows) -> Tensor<2> {
    let [_, places, _] = x.dims();
    assert!(
        places.isqrt().pow(2) == places && windows.size % 2 == 1,
        "square pictures and odd windows, found {places} places"
    );
    if !fused(&x) {
        return plain(x, windows);
    }
    Tensor::from_dispatch(<Dispatch as Unfold>::unfold(x.into_dispatch(), windows.size, windows.stride))
}

fn plain(x: Tensor<3>, windows: Windows) -> Tensor<2> {
    let ([batch, places, channels], device) = (x.dims(), x.device());
    let side = places.isqrt();
    let (rows, of_row) = (windows.along(side).pow(2), windows.size * windows.size);
    let x = Tensor::cat(vec![x, Tensor::zeros([batch, 1, channels], &device)], 1);
    x.select(1, places_of(windows, side, &device)).reshape([batch * rows, of_row * channels])
}

/// The place that every place of every window shows; the one behind the last for what lies beyond the edge.
fn places_of(windows: Windows, side: usize, device: &Device) -> Tensor<1, Int> {
    let count = (windows.along(side) * windows.size).pow(2);
    let mut places = vec![(side * side) as i64; count];
    windows.lines(side, |to, from, len| (0..len).for_each(|i| places[to + i] = (from + i) as i64));
    Tensor::from_data(TensorData::new(places, [count]), device)
}

#[backend_extension(Flex, Autodiff)]
trait Unfold: Backend {
    fn unfold(x: FloatTensor<Self>, size: usize, stride: usize) -> FloatTensor<Self>;
}

/// Runs of `channels` values per place: `(in windows, in the picture, length)`.
type Runs<'a> = &'a [(usize, usize, usize)];

vectorised! {
    fn copy<'a>(out: &'a mut [f32], x: &'a [f32], runs: Runs<'a>) {
        for &(to, from, len) in runs {
            out[to..to + len].copy_from_slice(&x[from..from + len]);
        }
    }
}

vectorised! {
    fn add<'a>(dx: &'a mut [f32], d: &'a [f32], runs: Runs<'a>) {
        for &(of_window, of_picture, len) in runs {
            let (dx, d) = (&mut dx[of_picture..of_picture + len], &d[of_window..of_window + len]);
            dx.iter_mut().zip(d).for_each(|(dx, d)| *dx += d);
        }
    }
}

fn runs(windows: Windows, side: usize, channels: usize) -> Vec<(usize, usize, usize)> {
    let mut out = Vec::new();
    windows.lines(side, |to, from, len| out.push((to * channels, from * channels, len * channels)));
    out
}

fn forward(x: &FlexTensor, windows: Windows) -> FlexTensor {
    let [batch, places, channels] = sizes(x)[..] else { unreachable!("three dimensions were asserted") };
    let side = places.isqrt();
    let (rows, width) = (windows.along(side).pow(2), windows.size * windows.size * channels);
    let (x, runs) = (Values::of(x), runs(windows, side, channels));
    let mut out = vec![0.0; batch * rows * width];
    let pictures = out.chunks_exact_mut((rows * width).max(1)).zip(x.chunks_exact((places * channels).max(1)));
    pictures.for_each(|(out, x)| copy(out, x, &runs));
    tensor(out, [batch * rows, width])
}

fn backward(d: &FlexTensor, windows: Windows, [batch, places, channels]: [usize; 3]) -> FlexTensor {
    let side = places.isqrt();
    let of_picture = windows.along(side).pow(2) * windows.size * windows.size * channels;
    let (d, runs) = (Values::of(d), runs(windows, side, channels));
    let mut dx = vec![0.0; batch * places * channels];
    let pictures = dx.chunks_exact_mut((places * channels).max(1)).zip(d.chunks_exact(of_picture.max(1)));
    pictures.for_each(|(dx, d)| add(dx, d, &runs));
    tensor(dx, [batch, places, channels])
}

impl Unfold for Flex {
    fn unfold(x: FlexTensor, size: usize, stride: usize) -> FlexTensor {
        forward(&x, Windows { size, stride })
    }
}

impl<C: CheckpointStrategy> Unfold for Autodiff<Flex, C> {
    fn unfold(x: FloatTensor<Self>, size: usize, stride: usize) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Op;

        impl Backward<Flex, 1> for Op {
            type State = (Windows, [usize; 3]);

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let (windows, shape) = ops.state;
                unary::<Flex, _>(ops.parents, ops.node, grads, |d| backward(&d, windows, shape));
            }
        }

        let (x, node) = x.into_parts();
        let windows = Windows { size, stride };
        let shape = sizes(&x).try_into().expect("three dimensions were asserted");
        let y = forward(&x, windows);
        match Op.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((windows, shape), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{agree, differences, uniform};
    use crate::vision::floats;

    #[test]
    fn agrees_with_the_plain_composition_and_with_differences() {
        for (side, channels, size, stride) in [(1, 1, 3, 1), (4, 3, 3, 1), (6, 2, 5, 2), (5, 1, 3, 2)] {
            let inputs = [uniform(&[2, side * side, channels], 1)];
            let windows = Windows { size, stride };
            let of = |f: fn(Tensor<3>, Windows) -> Tensor<2>| move |x: &[Tensor<3>]| f(x[0].clone(), windows);
            agree(&inputs, of(unfold), of(plain), 1e-6);
            differences(&inputs, of(unfold), 2e-2);
        }
    }

    #[test]
    fn windows_by_hand() {
        let x = Tensor::<3>::from_floats([[[1.0], [2.0], [3.0], [4.0]]], &Device::default());
        let y = floats(unfold(x, Windows { size: 3, stride: 2 }));
        // 1 2 over 3 4, seen around the 1.
        assert_eq!(y, [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 3.0, 4.0]);
    }
}
