//! One run of an experiment, from its place in the queue to its end.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::lines::Lines;
use super::recorder::Recorder;
use super::rows::Tokenised;
use super::samples::Asker;
use super::{Rows, StartPoint, config_of, find, refusal, tokenise};
use crate::Studio;
use crate::api::{
    Conversation, Event, Experiment, ExperimentState, JobKind, JobState, Level, LogLine, Session,
    TrainEvent,
};
use crate::datasets;
use crate::device::notes;
use crate::error::{Error, Result};
use crate::estimate;
use crate::jobs::{RunningJob, Turn, asked};
use crate::models;
use crate::preview;
use crate::settings::{ExperimentConfig, ScheduleChoice};
use crate::store::{Request, now_exact};
use crate::weights::load_decoder;
use attune_data::{Sample, Tokenizer};
use attune_engine::{Decoder, Device, ModelSpec, Outcome, Schedule, TrainOptions, has_bf16};

/// Trains experiment `id` from its last checkpoint, or from its start, to its end or to a pause.
pub(super) fn run(studio: &Studio, id: &str, session: &mut Session<'_>) -> Result<Experiment> {
    let store = studio.store()?;
    let experiment = store.experiment(id, studio.home())?;
    if store.live_training(id, studio.home())?.is_some() {
        return Err(refusal(
            &experiment,
            "experiment-running",
            "It is running in another process already.",
        ));
    }
    let device = studio.backend()?.kind;
    let mut job = RunningJob::join(studio, JobKind::Train, id, device.as_str())?;
    store.set_experiment_state(id, ExperimentState::Queued, None)?;
    let result = match job.wait(studio, device.as_str(), session)? {
        Turn::GivenUp(_) => Err(Error::cancelled()),
        Turn::Mine => {
            store.set_experiment_state(id, ExperimentState::Running, None)?;
            let control = session.control();
            job.listen(studio, control, || {
                train_logged(studio, &job, &experiment, session)
            })?
        }
    };
    let (job_state, state, error) = end_of(result, session);
    let recorded = store
        .set_experiment_state(id, state, error.as_ref())
        .and_then(|()| job.end(store, job_state, error.as_ref()));
    // Why the run failed matters more than that a full disk kept this from being written down.
    match error {
        Some(error) => Err(error),
        None => recorded.and_then(|()| find(studio, id)),
    }
}

/// What an outcome means for the job, for the experiment, and for the person.
fn end_of(
    result: Result<Outcome>,
    session: &Session<'_>,
) -> (JobState, ExperimentState, Option<Error>) {
    match result {
        Ok(Outcome::Finished | Outcome::StoppedEarly) => {
            (JobState::Finished, ExperimentState::Finished, None)
        }
        Ok(Outcome::Paused) => (JobState::Cancelled, ExperimentState::Paused, None),
        Ok(Outcome::Stopped) => (JobState::Cancelled, ExperimentState::Stopped, None),
        // Asked to end before the first step: there is nothing to keep, and nothing went wrong.
        Err(error) if error.code == Error::cancelled().code => match asked(session.control()) {
            Some(Request::Stop) => (JobState::Cancelled, ExperimentState::Stopped, None),
            _ => (JobState::Cancelled, ExperimentState::Paused, None),
        },
        Err(error) => (JobState::Failed, ExperimentState::Failed, Some(error)),
    }
}

/// Trains, and keeps what was said in the experiment's log.
fn train_logged(
    studio: &Studio,
    job: &RunningJob,
    experiment: &Experiment,
    session: &mut Session<'_>,
) -> Result<Outcome> {
    let log = &mut Lines::open(&experiment.folder.join(super::LOG))?;
    let control = session.control();
    let mut forward = |event: Event| {
        if let Event::Log { level, message } = &event {
            note(log, *level, message);
        }
        if let Event::Train { event, .. } = &event
            && let Some(message) = said(event)
        {
            note(log, Level::Info, &message);
        }
        session.report(event);
    };
    let result = train(
        studio,
        job,
        experiment,
        &mut Session::new(&mut forward, control),
    );
    if let Err(error) = &result {
        note(log, Level::Warning, &format!("Failed: {error}"));
    }
    result
}

