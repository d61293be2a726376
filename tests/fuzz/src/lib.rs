//! Folders that hold one hostile file among good ones.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The fixtures of the parity tests.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .with_file_name("parity")
        .join("fixtures")
}

/// A folder that lives as long as the process; a pass writes one file in it anew.
pub struct Folder(OnceCell<TempDir>);

impl Folder {
    /// A folder that is not made yet.
    pub const fn new() -> Self {
        Self(OnceCell::new())
    }

    /// Writes `bytes` as `name`, beside copies of the files of `from`.
    ///
    /// # Panics
    /// Where the disk cannot be written.
    pub fn with(&self, from: &Path, name: &str, bytes: &[u8]) -> &Path {
        let folder = self.0.get_or_init(|| {
            let folder = tempfile::tempdir().expect("a temporary folder can be made");
            for entry in fs::read_dir(from).expect("the fixture is there").flatten() {
                fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("copied");
            }
            folder
        });
        // Removed first: the file of the pass before may still be mapped.
        let path = folder.path().join(name);
        let _ = fs::remove_file(&path);
        fs::write(path, bytes).expect("written");
        folder.path()
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}
