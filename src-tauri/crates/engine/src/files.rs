//! Files that are whole or not there: temporary name, sync, rename.

use crate::{Error, Result};
use std::fs::{self, File};
use std::path::Path;

/// Attaches the path to an I/O error.
pub(crate) fn at(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File {
        path,
        action,
        source,
    }
}

/// Replaces `path` by `bytes`, or leaves it as it was.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("partial");
    fs::write(&temporary, bytes).map_err(at(&temporary, "written"))?;
    sync(&temporary)?;
    fs::rename(&temporary, path).map_err(at(path, "written"))?;
    path.parent().map_or(Ok(()), sync)
}

/// Fills a new folder through `fill` and gives it its name only once everything in it is on disk.
/// A folder of that name that is already there is replaced.
pub(crate) fn write_folder(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let temporary = path.with_extension("partial");
    remove(&temporary)?;
    fs::create_dir_all(&temporary).map_err(at(&temporary, "created"))?;
    let filled = fill(&temporary).and_then(|()| {
        for entry in fs::read_dir(&temporary).map_err(at(&temporary, "read"))? {
            sync(&entry.map_err(at(&temporary, "read"))?.path())?;
        }
        sync(&temporary)?;
        remove(path)?;
        fs::rename(&temporary, path).map_err(at(path, "written"))?;
        path.parent().map_or(Ok(()), sync)
    });
    if filled.is_err() {
        // The error that matters is the one above; what is left is only a `.partial` folder.
        let _ = fs::remove_dir_all(&temporary);
    }
    filled
}

/// Removes a folder if it is there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(at(path, "removed")(error))
        }
        _ => Ok(()),
    }
}

/// Waits until a file's or folder's contents are on disk.
fn sync(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(at(path, "written"))
}
