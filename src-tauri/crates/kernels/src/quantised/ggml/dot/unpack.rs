//! Codes, scales and minimums of blocks in vectors of AVX2.

use super::super::blocks::{Block, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
use super::super::super_blocks::{Q2K, Q3K, Q4K, Q5K, Q6K};
use super::steps;
#[allow(
    clippy::wildcard_imports,
    reason = "twenty names that carry their own prefix"
)]
use std::arch::x86_64::*;

/// A block whose content comes in vectors; the same as the functions of [`Block`] return.
///
/// # Safety
/// The functions may be called where AVX2 and F16C were detected.
pub(in super::super) trait Unpack: Block {
    /// [`Block::factors`]
    unsafe fn both_factors(&self) -> [f32; 2];

    /// [`Block::codes`] of parts `2 · pair` and `2 · pair + 1`; the first alone where there is but
    /// one.
    unsafe fn two_parts(&self, pair: usize) -> [__m256i; 2];

    /// [`Block::steps`] of all parts: scales, and minimums.
    unsafe fn all_steps(&self) -> [__m128i; 2];
}

/// Bytes as a vector.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn vector(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: as many bytes as a vector.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// The `index`-th 32 bytes.
#[inline(always)]
fn bytes<const N: usize>(all: &[u8; N], index: usize) -> &[u8; 32] {
    assert!(32 * (index + 1) <= N);
    // SAFETY: the assertion bounds them.
    unsafe { &*all.as_ptr().add(32 * index).cast() }
}

/// Two f16 one after the other.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn halves(first: [u8; 2], second: [u8; 2]) -> [f32; 2] {
    let both = u32::from(u16::from_le_bytes(first)) | u32::from(u16::from_le_bytes(second)) << 16;
    let both = _mm_cvtph_ps(_mm_cvtsi32_si128(both.cast_signed()));
    [_mm_cvtss_f32(both), _mm_cvtss_f32(_mm_movehdup_ps(both))]
}

/// Bits of bytes from `shift` on, as many as the mask has.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn field(all: __m256i, shift: usize, mask: i8) -> __m256i {
    let shifted = _mm256_srl_epi16(all, _mm_cvtsi64_si128(shift as i64));
    _mm256_and_si256(shifted, _mm256_set1_epi8(mask))
}

/// Bits of bytes, brought from the lowest place to another.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn or_higher<const PLACE: i32>(codes: __m256i, field: __m256i) -> __m256i {
    _mm256_or_si256(codes, _mm256_slli_epi16::<PLACE>(field))
}

/// Two codes of four bits in each of 16 bytes.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn nibbles(all: &[u8; 16]) -> __m256i {
    // SAFETY: as many bytes as a vector.
    let all = unsafe { _mm_loadu_si128(all.as_ptr().cast()) };
    let both = _mm256_set_m128i(_mm_srli_epi16::<4>(all), all);
    _mm256_and_si256(both, _mm256_set1_epi8(15))
}

/// A fifth bit for each of 32 codes.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn with_bits(codes: __m256i, bits: [u8; 4]) -> __m256i {
    let bits = _mm256_set1_epi32(i32::from_le_bytes(bits));
    // Each byte eight times, and of each its own bit.
    let places = _mm256_setr_epi64x(
        0,
        0x0101_0101_0101_0101,
        0x0202_0202_0202_0202,
        0x0303_0303_0303_0303,
    );
    let own = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64.cast_signed());
    let bits = _mm256_and_si256(_mm256_shuffle_epi8(bits, places), own);
    let set = _mm256_cmpeq_epi8(bits, own);
    _mm256_or_si256(codes, _mm256_and_si256(set, _mm256_set1_epi8(16)))
}

/// The scales and minimums of `Q4_K` and `Q5_K`, those of a part for both its halves.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn six_bits(bytes: &[u8; 12]) -> [__m128i; 2] {
    steps::of_parts(bytes).map(|parts| {
        let parts = _mm_cvtsi64_si128(parts.cast_signed());
        _mm_unpacklo_epi8(parts, parts)
    })
}

/// The functions of a block of one part.
macro_rules! one_part {
    ($block:ty, |$this:ident| $factors:expr, $codes:expr) => {
        impl Unpack for $block {
            #[target_feature(enable = "avx2,f16c")]
            #[inline]
            unsafe fn both_factors(&self) -> [f32; 2] {
                let $this = self;
                $factors
            }

            #[target_feature(enable = "avx2,f16c")]
            #[inline]
            unsafe fn two_parts(&self, _: usize) -> [__m256i; 2] {
                let $this = self;
                [$codes, _mm256_setzero_si256()]
            }

            #[target_feature(enable = "avx2,f16c")]
            #[inline]
            unsafe fn all_steps(&self) -> [__m128i; 2] {
                [_mm_set1_epi8(1); 2]
            }
        }
    };
}

