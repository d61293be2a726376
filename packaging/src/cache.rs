//! Unpacked once, started often. No FUSE is needed, and the second start costs what a plain
//! program's costs.
//!
//! `$XDG_CACHE_HOME/attune/appimage/` holds a folder for each version, named by its hash, which
//! appears whole or not at all; a file `NAME.lock`, on which every process started from it keeps a
//! shared lock; and `lock`, held by the one who unpacks.

use std::env;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::statvfs::statvfs;

use crate::image::{Image, damaged};
use crate::payload::Payload;
use crate::{At, Error, Result};

/// Names the folder to unpack into instead of the cache.
pub const CHOSEN: &str = "ATTUNE_UNPACKED";

/// Where versions are kept.
pub fn folder() -> Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let absolute = |name| {
        set(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute(CHOSEN)
        .or_else(|| Some(absolute("XDG_CACHE_HOME")?.join("attune/appimage")))
        .or_else(|| Some(absolute("HOME")?.join(".cache/attune/appimage")))
        .ok_or_else(|| {
            Error::new("there is no folder to unpack Attune into: HOME is not set")
                .hint(format!("Set HOME, or {CHOSEN} to a folder of yours."))
        })
}

/// The folder with everything of this version, unpacked now if it is not there. The version stays
/// in use, and therefore there, as long as this process or one it becomes or starts lives.
pub fn unpacked(folder: &Path, file: &mut File, payload: &Payload) -> Result<PathBuf> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| unwritable(folder, &source))?;
    let name = payload.name();
    keep_in_use(&folder.join(format!("{name}.lock")))?;
    let image = Image::open(reopened(file)?, payload)?;
    let here = folder.join(&name);
    if image.is_whole_in(&here) {
        return Ok(here);
    }
    let turn = open_lock(&folder.join("lock"))?;
    supported(turn.lock()).at("cannot lock", folder)?;
    // Another start may have done it while this one waited.
    if image.is_whole_in(&here) {
        return Ok(here);
    }
    sweep(folder, &name);
    let needed = image.size();
    let free = free(folder);
    if free.is_some_and(|free| free < needed) {
        return Err(no_room(folder, needed, free));
    }
    if Payload::of(file, payload.offset).at("cannot read", &own())? != *payload {
        return Err(damaged("its contents are not those that were packed"));
    }
    let partial = folder.join(format!("{name}.partial"));
    let placed = image
        .unpack(&partial, None)
        .and_then(|()| place(&partial, &here, folder));
    if let Err(refusal) = placed {
        let _ = fs::remove_dir_all(&partial);
        let full = self::free(folder).is_some_and(|free| free < needed);
        return Err(if full {
            no_room(folder, needed, None)
        } else {
            refusal
        });
    }
    Ok(here)
}

/// Gives what was unpacked its name, once every byte of it is on the disk.
fn place(partial: &Path, here: &Path, folder: &Path) -> Result<()> {
    let disk = File::open(folder).at("cannot open", folder)?;
    nix::unistd::syncfs(&disk)
        .map_err(io::Error::from)
        .at("cannot write", partial)?;
    if here.exists() {
        let damaged = here.with_extension("removed");
        fs::rename(here, &damaged).at("cannot replace", here)?;
        let _ = fs::remove_dir_all(damaged);
    }
    fs::rename(partial, here).at("cannot make", here)?;
    disk.sync_all().at("cannot write", folder)
}

/// Removes what interrupted starts left, and versions nobody runs. Whatever cannot be removed now
/// is removed next time.
fn sweep(folder: &Path, name: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if !path.is_dir() {
            continue;
        }
        let left = path
            .extension()
            .is_some_and(|end| end == "partial" || end == "removed");
        if left {
            let _ = fs::remove_dir_all(path);
        } else if !path.ends_with(name) && is_version(&path) && is_unused(&path) {
            let removed = path.with_extension("removed");
            if fs::rename(&path, &removed).is_ok() {
                let _ = fs::remove_dir_all(removed);
            }
        }
    }
}

/// A folder a person chose may hold other things.
fn is_version(path: &Path) -> bool {
    path.file_name().is_some_and(|name| {
        let name = name.as_encoded_bytes();
        name.len() == 32 && name.iter().all(u8::is_ascii_hexdigit)
    })
}

fn is_unused(version: &Path) -> bool {
    open_lock(&version.with_extension("lock"))
        .is_ok_and(|lock| !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Locks this version for as long as any process has the file open: programs that are started
/// inherit it. Lock files stay: one that is removed could be held by two at once.
fn keep_in_use(path: &Path) -> Result<()> {
    let lock = open_lock(path)?;
    supported(lock.lock_shared()).at("cannot lock", path)?;
    fcntl(&lock, FcntlArg::F_SETFD(FdFlag::empty()))
        .map_err(io::Error::from)
        .at("cannot lock", path)?;
    std::mem::forget(lock);
    Ok(())
}

fn open_lock(path: &Path) -> Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(|source| unwritable(path, &source))
}

/// Some network folders have no locks; two first starts at once are then the person's risk.
fn supported(locked: io::Result<()>) -> io::Result<()> {
    match locked {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        other => other,
    }
}

fn reopened(file: &File) -> Result<File> {
    file.try_clone().at("cannot open", &own())
}

fn own() -> PathBuf {
    env::current_exe().unwrap_or_default()
}

fn free(folder: &Path) -> Option<u64> {
    let disk = statvfs(folder).ok()?;
    Some(disk.blocks_available() * disk.fragment_size())
}

fn unwritable(path: &Path, source: &io::Error) -> Error {
    Error::new(format!(
        "cannot write {}, where Attune unpacks itself: {source}",
        path.display()
    ))
    .hint(format!(
        "Set {CHOSEN} to a folder that you may write to, on a disk from which programs may start."
    ))
}

fn no_room(folder: &Path, needed: u64, free: Option<u64>) -> Error {
    const MEGABYTE: u64 = 1_000_000;
    let there = free.map_or(String::new(), |free| {
        format!(", and {} are free", free / MEGABYTE)
    });
    Error::new(format!(
        "there is no room to unpack Attune into {}: it takes {} MB{there}",
        folder.display(),
        needed.div_ceil(MEGABYTE)
    ))
    .hint(format!(
        "Free some, or set {CHOSEN} to a folder on another disk."
    ))
}
