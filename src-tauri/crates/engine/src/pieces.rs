//! Reads a tensor of a mapped file piece by piece.
//!
//! Pages of a mapped file count as memory of the process once they were read, and a conversion
//! holds the tensor in the file's type beside the result. Read as a whole, a model would need
//! twice its size to load, more than many runs need later.

use crate::{Error, Result};
use attune_kernels::stored_type;
use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use nix::libc;
use safetensors::tensor::TensorView;

/// Bytes of a piece.
const PIECE: usize = 4 << 20;
/// What the border of memory given back is a multiple of: a multiple of every page size in use.
const PAGES: usize = 64 << 10;

/// The smallest number that f16 rounds to infinity: half-way beyond 65504, its largest.
const BEYOND_F16: f32 = 65_520.0;

/// `value` in `dtype`. Where f16 cannot hold one of its numbers, what `beyond` makes of the largest
/// magnitude.
pub(crate) fn cast(value: &Tensor, dtype: DType, beyond: &dyn Fn(f32) -> Error) -> Result<Tensor> {
    if dtype == DType::F16 && value.dtype() != DType::F16 && value.elem_count() > 0 {
        let largest = value.abs()?.max_all()?.to_dtype(DType::F32)?;
        let largest = largest.to_scalar::<f32>()?;
        if largest >= BEYOND_F16 {
            return Err(beyond(largest));
        }
    }
    Ok(value.to_dtype(dtype)?)
}

/// The tensor of `view`, which lies in a mapped file, in `dtype` on `device`, cast as [`cast`]
/// does. The pages are given back.
pub(crate) fn read(
    view: &TensorView<'_>,
    dtype: DType,
    device: &Device,
    beyond: &dyn Fn(f32) -> Error,
) -> Result<Tensor> {
    let (shape, data) = (view.shape(), view.data());
    let stored = DType::try_from(view.dtype())?;
    // A device that has no bf16 cannot convert it either.
    let through = if stored_type(stored, device) == stored {
        device
    } else {
        &Device::Cpu
    };
    let load = |view: &TensorView<'_>| -> Result<Tensor> {
        Ok(cast(&view.load(through)?, dtype, beyond)?.to_device(device)?)
    };
    let rows = shape.first().copied().unwrap_or(0);
    let tensor = if data.len() <= PIECE || rows == 0 {
        load(view)?
    } else {
        let row = data.len() / rows;
        let tensor = Tensor::zeros(shape, dtype, device)?;
        let mut first = 0;
        for piece in data.chunks((PIECE / row).max(1) * row) {
            let mut part = shape.to_vec();
            part[0] = piece.len() / row;
            let part = TensorView::new(view.dtype(), part, piece);
            let part = load(&part.map_err(candle_core::Error::wrap)?)?;
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
