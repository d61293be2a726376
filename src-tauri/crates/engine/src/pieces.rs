//! Reads a tensor of a mapped file piece by piece.
//!
//! Pages of a mapped file count as memory of the process once they were read, and a conversion
//! holds the tensor in the file's type beside the result. Read as a whole, a model would need
//! twice its size to load, more than many runs need later.

use crate::Result;
use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use nix::libc;
use safetensors::tensor::TensorView;

/// Bytes of a piece.
const PIECE: usize = 4 << 20;
/// What the border of memory given back is a multiple of: a multiple of every page size in use.
const PAGES: usize = 64 << 10;

/// The tensor of `view`, which lies in a mapped file, in `dtype` on `device`. The pages are given
/// back.
pub(crate) fn read(view: &TensorView<'_>, dtype: DType, device: &Device) -> Result<Tensor> {
    let (shape, data) = (view.shape(), view.data());
    let rows = shape.first().copied().unwrap_or(0);
    let tensor = if data.len() <= PIECE || rows == 0 {
        view.load(device)?.to_dtype(dtype)?
    } else {
        let row = data.len() / rows;
        let tensor = Tensor::zeros(shape, dtype, device)?;
        let mut first = 0;
        for piece in data.chunks((PIECE / row).max(1) * row) {
            let mut part = shape.to_vec();
            part[0] = piece.len() / row;
            let part = TensorView::new(view.dtype(), part, piece)
                .map_err(candle_core::Error::wrap)?
                .load(device)?
                .to_dtype(dtype)?;
            tensor.slice_set(&part, 0, first)?;
            first += part.dim(0)?;
            give_back(piece);
        }
        tensor
    };
    give_back(data);
    Ok(tensor)
}

/// Takes all but the borders of `data`, part of a mapped file, out of memory. What is
/// looked at again is read again.
fn give_back(data: &[u8]) {
    let start = (data.as_ptr() as usize).next_multiple_of(PAGES);
    let end = (data.as_ptr() as usize + data.len()) / PAGES * PAGES;
    if start < end {
        // SAFETY: the pages lie inside `data`, a mapping of a file that is only read: what is
        // dropped is a copy of the file's content.
        unsafe {
            libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED);
        }
    }
}
