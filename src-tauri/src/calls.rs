//! The commands that work now: who wants to interrupt one, or to know whether any is left, asks here.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use attune_studio::api::{Call, Control};
use serde::Deserialize;

/// What it would cost to end a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Trains, or waits to: can be paused and continued.
    Run,
    /// Would have to be done again.
    Job,
    /// Nobody would notice.
    Question,
}

impl Work {
    pub(crate) fn of(call: &Call) -> Self {
        match call {
            Call::ExperimentStart(request) if !request.dry_run => Self::Run,
            Call::ExperimentsResume(_) => Self::Run,
            Call::DataImport(_) | Call::Evaluate(_) | Call::Export(_) => Self::Job,
            _ => Self::Question,
        }
    }
}

/// How the page interrupts.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum How {
    /// Training can be continued later; other work is cancelled.
    Pause,
    /// Training keeps what it has; other work is cancelled.
    Stop,
}

#[derive(Debug)]
struct Running {
    number: u64,
    /// The page's own number. A page that was loaded anew counts from the beginning again.
    call: u64,
    work: Work,
    control: Control,
}

#[derive(Debug, Default)]
struct Shared {
    running: Mutex<(u64, Vec<Running>)>,
    ended: Condvar,
}

/// The commands that work now; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calls(Arc<Shared>);

/// A command that works; it is in the list as long as this lives.
#[derive(Debug)]
pub(crate) struct Underway {
    calls: Calls,
    number: u64,
    pub(crate) control: Control,
}

impl Calls {
    fn list(&self) -> MutexGuard<'_, (u64, Vec<Running>)> {
        // The list is whole whatever happened to a thread that held it.
        self.0
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up the page's call number `call`.
    pub(crate) fn begin(&self, call: u64, work: Work) -> Underway {
        let control = Control::default();
        let mut list = self.list();
        list.0 += 1;
        let number = list.0;
        list.1.push(Running {
            number,
            call,
            work,
            control: control.clone(),
        });
        Underway {
            calls: self.clone(),
            number,
            control,
        }
    }

    /// Interrupts the page's call number `call`; one that has ended is left alone.
    pub(crate) fn interrupt(&self, call: u64, how: How) {
        let list = self.list();
        if let Some(running) = list.1.iter().rev().find(|running| running.call == call) {
            match how {
                How::Pause => running.control.pause(),
                How::Stop => running.control.stop(),
            }
        }
    }

    /// Pauses runs and cancels everything else.
    pub(crate) fn pause_all(&self) {
        for running in &self.list().1 {
            running.control.pause();
        }
    }

    /// How many commands do work of this kind.
    pub(crate) fn count(&self, work: Work) -> usize {
        let list = self.list();
        list.1.iter().filter(|running| running.work == work).count()
    }

    /// Returns when there is neither a run nor a job.
    pub(crate) fn wait_until_idle(&self) {
        let mut list = self.list();
        while list.1.iter().any(|running| running.work != Work::Question) {
            list = self
                .0
                .ended
                .wait(list)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let mut list = self.calls.list();
        list.1.retain(|running| running.number != self.number);
        self.calls.0.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// After a reload the page counts from one again, while its old run still trains.
    #[test]
    fn the_newest_call_of_a_number_is_interrupted() {
        let calls = Calls::default();
        let old = calls.begin(1, Work::Run);
        let new = calls.begin(1, Work::Question);
        calls.interrupt(1, How::Pause);
        assert!(new.control.is_cancelled() && !old.control.is_cancelled());
        drop(new);
        calls.interrupt(1, How::Stop);
        assert!(old.control.is_stopped());
        calls.interrupt(7, How::Stop);
    }

    #[test]
    fn leaving_waits_for_runs_and_jobs_and_for_nothing_else() {
        let calls = Calls::default();
        let _question = calls.begin(1, Work::Question);
        let run = calls.begin(2, Work::Run);
        let (told, idle) = mpsc::channel();
        let waiting = calls.clone();
        let waiter = thread::spawn(move || {
            waiting.wait_until_idle();
            told.send(()).unwrap();
        });
        assert!(idle.recv_timeout(Duration::from_millis(50)).is_err());
        calls.pause_all();
        assert!(run.control.is_cancelled() && !run.control.is_stopped());
        // Also a panic drops it.
        let _ = thread::spawn(move || {
            let _run = run;
            panic!("broken inside");
        })
        .join();
        idle.recv_timeout(Duration::from_secs(5)).unwrap();
        waiter.join().unwrap();
        assert_eq!(calls.count(Work::Run), 0);
    }
}
