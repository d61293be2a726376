//! One error for three small programs: what failed and where, and what to do about it.

use std::fmt;
use std::io;
use std::path::Path;

/// What failed, where, why, and the remedy if there is one.
#[derive(Debug)]
pub struct Error {
    what: String,
    remedy: Option<String>,
}

/// What comes out, or why not.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What failed, where and why.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: None,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "error: {}", self.what)?;
        match &self.remedy {
            Some(remedy) => write!(formatter, "\nhint: {remedy}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// Names the file an operation failed on.
pub trait At<T> {
    /// `doing` is a whole clause, `cannot write`, to which the path and the reason are added.
    fn at(self, doing: &str, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, doing: &str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::new(format!("{doing} {}: {source}", path.display())))
    }
}
