//! From a request to an experiment's folder: everything is checked before anything is written.

use crate::Studio;
use crate::api::{Experiment, ExperimentStartRequest, ExperimentState, Level, Session};
use crate::error::{Error, Result};
use crate::experiments::start_point::Start;
use crate::files::{PendingFolder, make_folder, require_space, write};
use crate::models;
use crate::naming::slug;
use crate::settings::{ExperimentConfig, Layers, to_yaml};
use crate::store::now;
use attune_engine::ModelSpec;

/// The file with an experiment's settings.
pub(super) const CONFIG: &str = "config.yaml";

/// Space beside the checkpoints: history, logs, the library.
const MARGIN: u64 = 50_000_000;

/// A validated experiment to be.
pub(crate) struct Plan {
    name: String,
    config: ExperimentConfig,
    start: Start,
}

impl Plan {
    /// Reads the settings and finds what they name.
    pub(crate) fn new(
        studio: &Studio,
        request: &ExperimentStartRequest,
        session: &mut Session<'_>,
    ) -> Result<Self> {
        let mut layers = Layers::default();
        if let Some(path) = &request.config {
            layers.add_file(path)?;
        }
        layers.add_values(&request.settings)?;
        request
            .set
            .iter()
            .try_for_each(|assignment| layers.add_assignment(assignment))?;
        let mut config = layers.finish()?;

        let (store, home) = (studio.store()?, studio.home());
        let dataset = store
            .dataset(&config.dataset, home)
            .map_err(|error| error.with_place("dataset"))?;
        if let Some(validation) = &config.validation_dataset {
            let validation = store
                .dataset(validation, home)
                .map_err(|error| error.with_place("validation_dataset"))?;
            config.validation_dataset = Some(validation.id);
        }
        let model =
            models::find(studio, &config.model).map_err(|error| error.with_place("model"))?;
        model.require_usable()?;
        let spec = ModelSpec::from_folder(&model.folder)?;
        let name = config
            .experiment_name
            .clone()
            .unwrap_or_else(|| format!("{} {}", dataset.name, model.name));
        config.experiment_name = Some(name.clone());
        config.dataset.clone_from(&dataset.id);
        config.model = model.reference();
        if config.seed < 0 {
            config.seed = i64::from(rand::random::<u32>());
        }
        if config.max_length > spec.context() {
            session.log(
                Level::Warning,
                format!(
                    "max_length {} is more than the model's context; samples are cut at {} tokens",
                    config.max_length,
                    spec.context()
                ),
            );
            config.max_length = spec.context();
        }
        let start = Start::find(studio, &mut config, session)?;
        require_space(
            home.root(),
            space_needed(&spec, &config)?,
            "this run with its checkpoints",
        )?;
        Ok(Self {
            name,
            config,
            start,
        })
    }

    /// Its settings, complete.
    pub(crate) fn config(self) -> ExperimentConfig {
        self.config
    }

    /// The experiment as it would be.
    pub(super) fn preview(self, studio: &Studio) -> Experiment {
        let id = slug(&self.name);
        Experiment {
            folder: studio.home().experiment(&id),
            id,
            method: method(&self.config).to_owned(),
            name: self.name,
            state: ExperimentState::Queued,
            dataset: self.config.dataset,
            model: self.config.model,
            created_at: now(),
            started_at: None,
            ended_at: None,
            step: 0,
            total_steps: None,
            epoch: 0.0,
            loss: None,
            validation_loss: None,
            best_validation_loss: None,
            best_step: None,
            tokens_per_second: None,
            device: None,
            peak_memory: None,
            predicted_memory: None,
            seconds_left: None,
            pid: None,
            error: None,
        }
    }

    /// Writes folder and row, both or neither, and returns the id.
    pub(super) fn make(self, studio: &Studio) -> Result<String> {
        let home = studio.home();
        let facts = (
            self.config.dataset.as_str(),
            self.config.model.as_str(),
            method(&self.config),
        );
        make_folder(&home.experiment(""))?;
        studio
            .store()?
            .add_experiment(&self.name, facts, home, |id| {
                let pending = PendingFolder::new(&home.experiment(id))?;
                write(
                    &pending.path().join(CONFIG),
                    to_yaml(&self.config)?.as_bytes(),
                )?;
                self.start.place(pending.path())?;
                pending.finish(false).map(|_| ())
            })
    }
}

fn method(config: &ExperimentConfig) -> &'static str {
    if config.lora { "lora" } else { "full" }
}

/// Bytes of the last and the best checkpoint and the one being written: what is trained, and what
/// the optimiser remembers of it.
pub(crate) fn space_needed(spec: &ModelSpec, config: &ExperimentConfig) -> Result<u64> {
    const COPIES: u64 = 3;
    let adapter = config.adapter()?;
    let checkpoint = spec.checkpoint_bytes(adapter.as_ref(), config.optimizer)?;
    Ok(checkpoint * COPIES + MARGIN)
}

/// The refusal of a setting that names something unusable.
pub(super) fn refuse(setting: &str, code: &str, message: String, remedy: &str) -> Error {
    Error::new(code, message)
        .with_remedy(remedy)
        .with_place(setting)
}
