//! Work that needs the device for itself: one queue per device, first come, first served, across
//! all processes.

use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use crate::Studio;
use crate::api::{Control, Event, Session};
use crate::error::{Error, Result};
use crate::files::make_folder;
use crate::home::Home;
use crate::store::{JobState, NewJob, Request, Store};

/// How often a waiting job looks whether it is its turn, and a working one whether something was
/// asked of it.
const INTERVAL: Duration = Duration::from_millis(250);

/// A job of this process. Dropped without an end, others will see it as interrupted.
#[derive(Debug)]
pub(crate) struct RunningJob {
    id: i64,
    // The lock is the sign of life; it falls with this handle or with the process.
    _alive: File,
    lock: PathBuf,
    device: Option<File>,
}

/// Why a wait ended without the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is this job's turn, and the device is its own.
    Mine,
    /// Somebody asked it to give up.
    GivenUp(Request),
}

impl RunningJob {
    /// Joins the queue of `device` for `subject`.
    pub(crate) fn join(studio: &Studio, kind: &str, subject: &str, device: &str) -> Result<Self> {
        let home = studio.home();
        make_folder(&home.lock(""))?;
        let name = format!(
            "{kind}-{subject}-{}-{:08x}",
            std::process::id(),
            rand::random::<u32>()
        );
        let lock = home.lock(&name);
        let alive = File::create(&lock).map_err(|source| Error::file("write", &lock, &source))?;
        alive
            .lock()
            .map_err(|source| Error::file("lock", &lock, &source))?;
        let id = studio.store()?.add_job(NewJob {
            kind,
            subject,
            device,
            lock: &name,
        })?;
        Ok(Self {
            id,
            _alive: alive,
            lock,
            device: None,
        })
    }

    /// Waits until the device is free and takes it, or until somebody asks otherwise.
    pub(crate) fn wait(
        &mut self,
        studio: &Studio,
        device: &str,
        session: &mut Session<'_>,
    ) -> Result<Turn> {
        let (home, store) = (studio.home(), studio.store()?);
        let subject = |id| {
            store
                .job_in_front(id, device, home)
                .map(|job| job.map(|job| job.subject))
        };
        let mut told = None;
        loop {
            self.obey(store, session.control())?;
            if let Some(request) = asked(session.control()) {
                return Ok(Turn::GivenUp(request));
            }
            let in_front = subject(self.id)?;
            if in_front.is_none() && self.take_device(home, device)? {
                store.set_job_state(self.id, JobState::Running, None)?;
                return Ok(Turn::Mine);
            }
            // Nobody in front and yet not free: its last owner is about to let go.
            if let Some(behind) = in_front.filter(|behind| told.as_ref() != Some(behind)) {
                let experiment = self.subject(store, home)?;
                session.report(Event::Waiting {
                    experiment,
                    behind: behind.clone(),
                });
                told = Some(behind);
            }
            thread::sleep(INTERVAL);
        }
    }

    fn subject(&self, store: &Store, home: &Home) -> Result<String> {
        let mine = store.reap(home)?.into_iter().find(|job| job.id == self.id);
        Ok(mine.map(|job| job.subject).unwrap_or_default())
    }

    fn take_device(&mut self, home: &Home, device: &str) -> Result<bool> {
        let path = home.lock(&format!("device-{device}"));
        let file = File::create(&path).map_err(|source| Error::file("write", &path, &source))?;
        match file.try_lock() {
            Ok(()) => {
                self.device = Some(file);
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(source)) => Err(Error::file("lock", &path, &source)),
        }
    }

    /// Passes on to `control` what other processes asked through the store.
    fn obey(&self, store: &Store, control: &Control) -> Result<()> {
        match store.job_request(self.id)? {
            Some(Request::Stop) => control.stop(),
            Some(Request::Pause) => control.pause(),
            None => {}
        }
        Ok(())
    }

    /// Does `work` while a second thread listens for what other processes ask.
    pub(crate) fn listen<T>(
        &self,
        studio: &Studio,
        control: &Control,
        work: impl FnOnce() -> T,
    ) -> Result<T> {
        // Its own connection: the worker may hold the other one.
        let store = Store::open(&studio.home().database())?;
        let (ended, end) = std::sync::mpsc::channel::<()>();
        Ok(thread::scope(|scope| {
            scope.spawn(|| {
                let end = end;
                while end.recv_timeout(INTERVAL) == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
                {
                    // A database that is busy now will answer in a moment.
                    let _ = self.obey(&store, control);
                }
            });
            // Dropped when the work ends, also when it panics, so that the listener always ends.
            let _ended = ended;
            work()
        }))
    }

