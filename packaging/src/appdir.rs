//! The folder inside an AppImage: the common tree, WebKitGTK and every library that a bare system
//! lacks, taken from a root and never run, so that another machine's is packed like this one's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::libraries::{self, Source};
use crate::system::{FALLBACK, LAUNCHER, PROGRAMS};
use crate::tree::{self, ID, Parts, copy, link, make, write};
use crate::{At, Error, Result};

/// Where WebKit's own programs are, below the folder of libraries.
const WEBKIT: &str = "webkit2gtk-4.1";

/// Loaded by name while the program runs, so that no list of needed libraries has them.
const MODULES: [&str; 3] = [
    "gdk-pixbuf-2.0/2.10.0/loaders/libpixbufloader-svg.so",
    "gtk-3.0/3.0.0/immodules/im-wayland.so",
    "gtk-3.0/3.0.0/immodules/im-xim.so",
];

/// The settings of GNOME: without it the window cannot know the person's theme. Other modules of
/// this kind serve networks, and the window has none.
const SETTINGS: &str = "gio/modules/libdconfsettings.so";

/// Mesa's imitation of a graphics processor. WebKit ends itself where there is no EGL at all, and a
/// system without a desktop of its own, shown elsewhere, has none.
const IMITATION: [&str; 4] = [
    "libEGL_mesa.so.0",
    "libGLESv2.so.2",
    "libGL.so.1",
    "dri/swrast_dri.so",
];

/// Builds the folder, which must be new.
pub fn build(parts: &Parts, appdir: &Path) -> Result<()> {
    tree::lay(parts, appdir)?;
    let from = parts.root.libraries();
    let to = appdir.join("usr/lib").join(parts.root.machine().triple());

    let mut loaded = vec![parts.programs.join("attune-desktop")];
    let fallback = appdir.join(PROGRAMS).join(FALLBACK);
    let mut take = |below: &str, to: &Path| -> Result<()> {
        let file = parts
            .root
            .resolve(&from.join(below))
            .ok_or_else(|| missing(&from.join(below)))?;
        copy(&file, &to.join(below), 0o755)?;
        loaded.push(file);
        Ok(())
    };
    for helper in [
        "WebKitNetworkProcess",
        "WebKitWebProcess",
        "injected-bundle/libwebkit2gtkinjectedbundle.so",
    ] {
        take(&format!("{WEBKIT}/{helper}"), &to)?;
    }
    // Younger versions draw in a process of their own.
    let optional = format!("{WEBKIT}/WebKitGPUProcess");
    for below in [optional.as_str(), SETTINGS] {
        if from.join(below).exists() {
            take(below, &to)?;
        }
    }
    for below in MODULES {
        take(below, &to)?;
    }
    for below in IMITATION {
        take(below, &fallback)?;
    }
    let vendor = parts.root.join("usr/share/glvnd/egl_vendor.d/50_mesa.json");
    copy(&vendor, &fallback.join("egl_vendor.d/50_mesa.json"), 0o644)?;
    for (name, (source, file)) in libraries::closure(&parts.root, &loaded)? {
        let folder = match source {
            Source::Package => &to,
            _ => &fallback,
        };
        copy(&file, &folder.join(name), 0o755)?;
    }

    relocate(parts, &to)?;
    let linux = parts.source.join("packaging/linux");
    let triple = parts.root.machine().triple();
    for (list, place) in [
        ("loaders.cache", "gdk-pixbuf-2.0/2.10.0/loaders.cache"),
        ("immodules.cache", "gtk-3.0/3.0.0/immodules.cache"),
    ] {
        let list = linux.join(list);
        let text = fs::read_to_string(&list).at("cannot read", &list)?;
        write(&to.join(place), &text.replace("TRIPLE", triple))?;
    }
    schemas(parts, &appdir.join("usr/share/glib-2.0/schemas"))?;
    fonts(parts, &appdir.join("usr/share/attune"))?;
    licences(parts, &appdir.join("usr/share/doc"))?;

    link(&format!("{PROGRAMS}/{LAUNCHER}"), &appdir.join("AppRun"))?;
    link(
        &format!("usr/share/applications/{ID}.desktop"),
        &appdir.join(format!("{ID}.desktop")),
    )?;
    let icon = format!("{ID}.png");
    link(
        &format!("usr/share/icons/hicolor/256x256/apps/{icon}"),
        &appdir.join(&icon),
    )?;
    link(&icon, &appdir.join(".DirIcon"))
}

