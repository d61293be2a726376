//! What detection asks of a machine: files below a root, and calls that no file answers. Tests
//! answer from folders, for machines that are not at hand.

use std::fs;
use std::path::{Path, PathBuf};

use crate::api::{GpuBackendKind, Memory};
use attune_engine::MetalFacts;

/// A machine as detection sees it.
pub(crate) struct Probe<'a> {
    /// Where `/proc`, `/sys` and `/dev` lie.
    root: PathBuf,
    /// `linux` or `macos`.
    pub(super) system: &'a str,
    /// `arm64` or `x86_64`, of this program.
    pub(super) architecture: &'a str,
    /// What no file answers.
    pub(super) calls: &'a dyn Calls,
}

/// Questions to the system and its drivers.
pub(crate) trait Calls {
    /// Apple's `sysctl` by its name, a number as text.
    fn sysctl(&self, name: &str) -> Option<String>;
    /// Whether a shared library can be opened, by a path or by a name that the loader looks up.
    fn opens(&self, library: &Path) -> bool;
    /// A variable of the environment that is set and not empty.
    fn variable(&self, name: &str) -> Option<String>;
    /// What NVIDIA's driver says of itself and of the first device.
    fn cuda(&self) -> Result<CudaFacts, CudaRefusal>;
    /// What Metal says of the first device.
    fn metal(&self) -> Option<MetalFacts>;
    /// Whether this build computes on such a device.
    fn is_built(&self, kind: GpuBackendKind) -> bool;
    /// The machine's memory, whatever a container allows of it.
    fn memory(&self) -> Memory;
}

/// What NVIDIA's driver says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CudaFacts {
    /// The newest CUDA it serves: 1000 · major + 10 · minor.
    pub(crate) version: u32,
    /// The first device; none where there is none.
    pub(crate) device: Option<CudaDevice>,
}

/// An NVIDIA GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CudaDevice {
    /// `NVIDIA H100 80GB HBM3`
    pub(crate) name: String,
    /// Compute capability, major and minor.
    pub(crate) capability: (i32, i32),
    /// Whether it has no memory of its own.
    pub(crate) integrated: bool,
    /// Bytes free and in all; the driver's refusal where no work can be started on it.
    pub(crate) memory: Result<(u64, u64), CudaRefusal>,
}

/// Why NVIDIA's driver says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CudaRefusal {
    /// libcuda cannot be opened, or is none.
    NoLibrary,
    /// A call returned this `CUresult`.
    Code(i32),
}

impl<'a> Probe<'a> {
    /// A machine whose files lie below `root`.
    pub(super) fn new(
        root: impl Into<PathBuf>,
        system: &'a str,
        architecture: &'a str,
        calls: &'a dyn Calls,
    ) -> Self {
        Self {
            root: root.into(),
            system,
            architecture,
            calls,
        }
    }

    /// The file at an absolute path of the machine.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// A file's words, without the zeros and line ends around them; none where it is empty.
    pub(super) fn read(&self, path: &str) -> Option<String> {
        read(&self.path(path))
    }

    /// The entries of a folder, in the order of their names.
    pub(super) fn entries(&self, path: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path(path))
            .into_iter()
            .flatten()
            .flatten();
        let mut entries: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        entries.sort();
        entries
    }
}

/// As [`Probe::read`], of a path on this disk. The device tree's texts need not be UTF-8.
pub(super) fn read(path: &Path) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_matches(|one: char| one == '\0' || one.is_whitespace());
    (!text.is_empty()).then(|| text.to_owned())
}
