//! 4-bit `NormalFloat` with double quantisation, bit for bit as bitsandbytes' kernels for GPUs.
//!
//! The matrix is one line of elements, row after row. Each 64 of them are divided by their largest
//! magnitude and stand as the nearest of 16 values, two to a byte, the first in the upper half.
//! The magnitudes less their mean are in turn divided by the largest of each 256 and stand as
//! codes of the signed dynamic map.

#[cfg(target_arch = "x86_64")]
mod vector;

use super::QuantisedParts;
use crate::adamw8bit::SIGNED;
use rayon::prelude::*;
use std::sync::LazyLock;

/// Elements that share a magnitude.
const BLOCK: usize = 64;
/// Magnitudes that share a magnitude.
const OUTER_BLOCK: usize = 256;

/// The values of a code: quantiles of the normal distribution, with an exact zero (appendix E of
/// the paper).
pub(super) const VALUES: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// Where one code ends and the next begins.
static BOUNDS: LazyLock<[f32; 15]> =
    LazyLock::new(|| std::array::from_fn(|index| f32::midpoint(VALUES[index], VALUES[index + 1])));

/// The two values of a byte.
static PAIRS: LazyLock<[[f32; 2]; 256]> =
    LazyLock::new(|| std::array::from_fn(|byte| [VALUES[byte >> 4], VALUES[byte & 15]]));

#[derive(Clone)]
pub(super) struct Nf4 {
    codes: Vec<u8>,
    /// A code for the magnitude of each block.
    magnitudes: Vec<u8>,
    /// Largest of each 256 magnitudes less their mean.
    outer_magnitudes: Vec<f32>,
    /// Mean of the magnitudes.
    offset: f32,
}

/// Bytes of `count` elements.
pub(super) fn bytes(count: usize) -> usize {
    let blocks = count.div_ceil(BLOCK);
    count.div_ceil(2) + blocks + 4 * blocks.div_ceil(OUTER_BLOCK) + 4
}

fn largest(values: &[f32]) -> f32 {
    values
        .iter()
        .fold(0.0, |largest, value| largest.max(value.abs()))
}

/// What values are multiplied with so that the largest becomes one.
fn reciprocal(magnitude: f32) -> f32 {
    1.0 / magnitude.max(1e-38)
}

fn code(value: f32) -> u8 {
    // At a bound exactly, the lower one.
    BOUNDS.iter().filter(|bound| **bound < value).count() as u8
}

impl Nf4 {
    pub(super) fn quantise(values: &[f32]) -> Self {
        let magnitudes: Vec<f32> = values.par_chunks(BLOCK).map(largest).collect();
        let mut codes = vec![0; values.len().div_ceil(2)];
        (
            codes.par_chunks_mut(BLOCK / 2),
            values.par_chunks(BLOCK),
            &magnitudes,
        )
            .into_par_iter()
            .for_each(|(codes, values, magnitude)| {
                let scale = reciprocal(*magnitude);
                let code = |value: &f32| code((value * scale).clamp(-1.0, 1.0));
                for (byte, pair) in codes.iter_mut().zip(values.chunks(2)) {
                    // A missing last element stands as zero.
                    *byte = code(&pair[0]) << 4 | pair.get(1).map_or(7, code);
                }
            });
        let sum: f64 = magnitudes.iter().copied().map(f64::from).sum();
        let offset = (sum / magnitudes.len().max(1) as f64) as f32;
        let less: Vec<f32> = magnitudes
            .iter()
            .map(|magnitude| magnitude - offset)
            .collect();
        let bounds: [f32; 255] = std::array::from_fn(|index| {
            f32::midpoint(SIGNED.values[index], SIGNED.values[index + 1])
        });
        let outer_magnitudes: Vec<f32> = less.chunks(OUTER_BLOCK).map(largest).collect();
        let magnitudes = less
            .chunks(OUTER_BLOCK)
            .zip(&outer_magnitudes)
            .flat_map(|(less, magnitude)| {
                let scale = reciprocal(*magnitude);
                less.iter().map(move |value| {
                    let value = (value * scale).clamp(-1.0, 1.0);
                    bounds.partition_point(|bound| *bound < value) as u8
                })
            })
            .collect();
        Self {
            codes,
            magnitudes,
            outer_magnitudes,
            offset,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.codes.len() + self.magnitudes.len() + 4 * self.outer_magnitudes.len() + 4
    }

    pub(super) fn parts(&self) -> QuantisedParts<'_> {
        QuantisedParts::Nf4 {
            codes: &self.codes,
            magnitudes: &self.magnitudes,
            outer_magnitudes: &self.outer_magnitudes,
            mean: self.offset,
            map: &SIGNED.values,
        }
    }

    fn magnitude(&self, block: usize) -> f32 {
        let code = SIGNED.values[usize::from(self.magnitudes[block])];
        code * self.outer_magnitudes[block / OUTER_BLOCK] + self.offset
    }

    /// Writes the elements from `start` on.
    pub(super) fn widen(&self, start: usize, to: &mut [f32]) {
        let (mut at, mut left) = (start, to);
        while !left.is_empty() {
            let block = at / BLOCK;
            let here = left.len().min((block + 1) * BLOCK - at);
            let (mut now, rest) = left.split_at_mut(here);
            let magnitude = self.magnitude(block);
            if at % 2 == 1 {
                now[0] = PAIRS[usize::from(self.codes[at / 2])][1] * magnitude;
                now = &mut now[1..];
            }
            #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut))]
            let mut codes = &self.codes[at.div_ceil(2)..];
            #[cfg(target_arch = "x86_64")]
            {
                let whole = now.len() - now.len() % vector::LANES;
                if whole > 0 && vector::widen(codes, magnitude, &mut now[..whole]) {
                    (codes, now) = (&codes[whole / 2..], &mut now[whole..]);
                }
            }
            let pairs: &[[f32; 2]; 256] = &PAIRS;
            let mut two = now.chunks_exact_mut(2);
            let whole = two.len();
            for (to, byte) in (&mut two).zip(codes) {
                let [first, second] = pairs[usize::from(*byte)];
                to[0] = first * magnitude;
                to[1] = second * magnitude;
            }
            if let [last] = two.into_remainder() {
                *last = pairs[usize::from(codes[whole])][0] * magnitude;
            }
            at += here;
            left = rest;
        }
    }
}
