//! What matrices are made of: f32, or weights stored in half the size and widened where they are
//! packed.

use crate::quantised::QuantisedMatrix;

/// A number that f32 represents exactly.
pub(crate) trait Element: Copy + Sync {
    fn widen(self) -> f32;
}

/// The upper half of an f32.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Bf16(pub(crate) u16);

impl Bf16 {
    /// The nearest to `value`, the even one of two. NaN stays NaN.
    pub(crate) fn nearest(value: f32) -> Self {
        let bits = value.to_bits();
        if value.is_nan() {
            return Self((bits >> 16) as u16 | 0x40);
        }
        Self(((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16)
    }
}

/// IEEE 754 binary16.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct F16(pub(crate) u16);

impl Element for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
}

impl Element for Bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

impl Element for F16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        let (sign, rest) = (u32::from(self.0 & 0x8000) << 16, u32::from(self.0 & 0x7fff));
        // The exponent's bias is 15 there and 127 here. Multiplying puts it right for subnormal
        // numbers too; infinity and NaN keep the highest exponent.
        let magnitude = if rest >= 0x7c00 {
            f32::from_bits(rest << 13 | 0x7f80_0000)
        } else {
            f32::from_bits(rest << 13) * f32::from_bits((127 + 112) << 23)
        };
        f32::from_bits(magnitude.to_bits() | sign)
    }
}

/// A matrix's elements.
#[derive(Clone, Copy)]
pub(crate) enum Values<'a> {
    F32(&'a [f32]),
    Bf16(&'a [Bf16]),
    F16(&'a [F16]),
    /// Its rows one after the other.
    Quantised(&'a QuantisedMatrix),
}

impl Values<'_> {
    /// Writes a row of a matrix of `columns` in f32.
    pub(crate) fn widen_row(&self, row: usize, columns: usize, to: &mut [f32]) {
        fn widen(values: &[impl Element], row: usize, columns: usize, to: &mut [f32]) {
            let values = &values[row * columns..][..columns];
            for (to, value) in to.iter_mut().zip(values) {
                *to = value.widen();
            }
        }
        match self {
            Self::F32(values) => widen(values, row, columns, to),
            Self::Bf16(values) => widen(values, row, columns, to),
            Self::F16(values) => widen(values, row, columns, to),
            Self::Quantised(matrix) => matrix.widen_row(row, 0..columns, to),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Bf16(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::Quantised(matrix) => matrix.dims().0 * matrix.dims().1,
        }
    }
}
