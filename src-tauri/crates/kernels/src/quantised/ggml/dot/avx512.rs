//! AVX-512 with VNNI: 64 codes at a time.

use super::super::blocks::PART;
use super::unpack::Unpack;
use super::{AT_ONCE, Rounded};
#[allow(
    clippy::wildcard_imports,
    reason = "twenty names that carry their own prefix"
)]
use std::arch::x86_64::*;

/// Bytes from a block to what is prefetched.
const AHEAD: usize = 2048;

/// Whether this processor, and the system on it, has what [`dot`] needs.
pub(super) fn detected() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}

/// The products of a row of blocks with rows of `few` from `first` on.
///
/// # Safety
/// The unit was detected. `few` has the rows, and each as many blocks of that length as `row`.
pub(super) unsafe fn dot<B: Unpack>(row: &[B], few: &Rounded, first: usize, to: &mut [f32]) {
    let (mut first, mut left) = (first, to);
    while !left.is_empty() {
        let count = 1 << left.len().min(AT_ONCE).ilog2();
        let (to, rest) = left.split_at_mut(count);
        // SAFETY: the caller's.
        unsafe {
            match count {
                1 => by::<B, 1>(row, few, first, to),
                2 => by::<B, 2>(row, few, first, to),
                4 => by::<B, 4>(row, few, first, to),
                _ => by::<B, AT_ONCE>(row, few, first, to),
            }
        }
        (first, left) = (first + count, rest);
    }
}

#[inline(always)]
unsafe fn by<B: Unpack, const ROWS: usize>(row: &[B], few: &Rounded, first: usize, to: &mut [f32]) {
    // SAFETY: the caller's.
    let products = unsafe {
        if B::PARTS == 1 {
            blocks::<B, ROWS>(row, few, first)
        } else {
            super_blocks::<B, ROWS>(row, few, first)
        }
    };
    to.copy_from_slice(&products);
}

/// Two parts side by side.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn side_by_side([first, second]: [__m256i; 2]) -> __m512i {
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(first), second)
}

/// Asks for what lies as far behind a block as it takes to come from memory; rows lie one after
/// the other.
#[inline(always)]
fn prefetch<B>(block: &B) {
    let at = std::ptr::from_ref(block).cast::<i8>().wrapping_add(AHEAD);
    for line in (0..size_of::<B>()).step_by(64) {
        // SAFETY: a prefetch may point anywhere.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(line)) };
    }
}

/// Blocks of one part, two at a time.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn blocks<B: Unpack, const ROWS: usize>(
    row: &[B],
    few: &Rounded,
    first: usize,
) -> [f32; ROWS] {
    const UPPER: __mmask16 = 0xff00;
    let of: [_; ROWS] = std::array::from_fn(|index| few.row(first + index));
    let mut totals = [_mm512_setzero_ps(); ROWS];
    // What the codes' offset and the minimums bring.
    let mut lower = [0.0_f32; ROWS];
    let mut two = |index: usize, codes: __m512i, factors: [[f32; 2]; 2]| {
        let pair = |at: usize| {
            let (low, high) = (_mm512_set1_ps(factors[0][at]), factors[1][at]);
            _mm512_mask_blend_ps(UPPER, low, _mm512_set1_ps(high))
        };
        let scales = pair(0);
        let minimums = factors.map(|[scale, minimum]| scale * f32::from(B::OFFSET) + minimum);
        for ((row, total), lower) in of.iter().zip(&mut totals).zip(&mut lower) {
            // SAFETY: rows reach over whole vectors, and have a scale for each block there.
            let (others, [low, high], weights) = unsafe {
                let scales = row.scales.as_ptr().add(2 * index);
                let weights = row.weights.as_ptr().add(2 * index);
                (
                    _mm512_loadu_si512(row.codes.as_ptr().add(2 * PART * index).cast()),
                    [*scales, *scales.add(1)],
                    [*weights, *weights.add(1)],
                )
            };
            let theirs = _mm512_mask_blend_ps(UPPER, _mm512_set1_ps(low), _mm512_set1_ps(high));
            let product = _mm512_dpbusd_epi32(_mm512_setzero_si512(), codes, others);
            let scale = _mm512_mul_ps(scales, theirs);
            *total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(product), scale, *total);
            *lower = minimums[0].mul_add(weights[0], *lower);
            *lower = minimums[1].mul_add(weights[1], *lower);
        }
    };
    let mut pairs = row.chunks_exact(2);
    // SAFETY: the unit was detected.
    let codes = |block: &B| unsafe { block.two_parts(0)[0] };
    // SAFETY: as above.
    let factors = |block: &B| unsafe { block.both_factors() };
    for (index, pair) in (&mut pairs).enumerate() {
        prefetch(&pair[0]);
        prefetch(&pair[1]);
        let codes = side_by_side([codes(&pair[0]), codes(&pair[1])]);
        two(index, codes, [factors(&pair[0]), factors(&pair[1])]);
    }
    if let [last] = pairs.remainder() {
        let codes = side_by_side([codes(last), _mm256_setzero_si256()]);
        two(row.len() / 2, codes, [factors(last), [0.0; 2]]);
    }
    std::array::from_fn(|index| _mm512_reduce_add_ps(totals[index]) - lower[index])
}

