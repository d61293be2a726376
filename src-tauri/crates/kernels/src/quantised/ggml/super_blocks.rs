//! The K types: 256 elements a block, whose parts have scales of a few bits.

use super::blocks::{Block, PART, half};

/// Parts of a block.
const PARTS: usize = 8;

/// See [`super::GgmlType`].
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q2K {
    /// Of 16 elements each, the minimum in the upper half.
    steps: [u8; 16],
    /// Four parts share 32 bytes.
    codes: [u8; 64],
    scale: [u8; 2],
    minimum: [u8; 2],
}

// SAFETY: bytes alone.
unsafe impl Block for Q2K {
    const PARTS: usize = PARTS;
    const OFFSET: u8 = 0;

    #[inline(always)]
    fn factors(&self) -> [f32; 2] {
        [half(self.scale), half(self.minimum)]
    }

    #[inline(always)]
    fn steps(&self, part: usize) -> [[i8; 2]; 2] {
        let both = [self.steps[2 * part], self.steps[2 * part + 1]];
        [
            both.map(|both| (both & 15) as i8),
            both.map(|both| (both >> 4) as i8),
        ]
    }

    #[inline(always)]
    fn codes(&self, part: usize) -> [u8; PART] {
        two_bits(&self.codes, part)
    }

    #[inline(always)]
    fn all_steps(&self) -> [[i8; 16]; 2] {
        [
            self.steps.map(|both| (both & 15) as i8),
            self.steps.map(|both| (both >> 4) as i8),
        ]
    }
}

/// See [`super::GgmlType`].
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q3K {
    /// The highest bit of each code: a byte's bits are those of its place in the eight parts.
    bits: [u8; 32],
    /// Four parts share 32 bytes.
    codes: [u8; 64],
    /// 16 times 6 bits: the lower four of the first 8 and of the others, then the upper two.
    steps: [u8; 12],
    scale: [u8; 2],
}

// SAFETY: bytes alone.
unsafe impl Block for Q3K {
    const PARTS: usize = PARTS;
    const OFFSET: u8 = 4;

    #[inline(always)]
    fn factors(&self) -> [f32; 2] {
        [half(self.scale), 0.0]
    }

    #[inline(always)]
    fn steps(&self, part: usize) -> [[i8; 2]; 2] {
        let scale = |at: usize| {
            let lower = self.steps[at % 8] >> (4 * (at / 8)) & 15;
            let upper = self.steps[8 + at % 4] >> (2 * (at / 4)) & 3;
            (lower | upper << 4) as i8 - 32
        };
        [[scale(2 * part), scale(2 * part + 1)], [0; 2]]
    }

    #[inline(always)]
    fn codes(&self, part: usize) -> [u8; PART] {
        let mut codes = two_bits(&self.codes, part);
        for (code, bits) in codes.iter_mut().zip(&self.bits) {
            *code |= (bits >> part & 1) << 2;
        }
        codes
    }

    #[inline(always)]
    fn all_steps(&self) -> [[i8; 16]; 2] {
        let [first, second, upper] = words(&self.steps);
        let lower = [first, second, first >> 4, second >> 4];
        let mut scales = [0; 16];
        for (at, lower) in lower.into_iter().enumerate() {
            let four = lower & 0x0f0f_0f0f | (upper >> (2 * at) & 0x0303_0303) << 4;
            scales[4 * at..][..4].copy_from_slice(&four.to_le_bytes());
        }
        [scales.map(|scale| scale as i8 - 32), [0; 16]]
    }
}

/// See [`super::GgmlType`].
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q4K {
    scale: [u8; 2],
    minimum: [u8; 2],
    steps: [u8; 12],
    /// Two parts share 32 bytes.
    codes: [u8; 128],
}

// SAFETY: bytes alone.
unsafe impl Block for Q4K {
    const PARTS: usize = PARTS;
    const OFFSET: u8 = 0;

    #[inline(always)]
    fn factors(&self) -> [f32; 2] {
        [half(self.scale), half(self.minimum)]
    }

    #[inline(always)]
    fn steps(&self, part: usize) -> [[i8; 2]; 2] {
        six_bits(&self.steps, part)
    }

    #[inline(always)]
    fn codes(&self, part: usize) -> [u8; PART] {
        four_bits(&self.codes, part)
    }

    #[inline(always)]
    fn all_steps(&self) -> [[i8; 16]; 2] {
        all_six_bits(&self.steps)
    }
}

/// See [`super::GgmlType`].
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q5K {
    scale: [u8; 2],
    minimum: [u8; 2],
    steps: [u8; 12],
    /// The highest bit of each code: a byte's bits are those of its place in the eight parts.
    bits: [u8; 32],
    /// Two parts share 32 bytes.
    codes: [u8; 128],
}

