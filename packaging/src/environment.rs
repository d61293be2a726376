//! What the window's program needs told when its libraries lie in a folder of their own.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::system::{FALLBACK, Machine, PROGRAMS};

/// Variables for the program in `appdir`. It must start in `appdir/usr`: the places that WebKit's
/// libraries have compiled in are patched to be relative to it.
pub fn of(appdir: &Path, root: &Path) -> Vec<(&'static str, OsString)> {
    let usr = appdir.join("usr");
    let libraries = usr.join("lib").join(Machine::HERE.triple());
    let path = |below: &str| libraries.join(below).into_os_string();
    let mut variables = vec![
        ("LD_LIBRARY_PATH", library_path(appdir, root)),
        ("GIO_MODULE_DIR", path("gio/modules")),
        (
            "GDK_PIXBUF_MODULE_FILE",
            path("gdk-pixbuf-2.0/2.10.0/loaders.cache"),
        ),
        ("GTK_IM_MODULE_FILE", path("gtk-3.0/3.0.0/immodules.cache")),
        (
            "GSETTINGS_SCHEMA_DIR",
            usr.join("share/glib-2.0/schemas").into_os_string(),
        ),
        (
            "XDG_DATA_DIRS",
            joined(
                &[usr.join("share")],
                "XDG_DATA_DIRS",
                "/usr/local/share:/usr/share",
            ),
        ),
        // The system's modules were made for the system's GTK and GStreamer.
        ("GTK_EXE_PREFIX", usr.clone().into_os_string()),
        ("GTK_PATH", path("gtk-3.0")),
        ("GST_PLUGIN_SYSTEM_PATH_1_0", path("gstreamer-1.0")),
    ];
    // WebKit ends itself when there is not one font.
    let fonts = root.join("etc/fonts/fonts.conf").exists() && root.join("usr/share/fonts").exists();
    if !fonts && env::var_os("FONTCONFIG_FILE").is_none() {
        let own = usr.join("share/attune/fonts.conf");
        variables.push(("FONTCONFIG_FILE", own.into_os_string()));
    }
    let vendors = ["usr/share/glvnd/egl_vendor.d", "etc/glvnd/egl_vendor.d"];
    let draws = vendors.iter().any(|folder| {
        fs::read_dir(root.join(folder)).is_ok_and(|mut entries| entries.next().is_some())
    });
    if !draws {
        let own = appdir.join(PROGRAMS).join(FALLBACK);
        variables.push((
            "__EGL_VENDOR_LIBRARY_DIRS",
            own.join("egl_vendor.d").into_os_string(),
        ));
        variables.push(("LIBGL_DRIVERS_PATH", own.join("dri").into_os_string()));
        variables.push(("LIBGL_ALWAYS_SOFTWARE", "1".into()));
    }
    variables
}

/// Our libraries, then the person's, then the system's, then ours for what the system lacks.
fn library_path(appdir: &Path, root: &Path) -> OsString {
    let own = appdir.join("usr/lib").join(Machine::HERE.triple());
    let persons = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let mut folders = vec![own];
    folders.extend(env::split_paths(&persons).filter(|folder| !folder.as_os_str().is_empty()));
    folders.extend(Machine::HERE.library_folders(root));
    folders.push(appdir.join(PROGRAMS).join(FALLBACK));
    // None of them holds a colon, or it could not stand in the variable at all.
    env::join_paths(folders).unwrap_or(persons)
}

/// `folders` in front of what `name` holds, or of `usual`.
pub fn joined(folders: &[PathBuf], name: &str, usual: &str) -> OsString {
    let set = env::var_os(name).filter(|value| !value.is_empty());
    let rest = set.unwrap_or_else(|| usual.into());
    let all = folders.iter().cloned().chain(env::split_paths(&rest));
    let all = all.filter(|folder| !folder.as_os_str().is_empty());
    env::join_paths(all).unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn value(variables: &[(&str, OsString)], name: &str) -> Option<String> {
        let found = variables.iter().find(|(found, _)| *found == name)?;
        found.1.clone().into_string().ok()
    }

    /// A driver's library must come from the system, WebKit from the package, and what a bare
    /// system lacks from the package again.
    #[test]
    fn the_systems_libraries_stand_between_ours() {
        let root = tempfile::tempdir().unwrap();
        let system = root.path().join("usr/lib").join(Machine::HERE.triple());
        fs::create_dir_all(&system).unwrap();
        let variables = of(Path::new("/app"), root.path());
        let paths: Vec<PathBuf> =
            env::split_paths(&value(&variables, "LD_LIBRARY_PATH").unwrap()).collect();
        let place = |path: &Path| paths.iter().position(|found| found == path).unwrap();
        let own = Path::new("/app/usr/lib").join(Machine::HERE.triple());
        let fallback = Path::new("/app/usr/lib/attune/fallback");
        assert!(place(&own) == 0 && place(fallback) == paths.len() - 1);
        assert!((1..paths.len() - 1).contains(&place(&system)));
    }

    /// A processor's imitation must never stand in front of a driver.
    #[test]
    fn the_imitated_graphics_are_for_systems_without_any() {
        let root = tempfile::tempdir().unwrap();
        let found = |root: &Path| value(&of(Path::new("/app"), root), "LIBGL_ALWAYS_SOFTWARE");
        assert_eq!(found(root.path()).as_deref(), Some("1"));
        let vendors = root.path().join("etc/glvnd/egl_vendor.d");
        fs::create_dir_all(&vendors).unwrap();
        assert_eq!(found(root.path()).as_deref(), Some("1"), "an empty folder");
        fs::write(vendors.join("10_nvidia.json"), "{}").unwrap();
        assert_eq!(found(root.path()), None);
    }

    #[test]
    fn own_fonts_are_for_systems_without() {
        let root = tempfile::tempdir().unwrap();
        let own = Some("/app/usr/share/attune/fonts.conf".to_owned());
        let found = |root: &Path| value(&of(Path::new("/app"), root), "FONTCONFIG_FILE");
        assert_eq!(found(root.path()), own);
        fs::create_dir_all(root.path().join("etc/fonts")).unwrap();
        fs::write(root.path().join("etc/fonts/fonts.conf"), "").unwrap();
        assert_eq!(found(root.path()), own, "a list of fonts, and no font");
        fs::create_dir_all(root.path().join("usr/share/fonts")).unwrap();
        assert_eq!(found(root.path()), None);
    }
}
