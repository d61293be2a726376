//! Matrices held in fewer than 16 bits an element, and widened where a product packs them, so
//! that no whole copy of them in f32 exists.

mod int8;
mod nf4;

use crate::storage::{as_f32, view};
use candle_core::{Device, Result, Tensor, bail};
use int8::Int8;
use nf4::Nf4;
use rayon::prelude::*;
use std::ops::Range;

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
}

impl Quantisation {
    /// Bytes of a matrix of this size.
    pub fn bytes(self, rows: usize, columns: usize) -> usize {
        match self {
            Self::Nf4 => nf4::bytes(rows * columns),
            Self::Int8 => int8::bytes(rows, columns),
        }
    }
}

#[derive(Clone)]
enum Elements {
    Nf4(Nf4),
    Int8(Int8),
}

/// A frozen matrix `(rows, columns)` in few bits an element.
#[derive(Clone)]
pub struct QuantisedMatrix {
    rows: usize,
    columns: usize,
    elements: Elements,
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
        if let Some(at) = values.par_iter().position_first(|value| !value.is_finite()) {
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
        };
        Ok(Self {
            rows,
            columns,
            elements,
        })
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
        }
    }

    /// The matrix in f32.
    pub fn dequantise(&self) -> Result<Tensor> {
        Tensor::from_vec(self.widened(), (self.rows, self.columns), &Device::Cpu)
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
        debug_assert!(row < self.rows && columns.end <= self.columns);
        match &self.elements {
            Elements::Nf4(elements) => elements.widen(row * self.columns + columns.start, to),
            Elements::Int8(elements) => {
                elements.widen(row, row * self.columns + columns.start, to);
            }
        }
    }

    /// Writes a part of the matrix, row by row.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn widen_part(&self, rows: Range<usize>, columns: &Range<usize>, to: &mut [f32]) {
        for (row, to) in rows.zip(to.chunks_exact_mut(columns.len())) {
            self.widen_row(row, columns.clone(), to);
        }
    }
}

#[cfg(test)]
mod tests;
