//! The hyperbolic tangent and the error function, written so that the compiler turns them into
//! vector code.

use crate::exp::exp;

/// tanh: an odd polynomial near zero, where `1 - 2 / (e^2x + 1)` would cancel (Cephes' `tanhf`).
/// Relative error below 3e-7.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let square = x * x;
    let mut p = -5.704_988_5e-3_f32;
    p = p * square + 2.063_909e-2;
    p = p * square - 5.373_971_6e-2;
    p = p * square + 1.333_144_2e-1;
    p = p * square - 3.333_328e-1;
    let near = x + x * square * p;
    let magnitude = x.abs();
    let far = (1.0 - 2.0 / (exp(2.0 * magnitude) + 1.0)).copysign(x);
    if magnitude < 0.625 { near } else { far }
}

/// The error function: a rational approximation on [-4, 4], beyond which it is ±1 in f32 (Eigen's).
/// Relative error below 3e-7.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let square = x * x;
    let mut p = -2.726_142_3e-10_f32;
    p = p * square + 2.770_681_4e-8;
    p = p * square - 2.101_024e-6;
    p = p * square - 5.692_506_4e-5;
    p = p * square - 7.349_906e-4;
    p = p * square - 2.954_6e-3;
    p = p * square - 1.609_603_3e-2;
    let mut q = -1.456_607_4e-5_f32;
    q = q * square - 2.133_740_5e-4;
    q = q * square - 1.682_826_9e-3;
    q = q * square - 7.373_329_2e-3;
    q = q * square - 1.426_473_9e-2;
    x * p / q
}

#[cfg(test)]
mod tests {
    use super::{erf, tanh};

    fn assert_agrees(name: &str, ours: fn(f32) -> f32, theirs: impl Fn(f64) -> f64) {
        for step in -8_000..=8_000 {
            let x = step as f32 / 1_000.0 + 1e-5;
            let (ours, theirs) = (f64::from(ours(x)), theirs(f64::from(x)));
            assert!(
                (ours / theirs - 1.0).abs() < 6e-7,
                "{name}({x}) = {ours}, not {theirs}"
            );
        }
    }

    #[test]
    fn tanh_agrees_with_the_standard_library() {
        assert_agrees("tanh", tanh, f64::tanh);
        assert_eq!((tanh(100.0), tanh(-100.0), tanh(0.0)), (1.0, -1.0, 0.0));
    }

    #[test]
    fn erf_agrees_with_candles() {
        assert_agrees("erf", erf, candle_core::cpu::erf::erf_f64);
    }
}
