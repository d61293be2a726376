//! Rows of jobs: who works, who waits for which device, and what others ask of them.
//!
//! A job's process holds an exclusive advisory lock on the job's lock file for as long as it lives;
//! the system drops the lock when the process ends, however it ends. A live state in the table
//! without that lock is therefore a job that was killed.

use std::fs::{File, TryLockError};

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::experiments::set_state;
use super::{Store, now};
use crate::api::{ExperimentState, Job, JobKind, JobState};
use crate::error::{Error, Result};
use crate::home::Home;

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
    /// What it does.
    pub(crate) kind: JobKind,
    /// What it works on: an experiment's id, a file.
    pub(crate) subject: &'a str,
    /// The device it needs for itself: `cpu`; empty for none.
    pub(crate) device: &'a str,
    /// Name of its lock file; its lock is held before the row exists.
    pub(crate) lock: &'a str,
}

/// A live row: what it says, and the lock that proves it.
struct Live {
    job: Job,
    lock: String,
}

impl Store {
    /// Adds a job at the end of its device's queue.
    pub(crate) fn add_job(&self, job: NewJob<'_>) -> Result<i64> {
        self.change(|transaction| {
            if job.kind == JobKind::Train {
                let taken: bool = transaction.query_row(
                    "SELECT EXISTS (SELECT 1 FROM jobs WHERE kind = 'train' AND subject = ?1 AND state IN ('queued', 'running'))",
                    [job.subject],
                    |row| row.get(0),
                )?;
                if taken {
                    return Err(Error::new(
                        "experiment-running",
                        format!("the experiment `{}` is running or waiting already", job.subject),
                    )
                    .with_remedy("Follow it, or pause it first."));
                }
            }
            transaction.execute(
                "INSERT INTO jobs (kind, subject, device, state, lock, pid, created_at)
                 VALUES (?1, ?2, ?3, 'queued', ?4, ?5, ?6)",
                params![
                    job.kind.as_str(),
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
        what: &str,
        done: u64,
        total: Option<u64>,
        left: Option<f64>,
    ) -> Result<()> {
        self.connection().execute(
            "UPDATE jobs SET what = ?2, done = ?3, total = ?4, seconds_left = ?5 WHERE id = ?1",
            params![id, what, done as i64, total.map(|total| total as i64), left],
        )?;
        Ok(())
    }

    /// Job `id`, in its true state.
    pub(crate) fn job(&self, id: i64, home: &Home) -> Result<Option<Job>> {
        self.reap(home)?;
        let connection = self.connection();
        let mut query = connection.prepare_cached("SELECT * FROM jobs WHERE id = ?1")?;
        Ok(query.query_row([id], read).optional()?)
    }

    /// The jobs that ended last, newest first, at most `limit`.
    pub(crate) fn ended_jobs(&self, limit: usize) -> Result<Vec<Job>> {
        let connection = self.connection();
        let mut query = connection.prepare_cached(
            "SELECT * FROM jobs WHERE state NOT IN ('queued', 'running') ORDER BY id DESC LIMIT ?1",
        )?;
        let rows = query.query_map([limit as i64], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
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

    /// The live job that trains, or waits to train, an experiment.
    pub(crate) fn live_training(&self, experiment: &str, home: &Home) -> Result<Option<Job>> {
        Ok(self
            .reap(home)?
            .into_iter()
            .find(|job| job.kind == JobKind::Train && job.subject == experiment))
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
        let (alive, dead): (Vec<Live>, Vec<Live>) =
            live.into_iter().partition(|live| is_held(home, &live.lock));
        if !dead.is_empty() {
            self.change(|transaction| {
                dead.iter()
                    .try_for_each(|dead| bury(transaction, &dead.job))
            })?;
            for dead in &dead {
                let _ = std::fs::remove_file(home.lock(&dead.lock));
            }
        }
        let alive: Vec<Job> = alive.into_iter().map(|live| live.job).collect();
        self.free_orphans(&alive)?;
        Ok(alive)
    }

    /// An experiment that says it works or waits while no job does so for it lost its process
    /// between the two rows; it is interrupted, and can be continued or deleted.
    fn free_orphans(&self, alive: &[Job]) -> Result<()> {
        let claimed: Vec<String> = {
            let connection = self.connection();
            let mut query = connection.prepare_cached(
                "SELECT id FROM experiments WHERE state IN ('queued', 'running')",
            )?;
            let ids = query.query_map([], |row| row.get(0))?;
            ids.collect::<Result<_, _>>()?
        };
        for id in claimed {
            let worked_on = |job: &Job| job.kind == JobKind::Train && job.subject == id;
            if !alive.iter().any(worked_on) {
                self.change(|transaction| interrupt_orphan(transaction, &id))?;
            }
        }
        Ok(())
    }

    fn live_rows(&self) -> Result<Vec<Live>> {
        let connection = self.connection();
        let mut query = connection.prepare_cached(
            "SELECT * FROM jobs WHERE state IN ('queued', 'running') ORDER BY id",
        )?;
        let rows = query.query_map([], |row| {
            Ok(Live {
                job: read(row)?,
                lock: row.get("lock")?,
            })
        })?;
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
        if job.kind == JobKind::Train {
            set_state(
                transaction,
                &job.subject,
                ExperimentState::Interrupted,
                None,
            )?;
        }
    }
    Ok(())
}

/// Marks an experiment as interrupted, unless a job has taken it up in the meantime.
fn interrupt_orphan(transaction: &Transaction<'_>, id: &str) -> Result<()> {
    let taken_up: bool = transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM jobs WHERE kind = 'train' AND subject = ?1 AND state IN ('queued', 'running'))",
        [id],
        |row| row.get(0),
    )?;
    if taken_up {
        return Ok(());
    }
    set_state(transaction, id, ExperimentState::Interrupted, None)
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
    match File::open(home.lock(lock)) {
        Ok(file) => matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
        // A file that cannot be opened now, for whatever other reason, proves no death.
        Err(source) => source.kind() != std::io::ErrorKind::NotFound,
    }
}

fn request(word: &str) -> Option<Request> {
    match word {
        "pause" => Some(Request::Pause),
        "stop" => Some(Request::Stop),
        _ => None,
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Job> {
    let (kind, state): (String, String) = (row.get("kind")?, row.get("state")?);
    let error: Option<String> = row.get("error")?;
    Ok(Job {
        id: row.get("id")?,
        kind: JobKind::ALL
            .into_iter()
            .find(|known| known.as_str() == kind)
            .unwrap_or(JobKind::Train),
        subject: row.get("subject")?,
        state: JobState::ALL
            .into_iter()
            .find(|known| known.as_str() == state)
            .unwrap_or(JobState::Failed),
        what: row.get("what")?,
        done: row.get::<_, i64>("done")? as u64,
        total: row
            .get::<_, Option<i64>>("total")?
            .map(|total| total as u64),
        seconds_left: row.get("seconds_left")?,
        pid: row.get("pid")?,
        created_at: row.get("created_at")?,
        started_at: row.get("started_at")?,
        ended_at: row.get("ended_at")?,
        error: error.and_then(|error| serde_json::from_str(&error).ok()),
    })
}
