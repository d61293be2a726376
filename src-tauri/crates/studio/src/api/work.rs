//! Evaluation, scoring, chat and export on the wire.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{SamplingOptions, StopReason, Turn, Weights};

/// Arguments of `evaluate`. Rows come from `data`, or are those `held_out_of` an experiment;
/// without either, those held out by the experiment of `weights`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct EvaluateRequest {
    /// What to evaluate.
    #[serde(flatten)]
    pub weights: Weights,
    /// A dataset (id, name, unambiguous prefix), or a file that is read without being imported.
    pub data: Option<String>,
    /// Evaluate the rows this experiment did not train on.
    pub held_out_of: Option<String>,
    /// Only the first so many rows.
    pub limit: Option<usize>,
    /// Skip generation: loss and perplexity only.
    pub loss_only: bool,
    /// Return every row.
    pub rows: bool,
    /// Keep the result, with every row, beside the experiment that is evaluated or whose held-out
    /// rows are used.
    pub keep: bool,
    /// Longest sample in tokens; the setting's default without it.
    pub max_length: Option<usize>,
    /// Longest answer in tokens; the setting's default without it.
    pub max_new_tokens: Option<usize>,
    /// Prompts generated together; a size that fits without it.
    pub batch_size: Option<usize>,
}

/// What an evaluation measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Evaluation {
    /// The model evaluated: a name for people.
    pub model: String,
    /// The data: a name for people.
    pub data: String,
    /// Conversations evaluated.
    pub conversations: u64,
    /// Tokens the loss is a mean over.
    pub trained_tokens: u64,
    /// Mean negative log-likelihood per trained token, in nats.
    pub loss: f64,
    /// exp(loss).
    pub perplexity: f64,
    /// Greedy answers equal to the reference after trimming, of `answered`; absent with `loss_only`.
    pub exact_matches: Option<u64>,
    /// Conversations that end in an answer and were generated; absent with `loss_only`.
    pub answered: Option<u64>,
    /// `exact_matches / answered`, 0 to 1.
    pub exact_match: Option<f64>,
    /// Wall time in seconds, loading included.
    pub seconds: f64,
    /// Every row, when asked for.
    pub rows: Vec<EvaluationRow>,
}

/// One conversation of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct EvaluationRow {
    /// Index in the dataset, from 0.
    pub row: u64,
    /// The last user turn.
    pub prompt: String,
    /// The reference answer.
    pub answer: String,
    /// The model's answer; absent with `loss_only` or for plain text.
    pub prediction: Option<String>,
    /// Whether both are equal after trimming.
    pub exact_match: Option<bool>,
    /// Mean loss over this row's trained tokens; absent when it has none.
    pub loss: Option<f64>,
    /// Trained tokens of this row.
    pub trained_tokens: u64,
}

/// Arguments of `score`: exactly one of `tokens` and `text`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct ScoreRequest {
    /// What to score with.
    #[serde(flatten)]
    pub weights: Weights,
    /// Token ids.
    pub tokens: Option<Vec<u32>>,
    /// Text, encoded as the tokenizer does by itself (with its start token where it has one).
    pub text: Option<String>,
}

/// The log-probability of each token given those before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Score {
    /// Token ids.
    pub tokens: Vec<u32>,
    /// Natural logarithms; null for the first token, which nothing precedes.
    pub logprobs: Vec<Option<f32>>,
}

/// Arguments of `chat`.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct ChatRequest {
    /// What to chat with.
    #[serde(flatten)]
    pub weights: Weights,
    /// The conversation so far, ending with the person's turn.
    pub turns: Vec<Turn>,
    /// How to choose tokens. Absent: greedy for a plain answer.
    #[serde(default)]
    pub sampling: Option<SamplingOptions>,
}

/// The model's answer; its text was streamed as events before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Answer {
    /// The whole answer.
    pub text: String,
    /// Tokens of the prompt, template included.
    pub prompt_tokens: u64,
    /// Tokens generated.
    pub answer_tokens: u64,
    /// Seconds of generation, loading excluded.
    pub seconds: f64,
    /// Generated tokens per second.
    pub tokens_per_second: f64,
    /// Why it ended.
    pub stop_reason: StopReason,
}

/// What to write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// The adapter alone, in PEFT layout.
    #[default]
    Adapter,
    /// The whole model with the adapter merged in, as safetensors with its tokenizer.
    Merged,
}

/// How exported weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ExportDtype {
    /// 4 bytes per weight.
    Float32,
    /// 2 bytes, the range of float32.
    Bfloat16,
    /// 2 bytes, more digits and a smaller range.
    Float16,
}

/// Arguments of `export`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct ExportRequest {
    /// What to export.
    #[serde(flatten)]
    pub weights: Weights,
    /// What to write.
    pub format: ExportFormat,
    /// The folder to make.
    pub folder: PathBuf,
    /// Replace `folder` if it holds something.
    pub overwrite: bool,
    /// Precision of merged weights; the model's own without it.
    pub dtype: Option<ExportDtype>,
}

/// What an export wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Export {
    /// The folder.
    pub folder: PathBuf,
    /// What was written.
    pub format: ExportFormat,
    /// Files in it, by name.
    pub files: Vec<String>,
    /// Their size in bytes.
    pub bytes: u64,
}
