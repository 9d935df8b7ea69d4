//! What is constant goes into the weights: normalisation of pixels into the patch layer, positions at another size.

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData};

/// Rows `[out, in]` and a bias as a layer, which keeps `[in, out]`.
pub(super) fn layer(weight: Vec<f32>, bias: Vec<f32>, input: usize, device: &Device) -> Linear {
    let out = bias.len();
    let mut turned = vec![0.0; weight.len()];
    for (o, row) in weight.chunks_exact(input).enumerate() {
        row.iter().enumerate().for_each(|(i, x)| turned[i * out + o] = *x);
    }
    Linear {
        weight: Param::from_tensor(Tensor::from_data(TensorData::new(turned, [input, out]), device)),
        bias: Some(Param::from_tensor(Tensor::from_data(TensorData::new(bias, [out]), device))),
    }
}

/// The kernel `[D, 3, patch, patch]` for pixels of 0 to 255: `W (x/255 - mean) / std + b`.
pub(super) fn folded_patch(
    mut kernel: Vec<f32>,
    mut bias: Vec<f32>,
    [mean, std]: [[f64; 3]; 2],
    device: &Device,
) -> Linear {
    let input = kernel.len() / bias.len();
    for (row, bias) in kernel.chunks_exact_mut(input).zip(&mut bias) {
        let mut moved = f64::from(*bias);
        for (channel, values) in row.chunks_exact_mut(input / 3).enumerate() {
            for x in values {
                moved -= f64::from(*x) * mean[channel] / std[channel];
                *x = (f64::from(*x) / (255.0 * std[channel])) as f32;
            }
        }
        *bias = moved as f32;
    }
    layer(kernel, bias, input, device)
}

/// Positions of a square grid `[from², D]` at another size `[to², D]`, bicubic (Keys 1981), the way the family was published to be
/// resampled.
pub(super) fn resampled(positions: &[f32], (from, to): (usize, usize), smooth: bool, width: usize) -> Vec<f32> {
    if from == to {
        return positions.to_vec();
    }
    let taps: Vec<Vec<(usize, f64)>> = (0..to).map(|i| taps((from, to), i, smooth)).collect();
    let mut out = Vec::with_capacity(to * to * width);
    for (ys, xs) in taps.iter().flat_map(|ys| taps.iter().map(move |xs| (ys, xs))) {
        for d in 0..width {
            let sum = |&(y, v): &(usize, f64)| {
                v * xs.iter().map(|&(x, u)| u * f64::from(positions[(y * from + x) * width + d])).sum::<f64>()
            };
            out.push(ys.iter().map(sum).sum::<f64>() as f32);
        }
    }
    out
}

/// Places and weights that make up place `i` of `to` out of `from`: with `smooth` the kernel (a = -0.5) is stretched where there
/// are fewer places than before, and what would lie outside has no weight; else (a = -0.75) it is not, and the edge stands for it.
fn taps((from, to): (usize, usize), i: usize, smooth: bool) -> Vec<(usize, f64)> {
    let (a, ratio) = (if smooth { -0.5 } else { -0.75 }, from as f64 / to as f64);
    let stretch = if smooth { ratio.max(1.0) } else { 1.0 };
    let kernel = |x: f64| match x.abs() {
        x if x <= 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
        x if x < 2.0 => ((x - 5.0) * x + 8.0) * x * a - 4.0 * a,
        _ => 0.0,
    };
    let at = (i as f64 + 0.5) * ratio - 0.5;
    let reach = 2.0 * stretch;
    let (low, high, last) = ((at - reach).ceil() as i64, (at + reach).floor() as i64, from as i64 - 1);
    let all = (low..=high).filter(|tap| !smooth || (0..=last).contains(tap));
    let all: Vec<(usize, f64)> =
        all.map(|tap| (tap.clamp(0, last) as usize, kernel((at - tap as f64) / stretch))).collect();
    let total: f64 = all.iter().map(|(_, weight)| weight).sum();
    all.into_iter().map(|(tap, weight)| (tap, weight / total)).collect()
}
