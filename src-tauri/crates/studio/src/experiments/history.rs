//! `events.jsonl`: what happened, one line each, only ever appended.
//!
//! After a kill, a run takes again the steps since its last checkpoint, or all of them when it had
//! none yet, and their lines appear twice. The file keeps both, because nothing that was written is
//! ever rewritten; the reader drops those that a later `started` line supersedes.

use std::path::Path;

use super::lines;
use crate::api::{LoggedEvent, TrainEvent};
use crate::error::Result;

/// Name of the file in an experiment's folder.
pub(super) const FILE: &str = "events.jsonl";

/// The events of a file, superseded ones dropped.
pub(super) fn read(path: &Path) -> Result<Vec<LoggedEvent>> {
    let mut events: Vec<LoggedEvent> = Vec::new();
    for event in lines::read::<LoggedEvent>(path, 0)?.0 {
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
    use crate::experiments::lines::Lines;
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::PathBuf;

    fn evaluation(step: u64, loss: f64) -> TrainEvent {
        TrainEvent::Evaluation {
            step,
            loss,
            perplexity: loss.exp(),
            best: true,
            metrics: BTreeMap::new(),
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
        let mut log = Lines::open(&path).unwrap();
        for event in events {
            let event = event.clone();
            log.append(&LoggedEvent { time: 1.0, event }).unwrap();
        }
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
    fn no_file_is_no_history() {
        assert_eq!(read(Path::new("/nowhere/events.jsonl")).unwrap(), []);
    }
}
