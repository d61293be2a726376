//! What blocks have in common, and the types of 32 elements a block.

#[cfg(not(target_arch = "aarch64"))]
use crate::gemm::{Element, F16};
use std::ops::Range;

/// Elements that are read together; a block is one part or several.
pub(crate) const PART: usize = 32;

/// A block as it lies in memory: bytes alone, so that it may lie anywhere. An element is
/// `factors[0] · scale · (code - OFFSET) - factors[1] · minimum`.
///
/// # Safety
/// The type is made of bytes without padding: any bytes are a value of it.
pub(crate) unsafe trait Block: Copy + Sync {
    /// How many times [`PART`] elements it holds.
    const PARTS: usize;
    /// What its codes are counted from.
    const OFFSET: u8;

    /// The factors of scales and of minimums.
    fn factors(&self) -> [f32; 2];

    /// Scales and minimums of the two halves of a part.
    fn steps(&self, part: usize) -> [[i8; 2]; 2];

    /// The codes of a part.
    fn codes(&self, part: usize) -> [u8; PART];
}

/// Bytes as blocks.
pub(crate) fn of<B: Block>(bytes: &[u8]) -> &[B] {
    // SAFETY: a `Block` is made of bytes, of which there are enough for that many.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / size_of::<B>()) }
}

/// Writes a range of the elements of a row of blocks.
#[inline(always)]
pub(super) fn widen<B: Block>(row: &[B], columns: Range<usize>, to: &mut [f32]) {
    let (mut at, mut left) = (columns.start, to);
    while at < columns.end {
        let block = &row[at / (B::PARTS * PART)];
        let factors = block.factors();
        let end = columns
            .end
            .min((at / (B::PARTS * PART) + 1) * B::PARTS * PART);
        while at < end {
            let (part, from) = (at / PART % B::PARTS, at % PART);
            let here = (PART - from).min(end - at);
            let (now, rest) = left.split_at_mut(here);
            if let Ok(now) = <&mut [f32; PART]>::try_from(&mut *now) {
                widen_part(block, factors, part, now);
            } else {
                let mut whole = [0.0; PART];
                widen_part(block, factors, part, &mut whole);
                now.copy_from_slice(&whole[from..from + here]);
            }
            at += here;
            left = rest;
        }
    }
}

#[inline(always)]
fn widen_part<B: Block>(block: &B, factors: [f32; 2], part: usize, to: &mut [f32; PART]) {
    let ([scales, minimums], codes) = (block.steps(part), block.codes(part));
    for half in 0..2 {
        let scale = factors[0] * f32::from(scales[half]);
        let minimum = factors[1] * f32::from(minimums[half]);
        for at in half * PART / 2..(half + 1) * PART / 2 {
            let code = i32::from(codes[at]) - i32::from(B::OFFSET);
            to[at] = scale * code as f32 - minimum;
        }
    }
}

/// The f16 in two bytes.
#[cfg(not(target_arch = "aarch64"))]
#[inline(always)]
pub(super) fn half(bytes: [u8; 2]) -> f32 {
    F16(u16::from_le_bytes(bytes)).widen()
}