one_part!(
    Q4_0,
    |this| halves(this.scale, [0; 2]),
    nibbles(&this.codes)
);
one_part!(
    Q4_1,
    |this| with_minimum(this.scale, this.minimum),
    nibbles(&this.codes)
);
one_part!(
    Q5_0,
    |this| halves(this.scale, [0; 2]),
    with_bits(nibbles(&this.codes), this.bits)
);
one_part!(
    Q5_1,
    |this| with_minimum(this.scale, this.minimum),
    with_bits(nibbles(&this.codes), this.bits)
);
one_part!(
    Q8_0,
    |this| halves(this.scale, [0; 2]),
    _mm256_xor_si256(vector(&this.codes), _mm256_set1_epi8(-128))
);

/// Factors of a block whose minimum is added, where a [`Block`]'s is taken off.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn with_minimum(scale: [u8; 2], minimum: [u8; 2]) -> [f32; 2] {
    let [scale, minimum] = halves(scale, minimum);
    [scale, -minimum]
}

impl Unpack for Q2K {
    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn both_factors(&self) -> [f32; 2] {
        halves(self.scale, self.minimum)
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn two_parts(&self, pair: usize) -> [__m256i; 2] {
        let all = vector(bytes(&self.codes, pair / 2));
        let shift = pair % 2 * 4;
        [field(all, shift, 3), field(all, shift + 2, 3)]
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn all_steps(&self) -> [__m128i; 2] {
        // SAFETY: as many bytes as a vector.
        let both = unsafe { _mm_loadu_si128(self.steps.as_ptr().cast()) };
        let mask = _mm_set1_epi8(15);
        [both, _mm_srli_epi16::<4>(both)].map(|steps| _mm_and_si128(steps, mask))
    }
}

impl Unpack for Q3K {
    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn both_factors(&self) -> [f32; 2] {
        halves(self.scale, [0; 2])
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn two_parts(&self, pair: usize) -> [__m256i; 2] {
        let (all, bits) = (vector(bytes(&self.codes, pair / 2)), vector(&self.bits));
        let shift = pair % 2 * 4;
        [
            or_higher::<2>(field(all, shift, 3), field(bits, 2 * pair, 1)),
            or_higher::<2>(field(all, shift + 2, 3), field(bits, 2 * pair + 1, 1)),
        ]
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn all_steps(&self) -> [__m128i; 2] {
        let [first, second, third, fourth] = steps::of_halves(&self.steps).map(u32::cast_signed);
        let scales = _mm_setr_epi32(first, second, third, fourth);
        [_mm_sub_epi8(scales, _mm_set1_epi8(32)), _mm_setzero_si128()]
    }
}

impl Unpack for Q4K {
    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn both_factors(&self) -> [f32; 2] {
        halves(self.scale, self.minimum)
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn two_parts(&self, pair: usize) -> [__m256i; 2] {
        let all = vector(bytes(&self.codes, pair));
        [field(all, 0, 15), field(all, 4, 15)]
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn all_steps(&self) -> [__m128i; 2] {
        six_bits(&self.steps)
    }
}

impl Unpack for Q5K {
    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn both_factors(&self) -> [f32; 2] {
        halves(self.scale, self.minimum)
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn two_parts(&self, pair: usize) -> [__m256i; 2] {
        let (all, bits) = (vector(bytes(&self.codes, pair)), vector(&self.bits));
        [
            or_higher::<4>(field(all, 0, 15), field(bits, 2 * pair, 1)),
            or_higher::<4>(field(all, 4, 15), field(bits, 2 * pair + 1, 1)),
        ]
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn all_steps(&self) -> [__m128i; 2] {
        six_bits(&self.steps)
    }
}

impl Unpack for Q6K {
    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn both_factors(&self) -> [f32; 2] {
        halves(self.scale, [0; 2])
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn two_parts(&self, pair: usize) -> [__m256i; 2] {
        let (half, shift) = (pair / 2, pair % 2 * 4);
        let lower = [0, 1].map(|part| vector(bytes(&self.codes, 2 * half + part)));
        let bits = vector(bytes(&self.bits, half));
        [
            or_higher::<4>(field(lower[0], shift, 15), field(bits, shift, 3)),
            or_higher::<4>(field(lower[1], shift, 15), field(bits, shift + 2, 3)),
        ]
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    unsafe fn all_steps(&self) -> [__m128i; 2] {
        // SAFETY: as many bytes as a vector.
        let scales = unsafe { _mm_loadu_si128(self.steps.as_ptr().cast()) };
        [scales, _mm_setzero_si128()]
    }
}
