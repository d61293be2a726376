//! Experiments on the wire.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use ts_rs::TS;

use super::{GpuBackendKind, TrainEvent};
use crate::error::Error;

/// Where an experiment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ExperimentState {
    /// Waits for the device.
    Queued,
    /// Trains now, in a living process.
    Running,
    /// Was paused; continues from its last checkpoint.
    Paused,
    /// Its process ended without a word; continues from its last checkpoint.
    Interrupted,
    /// Was stopped early and kept.
    Stopped,
    /// Trained to its end.
    Finished,
    /// Ended with an error.
    Failed,
}

impl ExperimentState {
    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Interrupted => "interrupted",
            Self::Stopped => "stopped",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }
}

/// One run and its latest numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Experiment {
    /// Unique, short, readable.
    pub id: String,
    /// The name its owner gave it.
    pub name: String,
    /// Where it stands.
    pub state: ExperimentState,
    /// Id of the dataset.
    pub dataset: String,
    /// Id or folder of the model.
    pub model: String,
    /// `lora` or `full`.
    pub method: String,
    /// Seconds since 1970.
    pub created_at: i64,
    /// Seconds since 1970 of the first start.
    pub started_at: Option<i64>,
    /// Seconds since 1970 of the end, whatever the end was.
    pub ended_at: Option<i64>,
    /// Optimiser steps done.
    pub step: u64,
    /// Optimiser steps in all, once known.
    pub total_steps: Option<u64>,
    /// Passes over the data done.
    pub epoch: f64,
    /// Training loss of the last step.
    pub loss: Option<f64>,
    /// Validation loss of the last evaluation.
    pub validation_loss: Option<f64>,
    /// Lowest validation loss.
    pub best_validation_loss: Option<f64>,
    /// The step with the lowest validation loss.
    pub best_step: Option<u64>,
    /// Rate of the last step.
    pub tokens_per_second: Option<f64>,
    /// What computed the last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub device: Option<GpuBackendKind>,
    /// Highest memory of the process, in bytes.
    pub peak_memory: Option<u64>,
    /// The same as it was predicted before the first step, in bytes.
    pub predicted_memory: Option<u64>,
    /// Estimated seconds left while running.
    pub seconds_left: Option<f64>,
    /// The process that trains, or trained, it.
    pub pid: Option<u32>,
    /// Why it failed.
    pub error: Option<Error>,
    /// Where its files lie.
    pub folder: PathBuf,
}

/// Arguments of `experiment_start`. Settings come from the defaults, then `config`, then
/// `settings`, then `set`; all are validated before anything is written.
#[derive(Debug, Clone, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct ExperimentStartRequest {
    /// A YAML file of settings.
    pub config: Option<PathBuf>,
    /// Settings by key, as typed values.
    pub settings: Map<String, Value>,
    /// `key=value` as a person types it.
    pub set: Vec<String>,
    /// Validate and describe only; nothing is written.
    pub dry_run: bool,
}

/// Arguments of the commands that take one experiment.
#[derive(Debug, Clone, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct ExperimentRequest {
    /// Id, name or unambiguous prefix.
    pub experiment: String,
}

/// Arguments of `experiments_list`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct ExperimentsListRequest {}

/// Arguments of `experiments_show`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct ExperimentsShowRequest {
    /// Id, name or unambiguous prefix.
    pub experiment: String,
    /// Another experiment to compare settings with; the defaults without it.
    pub compare: Option<String>,
}

/// An experiment with its settings and its history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct ExperimentReport {
    /// The experiment.
    pub experiment: Experiment,
    /// Its settings as YAML, complete.
    pub config: String,
    /// The same by key, to start another experiment from.
    pub settings: Map<String, Value>,
    /// Where its settings differ from the defaults, or from the experiment compared with.
    pub differences: Vec<Difference>,
    /// What happened, in order; steps that a resume took again appear once.
    pub events: Vec<LoggedEvent>,
    /// The newest checkpoint.
    pub last_checkpoint: Option<PathBuf>,
    /// The checkpoint with the lowest validation loss.
    pub best_checkpoint: Option<PathBuf>,
}

/// A line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct LoggedEvent {
    /// Seconds since 1970.
    pub time: f64,
    /// What the engine reported.
    #[serde(flatten)]
    pub event: TrainEvent,
}

/// A setting on which two configurations differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Difference {
    /// The setting's key.
    pub key: String,
    /// The value here.
    pub value: Value,
    /// The value there: the default, or the other experiment's.
    pub other: Value,
}
