//! Matrices in the block types of ggml, as GGUF files hold them (llama.cpp's `ggml-common.h` and
//! `ggml-quants.c` are the specification). The bytes are kept as they are.

mod blocks;
mod dot;
mod quantise;
mod spread;
mod super_blocks;

use super::QuantisedParts;
use crate::vectorised::vectorised;
use blocks::{Block, PART, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
use candle_core::{Result, bail};
pub(super) use spread::{Spread, spread};
use std::ops::Range;
use std::sync::Arc;
use super_blocks::{Q2K, Q3K, Q4K, Q5K, Q6K};

/// A block type of ggml: how a few consecutive elements of a row share a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GgmlType {
    /// 4 bits, 32 elements share a scale. 4.5 bits an element.
    Q4_0,
    /// 4 bits, 32 elements share a scale and a minimum. 5 bits an element.
    Q4_1,
    /// 5 bits, 32 elements share a scale. 5.5 bits an element.
    Q5_0,
    /// 5 bits, 32 elements share a scale and a minimum. 6 bits an element.
    Q5_1,
    /// 8 bits, 32 elements share a scale. 8.5 bits an element.
    Q8_0,
    /// `Q2_K`: 2 bits; 16 elements share a scale and a minimum of 4 bits each, 256 their factors.
    /// 2.625 bits an element.
    Q2K,
    /// `Q3_K`: 3 bits; 16 elements share a scale of 6 bits, 256 its factor. 3.4375 bits an
    /// element.
    Q3K,
    /// `Q4_K`: 4 bits; 32 elements share a scale and a minimum of 6 bits each, 256 their factors.
    /// 4.5 bits an element.
    Q4K,
    /// `Q5_K`: 5 bits; 32 elements share a scale and a minimum of 6 bits each, 256 their factors.
    /// 5.5 bits an element.
    Q5K,
    /// `Q6_K`: 6 bits; 16 elements share a scale of 8 bits, 256 its factor. 6.5625 bits an
    /// element.
    Q6K,
}

/// Runs `$body` with `$block` naming the block of a [`GgmlType`].
macro_rules! with_block {
    ($ty:expr, $block:ident => $body:expr) => {{
        use $crate::quantised::ggml as types;
        match $ty {
            types::GgmlType::Q4_0 => {
                type $block = types::Q4_0;
                $body
            }
            types::GgmlType::Q4_1 => {
                type $block = types::Q4_1;
                $body
            }
            types::GgmlType::Q5_0 => {
                type $block = types::Q5_0;
                $body
            }
            types::GgmlType::Q5_1 => {
                type $block = types::Q5_1;
                $body
            }
            types::GgmlType::Q8_0 => {
                type $block = types::Q8_0;
                $body
            }
            types::GgmlType::Q2K => {
                type $block = types::Q2K;
                $body
            }
            types::GgmlType::Q3K => {
                type $block = types::Q3K;
                $body
            }
            types::GgmlType::Q4K => {
                type $block = types::Q4K;
                $body
            }
            types::GgmlType::Q5K => {
                type $block = types::Q5K;
                $body
            }
            types::GgmlType::Q6K => {
                type $block = types::Q6K;
                $body
            }
        }
    }};
}

pub(crate) use with_block;

impl GgmlType {
    /// Every type, in the order of their codes.
    pub const ALL: [Self; 10] = [
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2K,
        Self::Q3K,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
    ];

    /// The type with this number in a GGUF file, if it is one of these.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|ty| ty.code() == code)
    }

    /// Its number in a GGUF file.
    pub fn code(self) -> u32 {
        match self {
            Self::Q4_0 => 2,
            Self::Q4_1 => 3,
            Self::Q5_0 => 6,
            Self::Q5_1 => 7,
            Self::Q8_0 => 8,
            Self::Q2K => 10,
            Self::Q3K => 11,
            Self::Q4K => 12,
            Self::Q5K => 13,
            Self::Q6K => 14,
        }
    }

    /// Its name in ggml.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q2K => "Q2_K",
            Self::Q3K => "Q3_K",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// Elements of a block; a row is a whole number of blocks.
    pub fn block_len(self) -> usize {
        with_block!(self, B => B::PARTS * PART)
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        with_block!(self, B => size_of::<B>())
    }

    /// Bytes of a matrix of this size; none where its columns do not fill blocks, or where nothing
    /// so large can be addressed.
    pub fn bytes(self, rows: usize, columns: usize) -> Option<usize> {
        if !columns.is_multiple_of(self.block_len()) {
            return None;
        }
        rows.checked_mul(columns / self.block_len())?
            .checked_mul(self.block_bytes())
    }
}

/// The blocks of a matrix, row by row.
#[derive(Clone)]
pub(super) struct Ggml {
    ty: GgmlType,
    columns: usize,
    bytes: Arc<Vec<u8>>,
}

impl Ggml {
    /// Takes the bytes of a GGUF file. Refuses another number of them than the size wants, and a
    /// block whose scale is not finite.
    pub(super) fn from_bytes(
        ty: GgmlType,
        rows: usize,
        columns: usize,
        bytes: Arc<Vec<u8>>,
    ) -> Result<Self> {
        let Some(expected) = ty.bytes(rows, columns) else {
            bail!(
                "{rows} × {columns} is no size of a {} matrix, whose rows are blocks of {}",
                ty.name(),
                ty.block_len()
            );
        };
        if bytes.len() != expected {
            bail!(
                "a {} matrix of {rows} × {columns} takes {expected} bytes, not {}",
                ty.name(),
                bytes.len()
            );
        }
        let matrix = Self { ty, columns, bytes };
        if let Some(at) = with_block!(ty, B => matrix.first_not_finite::<B>()) {
            let at = at * ty.block_len();
            bail!(
                "row {}, columns from {} on: a {} block whose scale is not finite",
                at / columns,
                at % columns,
                ty.name()
            );
        }
        Ok(matrix)
    }

    pub(super) fn quantise(ty: GgmlType, values: &[f32], columns: usize) -> Result<Self> {
        if !columns.is_multiple_of(ty.block_len()) {
            bail!(
                "rows of {columns} columns cannot be {}, whose blocks are {} long",
                ty.name(),
                ty.block_len()
            );
        }
        let bytes = Arc::new(quantise::blocks(ty, values, columns));
        Ok(Self { ty, columns, bytes })
    }

    pub(super) fn ty(&self) -> GgmlType {
        self.ty
    }

    pub(super) fn parts(&self) -> QuantisedParts<'_> {
        QuantisedParts::Ggml {
            ty: self.ty,
            blocks: &self.bytes,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn first_not_finite<B: Block>(&self) -> Option<usize> {
        blocks::of::<B>(&self.bytes)
            .iter()
            .position(|block| !block.factors().iter().all(|factor| factor.is_finite()))
    }

    /// The blocks of a row.
    fn row<B: Block>(&self, row: usize) -> &[B] {
        let count = self.columns / (B::PARTS * PART);
        &blocks::of(&self.bytes)[row * count..][..count]
    }

    /// Writes a part of the matrix, row by row.
    pub(super) fn widen_part(&self, rows: Range<usize>, columns: &Range<usize>, to: &mut [f32]) {
        with_block!(self.ty, B => vectorised(
            #[inline(always)]
            || {
                for (row, to) in rows.clone().zip(to.chunks_exact_mut(columns.len())) {
                    blocks::widen::<B>(self.row(row), columns.clone(), to);
                }
            }
        ));
    }
}

#[cfg(test)]
mod tests;
