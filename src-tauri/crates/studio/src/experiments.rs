//! Experiments: made from a configuration, trained in the queue, paused, continued, kept, deleted.

mod history;
mod lines;
mod plan;
mod recorder;
mod rows;
mod run;
mod samples;
mod start_point;

use std::time::{Duration, Instant};

use crate::Studio;
use crate::api::{
    Event, EventsPage, Experiment, ExperimentReport, ExperimentRequest, ExperimentStartRequest,
    ExperimentState, ExperimentsEventsRequest, ExperimentsListRequest, ExperimentsRenameRequest,
    ExperimentsShowRequest, Level, LogLine, Removed, Samples, Session,
};
use crate::error::{Error, Result};
use crate::files::remove_folder;
use crate::settings::{ExperimentConfig, differences, from_yaml, to_yaml, values};
use crate::store::Request;

pub(crate) use plan::{Plan, space_needed};
pub(crate) use rows::{Rows, tokenise};
pub(crate) use run::{TrainingData, options};
pub(crate) use start_point::StartPoint;

/// Name of the log in an experiment's folder.
const LOG: &str = "log.jsonl";

/// How long a pause or stop waits for the step in progress before it returns.
const PATIENCE: Duration = Duration::from_secs(10);

/// Validates a configuration, makes an experiment of it, waits for the device and trains.
pub(crate) fn start(
    studio: &Studio,
    request: ExperimentStartRequest,
    session: &mut Session<'_>,
) -> Result<Experiment> {
    let plan = Plan::new(studio, &request, session)?;
    if request.dry_run {
        return Ok(plan.preview(studio));
    }
    let id = plan.make(studio)?;
    session.report(Event::Created {
        experiment: id.clone(),
    });
    run::run(studio, &id, session)
}

/// Lists the experiments, newest first.
pub(crate) fn list(
    studio: &Studio,
    _: ExperimentsListRequest,
    _: &mut Session<'_>,
) -> Result<Vec<Experiment>> {
    let store = studio.store()?;
    store.reap(studio.home())?;
    store.experiments(studio.home())
}

/// Shows an experiment with its settings and its history.
pub(crate) fn show(
    studio: &Studio,
    request: ExperimentsShowRequest,
    _: &mut Session<'_>,
) -> Result<ExperimentReport> {
    let experiment = find(studio, &request.experiment)?;
    let config = config_of(&experiment)?;
    let other = match &request.compare {
        Some(other) => config_of(&find(studio, other)?)?,
        None => ExperimentConfig::default(),
    };
    let checkpoints = experiment.folder.join("checkpoints");
    Ok(ExperimentReport {
        config: to_yaml(&config)?,
        settings: values(&config),
        differences: differences(&config, &other),
        events: history::read(&experiment.folder.join(history::FILE))?,
        last_checkpoint: attune_engine::last_checkpoint(&checkpoints)?
            .map(|checkpoint| checkpoint.folder),
        best_checkpoint: attune_engine::best_checkpoint(&checkpoints)?
            .map(|checkpoint| checkpoint.folder),
        experiment,
    })
}

/// Says what has happened since the last call.
pub(crate) fn events(
    studio: &Studio,
    request: ExperimentsEventsRequest,
    _: &mut Session<'_>,
) -> Result<EventsPage> {
    let experiment = find(studio, &request.experiment)?;
    let (events, next) = lines::read(&experiment.folder.join(history::FILE), request.after)?;
    Ok(EventsPage {
        experiment,
        events,
        next,
    })
}

/// What the runs of an experiment said, oldest first.
pub(crate) fn log(
    studio: &Studio,
    request: ExperimentRequest,
    _: &mut Session<'_>,
) -> Result<Vec<LogLine>> {
    let experiment = find(studio, &request.experiment)?;
    Ok(lines::read(&experiment.folder.join(LOG), 0)?.0)
}

/// What an experiment answered to the same questions as it learnt.
pub(crate) fn samples(
    studio: &Studio,
    request: ExperimentRequest,
    _: &mut Session<'_>,
) -> Result<Samples> {
    samples::read(&find(studio, &request.experiment)?.folder)
}

/// Gives an experiment another name.
pub(crate) fn rename(
    studio: &Studio,
    request: ExperimentsRenameRequest,
    _: &mut Session<'_>,
) -> Result<Experiment> {
    let name = request.name.trim();
    if name.is_empty() {
        return Err(Error::new("name-empty", "an experiment needs a name")
            .with_remedy("Type at least one letter."));
    }
    let experiment = find(studio, &request.experiment)?;
    studio.store()?.rename_experiment(&experiment.id, name)?;
    find(studio, &experiment.id)
}

