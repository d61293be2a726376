//! The libraries of NVIDIA's toolkit that the CUDA build names, and where they are looked for.
//!
//! cudarc with the features candle gives it links cuBLAS, cuBLASLt, cuRAND and NVRTC
//! (`cudarc-0.19.10/build.rs`, `dynamic_linking`), candle's kernels link the runtime
//! (`candle-kernels-0.11.1/build.rs`). Nothing is opened later: a program that lacks one of them
//! does not start, and the launcher starts the CPU build in its place, which asks here why.

use std::path::PathBuf;

use super::probe::Probe;

/// A library, by the one name under which a program that links it finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Library {
    /// `libcublas.so.13`: the loader takes no other, not even `libcublas.so`.
    pub(super) file: String,
    /// NVIDIA's package that holds it, for apt and for dnf.
    pub(super) package: String,
}

/// What a program built with that CUDA names, `version` being 1000 · major + 10 · minor. The driver
/// is not among them.
pub(super) fn of_toolkit(version: u32) -> [Library; 5] {
    let (major, minor) = (version / 1000, version % 1000 / 10);
    let library = |file: String, package: &str| Library {
        file,
        package: format!("{package}-{major}-{minor}"),
    };
    [
        library(format!("libcublas.so.{major}"), "libcublas"),
        library(format!("libcublasLt.so.{major}"), "libcublas"),
        // Counts by itself: CUDA 11, 12 and 13 all have the tenth.
        library("libcurand.so.10".to_owned(), "libcurand"),
        library(format!("libnvrtc.so.{major}"), "cuda-nvrtc"),
        library(format!("libcudart.so.{major}"), "cuda-cudart"),
    ]
}

/// Those of [`of_toolkit`] that no place has: neither the loader's (`LD_LIBRARY_PATH`, which in an
/// AppImage begins with its own folder, ldconfig's cache, the system's folders) nor the folders
/// that the launcher adds to them.
pub(super) fn missing(probe: &Probe<'_>, version: u32) -> Vec<Library> {
    let folders = toolkit_folders(probe);
    let mut libraries = of_toolkit(version).to_vec();
    libraries.retain(|library| {
        let opens = |folder: &PathBuf| probe.calls.opens(&folder.join(&library.file));
        !probe.calls.opens(library.file.as_ref()) && !folders.iter().any(opens)
    });
    libraries
}

