//! Products with ggml's matrices in integers, as llama.cpp forms them: the rows beside a matrix
//! are rounded to 8 bits, a block at a time, and what two blocks make together is an integer that
//! their scales bring to its size. Less exact than widening the matrix, by what the rounding takes
//! away, and several times as fast.
//!
//! A row's products do not depend on the rows beside it.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod steps;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod unpack;

use super::blocks::{Block, PART};
use super::{Ggml, with_block};
use crate::rounding::nearest;
use crate::vectorised::vectorised;
#[cfg(target_arch = "aarch64")]
use neon::Unpack;
use rayon::prelude::*;
#[cfg(target_arch = "x86_64")]
use unpack::Unpack;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use Block as Unpack;

/// Most rows whose products with one row of the matrix are formed together: the codes of that row
/// are then unpacked once.
const AT_ONCE: usize = 8;
/// Bytes of rounded rows that share the first cache with a row of the matrix.
const TILE: usize = 32 * 1024;
/// Elements of the matrix that one task reads at least.
const TASK: usize = 64 * 1024;
/// Rows stand so far apart that whole vectors can be read up to their ends.
const ALIGNMENT: usize = 64;

/// Rows rounded to 8 bits. The numbers that meet one block share a scale.
pub(super) struct Rounded {
    rows: usize,
    /// Of a block.
    block: usize,
    /// Codes of a row.
    stride: usize,
    codes: Vec<i8>,
    /// Of each block.
    scales: Vec<f32>,
    /// Each 16 codes' sum.
    sums: Vec<i16>,
    /// Each block's sum, times its scale.
    weights: Vec<f32>,
}

/// One row of [`Rounded`].
struct RoundedRow<'a> {
    codes: &'a [i8],
    scales: &'a [f32],
    sums: &'a [i16],
    #[cfg_attr(
        not(any(target_arch = "x86_64", target_arch = "aarch64")),
        expect(dead_code, reason = "of the kernels there")
    )]
    weights: &'a [f32],
}

impl Rounded {
    /// Rounds rows of `columns`.
    pub(super) fn of(values: &[f32], columns: usize, block: usize) -> Self {
        let rows = values.len() / columns.max(1);
        let stride = columns.next_multiple_of(ALIGNMENT.max(block));
        let blocks = stride / block;
        let mut rounded = Self {
            rows,
            block,
            stride,
            codes: vec![0; rows * stride],
            scales: vec![0.0; rows * blocks],
            sums: vec![0; rows * stride / 16],
            weights: vec![0.0; rows * blocks],
        };
        let Self {
            codes,
            scales,
            sums,
            weights,
            ..
        } = &mut rounded;
        let each = (
            values.par_chunks(columns.max(1)),
            codes.par_chunks_mut(stride.max(1)),
            scales.par_chunks_mut(blocks.max(1)),
            sums.par_chunks_mut((stride / 16).max(1)),
            weights.par_chunks_mut(blocks.max(1)),
        );
        let one = |values: &[f32],
                   codes: &mut [i8],
                   scales: &mut [f32],
                   sums: &mut [i16],
                   weights: &mut [f32]| {
            vectorised(
                #[inline(always)]
                || {
                    for (at, values) in values.chunks_exact(block).enumerate() {
                        let codes = &mut codes[at * block..][..block];
                        let sums = &mut sums[at * block / 16..][..block / 16];
                        scales[at] = round(values, codes);
                        let mut whole = 0;
                        for (sum, codes) in sums.iter_mut().zip(codes.chunks_exact(16)) {
                            *sum = codes.iter().map(|code| i16::from(*code)).sum();
                            whole += i32::from(*sum);
                        }
                        weights[at] = scales[at] * whole as f32;
                    }
                },
            );
        };
        each.into_par_iter()
            .with_min_len(8)
            .for_each(|(values, codes, scales, sums, weights)| {
                one(values, codes, scales, sums, weights);
            });
        rounded
    }

    fn row(&self, row: usize) -> RoundedRow<'_> {
        let (stride, blocks) = (self.stride, self.stride / self.block);
        RoundedRow {
            codes: &self.codes[row * stride..][..stride],
            scales: &self.scales[row * blocks..][..blocks],
            sums: &self.sums[row * stride / 16..][..stride / 16],
            weights: &self.weights[row * blocks..][..blocks],
        }
    }
}

/// Rounds a block; returns its scale, which is not finite where a number is not.
#[inline(always)]
fn round(values: &[f32], codes: &mut [i8]) -> f32 {
    let mut largest = [0.0_f32; 16];
    for values in values.chunks_exact(16) {
        for (largest, value) in largest.iter_mut().zip(values) {
            let value = value.abs();
            // A NaN stays.
            *largest = if value > *largest || value.is_nan() {
                value
            } else {
                *largest
            };
        }
    }
    let largest = largest.into_iter().fold(0.0_f32, |largest, value| {
        if value > largest || value.is_nan() {
            value
        } else {
            largest
        }
    });
    let factor = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    for (code, value) in codes.iter_mut().zip(values) {
        *code = nearest(value * factor);
    }
    largest / 127.0
}

