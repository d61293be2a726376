//! NEON: 16 codes at a time, with the dot product of bytes where the processor has it.
//!
//! What is generic over the two must be inlined into a function that enables the instruction, so
//! that the instruction itself can be.

mod unpack;

use super::super::blocks::PART;
use super::{AT_ONCE, Rounded, RoundedRow};
#[allow(
    clippy::wildcard_imports,
    reason = "twenty names that carry their own prefix"
)]
use std::arch::aarch64::*;
pub(in super::super) use unpack::Unpack;

/// Whether this processor multiplies bytes and sums them up by fours in one instruction, as all
/// since ARMv8.4 do, and most since the Cortex-A55 and A76.
pub(super) fn dot_product_detected() -> bool {
    std::arch::is_aarch64_feature_detected!("dotprod")
}

/// Multiplies bytes.
trait Multiply {
    /// `sum` and, in one of its lanes or another, the products of the bytes.
    ///
    /// # Safety
    /// The processor has what this takes.
    unsafe fn add(sum: int32x4_t, codes: int8x16_t, others: int8x16_t) -> int32x4_t;
}

struct Plain;
struct DotProduct;

impl Multiply for Plain {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn add(sum: int32x4_t, codes: int8x16_t, others: int8x16_t) -> int32x4_t {
        let low = vmull_s8(vget_low_s8(codes), vget_low_s8(others));
        vpadalq_s16(vpadalq_s16(sum, low), vmull_high_s8(codes, others))
    }
}

