//! Conversations as the model will see them, on the wire.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{ColumnChoice, Conversation, Shape};
use crate::error::Error;

/// Arguments of `data_preview`. The conversations are those of `dataset`, or those an import of
/// `path` would make.
#[derive(Debug, Clone, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct DataPreviewRequest {
    /// A dataset: id, name or unambiguous prefix.
    pub dataset: Option<String>,
    /// A file outside the library, with the choices of an import.
    pub path: Option<PathBuf>,
    /// Which columns are what; guessed without it.
    pub shape: Option<Shape>,
    /// The columns a person has chosen, where `shape` is not given; the rest is guessed.
    pub columns: ColumnChoice,
    /// Which file of an archive.
    pub member: Option<String>,
    /// The model whose template and tokenizer are used.
    pub model: String,
    /// Tokens at which samples are cut; the setting's default without it.
    pub max_length: Option<usize>,
    /// Whether every token counts in the loss, not only those of answers.
    pub train_on_prompts: bool,
    /// The first conversation, from 0.
    pub first: u64,
    /// How many, at most.
    pub count: u64,
}

/// Conversations under a model's template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct DataPreview {
    /// Where the template comes from: `chat_template.jinja`, `tokenizer_config.json`, `ChatML`.
    pub template: String,
    /// Index of the first conversation below.
    pub first: u64,
    /// The conversations asked for, as far as there are any.
    pub samples: Vec<RenderedSample>,
}

/// A conversation token by token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct RenderedSample {
    /// Its index in the dataset, from 0.
    pub row: u64,
    /// What was said.
    pub conversation: Conversation,
    /// Its tokens, cut at the maximum length.
    pub tokens: Vec<RenderedToken>,
    /// Tokens beyond the maximum length.
    pub cut: u64,
    /// Why nothing can be learnt from it.
    pub problem: Option<Error>,
}

/// A token, and what training does with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct RenderedToken {
    /// Its number in the vocabulary.
    pub id: u32,
    /// The characters it completes; empty where it is a part of one.
    pub text: String,
    /// Whether it counts in the loss.
    pub trained: bool,
    /// Whether it ends an answer.
    pub stop: bool,
}

/// The samples of a run's first optimiser step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct FirstBatch {
    /// For each micro-batch its samples, in order.
    pub micro_batches: Vec<Vec<RenderedSample>>,
    /// Tokens in all.
    pub tokens: u64,
    /// Those that count in the loss.
    pub trained_tokens: u64,
}
