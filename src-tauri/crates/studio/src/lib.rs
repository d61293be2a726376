//! The application: library, store, jobs, evaluation, chat, export, settings, and the one list of
//! commands that every host serves ([`api`]).

pub mod api;
mod chat;
mod datasets;
mod doctor;
mod error;
mod evaluate;
mod experiments;
mod export;
mod first_start;
mod floor;
mod models;
mod nearest;
mod score;
pub mod settings;

pub use error::{Error, Result};

/// The application, opened on one home folder. Threads may share it.
#[derive(Debug)]
pub struct Studio {}

impl Studio {
    /// Opens the home folder of this machine: `ATTUNE_HOME`, else the platform's application-data
    /// folder. Nothing is written before a command needs it.
    pub fn open() -> Result<Self> {
        Ok(Self {})
    }

    /// Opens `home`.
    pub fn open_at(home: impl Into<std::path::PathBuf>) -> Result<Self> {
        let _ = home.into();
        Ok(Self {})
    }
}
