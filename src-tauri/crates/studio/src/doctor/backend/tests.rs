//! Each thing that can stand in the way of a GPU, on machines of files.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::super::machines::{
    Machine, device, dgx_spark, grace_hopper, jetson_orin, mac, workstation,
};
use super::*;

fn of(machine: &Machine) -> GpuBackend {
    GpuBackend::of(&machine.probe())
}

fn h100() -> CudaDevice {
    device(
        "NVIDIA H100 80GB HBM3",
        (9, 0),
        79_000_000_000,
        80_000_000_000,
    )
}

fn server() -> Machine {
    workstation()
        .driver("580.159.03", 13_000, h100())
        .built_for(GpuBackendKind::Cuda)
}

/// The state of CUDA, and that what is said names `words` and ends with help.
fn cuda(machine: &Machine, state: BackendState, words: &[&str]) {
    let found = of(machine);
    let cuda = found.of_kind(GpuBackendKind::Cuda).unwrap();
    assert_eq!(cuda.state, state, "{cuda:?}");
    let remedy = cuda.remedy.clone().unwrap_or_default();
    for word in words {
        assert!(
            cuda.reason.contains(word) || remedy.contains(word),
            "{word}: {cuda:?}"
        );
    }
    assert_eq!(
        found.kind == GpuBackendKind::Cuda,
        state == BackendState::Ready
    );
    assert_eq!(
        cuda.remedy.is_some(),
        state != BackendState::Ready && !cuda.reason.contains("no NVIDIA GPU was found")
    );
}

#[test]
fn a_machine_without_a_gpu_computes_on_the_processor() {
    let machine = Machine::new("linux", "x86_64").gpu("0x1002\n");
    cuda(
        &machine,
        BackendState::NoDevice,
        &["no NVIDIA GPU was found"],
    );
    let found = of(&machine);
    assert_eq!(found.kind, GpuBackendKind::Cpu);
    assert_eq!(found.reason, "no supported GPU was found");
    assert_eq!(found.chosen_by, ChosenBy::Detection);
    assert_eq!(found.backends.len(), 3);
    let processor = found.of_kind(GpuBackendKind::Cpu).unwrap();
    assert!(processor.is_ready() && processor.memory.unwrap().total == 64_000_000_000);
}

#[test]
fn a_gpu_without_a_driver_is_told_with_what_to_install() {
    cuda(
        &workstation(),
        BackendState::NoDriver,
        &["no driver", "580"],
    );
    assert!(of(&workstation()).reason.contains("no driver"));
}

#[test]
fn a_driver_without_its_library_is_told_by_release() {
    let mut machine = server();
    machine.cuda = Err(CudaRefusal::NoLibrary);
    cuda(
        &machine,
        BackendState::LibraryMissing,
        &["580.159.03", "libcuda.so.1", "--gpus all"],
    );
}

#[test]
fn a_driver_too_old_is_told_by_both_versions() {
    let machine = workstation()
        .driver("535.183.01", 12_020, h100())
        .built_for(GpuBackendKind::Cuda);
    cuda(
        &machine,
        BackendState::DriverTooOld,
        &["535.183.01", "12.2", "13.0", "580"],
    );
}

#[test]
fn missing_libraries_are_named() {
    let mut machine = server();
    cuda(
        &machine,
        BackendState::Ready,
        &["H100", "9.0", "580.159.03"],
    );
    // The CPU build, which the launcher starts where the CUDA build does not.
    machine.built.retain(|kind| *kind != GpuBackendKind::Cuda);
    machine.libraries.remove("libnvrtc.so.13");
    machine.libraries.remove("libcudart.so.13");
    // The loader takes no other name of the same library.
    machine.libraries.extend(["libnvrtc.so", "libcudart.so.12"]);
    cuda(
        &machine,
        BackendState::LibraryMissing,
        &[
            "H100",
            "libnvrtc.so.13, libcudart.so.13 cannot",
            "Install cuda-nvrtc-13-0 cuda-cudart-13-0 from",
            "LD_LIBRARY_PATH",
        ],
    );
    machine.libraries.remove("libcublas.so.13");
    machine.libraries.remove("libcublasLt.so.13");
    cuda(
        &machine,
        BackendState::LibraryMissing,
        &["Install libcublas-13-0 cuda-nvrtc-13-0"],
    );
    // A CUDA build that runs has them all, wherever the loader found them.
    let machine = machine.built_for(GpuBackendKind::Cuda);
    cuda(&machine, BackendState::Ready, &["H100"]);
}

#[test]
fn a_build_without_cuda_says_so_only_where_nothing_else_is_missing() {
    let mut machine = server();
    machine.built.retain(|kind| *kind != GpuBackendKind::Cuda);
    cuda(
        &machine,
        BackendState::NotBuilt,
        &["H100", "no CUDA", "CUDA build"],
    );
    machine.libraries.clear();
    cuda(
        &machine,
        BackendState::LibraryMissing,
        &["libcublas.so.13, libcublasLt.so.13, libcurand.so.10"],
    );
}

