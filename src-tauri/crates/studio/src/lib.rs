//! The application: library, store, jobs, evaluation, chat, export, settings, and the one list of
//! commands that every host serves ([`api`]).

#![expect(
    clippy::needless_pass_by_value,
    reason = "every command takes its request by value, whether it keeps it or not"
)]

pub mod api;
mod chat;
mod datasets;
mod device;
mod diagnostics;
mod doctor;
mod error;
mod estimate;
mod evaluate;
mod experiments;
mod export;
mod files;
mod first_start;
mod home;
mod jobs;
mod keys;
mod ledger;
mod licences;
mod load;
mod models;
mod naming;
mod nearest;
mod preferences;
mod preview;
mod score;
pub mod settings;
pub mod starter;
mod store;
mod weights;

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

pub use attune_engine::compute_in_background;
pub use device::DeviceWish;
pub use error::{Error, Result};

use device::Devices;
use estimate::Counts;
use home::Home;
use load::Counters;
use store::Store;
use weights::Loaded;

/// The application, opened on one home folder. Threads may share it.
#[derive(Debug)]
pub struct Studio {
    home: Home,
    store: OnceLock<Store>,
    // The weights used last: a chat would otherwise load the model for every answer.
    loaded: Mutex<Vec<Loaded>>,
    counters: Counters,
    counts: Counts,
    devices: Devices,
}

impl Studio {
    /// Opens the home folder of this machine: `ATTUNE_HOME`, else the platform's application-data
    /// folder. Nothing is written before a command needs it.
    pub fn open() -> Result<Self> {
        Home::locate().map(Self::new)
    }

    /// Opens `home`, an absolute path. Nothing is written before a command needs it.
    pub fn open_at(home: impl Into<PathBuf>) -> Self {
        Self::new(Home::at(home.into()))
    }

    fn new(home: Home) -> Self {
        Self {
            home,
            store: OnceLock::new(),
            loaded: Mutex::default(),
            counters: Counters::default(),
            counts: Counts::default(),
            devices: Devices::default(),
        }
    }

    /// Computes on what `wish` says, whatever the environment and the preferences say.
    #[must_use]
    pub fn computing_on(mut self, wish: Option<DeviceWish>) -> Self {
        self.devices.flag = wish;
        self
    }

    /// The home folder, where everything of a person lies.
    pub fn folder(&self) -> &std::path::Path {
        self.home.root()
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// The library, opened at its first use.
    pub(crate) fn store(&self) -> Result<&Store> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let opened = Store::open(&self.home.database())?;
        Ok(self.store.get_or_init(|| opened))
    }
}