/// Blocks of eight parts: all that a block and its counterpart make is summed up in integers.
/// Codes are below 64, so that no sum of two products passes 16 bits.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn super_blocks<B: Unpack, const ROWS: usize>(
    row: &[B],
    few: &Rounded,
    first: usize,
) -> [f32; ROWS] {
    let of: [_; ROWS] = std::array::from_fn(|index| few.row(first + index));
    let mut totals = [_mm512_setzero_ps(); ROWS];
    let mut lower = [_mm256_setzero_ps(); ROWS];
    // Eight times the scale of each 16 codes.
    let lanes: [i16; 32] = std::array::from_fn(|lane| lane as i16 / 8);
    // SAFETY: `lanes` is a vector long.
    let lanes = unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) };
    for (index, block) in row.iter().enumerate() {
        prefetch(block);
        // SAFETY: the unit was detected.
        let (steps, [factor, mut lower_factor]) =
            unsafe { (block.all_steps(), block.both_factors()) };
        let (scales, mut minimums) = (
            _mm256_cvtepi8_epi16(steps[0]),
            _mm256_cvtepi8_epi16(steps[1]),
        );
        if B::OFFSET > 0 {
            (minimums, lower_factor) = (scales, factor * f32::from(B::OFFSET));
        }
        let scales = _mm512_castsi256_si512(scales);
        let mut sums = [_mm512_setzero_si512(); ROWS];
        for pair in 0..4 {
            // SAFETY: as above.
            let codes = side_by_side(unsafe { block.two_parts(pair) });
            let lanes = _mm512_add_epi16(lanes, _mm512_set1_epi16(4 * pair as i16));
            let scales = _mm512_permutexvar_epi16(lanes, scales);
            for (row, sum) in of.iter().zip(&mut sums) {
                // SAFETY: the row has a counterpart to each block.
                let others = unsafe {
                    let at = (B::PARTS * index + 2 * pair) * PART;
                    _mm512_loadu_si512(row.codes.as_ptr().add(at).cast())
                };
                *sum = _mm512_dpwssd_epi32(*sum, _mm512_maddubs_epi16(codes, others), scales);
            }
        }
        for (at, row) in of.iter().enumerate() {
            // SAFETY: as above: sixteen sums and a scale for each block.
            let (theirs, scale) = unsafe {
                (
                    _mm256_loadu_si256(row.sums.as_ptr().add(16 * index).cast()),
                    *row.scales.as_ptr().add(index),
                )
            };
            let low = _mm256_cvtepi32_ps(_mm256_madd_epi16(minimums, theirs));
            lower[at] = _mm256_fmadd_ps(low, _mm256_set1_ps(lower_factor * scale), lower[at]);
            let product = _mm512_cvtepi32_ps(sums[at]);
            totals[at] = _mm512_fmadd_ps(product, _mm512_set1_ps(factor * scale), totals[at]);
        }
    }
    std::array::from_fn(|index| {
        let low = _mm512_castps256_ps512(lower[index]);
        let low = _mm512_maskz_mov_ps(0x00ff, low);
        _mm512_reduce_add_ps(_mm512_sub_ps(totals[index], low))
    })
}
