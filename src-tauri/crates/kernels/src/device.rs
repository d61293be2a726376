//! What computes an operation where a tensor lies: the CPU's kernel, a kernel of ours for that
//! device, or a composition of candle's operations.

use candle_core::{DType, Device, DeviceLocation, Result, Tensor};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::attention::{Attention, Span};
use crate::gelu::Gelu;
use crate::quantised::QuantisedMatrix;
use crate::rope::Rotation;
use crate::{AdamW, Transpose};

/// An operation for which a device may have a kernel of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    RmsNorm,
    RmsNormBackward,
    Rope,
    Gate,
    GateBackward,
    Gelu,
    GeluBackward,
    Attention,
    AttentionBackward,
    CrossEntropy,
    TokenLosses,
    QuantisedProduct,
    AdamW,
}

/// How a gate bends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Silu,
    Gelu(Gelu),
}

/// Kernels of ours for a device. Each may decline, by `None`, sizes or types it is not made for;
/// it must then have changed nothing.
#[expect(unused_variables, reason = "what is not overridden declines")]
pub(crate) trait OwnKernels: Sync {
    fn rms_norm(
        &self,
        x: &Tensor,
        weight: &Tensor,
        offset: f32,
        epsilon: f64,
    ) -> Result<Option<Tensor>> {
        Ok(None)
    }

    fn rms_norm_backward(
        &self,
        x: &Tensor,
        weight: &Tensor,
        offset: f32,
        epsilon: f64,
        dy: &Tensor,
        weight_gradient: Option<&Tensor>,
    ) -> Result<Option<Tensor>> {
        Ok(None)
    }

    fn rope(
        &self,
        x: &Tensor,
        head_dim: usize,
        cos: &Tensor,
        sin: &Tensor,
        positions: &[u32],
        rotation: Rotation,
    ) -> Result<Option<Tensor>> {
        Ok(None)
    }

    fn gate(&self, gate: &Tensor, up: &Tensor, kind: Gate) -> Result<Option<Tensor>> {
        Ok(None)
    }

    fn gate_backward(
        &self,
        gate: &Tensor,
        up: &Tensor,
        dy: &Tensor,
        kind: Gate,
    ) -> Result<Option<(Tensor, Tensor)>> {
        Ok(None)
    }

    fn gelu(&self, x: &Tensor, kind: Gelu) -> Result<Option<Tensor>> {
        Ok(None)
    }

    fn gelu_backward(&self, x: &Tensor, dy: &Tensor, kind: Gelu) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Queries of each span over the keys and values of the same span.
    fn attention(
        &self,
        attention: &Attention,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        spans: &[Span],
    ) -> Result<Option<(Tensor, Tensor)>> {
        Ok(None)
    }

    /// The `n` queries of one sequence over a cache of `m ≥ n` keys and values.
    fn attention_cached(
        &self,
        attention: &Attention,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
    ) -> Result<Option<(Tensor, Tensor)>> {
        Ok(None)
    }

    fn attention_backward(
        &self,
        attention: &Attention,
        (q, k, v): (&Tensor, &Tensor, &Tensor),
        spans: &[Span],
        o: &Tensor,
        log_sum_exp: &Tensor,
        d_o: &Tensor,
    ) -> Result<Option<(Tensor, Tensor, Tensor)>> {
        Ok(None)
    }

    /// Turns products `hidden · weightᵀ`, which the caller owns, into the gradient of `Σ scales ·
    /// loss`; returns the losses `(M)`.
    fn cross_entropy(
        &self,
        products: &Tensor,
        targets: &Tensor,
        scales: &Tensor,
        scale: f32,
        softcap: Option<f32>,
    ) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// The losses `(M)` of products `hidden · weightᵀ`.
    fn token_losses(
        &self,
        products: &Tensor,
        targets: &Tensor,
        scale: f32,
        softcap: Option<f32>,
    ) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// `a · matrix`, or with [`Transpose::Right`] `a · matrixᵀ`.
    fn quantised_product(
        &self,
        a: &Tensor,
        matrix: &QuantisedMatrix,
        transpose: Transpose,
    ) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Moves `parameter` and `moments` in place.
    fn adamw(
        &self,
        parameter: &Tensor,
        moments: &Tensor,
        gradient: &Tensor,
        options: &AdamW,
    ) -> Result<Option<()>> {
        Ok(None)
    }
}

