//! The processor, the board and the system.

use std::collections::BTreeMap;

use sysinfo::{CpuRefreshKind, RefreshKind, System};

use super::probe::Probe;
use crate::api::Platform;

impl Platform {
    /// What this process runs on.
    pub fn detect() -> Self {
        let usable_cores = std::thread::available_parallelism().map_or(1, usize::from);
        let cores =
            System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()))
                .map_or(0, |system| system.cpus().len());
        Self {
            system_name: System::long_os_version()
                .unwrap_or_else(|_| std::env::consts::OS.to_owned()),
            kernel: System::kernel_version().unwrap_or_else(|_| "unknown".to_owned()),
            cores: cores.max(usable_cores),
            usable_cores,
            ..Self::of(&Probe::here())
        }
    }

    /// What a machine is by its files, and by Apple's `sysctl`.
    pub(super) fn of(probe: &Probe<'_>) -> Self {
        let board = Board::of(probe);
        Self {
            architecture: probe.architecture.to_owned(),
            system: probe.system.to_owned(),
            system_name: probe.system.to_owned(),
            kernel: probe
                .read("/proc/sys/kernel/osrelease")
                .unwrap_or_else(|| "unknown".to_owned()),
            chip: chip(probe, board).unwrap_or_else(|| "unknown".to_owned()),
            model: model(probe),
            translated: probe.calls.sysctl("sysctl.proc_translated").as_deref() == Some("1"),
            cores: 0,
            usable_cores: 0,
        }
    }
}

/// Families of NVIDIA's ARM64 machines that differ in what their memory means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Board {
    /// A Tegra chip: GPU and processor share the memory.
    Jetson(&'static str),
    /// GB10, as in DGX Spark: GPU and processor share the memory.
    Spark,
    /// Grace, as in GH200 and GB200: the GPU has memory of its own.
    Grace,
}

/// Chips of Jetson boards by what their device tree says they are compatible with.
const TEGRA: [(&str, &str); 4] = [
    ("nvidia,tegra264", "NVIDIA Thor"),
    ("nvidia,tegra234", "NVIDIA Orin"),
    ("nvidia,tegra194", "NVIDIA Xavier"),
    ("nvidia,tegra210", "NVIDIA Tegra X1"),
];

/// SoC of Grace by NVIDIA's JEP106 number, as the kernel spells what the firmware says.
const GRACE: &str = "jep106:036b:0241";

impl Board {
    /// The family, where it is one of them.
    pub(super) fn of(probe: &Probe<'_>) -> Option<Self> {
        let compatible = probe
            .read("/proc/device-tree/compatible")
            .unwrap_or_default();
        let tegra = TEGRA
            .iter()
            .find(|(name, _)| compatible.split('\0').any(|one| one == *name));
        if let Some((_, chip)) = tegra {
            return Some(Self::Jetson(chip));
        }
        if probe.architecture != "arm64" {
            return None;
        }
        let product = probe.read(PRODUCT).unwrap_or_default().replace('_', " ");
        let says = |words: &[&str]| words.iter().any(|word| product.contains(word));
        let cores = core_names(probe);
        if says(&["DGX Spark", "GB10"])
            || (cores.contains_key("Cortex-X925") && super::backend::nvidia_on_the_bus(probe))
        {
            Some(Self::Spark)
        } else if probe.read("/sys/devices/soc0/soc_id").as_deref() == Some(GRACE)
            || says(&["Grace", "GH200", "GB200", "GB300"])
        {
            Some(Self::Grace)
        } else {
            None
        }
    }

    /// Whether processor and GPU share the memory.
    pub(super) fn is_unified(self) -> bool {
        self != Self::Grace
    }
}

const VENDOR: &str = "/sys/devices/virtual/dmi/id/sys_vendor";
const PRODUCT: &str = "/sys/devices/virtual/dmi/id/product_name";

/// Name of the board or computer: from the device tree, the firmware, or Apple.
fn model(probe: &Probe<'_>) -> Option<String> {
    if probe.system == "macos" {
        return probe.calls.sysctl("hw.model");
    }
    if let Some(model) = probe.read("/proc/device-tree/model") {
        return Some(model);
    }
    let product = probe.read(PRODUCT)?.replace('_', " ");
    match probe.read(VENDOR) {
        Some(vendor) if !product.starts_with(&vendor) => Some(format!("{vendor} {product}")),
        _ => Some(product),
    }
}

/// Name of the processor.
fn chip(probe: &Probe<'_>, board: Option<Board>) -> Option<String> {
    if probe.system == "macos" {
        return probe.calls.sysctl("machdep.cpu.brand_string");
    }
    // x86-64 and some kernels for ARM name it.
    let cpuinfo = probe.read("/proc/cpuinfo").unwrap_or_default();
    let name = cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, name)| key.trim() == "model name" && !name.trim().is_empty())
        .map(|(_, name)| name.trim().to_owned());
    let cores = core_names(probe)
        .into_iter()
        .map(|(name, count)| format!("{count} × {name}"))
        .collect::<Vec<_>>()
        .join(", ");
    let named = match board {
        Some(Board::Jetson(chip)) => Some(chip.to_owned()),
        Some(Board::Spark) => Some("NVIDIA GB10".to_owned()),
        Some(Board::Grace) => Some("NVIDIA Grace".to_owned()),
        None => name,
    };
    match (named, cores.is_empty()) {
        (Some(named), false) if board.is_some() => Some(format!("{named} ({cores})")),
        (Some(named), _) => Some(named),
        (None, false) => Some(cores),
        (None, true) => probe.read("/proc/device-tree/model"),
    }
}