/// Asks a running or waiting experiment to checkpoint and free the device.
pub(crate) fn pause(
    studio: &Studio,
    request: ExperimentRequest,
    session: &mut Session<'_>,
) -> Result<Experiment> {
    let experiment = find(studio, &request.experiment)?;
    ask(studio, &experiment, Request::Pause, session)
}

/// Asks a running or waiting experiment to end and keep what it has; one that rests is kept as it is.
pub(crate) fn stop(
    studio: &Studio,
    request: ExperimentRequest,
    session: &mut Session<'_>,
) -> Result<Experiment> {
    use ExperimentState::{Failed, Interrupted, Paused};
    let experiment = find(studio, &request.experiment)?;
    if matches!(experiment.state, Paused | Interrupted | Failed) {
        studio
            .store()?
            .set_experiment_state(&experiment.id, ExperimentState::Stopped, None)?;
        return find(studio, &experiment.id);
    }
    ask(studio, &experiment, Request::Stop, session)
}

/// Continues an experiment from its last checkpoint.
pub(crate) fn resume(
    studio: &Studio,
    request: ExperimentRequest,
    session: &mut Session<'_>,
) -> Result<Experiment> {
    use ExperimentState::{Failed, Finished, Interrupted, Paused, Queued, Running, Stopped};
    let experiment = find(studio, &request.experiment)?;
    match experiment.state {
        Paused | Interrupted | Failed => run::run(studio, &experiment.id, session),
        Queued | Running => Err(refusal(
            &experiment,
            "experiment-running",
            "Follow it with `attune experiments show`.",
        )),
        Finished | Stopped => Err(refusal(
            &experiment,
            "experiment-ended",
            &format!(
                "Start a new experiment from it with `--set pretrained_weights={}`.",
                experiment.id
            ),
        )),
    }
}

/// Deletes an experiment with its files.
pub(crate) fn delete(
    studio: &Studio,
    request: ExperimentRequest,
    _: &mut Session<'_>,
) -> Result<Removed> {
    use ExperimentState::{Queued, Running};
    let experiment = find(studio, &request.experiment)?;
    if matches!(experiment.state, Queued | Running) {
        return Err(refusal(
            &experiment,
            "experiment-running",
            "Stop it first: `attune experiments stop`.",
        ));
    }
    studio.unload();
    // Files first: a row without files can be deleted again, files without a row would be lost.
    let freed = remove_folder(&experiment.folder)?;
    studio.store()?.remove_experiment(&experiment.id)?;
    Ok(Removed {
        id: experiment.id,
        name: experiment.name,
        freed,
    })
}

/// The settings an experiment was made with.
pub(crate) fn config_of(experiment: &Experiment) -> Result<ExperimentConfig> {
    let path = experiment.folder.join(plan::CONFIG);
    let text =
        std::fs::read_to_string(&path).map_err(|source| Error::file("read", &path, &source))?;
    from_yaml(&text, &path)
}

/// The experiment that `reference` means, in its true state.
pub(crate) fn find(studio: &Studio, reference: &str) -> Result<Experiment> {
    let store = studio.store()?;
    store.reap(studio.home())?;
    store.experiment(reference, studio.home())
}

fn refusal(experiment: &Experiment, code: &str, remedy: &str) -> Error {
    Error::new(
        code,
        format!(
            "the experiment `{}` is {}",
            experiment.id,
            experiment.state.as_str()
        ),
    )
    .with_remedy(remedy)
}

/// Leaves a request for the process that holds the experiment, and waits a while for its effect.
fn ask(
    studio: &Studio,
    experiment: &Experiment,
    request: Request,
    session: &mut Session<'_>,
) -> Result<Experiment> {
    let store = studio.store()?;
    let Some(job) = store.live_training(&experiment.id, studio.home())? else {
        return Err(refusal(
            experiment,
            "experiment-not-running",
            "Only one that runs or waits can be asked.",
        ));
    };
    store.ask_job(job.id, request)?;
    let asked = Instant::now();
    while asked.elapsed() < PATIENCE && !session.control().is_cancelled() {
        if store
            .live_training(&experiment.id, studio.home())?
            .is_none()
        {
            return find(studio, &experiment.id);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    session.log(
        Level::Info,
        "The request is noted; the run obeys after the step in progress.",
    );
    find(studio, &experiment.id)
}
