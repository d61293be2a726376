//! Rows of jobs: who works, who waits for which device, and what others ask of them.
//!
//! A job's process holds an exclusive advisory lock on the job's lock file for as long as it lives;
//! the system drops the lock when the process ends, however it ends. A live state in the table
//! without that lock is therefore a job that was killed.

use std::fs::{File, TryLockError};

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::experiments::set_state;
use super::{Store, now};
use crate::api::ExperimentState;
use crate::error::{Error, Result};
use crate::home::Home;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobState {
    /// Waits for its device.
    Queued,
    /// Works.
    Running,
    /// Came to its end.
    Finished,
    /// Ended with an error.
    Failed,
    /// Ended because someone asked.
    Cancelled,
    /// Its process ended without a word.
    Interrupted,
}

impl JobState {
    const ALL: [Self; 6] = [
        Self::Queued,
        Self::Running,
        Self::Finished,
        Self::Failed,
        Self::Cancelled,
        Self::Interrupted,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What another process may ask of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// Write a checkpoint and free the device.
    Pause,
    /// End and keep what there is.
    Stop,
}

/// A job to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewJob<'a> {
    /// `train`, `evaluate`, …
    pub(crate) kind: &'a str,
    /// What it works on: an experiment's id.
    pub(crate) subject: &'a str,
    /// The device it needs for itself: `cpu`.
    pub(crate) device: &'a str,
    /// Name of its lock file; its lock is held before the row exists.
    pub(crate) lock: &'a str,
}

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Job {
    /// Number in order of arrival.
    pub(crate) id: i64,
    /// What it works on.
    pub(crate) subject: String,
    /// Where it stands.
    pub(crate) state: JobState,
    /// What was asked of it.
    pub(crate) request: Option<Request>,
    lock: String,
}

impl Store {
    /// Adds a job at the end of its device's queue.
    pub(crate) fn add_job(&self, job: NewJob<'_>) -> Result<i64> {
        self.change(|transaction| {
            transaction.execute(
                "INSERT INTO jobs (kind, subject, device, state, lock, pid, created_at)
                 VALUES (?1, ?2, ?3, 'queued', ?4, ?5, ?6)",
                params![
                    job.kind,
                    job.subject,
                    job.device,
                    job.lock,
                    std::process::id(),
                    now()
                ],
            )?;
            Ok(transaction.last_insert_rowid())
        })
    }

    /// Changes a job's state.
    pub(crate) fn set_job_state(
        &self,
        id: i64,
        state: JobState,
        error: Option<&Error>,
    ) -> Result<()> {
        self.change(|transaction| set_job(transaction, id, state, error))
    }

    /// Writes how far a job has come.
    pub(crate) fn set_job_progress(
        &self,
        id: i64,
        done: u64,
        total: Option<u64>,
        left: Option<f64>,
    ) -> Result<()> {
        self.connection().execute(
            "UPDATE jobs SET done = ?2, total = ?3, seconds_left = ?4 WHERE id = ?1",
            params![id, done as i64, total.map(|total| total as i64), left],
        )?;
        Ok(())
    }

    /// What others ask of job `id`.
    pub(crate) fn job_request(&self, id: i64) -> Result<Option<Request>> {
        let connection = self.connection();
        let mut query = connection.prepare_cached("SELECT request FROM jobs WHERE id = ?1")?;
        let word: Option<Option<String>> = query.query_row([id], |row| row.get(0)).optional()?;
        Ok(word.flatten().and_then(|word| request(&word)))
    }

    /// Asks something of job `id`. A stop outranks a pause, never the other way round.
    pub(crate) fn ask_job(&self, id: i64, request: Request) -> Result<()> {
        let statement = match request {
            Request::Pause => "UPDATE jobs SET request = coalesce(request, 'pause') WHERE id = ?1",
            Request::Stop => "UPDATE jobs SET request = 'stop' WHERE id = ?1",
        };
        self.connection().execute(statement, [id])?;
        Ok(())
    }

