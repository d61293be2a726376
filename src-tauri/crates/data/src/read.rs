//! A data file, whatever its format → Arrow record batches, streamed.
//!
//! Opening finds out what the file is and which columns it has; every call of
//! [`Source::batches`] is a new pass over it. No pass holds more than a batch, and no row may be
//! larger than [`HUGE_ROW`].

mod archive;
mod delimited;
mod encoding;
mod json;
mod kind;
mod parquet;
mod scanner;
mod sniff;
mod text;

use std::fmt;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};
use tempfile::TempPath;
use ts_rs::TS;

use crate::{ColumnChoice, Conversation, Error, Result, RowProblem, Shape};
use sniff::Layout;
use text::TextFile;

/// Rows of a batch, at most.
const BATCH_ROWS: usize = 1024;

/// Bytes of text after which a batch is full, whatever its rows.
const BATCH_BYTES: usize = 8 << 20;

/// Bytes that one row may have.
const HUGE_ROW: u64 = 64 << 20;

/// How a file is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Values separated by a character, one row a line; quotes may hold line breaks.
    Csv,
    /// The same, separated by tabs.
    Tsv,
    /// One list of objects.
    Json,
    /// One object a line.
    JsonLines,
    /// Apache Parquet.
    Parquet,
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::Json => "JSON",
            Self::JsonLines => "JSONL",
            Self::Parquet => "Parquet",
        })
    }
}

/// How far a pass is, in bytes of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Progress {
    /// Bytes read.
    pub done: u64,
    /// Bytes there are.
    pub total: u64,
}

/// Who is told how far a long pass is, and may end it: then the pass fails with
/// [`Error::Cancelled`].
pub type Watch<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// A data file that has been recognised.
#[derive(Debug, Clone)]
pub struct Source {
    /// The name in messages: the file, or the archive with the member's name behind it.
    name: PathBuf,
    file: Arc<File>,
    members: Vec<String>,
    member: Option<String>,
    layout: Layout,
    schema: SchemaRef,
}

/// Where the bytes lie: in the user's file, or in a copy unpacked from an archive, which goes
/// away with the last pass over it.
#[derive(Debug)]
struct File {
    path: PathBuf,
    bytes: u64,
    _unpacked: Option<TempPath>,
}