/// How many cores of which name ARM's and other makers' numbers in /proc/cpuinfo stand for.
fn core_names(probe: &Probe<'_>) -> BTreeMap<String, usize> {
    let cpuinfo = probe.read("/proc/cpuinfo").unwrap_or_default();
    let (mut names, mut implementer) = (BTreeMap::new(), String::new());
    for line in cpuinfo.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        match key.trim() {
            "CPU implementer" => value.trim().clone_into(&mut implementer),
            "CPU part" => {
                let name = core_name(&implementer, value.trim());
                *names.entry(name).or_insert(0) += 1;
            }
            _ => {}
        }
    }
    names
}

/// Makers' numbers as ARM lists them for MIDR_EL1; those of machines that tune models.
fn core_name(implementer: &str, part: &str) -> String {
    let name = match (implementer, part) {
        ("0x41", "0xd03") => "Cortex-A53",
        ("0x41", "0xd07") => "Cortex-A57",
        ("0x41", "0xd08") => "Cortex-A72",
        ("0x41", "0xd0b") => "Cortex-A76",
        ("0x41", "0xd0c") => "Neoverse N1",
        ("0x41", "0xd40") => "Neoverse V1",
        ("0x41", "0xd42") => "Cortex-A78AE",
        ("0x41", "0xd49") => "Neoverse N2",
        ("0x41", "0xd4f") => "Neoverse V2",
        ("0x41", "0xd83") => "Neoverse V3AE",
        ("0x41", "0xd84") => "Neoverse V3",
        ("0x41", "0xd85") => "Cortex-X925",
        ("0x41", "0xd87") => "Cortex-A725",
        ("0x41", "0xd8e") => "Neoverse N3",
        ("0x48", "0xd01") => "Kunpeng 920",
        ("0x4e", "0x004") => "Carmel",
        ("0x51", "0x001") => "Oryon",
        ("0xc0", "0xac3") => "Ampere-1",
        ("0xc0", "0xac4") => "Ampere-1A",
        _ => return format!("ARM core {implementer}/{part}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::machines::{Machine, dgx_spark, grace_hopper, jetson_orin, mac, workstation};
    use super::*;

    #[test]
    fn it_names_one_of_the_two_architectures() {
        let platform = Platform::detect();
        assert!(
            ["arm64", "x86_64"].contains(&platform.architecture.as_str()),
            "{platform:?}"
        );
        assert!(platform.cores >= platform.usable_cores && platform.usable_cores >= 1);
        assert!(!platform.kernel.is_empty() && !platform.translated);
    }

    fn of(machine: &Machine) -> Platform {
        Platform::of(&machine.probe())
    }

    #[test]
    fn a_workstation_is_named_by_its_processor_and_its_maker() {
        let platform = of(&workstation());
        assert_eq!(platform.architecture, "x86_64");
        assert_eq!(platform.chip, "AMD Ryzen 9 7950X 16-Core Processor");
        assert_eq!(platform.model.as_deref(), Some("ASUS ProArt X670E"));
        assert_eq!(platform.kernel, "6.8.0-45-generic");
    }

    #[test]
    fn arm64_cuda_boards_are_named() {
        let orin = of(&jetson_orin());
        assert_eq!(orin.chip, "NVIDIA Orin (12 × Cortex-A78AE)");
        assert_eq!(
            orin.model.as_deref(),
            Some("NVIDIA Jetson AGX Orin Developer Kit")
        );
        let spark = of(&dgx_spark());
        assert_eq!(
            spark.chip,
            "NVIDIA GB10 (10 × Cortex-A725, 10 × Cortex-X925)"
        );
        assert_eq!(spark.model.as_deref(), Some("NVIDIA DGX Spark"));
        let grace = of(&grace_hopper());
        assert_eq!(grace.chip, "NVIDIA Grace (72 × Neoverse V2)");
        assert_eq!(grace.model.as_deref(), Some("Supermicro ARS-111GL-NHR"));
    }

    #[test]
    fn an_unknown_core_is_told_by_its_numbers() {
        let machine = Machine::new("linux", "arm64").file(
            "/proc/cpuinfo",
            "processor\t: 0\nCPU implementer\t: 0x7f\nCPU part\t: 0x123\n",
        );
        assert_eq!(of(&machine).chip, "1 × ARM core 0x7f/0x123");
        assert_eq!(of(&Machine::new("linux", "arm64")).chip, "unknown");
    }

    #[test]
    fn arm64_metal_is_named_as_apple_does_and_rosetta_is_noticed() {
        let platform = of(&mac());
        assert_eq!(platform.chip, "Apple M3 Max");
        assert_eq!(platform.model.as_deref(), Some("Mac15,9"));
        assert!(!platform.translated);
        let mut translated = mac();
        translated.architecture = "x86_64";
        translated.sysctls.insert("sysctl.proc_translated", "1");
        assert!(of(&translated).translated);
        assert!(
            Board::of(&mac().probe()).is_none(),
            "a Mac has no device tree"
        );
    }

    #[test]
    fn arm64_cuda_memory_is_shared_where_the_chip_shares_it() {
        let unified = |machine: Machine| Board::of(&machine.probe()).unwrap().is_unified();
        assert!(unified(jetson_orin()) && unified(dgx_spark()));
        assert!(!unified(grace_hopper()));
        assert!(Board::of(&workstation().probe()).is_none());
    }
}
