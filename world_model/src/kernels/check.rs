//! What every fused operation is held to: the plain composition, and central differences.

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;

use crate::noise;
use crate::vision::floats;

/// Values between -2 and 2, the same for the same seed.
pub(super) fn uniform<const D: usize>(shape: &[usize; D], seed: u64) -> Tensor<D> {
    let mut rng = noise::generator(seed, "kernels", 0);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-2.0..2.0)).collect();
    Tensor::from_data(TensorData::new(values, *shape), &Device::default())
}

/// A scalar of an output, its neighbouring elements weighed differently.
fn weighed<const D: usize>(y: Tensor<D>) -> Tensor<1> {
    let (shape, device) = (y.dims(), y.device());
    let values: Vec<f32> = (0..shape.iter().product()).map(|i| 0.3 + ((i * 7) % 11) as f32 * 0.1).collect();
    (y * Tensor::from_data(TensorData::new(values, shape), &device)).sum()
}

fn gradients<const D: usize, const E: usize>(
    inputs: &[Tensor<D>],
    f: &impl Fn(&[Tensor<D>]) -> Tensor<E>,
) -> (Vec<f32>, Vec<Vec<f32>>) {
    let device = Device::default().autodiff();
    let tracked: Vec<Tensor<D>> =
        inputs.iter().map(|x| Tensor::from_data(x.clone().into_data(), &device).require_grad()).collect();
    let y = f(&tracked);
    let values = floats(y.clone().inner());
    let grads = weighed(y).backward();
    (values, tracked.iter().map(|x| x.grad(&grads).map(floats).unwrap_or_default()).collect())
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f32::max)
}

/// Values and gradients of the fused operation are those of the plain one, with and without tracking.
pub(super) fn agree<const D: usize, const E: usize>(
    inputs: &[Tensor<D>],
    fused: impl Fn(&[Tensor<D>]) -> Tensor<E>,
    plain: impl Fn(&[Tensor<D>]) -> Tensor<E>,
    tolerance: f32,
) {
    let ((a, da), (b, db)) = (gradients(inputs, &fused), gradients(inputs, &plain));
    assert!(apart(&a, &b) <= tolerance, "values differ by {:e}", apart(&a, &b));
    assert!(apart(&floats(fused(inputs)), &b) <= tolerance, "values without tracking differ");
    for (i, (a, b)) in da.iter().zip(&db).enumerate() {
        assert!(apart(a, b) <= 4.0 * tolerance, "gradients to input {i} differ by {:e}", apart(a, b));
    }
}

/// Gradients are the slopes of the operation: central differences along a few elements of every input.
pub(super) fn differences<const D: usize, const E: usize>(
    inputs: &[Tensor<D>],
    f: impl Fn(&[Tensor<D>]) -> Tensor<E>,
    tolerance: f32,
) {
    const STEP: f32 = 2e-3;
    let (_, slopes) = gradients(inputs, &f);
    for (i, (input, slopes)) in inputs.iter().zip(&slopes).enumerate() {
        let (values, shape) = (floats(input.clone()), input.dims());
        for at in (0..values.len()).step_by((values.len() / 5).max(1)) {
            let moved = |by: f32| {
                let mut values = values.clone();
                values[at] += by;
                let mut inputs = inputs.to_vec();
                inputs[i] = Tensor::from_data(TensorData::new(values, shape), &Device::default());
                weighed(f(&inputs)).into_scalar::<f32>()
            };
            let measured = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            let wrong = (measured - slopes[at]).abs() / (1.0 + measured.abs());
            assert!(wrong <= tolerance, "input {i}, element {at}: slope {} against {measured}", slopes[at]);
        }
    }
}
