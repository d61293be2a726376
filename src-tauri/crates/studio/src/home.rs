//! The folder everything of a person lies in.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The home folder. It is made when something is first written.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    root: PathBuf,
    reason: String,
}

impl Home {
    /// `ATTUNE_HOME`, else the platform's application-data folder.
    pub(crate) fn locate() -> Result<Self> {
        if let Some(root) = std::env::var_os("ATTUNE_HOME").filter(|root| !root.is_empty()) {
            let root = std::path::absolute(&root)
                .map_err(|source| Error::file("use", Path::new(&root), &source))?;
            return Ok(Self {
                root,
                reason: "ATTUNE_HOME".to_owned(),
            });
        }
        let folders = directories::ProjectDirs::from("", "", "attune").ok_or_else(|| {
            Error::new("no-home", "this account has no home folder to keep data in")
                .with_remedy("Set ATTUNE_HOME to a folder that can be written.")
        })?;
        Ok(Self {
            root: folders.data_dir().to_owned(),
            reason: "the platform's application-data folder".to_owned(),
        })
    }

    /// `root`, as the host says.
    pub(crate) fn at(root: PathBuf) -> Self {
        Self {
            root,
            reason: "given by the host".to_owned(),
        }
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Why it is this folder.
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    /// The SQLite file.
    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("attune.db")
    }

    /// What the person has chosen for the program as a whole.
    pub(crate) fn preferences(&self) -> PathBuf {
        self.root.join("preferences.json")
    }

    /// The files of dataset `id`.
    pub(crate) fn dataset(&self, id: &str) -> PathBuf {
        self.root.join("datasets").join(id)
    }

    /// The files of experiment `id`.
    pub(crate) fn experiment(&self, id: &str) -> PathBuf {
        self.root.join("experiments").join(id)
    }

    /// The files of the bundled model `id`.
    pub(crate) fn model(&self, id: &str) -> PathBuf {
        self.root.join("models").join(id)
    }

    /// Files whose locks say which processes live.
    pub(crate) fn lock(&self, name: &str) -> PathBuf {
        self.root.join("locks").join(name)
    }
}
