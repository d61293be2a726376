//! The K types: 256 elements a block, whose parts have scales of a few bits.

use super::blocks::{Block, PART, half};

/// Parts of a block.
const PARTS: usize = 8;

/// See [`super::GgmlType`].
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q2K {
    /// Of 16 elements each, the minimum in the upper half.
    pub(super) steps: [u8; 16],
    /// Four parts share 32 bytes.
    pub(super) codes: [u8; 64],
    pub(super) scale: [u8; 2],
    pub(super) minimum: [u8; 2],
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
}

/// See [`super::GgmlType`].
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q3K {
    /// The highest bit of each code: a byte's bits are those of its place in the eight parts.
    pub(super) bits: [u8; 32],
    /// Four parts share 32 bytes.
    pub(super) codes: [u8; 64],
    /// 16 times 6 bits: the lower four of the first 8 and of the others, then the upper two.
    pub(super) steps: [u8; 12],
    pub(super) scale: [u8; 2],
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
}

/// See [`super::GgmlType`].
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q4K {
    pub(super) scale: [u8; 2],
    pub(super) minimum: [u8; 2],
    pub(super) steps: [u8; 12],
    /// Two parts share 32 bytes.
    pub(super) codes: [u8; 128],
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
}

/// See [`super::GgmlType`].
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q5K {
    pub(super) scale: [u8; 2],
    pub(super) minimum: [u8; 2],
    pub(super) steps: [u8; 12],
    /// The highest bit of each code: a byte's bits are those of its place in the eight parts.
    pub(super) bits: [u8; 32],
    /// Two parts share 32 bytes.
    pub(super) codes: [u8; 128],
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
}

/// See [`super::GgmlType`].
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q6K {
    /// Lower four bits: two parts share 32 bytes, those two apart.
    pub(super) codes: [u8; 128],
    /// Upper two bits: four parts share 32 bytes.
    pub(super) bits: [u8; 64],
    /// Of 16 elements each; signed.
    pub(super) steps: [u8; 16],
    pub(super) scale: [u8; 2],
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
