//! Products with quantised matrices, which are widened tile by tile in the GPU's own memory.

use super::launch::{Argument, File, Launch, unwritten};
use crate::Transpose;
use crate::dispatch::pieces;
use crate::quantised::{GgmlType, QuantisedMatrix, QuantisedParts};
use candle_core::{Result, Tensor};

/// Rows and columns of a tile of the result.
const TILE: usize = 64;
const THREADS: usize = 256;
/// Bytes of each of the two tiles of operands.
const TILE_BYTES: usize = 8320;

#[derive(Clone, Copy)]
#[repr(C)]
struct Matmul {
    first_row: u32,
    end_row: u32,
    columns: u32,
    inner: u32,
    accumulate: u32,
    magnitude_mean: f32,
}

/// `a · matrixᵀ`, or `a · matrix` without a transposition; `None` for types that have no shader.
pub(super) fn quantised(
    a: &Tensor,
    matrix: &QuantisedMatrix,
    transpose: Transpose,
) -> Result<Option<Tensor>> {
    let (columns, inner) = matrix.dims();
    // The shader's names are those of a layer: its plain product is that with the transpose.
    let (transposed, width) = match transpose {
        Transpose::Right => (false, columns),
        Transpose::Neither => (true, inner),
        Transpose::Left => return Ok(None),
    };
    let (function, magnitude_mean) = match (matrix.parts(), transposed) {
        (QuantisedParts::Nf4 { mean, .. }, false) => ("matmul_nf4_f32", mean),
        (QuantisedParts::Nf4 { mean, .. }, true) => ("matmul_nf4_transposed_f32", mean),
        (QuantisedParts::Ggml { ty, .. }, _) => {
            let function = match (ty, transposed) {
                (GgmlType::Q8_0, false) => "matmul_q8_0_f32",
                (GgmlType::Q8_0, true) => "matmul_q8_0_transposed_f32",
                (GgmlType::Q4K, false) => "matmul_q4_k_f32",
                (GgmlType::Q4K, true) => "matmul_q4_k_transposed_f32",
                _ => return Ok(None),
            };
            (function, 0.0)
        }
        (QuantisedParts::Int8 { .. }, _) => return Ok(None),
    };
    let (device, rows) = (a.device(), a.dim(0)?);
    let parts = matrix.parts_on(device)?;
    let result = unwritten(device, (rows, width))?;
    let mut arguments = vec![Argument::Read(a)];
    arguments.extend(parts.iter().map(Argument::Read));
    arguments.push(Argument::Write(&result));
    for piece in pieces(device, rows, columns * inner, TILE) {
        Launch {
            file: File::MatmulQuantised,
            function,
            arguments: &arguments,
            constants: Matmul {
                first_row: piece.start as u32,
                end_row: piece.end as u32,
                columns: columns as u32,
                inner: inner as u32,
                accumulate: 0,
                magnitude_mean,
            },
            grid: (width.div_ceil(TILE), piece.len().div_ceil(TILE), 1),
            threads: THREADS,
            memory: &[TILE_BYTES, TILE_BYTES],
            work: piece.len() * columns * inner,
        }
        .run(device)?;
    }
    Ok(Some(result))
}
