//! What a run would cost, on the wire.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use ts_rs::TS;

/// What a run would take, before it is started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Estimate {
    /// The settings as the run's `config.yaml` would hold them.
    pub config: String,
    /// Conversations to learn from.
    pub train_conversations: u64,
    /// Conversations held out.
    pub validation_conversations: u64,
    /// Optimiser steps.
    pub steps: u64,
    /// Tokens of all steps, about.
    pub tokens: u64,
    /// Seconds of training, about.
    pub seconds: f64,
    /// Tokens per second it is computed with.
    pub tokens_per_second: f64,
    /// Where that rate comes from, in a sentence.
    pub rate_reason: String,
    /// Memory by part.
    pub memory: MemoryEstimate,
    /// Bytes its checkpoints need on disk.
    pub disk: u64,
    /// What would make it smaller, the mildest first; empty when it fits with room.
    pub suggestions: Vec<Suggestion>,
    /// Worth knowing, one sentence each.
    pub notes: Vec<String>,
}

/// Memory by part, against what this machine gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct MemoryEstimate {
    /// The parts, the largest contributors of a run in a fixed order.
    pub parts: Vec<MemoryPart>,
    /// Their sum in bytes.
    pub total: u64,
    /// Bytes a run may use: the limit of the preferences, else what the machine has for it.
    pub usable: u64,
    /// Whether the sum is within it.
    pub fits: bool,
}

/// One part of the memory of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct MemoryPart {
    /// What it holds: `Weights`, `Optimiser`.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
}

/// A change of settings that saves memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Suggestion {
    /// What to do, as a button says it: `Hold weights in bfloat16`.
    pub title: String,
    /// The settings to change.
    pub settings: Map<String, Value>,
    /// Bytes saved.
    pub saves: u64,
    /// Whether the run fits after it.
    pub fits: bool,
}

/// Whether a model can be tuned here with a method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct MethodFit {
    /// `lora`, `lora_bfloat16`, `qlora` or `full`.
    pub method: String,
    /// For people: `LoRA`, `LoRA on 16-bit weights`, `QLoRA on 4-bit weights`, `Full fine-tuning`.
    pub title: String,
    /// Bytes a run with the default settings needs.
    pub bytes: u64,
    /// Whether this machine has them.
    pub fits: bool,
}

/// The largest model that a method can tune here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Capacity {
    /// `lora`, `lora_bfloat16`, `qlora` or `full`.
    pub method: String,
    /// For people.
    pub title: String,
    /// Parameters of a Llama-like model that fits with the default settings, about.
    pub parameters: u64,
}
