//! The processor and the system.

use sysinfo::{CpuRefreshKind, RefreshKind, System};

use crate::api::Platform;

impl Platform {
    /// What this process runs on.
    pub fn detect() -> Self {
        let system =
            System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()))
                .ok();
        let usable_cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            architecture: architecture().to_owned(),
            system: std::env::consts::OS.to_owned(),
            system_name: System::long_os_version()
                .unwrap_or_else(|_| std::env::consts::OS.to_owned()),
            chip: chip(system.as_ref()),
            cores: system
                .as_ref()
                .map_or(0, |system| system.cpus().len())
                .max(usable_cores),
            usable_cores,
        }
    }
}

/// The word people use: Rust's `aarch64` is everybody's arm64.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    }
}

/// Linux on ARM names no processor in /proc/cpuinfo; the device tree may name the board.
fn chip(system: Option<&System>) -> String {
    let brand = system
        .and_then(|system| system.cpus().first())
        .map(|cpu| cpu.brand().trim().to_owned())
        .unwrap_or_default();
    if !brand.is_empty() {
        return brand;
    }
    std::fs::read_to_string("/proc/device-tree/model").map_or_else(
        |_| "unknown".to_owned(),
        |model| model.trim_end_matches('\0').to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_one_of_the_two_architectures() {
        let platform = Platform::detect();
        assert!(
            ["arm64", "x86_64"].contains(&platform.architecture.as_str()),
            "{platform:?}"
        );
        assert!(platform.cores >= platform.usable_cores && platform.usable_cores >= 1);
    }
}
