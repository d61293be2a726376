//! The questions of detection, put to this machine.

use std::path::Path;

use super::cuda;
use super::probe::{Calls, CudaFacts, CudaRefusal, Probe};
use crate::api::{GpuBackendKind, Memory};
use attune_engine::MetalFacts;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// This machine.
pub(crate) struct Here;

impl Probe<'static> {
    /// The machine that this process runs on.
    pub(crate) fn here() -> Self {
        Self::new("/", std::env::consts::OS, architecture(), &Here)
    }
}

/// The word people use: Rust's `aarch64` is everybody's arm64.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    }
}

impl Calls for Here {
    fn sysctl(&self, name: &str) -> Option<String> {
        sysctl(name)
    }

    fn opens(&self, library: &Path) -> bool {
        // SAFETY: NVIDIA's libraries may be opened at any time; their start-up code is made for it.
        unsafe { libloading::Library::new(library) }.is_ok()
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    fn cuda(&self) -> Result<CudaFacts, CudaRefusal> {
        cuda::ask()
    }

    fn metal(&self) -> Option<MetalFacts> {
        attune_engine::metal_facts()
    }

    fn is_built(&self, kind: GpuBackendKind) -> bool {
        kind.is_built()
    }

    fn memory(&self) -> Memory {
        let system = System::new_with_specifics(
            RefreshKind::nothing().with_memory(MemoryRefreshKind::everything()),
        );
        let (total, available) = system.map_or((0, 0), |system| {
            (system.total_memory(), system.available_memory())
        });
        Memory {
            total,
            available,
            limit: None,
            unified: false,
        }
    }
}

#[cfg(target_os = "macos")]
fn sysctl(name: &str) -> Option<String> {
    use nix::libc::sysctlbyname;

    let name = std::ffi::CString::new(name).ok()?;
    let mut value = [0_u8; 256];
    let mut length = value.len();
    // SAFETY: the name ends with a zero, the buffer has the length told, and nothing is set.
    let refused = unsafe {
        sysctlbyname(
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            &raw mut length,
            std::ptr::null_mut(),
            0,
        )
    };
    if refused != 0 {
        return None;
    }
    let value = value.get(..length)?;
    // A text ends with a zero; a number of four bytes does not say that it is one.
    match (value, value.split_last()) {
        (&[a, b, c, d], _) if !(a.is_ascii_graphic() && d == 0) => {
            Some(i32::from_ne_bytes([a, b, c, d]).to_string())
        }
        (_, Some((0, text))) => String::from_utf8(text.to_vec()).ok(),
        _ => None,
    }
}

#[cfg(not(target_os = "macos"))]
fn sysctl(_: &str) -> Option<String> {
    None
}
