//! What can compute: the kinds of device, which of them this build has, and opening one.

mod check;
mod plain;

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
        let device = std::panic::catch_unwind(|| match self {
            // With a stream of its own: otherwise each thread has another, so that what one computed
            // is not ordered before what the next reads, and memory given back by a thread that
            // never computed is an error of the next call on any thread.
            Self::Cuda => Device::new_cuda_with_stream(0),
            Self::Metal => Device::new_metal(0),
            Self::Cpu => Ok(Device::Cpu),
        })
        .map_err(|_| unavailable("the system lacks what it needs".to_owned()))?
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
}
