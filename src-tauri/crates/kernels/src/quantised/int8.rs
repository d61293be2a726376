//! 8-bit integers with a magnitude for each row, as bitsandbytes' `int8_vectorwise_quant`. Where
//! LLM.int8 rounds activations too, and spares outliers among them, ours stay f32.

use super::QuantisedParts;
use crate::rounding::nearest;
use crate::vectorised::vectorised;
use rayon::prelude::*;
use std::ops::Range;

/// `1 / 127`, as bitsandbytes has it.
pub(super) const STEP: f32 = 0.007_874_016;

#[derive(Clone)]
pub(super) struct Int8 {
    codes: Vec<i8>,
    /// Largest magnitude of each row.
    magnitudes: Vec<f32>,
}

/// Bytes of a matrix of this size.
pub(super) fn bytes(rows: usize, columns: usize) -> usize {
    rows * columns + 4 * rows
}

impl Int8 {
    pub(super) fn quantise(values: &[f32], columns: usize) -> Self {
        let mut codes = vec![0_i8; values.len()];
        let magnitudes = codes
            .par_chunks_mut(columns.max(1))
            .zip(values.par_chunks(columns.max(1)))
            .map(|(codes, values)| {
                let magnitude = values
                    .iter()
                    .fold(0.0_f32, |largest, value| largest.max(value.abs()));
                if magnitude > 0.0 {
                    let scale = 127.0 / magnitude;
                    for (code, value) in codes.iter_mut().zip(values) {
                        *code = nearest(value * scale);
                    }
                }
                magnitude
            })
            .collect();
        Self { codes, magnitudes }
    }

    pub(super) fn parts(&self) -> QuantisedParts<'_> {
        QuantisedParts::Int8 {
            codes: &self.codes,
            magnitudes: &self.magnitudes,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.codes.len() + 4 * self.magnitudes.len()
    }

    /// Writes a part of the matrix of `width` columns, row by row.
    pub(super) fn widen_part(
        &self,
        width: usize,
        rows: Range<usize>,
        columns: &Range<usize>,
        to: &mut [f32],
    ) {
        vectorised(
            #[inline(always)]
            || {
                for (row, to) in rows.clone().zip(to.chunks_exact_mut(columns.len())) {
                    let magnitude = self.magnitudes[row];
                    let codes = &self.codes[row * width + columns.start..];
                    for (to, code) in to.iter_mut().zip(codes) {
                        *to = f32::from(*code) * magnitude * STEP;
                    }
                }
            },
        );
    }
}
