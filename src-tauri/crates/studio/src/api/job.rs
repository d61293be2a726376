//! Jobs on the wire: work in progress, in whatever process.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::error::Error;

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Brings a file into the library.
    Import,
    /// Trains an experiment.
    Train,
    /// Measures a model on data.
    Evaluate,
    /// Writes an adapter or a model.
    Export,
}

impl JobKind {
    pub(crate) const ALL: [Self; 4] = [Self::Import, Self::Train, Self::Evaluate, Self::Export];

    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Train => "train",
            Self::Evaluate => "evaluate",
            Self::Export => "export",
        }
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
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
    pub(crate) const ALL: [Self; 6] = [
        Self::Queued,
        Self::Running,
        Self::Finished,
        Self::Failed,
        Self::Cancelled,
        Self::Interrupted,
    ];

    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
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

/// A piece of long work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Job {
    /// Number in order of arrival.
    pub id: i64,
    /// What it does.
    pub kind: JobKind,
    /// What it works on: an experiment's id, a file, a folder, a model.
    pub subject: String,
    /// Where it stands.
    pub state: JobState,
    /// What it is doing now, as a person would say it.
    pub what: Option<String>,
    /// Units of that done.
    pub done: u64,
    /// Units of that in all, where known.
    pub total: Option<u64>,
    /// Estimated seconds left of that, while it works.
    pub seconds_left: Option<f64>,
    /// The process that works.
    pub pid: u32,
    /// Seconds since 1970.
    pub created_at: i64,
    /// Seconds since 1970 at which it got its device.
    pub started_at: Option<i64>,
    /// Seconds since 1970.
    pub ended_at: Option<i64>,
    /// Why it failed.
    pub error: Option<Error>,
}

/// Arguments of `jobs_list`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct JobsListRequest {
    /// So many of those that have ended, too.
    pub ended: usize,
}

/// Arguments of the commands that take one job.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct JobRequest {
    /// Its number.
    pub job: i64,
}
