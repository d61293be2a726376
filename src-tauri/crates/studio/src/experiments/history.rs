//! `events.jsonl`: what happened, one line each, only ever appended.
//!
//! After a kill, a run takes again the steps since its last checkpoint, or all of them when it had
//! none yet, and their lines appear twice. The file keeps both, because nothing that was written is
//! ever rewritten; the reader drops those that a later `started` line supersedes.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::api::{LoggedEvent, TrainEvent};
use crate::error::{Error, Result};
use crate::store::now_exact;

/// Name of the file in an experiment's folder.
pub(super) const FILE: &str = "events.jsonl";

/// The file, open for appending.
#[derive(Debug)]
pub(super) struct EventLog {
    file: File,
    path: PathBuf,
}

impl EventLog {
    /// Opens the file. A last line that a kill cut off is taken away: no reader has ever seen it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let refuse = |source: std::io::Error| Error::file("write", path, &source);
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(refuse)?;
        let content = fs::read(path).map_err(refuse)?;
        let whole = content
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |last| last + 1);
        if whole < content.len() {
            file.set_len(whole as u64).map_err(refuse)?;
        }
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Appends a line. One write call, so that a kill leaves a whole line or a cut-off last one.
    pub(super) fn append(&mut self, event: &TrainEvent) -> Result<()> {
        let line = LoggedEvent {
            time: now_exact(),
            event: event.clone(),
        };
        let mut line = serde_json::to_vec(&line).map_err(|source| {
            Error::new(
                "events-unwritable",
                format!("an event cannot be written: {source}"),
            )
        })?;
        line.push(b'\n');
        self.file
            .write_all(&line)
            .map_err(|source| Error::file("write", &self.path, &source))
    }
}

/// The events of a file, superseded ones dropped. A file that is not there yet holds none.
pub(super) fn read(path: &Path) -> Result<Vec<LoggedEvent>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::file("read", path, &source)),
    };
    let mut events: Vec<LoggedEvent> = Vec::new();
    // A line that does not parse is the one a running process is writing now, or was cut off.
    for event in text
        .lines()
        .filter_map(|line| serde_json::from_str::<LoggedEvent>(line).ok())
    {
        if let TrainEvent::Started { resumed_from, .. } = event.event {
            events.retain(|earlier| {
                step_of(&earlier.event)
                    .is_none_or(|done| resumed_from.is_some_and(|from| done <= from))
            });
        }
        events.push(event);
    }
    Ok(events)
}

/// The optimiser step an event belongs to.
fn step_of(event: &TrainEvent) -> Option<u64> {
    match event {
        TrainEvent::Started { .. } => None,
        TrainEvent::Step { step, .. }
        | TrainEvent::Evaluation { step, .. }
        | TrainEvent::Checkpoint { step, .. }
        | TrainEvent::Paused { step, .. }
        | TrainEvent::Resumed { step, .. }
        | TrainEvent::Stopped { step, .. }
        | TrainEvent::Finished { step, .. } => Some(*step),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn evaluation(step: u64, loss: f64) -> TrainEvent {
        TrainEvent::Evaluation {
            step,
            loss,
            perplexity: loss.exp(),
            best: true,
        }
    }

    fn started(resumed_from: Option<u64>) -> TrainEvent {
        TrainEvent::Started {
            resumed_from,
            total_steps: 3,
            steps_per_epoch: 3,
            train_samples: 3,
            validation_samples: 1,
            trainable_parameters: 1,
            total_parameters: 1,
        }
    }

    fn written(events: &[TrainEvent]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let mut log = EventLog::open(&path).unwrap();
        events.iter().for_each(|event| log.append(event).unwrap());
        (folder, path)
    }

    fn losses(path: &Path) -> Vec<(u64, f64)> {
        let events = read(path).unwrap().into_iter().map(|line| line.event);
        events
            .filter_map(|event| match event {
                TrainEvent::Evaluation { step, loss, .. } => Some((step, loss)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn steps_taken_again_appear_once() {
        let (_folder, path) = written(&[
            evaluation(1, 3.0),
            evaluation(2, 2.5),
            evaluation(3, 2.0),
            started(Some(2)),
            TrainEvent::Resumed { step: 2 },
            evaluation(3, 2.1),
        ]);
        assert_eq!(losses(&path), [(1, 3.0), (2, 2.5), (3, 2.1)]);
        assert_eq!(
            fs::read_to_string(&path).unwrap().lines().count(),
            6,
            "the file itself keeps every line"
        );
    }

    /// A run killed before its first checkpoint begins anew, without a `resumed` line.
    #[test]
    fn steps_of_a_run_that_began_anew_appear_once() {
        let (_folder, path) = written(&[
            started(None),
            evaluation(0, 4.0),
            evaluation(1, 3.0),
            started(None),
            evaluation(0, 4.0),
            evaluation(1, 3.0),
            evaluation(2, 2.5),
        ]);
        assert_eq!(losses(&path), [(0, 4.0), (1, 3.0), (2, 2.5)]);
    }

    #[test]
    fn a_line_cut_off_by_a_kill_is_no_event_and_spoils_none() {
        let (_folder, path) = written(&[evaluation(1, 3.0)]);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(br#"{"time": 1.0, "event": "evalu"#).unwrap();
        assert_eq!(losses(&path), [(1, 3.0)]);
        EventLog::open(&path)
            .unwrap()
            .append(&evaluation(2, 2.0))
            .unwrap();
        assert_eq!(losses(&path), [(1, 3.0), (2, 2.0)]);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
    }

    #[test]
    fn no_file_is_no_history() {
        assert_eq!(read(Path::new("/nowhere/events.jsonl")).unwrap(), []);
    }
}
