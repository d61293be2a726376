//! The runtime as a process, with a small image behind it.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use attune_packaging::appimage;
use tempfile::TempDir;

const RUNTIME: &str = env!("CARGO_BIN_EXE_attune-runtime");

/// One test at a time: a program being written cannot be started, and a process that another test
/// is just starting holds what was open for writing here for a moment longer.
static ALONE: Mutex<()> = Mutex::new(());

struct Place {
    folder: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Place {
    fn new() -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        Self {
            folder,
            _alone: alone,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An AppImage whose `AppRun` runs `script`.
    fn pack(&self, name: &str, script: &str) -> PathBuf {
        let appdir = self.path(&format!("{name}.AppDir"));
        fs::create_dir_all(appdir.join("usr/share")).unwrap();
        let program = appdir.join("usr/run");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("usr/run", appdir.join("AppRun")).unwrap();
        // Larger than a block, so that it is cut, and than a pipe.
        let large: Vec<u8> = (0..1_500_000_u32)
            .map(|byte| (byte.wrapping_mul(byte) >> 7) as u8)
            .collect();
        fs::write(appdir.join("usr/share/large"), large).unwrap();
        let image = self.path(&format!("{name}.squashfs"));
        let packed = Command::new("mksquashfs")
            .arg(&appdir)
            .arg(&image)
            .args(["-comp", "zstd", "-quiet", "-no-progress", "-root-owned"])
            .status()
            .expect("squashfs-tools is installed: make setup-dev");
        assert!(packed.success());
        let whole = self.path(name);
        appimage::join(Path::new(RUNTIME), &image, &whole).unwrap();
        whole
    }

    fn command(&self, file: &Path) -> Command {
        let mut command = Command::new(file);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("XDG_CACHE_HOME", self.path("cache"))
            .current_dir(self.folder.path());
        command
    }

    fn versions(&self) -> Vec<PathBuf> {
        let folder = self.path("cache/attune/appimage");
        let entries = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
        folders.sort();
        folders
    }
}

fn text(output: &Output) -> String {
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(said).unwrap()
}

#[test]
fn it_unpacks_once_and_starts_what_is_inside_where_it_was_called() {
    let place = Place::new();
    let file = place.pack("App.AppImage", r#"echo "$PWD|$APPIMAGE|$ARGV0|$*"; exit 7"#);
    let first = place.command(&file).args(["a b", "--x"]).output().unwrap();
    let expected = format!(
        "{}|{}|{}|a b --x\n",
        place.folder.path().display(),
        file.display(),
        file.display()
    );
    assert_eq!(
        (text(&first), first.status.code()),
        (expected.clone(), Some(7))
    );
    let unpacked = place.versions();
    assert_eq!(unpacked.len(), 1);
    let there = fs::read(unpacked[0].join("usr/share/large")).unwrap();
    assert_eq!(
        there,
        fs::read(place.path("App.AppImage.AppDir/usr/share/large")).unwrap()
    );
    let marker = unpacked[0].join("marker");
    fs::write(&marker, "").unwrap();
    let again = place
        .command(&file)
        .args(["--appimage-extract-and-run", "a b", "--x"])
        .output();
    assert_eq!(text(&again.unwrap()), expected);
    assert!(marker.exists(), "it was unpacked again");
}

/// A cleaner of caches removes what it thinks is old.
#[test]
fn what_was_lost_is_unpacked_again() {
    let place = Place::new();
    let file = place.pack("App.AppImage", "echo here");
    assert!(place.command(&file).status().unwrap().success());
    let large = place.versions()[0].join("usr/share/large");
    for damage in [
        |path: &Path| fs::remove_file(path),
        |path: &Path| fs::write(path, "cut"),
    ] {
        damage(&large).unwrap();
        assert_eq!(text(&place.command(&file).output().unwrap()), "here\n");
        assert_eq!(fs::metadata(&large).unwrap().len(), 1_500_000);
    }
    assert_eq!(place.versions().len(), 1);
}

#[test]
fn starts_at_once_unpack_once() {
    let place = Place::new();
    let file = place.pack("App.AppImage", "wc -c < $APPDIR/usr/share/large");
    let starts: Vec<_> = (0..8)
        .map(|_| place.command(&file).stdout(Stdio::piped()).spawn().unwrap())
        .collect();
    for start in starts {
        assert_eq!(text(&start.wait_with_output().unwrap()), "1500000\n");
    }
    assert_eq!(place.versions().len(), 1);
}

/// What runs must stay, and what is left by a start that was killed must go.
#[test]
fn a_new_version_removes_old_ones_that_nobody_runs() {
    let place = Place::new();
    let idle = place.pack("Idle.AppImage", "true");
    assert!(place.command(&idle).status().unwrap().success());
    let left = place.path("cache/attune/appimage/0123.partial");
    fs::create_dir_all(left.join("usr")).unwrap();
    let others = place.path("cache/attune/appimage/photos");
    fs::create_dir_all(&others).unwrap();

    let runs = place.pack("Runs.AppImage", "echo started; read line");
    let mut running = place
        .command(&runs)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = [0; 8];
    std::io::Read::read_exact(running.stdout.as_mut().unwrap(), &mut line).unwrap();
    assert_eq!(
        (place.versions().len(), left.exists(), others.exists()),
        (2, false, true)
    );

    let new = place.pack("New.AppImage", "true && : new");
    assert!(place.command(&new).status().unwrap().success());
    assert_eq!(
        place.versions().len(),
        3,
        "the one that runs, the new one, and the photos"
    );
    drop(running.stdin.take());
    running.wait().unwrap();
    let newer = place.pack("Newer.AppImage", "true && : newer");
    assert!(place.command(&newer).status().unwrap().success());
    assert_eq!(place.versions().len(), 2);
}

#[test]
fn a_damaged_file_and_a_folder_that_cannot_be_written_are_refused_with_a_remedy() {
    let place = Place::new();
    let file = place.pack("App.AppImage", "echo here");
    let mut bytes = fs::read(&file).unwrap();
    let middle = fs::metadata(RUNTIME).unwrap().len() as usize + 5_000;
    bytes[middle] ^= 0x10;
    let damaged = place.path("Damaged.AppImage");
    fs::write(&damaged, &bytes).unwrap();
    fs::set_permissions(&damaged, Permissions::from_mode(0o755)).unwrap();
    let refused = place.command(&damaged).output().unwrap();
    assert_eq!(refused.status.code(), Some(127));
    assert!(
        text(&refused).contains("is damaged") && text(&refused).contains("SHA256SUMS"),
        "{}",
        text(&refused)
    );
    assert!(place.versions().is_empty());

    let cut = place.path("Cut.AppImage");
    fs::write(&cut, &bytes[..middle]).unwrap();
    fs::set_permissions(&cut, Permissions::from_mode(0o755)).unwrap();
    assert!(text(&place.command(&cut).output().unwrap()).contains("is damaged"));

    fs::write(place.path("file"), "").unwrap();
    let refused = place
        .command(&file)
        .env("ATTUNE_UNPACKED", place.path("file/below"))
        .output()
        .unwrap();
    assert!(
        text(&refused).contains("hint: Set ATTUNE_UNPACKED"),
        "{}",
        text(&refused)
    );
    let homeless = place
        .command(&file)
        .env_remove("XDG_CACHE_HOME")
        .output()
        .unwrap();
    assert!(text(&homeless).contains("HOME is not set"));
}

#[test]
fn the_flags_of_appimages_are_answered() {
    let place = Place::new();
    let file = place.pack("App.AppImage", "echo here");
    let ask = |flags: &[&str]| text(&place.command(&file).args(flags).output().unwrap());
    let offset = fs::metadata(RUNTIME).unwrap().len();
    assert_eq!(ask(&["--appimage-offset"]), format!("{offset}\n"));
    assert_eq!(&fs::read(&file).unwrap()[offset as usize..][..4], b"hsqs");
    assert_eq!(ask(&["--appimage-extract", "usr/share"]), "squashfs-root\n");
    assert!(place.path("squashfs-root/usr/share/large").exists());
    assert!(!place.path("squashfs-root/AppRun").exists());
    assert!(ask(&["--appimage-extract"]).contains("exists already"));
    assert!(ask(&["--appimage-help"]).contains("--appimage-extract"));
    assert!(ask(&["--appimage-mount"]).contains("hint:"));
    let bare = Command::new(RUNTIME).output().unwrap();
    assert!(text(&bare).contains("nothing behind it"));
}
