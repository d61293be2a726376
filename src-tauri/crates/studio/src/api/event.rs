//! What a command reports while it works, and how a host interrupts it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::TrainEvent;
use crate::error::{Error, Result};

/// One report of a running command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// How far a piece of work has come.
    Progress {
        /// The work, as a person would say it: `Reading orders.jsonl`. A new name starts a new bar.
        what: String,
        /// Units done.
        done: u64,
        /// Units in all, where known.
        total: Option<u64>,
        /// Estimated seconds left, once there is something to estimate from.
        seconds_left: Option<f64>,
    },
    /// An experiment was made and will train now or when it is its turn.
    Created {
        /// Its id.
        experiment: String,
    },
    /// The device is busy; this job waits in the queue. Repeated when the one in front changes.
    Waiting {
        /// What the waiting job works on: an experiment's id.
        subject: String,
        /// The experiment or job that holds the device.
        behind: String,
    },
    /// Training reports. The same event is a line of `events.jsonl`.
    Train {
        /// The experiment's id.
        experiment: String,
        /// The engine's report, as it is.
        event: TrainEvent,
        /// Estimated seconds left of the whole run, once there is something to estimate from.
        seconds_left: Option<f64>,
    },
    /// A piece of generated text: whole characters, in order.
    Text {
        /// The piece.
        text: String,
    },
    /// Something worth saying that is neither progress nor result.
    Log {
        /// How loud.
        level: Level,
        /// One sentence.
        message: String,
    },
}

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Good to know.
    Info,
    /// The work goes on, but not as asked.
    Warning,
}

/// A host's hand on a running command; clones share it. Any thread may use it.
#[derive(Debug, Clone, Default)]
pub struct Control {
    training: attune_engine::Control,
    cancelled: Arc<AtomicBool>,
    stopped: Arc<AtomicBool>,
}

impl Control {
    /// Training writes a checkpoint, frees the device and can be resumed; other work is cancelled.
    pub fn pause(&self) {
        self.training.pause();
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Training ends here and keeps what it has; other work is cancelled.
    pub fn stop(&self) {
        self.training.stop();
        self.stopped.store(true, Ordering::Relaxed);
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether anything was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Whether a stop was asked for, not only a pause.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// What the training loop polls.
    pub(crate) fn training(&self) -> &attune_engine::Control {
        &self.training
    }

    /// What generation polls.
    pub(crate) fn cancelled(&self) -> &AtomicBool {
        &self.cancelled
    }
}

/// What every command is given beside its arguments: where to report, and when to stop.
pub struct Session<'a> {
    on_event: &'a mut dyn FnMut(Event),
    control: &'a Control,
}

impl<'a> Session<'a> {
    /// A session that reports to `on_event` and obeys `control`.
    pub fn new(on_event: &'a mut dyn FnMut(Event), control: &'a Control) -> Self {
        Self { on_event, control }
    }

    /// Reports.
    pub fn report(&mut self, event: Event) {
        (self.on_event)(event);
    }

    /// Reports a sentence.
    pub fn log(&mut self, level: Level, message: impl Into<String>) {
        self.report(Event::Log {
            level,
            message: message.into(),
        });
    }

    /// The host's hand.
    pub fn control(&self) -> &'a Control {
        self.control
    }

    /// Ends the command here when the host asked for it.
    pub fn check(&self) -> Result<()> {
        if self.control.is_cancelled() {
            Err(Error::cancelled())
        } else {
            Ok(())
        }
    }
}

/// A piece of work with a known rate: turns counts into [`Event::Progress`] with time left.
pub(crate) struct Progress {
    what: String,
    total: Option<u64>,
    started: Instant,
    reported: Option<Instant>,
}

impl Progress {
    /// Reports closer together than this are dropped; a window repaints no faster.
    const INTERVAL_SECONDS: f64 = 0.05;

    /// Work of `total` units, starting now.
    pub(crate) fn new(what: impl Into<String>, total: Option<u64>) -> Self {
        Self {
            what: what.into(),
            total,
            started: Instant::now(),
            reported: None,
        }
    }

    /// Sets how many units there are, once that is known.
    pub(crate) fn total(&mut self, total: u64) {
        self.total = Some(total);
    }

    /// Reports `done` units, unless the last report is too fresh; the end is always reported.
    pub(crate) fn report(&mut self, done: u64, session: &mut Session<'_>) {
        let ended = self.total == Some(done);
        let fresh = |at: Instant| at.elapsed().as_secs_f64() < Self::INTERVAL_SECONDS;
        if !ended && self.reported.is_some_and(fresh) {
            return;
        }
        self.reported = Some(Instant::now());
        let seconds_left = self.total.and_then(|total| {
            let elapsed = self.started.elapsed().as_secs_f64();
            (done > 0).then(|| elapsed / done as f64 * total.saturating_sub(done) as f64)
        });
        let what = self.what.clone();
        session.report(Event::Progress {
            what,
            done,
            total: self.total,
            seconds_left,
        });
    }
}
