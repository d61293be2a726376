//! What could compute here, and where it cannot, what stands in the way and what helps.

use super::cuda_libraries::Library;
use super::probe::{CudaDevice, CudaFacts, CudaRefusal, Probe, read};
use super::{cuda, cuda_libraries, memory};
use crate::api::{Backend, BackendState, ChosenBy, GpuBackend, GpuBackendKind, Memory};
use attune_engine::CUDA_VERSION;

impl GpuBackend {
    /// What this machine and this build can compute on; the best of it is the choice.
    pub fn detect() -> Self {
        Self::of(&Probe::here())
    }

    pub(super) fn of(probe: &Probe<'_>) -> Self {
        let backends = vec![cuda_backend(probe), metal_backend(probe), processor(probe)];
        let ready = backends.iter().find(|backend| backend.is_ready());
        let kind = ready.map_or(GpuBackendKind::Cpu, |backend| backend.kind);
        // Where the processor computes, people ask about the GPU that does not.
        let told = match kind {
            GpuBackendKind::Cpu => backends
                .iter()
                .find(|one| one.state != BackendState::NoDevice && !one.is_ready()),
            kind => backends.iter().find(|one| one.kind == kind),
        };
        Self {
            kind,
            reason: told.map_or_else(
                || "no supported GPU was found".to_owned(),
                |backend| backend.reason.clone(),
            ),
            chosen_by: ChosenBy::Detection,
            backends,
        }
    }

    /// What was found of one kind.
    pub(crate) fn of_kind(&self, kind: GpuBackendKind) -> Option<&Backend> {
        self.backends.iter().find(|backend| backend.kind == kind)
    }
}

impl Backend {
    /// Whether it can be used.
    pub fn is_ready(&self) -> bool {
        self.state == BackendState::Ready
    }

    fn new(kind: GpuBackendKind, state: BackendState, reason: impl Into<String>) -> Self {
        Self {
            kind,
            state,
            name: None,
            reason: reason.into(),
            remedy: None,
            memory: None,
        }
    }

    fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

fn processor(probe: &Probe<'_>) -> Backend {
    let mut backend = Backend::new(
        GpuBackendKind::Cpu,
        BackendState::Ready,
        "the processor always works",
    );
    backend.memory = Some(memory::of(probe));
    backend
}

fn metal_backend(probe: &Probe<'_>) -> Backend {
    let backend = |state, reason: &str| Backend::new(GpuBackendKind::Metal, state, reason);
    if probe.system != "macos" {
        return backend(
            BackendState::NoDevice,
            "Metal is Apple's, and this is no Mac",
        );
    }
    if probe.calls.sysctl("sysctl.proc_translated").as_deref() == Some("1") {
        return backend(
            BackendState::NotBuilt,
            "this is the program for Intel Macs, which Rosetta translates",
        )
        .with_remedy("Install Attune for Apple Silicon.");
    }
    if probe.architecture != "arm64" {
        return backend(
            BackendState::NoDevice,
            "this is an Intel Mac; only the GPUs of Apple Silicon are supported",
        );
    }
    if !probe.calls.is_built(GpuBackendKind::Metal) {
        return backend(
            BackendState::NotBuilt,
            "there is an Apple GPU, but this build has no Metal",
        )
        .with_remedy("Install the build of Attune for Apple Silicon.");
    }
    let Some(facts) = probe.calls.metal() else {
        return backend(
            BackendState::Refused,
            "there is an Apple GPU, but Metal gives no access to it",
        )
        .with_remedy(
            "Start Attune from a session with a screen, not from a sandbox or a virtual machine.",
        );
    };
    let shared = memory::of(probe);
    let mut found = backend(
        BackendState::Ready,
        "there is an Apple GPU, which shares the memory of the processor",
    );
    found.name = probe.calls.sysctl("machdep.cpu.brand_string");
    let total = shared.total.min(facts.working_set);
    found.memory = Some(Memory {
        total,
        // Metal slows down, or ends the program, beyond what it recommends; the system's free
        // memory bounds it too.
        available: shared.available.min(total.saturating_sub(facts.allocated)),
        limit: (facts.working_set < shared.total).then_some(facts.working_set),
        unified: true,
    });
    found
}

fn cuda_backend(probe: &Probe<'_>) -> Backend {
    let backend = |state, reason: String| Backend::new(GpuBackendKind::Cuda, state, reason);
    if probe.system != "linux" {
        return backend(
            BackendState::NoDevice,
            "CUDA is NVIDIA's, and Macs have no such GPU".to_owned(),
        );
    }
    let module = driver_release(probe);
    let asked = probe.calls.cuda();
    let seen = module.is_some()
        || nvidia_on_the_bus(probe)
        || matches!(
            super::platform::Board::of(probe),
            Some(super::platform::Board::Jetson(_))
        )
        || ["/dev/nvidia0", "/dev/nvhost-gpu", "/dev/nvgpu", "/dev/dxg"]
            .iter()
            .any(|path| probe.exists(path));
    if !seen && !asked.as_ref().is_ok_and(|facts| facts.device.is_some()) {
        return backend(BackendState::NoDevice, "no NVIDIA GPU was found".to_owned());
    }
    let release = module.map_or_else(String::new, |release| format!(" {release}"));
    let facts = match asked {
        Ok(facts) => facts,
        Err(CudaRefusal::NoLibrary) if release.is_empty() => {
            return backend(
                BackendState::NoDriver,
                "there is an NVIDIA GPU, but no driver for it".to_owned(),
            )
            .with_remedy(format!(
                "Install NVIDIA's driver, version {} or newer; on a Jetson, JetPack.",
                least_release()
            ));
        }
        Err(CudaRefusal::NoLibrary) => {
            return backend(
                BackendState::LibraryMissing,
                format!(
                    "NVIDIA's driver{release} is loaded, but its library {} cannot be opened",
                    cuda::LIBRARY
                ),
            )
            .with_remedy("Install the driver's CUDA library (libcuda1); in a container, start it with access to the GPU (`--gpus all`).");
        }
        Err(CudaRefusal::Code(code)) => return refused(code, &release),
    };
    if facts.version < CUDA_VERSION {
        return backend(
            BackendState::DriverTooOld,
            format!(
                "NVIDIA's driver{release} serves CUDA {}, and this version of Attune needs {}",
                version(facts.version),
                version(CUDA_VERSION)
            ),
        )
        .with_remedy(format!(
            "Install NVIDIA's driver, version {} or newer.",
            least_release()
        ));
    }
    let CudaFacts { device, .. } = facts;
    let Some(device) = device else {
        return refused(cuda::code::NO_DEVICE, &release);
    };
    let is_built = probe.calls.is_built(GpuBackendKind::Cuda);
    // The CUDA build links them: it would not run without one.
    let missing = if is_built {
        Vec::new()
    } else {
        cuda_libraries::missing(probe, CUDA_VERSION)
    };
    let found = of_device(probe, device, &release, &missing);
    if found.is_ready() && !is_built {
        let reason = format!("{}, but this build has no CUDA", found.reason);
        return Backend {
            state: BackendState::NotBuilt,
            reason,
            remedy: Some("Install the CUDA build of Attune.".to_owned()),
            ..found
        };
    }
    found
}

fn of_device(probe: &Probe<'_>, device: CudaDevice, release: &str, missing: &[Library]) -> Backend {
    let CudaDevice {
        name,
        capability: (major, minor),
        integrated,
        memory,
    } = device;
    let found =
        format!("there is an {name} (compute capability {major}.{minor}) with driver{release}");
    let shared = memory::of(probe);
    let mut backend = match memory {
        Err(CudaRefusal::Code(code)) => refused(code, release),
        Err(CudaRefusal::NoLibrary) => refused(cuda::code::DRIVER_MISMATCH, release),
        Ok((free, total)) => {
            let mut backend = if missing.is_empty() {
                Backend::new(GpuBackendKind::Cuda, BackendState::Ready, found)
            } else {
                without_libraries(&found, missing)
            };
            let unified = integrated || shared.unified;
            backend.memory = Some(Memory {
                total: if unified {
                    total.min(shared.total)
                } else {
                    total
                },
                // Where memory is shared the driver counts cached files as used; the kernel knows
                // that they can go.
                available: if unified {
                    shared.available.min(total)
                } else {
                    free
                },
                limit: shared.limit.filter(|_| unified),
                unified,
            });
            backend
        }
    };
    backend.name = Some(name);
    backend
}

/// A device whose toolkit's libraries are not all there.
fn without_libraries(found: &str, missing: &[Library]) -> Backend {
    let files: Vec<&str> = missing.iter().map(|one| one.file.as_str()).collect();
    let mut packages: Vec<&str> = missing.iter().map(|one| one.package.as_str()).collect();
    packages.dedup();
    Backend::new(
        GpuBackendKind::Cuda,
        BackendState::LibraryMissing,
        format!("{found}, but {} cannot be opened", files.join(", ")),
    )
    .with_remedy(format!(
        "Install {} from NVIDIA's package repository (on a Jetson, JetPack's), or name the folder of CUDA {}'s libraries in LD_LIBRARY_PATH.",
        packages.join(" "),
        CUDA_VERSION / 1000
    ))
}

/// What the driver's refusal means.
fn refused(code: i32, release: &str) -> Backend {
    let (state, reason, remedy) = match code {
        cuda::code::OUT_OF_MEMORY => (
            BackendState::OutOfMemory,
            "the NVIDIA GPU has no memory left even to begin".to_owned(),
            "End the programs that `nvidia-smi` lists, or wait for them.",
        ),
        cuda::code::DEVICE_UNAVAILABLE => (
            BackendState::Busy,
            "another program has the NVIDIA GPU for itself".to_owned(),
            "End the program that `nvidia-smi` lists, or set the GPU's compute mode to default (`nvidia-smi -c 0`).",
        ),
        cuda::code::NO_DEVICE => (
            BackendState::NoDevice,
            format!("NVIDIA's driver{release} shows this program no GPU"),
            "Look at CUDA_VISIBLE_DEVICES, and in a container at the access it was given.",
        ),
        cuda::code::DRIVER_MISMATCH => (
            BackendState::Refused,
            format!("NVIDIA's driver{release} and its libraries are of different versions"),
            "Restart the machine: the driver was updated while it ran.",
        ),
        code => (
            BackendState::Refused,
            format!("NVIDIA's driver{release} refuses the GPU with error {code}"),
            "Look the number up under CUresult in NVIDIA's documentation; `dmesg` may say more.",
        ),
    };
    Backend::new(GpuBackendKind::Cuda, state, reason).with_remedy(remedy)
}

/// The release of the loaded kernel module: `580.159.03`.
fn driver_release(probe: &Probe<'_>) -> Option<String> {
    let text = probe.read("/proc/driver/nvidia/version")?;
    let line = text.lines().find(|line| line.contains("NVRM"))?;
    let release = line.split_whitespace().find(|word| {
        word.contains('.') && word.split('.').all(|part| part.parse::<u32>().is_ok())
    })?;
    Some(release.to_owned())
}

/// Whether the bus shows a display or computing device of NVIDIA's, with or without a driver.
pub(super) fn nvidia_on_the_bus(probe: &Probe<'_>) -> bool {
    probe.entries("/sys/bus/pci/devices").iter().any(|device| {
        read(&device.join("vendor")).as_deref() == Some("0x10de")
            && read(&device.join("class")).is_some_and(|class| class.starts_with("0x03"))
    })
}

/// `13.0`
fn version(number: u32) -> String {
    format!("{}.{}", number / 1000, number % 1000 / 10)
}

/// The first release of the driver that serves [`CUDA_VERSION`], as CUDA's release notes list it.
fn least_release() -> u32 {
    const {
        assert!(
            CUDA_VERSION == 13_000,
            "another toolkit wants another driver"
        );
    };
    580
}

#[cfg(test)]
mod tests;
