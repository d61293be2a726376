//! Jobs in words.

use attune_studio::api::{Job, JobState};

use crate::table::{Left, Right, Table};
use crate::words::{ago, percent, shortened, time_left};

/// How much of a subject stands in the list: a path can be long.
const SUBJECT: usize = 48;

/// The work in progress, and what has ended where that was asked for.
pub(super) fn list(jobs: &[Job]) -> String {
    if jobs.is_empty() {
        return "Nothing works, and nothing waits.\n".to_owned();
    }
    let mut table = Table::new([
        ("Job", Right),
        ("What", Left),
        ("On", Left),
        ("State", Left),
        ("Done", Right),
        ("", Left),
    ]);
    for job in jobs {
        let share = job
            .total
            .filter(|total| *total > 0)
            .map(|total| percent(job.done as f64 / total as f64));
        let note = match (&job.error, job.seconds_left) {
            (Some(error), _) => shortened(&error.message, SUBJECT),
            (None, Some(seconds)) => time_left(seconds),
            (None, None) => ago(job.ended_at.unwrap_or(job.created_at)),
        };
        table.add([
            job.id.to_string(),
            job.kind.as_str().to_owned(),
            shortened(&job.subject, SUBJECT),
            job.state.as_str().to_owned(),
            share.unwrap_or_default(),
            note,
        ]);
    }
    table.to_string()
}

/// A job after it was asked to end.
pub(super) fn asked(job: &Job) -> String {
    match job.state {
        JobState::Queued | JobState::Running => format!(
            "Job {} was asked to end; it obeys after the step in progress.\n",
            job.id
        ),
        state => format!("Job {} is {}.\n", job.id, state.as_str()),
    }
}