/// What the log says of an event; steps are in the history.
fn said(event: &TrainEvent) -> Option<String> {
    Some(match event {
        TrainEvent::Started {
            total_steps,
            train_samples,
            validation_samples,
            trainable_parameters,
            total_parameters,
            ..
        } => format!(
            "Started: {total_steps} steps over {train_samples} samples, {validation_samples} held out; {trainable_parameters} of {total_parameters} weights are trained."
        ),
        TrainEvent::Step { .. } => return None,
        TrainEvent::Evaluation {
            step, loss, best, ..
        } => format!(
            "Step {step}: validation loss {loss:.4}{}.",
            if *best { ", the lowest so far" } else { "" }
        ),
        TrainEvent::Checkpoint { step, .. } => format!("Step {step}: checkpoint written."),
        TrainEvent::Paused { step } => format!("Paused at step {step}."),
        TrainEvent::Resumed { step } => format!("Continued from step {step}."),
        TrainEvent::Stopped { step, reason } => format!("Stopped at step {step}: {reason}."),
        TrainEvent::Finished { step, early: true } => {
            format!("Ended at step {step}: the validation loss no longer falls.")
        }
        TrainEvent::Finished { step, .. } => format!("Finished after {step} steps."),
    })
}

/// A line of the log. The log is a comfort; a full disk is reported by what matters more.
fn note(log: &mut Lines, level: Level, message: &str) {
    let _ = log.append(&LogLine {
        time: now_exact(),
        level,
        message: message.to_owned(),
    });
}

fn train(
    studio: &Studio,
    job: &RunningJob,
    experiment: &Experiment,
    session: &mut Session<'_>,
) -> Result<Outcome> {
    let config = config_of(experiment)?;
    let model = models::find(studio, &config.model)?;
    studio.unload();
    let data = TrainingData::prepare(studio, experiment, &config, &model.folder, session)?;
    let start = StartPoint::of(experiment, &model.folder);
    let kind = studio.backend()?.kind;
    let device = kind.open()?;
    let spec = ModelSpec::from_folder(&start.base)?;
    for note in notes(kind, || has_bf16(&device), &config, &spec) {
        session.log(Level::Info, note);
    }
    let mut decoder = prepare(&start, &model.name, &config, &device, session)?;
    session.check()?;
    let checkpoints = experiment.folder.join("checkpoints");
    crate::files::make_folder(&checkpoints)?;
    preview::keep_first_batch(studio, experiment, &config, &data)?;
    let tokens = |samples: &[Sample]| samples.iter().map(|sample| sample.len() as u64).sum();
    let longest = data.train.iter().map(Sample::len).max().unwrap_or(0) as u64;
    let (spec, held_out) = (decoder.spec(), tokens(&data.validation));
    let predicted = estimate::predicted(spec, &config, longest, held_out)?;
    let experiment = &Experiment {
        predicted_memory: Some(predicted),
        ..experiment.clone()
    };
    let context = spec.context();
    let asker = Asker::new(
        &experiment.folder,
        data.tokenizer,
        &data.held_out,
        &config,
        context,
    )?;
    let mut recorder = Recorder::new(studio, job, kind, experiment, asker)?;
    let control = session.control().training();
    let outcome = attune_engine::train(
        &mut decoder,
        &data.train,
        &data.validation,
        &options(&config),
        &checkpoints,
        control,
        &mut |event, decoder| recorder.record(event, decoder, session),
    );
    recorder.finish()?;
    Ok(outcome?)
}

/// What a run trains on and is measured on.
pub(crate) struct TrainingData {
    /// The model's tokenizer, set to the time of the experiment.
    pub(crate) tokenizer: Tokenizer,
    /// The samples to train on.
    pub(crate) train: Vec<Sample>,
    /// For each of them its row in the dataset.
    pub(crate) train_rows: Vec<usize>,
    /// The samples to validate on.
    pub(crate) validation: Vec<Sample>,
    /// The conversations they are made of, with their rows.
    pub(crate) held_out: Vec<(usize, Conversation)>,
}