impl Multiply for DotProduct {
    #[target_feature(enable = "dotprod")]
    #[inline]
    unsafe fn add(mut sum: int32x4_t, codes: int8x16_t, others: int8x16_t) -> int32x4_t {
        // SAFETY: the processor has the instruction, which touches these registers alone. The
        // intrinsic for it is not stable.
        unsafe {
            std::arch::asm!(
                "sdot {sum:v}.4s, {codes:v}.16b, {others:v}.16b",
                sum = inout(vreg) sum,
                codes = in(vreg) codes,
                others = in(vreg) others,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        sum
    }
}

/// The products of a row of blocks with rows of `few` from `first` on.
///
/// # Safety
/// The processor has the dot product. `few` has the rows, and each as many blocks of that length
/// as `row`.
#[target_feature(enable = "dotprod")]
pub(super) unsafe fn dot_product<B: Unpack>(
    row: &[B],
    few: &Rounded,
    first: usize,
    to: &mut [f32],
) {
    // SAFETY: the caller's.
    unsafe { dot::<B, DotProduct>(row, few, first, to) }
}

/// The same on any processor.
///
/// # Safety
/// `few` has the rows, and each as many blocks of that length as `row`.
pub(super) unsafe fn plain<B: Unpack>(row: &[B], few: &Rounded, first: usize, to: &mut [f32]) {
    // SAFETY: the caller's.
    unsafe { dot::<B, Plain>(row, few, first, to) }
}

#[inline(always)]
unsafe fn dot<B: Unpack, M: Multiply>(row: &[B], few: &Rounded, first: usize, to: &mut [f32]) {
    let (mut first, mut left) = (first, to);
    while !left.is_empty() {
        let count = 1 << left.len().min(AT_ONCE).ilog2();
        let (to, rest) = left.split_at_mut(count);
        // SAFETY: the caller's.
        unsafe {
            match count {
                1 => by::<B, M, 1>(row, few, first, to),
                2 => by::<B, M, 2>(row, few, first, to),
                4 => by::<B, M, 4>(row, few, first, to),
                _ => by::<B, M, AT_ONCE>(row, few, first, to),
            }
        }
        (first, left) = (first + count, rest);
    }
}

#[inline(always)]
unsafe fn by<B: Unpack, M: Multiply, const ROWS: usize>(
    row: &[B],
    few: &Rounded,
    first: usize,
    to: &mut [f32],
) {
    let of: [_; ROWS] = std::array::from_fn(|index| few.row(first + index));
    // SAFETY: the caller's.
    let products = unsafe {
        if B::PARTS == 1 {
            blocks::<B, M, ROWS>(row, &of)
        } else {
            super_blocks::<B, M, ROWS>(row, &of)
        }
    };
    to.copy_from_slice(&products);
}

/// The codes of a row that meet a part.
///
/// # Safety
/// The row has a counterpart to the part.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn counterpart(row: &RoundedRow<'_>, part: usize) -> [int8x16_t; 2] {
    // SAFETY: the caller's.
    unsafe {
        let at = row.codes.as_ptr().add(part * PART);
        [vld1q_s8(at), vld1q_s8(at.add(16))]
    }
}

/// Blocks of one part.
///
/// # Safety
/// Each row has a counterpart, a scale and a weight to each block; the processor has what `M` takes.
#[inline(always)]
unsafe fn blocks<B: Unpack, M: Multiply, const ROWS: usize>(
    row: &[B],
    of: &[RoundedRow<'_>; ROWS],
) -> [f32; ROWS] {
    // SAFETY: the caller's.
    unsafe {
        let zero = vdupq_n_s32(0);
        let mut totals = [vdupq_n_f32(0.0); ROWS];
        // What the minimums bring.
        let mut lower = [0.0_f32; ROWS];
        for (index, block) in row.iter().enumerate() {
            let (codes, [factor, minimum]) = (block.part(0), block.factors());
            for (at, row) in of.iter().enumerate() {
                let others = counterpart(row, index);
                let product = M::add(M::add(zero, codes[0], others[0]), codes[1], others[1]);
                let scale = factor * *row.scales.as_ptr().add(index);
                totals[at] = vfmaq_n_f32(totals[at], vcvtq_f32_s32(product), scale);
                lower[at] = minimum.mul_add(*row.weights.as_ptr().add(index), lower[at]);
            }
        }
        std::array::from_fn(|index| vaddvq_f32(totals[index]) - lower[index])
    }
}

/// Blocks of eight parts: all that a block and its counterpart make is summed up in integers.
///
/// # Safety
/// That of [`blocks`], with sixteen sums for weights.
#[inline(always)]
unsafe fn super_blocks<B: Unpack, M: Multiply, const ROWS: usize>(
    row: &[B],
    of: &[RoundedRow<'_>; ROWS],
) -> [f32; ROWS] {
    // SAFETY: the caller's.
    unsafe {
        let zero = vdupq_n_s32(0);
        let mut totals = [vdupq_n_f32(0.0); ROWS];
        for (index, block) in row.iter().enumerate() {
            let [factor, lower_factor] = block.factors();
            let [scales, minimums] = block.all_steps();
            let scales = [vmovl_s8(vget_low_s8(scales)), vmovl_high_s8(scales)];
            let minimums = [vmovl_s8(vget_low_s8(minimums)), vmovl_high_s8(minimums)];
            let mut sums = [zero; ROWS];
            for pair in 0..B::PARTS / 2 {
                let codes = [block.part(2 * pair), block.part(2 * pair + 1)];
                let scales = if pair % 2 == 0 {
                    vmovl_s16(vget_low_s16(scales[pair / 2]))
                } else {
                    vmovl_high_s16(scales[pair / 2])
                };
                for (row, sum) in of.iter().zip(&mut sums) {
                    let first = counterpart(row, B::PARTS * index + 2 * pair);
                    let second = counterpart(row, B::PARTS * index + 2 * pair + 1);
                    let first = vpaddq_s32(
                        M::add(zero, codes[0][0], first[0]),
                        M::add(zero, codes[0][1], first[1]),
                    );
                    let second = vpaddq_s32(
                        M::add(zero, codes[1][0], second[0]),
                        M::add(zero, codes[1][1], second[1]),
                    );
                    // Each 16 codes' sum in a lane, beside their scale.
                    *sum = vmlaq_s32(*sum, vpaddq_s32(first, second), scales);
                }
            }
            for (at, row) in of.iter().enumerate() {
                let scale = *row.scales.as_ptr().add(index);
                let theirs = row.sums.as_ptr().add(16 * index);
                let (low, high) = (vld1q_s16(theirs), vld1q_s16(theirs.add(8)));
                let mut lower = vmull_s16(vget_low_s16(minimums[0]), vget_low_s16(low));
                lower = vmlal_high_s16(lower, minimums[0], low);
                lower = vmlal_s16(lower, vget_low_s16(minimums[1]), vget_low_s16(high));
                lower = vmlal_high_s16(lower, minimums[1], high);
                let total = vfmaq_n_f32(totals[at], vcvtq_f32_s32(sums[at]), factor * scale);
                totals[at] = vfmsq_n_f32(total, vcvtq_f32_s32(lower), lower_factor * scale);
            }
        }
        std::array::from_fn(|index| vaddvq_f32(totals[index]))
    }
}