/// Where toolkits leave their libraries without telling the loader, as the launcher searches them
/// (`packaging/src/launch.rs`, `cuda_folders`).
fn toolkit_folders(probe: &Probe<'_>) -> Vec<PathBuf> {
    // Servers and, since JetPack 7.2, every Jetson; before that a Jetson had a folder of its own.
    let targets: &[&str] = match probe.architecture {
        "arm64" => &["sbsa-linux", "aarch64-linux"],
        _ => &["x86_64-linux"],
    };
    let named = ["CUDA_HOME", "CUDA_PATH"];
    let named = named.iter().find_map(|name| probe.calls.variable(name));
    let toolkits = named.into_iter().chain(["/usr/local/cuda".to_owned()]);
    let mut folders = Vec::new();
    for toolkit in toolkits {
        let toolkit = probe.path(&toolkit);
        folders.push(toolkit.join("lib64"));
        let libraries = |target| toolkit.join("targets").join(target).join("lib");
        folders.extend(targets.iter().map(libraries));
    }
    folders.push(probe.path("/usr/lib/wsl/lib"));
    folders
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::machines::{Machine, dgx_spark, jetson_orin, workstation};
    use super::*;

    fn files(libraries: &[Library]) -> Vec<&str> {
        let files = libraries.iter().map(|library| library.file.as_str());
        files.collect()
    }

    fn missing_on(machine: &Machine) -> Vec<String> {
        let missing = missing(&machine.probe(), 13_000);
        files(&missing).into_iter().map(str::to_owned).collect()
    }

    /// All of them as files below a folder of the machine.
    fn installed(machine: Machine, folder: &str) -> Machine {
        let all = of_toolkit(13_000);
        files(&all).iter().fold(machine, |machine, file| {
            machine.file(&format!("{folder}/{file}"), "ELF")
        })
    }

    /// A machine whose loader finds none.
    fn bare(mut machine: Machine) -> Machine {
        machine.libraries.clear();
        machine
    }

    #[test]
    fn every_toolkit_has_its_own_names() {
        let twelve = of_toolkit(12_060);
        assert_eq!(
            files(&twelve),
            [
                "libcublas.so.12",
                "libcublasLt.so.12",
                "libcurand.so.10",
                "libnvrtc.so.12",
                "libcudart.so.12"
            ]
        );
        assert_eq!(twelve[3].package, "cuda-nvrtc-12-6");
        let thirteen = of_toolkit(13_000);
        assert_eq!(files(&thirteen)[4], "libcudart.so.13");
        assert_eq!(thirteen[0].package, "libcublas-13-0");
    }

    #[test]
    fn toolkits_are_searched_where_they_lie() {
        for folder in [
            "/usr/local/cuda/lib64",
            "/usr/local/cuda/targets/x86_64-linux/lib",
            "/usr/lib/wsl/lib",
        ] {
            let machine = bare(workstation());
            assert_eq!(missing_on(&machine).len(), 5);
            let machine = installed(machine, folder);
            assert!(missing_on(&machine).is_empty(), "{folder}");
        }
        // Another processor's libraries are none of this one's.
        let other = installed(
            bare(workstation()),
            "/usr/local/cuda/targets/sbsa-linux/lib",
        );
        assert_eq!(missing_on(&other).len(), 5);
    }

    #[test]
    fn arm64_cuda_toolkits_are_searched_where_they_lie() {
        for (machine, folder) in [
            (dgx_spark(), "/usr/local/cuda/targets/sbsa-linux/lib"),
            (jetson_orin(), "/usr/local/cuda/targets/aarch64-linux/lib"),
            (jetson_orin(), "/usr/local/cuda/lib64"),
        ] {
            let machine = bare(machine);
            assert_eq!(missing_on(&machine).len(), 5);
            let machine = installed(machine, folder);
            assert!(missing_on(&machine).is_empty(), "{folder}");
        }
    }

    #[test]
    fn a_toolkit_that_a_variable_names_is_searched() {
        let mut machine = installed(bare(workstation()), "/opt/nvidia/lib64");
        assert_eq!(missing_on(&machine).len(), 5);
        machine.variables.insert("CUDA_PATH", "/opt/nvidia");
        assert!(missing_on(&machine).is_empty());
        // As the launcher: the first of the two that is set.
        machine.variables.insert("CUDA_HOME", "/elsewhere");
        assert_eq!(missing_on(&machine).len(), 5);
    }

    /// What the loader knows and what a toolkit has add up, and nothing else stands for a name.
    #[test]
    fn one_name_is_found_in_one_place() {
        let mut machine = bare(workstation())
            .file("/usr/local/cuda/lib64/libcudart.so.13", "ELF")
            .file("/usr/local/cuda/lib64/libnvrtc.so.12", "ELF");
        machine
            .libraries
            .extend(["libcublas.so.13", "libcublasLt.so.13", "libcurand.so"]);
        assert_eq!(missing_on(&machine), ["libcurand.so.10", "libnvrtc.so.13"]);
    }

    /// What the program that runs has loaded of the toolkit, by itself or for another of these.
    #[test]
    #[cfg_attr(
        not(feature = "cuda"),
        ignore = "requires an NVIDIA GPU and the feature `cuda`"
    )]
    fn requires_cuda_to_see_what_the_program_links() {
        attune_engine::GpuBackendKind::Cuda.open().unwrap();
        let checked = of_toolkit(attune_engine::CUDA_VERSION);
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let loaded = maps.lines().filter_map(|line| line.rsplit_once('/'));
        let mut of_the_toolkit = 0;
        for (_, file) in loaded {
            let stem = file.split(".so").next().unwrap_or_default();
            if !(stem.starts_with("libcu") || stem.starts_with("libnv"))
                || stem.starts_with("libcuda")
                // The driver's own.
                || stem.starts_with("libnvidia")
            {
                continue;
            }
            of_the_toolkit += 1;
            // `libcublas.so.13.1.0.3` is what `libcublas.so.13` links to.
            let names = |library: &Library| file.starts_with(&library.file);
            assert!(checked.iter().any(names), "{file} is not checked");
        }
        assert!(of_the_toolkit > 0);
    }
}