impl Source {
    /// Recognises the file at `path`. Of an archive's members the first is read whose name says
    /// "train", otherwise the first. JSON is read once to learn the columns, with `open_watched`
    /// to see how far that is.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_watched(path, None, &mut |_| ControlFlow::Continue(()))
    }

    /// Recognises one member of an archive.
    pub fn open_member(path: &Path, member: &str) -> Result<Self> {
        Self::open_watched(path, Some(member), &mut |_| ControlFlow::Continue(()))
    }

    /// [`Source::open`] or [`Source::open_member`], reporting how far it is.
    pub fn open_watched(path: &Path, member: Option<&str>, watch: Watch<'_>) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(|error| Error::io(path, "read", error))?;
        if metadata.is_dir() {
            return Err(Error::Folder {
                path: path.to_owned(),
            });
        }
        let mut source = if archive::is_archive(path)? {
            let unpacked = archive::unpack(path, member)?;
            let bytes = fs::metadata(&unpacked.copy)
                .map_err(|error| Error::io(path, "read", error))?
                .len();
            Self {
                name: path.join(&unpacked.member),
                file: Arc::new(File {
                    path: unpacked.copy.to_path_buf(),
                    bytes,
                    _unpacked: Some(unpacked.copy),
                }),
                members: unpacked.members,
                member: Some(unpacked.member),
                layout: Layout::Parquet,
                schema: SchemaRef::new(arrow::datatypes::Schema::empty()),
            }
        } else if let Some(member) = member {
            return Err(Error::UnknownMember {
                path: path.to_owned(),
                member: member.to_owned(),
                members: Vec::new(),
            });
        } else {
            Self {
                name: path.to_owned(),
                file: Arc::new(File {
                    path: path.to_owned(),
                    bytes: metadata.len(),
                    _unpacked: None,
                }),
                members: Vec::new(),
                member: None,
                layout: Layout::Parquet,
                schema: SchemaRef::new(arrow::datatypes::Schema::empty()),
            }
        };
        source.layout = sniff::layout(&source.name, &source.file.path)?;
        source.schema = source.learn(watch)?;
        Ok(source)
    }

    /// The format, as its content shows it.
    pub fn format(&self) -> Format {
        match &self.layout {
            Layout::Delimited {
                delimiter: b'\t', ..
            } => Format::Tsv,
            Layout::Delimited { .. } => Format::Csv,
            Layout::Json { .. } => Format::Json,
            Layout::JsonLines { .. } => Format::JsonLines,
            Layout::Parquet => Format::Parquet,
        }
    }

    /// The name of the text's encoding, as the web names them; `None` for Parquet.
    pub fn encoding(&self) -> Option<&'static str> {
        match &self.layout {
            Layout::Delimited { text, .. }
            | Layout::Json { text, .. }
            | Layout::JsonLines { text } => Some(text.name()),
            Layout::Parquet => None,
        }
    }

    /// What separates the columns of CSV and TSV.
    pub fn delimiter(&self) -> Option<char> {
        match &self.layout {
            Layout::Delimited { delimiter, .. } => Some(char::from(*delimiter)),
            _ => None,
        }
    }

    /// The files inside an archive that can be read.
    pub fn members(&self) -> &[String] {
        &self.members
    }

    /// The one of them that is read.
    pub fn member(&self) -> Option<&str> {
        self.member.as_deref()
    }

    /// The columns. Those of CSV and TSV are text; JSON values of mixed type are JSON text.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Names of the columns.
    pub fn columns(&self) -> Vec<String> {
        self.schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect()
    }

    /// Size of the file, or of the unpacked member, in bytes.
    pub fn bytes(&self) -> u64 {
        self.file.bytes
    }

    /// A new pass over the rows. After an error it ends.
    pub fn batches(&self) -> Batches {
        let done = Arc::new(AtomicU64::new(0));
        let text = |encoding| self.text(encoding, &done);
        let rows: Box<dyn Iterator<Item = Result<RecordBatch>> + Send> = match &self.layout {
            Layout::Delimited {
                text: encoding,
                delimiter,
            } => Box::new(delimited::Rows::new(
                text(*encoding),
                *delimiter,
                self.schema.clone(),
            )),
            Layout::JsonLines { text: encoding } => Box::new(json::Rows::new(
                json::Values::lines(text(*encoding)),
                self.schema.clone(),
            )),
            Layout::Json {
                text: encoding,
                key,
            } => {
                let values = json::Values::list(text(*encoding), key.as_deref());
                Box::new(json::Rows::new(values, self.schema.clone()))
            }
            Layout::Parquet => Box::new(parquet::Rows::new(
                self.name.clone(),
                self.file.clone(),
                done.clone(),
            )),
        };
        Batches {
            rows,
            _file: self.file.clone(),
            done,
            total: self.file.bytes,
            failed: false,
        }
    }

    /// The shape of the rows: guessed from the first of them, but for the columns in `choice`.
    pub fn shape(&self, choice: &ColumnChoice) -> Result<Shape> {
        match self.batches().next().transpose()? {
            Some(batch) => Shape::choose(&batch, choice),
            None => Err(Error::Empty {
                path: self.name.clone(),
                reason: "it has no rows",
            }),
        }
    }

    /// A new pass over the rows as conversations; what is wrong with a row does not end it.
    pub fn conversations(
        &self,
        shape: &Shape,
    ) -> impl Iterator<Item = Result<Result<Conversation, RowProblem>>> {
        let shape = shape.clone();
        let mut row = 1;
        self.batches().flat_map(move |batch| match batch {
            Ok(batch) => {
                let conversations = shape.conversations(&batch, row);
                row += batch.num_rows() as u64;
                conversations.into_iter().map(Ok).collect()
            }
            Err(error) => vec![Err(error)],
        })
    }

    fn text(&self, encoding: encoding::Encoded, done: &Arc<AtomicU64>) -> TextFile {
        TextFile {
            name: self.name.clone(),
            path: self.file.path.clone(),
            encoding,
            done: done.clone(),
        }
    }

    fn learn(&self, watch: Watch<'_>) -> Result<SchemaRef> {
        let done = Arc::new(AtomicU64::new(0));
        let mut step = || {
            let done = done.load(Ordering::Relaxed);
            watch(Progress {
                done,
                total: self.file.bytes,
            })
        };
        match &self.layout {
            Layout::Delimited { text, delimiter } => {
                delimited::schema(self.text(*text, &done), *delimiter)
            }
            Layout::JsonLines { text } => {
                json::schema(json::Values::lines(self.text(*text, &done)), &mut step)
            }
            Layout::Json { text, key } => json::schema(
                json::Values::list(self.text(*text, &done), key.as_deref()),
                &mut step,
            ),
            Layout::Parquet => parquet::schema(&self.name, &self.file.path),
        }
    }
}

/// One pass over a file's rows.
pub struct Batches {
    rows: Box<dyn Iterator<Item = Result<RecordBatch>> + Send>,
    /// An unpacked copy must live as long as it is read.
    _file: Arc<File>,
    done: Arc<AtomicU64>,
    total: u64,
    failed: bool,
}

impl Batches {
    /// How far the pass is.
    pub fn progress(&self) -> Progress {
        Progress {
            done: self.done.load(Ordering::Relaxed).min(self.total),
            total: self.total,
        }
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let batch = self.rows.next();
        self.failed = matches!(batch, Some(Err(_)));
        batch
    }
}

impl fmt::Debug for Batches {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Batches")
            .field("progress", &self.progress())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
