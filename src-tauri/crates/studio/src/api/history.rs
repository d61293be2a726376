//! What a run has left behind, on the wire.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{Evaluation, Experiment, Level, LoggedEvent, Weights};

/// Arguments of `experiments_events`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct ExperimentsEventsRequest {
    /// Id, name or unambiguous prefix.
    pub experiment: String,
    /// The `next` of the reply before; 0 for everything.
    pub after: u64,
}

/// What has happened since.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct EventsPage {
    /// The experiment as it is now.
    pub experiment: Experiment,
    /// The new events, in order. A `started` event supersedes every event of a step after its
    /// `resumed_from`, or of every step when it has none.
    pub events: Vec<LoggedEvent>,
    /// Where to go on.
    pub next: u64,
}

/// Arguments of `experiments_rename`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct ExperimentsRenameRequest {
    /// Id, name or unambiguous prefix.
    pub experiment: String,
    /// The new name; the id stays.
    pub name: String,
}

/// A line of a run's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct LogLine {
    /// Seconds since 1970.
    pub time: f64,
    /// How loud.
    pub level: Level,
    /// One sentence.
    pub message: String,
}

/// Answers of a run to the same questions, as it learns.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, TS)]
pub struct Samples {
    /// The questions, from the held-out rows.
    pub prompts: Vec<SamplePrompt>,
    /// The answers, oldest first; those of step 0 are the model's before tuning.
    pub rounds: Vec<SampleRound>,
}

/// A question that is asked again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SamplePrompt {
    /// Index in the dataset, from 0.
    pub row: u64,
    /// The last user turn.
    pub prompt: String,
    /// The reference answer.
    pub answer: String,
}

/// The answers after some steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SampleRound {
    /// Optimiser steps done.
    pub step: u64,
    /// One answer for each prompt.
    pub answers: Vec<String>,
}

/// An evaluation that was kept with the experiment it concerns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct KeptEvaluation {
    /// Seconds since 1970.
    pub time: f64,
    /// What was evaluated.
    pub weights: Weights,
    /// What came out, with every row.
    pub evaluation: Evaluation,
}