/// WebKit has the folder of its programs compiled in. A path of the same length that begins where
/// the program starts takes its place.
fn relocate(parts: &Parts, libraries: &Path) -> Result<()> {
    let compiled = format!("/usr/lib/{}/{WEBKIT}", parts.root.machine().triple());
    let relative = compiled.replacen("/usr", "././", 1);
    let mut changed = 0;
    for file in tree::files(libraries)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if !(name.starts_with("libwebkit2gtk") || file.starts_with(libraries.join(WEBKIT))) {
            continue;
        }
        let mut bytes = fs::read(&file).at("cannot read", &file)?;
        let count = replace(&mut bytes, compiled.as_bytes(), relative.as_bytes())?;
        if count > 0 {
            fs::write(&file, bytes).at("cannot write", &file)?;
            changed += count;
        }
    }
    if changed == 0 {
        return Err(Error::new(format!(
            "WebKit does not name {compiled}, so it cannot be led to its own programs"
        )));
    }
    Ok(())
}

/// Replaces every `old` by `new`, which must be as long; how many there were.
fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) -> Result<usize> {
    if old.len() != new.len() {
        return Err(Error::new(format!(
            "{} and {} differ in length",
            old.escape_ascii(),
            new.escape_ascii()
        )));
    }
    let places: Vec<usize> = bytes
        .windows(old.len())
        .enumerate()
        .filter_map(|(place, found)| (found == old).then_some(place))
        .collect();
    for place in &places {
        bytes[*place..place + old.len()].copy_from_slice(new);
    }
    Ok(places.len())
}

/// Descriptions of GTK's settings, without which its dialogs end the program.
fn schemas(parts: &Parts, to: &Path) -> Result<()> {
    let from = parts.root.join("usr/share/glib-2.0/schemas");
    for entry in fs::read_dir(&from).at("cannot read", &from)? {
        let entry = entry.at("cannot read", &from)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = [
            "org.gtk.Settings.",
            "org.gnome.desktop.interface",
            "org.gnome.desktop.a11y",
            "org.gnome.desktop.enums",
            "org.gnome.desktop.privacy",
            "org.gnome.desktop.wm.preferences",
            "org.gnome.system.proxy",
        ];
        if ours.iter().any(|beginning| name.starts_with(beginning)) {
            copy(&entry.path(), &to.join(name), 0o644)?;
        }
    }
    tree::run(Command::new("glib-compile-schemas").arg("--strict").arg(to))
}

fn fonts(parts: &Parts, to: &Path) -> Result<()> {
    let from = parts.root.join("usr/share/fonts/truetype/dejavu");
    for name in [
        "DejaVuSans.ttf",
        "DejaVuSans-Bold.ttf",
        "DejaVuSansMono.ttf",
    ] {
        let font = from.join(name);
        if !font.exists() {
            return Err(missing(&font).hint("Install fonts-dejavu-core there."));
        }
        copy(&font, &to.join("fonts").join(name), 0o644)?;
    }
    copy(
        &parts.source.join("packaging/linux/fonts.conf"),
        &to.join("fonts.conf"),
        0o644,
    )
}

/// What Debian says of its libraries' licences; rather of some too many than of one too few.
fn licences(parts: &Parts, to: &Path) -> Result<()> {
    let from = parts.root.join("usr/share/doc");
    for entry in fs::read_dir(&from).at("cannot read", &from)? {
        let name = entry
            .at("cannot read", &from)?
            .file_name()
            .to_string_lossy()
            .into_owned();
        let library = (name.starts_with("lib") || name.starts_with("fonts-dejavu"))
            && !name.ends_with("-dev");
        let text = from.join(&name).join("copyright");
        if let (true, Some(text)) = (library, parts.root.resolve(&text)) {
            copy(&text, &to.join(name).join("copyright"), 0o644)?;
        }
    }
    make(to)
}

fn missing(file: &Path) -> Error {
    Error::new(format!("there is no {}", file.display()))
        .hint("Install libwebkit2gtk-4.1-0, libgtk-3-0, libgl1-mesa-dri, libegl-mesa0, librsvg2-common, dconf-gsettings-backend and fonts-dejavu-core there.")
}

/// Where an AppDir is built.
pub fn folder(work: &Path) -> PathBuf {
    work.join("Attune.AppDir")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_path_is_replaced_everywhere_and_only_by_one_of_its_length() {
        let mut bytes = b"\0/usr/lib/x\0/usr/lib/x/y\0/usr/li".to_vec();
        assert_eq!(
            replace(&mut bytes, b"/usr/lib/x", b"././lib/x/").unwrap(),
            2
        );
        assert_eq!(bytes, b"\0././lib/x/\0././lib/x//y\0/usr/li");
        assert!(replace(&mut bytes, b"/usr", b".").is_err());
    }
}
