//! Machines that are not at hand, as their files and drivers would describe them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::probe::{Calls, CudaDevice, CudaFacts, CudaRefusal, Probe};
use crate::api::{GpuBackendKind, Memory};
use attune_engine::MetalFacts;

/// A machine in a folder of its own.
pub(crate) struct Machine {
    root: tempfile::TempDir,
    system: &'static str,
    pub(crate) architecture: &'static str,
    pub(crate) sysctls: BTreeMap<&'static str, &'static str>,
    pub(crate) libraries: BTreeSet<&'static str>,
    pub(crate) variables: BTreeMap<&'static str, &'static str>,
    pub(crate) cuda: Result<CudaFacts, CudaRefusal>,
    pub(crate) metal: Option<MetalFacts>,
    pub(crate) built: Vec<GpuBackendKind>,
    memory: (u64, u64),
}

impl Machine {
    pub(crate) fn new(system: &'static str, architecture: &'static str) -> Self {
        Self {
            root: tempfile::tempdir().unwrap_or_else(|error| panic!("{error}")),
            system,
            architecture,
            sysctls: BTreeMap::new(),
            libraries: BTreeSet::new(),
            variables: BTreeMap::new(),
            cuda: Err(CudaRefusal::NoLibrary),
            metal: None,
            built: vec![GpuBackendKind::Cpu],
            memory: (64_000_000_000, 48_000_000_000),
        }
    }

    pub(crate) fn file(self, path: &str, words: &str) -> Self {
        let path = self.root.path().join(path.trim_start_matches('/'));
        let written = std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))
            .and_then(|()| std::fs::write(&path, words));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self
    }

    pub(crate) fn memory(mut self, total: u64, available: u64) -> Self {
        self.memory = (total, available);
        self
    }

    pub(crate) fn probe(&self) -> Probe<'_> {
        Probe::new(self.root.path(), self.system, self.architecture, self)
    }

    /// A GPU on the bus.
    pub(crate) fn gpu(self, vendor: &str) -> Self {
        self.file("/sys/bus/pci/devices/0000:01:00.0/vendor", vendor)
            .file("/sys/bus/pci/devices/0000:01:00.0/class", "0x030000\n")
    }

    /// NVIDIA's driver with all its libraries, and a device.
    pub(crate) fn driver(mut self, release: &str, version: u32, device: CudaDevice) -> Self {
        self.cuda = Ok(CudaFacts {
            version,
            device: Some(device),
        });
        self.libraries = [
            "libcublas.so.13",
            "libcublasLt.so.13",
            "libcurand.so.10",
            "libnvrtc.so.13",
            "libcudart.so.13",
        ]
        .into();
        self.file(
            "/proc/driver/nvidia/version",
            &format!("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {release}  Release Build  (dvs-builder)  Thu Sep  4\nGCC version:  gcc version 13.3.0\n"),
        )
    }

    /// The program as it is built for NVIDIA GPUs.
    pub(crate) fn built_for(mut self, kind: GpuBackendKind) -> Self {
        self.built.push(kind);
        self
    }
}

impl Calls for Machine {
    fn sysctl(&self, name: &str) -> Option<String> {
        self.sysctls.get(name).map(|value| (*value).to_owned())
    }

    fn opens(&self, library: &Path) -> bool {
        // A name is the loader's to find; a path is a file of this machine.
        let name = library.to_str();
        name.is_some_and(|name| self.libraries.contains(name)) || library.is_file()
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).map(|value| (*value).to_owned())
    }

    fn cuda(&self) -> Result<CudaFacts, CudaRefusal> {
        self.cuda.clone()
    }

    fn metal(&self) -> Option<MetalFacts> {
        self.metal.clone()
    }

    fn is_built(&self, kind: GpuBackendKind) -> bool {
        self.built.contains(&kind)
    }

    fn memory(&self) -> Memory {
        Memory {
            total: self.memory.0,
            available: self.memory.1,
            limit: None,
            unified: false,
        }
    }
}

