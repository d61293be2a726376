//! The library: SQLite for what is listed. What is large lies in files beside it.
//!
//! Several processes share it: WAL lets them read while one writes, and every change that depends
//! on what was read runs in an immediate transaction.

mod datasets;
mod experiments;
mod jobs;
mod migrations;
mod models;
mod requests;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::error::{Error, Result};

pub(crate) use jobs::{NewJob, Request};

/// A connection to `attune.db`. Threads may share it.
#[derive(Debug)]
pub(crate) struct Store {
    connection: Mutex<Connection>,
}

impl Store {
    /// How long a write waits for another process's write.
    const BUSY: Duration = Duration::from_secs(10);

    /// Opens the database, making and migrating it as needed.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent() {
            crate::files::make_folder(folder)?;
        }
        let refuse = |source: &rusqlite::Error| {
            Error::new("store", format!("cannot open the library database: {source}"))
                .with_remedy("Check that the folder can be written and that the disk has space; or set ATTUNE_HOME.")
                .with_place(path.display().to_string())
        };
        let mut connection = Connection::open(path).map_err(|source| refuse(&source))?;
        connection.busy_timeout(Self::BUSY)?;
        // NORMAL: after a power failure the newest rows may be gone, never the database; what a run
        // needs in order to continue lies in its checkpoint.
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;",
            )
            .map_err(|source| refuse(&source))?;
        migrations::run(&mut connection)?;
        Ok(Self {
            connection: Mutex::new(connection),
        })
    }

    /// The connection; a thread that panicked with it left no transaction open.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `change` as one transaction that no other writer interleaves.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = change(&transaction)?;
        transaction.commit()?;
        Ok(result)
    }
}

/// Whether `table` has a row called `id`.
pub(crate) fn is_taken(transaction: &Transaction<'_>, table: &str, id: &str) -> bool {
    transaction
        .query_row(
            &format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE id = ?1)"),
            [id],
            |row| row.get(0),
        )
        .unwrap_or(true)
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    now_exact() as i64
}

/// Seconds since 1970, with their fraction.
pub(crate) fn now_exact() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