#[test]
fn what_the_driver_refuses_is_told_in_words() {
    let refusing = |code| {
        let mut machine = server();
        let memory = Err(CudaRefusal::Code(code));
        machine.cuda = Ok(CudaFacts {
            version: 13_000,
            device: Some(CudaDevice { memory, ..h100() }),
        });
        machine
    };
    cuda(
        &refusing(2),
        BackendState::OutOfMemory,
        &["no memory left", "nvidia-smi"],
    );
    cuda(
        &refusing(46),
        BackendState::Busy,
        &["another program", "nvidia-smi -c 0"],
    );
    cuda(&refusing(999), BackendState::Refused, &["999"]);
    let mut machine = server();
    machine.cuda = Err(CudaRefusal::Code(803));
    cuda(
        &machine,
        BackendState::Refused,
        &["different versions", "Restart"],
    );
    machine.cuda = Ok(CudaFacts {
        version: 13_000,
        device: None,
    });
    cuda(
        &machine,
        BackendState::NoDevice,
        &["shows this program no GPU", "CUDA_VISIBLE_DEVICES"],
    );
}

#[test]
fn a_card_has_its_own_memory() {
    let found = of(&server());
    let cuda = found.of_kind(GpuBackendKind::Cuda).unwrap();
    assert_eq!(cuda.name.as_deref(), Some("NVIDIA H100 80GB HBM3"));
    let memory = cuda.memory.unwrap();
    assert_eq!(
        (memory.total, memory.available),
        (80_000_000_000, 79_000_000_000)
    );
    assert!(!memory.unified);
}

/// The driver of a chip that shares its memory counts the kernel's cached files as used.
#[test]
fn arm64_cuda_memory_is_what_the_system_can_give() {
    let memory = |machine: &Machine| {
        let found = of(machine);
        let cuda = found.of_kind(GpuBackendKind::Cuda).unwrap();
        assert!(cuda.is_ready(), "{cuda:?}");
        cuda.memory.unwrap()
    };
    let orin = memory(&jetson_orin());
    assert_eq!(
        (orin.total, orin.available),
        (64_000_000_000, 48_000_000_000)
    );
    let spark = memory(&dgx_spark());
    assert_eq!(
        (spark.total, spark.available),
        (128_000_000_000, 100_000_000_000)
    );
    assert!(orin.unified && spark.unified);
    let hopper = memory(&grace_hopper());
    assert_eq!(
        (hopper.total, hopper.available),
        (96_000_000_000, 95_000_000_000)
    );
    assert!(!hopper.unified);
    // A container's limit holds for memory that is shared, and not for a card's own.
    let limit = |machine: Machine| {
        machine
            .file("/sys/fs/cgroup/memory.max", "8000000000\n")
            .file("/sys/fs/cgroup/memory.current", "1000000000\n")
    };
    assert_eq!(memory(&limit(jetson_orin())).available, 7_000_000_000);
    assert_eq!(memory(&limit(grace_hopper())).available, 95_000_000_000);
}

/// A Jetson's GPU is on no bus; before JetPack is installed only the device tree shows it.
#[test]
fn arm64_cuda_is_seen_without_a_bus_and_a_driver() {
    let mut machine = Machine::new("linux", "arm64").file(
        "/proc/device-tree/compatible",
        "nvidia,p3768-0000\0nvidia,tegra234\0",
    );
    machine.built.push(GpuBackendKind::Cuda);
    cuda(&machine, BackendState::NoDriver, &["no driver", "JetPack"]);
}

#[test]
fn arm64_metal_may_use_what_metal_recommends() {
    let found = of(&mac());
    assert_eq!(found.kind, GpuBackendKind::Metal);
    let metal = found.of_kind(GpuBackendKind::Metal).unwrap();
    assert_eq!(metal.name.as_deref(), Some("Apple M3 Max"));
    let memory = metal.memory.unwrap();
    assert_eq!(memory.total, 27_000_000_000);
    assert_eq!(memory.available, 20_000_000_000);
    assert_eq!(memory.limit, Some(27_000_000_000));
    assert!(memory.unified);
    let cuda = found.of_kind(GpuBackendKind::Cuda).unwrap();
    assert_eq!(cuda.state, BackendState::NoDevice);
}

#[test]
fn arm64_metal_is_told_where_it_is_not_to_be_had() {
    let metal = |machine: &Machine| {
        let found = of(machine);
        let metal = found.of_kind(GpuBackendKind::Metal).unwrap();
        assert_ne!(found.kind, GpuBackendKind::Metal);
        (metal.state, metal.reason.clone(), metal.remedy.clone())
    };
    let mut machine = mac();
    machine.metal = None;
    assert_eq!(metal(&machine).0, BackendState::Refused);
    machine.built.clear();
    let (state, _, remedy) = metal(&machine);
    assert_eq!((state, remedy.is_some()), (BackendState::NotBuilt, true));
    machine.architecture = "x86_64";
    assert_eq!(metal(&machine).0, BackendState::NoDevice);
    machine.sysctls.insert("sysctl.proc_translated", "1");
    let (state, reason, remedy) = metal(&machine);
    assert_eq!(state, BackendState::NotBuilt);
    assert!(reason.contains("Rosetta") && remedy.unwrap().contains("Apple Silicon"));
}

/// Whatever this machine is, each kind is told with a reason.
#[test]
fn every_backend_says_why() {
    let found = GpuBackend::detect();
    let kinds: Vec<_> = found.backends.iter().map(|backend| backend.kind).collect();
    assert_eq!(kinds, GpuBackendKind::ALL);
    assert!(
        found
            .backends
            .iter()
            .all(|backend| !backend.reason.is_empty())
    );
    assert!(found.of_kind(found.kind).unwrap().is_ready());
}
