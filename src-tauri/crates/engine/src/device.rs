//! What can compute: the kinds of device, which of them this build has, and opening one.

mod check;
mod plain;

use std::any::Any;
use std::panic::{UnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub use attune_kernels::LONGEST_DISPATCH;
use attune_kernels::calibrate_dispatch;
use candle_core::Device;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{Error, Result};
pub use check::{DeviceCheck, check_device};

/// CUDA version of the toolkit that the CUDA build is made with, as `cuDriverGetVersion` counts:
/// 1000 · major + 10 · minor. A driver older than that refuses the kernels' PTX.
pub const CUDA_VERSION: u32 = 13_000;

/// What can compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum GpuBackendKind {
    /// NVIDIA.
    Cuda,
    /// Apple.
    Metal,
    /// The processor; always works.
    Cpu,
}

/// The device that was opened. One for the whole process: tensors of two handles do not mix, even
/// where both mean the same GPU.
static OPENED: Mutex<Option<(GpuBackendKind, Device)>> = Mutex::new(None);

impl GpuBackendKind {
    /// All, in the order of preference.
    pub const ALL: [Self; 3] = [Self::Cuda, Self::Metal, Self::Cpu];

    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Metal => "metal",
            Self::Cpu => "cpu",
        }
    }

    /// Whether this build computes on such a device.
    pub fn is_built(self) -> bool {
        match self {
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Metal => cfg!(all(target_os = "macos", target_arch = "aarch64")),
            Self::Cpu => true,
        }
    }

    /// Whether this process holds such a device.
    pub fn is_open(self) -> bool {
        let opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        self == Self::Cpu || opened.as_ref().is_some_and(|(kind, _)| *kind == self)
    }

    /// Opens the first device of this kind, for work of at most `longest` at once: macOS ends what
    /// keeps a Mac's GPU from the screen. Other devices may work as long as they like. The time holds
    /// from now on for the whole process, also where the device was open already.
    pub fn open_within(self, longest: Duration) -> Result<Device> {
        let device = self.open()?;
        if self == Self::Metal {
            calibrate_dispatch(&device, longest)?;
        }
        Ok(device)
    }

    /// Opens the first device of this kind.
    pub fn open(self) -> Result<Device> {
        self.open_by(move || match self {
            // With a stream of its own: otherwise each thread has another, so that what one computed
            // is not ordered before what the next reads, and memory given back by a thread that
            // never computed is an error of the next call on any thread.
            Self::Cuda => Device::new_cuda_with_stream(0),
            Self::Metal => Device::new_metal(0),
            Self::Cpu => Ok(Device::Cpu),
        })
    }

    /// As [`Self::open`]; by `make`, unless the process holds such a device.
    fn open_by(
        self,
        make: impl FnOnce() -> candle_core::Result<Device> + UnwindSafe,
    ) -> Result<Device> {
        if self == Self::Cpu {
            return Ok(Device::Cpu);
        }
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((kind, device)) = &*opened
            && *kind == self
        {
            return Ok(device.clone());
        }
        let unavailable = |reason: String| Error::DeviceUnavailable {
            device: self.as_str(),
            reason,
        };
        // candle panics where a library or a class of the system is missing: on macOS before 15,
        // without a GPU in the session, without cuBLAS.
        let device = catch_unwind(make)
            .map_err(|panic| unavailable(lacking(panic.as_ref())))?
            .map_err(|error| unavailable(error.to_string()))?;
        // Before anything is computed: a kernel of ours that disagrees with the processor here is
        // switched off for as long as the program runs.
        attune_kernels::self_check(&device)?;
        if self == Self::Metal {
            // macOS ends work that holds the GPU for long while a display is active.
            calibrate_dispatch(&device, LONGEST_DISPATCH)?;
        }
        *opened = Some((self, device.clone()));
        Ok(device)
    }
}

/// What a panic says of the system that could not open a device.
fn lacking(panic: &(dyn Any + Send)) -> String {
    const LACKS: &str = "the system lacks what it needs";
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    match text.and_then(|text| text.lines().next()) {
        Some(line) => format!("{LACKS}: {line}"),
        None => LACKS.to_owned(),
    }
}

/// The GPU of a Mac, as Metal describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetalFacts {
    /// Name of its architecture: `applegpu_g15s`.
    pub architecture: String,
    /// Bytes that Metal recommends to use at most (`recommendedMaxWorkingSetSize`).
    pub working_set: u64,
    /// Bytes this process has on it.
    pub allocated: u64,
}

/// What Metal says of the first GPU; none where there is no Metal.
pub fn metal_facts() -> Option<MetalFacts> {
    #[cfg(all(target_os = "macos", target_arch = "aarch64"))]
    {
        let Ok(Device::Metal(device)) = GpuBackendKind::Metal.open() else {
            return None;
        };
        let device = device.metal_device();
        Some(MetalFacts {
            architecture: device.architecture_name(),
            working_set: device.recommended_max_working_set_size() as u64,
            allocated: device.current_allocated_size() as u64,
        })
    }
    #[cfg(not(all(target_os = "macos", target_arch = "aarch64")))]
    None
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// A build without a backend refuses it by name instead of computing elsewhere.
    #[test]
    fn what_is_not_built_is_refused_by_name() {
        assert!(GpuBackendKind::Cpu.open().unwrap().is_cpu());
        for kind in [GpuBackendKind::Cuda, GpuBackendKind::Metal] {
            if kind.is_built() {
                continue;
            }
            let refusal = kind.open().unwrap_err();
            assert_eq!(refusal.code(), "device-unavailable");
            assert!(refusal.to_string().contains(kind.as_str()), "{refusal}");
            assert!(refusal.remedy().is_some());
        }
    }

    /// Whatever happens while a device is opened, the program goes on, and the processor computes.
    #[test]
    fn a_panic_of_opening_is_an_error() {
        // One that no other test of this build can hold.
        let kind = if GpuBackendKind::Metal.is_built() {
            GpuBackendKind::Cuda
        } else {
            GpuBackendKind::Metal
        };
        let missing = "cannot find the class MTLResidencySetDescriptor".to_owned();
        let panics = [
            (
                kind.open_by(|| panic!("no cuBLAS\nnor anything")),
                "lacks what it needs: no cuBLAS",
            ),
            (
                kind.open_by(move || panic!("{missing}")),
                "MTLResidencySetDescriptor",
            ),
            (
                kind.open_by(|| std::panic::panic_any(7)),
                "lacks what it needs",
            ),
            (
                kind.open_by(|| Err(candle_core::Error::Msg("it is busy".to_owned()))),
                "it is busy",
            ),
        ];
        for (opened, words) in panics {
            let error = opened.unwrap_err();
            assert_eq!(error.code(), "device-unavailable");
            let said = error.to_string();
            assert!(
                said.contains(kind.as_str()) && said.contains(words),
                "{said}"
            );
            assert!(!said.contains("anything"), "{said}");
            assert!(error.remedy().unwrap().contains("--device cpu"));
        }
        assert!(!kind.is_open());
        let processor = GpuBackendKind::Cpu.open().unwrap();
        let sum = candle_core::Tensor::ones(3, candle_core::DType::F32, &processor).unwrap();
        assert_eq!(sum.sum_all().unwrap().to_scalar::<f32>().unwrap(), 3.0);
    }
}
