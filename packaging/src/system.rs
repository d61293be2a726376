//! What the packer and the launcher must agree on: the shape of the packed tree and of the systems
//! it meets.

use std::path::{Path, PathBuf};

/// Below the root of a package, where the programs and their launcher are.
pub const PROGRAMS: &str = "usr/lib/attune";

/// The launcher's name there. `usr/bin/attune` and `usr/bin/attune-desktop` are links to it.
pub const LAUNCHER: &str = "launch";

/// Below [`PROGRAMS`], libraries for systems that have none of their own: they go with the
/// system's drivers or display, so that the system's are better wherever there are any.
pub const FALLBACK: &str = "fallback";

/// Appended to the name of a program of the CUDA build.
pub const CUDA: &str = "-cuda";

/// A machine that packages are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// 64-bit PCs.
    X86_64,
    /// 64-bit ARM.
    Aarch64,
}

impl Machine {
    /// The one this program was compiled for.
    pub const HERE: Self = if cfg!(target_arch = "aarch64") {
        Self::Aarch64
    } else {
        Self::X86_64
    };

    /// As `uname -m` calls it.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "x86_64" | "amd64" => Some(Self::X86_64),
            "aarch64" | "arm64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// As `uname -m` and AppImages call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// As Debian calls it.
    pub fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// Debian's folder of its libraries.
    pub fn triple(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-linux-gnu",
            Self::Aarch64 => "aarch64-linux-gnu",
        }
    }

    /// Folders of a system's own libraries that are there, in the order in which they are searched.
    pub fn library_folders(self, root: &Path) -> Vec<PathBuf> {
        let triple = self.triple();
        let folders = [
            format!("usr/lib/{triple}"),
            format!("lib/{triple}"),
            "usr/lib64".into(),
            "lib64".into(),
            "usr/lib".into(),
            "lib".into(),
        ];
        folders
            .into_iter()
            .map(|folder| root.join(folder))
            .filter(|folder| folder.is_dir())
            .collect()
    }
}
