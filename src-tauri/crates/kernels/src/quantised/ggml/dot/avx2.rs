//! AVX2 with FMA: 32 codes at a time.

use super::super::blocks::{Block, PART};
use super::Rounded;
#[allow(
    clippy::wildcard_imports,
    reason = "twenty names that carry their own prefix"
)]
use std::arch::x86_64::*;

/// Whether this processor, and the system on it, has what [`dot`] needs.
pub(super) fn detected() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// The products of a row of blocks with rows of `few` from `first` on.
///
/// # Safety
/// The unit was detected. `few` has the rows, and each as many blocks of that length as `row`.
pub(super) unsafe fn dot<B: Block>(row: &[B], few: &Rounded, first: usize, to: &mut [f32]) {
    for (index, to) in to.chunks_mut(4).enumerate() {
        let first = first + 4 * index;
        // SAFETY: the caller's, for four rows at most.
        unsafe {
            match to.len() {
                1 => by::<B, 1>(row, few, first, to),
                2 => by::<B, 2>(row, few, first, to),
                3 => by::<B, 3>(row, few, first, to),
                _ => by::<B, 4>(row, few, first, to),
            }
        }
    }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn by<B: Block, const ROWS: usize>(row: &[B], few: &Rounded, first: usize, to: &mut [f32]) {
    let of: [_; ROWS] = std::array::from_fn(|index| few.row(first + index));
    let mut totals = [_mm256_setzero_ps(); ROWS];
    // What the codes' offset and the minimums bring.
    let mut lower = [0.0_f32; ROWS];
    for (index, block) in row.iter().enumerate() {
        let [factor, lower_factor] = block.factors();
        let mut sums = [_mm256_setzero_si256(); ROWS];
        for part in 0..B::PARTS {
            let ([scales, _], codes) = (block.steps(part), block.codes(part));
            let scales = _mm256_set_m128i(
                _mm_set1_epi16(scales[1].into()),
                _mm_set1_epi16(scales[0].into()),
            );
            // SAFETY: as many bytes as a vector.
            let codes = unsafe { _mm256_loadu_si256(codes.as_ptr().cast()) };
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
        let steps = if B::PARTS == 1 {
            None
        } else {
            Some(block.all_steps())
        };
        for (at, row) in of.iter().enumerate() {
            let scale = row.scales[index];
            let products = _mm256_cvtepi32_ps(sums[at]);
            totals[at] = _mm256_fmadd_ps(products, _mm256_set1_ps(factor * scale), totals[at]);
            let Some([scales, minimums]) = &steps else {
                let minimum = factor * f32::from(B::OFFSET) + lower_factor;
                lower[at] += minimum * row.weights[index];
                continue;
            };
            let (steps, factor) = if B::OFFSET > 0 {
                (scales, factor * f32::from(B::OFFSET))
            } else {
                (minimums, lower_factor)
            };
            let theirs = &row.sums[16 * index..][..16];
            let low: i32 = steps
                .iter()
                .zip(theirs)
                .map(|(step, sum)| i32::from(*step) * i32::from(*sum))
                .sum();
            lower[at] += factor * scale * low as f32;
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
#[target_feature(enable = "avx2,fma")]
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
