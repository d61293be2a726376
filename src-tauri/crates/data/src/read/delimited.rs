//! CSV and TSV.

use std::collections::HashSet;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};

use super::text::TextFile;
use super::{BATCH_BYTES, BATCH_ROWS, HUGE_ROW};
use crate::{Error, Result};

/// The delimiter by which most rows of `head` have as many columns as the first, and more than
/// one. A file that is named a table may have a single column.
pub(super) fn delimiter(head: &str, extension: &str) -> Option<u8> {
    let named = match extension {
        "tsv" => Some(b'\t'),
        "csv" => Some(b','),
        _ => None,
    };
    let best = [b',', b'\t', b';', b'|']
        .into_iter()
        .filter_map(|delimiter| Some((score(head, delimiter)?, delimiter)));
    let best = best.max_by_key(|((agreeing, columns), delimiter)| {
        (*agreeing, named == Some(*delimiter), *columns)
    });
    best.map(|(_, delimiter)| delimiter).or(named)
}

/// Per mille of rows that agree with the header, and its columns.
fn score(head: &str, delimiter: u8) -> Option<(u64, usize)> {
    const ROWS: usize = 200;
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .has_headers(false)
        .from_reader(head.as_bytes());
    // The last row may be cut.
    let mut widths: Vec<usize> = reader
        .records()
        .take(ROWS)
        .flatten()
        .map(|row| row.len())
        .collect();
    if widths.len() > 2 {
        widths.pop();
    }
    let columns = *widths.first()?;
    let agreeing = widths.iter().filter(|width| **width == columns).count();
    let share = 1000 * agreeing as u64 / widths.len() as u64;
    (columns > 1 && share >= 500).then_some((share, columns))
}

/// Columns by the header: all of them text, each name once, columns without a name numbered.
pub(super) fn schema(file: TextFile, delimiter: u8) -> Result<SchemaRef> {
    let mut rows = Table::open(&file, delimiter)?;
    let header = rows.header()?;
    let mut taken = HashSet::new();
    let mut fields = Vec::new();
    for (index, name) in header.iter().enumerate() {
        let name = match name.trim() {
            "" => format!("column_{}", index + 1),
            name => name.to_owned(),
        };
        let numbered = (2..).map(|number| format!("{name}_{number}"));
        let free = std::iter::once(name.clone())
            .chain(numbered)
            .find(|name| !taken.contains(name))
            .unwrap_or(name);
        taken.insert(free.clone());
        fields.push(Field::new(free, DataType::Utf8, true));
    }
    if rows.next(&mut StringRecord::new())? {
        return Ok(Arc::new(Schema::new(fields)));
    }
    Err(Error::Empty {
        path: file.name,
        reason: "it has a header and no rows",
    })
}

/// The rows, in batches.
pub(super) struct Rows {
    file: TextFile,
    delimiter: u8,
    schema: SchemaRef,
    table: Option<Table>,
}

impl Rows {
    pub(super) fn new(file: TextFile, delimiter: u8, schema: SchemaRef) -> Self {
        Self {
            file,
            delimiter,
            schema,
            table: None,
        }
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let table = match &mut self.table {
            Some(table) => table,
            none => {
                let mut table = Table::open(&self.file, self.delimiter)?;
                table.header()?;
                none.insert(table)
            }
        };
        let mut columns: Vec<StringBuilder> = self
            .schema
            .fields()
            .iter()
            .map(|_| StringBuilder::new())
            .collect();
        let mut record = StringRecord::new();
        let (mut rows, mut bytes) = (0, 0);
        while rows < BATCH_ROWS && bytes < BATCH_BYTES && table.next(&mut record)? {
            for (column, value) in columns.iter_mut().zip(&record) {
                column.append_value(value);
            }
            rows += 1;
            bytes += record.as_slice().len();
        }
        if rows == 0 {
            return Ok(None);
        }
        let columns = columns
            .into_iter()
            .map(|mut column| Arc::new(column.finish()) as ArrayRef)
            .collect();
        let batch = RecordBatch::try_new(self.schema.clone(), columns);
        batch.map(Some).map_err(|error| Error::NotData {
            path: self.file.name.clone(),
            reason: error.to_string(),
        })
    }
}

impl Iterator for Rows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batch().transpose()
    }
}

/// The file, row by row.
struct Table {
    name: PathBuf,
    reader: Reader<Metered>,
    unread: Arc<AtomicU64>,
    /// The line on which the row being read begins.
    line: u64,
}

impl Table {
    fn open(file: &TextFile, delimiter: u8) -> Result<Self> {
        let unread = Arc::new(AtomicU64::new(0));
        let metered = Metered {
            inner: file.read()?,
            since: unread.clone(),
        };
        let reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .buffer_capacity(1 << 16)
            .from_reader(metered);
        Ok(Self {
            name: file.name.clone(),
            reader,
            unread,
            line: 1,
        })
    }

    fn header(&mut self) -> Result<StringRecord> {
        let header = self.reader.headers().cloned();
        header.map_err(|error| self.explain(error))
    }

    /// Reads the next row into `record`; `false` at the end.
    fn next(&mut self, record: &mut StringRecord) -> Result<bool> {
        self.line = self.reader.position().line();
        self.unread.store(0, Ordering::Relaxed);
        self.reader
            .read_record(record)
            .map_err(|error| self.explain(error))
    }

    fn explain(&self, error: csv::Error) -> Error {
        let path = self.name.clone();
        let line = error.position().map_or(self.line, csv::Position::line);
        match error.into_kind() {
            ErrorKind::UnequalLengths {
                expected_len, len, ..
            } => Error::Ragged {
                path,
                line,
                found: len,
                expected: expected_len,
            },
            ErrorKind::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => Error::HugeRow {
                path,
                line,
                limit_mib: HUGE_ROW >> 20,
            },
            ErrorKind::Io(error) => Error::io(&path, "read", error),
            other => Error::BrokenTable {
                path,
                line,
                reason: format!("{other:?}"),
            },
        }
    }
}

/// Fails when a row takes more than [`HUGE_ROW`] bytes: after a quote that is never closed, the
/// rest of the file would be held in memory as one value.
struct Metered {
    inner: Box<dyn Read + Send>,
    since: Arc<AtomicU64>,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if self.since.fetch_add(read as u64, Ordering::Relaxed) > HUGE_ROW {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(read)
    }
}
