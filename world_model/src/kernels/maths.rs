//! Functions that run with the widest vector instructions of the processor, and exponentials that vectorise: no branches,
//! no calls.

/// A function of slices and numbers, compiled for every width of vector instructions and run with the widest there is.
///
/// A closure would not do: a long one is not inlined into the wide caller and stays narrow.
macro_rules! vectorised {
    ($(#[$meta:meta])* fn $name:ident<$life:lifetime>($($arg:ident: $of:ty),+ $(,)?) $body:block) => {
        $(#[$meta])*
        fn $name<$life>($($arg: $of),+) {
            struct Work<$life>($($of,)+ std::marker::PhantomData<&$life ()>);

            impl<$life> pulp::WithSimd for Work<$life> {
                type Output = ();

                #[inline(always)]
                fn with_simd<S: pulp::Simd>(self, _: S) {
                    // As arguments the slices are known to lie apart.
                    #[inline(always)]
                    fn work<$life>($($arg: $of),+) $body

                    let Self($($arg,)+ _) = self;
                    work($($arg),+);
                }
            }

            pulp::Arch::new().dispatch(Work($($arg,)+ std::marker::PhantomData));
        }
    };
}

pub(super) use vectorised;

/// Values that are worked on side by side: a loop over an array of them becomes one vector operation or two.
pub(super) const LANES: usize = 16;

/// Up to [`LANES`] values, the rest 0.
#[inline(always)]
pub(super) fn load(values: &[f32]) -> [f32; LANES] {
    match values.first_chunk() {
        Some(all) => *all,
        None => {
            let mut lanes = [0.0; LANES];
            lanes[..values.len()].copy_from_slice(values);
            lanes
        }
    }
}

/// The first lanes into a place for up to [`LANES`] values.
#[inline(always)]
pub(super) fn store(values: &mut [f32], lanes: [f32; LANES]) {
    match values.first_chunk_mut() {
        Some(all) => *all = lanes,
        None => {
            let count = values.len();
            values.copy_from_slice(&lanes[..count]);
        }
    }
}

/// `e^x` to about 2 units in the last place; below -87 it is nearly 0, above 88 it stays at e^88.
///
/// `x = n ln 2 + r` with `|r| ≤ ln 2 / 2`; `e^r` by its Taylor polynomial, `2^n` written into the exponent.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding and taking away 1.5 · 2^23 rounds to the nearest integer, which stands in the low bits in between.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, the first exact in few bits, so that n · ln 2 loses nothing.
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let p = 1.0 / 5040.0;
    let p = p * r + 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    p * f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000))
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Hyperbolic tangent, to about 1e-7.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    let e = exp(-2.0 * x.abs());
    ((1.0 - e) / (1.0 + e)).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_agree_with_the_standard_library() {
        for i in -86_900..=87_900 {
            let x = i as f32 * 1e-3;
            let expected = f64::from(x).exp();
            let wrong = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(wrong < 3e-7, "exp({x}) is wrong by {wrong:e}");
            assert!((f64::from(sigmoid(x)) - 1.0 / (1.0 + (-f64::from(x)).exp())).abs() < 2e-7, "sigmoid({x})");
            assert!((f64::from(tanh(x)) - f64::from(x).tanh()).abs() < 2e-7, "tanh({x})");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1000.0) < 2e-38 && exp(1000.0).is_finite());
    }
}