pub(crate) fn device(name: &str, capability: (i32, i32), free: u64, total: u64) -> CudaDevice {
    CudaDevice {
        name: name.to_owned(),
        capability,
        integrated: false,
        memory: Ok((free, total)),
    }
}

/// A desktop with an NVIDIA card that nothing is installed for.
pub(crate) fn workstation() -> Machine {
    Machine::new("linux", "x86_64")
        .gpu("0x10de\n")
        .file("/proc/sys/kernel/osrelease", "6.8.0-45-generic\n")
        .file("/sys/devices/virtual/dmi/id/sys_vendor", "ASUS\n")
        .file("/sys/devices/virtual/dmi/id/product_name", "ProArt X670E\n")
        .file(
            "/proc/cpuinfo",
            "processor\t: 0\nmodel\t\t: 97\nmodel name\t: AMD Ryzen 9 7950X 16-Core Processor\n",
        )
}

fn arm_cores(cores: &[(usize, &str)]) -> String {
    let core = |part: &str| format!("CPU implementer\t: 0x41\nCPU part\t: {part}\n\n");
    let cores = cores.iter().map(|(count, part)| core(part).repeat(*count));
    cores.collect()
}

/// The device tree's texts end with a zero.
pub(crate) fn jetson_orin() -> Machine {
    let gpu = CudaDevice {
        integrated: true,
        ..device("Orin", (8, 7), 9_000_000_000, 64_000_000_000)
    };
    Machine::new("linux", "arm64")
        .driver("540.4.0", 13_000, gpu)
        .file(
            "/proc/device-tree/model",
            "NVIDIA Jetson AGX Orin Developer Kit\0",
        )
        .file(
            "/proc/device-tree/compatible",
            "nvidia,p3737-0000+p3701-0005\0nvidia,p3701-0005\0nvidia,tegra234\0",
        )
        .file("/proc/cpuinfo", &arm_cores(&[(12, "0xd42")]))
        .built_for(GpuBackendKind::Cuda)
}

pub(crate) fn dgx_spark() -> Machine {
    let gpu = device("NVIDIA GB10", (12, 1), 20_000_000_000, 128_000_000_000);
    Machine::new("linux", "arm64")
        .gpu("0x10de\n")
        .driver("580.95.05", 13_000, gpu)
        .memory(128_000_000_000, 100_000_000_000)
        .file("/sys/devices/virtual/dmi/id/sys_vendor", "NVIDIA\n")
        .file(
            "/sys/devices/virtual/dmi/id/product_name",
            "NVIDIA_DGX_Spark\n",
        )
        .file("/proc/cpuinfo", &arm_cores(&[(10, "0xd87"), (10, "0xd85")]))
        .built_for(GpuBackendKind::Cuda)
}

pub(crate) fn grace_hopper() -> Machine {
    let gpu = device("NVIDIA GH200 480GB", (9, 0), 95_000_000_000, 96_000_000_000);
    Machine::new("linux", "arm64")
        .gpu("0x10de\n")
        .driver("580.82.07", 13_000, gpu)
        .memory(480_000_000_000, 400_000_000_000)
        .file("/sys/devices/virtual/dmi/id/sys_vendor", "Supermicro\n")
        .file(
            "/sys/devices/virtual/dmi/id/product_name",
            "ARS-111GL-NHR\n",
        )
        .file("/sys/devices/soc0/soc_id", "jep106:036b:0241\n")
        .file("/proc/cpuinfo", &arm_cores(&[(72, "0xd4f")]))
        .built_for(GpuBackendKind::Cuda)
}

pub(crate) fn mac() -> Machine {
    let mut mac = Machine::new("macos", "arm64")
        .memory(36_000_000_000, 20_000_000_000)
        .built_for(GpuBackendKind::Metal);
    mac.sysctls = [
        ("machdep.cpu.brand_string", "Apple M3 Max"),
        ("hw.model", "Mac15,9"),
        ("sysctl.proc_translated", "0"),
    ]
    .into();
    mac.metal = Some(MetalFacts {
        architecture: "applegpu_g15s".to_owned(),
        working_set: 27_000_000_000,
        allocated: 1_000_000_000,
    });
    mac
}