    /// The live job that works on, or waits to work on, `subject`.
    pub(crate) fn live_job(&self, subject: &str, home: &Home) -> Result<Option<Job>> {
        Ok(self
            .live_jobs(home)?
            .into_iter()
            .find(|job| job.subject == subject))
    }

    /// The job that job `id` has to wait for: the first live one before it on its device.
    pub(crate) fn job_in_front(&self, id: i64, device: &str, home: &Home) -> Result<Option<Job>> {
        self.reap(home)?;
        let connection = self.connection();
        let mut query = connection.prepare_cached(
            "SELECT * FROM jobs WHERE device = ?1 AND id < ?2 AND state IN ('queued', 'running') ORDER BY id LIMIT 1",
        )?;
        Ok(query.query_row(params![device, id], read).optional()?)
    }

    /// Marks as interrupted what lives in the table and nowhere else, and says what is left alive.
    pub(crate) fn reap(&self, home: &Home) -> Result<Vec<Job>> {
        let live = self.live_rows()?;
        let (alive, dead): (Vec<Job>, Vec<Job>) =
            live.into_iter().partition(|job| is_held(home, &job.lock));
        if !dead.is_empty() {
            self.change(|transaction| dead.iter().try_for_each(|job| bury(transaction, job)))?;
            for job in &dead {
                let _ = std::fs::remove_file(home.lock(&job.lock));
            }
        }
        Ok(alive)
    }

    fn live_jobs(&self, home: &Home) -> Result<Vec<Job>> {
        self.reap(home)
    }

    fn live_rows(&self) -> Result<Vec<Job>> {
        let connection = self.connection();
        let mut query = connection.prepare_cached(
            "SELECT * FROM jobs WHERE state IN ('queued', 'running') ORDER BY id",
        )?;
        let rows = query.query_map([], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// Records that a job's process is gone, unless the job ended properly in the meantime.
fn bury(transaction: &Transaction<'_>, job: &Job) -> Result<()> {
    let state: String =
        transaction.query_row("SELECT state FROM jobs WHERE id = ?1", [job.id], |row| {
            row.get(0)
        })?;
    if state == JobState::Queued.as_str() || state == JobState::Running.as_str() {
        set_job(transaction, job.id, JobState::Interrupted, None)?;
        set_state(
            transaction,
            &job.subject,
            ExperimentState::Interrupted,
            None,
        )?;
    }
    Ok(())
}

fn set_job(
    transaction: &Transaction<'_>,
    id: i64,
    state: JobState,
    error: Option<&Error>,
) -> Result<()> {
    let error = error.and_then(|error| serde_json::to_string(error).ok());
    transaction.execute(
        "UPDATE jobs SET state = ?2, error = ?3, seconds_left = NULL,
         started_at = CASE WHEN ?2 = 'running' THEN ?4 ELSE started_at END,
         ended_at = CASE WHEN ?2 IN ('queued', 'running') THEN NULL ELSE ?4 END
         WHERE id = ?1",
        params![id, state.as_str(), error, now()],
    )?;
    Ok(())
}

/// Whether a living process holds the lock. A shared lock is tried, so that two who look at the
/// same time do not take each other for the owner.
fn is_held(home: &Home, lock: &str) -> bool {
    let Ok(file) = File::open(home.lock(lock)) else {
        return false;
    };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

fn request(word: &str) -> Option<Request> {
    match word {
        "pause" => Some(Request::Pause),
        "stop" => Some(Request::Stop),
        _ => None,
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Job> {
    let word: String = row.get("state")?;
    Ok(Job {
        id: row.get("id")?,
        subject: row.get("subject")?,
        state: JobState::ALL
            .into_iter()
            .find(|state| state.as_str() == word)
            .unwrap_or(JobState::Failed),
        request: row
            .get::<_, Option<String>>("request")?
            .as_deref()
            .and_then(request),
        lock: row.get("lock")?,
    })
}
