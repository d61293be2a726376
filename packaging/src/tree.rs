//! What every package holds: programs, their launcher, and how a desktop finds them.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::elf::{self, Glibc};
use crate::root::Root;
use crate::system::{CUDA, LAUNCHER, PROGRAMS};
use crate::{At, Error, Result};

/// The identifier of the desktop entry, the icons and the metadata.
pub const ID: &str = "org.attune.studio";

/// The programs, each perhaps in two builds.
pub const NAMES: [&str; 2] = ["attune", "attune-desktop"];

/// The newest glibc that a package may need: Debian 12's.
pub const FLOOR: Glibc = (2, 36);

/// What a package is made of.
#[derive(Debug)]
pub struct Parts {
    /// The repository: icons, metadata, licence.
    pub source: PathBuf,
    /// Folder of the CPU build.
    pub programs: PathBuf,
    /// Folder of the CUDA build, if it is packed too.
    pub cuda: Option<PathBuf>,
    /// Folder of `attune-launch` and `attune-runtime`, compiled for the package's machine.
    pub fronts: PathBuf,
    /// Where libraries are taken from.
    pub root: Root,
    /// The program's version.
    pub version: String,
}

/// Lays the common files out in `folder`, which must be new.
pub fn lay(parts: &Parts, folder: &Path) -> Result<()> {
    let programs = folder.join(PROGRAMS);
    make(&programs)?;
    copy(
        &parts.fronts.join("attune-launch"),
        &programs.join(LAUNCHER),
        0o755,
    )?;
    let bin = folder.join("usr/bin");
    make(&bin)?;
    for name in NAMES {
        copy(&parts.programs.join(name), &programs.join(name), 0o755)?;
        if let Some(cuda) = &parts.cuda {
            copy(
                &cuda.join(name),
                &programs.join(format!("{name}{CUDA}")),
                0o755,
            )?;
        }
        link(&format!("../lib/attune/{LAUNCHER}"), &bin.join(name))?;
    }
    let share = folder.join("usr/share");
    let linux = parts.source.join("packaging/linux");
    for (file, place) in [
        (format!("{ID}.desktop"), "applications"),
        (format!("{ID}.metainfo.xml"), "metainfo"),
        (format!("{ID}.xml"), "mime/packages"),
    ] {
        copy(&linux.join(&file), &share.join(place).join(&file), 0o644)?;
    }
    let icons = parts.source.join("icons");
    let sizes = ["32x32", "64x64", "128x128", "128x128@2x", "icon"];
    let places = ["32x32", "64x64", "128x128", "256x256", "512x512"];
    for (file, size) in sizes.into_iter().zip(places) {
        let to = share.join(format!("icons/hicolor/{size}/apps/{ID}.png"));
        copy(&icons.join(format!("{file}.png")), &to, 0o644)?;
    }
    let scalable = share.join(format!("icons/hicolor/scalable/apps/{ID}.svg"));
    copy(&icons.join("attune.svg"), &scalable, 0o644)?;
    copy(
        &parts.source.join("LICENSE"),
        &share.join("doc/attune/copyright"),
        0o644,
    )?;
    // What the crates inside ask to be told.
    let licences = parts
        .source
        .join("src-tauri/crates/studio/assets/licences.json");
    copy(&licences, &share.join("doc/attune/licences.json"), 0o644)
}

/// Every ELF file below `folder` is for the machine and needs no newer glibc than the floor; the
/// newest that is needed, and by whom.
pub fn check(parts: &Parts, folder: &Path) -> Result<Option<(Glibc, PathBuf)>> {
    let mut newest = None;
    for file in files(folder)? {
        let Some(elf) = elf::read(&file)? else {
            continue;
        };
        if elf.machine != Some(parts.root.machine()) {
            let machine = parts.root.machine().name();
            return Err(Error::new(format!(
                "{} is not for {machine}",
                file.display()
            )));
        }
        if elf.glibc > newest.as_ref().map(|(glibc, _)| *glibc) {
            newest = elf.glibc.map(|glibc| (glibc, file));
        }
    }
    match newest {
        Some((glibc, file)) if glibc > FLOOR => Err(Error::new(format!(
            "{} needs glibc {}.{}, and Attune promises to run on {}.{}",
            file.display(), glibc.0, glibc.1, FLOOR.0, FLOOR.1
        ))
        .hint("Build on Debian 12, or change the promise in packaging/src/tree.rs and docs/releasing.md.")),
        newest => Ok(newest),
    }
}

/// The plain files below `folder`, sorted.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).at("cannot read", &folder)? {
            let entry = entry.at("cannot read", &folder)?;
            let kind = entry.file_type().at("cannot read", &entry.path())?;
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Makes a folder and those above it.
pub fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).at("cannot make", folder)
}

/// Copies a file's contents and gives it a mode; folders above it are made.
pub fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    if let Some(folder) = to.parent() {
        make(folder)?;
    }
    fs::copy(from, to).at("cannot copy", from)?;
    fs::set_permissions(to, Permissions::from_mode(mode)).at("cannot set up", to)
}

/// Writes a text file; folders above it are made.
pub fn write(to: &Path, text: &str) -> Result<()> {
    if let Some(folder) = to.parent() {
        make(folder)?;
    }
    fs::write(to, text).at("cannot write", to)?;
    fs::set_permissions(to, Permissions::from_mode(0o644)).at("cannot set up", to)
}

/// Makes a link.
pub fn link(to: &str, at: &Path) -> Result<()> {
    symlink(to, at).at("cannot make", at)
}

/// Runs a tool that packages are made with.
pub fn run(command: &mut std::process::Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(Error::new(format!(
            "{name} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
        Err(source) => Err(Error::new(format!("cannot start {name}: {source}"))
            .hint("`make package` installs what it needs; or install squashfs-tools, libglib2.0-bin and dpkg.")),
    }
}