// SAFETY: bytes alone.
unsafe impl Block for Q5K {
    const PARTS: usize = PARTS;
    const OFFSET: u8 = 0;

    #[inline(always)]
    fn factors(&self) -> [f32; 2] {
        [half(self.scale), half(self.minimum)]
    }

    #[inline(always)]
    fn steps(&self, part: usize) -> [[i8; 2]; 2] {
        six_bits(&self.steps, part)
    }

    #[inline(always)]
    fn codes(&self, part: usize) -> [u8; PART] {
        let mut codes = four_bits(&self.codes, part);
        for (code, bits) in codes.iter_mut().zip(&self.bits) {
            *code |= (bits >> part & 1) << 4;
        }
        codes
    }

    #[inline(always)]
    fn all_steps(&self) -> [[i8; 16]; 2] {
        all_six_bits(&self.steps)
    }
}

/// See [`super::GgmlType`].
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q6K {
    /// Lower four bits: two parts share 32 bytes, those two apart.
    codes: [u8; 128],
    /// Upper two bits: four parts share 32 bytes.
    bits: [u8; 64],
    /// Of 16 elements each; signed.
    steps: [u8; 16],
    scale: [u8; 2],
}

// SAFETY: bytes alone.
unsafe impl Block for Q6K {
    const PARTS: usize = PARTS;
    const OFFSET: u8 = 32;

    #[inline(always)]
    fn factors(&self) -> [f32; 2] {
        [half(self.scale), 0.0]
    }

    #[inline(always)]
    fn steps(&self, part: usize) -> [[i8; 2]; 2] {
        let scale = |at: usize| self.steps[at] as i8;
        [[scale(2 * part), scale(2 * part + 1)], [0; 2]]
    }

    #[inline(always)]
    fn codes(&self, part: usize) -> [u8; PART] {
        let mut codes = two_bits(&self.bits, part);
        let lower = &self.codes[part / 4 * 64 + part % 2 * 32..][..PART];
        let shift = part / 2 % 2 * 4;
        for (code, lower) in codes.iter_mut().zip(lower) {
            *code = *code << 4 | lower >> shift & 15;
        }
        codes
    }

    #[inline(always)]
    fn all_steps(&self) -> [[i8; 16]; 2] {
        [self.steps.map(|scale| scale as i8), [0; 16]]
    }
}

/// Two bits of each element of a part.
#[inline(always)]
fn two_bits(bytes: &[u8; 64], part: usize) -> [u8; PART] {
    let mut codes = [0; PART];
    for (code, byte) in codes.iter_mut().zip(&bytes[part / 4 * PART..][..PART]) {
        *code = byte >> (part % 4 * 2) & 3;
    }
    codes
}

/// Four bits of each element of a part.
#[inline(always)]
fn four_bits(bytes: &[u8; 128], part: usize) -> [u8; PART] {
    let mut codes = [0; PART];
    for (code, byte) in codes.iter_mut().zip(&bytes[part / 2 * PART..][..PART]) {
        *code = byte >> (part % 2 * 4) & 15;
    }
    codes
}

/// Scale and minimum of a part, 6 bits each: those of the first four parts lie whole in eight
/// bytes, whose upper two bits belong to the others.
#[inline(always)]
fn six_bits(bytes: &[u8; 12], part: usize) -> [[i8; 2]; 2] {
    let (scale, minimum) = if part < 4 {
        (bytes[part] & 63, bytes[part + 4] & 63)
    } else {
        (
            bytes[part + 4] & 15 | bytes[part - 4] >> 6 << 4,
            bytes[part + 4] >> 4 | bytes[part] >> 6 << 4,
        )
    };
    [[scale as i8; 2], [minimum as i8; 2]]
}

/// [`six_bits`] of all parts, four at a time.
#[inline(always)]
fn all_six_bits(bytes: &[u8; 12]) -> [[i8; 16]; 2] {
    let [scales, minimums, rest] = words(bytes);
    let both = |first: u32, rest: u32| {
        let second = rest & 0x0f0f_0f0f | (first >> 6 & 0x0303_0303) << 4;
        let parts = u64::from(first & 0x3f3f_3f3f) | u64::from(second) << 32;
        let parts = parts.to_le_bytes();
        std::array::from_fn(|half| parts[half / 2] as i8)
    };
    [both(scales, rest), both(minimums, rest >> 4)]
}

#[inline(always)]
fn words(bytes: &[u8; 12]) -> [u32; 3] {
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| bytes[4 * at + byte]));
    [word(0), word(1), word(2)]
}
