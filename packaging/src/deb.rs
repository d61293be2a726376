//! The Debian package: the common tree, and WebKitGTK from the system.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::elf;
use crate::libraries::Source;
use crate::tree::{self, Parts, write};
use crate::{At, Error, Result};

/// Which package of Debian 12 and later, and of Ubuntu 24.04 and later by what they provide, has a
/// library. The same names serve every machine.
const PACKAGES: [(&str, &str); 16] = [
    ("libcairo-gobject.so.2", "libcairo-gobject2"),
    ("libcairo.so.2", "libcairo2"),
    ("libdbus-1.so.3", "libdbus-1-3"),
    ("libgcc_s.so.1", "libgcc-s1"),
    ("libgdk-3.so.0", "libgtk-3-0"),
    ("libgdk_pixbuf-2.0.so.0", "libgdk-pixbuf-2.0-0"),
    ("libgio-2.0.so.0", "libglib2.0-0"),
    ("libglib-2.0.so.0", "libglib2.0-0"),
    ("libgobject-2.0.so.0", "libglib2.0-0"),
    ("libgtk-3.so.0", "libgtk-3-0"),
    (
        "libjavascriptcoregtk-4.1.so.0",
        "libjavascriptcoregtk-4.1-0",
    ),
    ("libpango-1.0.so.0", "libpango-1.0-0"),
    ("libsoup-3.0.so.0", "libsoup-3.0-0"),
    ("libstdc++.so.6", "libstdc++6"),
    ("libwebkit2gtk-4.1.so.0", "libwebkit2gtk-4.1-0"),
    ("libxdo.so.3", "libxdo3"),
];

/// Makes the package in `out`, working in `work`, which must be new.
pub fn make(parts: &Parts, work: &Path, out: &Path) -> Result<PathBuf> {
    let folder = work.join("deb");
    tree::lay(parts, &folder)?;
    tree::check(parts, &folder)?;
    let programs = tree::NAMES.map(|name| parts.programs.join(name));
    let machine = parts.root.machine().debian();
    let control = control(
        &parts.version,
        machine,
        &depends(&programs)?,
        size(&folder)?,
    );
    write(&folder.join("DEBIAN/control"), &control)?;
    tree::make(out)?;
    let whole = out.join(format!("attune_{}_{machine}.deb", parts.version));
    let fresh = whole.with_extension("deb.new");
    let mut build = Command::new("dpkg-deb");
    build
        .args(["--root-owner-group", "-Zxz", "--build"])
        .arg(&folder)
        .arg(&fresh);
    tree::run(&mut build)?;
    fs::rename(&fresh, &whole).at("cannot make", &whole)?;
    Ok(whole)
}

/// Packages of the libraries that `programs` name, and the glibc they need.
fn depends(programs: &[PathBuf]) -> Result<BTreeSet<String>> {
    let mut depends = BTreeSet::new();
    let mut glibc = None;
    for program in programs {
        let elf = elf::read(program)?
            .ok_or_else(|| Error::new(format!("{} is no program", program.display())))?;
        glibc = glibc.max(elf.glibc);
        for name in elf.needed {
            match PACKAGES.iter().find(|(library, _)| *library == name) {
                Some((_, package)) => depends.insert((*package).to_owned()),
                None if Source::of(&name) == Source::System => false,
                None => {
                    return Err(Error::new(format!(
                        "{} needs {name}, whose package is not known",
                        program.display()
                    ))
                    .hint("Add it to PACKAGES in packaging/src/deb.rs; `dpkg -S` knows it."));
                }
            };
        }
    }
    if let Some((major, minor)) = glibc {
        depends.insert(format!("libc6 (>= {major}.{minor})"));
    }
    Ok(depends)
}

fn control(version: &str, machine: &str, depends: &BTreeSet<String>, kibibytes: u64) -> String {
    let depends: Vec<&str> = depends.iter().map(String::as_str).collect();
    format!(
        "Package: attune
Version: {version}
Architecture: {machine}
Maintainer: The Attune authors <attune@localhost>
Installed-Size: {kibibytes}
Depends: {}
Recommends: librsvg2-common, fonts-dejavu-core | fonts-freefont-ttf, xdg-desktop-portal, gnome-keyring | kwalletmanager
Section: science
Priority: optional
Description: tunes language models on this machine
 Drop in a dataset, pick a model, tune it, watch it learn, judge it, chat with
 it, take it away. One program: no Python, no server, nothing fetched but the
 model you choose. The same program for the terminal is called attune.
",
        depends.join(", ")
    )
}

/// KiB of the files below `folder`.
fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for file in tree::files(folder)? {
        bytes += fs::metadata(&file).at("cannot read", &file)?.len();
    }
    Ok(bytes.div_ceil(1024))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_a_program_links_becomes_what_its_package_depends_on() {
        let depends = depends(&[std::env::current_exe().unwrap()]).unwrap();
        assert!(depends.contains("libgcc-s1"), "{depends:?}");
        assert!(
            depends
                .iter()
                .any(|package| package.starts_with("libc6 (>= 2.")),
            "{depends:?}"
        );
        let text = control("1.2.3", "arm64", &depends, 4);
        assert!(
            text.contains("\nDepends: libc6 (>= 2.") && text.contains("\nArchitecture: arm64\n")
        );
    }
}
