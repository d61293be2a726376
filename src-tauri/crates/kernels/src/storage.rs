//! Contiguous f32 slices of CPU tensors: the one place that opens candle's storage.

pub(crate) use crate::device::on_cpu;
use crate::gemm::{Bf16, F16, Values};
use candle_core::{CpuStorage, DType, Device, InplaceOp1, Layout, Result, Storage, Tensor, bail};
use std::ops::Deref;

/// A read view of a CPU tensor's elements; holds the storage's read lock.
pub(crate) struct View<S> {
    storage: S,
    start: usize,
    end: usize,
}

/// Opens `tensor`, which must be a contiguous f32 tensor on the CPU.
pub(crate) fn view(tensor: &Tensor) -> Result<View<impl Deref<Target = Storage>>> {
    let view = weights(tensor)?;
    if !matches!(&*view.storage, Storage::Cpu(CpuStorage::F32(_))) {
        bail!("a CPU kernel needs an f32 tensor, not {:?}", tensor.dtype());
    }
    Ok(view)
}

/// Opens `tensor`, which must be a contiguous f32, bf16 or f16 tensor on the CPU, for
/// [`View::values`].
pub(crate) fn weights(tensor: &Tensor) -> Result<View<impl Deref<Target = Storage>>> {
    let (storage, layout) = tensor.storage_and_layout();
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!(
            "a kernel needs a contiguous tensor, not strides {:?}",
            layout.stride()
        );
    };
    match &*storage {
        Storage::Cpu(CpuStorage::F32(_) | CpuStorage::BF16(_) | CpuStorage::F16(_)) => Ok(View {
            storage,
            start,
            end,
        }),
        _ => bail!("a CPU kernel has no weights of {:?}", tensor.dtype()),
    }
}

impl<S: Deref<Target = Storage>> View<S> {
    /// The elements as they are stored.
    pub(crate) fn values(&self) -> Values<'_> {
        let range = self.start..self.end;
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => Values::F32(&values[range]),
            Storage::Cpu(CpuStorage::BF16(values)) => {
                let values = &values[range];
                // SAFETY: both are a u16 in memory, and any u16 is a value of both.
                Values::Bf16(unsafe {
                    std::slice::from_raw_parts(values.as_ptr().cast::<Bf16>(), values.len())
                })
            }
            Storage::Cpu(CpuStorage::F16(values)) => {
                let values = &values[range];
                // SAFETY: both are a u16 in memory, and any u16 is a value of both.
                Values::F16(unsafe {
                    std::slice::from_raw_parts(values.as_ptr().cast::<F16>(), values.len())
                })
            }
            _ => unreachable!("`weights` accepts nothing else"),
        }
    }
}

impl<S: Deref<Target = Storage>> Deref for View<S> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.start..self.end],
            _ => unreachable!("`view` accepts nothing else"),
        }
    }
}

struct Update<F>(F);

impl<F: Fn(&mut [f32])> InplaceOp1 for Update<F> {
    fn name(&self) -> &'static str {
        "update"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        match (storage, layout.contiguous_offsets()) {
            (CpuStorage::F32(values), Some((start, end))) => {
                (self.0)(&mut values[start..end]);
                Ok(())
            }
            _ => bail!("only a contiguous f32 tensor can be updated in place"),
        }
    }
}

/// Lets `change` rewrite the elements of a CPU tensor. `change` must hold no [`View`] of `tensor`:
/// the storage's lock is not re-entrant.
pub(crate) fn update(tensor: &Tensor, change: impl Fn(&mut [f32])) -> Result<()> {
    tensor.inplace_op1(&Update(change))
}

/// A CPU tensor of `values`.
pub(crate) fn from_values(values: Vec<f32>, shape: (usize, usize)) -> Result<Tensor> {
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// A CPU tensor of the numbers written to the room that `values` has. Zeroing what every task then
/// overwrites was one thread's work, a tenth of a step in mixed precision.
///
/// # Safety
/// As many numbers as the shape has were written to `values.spare_capacity_mut()`, `values` being
/// empty.
pub(crate) unsafe fn from_written(mut values: Vec<f32>, shape: (usize, usize)) -> Result<Tensor> {
    assert!(shape.0 * shape.1 <= values.capacity());
    // SAFETY: the caller's.
    unsafe { values.set_len(shape.0 * shape.1) };
    from_values(values, shape)
}

/// The tensor's values as f32, shared when they already are.
pub(crate) fn as_f32(tensor: &Tensor) -> Result<Tensor> {
    tensor.to_dtype(DType::F32)
}
