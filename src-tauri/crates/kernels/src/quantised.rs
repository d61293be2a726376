//! Matrices held in fewer than 16 bits an element, and widened where a product packs them, so
//! that no whole copy of them in f32 exists.

mod ggml;
mod int8;
mod nf4;
mod planes;

use crate::storage::{as_f32, view};
use candle_core::{Device, Result, Tensor, bail};
use ggml::Ggml;
pub use ggml::GgmlType;
use int8::Int8;
use nf4::Nf4;
use planes::Resident;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// Numbers that are looked over at once.
const PIECE: usize = 4096;

/// How a [`QuantisedMatrix`] holds its elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantisation {
    /// 4-bit `NormalFloat` with double quantisation (`QLoRA`, Dettmers et al., 2023), as
    /// bitsandbytes holds it: 64 elements share a magnitude, 256 magnitudes share another.
    /// 4.127 bits an element.
    Nf4,
    /// 8-bit integers, a magnitude for each row: the weights of LLM.int8 (Dettmers et al., 2022),
    /// as bitsandbytes holds them.
    Int8,
    /// A block type of ggml, as GGUF files have them.
    Ggml(GgmlType),
}

impl Quantisation {
    /// Bytes of a matrix of this size. Where columns do not fill the blocks of ggml, which
    /// [`QuantisedMatrix::quantise`] refuses, as if they did.
    pub fn bytes(self, rows: usize, columns: usize) -> usize {
        match self {
            Self::Nf4 => nf4::bytes(rows * columns),
            Self::Int8 => int8::bytes(rows, columns),
            Self::Ggml(ty) => rows * columns.div_ceil(ty.block_len()) * ty.block_bytes(),
        }
    }
}

#[derive(Clone)]
enum Elements {
    Nf4(Nf4),
    Int8(Int8),
    Ggml(Ggml),
}

/// What a [`QuantisedMatrix`] is made of, as a kernel for another device takes it.
#[derive(Debug, Clone, Copy)]
pub enum QuantisedParts<'a> {
    /// An element is the code's value times its block's magnitude, which is `map[magnitudes[block]] ·
    /// outer_magnitudes[block / 256] + mean`.
    Nf4 {
        /// Two elements a byte, the first in the upper half.
        codes: &'a [u8],
        /// A byte for each 64 elements.
        magnitudes: &'a [u8],
        /// One for each 256 magnitudes.
        outer_magnitudes: &'a [f32],
        /// Mean of the magnitudes.
        mean: f32,
        /// What a byte of `magnitudes` stands for.
        map: &'a [f32; 256],
    },
    /// An element is its code times its row's magnitude, in steps of 1 / 127.
    Int8 {
        /// Row by row.
        codes: &'a [i8],
        /// Largest magnitude of each row.
        magnitudes: &'a [f32],
    },
    /// Blocks as a GGUF file has them, row by row.
    Ggml {
        /// Their type.
        ty: GgmlType,
        /// Their bytes.
        blocks: &'a [u8],
    },
}

/// A frozen matrix `(rows, columns)` in few bits an element.
#[derive(Clone)]
pub struct QuantisedMatrix {
    rows: usize,
    columns: usize,
    elements: Elements,
    resident: Resident,
}

impl std::fmt::Debug for QuantisedMatrix {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (rows, columns) = (self.rows, self.columns);
        write!(formatter, "QuantisedMatrix({rows} × {columns})")
    }
}

impl QuantisedMatrix {
    /// Quantises `matrix (rows, columns)`, of any float type, on every thread of the pool. Refuses
    /// one that holds a number that is not finite.
    pub fn quantise(matrix: &Tensor, quantisation: Quantisation) -> Result<Self> {
        let (rows, columns) = matrix.dims2()?;
        let matrix = as_f32(&matrix.to_device(&Device::Cpu)?)?.contiguous()?;
        let values = view(&matrix)?;
        let values: &[f32] = &values;
        // Whole pieces first: the loop over one has no way out, and is fast.
        let finite = |piece: &[f32]| {
            piece
                .iter()
                .fold(true, |all, value| all & value.is_finite())
        };
        let piece = values
            .par_chunks(PIECE)
            .position_first(|piece| !finite(piece));
        if let Some(at) = piece.and_then(|piece| {
            let rest = &values[piece * PIECE..];
            let within = rest.iter().position(|value| !value.is_finite())?;
            Some(piece * PIECE + within)
        }) {
            bail!(
                "row {}, column {} is {}, which cannot be quantised",
                at / columns,
                at % columns,
                values[at]
            );
        }
        let elements = match quantisation {
            Quantisation::Nf4 => Elements::Nf4(Nf4::quantise(values)),
            Quantisation::Int8 => Elements::Int8(Int8::quantise(values, columns)),
            Quantisation::Ggml(ty) => Elements::Ggml(Ggml::quantise(ty, values, columns)?),
        };
        Ok(Self {
            rows,
            columns,
            elements,
            resident: Resident::default(),
        })
    }