/// Where kernels are chosen for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Real(DeviceLocation),
    /// The CPU, taken for a device without the CPU's kernels.
    Pretended(u64),
}

impl Place {
    pub(crate) fn of(device: &Device) -> Self {
        match (device, PRETENCE.get()) {
            (Device::Cpu, Some(pretence)) => Self::Pretended(pretence.id),
            _ => Self::Real(device.location()),
        }
    }
}

/// A device that is not there: the CPU's tensors with none of the CPU's kernels, so that what runs
/// on a GPU can be compared with what runs on the CPU on any machine.
#[derive(Clone, Copy)]
pub(crate) struct Pretence {
    id: u64,
    kernels: Option<&'static dyn OwnKernels>,
    bf16: bool,
}

impl Pretence {
    pub(crate) fn new(kernels: Option<&'static dyn OwnKernels>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            kernels,
            bf16: true,
        }
    }

    /// Runs `work` with the CPU taken for this device.
    pub(crate) fn run<T>(self, work: impl FnOnce() -> T) -> T {
        with_pretence(Some(self), work)
    }
}

thread_local! {
    static PRETENCE: Cell<Option<Pretence>> = const { Cell::new(None) };
}

/// The calling thread's pretence, to take it along to another thread.
pub(crate) fn pretence() -> Option<Pretence> {
    PRETENCE.get()
}

pub(crate) fn with_pretence<T>(pretence: Option<Pretence>, work: impl FnOnce() -> T) -> T {
    /// Ends the pretence when `work` panics, too: threads of a pool live on.
    struct Back(Option<Pretence>);
    impl Drop for Back {
        fn drop(&mut self) {
            PRETENCE.set(self.0);
        }
    }
    let _back = Back(PRETENCE.replace(pretence));
    work()
}

/// Runs `work` as a device without kernels of its own would: by compositions of candle's
/// operations, on the CPU's tensors. For tests of what stands on this crate.
#[doc(hidden)]
pub fn by_compositions<T>(work: impl FnOnce() -> T) -> T {
    Pretence::new(None).run(work)
}

/// Runs `work` as [`by_compositions`], on a device that has no bf16.
#[doc(hidden)]
pub fn without_bf16<T>(work: impl FnOnce() -> T) -> T {
    let device = Pretence {
        bf16: false,
        ..Pretence::new(None)
    };
    device.run(work)
}

/// Whether the CPU's kernels apply.
pub(crate) fn on_cpu(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && PRETENCE.get().is_none()
}

/// What numbers of `dtype` are stored as on `device`: bf16 as f16 where a device has no bf16,
/// anything else as asked.
pub fn stored_type(dtype: DType, device: &Device) -> DType {
    if dtype == DType::BF16 && !has_bf16(device) {
        DType::F16
    } else {
        dtype
    }
}

/// Whether `device` stores and widens bf16, which is tried once. An NVIDIA GPU before Ampere does
/// not. Of M1 the answer is no although Metal has the type there: nothing in the chip computes it,
/// and f16 takes its place at full speed.
pub fn has_bf16(device: &Device) -> bool {
    /// What devices were found to be able to.
    static KNOWN: LazyLock<Mutex<HashMap<DeviceLocation, bool>>> = LazyLock::new(Mutex::default);
    if device.is_cpu() {
        return PRETENCE.get().is_none_or(|device| device.bf16);
    }
    #[cfg(all(target_os = "macos", target_arch = "aarch64"))]
    if let Device::Metal(device) = device
        && is_m1(&device.metal_device().architecture_name())
    {
        return false;
    }
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    *known.entry(device.location()).or_insert_with(|| {
        let there_and_back = || -> Result<f32> {
            let x = Tensor::new(&[1.5_f32], device)?.to_dtype(DType::BF16)?;
            (x.to_dtype(DType::F32)? + 1.0)?.get(0)?.to_scalar()
        };
        there_and_back().is_ok_and(|sum| sum == 2.5)
    })
}

