//! AVX2 with FMA: 32 codes at a time.

use super::super::blocks::PART;
use super::Rounded;
use super::unpack::Unpack;
#[allow(
    clippy::wildcard_imports,
    reason = "twenty names that carry their own prefix"
)]
use std::arch::x86_64::*;

/// Whether this processor, and the system on it, has what [`dot`] needs.
pub(super) fn detected() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

/// The products of a row of blocks with rows of `few` from `first` on.
///
/// # Safety
/// The unit was detected. `few` has the rows, and each as many blocks of that length as `row`.
pub(super) unsafe fn dot<B: Unpack>(row: &[B], few: &Rounded, first: usize, to: &mut [f32]) {
    let (mut first, mut left) = (first, to);
    while !left.is_empty() {
        let count = 1 << left.len().min(4).ilog2();
        let (to, rest) = left.split_at_mut(count);
        // SAFETY: the caller's.
        unsafe {
            match count {
                1 => by::<B, 1>(row, few, first, to),
                2 => by::<B, 2>(row, few, first, to),
                _ => by::<B, 4>(row, few, first, to),
            }
        }
        (first, left) = (first + count, rest);
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn by<B: Unpack, const ROWS: usize>(row: &[B], few: &Rounded, first: usize, to: &mut [f32]) {
    let of: [_; ROWS] = std::array::from_fn(|index| few.row(first + index));
    let mut totals = [_mm256_setzero_ps(); ROWS];
    // What the codes' offset and the minimums bring.
    let mut lower = [0.0_f32; ROWS];
    for (index, block) in row.iter().enumerate() {
        // SAFETY: the unit was detected.
        let (steps, [factor, lower_factor]) = unsafe { (block.all_steps(), block.both_factors()) };
        let [scales, minimums] = steps.map(|steps| _mm256_cvtepi8_epi16(steps));
        let mut all_scales = [0_i16; 16];
        // SAFETY: `all_scales` is a vector long.
        unsafe { _mm256_storeu_si256(all_scales.as_mut_ptr().cast(), scales) };
        let mut sums = [_mm256_setzero_si256(); ROWS];
        for pair in 0..B::PARTS.div_ceil(2) {
            // SAFETY: the unit was detected.
            let codes = unsafe { block.two_parts(pair) };
            for (half, codes) in codes.into_iter().take(B::PARTS).enumerate() {
                let part = 2 * pair + half;
                let scales = _mm256_set_m128i(
                    _mm_set1_epi16(all_scales[2 * part + 1]),
                    _mm_set1_epi16(all_scales[2 * part]),
                );
                for (row, sum) in of.iter().zip(&mut sums) {
                    // SAFETY: the row has a counterpart to each block.
                    let others = unsafe {
                        let at = (B::PARTS * index + part) * PART;
                        _mm256_loadu_si256(row.codes.as_ptr().add(at).cast())
                    };
                    let products = if B::OFFSET < 128 {
                        // Codes are below 64: no sum of two products passes 16 bits.
                        _mm256_madd_epi16(_mm256_maddubs_epi16(codes, others), scales)
                    } else {
                        products_of_bytes(codes, others)
                    };
                    *sum = _mm256_add_epi32(*sum, products);
                }
            }
        }
        for (at, row) in of.iter().enumerate() {
            let scale = row.scales[index];
            let products = _mm256_cvtepi32_ps(sums[at]);
            totals[at] = _mm256_fmadd_ps(products, _mm256_set1_ps(factor * scale), totals[at]);
            if B::PARTS == 1 {
                let minimum = factor * f32::from(B::OFFSET) + lower_factor;
                lower[at] += minimum * row.weights[index];
                continue;
            }
            let (steps, factor) = if B::OFFSET > 0 {
                (scales, factor * f32::from(B::OFFSET))
            } else {
                (minimums, lower_factor)
            };
            // SAFETY: the row has sixteen sums for each block.
            let theirs = unsafe { _mm256_loadu_si256(row.sums.as_ptr().add(16 * index).cast()) };
            let low = _mm256_cvtepi32_ps(_mm256_madd_epi16(steps, theirs));
            totals[at] = _mm256_fnmadd_ps(low, _mm256_set1_ps(factor * scale), totals[at]);
        }
    }
    for ((to, total), lower) in to.iter_mut().zip(totals).zip(lower) {
        let mut lanes = [0.0_f32; 8];
        // SAFETY: `lanes` is a vector long.
        unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), total) };
        *to = lanes.iter().sum::<f32>() - lower;
    }
}

/// The products of unsigned and signed bytes, summed four by four.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn products_of_bytes(codes: __m256i, others: __m256i) -> __m256i {
    let low = _mm256_madd_epi16(
        _mm256_cvtepu8_epi16(_mm256_castsi256_si128(codes)),
        _mm256_cvtepi8_epi16(_mm256_castsi256_si128(others)),
    );
    let high = _mm256_madd_epi16(
        _mm256_cvtepu8_epi16(_mm256_extracti128_si256::<1>(codes)),
        _mm256_cvtepi8_epi16(_mm256_extracti128_si256::<1>(others)),
    );
    _mm256_add_epi32(low, high)
}