/// Who multiplies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Variant {
    /// AVX-512 with VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// NEON with its dot product of bytes.
    #[cfg(target_arch = "aarch64")]
    NeonDotProduct,
    /// What every ARM64 processor has.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// Plain code, which the tests compare the others with.
    Reference,
}

impl Variant {
    /// What this machine can run, the fastest first.
    fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let own = [
            avx512::detected().then_some(Self::Avx512),
            avx2::detected().then_some(Self::Avx2),
        ];
        #[cfg(target_arch = "aarch64")]
        let own = [
            neon::dot_product_detected().then_some(Self::NeonDotProduct),
            Some(Self::Neon),
        ];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let own: [Option<Self>; 0] = [];
        own.into_iter().flatten().chain([Self::Reference])
    }

    /// The products of a row of blocks with rows from `first` on, as many as `to` has room for, at
    /// most [`AT_ONCE`].
    fn dot<B: Unpack>(self, row: &[B], few: &Rounded, first: usize, to: &mut [f32]) {
        assert_eq!(few.block, B::PARTS * PART, "rounded for another type");
        assert!(first + to.len() <= few.rows && row.len() * few.block <= few.stride);
        match self {
            // SAFETY: the unit was detected; the assertions bound what is read.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { avx512::dot(row, few, first, to) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2::dot(row, few, first, to) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Self::NeonDotProduct => unsafe { neon::dot_product(row, few, first, to) },
            // SAFETY: the assertions bound what is read.
            #[cfg(target_arch = "aarch64")]
            Self::Neon => unsafe { neon::plain(row, few, first, to) },
            Self::Reference => {
                for (index, to) in to.iter_mut().enumerate() {
                    *to = reference(row, &few.row(first + index));
                }
            }
        }
    }
}

fn reference<B: Block>(row: &[B], few: &RoundedRow<'_>) -> f32 {
    let mut total = 0.0;
    for (index, block) in row.iter().enumerate() {
        let (mut product, mut minimum) = (0, 0);
        for part in 0..B::PARTS {
            let at = index * B::PARTS + part;
            let ([scales, minimums], codes) = (block.steps(part), block.codes(part));
            let others = &few.codes[at * PART..][..PART];
            for half in 0..2 {
                let places = half * PART / 2..(half + 1) * PART / 2;
                let sum: i32 = places
                    .map(|place| {
                        (i32::from(codes[place]) - i32::from(B::OFFSET)) * i32::from(others[place])
                    })
                    .sum();
                product += i32::from(scales[half]) * sum;
                minimum += i32::from(minimums[half]) * i32::from(few.sums[2 * at + half]);
            }
        }
        let factors = block.factors();
        let value = factors[0] * product as f32 - factors[1] * minimum as f32;
        total += few.scales[index] * value;
    }
    total
}

impl Ggml {
    /// `values · selfᵀ`, row by row, of rows that are rounded to 8 bits. None where many rows are
    /// multiplied faster, and more exactly, by widening.
    pub(in crate::quantised) fn rounded_product(&self, values: &[f32]) -> Option<Vec<f32>> {
        let variant = Variant::available().next()?;
        let rows = values.len() / self.columns.max(1);
        if variant == Variant::Reference && rows > AT_ONCE || self.columns == 0 {
            return None;
        }
        let few = Rounded::of(values, self.columns, self.ty.block_len());
        Some(with_block!(self.ty, B => self.product::<B>(&few, variant)))
    }

    fn product<B: Unpack>(&self, few: &Rounded, variant: Variant) -> Vec<f32> {
        let (rows, own) = (few.rows, self.bytes.len() / self.ty.block_bytes());
        let own = own / (self.columns / self.ty.block_len());
        // Row by row of the matrix, so that a task writes what lies together.
        let mut turned = vec![0.0; own * rows];
        let size = (TASK / self.columns).max(16);
        let tile = (TILE / few.stride / AT_ONCE).max(1) * AT_ONCE;
        let one = |(task, to): (usize, &mut [f32])| {
            for first in (0..rows).step_by(tile) {
                let last = rows.min(first + tile);
                for (index, to) in to.chunks_exact_mut(rows).enumerate() {
                    let row = self.row::<B>(task * size + index);
                    for first in (first..last).step_by(AT_ONCE) {
                        let to = &mut to[first..last.min(first + AT_ONCE)];
                        variant.dot(row, few, first, to);
                    }
                }
            }
        };
        if own * self.columns * rows < 2 * TASK {
            turned.chunks_mut(size * rows).enumerate().for_each(one);
        } else {
            turned.par_chunks_mut(size * rows).enumerate().for_each(one);
        }
        if rows == 1 {
            return turned;
        }
        let mut product = vec![0.0; own * rows];
        product
            .par_chunks_mut(own)
            .enumerate()
            .with_min_len(8)
            .for_each(|(row, to)| {
                for (to, values) in to.iter_mut().zip(turned.chunks_exact(rows)) {
                    *to = values[row];
                }
            });
        product
    }
}
