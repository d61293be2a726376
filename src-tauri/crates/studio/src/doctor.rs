//! What this machine is, and what Attune can use of it.

pub(crate) mod memory;
mod platform;

use crate::Studio;
use crate::api::{
    Disk, DoctorReport, DoctorRequest, GpuBackend, GpuBackendKind, Platform, Session,
};
use crate::error::Result;
use crate::files::disk_space;
use crate::models::cache_folder;

/// Below this, a run of even a small model may not fit.
const LITTLE_DISK: u64 = 2_000_000_000;

/// Says what this machine is.
#[expect(clippy::unnecessary_wraps, reason = "every command has this signature")]
pub(crate) fn examine(
    studio: &Studio,
    _: DoctorRequest,
    _: &mut Session<'_>,
) -> Result<DoctorReport> {
    let home = studio.home();
    let disk = disk_space(home.root()).unwrap_or(Disk {
        total: 0,
        available: 0,
    });
    let mut findings = Vec::new();
    if disk.total > 0 && disk.available < LITTLE_DISK {
        findings.push(format!(
            "Only {} MB are free where Attune keeps its files.",
            disk.available / 1_000_000
        ));
    }
    if let Some(parent) = home.root().ancestors().find(|folder| folder.exists())
        && nix::unistd::access(parent, nix::unistd::AccessFlags::W_OK).is_err()
    {
        findings.push(format!(
            "{} cannot be written. Set ATTUNE_HOME to another folder.",
            parent.display()
        ));
    }
    Ok(DoctorReport {
        platform: Platform::detect(),
        gpu_backend: GpuBackend::detect(),
        memory: memory::measure(),
        disk,
        home: home.root().to_owned(),
        home_reason: home.reason().to_owned(),
        model_cache: cache_folder(),
        capacity: crate::estimate::capacity(crate::estimate::usable(studio)),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        findings,
    })
}

impl GpuBackend {
    /// What computes on this machine in this build, and why.
    pub fn detect() -> Self {
        let mut looked_for = Vec::new();
        let mut look = |what: &str, found: bool| {
            looked_for.push(format!(
                "{what}: {}",
                if found { "found" } else { "not found" }
            ));
            found
        };
        let apple = look(
            "Apple GPU (Metal)",
            cfg!(all(target_os = "macos", target_arch = "aarch64")),
        );
        let driver = look(
            "NVIDIA driver (/proc/driver/nvidia/version)",
            exists("/proc/driver/nvidia/version"),
        );
        let device = look("NVIDIA device (/dev/nvidia0)", exists("/dev/nvidia0"));
        looked_for.push(
            "CUDA or Metal in this build: no, this build computes on the processor".to_owned(),
        );
        let reason = if apple {
            "there is an Apple GPU, but this build has no Metal support yet"
        } else if driver || device {
            "there is an NVIDIA GPU, but this build has no CUDA support yet"
        } else {
            "no supported GPU was found"
        };
        Self {
            kind: GpuBackendKind::Cpu,
            reason: reason.to_owned(),
            looked_for,
        }
    }
}

fn exists(path: &str) -> bool {
    std::path::Path::new(path).exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Control;

    /// A person runs the doctor when nothing else works: it must not need a home folder.
    #[test]
    fn it_writes_nothing() {
        let home = std::env::temp_dir().join("attune-doctor-never-made");
        let studio = Studio::open_at(&home);
        let report = examine(
            &studio,
            DoctorRequest {},
            &mut Session::new(&mut |_| {}, &Control::default()),
        );
        assert!(report.is_ok_and(|report| report.memory.total > 0 && report.disk.total > 0));
        assert!(!home.exists());
    }

    #[test]
    fn the_backend_says_what_it_looked_for() {
        let backend = GpuBackend::detect();
        assert_eq!(backend.kind, GpuBackendKind::Cpu);
        assert!(backend.looked_for.len() >= 4 && !backend.reason.is_empty());
    }
}
