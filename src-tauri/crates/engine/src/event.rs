//! What a run tells while it goes on. The same events draw the progress bar, fill the store and
//! feed the charts.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use ts_rs::TS;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TrainEvent {
    /// The run is set up; again each time a process takes it up.
    Started {
        /// The step of the checkpoint it goes on from. Without one it begins anew, and steps that
        /// an earlier process took and lost are taken again.
        resumed_from: Option<u64>,
        /// Optimiser steps in all.
        total_steps: u64,
        /// Optimiser steps of the first epoch.
        steps_per_epoch: u64,
        /// Samples to learn from.
        train_samples: usize,
        /// Samples held out.
        validation_samples: usize,
        /// Weights that training changes.
        trainable_parameters: u64,
        /// Weights in all.
        total_parameters: u64,
    },
    /// An optimiser step is done.
    Step {
        /// Counted from 1.
        step: u64,
        /// Epochs done.
        epoch: f64,
        /// Mean loss of the step: in nats over its trained tokens, or what another objective says.
        loss: f64,
        /// After the schedule.
        learning_rate: f64,
        /// Global norm before clipping.
        grad_norm: f64,
        /// Tokens of this step that counted in the loss.
        trained_tokens: u64,
        /// All tokens of this step over its wall time.
        tokens_per_second: f64,
        /// Largest resident size of the process so far, in bytes.
        peak_memory: u64,
        /// What else the objective measured, by the names TRL and transformers log it under:
        /// `rewards/margins`, `rewards/accuracies`, `accuracy`, `mse`, …
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        #[ts(as = "Option<BTreeMap<String, f64>>", optional)]
        metrics: BTreeMap<String, f64>,
    },
    /// The held-out samples were measured.
    Evaluation {
        /// Steps done.
        step: u64,
        /// Mean loss of the trained tokens, in nats, or what another objective says.
        loss: f64,
        /// `e^loss`: the perplexity where tokens are predicted.
        perplexity: f64,
        /// Whether it is the lowest so far.
        best: bool,
        /// As with a step.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        #[ts(as = "Option<BTreeMap<String, f64>>", optional)]
        metrics: BTreeMap<String, f64>,
    },
    /// A checkpoint is on disk.
    Checkpoint {
        /// Steps done.
        step: u64,
        /// Whether it is the best so far by validation loss.
        best: bool,
    },
    /// The run wrote a checkpoint and let go of the device.
    Paused {
        /// Steps done.
        step: u64,
    },
    /// The run goes on from a checkpoint.
    Resumed {
        /// Steps done.
        step: u64,
    },
    /// The run was ended before its time and its result kept.
    Stopped {
        /// Steps done.
        step: u64,
        /// Why.
        reason: String,
    },
    /// The run is complete.
    Finished {
        /// Steps done.
        step: u64,
        /// Whether early stopping ended it.
        early: bool,
    },
}
