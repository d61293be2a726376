//! Where a training event goes: the history file, the library, the host. Nothing is measured here.

use std::time::{Duration, Instant};

use super::lines::Lines;
use super::samples::Asker;
use crate::Studio;
use crate::api::{Event, Experiment, GpuBackendKind, Level, LoggedEvent, Session, TrainEvent};
use crate::error::{Error, Result};
use crate::jobs::RunningJob;
use crate::store::now_exact;
use attune_engine::Decoder;

/// How often the library's row follows the run; the history file has every step.
const INTERVAL: Duration = Duration::from_millis(500);

/// Records one run.
pub(super) struct Recorder<'a> {
    studio: &'a Studio,
    job: &'a RunningJob,
    device: GpuBackendKind,
    log: Lines,
    asker: Option<Asker>,
    experiment: Experiment,
    /// When and at which step this process took its first step: the base of the time left.
    first: Option<(Instant, u64)>,
    written: Option<Instant>,
    failure: Option<Error>,
}

impl<'a> Recorder<'a> {
    /// Records into the experiment's own history what `device` computes.
    pub(super) fn new(
        studio: &'a Studio,
        job: &'a RunningJob,
        device: GpuBackendKind,
        experiment: &Experiment,
        asker: Option<Asker>,
    ) -> Result<Self> {
        let log = Lines::open(&experiment.folder.join(super::history::FILE))?;
        Ok(Self {
            studio,
            job,
            device,
            log,
            asker,
            experiment: experiment.clone(),
            first: None,
            written: None,
            failure: None,
        })
    }

    /// Records an event. When that fails, the run is paused: a run without a record is of no use,
    /// and its checkpoint is.
    pub(super) fn record(
        &mut self,
        event: TrainEvent,
        decoder: &Decoder,
        session: &mut Session<'_>,
    ) {
        self.follow(&event);
        let important = !matches!(event, TrainEvent::Step { .. });
        let line = LoggedEvent {
            time: now_exact(),
            event: event.clone(),
        };
        let mut outcome = self.log.append(&line).and_then(|()| self.write(important));
        let (experiment, seconds_left) = (self.experiment.id.clone(), self.experiment.seconds_left);
        session.report(Event::Train {
            experiment,
            event: event.clone(),
            seconds_left,
        });
        if let (Ok(()), Some(asker)) = (&outcome, &mut self.asker) {
            match asker.follow(&event, decoder, session.control().cancelled()) {
                Ok(None) => {}
                Ok(Some(problem)) => session.log(Level::Warning, problem),
                Err(error) => outcome = Err(error),
            }
        }
        if let Err(error) = outcome {
            self.failure.get_or_insert(error);
            session.control().pause();
        }
    }

    /// Writes the last numbers, and says what went wrong while recording.
    pub(super) fn finish(mut self) -> Result<()> {
        self.write(true)?;
        self.failure.map_or(Ok(()), Err)
    }

    fn write(&mut self, now: bool) -> Result<()> {
        if !now
            && self
                .written
                .is_some_and(|written| written.elapsed() < INTERVAL)
        {
            return Ok(());
        }
        self.written = Some(Instant::now());
        let store = self.studio.store()?;
        let experiment = &self.experiment;
        store.update_experiment(experiment)?;
        self.job.progress(
            store,
            "Training",
            experiment.step,
            experiment.total_steps,
            experiment.seconds_left,
        )
    }

    /// Takes the event's numbers over into the experiment's row.
    fn follow(&mut self, event: &TrainEvent) {
        let row = &mut self.experiment;
        match event {
            TrainEvent::Started { total_steps, .. } => row.total_steps = Some(*total_steps),
            TrainEvent::Step {
                step,
                epoch,
                loss,
                tokens_per_second,
                peak_memory,
                ..
            } => {
                row.step = *step;
                row.epoch = *epoch;
                row.loss = Some(*loss);
                row.tokens_per_second = Some(*tokens_per_second);
                row.device = Some(self.device);
                row.peak_memory = Some(row.peak_memory.unwrap_or(0).max(*peak_memory));
                let (since, first) = *self.first.get_or_insert((Instant::now(), *step));
                let left = row
                    .total_steps
                    .map(|total| total.saturating_sub(*step) as f64);
                let taken = step.saturating_sub(first) as f64;
                row.seconds_left = left
                    .filter(|_| taken > 0.0)
                    .map(|left| since.elapsed().as_secs_f64() / taken * left);
            }
            TrainEvent::Evaluation {
                step, loss, best, ..
            } => {
                row.validation_loss = Some(*loss);
                if *best {
                    row.best_validation_loss = Some(*loss);
                    row.best_step = Some(*step);
                }
            }
            TrainEvent::Resumed { step, .. } => row.step = *step,
            TrainEvent::Checkpoint { .. }
            | TrainEvent::Paused { .. }
            | TrainEvent::Stopped { .. }
            | TrainEvent::Finished { .. } => {}
        }
    }
}