impl TrainingData {
    /// Reads and tokenises the rows that the settings choose.
    pub(crate) fn prepare(
        studio: &Studio,
        experiment: &Experiment,
        config: &ExperimentConfig,
        model: &Path,
        session: &mut Session<'_>,
    ) -> Result<Self> {
        let mut tokenizer = Tokenizer::from_folder(model)?;
        // A template may print the date: a run continued tomorrow must see the samples of today.
        tokenizer.set_time(
            SystemTime::UNIX_EPOCH + Duration::from_secs(experiment.created_at.max(0) as u64),
        );
        let conversations = datasets::all(studio, &config.dataset, session)?;
        let rows = Rows::choose(config, conversations.len());
        let held_out: Vec<(usize, Conversation)> = match &config.validation_dataset {
            Some(validation) => (0..)
                .zip(datasets::all(studio, validation, session)?)
                .collect(),
            None => rows
                .validation
                .iter()
                .map(|row| (*row, conversations[*row].clone()))
                .collect(),
        };
        let picked: Vec<&Conversation> =
            rows.train.iter().map(|row| &conversations[*row]).collect();
        let train = tokenised(&tokenizer, &picked, config, session)?;
        let validation = if held_out.is_empty() {
            Vec::new()
        } else {
            let picked: Vec<&Conversation> = held_out.iter().map(|(_, one)| one).collect();
            tokenised(&tokenizer, &picked, config, session)?.samples
        };
        Ok(Self {
            train_rows: train.rows.iter().map(|place| rows.train[*place]).collect(),
            train: train.samples,
            validation,
            held_out,
            tokenizer,
        })
    }
}

fn tokenised(
    tokenizer: &Tokenizer,
    conversations: &[&Conversation],
    config: &ExperimentConfig,
    session: &mut Session<'_>,
) -> Result<Tokenised> {
    let mut found = tokenise(
        tokenizer,
        conversations,
        config.max_length,
        config.mask_prompt_labels,
        session,
    )?;
    if let Some(problem) = found.first_problem.take() {
        if found.samples.is_empty() {
            return Err(problem);
        }
        session.log(
            Level::Warning,
            format!("{} conversations are left out: {problem}", found.skipped),
        );
    }
    Ok(found)
}

/// The model with what is to be trained of it.
fn prepare(
    start: &StartPoint,
    name: &str,
    config: &ExperimentConfig,
    device: &Device,
    session: &mut Session<'_>,
) -> Result<Decoder> {
    let stored = config.frozen_weights(&ModelSpec::from_folder(&start.base)?);
    let mut decoder = load_decoder(&start.base, name, stored, device, session)?;
    if let Some(adapter) = &start.adapter {
        decoder.load_adapter(adapter)?;
        decoder.set_lora_dropout(config.lora_dropout);
    }
    match config.adapter()? {
        None => decoder.make_trainable_in(config.trained_weights()?)?,
        Some(adapter) if start.adapter.is_none() => {
            decoder.attach_lora(&adapter, config.seed.max(0) as u64)?;
        }
        Some(_) => {}
    }
    Ok(decoder)
}

pub(crate) fn options(config: &ExperimentConfig) -> TrainOptions {
    TrainOptions {
        epochs: config.epochs,
        max_steps: config.max_steps,
        batch_size: config.batch_size,
        grad_accumulation: config.grad_accumulation,
        max_length: config.max_length,
        packing: config.packing,
        learning_rate: config.learning_rate,
        schedule: match config.schedule {
            ScheduleChoice::Cosine => Schedule::Cosine,
            ScheduleChoice::Linear => Schedule::Linear,
            ScheduleChoice::Constant => Schedule::Constant,
        },
        min_learning_rate_ratio: config.min_learning_rate_ratio,
        warmup_epochs: config.warmup_epochs,
        optimizer: config.optimizer,
        paged_optimizer: config.paged_optimizer,
        weight_decay: config.weight_decay,
        beta1: config.adam_beta1,
        beta2: config.adam_beta2,
        epsilon: config.adam_epsilon,
        momentum: config.sgd_momentum,
        loraplus_lr_ratio: config.loraplus_lr_ratio,
        neftune_noise_alpha: config.neftune_noise_alpha,
        gradient_clip: config.gradient_clip,
        seed: config.seed.max(0) as u64,
        shuffle: config.shuffle,
        mixed_precision: config.mixed_precision,
        gradient_checkpointing: config.gradient_checkpointing,
        evaluation_epochs: config.evaluation_epochs,
        evaluate_before_training: config.evaluate_before_training,
        early_stopping_patience: config.early_stopping_patience,
        checkpoint_steps: config.checkpoint_steps,
    }
}