/// The same in the one instruction that every ARM64 processor has for it, and that Rust has no
/// stable name for.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub(super) fn half(bytes: [u8; 2]) -> f32 {
    let mut value = f32::from_bits(u32::from(u16::from_le_bytes(bytes)));
    // SAFETY: the instruction reads and writes that register alone.
    unsafe {
        std::arch::asm!(
            "fcvt {value:s}, {value:h}",
            value = inout(vreg) value,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    value
}

/// Sixteen bytes of two codes each: those in the lower halves come first.
#[inline(always)]
fn nibbles(bytes: &[u8; PART / 2]) -> [u8; PART] {
    let mut codes = [0; PART];
    for at in 0..PART / 2 {
        codes[at] = bytes[at] & 15;
        codes[at + PART / 2] = bytes[at] >> 4;
    }
    codes
}

/// The same with a fifth bit for each.
#[inline(always)]
fn nibbles_and_bits(bytes: &[u8; PART / 2], bits: [u8; 4]) -> [u8; PART] {
    let mut codes = nibbles(bytes);
    for (at, code) in codes.iter_mut().enumerate() {
        let byte = bits[at / 8];
        *code |= if byte & (1 << (at % 8)) == 0 { 0 } else { 16 };
    }
    codes
}

/// Where a block has no steps of its own: each scale is one, and each minimum.
const ONES: [[i8; 2]; 2] = [[1; 2]; 2];

/// See [`super::GgmlType`].
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q4_0 {
    pub(super) scale: [u8; 2],
    pub(super) codes: [u8; 16],
}

// SAFETY: bytes alone.
unsafe impl Block for Q4_0 {
    const PARTS: usize = 1;
    const OFFSET: u8 = 8;

    #[inline(always)]
    fn factors(&self) -> [f32; 2] {
        [half(self.scale), 0.0]
    }

    #[inline(always)]
    fn steps(&self, _: usize) -> [[i8; 2]; 2] {
        ONES
    }

    #[inline(always)]
    fn codes(&self, _: usize) -> [u8; PART] {
        nibbles(&self.codes)
    }
}

/// See [`super::GgmlType`].
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q4_1 {
    pub(super) scale: [u8; 2],
    /// Added, where a [`Block`]'s is taken off.
    pub(super) minimum: [u8; 2],
    pub(super) codes: [u8; 16],
}

// SAFETY: bytes alone.
unsafe impl Block for Q4_1 {
    const PARTS: usize = 1;
    const OFFSET: u8 = 0;

    #[inline(always)]
    fn factors(&self) -> [f32; 2] {
        [half(self.scale), -half(self.minimum)]
    }

    #[inline(always)]
    fn steps(&self, _: usize) -> [[i8; 2]; 2] {
        ONES
    }

    #[inline(always)]
    fn codes(&self, _: usize) -> [u8; PART] {
        nibbles(&self.codes)
    }
}

/// See [`super::GgmlType`].
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q5_0 {
    pub(super) scale: [u8; 2],
    /// The highest bit of each code.
    pub(super) bits: [u8; 4],
    pub(super) codes: [u8; 16],
}

// SAFETY: bytes alone.
unsafe impl Block for Q5_0 {
    const PARTS: usize = 1;
    const OFFSET: u8 = 16;

    #[inline(always)]
    fn factors(&self) -> [f32; 2] {
        [half(self.scale), 0.0]
    }

    #[inline(always)]
    fn steps(&self, _: usize) -> [[i8; 2]; 2] {
        ONES
    }

    #[inline(always)]
    fn codes(&self, _: usize) -> [u8; PART] {
        nibbles_and_bits(&self.codes, self.bits)
    }
}

/// See [`super::GgmlType`].
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q5_1 {
    pub(super) scale: [u8; 2],
    /// Added, where a [`Block`]'s is taken off.
    pub(super) minimum: [u8; 2],
    /// The highest bit of each code.
    pub(super) bits: [u8; 4],
    pub(super) codes: [u8; 16],
}

// SAFETY: bytes alone.
unsafe impl Block for Q5_1 {
    const PARTS: usize = 1;
    const OFFSET: u8 = 0;

    #[inline(always)]
    fn factors(&self) -> [f32; 2] {
        [half(self.scale), -half(self.minimum)]
    }

    #[inline(always)]
    fn steps(&self, _: usize) -> [[i8; 2]; 2] {
        ONES
    }

    #[inline(always)]
    fn codes(&self, _: usize) -> [u8; PART] {
        nibbles_and_bits(&self.codes, self.bits)
    }
}

/// See [`super::GgmlType`].
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q8_0 {
    pub(super) scale: [u8; 2],
    /// Signed.
    pub(super) codes: [u8; 32],
}

// SAFETY: bytes alone.
unsafe impl Block for Q8_0 {
    const PARTS: usize = 1;
    const OFFSET: u8 = 128;

    #[inline(always)]
    fn factors(&self) -> [f32; 2] {
        [half(self.scale), 0.0]
    }

    #[inline(always)]
    fn steps(&self, _: usize) -> [[i8; 2]; 2] {
        ONES
    }

    #[inline(always)]
    fn codes(&self, _: usize) -> [u8; PART] {
        self.codes.map(|code| code ^ 128)
    }
}
