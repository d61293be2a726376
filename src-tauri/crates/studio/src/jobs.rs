//! Long work: listed in the library, so that every process sees how far it is and can ask it to
//! end. Work that needs the device for itself waits in its queue, first come, first served, across
//! all processes.

use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::Studio;
use crate::api::{Control, Event, Job, JobKind, JobRequest, JobState, JobsListRequest, Session};
use crate::error::{Error, Result};
use crate::files::make_folder;
use crate::home::Home;
use crate::store::{NewJob, Request, Store};

/// Of work that shares the machine with others.
const NO_DEVICE: &str = "";

/// How often a waiting job looks whether it is its turn, and a working one whether something was
/// asked of it.
const INTERVAL: Duration = Duration::from_millis(250);

/// How long a request waits for its effect before it returns.
const PATIENCE: Duration = Duration::from_secs(10);

/// A job of this process. Dropped without an end, others will see it as interrupted.
#[derive(Debug)]
pub(crate) struct RunningJob {
    id: i64,
    subject: String,
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
    pub(crate) fn join(
        studio: &Studio,
        kind: JobKind,
        subject: &str,
        device: &str,
    ) -> Result<Self> {
        let home = studio.home();
        make_folder(&home.lock(""))?;
        let name = format!(
            "{}-{}-{:08x}",
            kind.as_str(),
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
            subject: subject.to_owned(),
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
                session.report(Event::Waiting {
                    subject: self.subject.clone(),
                    behind: behind.clone(),
                });
                told = Some(behind);
            }
            thread::sleep(INTERVAL);
        }
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
        what: &str,
        done: u64,
        total: Option<u64>,
        left: Option<f64>,
    ) -> Result<()> {
        store.set_job_progress(self.id, what, done, total, left)
    }

    /// Ends the job and frees the device.
    pub(crate) fn end(self, store: &Store, state: JobState, error: Option<&Error>) -> Result<()> {
        store.set_job_state(self.id, state, error)?;
        let _ = std::fs::remove_file(&self.lock);
        Ok(())
    }
}

