//! The one shape in which every refusal reaches a person: `{ code, message, remedy, where }`.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A refusal. Hosts branch on `code`, and show the rest as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize, TS)]
#[error("{message}")]
pub struct Error {
    /// What kind of refusal, in kebab-case: `data-broken-line`, `not-found`. Stable.
    pub code: String,
    /// One sentence: what failed, and why.
    pub message: String,
    /// What the person can do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remedy: Option<String>,
    /// File and line, setting or field.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none", default)]
    pub place: Option<String>,
}

impl Error {
    /// A refusal of kind `code`.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            remedy: None,
            place: None,
        }
    }

    /// Adds what the person can do about it.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Adds where it happened.
    #[must_use]
    pub fn with_place(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// A refusal of the file system, with the path it concerns and the remedy its kind suggests.
    pub fn file(action: &str, path: &std::path::Path, source: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let (code, remedy) = match source.kind() {
            ErrorKind::NotFound => ("file-not-found", "Check the path."),
            ErrorKind::PermissionDenied => {
                ("file-forbidden", "Check who owns the file and its folder.")
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (
                "disk-full",
                "Free some space, or set ATTUNE_HOME to a folder on a larger disk.",
            ),
            ErrorKind::ReadOnlyFilesystem => (
                "file-forbidden",
                "Set ATTUNE_HOME to a folder that can be written.",
            ),
            _ => ("file", "Check the disk and the path, then try again."),
        };
        Self::new(
            code,
            format!("cannot {action} {}: {}", path.display(), plain(source)),
        )
        .with_remedy(remedy)
        .with_place(path.display().to_string())
    }

    /// The person asked for it: a cancelled command.
    pub fn cancelled() -> Self {
        Self::new("cancelled", "cancelled")
    }
}

/// The system's sentence without its number, in lower case: `no such file or directory`.
fn plain(source: &std::io::Error) -> String {
    let words = source.to_string();
    let words = words.split(" (os error").next().unwrap_or(&words);
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

impl From<rusqlite::Error> for Error {
    fn from(source: rusqlite::Error) -> Self {
        Self::new("store", format!("the library database refused: {source}")).with_remedy(
            "If another program holds attune.db, close it; if the disk is full, free some space.",
        )
    }
}

/// A refusal of a lower floor, whose parts are the same.
macro_rules! from_floor {
    ($floor:path) => {
        impl From<$floor> for Error {
            fn from(source: $floor) -> Self {
                Self {
                    code: source.code().to_owned(),
                    message: source.to_string(),
                    remedy: source.remedy(),
                    place: source.place(),
                }
            }
        }
    };
}

from_floor!(attune_data::Error);
from_floor!(attune_engine::Error);
