//! Writing so that a crash leaves the old or the new, never a half: temporary name, sync, rename.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempDir};

use crate::error::{Error, Result};

/// Makes a folder and those above it.
pub(crate) fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|source| Error::file("make the folder", folder, &source))
}

/// Writes a whole file.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<()> {
    let refuse = |source: &std::io::Error| Error::file("write", path, source);
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder).map_err(|source| refuse(&source))?;
    file.write_all(content)
        .and_then(|()| file.as_file().sync_all())
        .map_err(|source| refuse(&source))?;
    file.persist(path).map_err(|error| refuse(&error.error))?;
    sync_folder(folder);
    Ok(())
}

/// A rename lasts through a power failure only once the folder is synced. Some file systems cannot
/// sync folders; there is nothing better to do there.
fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

/// A folder under construction beside its destination; dropped, it is gone.
#[derive(Debug)]
pub(crate) struct PendingFolder {
    temporary: TempDir,
    destination: PathBuf,
}

impl PendingFolder {
    /// Starts a folder that shall become `destination`.
    pub(crate) fn new(destination: &Path) -> Result<Self> {
        let parent = destination.parent().unwrap_or(Path::new("."));
        make_folder(parent)?;
        let temporary = tempfile::Builder::new()
            .prefix(".attune-")
            .tempdir_in(parent)
            .map_err(|source| Error::file("write in", parent, &source))?;
        Ok(Self {
            temporary,
            destination: destination.to_owned(),
        })
    }

    /// Where to write meanwhile.
    pub(crate) fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Brings everything in it to the disk, so that giving it its name takes no time.
    pub(crate) fn sync(&self) -> Result<()> {
        sync_tree(self.path()).map_err(|source| Error::file("write", self.path(), &source))
    }

    /// Gives the folder another name than the one it was begun for, beside it.
    pub(crate) fn finish_as(mut self, destination: &Path) -> Result<PathBuf> {
        destination.clone_into(&mut self.destination);
        self.finish(false)
    }

    /// Gives the folder its name. With `overwrite`, what had the name is removed, after the rename.
    pub(crate) fn finish(self, overwrite: bool) -> Result<PathBuf> {
        let refuse = |source: &std::io::Error| Error::file("write", &self.destination, source);
        sync_tree(self.path()).map_err(|source| refuse(&source))?;
        let parent = self.destination.parent().unwrap_or(Path::new("."));
        let old = if overwrite && self.destination.exists() {
            let old = tempfile::Builder::new()
                .prefix(".attune-old-")
                .tempdir_in(parent);
            let old = old.map_err(|source| refuse(&source))?;
            fs::rename(&self.destination, old.path().join("old"))
                .map_err(|source| refuse(&source))?;
            Some(old)
        } else {
            None
        };
        // An empty folder of that name gives way; a folder with content makes the rename fail.
        let temporary = self.temporary.keep();
        if let Err(source) = fs::rename(&temporary, &self.destination) {
            let _ = fs::remove_dir_all(&temporary);
            if let Some(old) = &old {
                let _ = fs::rename(old.path().join("old"), &self.destination);
            }
            return Err(Error::file("write", &self.destination, &source));
        }
        open_to_others(&self.destination);
        sync_folder(parent);
        Ok(self.destination)
    }
}

/// Temporary folders are private; what gets a name has the usual rights.
fn open_to_others(folder: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o755));
    }
}

fn sync_tree(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_folder(folder);
    Ok(())
}

/// Gives a file that is replaced but never changed, such as weights, a second place: by hard link
/// where the disk allows it.
pub(crate) fn link(from: &Path, to: &Path) -> Result<()> {
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    fs::copy(from, to)
        .map(|_| ())
        .map_err(|source| Error::file("copy", from, &source))
}

/// Bytes of all files in a folder; 0 where it cannot be read.
pub(crate) fn folder_size(folder: &Path) -> u64 {
    if folder.is_file() {
        return fs::metadata(folder).map_or(0, |facts| facts.len());
    }
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(facts) if facts.is_dir() => folder_size(&entry.path()),
        Ok(facts) => facts.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

/// Removes a folder and says how many bytes that freed; a folder already gone frees none.
///
/// It loses its name first, so that a crash half-way leaves no half dataset behind.
pub(crate) fn remove_folder(folder: &Path) -> Result<u64> {
    let bytes = folder_size(folder);
    if !folder.exists() {
        return Ok(0);
    }
    let refuse = |source: &std::io::Error| Error::file("remove", folder, source);
    let parent = folder.parent().unwrap_or(Path::new("."));
    let grave = tempfile::Builder::new()
        .prefix(".attune-old-")
        .tempdir_in(parent)
        .map_err(|source| refuse(&source))?;
    fs::rename(folder, grave.path().join("old")).map_err(|source| refuse(&source))?;
    grave.close().map_err(|source| refuse(&source))?;
    Ok(bytes)
}

/// Bytes free on the disk that holds `path`, which need not exist yet; `None` where unknown.
pub(crate) fn disk_space(path: &Path) -> Option<crate::api::Disk> {
    let existing = path.ancestors().find(|ancestor| ancestor.exists())?;
    let facts = nix::sys::statvfs::statvfs(existing).ok()?;
    let block = facts.fragment_size() as u64;
    Some(crate::api::Disk {
        total: facts.blocks() as u64 * block,
        available: facts.blocks_available() as u64 * block,
    })
}

/// Refuses when less than `needed` bytes are free for `purpose` where `path` lies.
pub(crate) fn require_space(path: &Path, needed: u64, purpose: &str) -> Result<()> {
    match disk_space(path) {
        Some(disk) if disk.available < needed => Err(Error::new(
            "disk-full",
            format!("{purpose} needs about {} MB on disk, and {} MB are free", mega(needed), mega(disk.available)),
        )
        .with_remedy("Free some space, delete experiments that are not needed, or set ATTUNE_HOME to a larger disk.")
        .with_place(path.display().to_string())),
        _ => Ok(()),
    }
}

fn mega(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_unfinished_folder_leaves_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let pending = PendingFolder::new(&parent.path().join("set")).unwrap();
        fs::write(pending.path().join("part"), "half").unwrap();
        drop(pending);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_with_content_is_replaced_only_when_asked() {
        let parent = tempfile::tempdir().unwrap();
        let destination = parent.path().join("out");
        fs::create_dir(&destination).unwrap();
        fs::write(destination.join("mine"), "1").unwrap();
        assert!(
            PendingFolder::new(&destination)
                .unwrap()
                .finish(false)
                .is_err()
        );
        assert!(destination.join("mine").exists());
        PendingFolder::new(&destination)
            .unwrap()
            .finish(true)
            .unwrap();
        assert!(!destination.join("mine").exists());
        assert_eq!(
            fs::read_dir(parent.path()).unwrap().count(),
            1,
            "nothing temporary stays"
        );
    }

    #[test]
    fn removing_says_what_it_freed() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("set");
        fs::create_dir_all(folder.join("deep")).unwrap();
        write(&folder.join("deep/file"), b"12345").unwrap();
        assert_eq!(remove_folder(&folder).unwrap(), 5);
        assert_eq!(remove_folder(&folder).unwrap(), 0);
    }

    #[test]
    fn a_full_disk_is_refused_with_a_remedy() {
        let here = tempfile::tempdir().unwrap();
        let error =
            require_space(&here.path().join("not/made/yet"), u64::MAX, "the run").unwrap_err();
        assert_eq!(error.code, "disk-full");
        require_space(here.path(), 1, "the run").unwrap();
    }
}