/// Does `work` as a job that needs no device for itself.
pub(crate) fn run<T>(
    studio: &Studio,
    kind: JobKind,
    subject: &str,
    session: &mut Session<'_>,
    work: impl FnOnce(&mut Session<'_>) -> Result<T>,
) -> Result<T> {
    let job = RunningJob::join(studio, kind, subject, NO_DEVICE)?;
    studio
        .store()?
        .set_job_state(job.id, JobState::Running, None)?;
    followed(studio, job, session, work)
}

/// Does `work` as a job that has the device for itself, once it is its turn.
pub(crate) fn run_on_device<T>(
    studio: &Studio,
    kind: JobKind,
    subject: &str,
    session: &mut Session<'_>,
    work: impl FnOnce(&mut Session<'_>) -> Result<T>,
) -> Result<T> {
    let device = studio.backend()?.kind.as_str();
    let mut job = RunningJob::join(studio, kind, subject, device)?;
    match job.wait(studio, device, session)? {
        Turn::Mine => followed(studio, job, session, work),
        Turn::GivenUp(_) => {
            job.end(studio.store()?, JobState::Cancelled, None)?;
            Err(Error::cancelled())
        }
    }
}

/// Does `work`, writes its progress into the job's row, and ends the job with what came of it.
fn followed<T>(
    studio: &Studio,
    job: RunningJob,
    session: &mut Session<'_>,
    work: impl FnOnce(&mut Session<'_>) -> Result<T>,
) -> Result<T> {
    let (store, control) = (studio.store()?, session.control());
    let mut written: Option<Instant> = None;
    let mut forward = |event: Event| {
        if let Event::Progress {
            what,
            done,
            total,
            seconds_left,
        } = &event
            && written.is_none_or(|written| written.elapsed() >= INTERVAL)
        {
            written = Some(Instant::now());
            // How far a job is, is a comfort; what the job does decides whether it fails.
            let _ = job.progress(store, what, *done, *total, *seconds_left);
        }
        session.report(event);
    };
    let result = job.listen(studio, control, || {
        work(&mut Session::new(&mut forward, control))
    })?;
    let (state, error) = match &result {
        Ok(_) => (JobState::Finished, None),
        Err(error) if error.code == Error::cancelled().code => (JobState::Cancelled, None),
        Err(error) => (JobState::Failed, Some(error)),
    };
    // The work's own result counts. A row that could not be written is seen as interrupted once
    // this process is gone.
    let _ = job.end(store, state, error);
    result
}

/// The work in progress, oldest first, then what has ended, newest first.
pub(crate) fn list(
    studio: &Studio,
    request: JobsListRequest,
    _: &mut Session<'_>,
) -> Result<Vec<Job>> {
    let store = studio.store()?;
    let mut jobs = store.reap(studio.home())?;
    jobs.extend(store.ended_jobs(request.ended)?);
    Ok(jobs)
}

/// Asks a job to end, and waits a while for it.
pub(crate) fn cancel(
    studio: &Studio,
    request: JobRequest,
    session: &mut Session<'_>,
) -> Result<Job> {
    let (store, home) = (studio.store()?, studio.home());
    let find = || {
        store.job(request.job, home)?.ok_or_else(|| {
            Error::new("job-not-found", format!("there is no job {}", request.job))
                .with_remedy("`attune jobs list --ended 20` shows what there was.")
        })
    };
    let job = find()?;
    if !is_live(&job) {
        return Err(Error::new(
            "job-ended",
            format!("job {} is {}", job.id, job.state.as_str()),
        )
        .with_remedy("Only one that runs or waits can be cancelled."));
    }
    store.ask_job(job.id, Request::Pause)?;
    let asked = Instant::now();
    while asked.elapsed() < PATIENCE && !session.control().is_cancelled() && is_live(&find()?) {
        thread::sleep(Duration::from_millis(50));
    }
    find()
}

fn is_live(job: &Job) -> bool {
    matches!(job.state, JobState::Queued | JobState::Running)
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
        let job = RunningJob::join(&studio, JobKind::Train, &id, "cpu").unwrap();
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
        let mut front = RunningJob::join(&studio, JobKind::Train, &first, "cpu").unwrap();
        let mut back = RunningJob::join(&studio, JobKind::Train, &second, "cpu").unwrap();
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
                subject: second,
                behind: first
            }]
        );
    }

    #[test]
    fn a_waiting_job_gives_up_when_asked_through_the_store() {
        let (_home, studio) = studio();
        let (first, second) = (experiment(&studio, "first"), experiment(&studio, "second"));
        let _front = RunningJob::join(&studio, JobKind::Train, &first, "cpu").unwrap();
        let mut back = RunningJob::join(&studio, JobKind::Train, &second, "cpu").unwrap();
        let store = studio.store().unwrap();
        let job = store
            .live_training(&second, studio.home())
            .unwrap()
            .unwrap();
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
        let job = RunningJob::join(&studio, JobKind::Train, &id, "cpu").unwrap();
        let control = Control::default();
        let store = studio.store().unwrap();
        let heard = job.listen(&studio, &control, || {
            store.ask_job(job.id, Request::Pause).unwrap();
            let asked_at = Instant::now();
            while !control.is_cancelled() && asked_at.elapsed() < Duration::from_secs(5) {
                thread::sleep(Duration::from_millis(5));
            }
            asked_at.elapsed()
        });
        assert!(heard.unwrap() < Duration::from_millis(500));
    }

    #[test]
    fn every_job_is_listed_while_it_works_and_after() {
        let (_home, studio) = studio();
        let control = Control::default();
        let mut ignore = |_| {};
        let mut session = Session::new(&mut ignore, &control);
        let outcome = run(
            &studio,
            JobKind::Import,
            "/data/orders.csv",
            &mut session,
            |session| {
                let progress = Event::Progress {
                    what: "Reading".to_owned(),
                    done: 3,
                    total: Some(4),
                    seconds_left: None,
                };
                session.report(progress);
                let jobs = list(&studio, JobsListRequest { ended: 5 }, session)?;
                assert_eq!(jobs.len(), 1);
                assert_eq!(
                    (jobs[0].state, jobs[0].done, jobs[0].total),
                    (JobState::Running, 3, Some(4))
                );
                assert_eq!(jobs[0].subject, "/data/orders.csv");
                Err::<(), _>(Error::new("data-broken-line", "broken"))
            },
        );
        assert_eq!(outcome.unwrap_err().code, "data-broken-line");
        assert_eq!(
            list(&studio, JobsListRequest::default(), &mut session).unwrap(),
            []
        );
        let ended = list(&studio, JobsListRequest { ended: 5 }, &mut session).unwrap();
        assert_eq!(ended[0].state, JobState::Failed);
        assert_eq!(ended[0].error.as_ref().unwrap().code, "data-broken-line");
    }

    #[test]
    fn another_process_can_cancel_a_job() {
        let (_home, studio) = studio();
        let control = Control::default();
        thread::scope(|scope| {
            let working = scope.spawn(|| {
                let mut ignore = |_| {};
                let mut session = Session::new(&mut ignore, &control);
                run_on_device(
                    &studio,
                    JobKind::Evaluate,
                    "a model",
                    &mut session,
                    |session| {
                        loop {
                            session.check()?;
                            thread::sleep(Duration::from_millis(5));
                        }
                    },
                ) as Result<()>
            });
            let elsewhere = Control::default();
            let mut ignore = |_| {};
            let mut session = Session::new(&mut ignore, &elsewhere);
            let job = loop {
                let jobs = list(&studio, JobsListRequest::default(), &mut session).unwrap();
                if let Some(job) = jobs.into_iter().find(|job| job.state == JobState::Running) {
                    break job;
                }
                thread::sleep(Duration::from_millis(5));
            };
            let cancelled = cancel(&studio, JobRequest { job: job.id }, &mut session).unwrap();
            assert_eq!(cancelled.state, JobState::Cancelled);
            assert_eq!(working.join().unwrap().unwrap_err().code, "cancelled");
            let again = cancel(&studio, JobRequest { job: job.id }, &mut session).unwrap_err();
            assert_eq!(again.code, "job-ended");
        });
    }

    /// A kill between an experiment's row and its job's would leave it waiting for ever.
    #[test]
    fn an_experiment_without_its_job_is_interrupted() {
        let (_home, studio) = studio();
        let id = experiment(&studio, "orphan");
        assert_eq!(state(&studio, &id), ExperimentState::Queued);
        studio.store().unwrap().reap(studio.home()).unwrap();
        assert_eq!(state(&studio, &id), ExperimentState::Interrupted);
    }

    #[test]
    fn a_run_is_queued_once() {
        let (_home, studio) = studio();
        let id = experiment(&studio, "first");
        let _job = RunningJob::join(&studio, JobKind::Train, &id, "cpu").unwrap();
        let again = RunningJob::join(&studio, JobKind::Train, &id, "cpu").unwrap_err();
        assert_eq!(again.code, "experiment-running");
    }
}
