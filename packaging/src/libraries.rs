//! Which libraries a package brings, and which it leaves to the system.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use crate::elf;
use crate::root::Root;
use crate::{Error, Result};

/// Where a library comes from when the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Always the system: glibc with its loader, CUDA with its driver.
    System,
    /// The system if it has one, else the package: it goes with the drivers or the display.
    SystemFirst,
    /// The package.
    Package,
}

/// glibc and its loader. A star stands for any ending.
const SYSTEM: &[&str] = &[
    "ld-linux*",
    "libc",
    "libm",
    "libdl",
    "libpthread",
    "librt",
    "libresolv",
    "libutil",
    "libanl",
    "libnss_*",
    "libthread_db",
    "libmvec",
    "libBrokenLocale",
];

/// Drivers, their dispatchers and what drivers load; the display's protocols; fonts, which are set
/// up by the system's files.
const SYSTEM_FIRST: &[&str] = &[
    "libGL*",
    "libEGL*",
    "libOpenGL*",
    "libglapi",
    "libgbm",
    "libdrm*",
    "libva*",
    "libvulkan*",
    "libLLVM*",
    "libsensors",
    "libX*",
    "libxcb*",
    "libxshmfence",
    "libxkbcommon*",
    "libICE",
    "libSM",
    "libwayland-*",
    "libfontconfig",
    "libfreetype",
    "libexpat",
    "libz",
    "libzstd",
    "libelf",
    "libstdc++",
    "libgcc_s",
    "libasound",
    "libpulse*",
    "libpipewire-*",
    "libjack*",
    "libusb-*",
    "libudev",
    "libsystemd",
    "libgpg-error",
];

/// CUDA comes with the driver and its toolkit, or the CUDA build is not started.
const CUDA: &[&str] = &[
    "libcuda",
    "libcublas*",
    "libcurand",
    "libnvrtc*",
    "libcudart*",
];

impl Source {
    /// Of the library called `name`.
    pub fn of(name: &str) -> Self {
        let stem = name.split_once(".so").map_or(name, |(stem, _)| stem);
        let listed = |list: &[&str]| {
            list.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(beginning) => stem.starts_with(beginning),
                None => stem == *pattern,
            })
        };
        if listed(SYSTEM) || listed(CUDA) {
            Self::System
        } else if listed(SYSTEM_FIRST) {
            Self::SystemFirst
        } else {
            Self::Package
        }
    }
}

/// The libraries that `files` need, and those that these need, by name: from where, and the file.
pub fn closure(root: &Root, files: &[PathBuf]) -> Result<BTreeMap<String, (Source, PathBuf)>> {
    let mut found = BTreeMap::new();
    let mut pending: VecDeque<PathBuf> = files.iter().cloned().collect();
    while let Some(file) = pending.pop_front() {
        let Some(elf) = elf::read(&file)? else {
            continue;
        };
        if elf.machine != Some(root.machine()) {
            return Err(Error::new(format!(
                "{} is no program or library for {}",
                file.display(),
                root.machine().name()
            )));
        }
        let origin = file.parent().unwrap_or(Path::new("/"));
        for name in &elf.needed {
            let source = Source::of(name);
            if source == Source::System || found.contains_key(name) {
                continue;
            }
            let library = root.library(name, &elf, origin)?;
            found.insert(name.clone(), (source, library.clone()));
            pending.push_back(library);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_are_the_systems_and_webkit_is_ours() {
        for name in [
            "libc.so.6",
            "ld-linux-x86-64.so.2",
            "ld-linux-aarch64.so.1",
            "libm.so.6",
            "libpthread.so.0",
            "libcublasLt.so.12",
        ] {
            assert_eq!(Source::of(name), Source::System, "{name}");
        }
        for name in [
            "libGLX.so.0",
            "libEGL.so.1",
            "libX11-xcb.so.1",
            "libxcb-shm.so.0",
            "libwayland-client.so.0",
            "libz.so.1",
            "libstdc++.so.6",
            "libdrm.so.2",
        ] {
            assert_eq!(Source::of(name), Source::SystemFirst, "{name}");
        }
        for name in [
            "libwebkit2gtk-4.1.so.0",
            "libcairo.so.2",
            "libmount.so.1",
            "libxml2.so.2",
            "libzip.so.4",
            "libcap.so.2",
            "libgtk-3.so.0",
            "libmanette-0.2.so.0",
        ] {
            assert_eq!(Source::of(name), Source::Package, "{name}");
        }
    }
}
