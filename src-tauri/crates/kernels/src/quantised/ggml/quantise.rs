//! Quantisation into ggml's blocks, by candle's rendering of llama.cpp's own.

use super::GgmlType;
use candle_core::quantized::k_quants::{
    self, BlockQ2K, BlockQ3K, BlockQ4_0, BlockQ4_1, BlockQ4K, BlockQ5_0, BlockQ5_1, BlockQ5K,
    BlockQ6K, BlockQ8_0,
};
use rayon::prelude::*;

/// Blocks whose elements are handed to a thread at once, at least.
const AT_ONCE: usize = 16;

/// The blocks of `values`, whose rows are whole blocks.
pub(super) fn blocks(ty: GgmlType, values: &[f32], columns: usize) -> Vec<u8> {
    debug_assert!(columns.is_multiple_of(ty.block_len()));
    match ty {
        GgmlType::Q4_0 => by::<BlockQ4_0>(values),
        GgmlType::Q4_1 => by::<BlockQ4_1>(values),
        GgmlType::Q5_0 => by::<BlockQ5_0>(values),
        GgmlType::Q5_1 => by::<BlockQ5_1>(values),
        GgmlType::Q8_0 => by::<BlockQ8_0>(values),
        GgmlType::Q2K => by::<BlockQ2K>(values),
        GgmlType::Q3K => by::<BlockQ3K>(values),
        GgmlType::Q4K => by::<BlockQ4K>(values),
        GgmlType::Q5K => by::<BlockQ5K>(values),
        GgmlType::Q6K => by::<BlockQ6K>(values),
    }
}

fn by<B: k_quants::GgmlType>(values: &[f32]) -> Vec<u8> {
    let size = size_of::<B>();
    let mut bytes = vec![0; values.len() / B::BLCK_SIZE * size];
    bytes
        .par_chunks_mut(AT_ONCE * size)
        .zip(values.par_chunks(AT_ONCE * B::BLCK_SIZE))
        .for_each(|(bytes, values)| {
            let mut blocks = vec![B::zeros(); values.len() / B::BLCK_SIZE];
            B::from_float(values, &mut blocks);
            // SAFETY: candle's blocks are numbers without padding, laid out as in a file on a
            // little-endian machine; there are as many bytes of them as in the chunk.
            bytes.copy_from_slice(unsafe {
                std::slice::from_raw_parts(blocks.as_ptr().cast::<u8>(), bytes.len())
            });
        });
    bytes
}
