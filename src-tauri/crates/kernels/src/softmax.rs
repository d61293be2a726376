//! What a softmax is made of.

use crate::exp::exp;
use crate::vectorised::vectorised;

/// Replaces scores by `e^(x - max)`; returns the maximum and the sum.
pub(crate) fn exponentials(scores: &mut [f32]) -> (f32, f32) {
    vectorised(
        #[inline(always)]
        || {
            let mut highest = [f32::NEG_INFINITY; 16];
            let chunks = scores.chunks_exact(16);
            let rest = chunks.remainder();
            let mut raise = |chunk: &[f32]| {
                for (highest, x) in highest.iter_mut().zip(chunk) {
                    *highest = if *x > *highest { *x } else { *highest };
                }
            };
            // Whole chunks apart: of known length, they are one register.
            chunks.for_each(&mut raise);
            raise(rest);
            let max = highest.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut sums = [0.0_f32; 16];
            let mut chunks = scores.chunks_exact_mut(16);
            for chunk in &mut chunks {
                for (sum, x) in sums.iter_mut().zip(chunk) {
                    *x = exp(*x - max);
                    *sum += *x;
                }
            }
            for (sum, x) in sums.iter_mut().zip(chunks.into_remainder()) {
                *x = exp(*x - max);
                *sum += *x;
            }
            (max, sums.iter().sum())
        },
    )
}
