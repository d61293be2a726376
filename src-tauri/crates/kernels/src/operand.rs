//! The right side of a product: a tensor, or a matrix in few bits.

use crate::device;
use crate::gemm::Values;
use crate::quantised::QuantisedMatrix;
use crate::storage::{View, as_f32, weights};
use candle_core::{Device, Result, Storage, Tensor};
use std::ops::Deref;

/// What a product reads as its right side.
#[derive(Debug, Clone, Copy)]
pub enum Operand<'a> {
    /// f32, bf16 or f16.
    Tensor(&'a Tensor),
    /// Fewer bits an element.
    Quantised(&'a QuantisedMatrix),
}

impl<'a> From<&'a Tensor> for Operand<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        Self::Tensor(tensor)
    }
}

impl<'a> From<&'a QuantisedMatrix> for Operand<'a> {
    fn from(matrix: &'a QuantisedMatrix) -> Self {
        Self::Quantised(matrix)
    }
}

impl<'a> Operand<'a> {
    /// Rows and columns.
    pub fn dims2(self) -> Result<(usize, usize)> {
        match self {
            Self::Tensor(tensor) => tensor.dims2(),
            Self::Quantised(matrix) => Ok(matrix.dims()),
        }
    }

    /// All of it in f32, on `device`.
    pub fn widened(self, device: &Device) -> Result<Tensor> {
        match self {
            Self::Tensor(tensor) => as_f32(tensor),
            Self::Quantised(matrix) if device.is_cpu() && device::pretence().is_none() => {
                matrix.dequantise()
            }
            Self::Quantised(matrix) => matrix.widened_on(device),
        }
    }

    /// Opens it for a kernel on the CPU.
    pub(crate) fn open(self) -> Result<Opened<'a, impl Deref<Target = Storage> + use<'a>>> {
        Ok(match self {
            Self::Tensor(tensor) => Opened::Tensor(weights(tensor)?),
            Self::Quantised(matrix) => Opened::Quantised(matrix),
        })
    }
}

/// An operand whose elements can be read.
pub(crate) enum Opened<'a, S> {
    Tensor(View<S>),
    Quantised(&'a QuantisedMatrix),
}

impl<S: Deref<Target = Storage>> Opened<'_, S> {
    pub(crate) fn values(&self) -> Values<'_> {
        match self {
            Self::Tensor(view) => view.values(),
            Self::Quantised(matrix) => Values::Quantised(matrix),
        }
    }
}
