//! The refusals of this crate.

use std::io;
use std::path::{Path, PathBuf};

/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why data, a template or a tokenizer was refused: what, where, why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "the fields are what each variant's sentence prints"
)]
pub enum Error {
    /// Nothing lies at the path.
    #[error("{} does not exist", path.display())]
    Missing { path: PathBuf },
    /// The operating system refused.
    #[error("{} could not be {doing}: {source}", path.display())]
    Io {
        path: PathBuf,
        doing: &'static str,
        source: io::Error,
    },
    /// A folder where a file is expected.
    #[error("{} is a folder, not a data file", path.display())]
    Folder { path: PathBuf },
    /// No byte, or no row.
    #[error("{} is empty: {reason}", path.display())]
    Empty { path: PathBuf, reason: &'static str },
    /// Neither text nor a binary format that can be read.
    #[error("{} is not a table: {reason}", path.display())]
    NotData { path: PathBuf, reason: String },
    /// A JSON value that does not parse.
    #[error("{}, line {line}: broken JSON: {reason}", path.display())]
    BrokenLine {
        path: PathBuf,
        line: u64,
        reason: String,
    },
    /// A CSV row with another number of columns than the header.
    #[error("{}, line {line}: {found} columns where the header has {expected}", path.display())]
    Ragged {
        path: PathBuf,
        line: u64,
        found: u64,
        expected: u64,
    },
    /// A CSV row that cannot be read.
    #[error("{}, line {line}: {reason}", path.display())]
    BrokenTable {
        path: PathBuf,
        line: u64,
        reason: String,
    },
    /// One row larger than is reasonable; most often a quote or bracket that is never closed.
    #[error("{}, line {line}: the row starting here is larger than {limit_mib} MiB", path.display())]
    HugeRow {
        path: PathBuf,
        line: u64,
        limit_mib: u64,
    },
    /// A JSON object with no list of rows in it, or with several.
    #[error("{} is a JSON object {reason}", path.display())]
    NoList { path: PathBuf, reason: String },
    /// A Parquet file that is cut off or damaged.
    #[error("{} is not a whole Parquet file: {reason}", path.display())]
    BrokenParquet { path: PathBuf, reason: String },
    /// An archive that is damaged, encrypted or holds nothing to read.
    #[error("{} could not be unpacked: {reason}", path.display())]
    BrokenZip { path: PathBuf, reason: String },
    /// An archive that tries to leave its folder or to fill the disk.
    #[error("{} is not safe to unpack: {reason}", path.display())]
    UnsafeZip { path: PathBuf, reason: String },
    /// The archive has no such member.
    #[error("{} has no member named {member}", path.display())]
    UnknownMember {
        path: PathBuf,
        member: String,
        members: Vec<String>,
    },
    /// Columns that make no conversation.
    #[error("no known shape: the columns are {}", list(columns))]
    UnknownShape { columns: Vec<String> },
    /// A shape that names a column which the data lack.
    #[error("there is no column named {column}; the columns are {}", list(columns))]
    UnknownColumn {
        column: String,
        columns: Vec<String>,
    },
    /// A tokenizer file that is missing or cannot be used.
    #[error("{}: {reason}", path.display())]
    Tokenizer { path: PathBuf, reason: String },
    /// The tokenizer failed on a text.
    #[error("the tokenizer failed: {reason}")]
    Tokenize { reason: String },
    /// A tokenizer to be made that cannot be.
    #[error("no tokenizer can be made: {reason}")]
    TokenizerOptions { reason: String },
    /// A chat template that does not parse or fails while it runs.
    #[error("the model's chat template cannot be used: {reason}")]
    Template { reason: String },
    /// The chat template refused the conversation with words of its own.
    #[error("the model's chat template refused the conversation: {reason}")]
    TemplateRefused { reason: String },
    /// The chat template has no place for a system turn.
    #[error("the model's chat template accepts no system message: {reason}")]
    SystemRefused { reason: String },
    /// The chat template ran longer, wrote or held more than any honest one.
    #[error("the model's chat template was stopped: {reason}")]
    TemplateRunaway {
        path: Option<PathBuf>,
        reason: String,
    },
    /// The answers could not be found again in the rendered conversation.
    #[error("turn {turn} could not be found in the text that the chat template made")]
    AnswerLost { turn: usize },
    /// A conversation without any token to learn.
    #[error("nothing to learn within the first {max_length} of {tokens} tokens")]
    NothingTrained { tokens: usize, max_length: usize },
    /// A GGUF file that cannot be read.
    #[error("`{}` is not a readable GGUF file: {reason}{}", path.display(), at_byte(*at))]
    BrokenGguf {
        path: PathBuf,
        /// How many bytes before the fault.
        at: Option<u64>,
        reason: String,
    },
    /// A GGUF file that is well-formed and holds what is not supported.
    #[error("`{}` holds {what}, which is not supported (supported: {nearest})", path.display())]
    UnsupportedGguf {
        path: PathBuf,
        what: String,
        nearest: String,
    },
    /// The one who watched a long pass ended it.
    #[error("it was cancelled")]
    Cancelled,
    /// A file that is not a normalised dataset.
    #[error("{} is not a normalised dataset: {reason}", path.display())]
    Normalised { path: PathBuf, reason: String },
}

impl Error {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "data-missing",
            Self::Io { .. } => "data-io",
            Self::Folder { .. } => "data-folder",
            Self::Empty { .. } => "data-empty",
            Self::NotData { .. } => "data-not-a-table",
            Self::BrokenLine { .. } => "data-broken-line",
            Self::Ragged { .. } => "data-ragged",
            Self::BrokenTable { .. } => "data-broken-table",
            Self::HugeRow { .. } => "data-huge-row",
            Self::NoList { .. } => "data-no-list",
            Self::BrokenParquet { .. } => "data-broken-parquet",
            Self::BrokenZip { .. } => "data-broken-zip",
            Self::UnsafeZip { .. } => "data-unsafe-zip",
            Self::UnknownMember { .. } => "data-unknown-member",
            Self::UnknownShape { .. } => "data-unknown-shape",
            Self::UnknownColumn { .. } => "data-unknown-column",
            Self::Tokenizer { .. } => "tokenizer-unusable",
            Self::Tokenize { .. } => "tokenizer-failed",
            Self::TokenizerOptions { .. } => "tokenizer-bad-options",
            Self::Template { .. } => "template-unusable",
            Self::TemplateRefused { .. } => "template-refused",
            Self::SystemRefused { .. } => "template-no-system",
            Self::TemplateRunaway { .. } => "template-runaway",
            Self::AnswerLost { .. } => "template-answer-lost",
            Self::NothingTrained { .. } => "sample-nothing-trained",
            Self::BrokenGguf { .. } => "gguf-broken",
            Self::UnsupportedGguf { .. } => "gguf-unsupported",
            Self::Cancelled => "cancelled",
            Self::Normalised { .. } => "dataset-unreadable",
        }
    }

    /// What a user can do about it.
    pub fn remedy(&self) -> Option<String> {
        let remedy = match self {
            Self::Missing { .. } => "Check the path, and that the disk it lies on is attached.",
            Self::Io {
                doing: "written", ..
            } => "Free some space or choose another folder, then try again.",
            Self::Io { .. } => "Check that the file may be read and that the disk is healthy.",
            Self::Folder { .. } => {
                "Choose one file in it: CSV, TSV, JSON, JSONL, Parquet or a zip of these."
            }
            Self::Empty { .. } => "Export it again, or choose another file.",
            Self::NotData { .. } => {
                "Choose a CSV, TSV, JSON, JSONL or Parquet file, or a zip of these."
            }
            Self::BrokenLine { .. } => {
                "Repair or delete that line. In JSONL, every line is one whole JSON object."
            }
            Self::Ragged { .. } => {
                "Put quotes around the value that holds the separator or a line break, or repair that line."
            }
            Self::BrokenTable { .. } => "Repair or delete that line.",
            Self::HugeRow { .. } => {
                "Look for a quote or a bracket that is opened there and never closed."
            }
            Self::NoList { .. } => {
                "Save the rows as one list, or as JSONL with one object per line."
            }
            Self::BrokenParquet { .. } => "Download or export the file again.",
            Self::BrokenZip { .. } => "Unpack it yourself and import the data file inside.",
            Self::UnsafeZip { .. } => {
                "Do not unpack it. Ask where it comes from, or import the data file alone."
            }
            Self::UnknownMember { members, .. } => {
                return Some(format!("Choose one of {}.", list(members)));
            }
            Self::UnknownShape { .. } => {
                "Expected are `messages`, `conversations`, `instruction` and `output`, `prompt` and `answer`, \
                 or `text`. Name the columns to use, for example prompt=…, answer=…."
            }
            Self::UnknownColumn { .. } => "Choose another column.",
            Self::Tokenizer { .. } => "Choose a model folder with a whole tokenizer.json.",
            Self::Tokenize { .. } => "Choose another model, or report the text that it fails on.",
            Self::TokenizerOptions { .. } => "Correct the option it names.",
            Self::Template { .. } => {
                "Use a newer copy of the model, or replace its chat_template.jinja."
            }
            Self::TemplateRefused { .. } => {
                "Change the conversations as it says, or choose a model with another template."
            }
            Self::SystemRefused { .. } => {
                "Import without the system column, join it to the prompt, or choose another model."
            }
            Self::TemplateRunaway { .. } => {
                "Do not use this model, or replace its chat template: this one does not behave."
            }
            Self::AnswerLost { .. } => {
                "Replace the model's chat_template.jinja by one that repeats answers as they are."
            }
            Self::NothingTrained { .. } => "Raise the maximum length, or leave the row out.",
            Self::BrokenGguf { .. } => {
                "The download was probably cut off: download the file again, or another one of the model."
            }
            Self::UnsupportedGguf { .. } => {
                "Choose another GGUF file of the model, or its safetensors folder."
            }
            Self::Cancelled => return None,
            Self::Normalised { .. } => "Import the dataset again.",
        };
        Some(remedy.to_owned())
    }

    /// The file, and the line where one is known.
    pub fn place(&self) -> Option<String> {
        match self {
            Self::BrokenLine { path, line, .. }
            | Self::Ragged { path, line, .. }
            | Self::BrokenTable { path, line, .. }
            | Self::HugeRow { path, line, .. } => Some(format!("{}:{line}", path.display())),
            Self::Missing { path }
            | Self::Io { path, .. }
            | Self::Folder { path }
            | Self::Empty { path, .. }
            | Self::NotData { path, .. }
            | Self::NoList { path, .. }
            | Self::BrokenParquet { path, .. }
            | Self::BrokenZip { path, .. }
            | Self::UnsafeZip { path, .. }
            | Self::UnknownMember { path, .. }
            | Self::Tokenizer { path, .. }
            | Self::BrokenGguf { path, .. }
            | Self::UnsupportedGguf { path, .. }
            | Self::Normalised { path, .. }
            | Self::TemplateRunaway {
                path: Some(path), ..
            } => Some(path.display().to_string()),
            _ => None,
        }
    }

    pub(crate) fn io(path: &Path, doing: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing {
                path: path.to_owned(),
            },
            _ => Self::Io {
                path: path.to_owned(),
                doing,
                source,
            },
        }
    }
}

fn at_byte(at: Option<u64>) -> String {
    at.map_or_else(String::new, |at| format!(" (at byte {at})"))
}

/// Names as a sentence lists them; a table of a thousand columns must not fill the screen.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let shown: Vec<_> = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{name}`"))
        .collect();
    match names.len().saturating_sub(SHOWN) {
        _ if names.is_empty() => "none".to_owned(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
