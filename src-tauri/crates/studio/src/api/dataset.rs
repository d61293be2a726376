//! Datasets on the wire.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{ColumnChoice, Conversation, Inspection, ProblemKind, Shape};

/// A dataset of the library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Dataset {
    /// Unique, short, readable: `orders`, `orders-2`.
    pub id: String,
    /// The name its owner gave it.
    pub name: String,
    /// Conversations that can be trained on.
    pub conversations: u64,
    /// The detected or chosen shape, in a word: `messages`, `alpaca`.
    pub shape: String,
    /// Name of the imported file.
    pub file: String,
    /// SHA-256 of the imported bytes, in hex.
    pub sha256: String,
    /// Size of the imported file in bytes.
    pub bytes: u64,
    /// Seconds since 1970 at import.
    pub created_at: i64,
    /// Where its files lie.
    pub folder: PathBuf,
}

/// Arguments of `data_import`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct DataImportRequest {
    /// The file: CSV, TSV, JSON, JSONL, Parquet, or a zip of one of them.
    pub path: PathBuf,
    /// A name; the file's own without one.
    pub name: Option<String>,
    /// Which columns are what; guessed without it.
    pub shape: Option<Shape>,
    /// The columns a person has chosen, where `shape` is not given; the rest is guessed.
    pub columns: ColumnChoice,
    /// Which file of an archive.
    pub member: Option<String>,
    /// Measure token lengths with this model's tokenizer.
    pub model: Option<String>,
    /// Count rows longer than this many tokens, with `model`; the setting's default without it.
    pub max_length: Option<usize>,
    /// Leave out the rows that have these problems, beside those that make no conversation:
    /// `duplicate`, `unreadable_characters`, and, with `model`, `too_long`.
    pub leave_out: Vec<ProblemKind>,
    /// Share of the conversations that becomes a second dataset, never trained on; 0 for none.
    pub hold_out: f64,
}

/// Arguments of `data_check`: as for an import, of which nothing is kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct DataCheckRequest {
    /// The file.
    pub path: PathBuf,
    /// Which columns are what; guessed without it.
    pub shape: Option<Shape>,
    /// The columns a person has chosen, where `shape` is not given; the rest is guessed.
    pub columns: ColumnChoice,
    /// Which file of an archive.
    pub member: Option<String>,
    /// Measure token lengths with this model's tokenizer.
    pub model: Option<String>,
    /// Count rows longer than this many tokens, with `model`.
    pub max_length: Option<usize>,
}

/// A dataset with what the importer found in it.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct DatasetReport {
    /// The dataset.
    pub dataset: Dataset,
    /// Rows, columns, shape, problems, lengths.
    pub inspection: Inspection,
    /// The dataset of the rows that were held out.
    pub held_out: Option<Dataset>,
}

/// Arguments of `data_list`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct DataListRequest {}

/// Arguments of `data_show`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct DataShowRequest {
    /// Id, name or unambiguous prefix.
    pub dataset: String,
    /// The first conversation to show, from 0.
    pub first: u64,
    /// How many conversations to show.
    pub count: u64,
}

/// A dataset, what was found in it, and some of its conversations.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct DatasetPage {
    /// The dataset.
    pub dataset: Dataset,
    /// What the importer found.
    pub inspection: Inspection,
    /// Index of the first conversation below.
    pub first: u64,
    /// The conversations asked for, as far as there are any.
    pub conversations: Vec<Conversation>,
}

/// Arguments of `data_remove`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct DataRemoveRequest {
    /// Id, name or unambiguous prefix.
    pub dataset: String,
}

/// Something that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Removed {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Bytes freed on disk.
    pub freed: u64,
}