/// Whether Metal's name of a GPU's architecture is that of an M1, Pro, Max or Ultra.
#[cfg(any(test, all(target_os = "macos", target_arch = "aarch64")))]
fn is_m1(architecture: &str) -> bool {
    architecture.starts_with("applegpu_g13")
}

/// Kernels that disagreed with the CPU.
static SWITCHED_OFF: LazyLock<Mutex<HashSet<(Place, Operation)>>> = LazyLock::new(Mutex::default);

/// Has `operation` computed by the composition from now on, in the whole program.
pub(crate) fn switch_off(place: Place, operation: Operation) {
    let mut off = SWITCHED_OFF.lock().unwrap_or_else(PoisonError::into_inner);
    off.insert((place, operation));
}

pub(crate) fn is_switched_off(place: Place, operation: Operation) -> bool {
    let off = SWITCHED_OFF.lock().unwrap_or_else(PoisonError::into_inner);
    off.contains(&(place, operation))
}

/// The kernels of ours for a device, if it has any.
pub(crate) fn kernels_of(device: &Device) -> Option<&'static dyn OwnKernels> {
    match device {
        Device::Cpu => PRETENCE.get()?.kernels,
        #[cfg(all(target_os = "macos", target_arch = "aarch64"))]
        Device::Metal(_) => Some(&crate::metal::MetalKernels),
        _ => None,
    }
}

/// What our own kernel for `operation` makes of it; `None` where there is none, it is switched off,
/// or it declines: the composition's turn.
pub(crate) fn own<T>(
    tensor: &Tensor,
    operation: Operation,
    run: impl FnOnce(&dyn OwnKernels) -> Result<Option<T>>,
) -> Result<Option<T>> {
    match kernels_of(tensor.device()) {
        Some(kernels) if !is_switched_off(Place::of(tensor.device()), operation) => {
            let result = run(kernels)?;
            ANSWERS.set(ANSWERS.get() + u64::from(result.is_some()));
            Ok(result)
        }
        _ => Ok(None),
    }
}

thread_local! {
    static ANSWERS: Cell<u64> = const { Cell::new(0) };
}

/// How often a kernel of ours has computed something for the calling thread.
pub(crate) fn answers() -> u64 {
    ANSWERS.get()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::ComputeType;

    #[test]
    fn bf16_is_f16_where_there_is_none() {
        let stored = |dtype| stored_type(dtype, &Device::Cpu);
        assert_eq!(stored(DType::BF16), DType::BF16);
        without_bf16(|| {
            assert!(!has_bf16(&Device::Cpu));
            assert_eq!(stored(DType::BF16), DType::F16);
            assert_eq!(stored(DType::F32), DType::F32);
        });
        assert!(has_bf16(&Device::Cpu));
    }

    /// Mixed precision: what f16 could not hold.
    #[test]
    fn products_do_not_overflow_where_there_is_no_bf16() {
        let product = || {
            let a = Tensor::new(&[[1e5_f32, -3e6]], &Device::Cpu)?;
            let b = Tensor::new(&[[0.5_f32], [0.25]], &Device::Cpu)?;
            let product = ComputeType::Bf16.matmul(&a, &b, Transpose::Neither)?;
            product.flatten_all()?.to_vec1::<f32>()
        };
        assert_eq!(without_bf16(product).unwrap(), [-7e5]);
    }

    /// g13 is M1, g14 M2, and so on; the letter tells the plain chip from Pro, Max and Ultra.
    #[test]
    fn arm64_metal_has_bf16_from_m2_on() {
        for name in [
            "applegpu_g13g",
            "applegpu_g13s",
            "applegpu_g13c",
            "applegpu_g13d",
        ] {
            assert!(is_m1(name), "{name}");
        }
        for name in [
            "applegpu_g14g",
            "applegpu_g15s",
            "applegpu_g16p",
            "applegpu_g17g",
        ] {
            assert!(!is_m1(name), "{name}");
        }
    }
}
