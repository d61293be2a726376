//! The AppImage: the runtime, told what lies behind it, and a squashfs image of the AppDir.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::payload::{Payload, SECTION};
use crate::tree::{self, Parts};
use crate::{At, Error, Result, appdir, elf};

/// Makes the AppImage in `out`, working in `work`, which must be new.
pub fn make(parts: &Parts, work: &Path, out: &Path) -> Result<PathBuf> {
    let appdir = appdir::folder(work);
    appdir::build(parts, &appdir)?;
    tree::check(parts, &appdir)?;
    let image = work.join("image.squashfs");
    squash(&appdir, &image)?;
    let name = format!(
        "Attune-{}-{}.AppImage",
        parts.version,
        parts.root.machine().name()
    );
    let whole = out.join(&name);
    let fresh = out.join(format!("{name}.new"));
    tree::make(out)?;
    join(&parts.fronts.join("attune-runtime"), &image, &fresh)?;
    fs::rename(&fresh, &whole).at("cannot make", &whole)?;
    Ok(whole)
}

/// `SOURCE_DATE_EPOCH`, if set, becomes the time of every file in it.
fn squash(appdir: &Path, image: &Path) -> Result<()> {
    let mut command = Command::new("mksquashfs");
    command.arg(appdir).arg(image).args([
        "-root-owned",
        "-noappend",
        "-no-xattrs",
        "-no-progress",
        "-quiet",
        "-comp",
        "zstd",
        "-Xcompression-level",
        "15",
        "-b",
        "262144",
    ]);
    tree::run(&mut command)
}

/// Puts the image behind the runtime and tells the runtime of it.
pub fn join(runtime: &Path, image: &Path, to: &Path) -> Result<()> {
    let mut head = fs::read(runtime).at("cannot read", runtime)?;
    let (place, length) = elf::section(&head, SECTION)
        .map_err(|error| Error::new(format!("{} is no runtime: {error}", runtime.display())))?;
    // Other tools look for the image where the ELF file ends.
    let end = elf::end(&head)?;
    if end != head.len() as u64 {
        return Err(Error::new(format!(
            "{} has {} bytes and ends at {end}",
            runtime.display(),
            head.len()
        )));
    }
    let mut behind = File::open(image).at("cannot read", image)?;
    let payload = Payload::of(&mut behind, 0).at("cannot read", image)?;
    let payload = Payload {
        offset: end,
        ..payload
    };
    let bytes = payload.to_bytes();
    if bytes.len() != length {
        return Err(Error::new(format!(
            "{} was made by another version",
            runtime.display()
        )));
    }
    head[place..place + length].copy_from_slice(&bytes);
    // "AI", type 2: what makes an ELF file an AppImage to desktops.
    head[8..11].copy_from_slice(b"AI\x02");
    fs::write(to, &head).at("cannot write", to)?;
    let mut whole = OpenOptions::new()
        .append(true)
        .open(to)
        .at("cannot write", to)?;
    let mut image_file = File::open(image).at("cannot read", image)?;
    io::copy(&mut image_file, &mut whole).at("cannot write", to)?;
    whole.sync_all().at("cannot write", to)?;
    fs::set_permissions(to, Permissions::from_mode(0o755)).at("cannot set up", to)
}
