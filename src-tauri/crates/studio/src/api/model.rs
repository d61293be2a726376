//! Models on the wire.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::MethodFit;
use crate::error::Error;

/// Where a model comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ModelOrigin {
    /// Came with the program.
    Bundled,
    /// A folder the person added.
    Added,
    /// Found in the Hugging Face cache.
    Cache,
    /// A folder given directly, unknown to the library.
    Folder,
}

/// A model this machine has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Model {
    /// Unique: `attune-starter`, or `Qwen/Qwen3-0.6B` for one of the cache.
    pub id: String,
    /// The name its owner gave it, or the id.
    pub name: String,
    /// Where it comes from.
    pub origin: ModelOrigin,
    /// The folder with `config.json` and the weights, or the GGUF file.
    pub folder: PathBuf,
    /// What its configuration says; absent when it cannot be used.
    pub facts: Option<ModelFacts>,
    /// Why it cannot be used.
    pub problem: Option<Error>,
    /// Which methods of tuning fit on this machine; empty when it cannot be used.
    pub fits: Vec<MethodFit>,
}

/// What a model's files say about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ModelFacts {
    /// `llama`, `qwen3`, …
    pub family: String,
    /// Parameters in all.
    pub parameters: u64,
    /// How the weights are stored: `bfloat16`, or `Q4_K_M` in a GGUF file.
    pub dtype: String,
    /// Size of the weight files in bytes.
    pub bytes: u64,
    /// Longest context in tokens.
    pub context: usize,
    /// Where the chat template comes from: `chat_template.jinja`, `tokenizer_config.json`, `ChatML`.
    pub template: String,
    /// The licence its card names, as the hub writes it: `apache-2.0`.
    pub licence: Option<String>,
}

/// Arguments of `models_list`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct ModelsListRequest {}

/// Arguments of `models_add`: the folder stays where it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct ModelsAddRequest {
    /// A folder with `config.json`, `tokenizer.json` and safetensors, or a GGUF file.
    pub path: PathBuf,
    /// A name; the folder's own without one.
    pub name: Option<String>,
}

/// Arguments of `models_inspect`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct ModelsInspectRequest {
    /// Id, name, unambiguous prefix, or a folder.
    pub model: String,
}

/// A model in detail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct ModelReport {
    /// The model.
    pub model: Model,
    /// Vocabulary of the model, in tokens.
    pub vocabulary: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Matrices of the feed-forward block: three where it is gated, else two.
    pub feed_forward_matrices: usize,
    /// The non-linearity of the feed-forward block, by its name in `config.json`.
    pub activation: String,
    /// What sets it apart from Llama, in a few words each.
    pub features: Vec<String>,
    /// Query heads.
    pub attention_heads: usize,
    /// Key and value heads.
    pub key_value_heads: usize,
    /// Whether the head shares the embedding's weights.
    pub tied_head: bool,
    /// Texts of the tokens that end an answer.
    pub stop_tokens: Vec<String>,
    /// The chat template, as Jinja.
    pub template_source: String,
    /// Ids of the experiments that tuned this model.
    pub experiments: Vec<String>,
}

/// Arguments of `models_remove`. An added folder is only forgotten, never deleted.
#[derive(Debug, Clone, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct ModelsRemoveRequest {
    /// Id, name or unambiguous prefix.
    pub model: String,
}

/// Which weights to use: a model, or a model with an adapter, or what an experiment made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct Weights {
    /// Id, name, unambiguous prefix, or a folder. Not needed with `experiment`.
    pub model: Option<String>,
    /// An adapter folder in PEFT layout, on top of `model`.
    pub adapter: Option<PathBuf>,
    /// Id, name or unambiguous prefix of an experiment; excludes `adapter`.
    pub experiment: Option<String>,
    /// Which of the experiment's checkpoints; what its `save_checkpoint` says without it.
    pub checkpoint: Option<CheckpointChoice>,
}

/// Which checkpoint of an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointChoice {
    /// The lowest validation loss; the last when nothing was validated.
    Best,
    /// The newest.
    Last,
}
