//! Codes, scales and minimums of blocks in vectors of NEON.

use super::super::super::blocks::{Block, PART, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
use super::super::super::super_blocks::{Q2K, Q3K, Q4K, Q5K, Q6K};
use super::super::steps;
#[allow(
    clippy::wildcard_imports,
    reason = "twenty names that carry their own prefix"
)]
use std::arch::aarch64::*;

/// A block whose content comes in vectors; the same as the functions of [`Block`] return, its
/// codes with their offset taken off.
///
/// # Safety
/// The functions may be called where there is NEON: on every processor that runs this.
pub(in super::super::super) trait Unpack: Block {
    /// [`Block::codes`] less [`Block::OFFSET`].
    unsafe fn part(&self, part: usize) -> [int8x16_t; 2];

    /// [`Block::steps`] of all parts: scales, and minimums. A block of one part has none of its
    /// own.
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn all_steps(&self) -> [int8x16_t; 2] {
        [vdupq_n_s8(1); 2]
    }
}

/// Bytes as a vector.
#[target_feature(enable = "neon")]
#[inline]
fn vector(bytes: &[u8; 16]) -> uint8x16_t {
    // SAFETY: as many bytes as a vector.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

/// The `index`-th 32 bytes.
#[target_feature(enable = "neon")]
#[inline]
fn vectors<const N: usize>(all: &[u8; N], index: usize) -> [uint8x16_t; 2] {
    assert!(PART * (index + 1) <= N);
    // SAFETY: the assertion bounds them.
    unsafe {
        let at = all.as_ptr().add(PART * index);
        [vld1q_u8(at), vld1q_u8(at.add(16))]
    }
}

/// Bits of bytes from `shift` on, as many as the mask has.
#[target_feature(enable = "neon")]
#[inline]
fn field(all: [uint8x16_t; 2], shift: usize, mask: u8) -> [uint8x16_t; 2] {
    let right = vdupq_n_s8(-(shift as i8));
    all.map(|all| vandq_u8(vshlq_u8(all, right), vdupq_n_u8(mask)))
}

/// Bits of bytes, brought from the lowest place to another.
#[target_feature(enable = "neon")]
#[inline]
fn or_higher<const PLACE: i32>(codes: [uint8x16_t; 2], field: [uint8x16_t; 2]) -> [uint8x16_t; 2] {
    [0, 1].map(|at| vorrq_u8(codes[at], vshlq_n_u8::<PLACE>(field[at])))
}

/// Two codes of four bits in each of 16 bytes.
#[target_feature(enable = "neon")]
#[inline]
fn nibbles(all: &[u8; 16]) -> [uint8x16_t; 2] {
    let all = vector(all);
    [vandq_u8(all, vdupq_n_u8(15)), vshrq_n_u8::<4>(all)]
}

/// A fifth bit for each of 32 codes.
#[target_feature(enable = "neon")]
#[inline]
fn with_bits(codes: [uint8x16_t; 2], bits: [u8; 4]) -> [uint8x16_t; 2] {
    let own = vector(&[1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128]);
    [0, 1].map(|at| {
        // Each byte eight times, and of each its own bit.
        let bits = vcombine_u8(vdup_n_u8(bits[2 * at]), vdup_n_u8(bits[2 * at + 1]));
        let set = vandq_u8(vtstq_u8(bits, own), vdupq_n_u8(16));
        vorrq_u8(codes[at], set)
    })
}

/// Codes less what they are counted from.
#[target_feature(enable = "neon")]
#[inline]
fn less_offset<B: Block>(codes: [uint8x16_t; 2]) -> [int8x16_t; 2] {
    codes.map(|codes| vreinterpretq_s8_u8(vsubq_u8(codes, vdupq_n_u8(B::OFFSET))))
}

/// The scales and minimums of `Q4_K` and `Q5_K`, those of a part for both its halves.
#[target_feature(enable = "neon")]
#[inline]
fn six_bits(bytes: &[u8; 12]) -> [int8x16_t; 2] {
    steps::of_parts(bytes).map(|parts| {
        let parts = vcreate_s8(parts);
        vcombine_s8(vzip1_s8(parts, parts), vzip2_s8(parts, parts))
    })
}

impl Unpack for Q4_0 {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn part(&self, _: usize) -> [int8x16_t; 2] {
        less_offset::<Self>(nibbles(&self.codes))
    }
}

impl Unpack for Q4_1 {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn part(&self, _: usize) -> [int8x16_t; 2] {
        less_offset::<Self>(nibbles(&self.codes))
    }
}

impl Unpack for Q5_0 {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn part(&self, _: usize) -> [int8x16_t; 2] {
        less_offset::<Self>(with_bits(nibbles(&self.codes), self.bits))
    }
}

impl Unpack for Q5_1 {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn part(&self, _: usize) -> [int8x16_t; 2] {
        less_offset::<Self>(with_bits(nibbles(&self.codes), self.bits))
    }
}

impl Unpack for Q8_0 {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn part(&self, _: usize) -> [int8x16_t; 2] {
        // They lie signed.
        vectors(&self.codes, 0).map(|codes| vreinterpretq_s8_u8(codes))
    }
}

impl Unpack for Q2K {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn part(&self, part: usize) -> [int8x16_t; 2] {
        less_offset::<Self>(field(vectors(&self.codes, part / 4), part % 4 * 2, 3))
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn all_steps(&self) -> [int8x16_t; 2] {
        nibbles(&self.steps).map(|steps| vreinterpretq_s8_u8(steps))
    }
}

impl Unpack for Q3K {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn part(&self, part: usize) -> [int8x16_t; 2] {
        let lower = field(vectors(&self.codes, part / 4), part % 4 * 2, 3);
        let bits = field(vectors(&self.bits, 0), part, 1);
        less_offset::<Self>(or_higher::<2>(lower, bits))
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn all_steps(&self) -> [int8x16_t; 2] {
        let scales = steps::of_halves(&self.steps);
        // SAFETY: as many bytes as a vector.
        let scales = vreinterpretq_s8_u32(unsafe { vld1q_u32(scales.as_ptr()) });
        [vsubq_s8(scales, vdupq_n_s8(32)), vdupq_n_s8(0)]
    }
}

impl Unpack for Q4K {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn part(&self, part: usize) -> [int8x16_t; 2] {
        less_offset::<Self>(field(vectors(&self.codes, part / 2), part % 2 * 4, 15))
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn all_steps(&self) -> [int8x16_t; 2] {
        six_bits(&self.steps)
    }
}

impl Unpack for Q5K {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn part(&self, part: usize) -> [int8x16_t; 2] {
        let lower = field(vectors(&self.codes, part / 2), part % 2 * 4, 15);
        let bits = field(vectors(&self.bits, 0), part, 1);
        less_offset::<Self>(or_higher::<4>(lower, bits))
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn all_steps(&self) -> [int8x16_t; 2] {
        six_bits(&self.steps)
    }
}

impl Unpack for Q6K {
    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn part(&self, part: usize) -> [int8x16_t; 2] {
        let lower = vectors(&self.codes, part / 4 * 2 + part % 2);
        let bits = field(vectors(&self.bits, part / 4), part % 4 * 2, 3);
        let lower = field(lower, part / 2 % 2 * 4, 15);
        less_offset::<Self>(or_higher::<4>(lower, bits))
    }

    #[target_feature(enable = "neon")]
    #[inline]
    unsafe fn all_steps(&self) -> [int8x16_t; 2] {
        let scales = vreinterpretq_s8_u8(vector(&self.steps));
        [scales, vdupq_n_s8(0)]
    }
}