    /// Writes how far the job has come.
    pub(crate) fn progress(
        &self,
        store: &Store,
        done: u64,
        total: Option<u64>,
        left: Option<f64>,
    ) -> Result<()> {
        store.set_job_progress(self.id, done, total, left)
    }

    /// Ends the job and frees the device.
    pub(crate) fn end(self, store: &Store, state: JobState, error: Option<&Error>) -> Result<()> {
        store.set_job_state(self.id, state, error)?;
        let _ = std::fs::remove_file(&self.lock);
        Ok(())
    }
}

/// What the host or another process asked for; nothing while `None`.
pub(crate) fn asked(control: &Control) -> Option<Request> {
    if control.is_stopped() {
        Some(Request::Stop)
    } else if control.is_cancelled() {
        Some(Request::Pause)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::api::ExperimentState;

    fn studio() -> (tempfile::TempDir, Studio) {
        let home = tempfile::tempdir().unwrap();
        let studio = Studio::open_at(home.path());
        (home, studio)
    }

    fn experiment(studio: &Studio, name: &str) -> String {
        let store = studio.store().unwrap();
        store
            .add_experiment(name, ("orders", "starter", "lora"), studio.home(), |_| {
                Ok(())
            })
            .unwrap()
    }

    fn state(studio: &Studio, id: &str) -> ExperimentState {
        studio
            .store()
            .unwrap()
            .experiment(id, studio.home())
            .unwrap()
            .state
    }

    #[test]
    fn a_killed_owner_is_seen_as_interrupted() {
        let (_home, studio) = studio();
        let id = experiment(&studio, "first");
        let job = RunningJob::join(&studio, "train", &id, "cpu").unwrap();
        let store = studio.store().unwrap();
        assert_eq!(store.reap(studio.home()).unwrap().len(), 1);
        assert_eq!(state(&studio, &id), ExperimentState::Queued);
        // What the system does at kill -9: the handle goes, nothing is written.
        drop(job);
        assert!(store.reap(studio.home()).unwrap().is_empty());
        assert_eq!(state(&studio, &id), ExperimentState::Interrupted);
    }

    #[test]
    fn the_second_waits_for_the_first() {
        let (_home, studio) = studio();
        let (first, second) = (experiment(&studio, "first"), experiment(&studio, "second"));
        let control = Control::default();
        let mut events = Vec::new();
        let mut front = RunningJob::join(&studio, "train", &first, "cpu").unwrap();
        let mut back = RunningJob::join(&studio, "train", &second, "cpu").unwrap();
        let mut ignore = |_| {};
        assert_eq!(
            front
                .wait(&studio, "cpu", &mut Session::new(&mut ignore, &control))
                .unwrap(),
            Turn::Mine
        );
        let store = studio.store().unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let mut keep = |event| events.push(event);
                back.wait(&studio, "cpu", &mut Session::new(&mut keep, &control))
            });
            thread::sleep(INTERVAL);
            front.end(store, JobState::Finished, None).unwrap();
            assert_eq!(waiting.join().unwrap().unwrap(), Turn::Mine);
        });
        assert_eq!(
            events,
            [Event::Waiting {
                experiment: second,
                behind: first
            }]
        );
    }

    #[test]
    fn a_waiting_job_gives_up_when_asked_through_the_store() {
        let (_home, studio) = studio();
        let (first, second) = (experiment(&studio, "first"), experiment(&studio, "second"));
        let _front = RunningJob::join(&studio, "train", &first, "cpu").unwrap();
        let mut back = RunningJob::join(&studio, "train", &second, "cpu").unwrap();
        let store = studio.store().unwrap();
        let job = store.live_job(&second, studio.home()).unwrap().unwrap();
        store.ask_job(job.id, Request::Stop).unwrap();
        store.ask_job(job.id, Request::Pause).unwrap();
        let control = Control::default();
        let turn = back
            .wait(&studio, "cpu", &mut Session::new(&mut |_| {}, &control))
            .unwrap();
        assert_eq!(
            turn,
            Turn::GivenUp(Request::Stop),
            "a pause does not soften a stop"
        );
    }

    #[test]
    fn a_working_job_hears_a_request_within_half_a_second() {
        let (_home, studio) = studio();
        let id = experiment(&studio, "first");
        let job = RunningJob::join(&studio, "train", &id, "cpu").unwrap();
        let control = Control::default();
        let store = studio.store().unwrap();
        let heard = job.listen(&studio, &control, || {
            store.ask_job(job.id, Request::Pause).unwrap();
            let asked_at = std::time::Instant::now();
            while !control.is_cancelled() && asked_at.elapsed() < Duration::from_secs(5) {
                thread::sleep(Duration::from_millis(5));
            }
            asked_at.elapsed()
        });
        assert!(heard.unwrap() < Duration::from_millis(500));
    }
}