    /// A matrix of `blocks` as a GGUF file holds them, little-endian and row by row. They are kept
    /// as they are. Refuses another number of bytes than the size wants, and a block whose scale
    /// is not finite.
    pub fn from_ggml(
        ty: GgmlType,
        rows: usize,
        columns: usize,
        blocks: impl Into<Arc<Vec<u8>>>,
    ) -> Result<Self> {
        let elements = Elements::Ggml(Ggml::from_bytes(ty, rows, columns, blocks.into())?);
        Ok(Self {
            rows,
            columns,
            elements,
            resident: Resident::default(),
        })
    }

    /// How it holds its elements.
    pub fn quantisation(&self) -> Quantisation {
        match &self.elements {
            Elements::Nf4(_) => Quantisation::Nf4,
            Elements::Int8(_) => Quantisation::Int8,
            Elements::Ggml(elements) => Quantisation::Ggml(elements.ty()),
        }
    }

    /// Rows and columns.
    pub fn dims(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// Bytes it takes.
    pub fn bytes(&self) -> usize {
        match &self.elements {
            Elements::Nf4(elements) => elements.bytes(),
            Elements::Int8(elements) => elements.bytes(),
            Elements::Ggml(elements) => elements.bytes(),
        }
    }

    /// What it is made of.
    pub fn parts(&self) -> QuantisedParts<'_> {
        match &self.elements {
            Elements::Nf4(elements) => elements.parts(),
            Elements::Int8(elements) => elements.parts(),
            Elements::Ggml(elements) => elements.parts(),
        }
    }

    /// The matrix in f32.
    pub fn dequantise(&self) -> Result<Tensor> {
        Tensor::from_vec(self.widened(), (self.rows, self.columns), &Device::Cpu)
    }

    /// The rows of these numbers in f32, `(numbers, columns)`.
    pub fn select_rows(&self, numbers: &[u32]) -> Result<Tensor> {
        if let Some(number) = numbers.iter().find(|number| **number as usize >= self.rows) {
            bail!("there is no row {number} in a matrix of {} rows", self.rows);
        }
        let mut values = vec![0.0; numbers.len() * self.columns];
        values
            .par_chunks_mut(self.columns.max(1))
            .zip(numbers)
            .for_each(|(values, row)| self.widen_row(*row as usize, 0..self.columns, values));
        Tensor::from_vec(values, (numbers.len(), self.columns), &Device::Cpu)
    }

    /// `values · selfᵀ`, row by row, of rows that are rounded to 8 bits; none where that is not to be
    /// had, or not worth while.
    pub(crate) fn rounded_product(&self, values: &[f32]) -> Option<Vec<f32>> {
        match &self.elements {
            Elements::Nf4(_) | Elements::Int8(_) => None,
            Elements::Ggml(elements) => elements.rounded_product(values),
        }
    }

    /// Its elements in f32, row by row.
    pub(crate) fn widened(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.rows * self.columns];
        values
            .par_chunks_mut(self.columns.max(1))
            .enumerate()
            .for_each(|(row, values)| self.widen_row(row, 0..self.columns, values));
        values
    }

    /// Writes a range of a row's elements.
    pub(crate) fn widen_row(&self, row: usize, columns: Range<usize>, to: &mut [f32]) {
        self.widen_part(row..row + 1, &columns, to);
    }

    /// Writes a part of the matrix, row by row.
    pub(crate) fn widen_part(&self, rows: Range<usize>, columns: &Range<usize>, to: &mut [f32]) {
        debug_assert!(rows.end <= self.rows && columns.end <= self.columns);
        if columns.is_empty() {
            return;
        }
        match &self.elements {
            Elements::Nf4(elements) => {
                for (row, to) in rows.zip(to.chunks_exact_mut(columns.len())) {
                    elements.widen(row * self.columns + columns.start, to);
                }
            }
            Elements::Int8(elements) => elements.widen_part(self.columns, rows, columns, to),
            Elements::Ggml(elements) => elements.widen_part(rows, columns, to),
        }
    }
}

#[cfg(test)]
mod tests;
