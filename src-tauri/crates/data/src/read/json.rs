//! JSON lists and JSON lines.

use std::io::Read;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use arrow::record_batch::RecordBatch;
use serde_json::{Map, Value};

use super::kind::{arrow_fields, fit_fields, widen_fields};
use super::scanner::{Fault, Scanner};
use super::text::TextFile;
use super::{BATCH_BYTES, BATCH_ROWS, HUGE_ROW};
use crate::{Error, Result};

/// Columns above which keys must be data.
const COLUMNS: usize = 4096;

type Row = Map<String, Value>;

/// The rows of a file as JSON objects.
pub(super) struct Values {
    file: TextFile,
    place: Place,
    scanner: Option<Scanner<Box<dyn Read + Send>>>,
    buffer: Vec<u8>,
    ended: bool,
}

/// Where the rows stand.
enum Place {
    Lines,
    List,
    ListAt(String),
}

impl Values {
    /// One object a line; empty lines are passed over.
    pub(super) fn lines(file: TextFile) -> Self {
        Self {
            file,
            place: Place::Lines,
            scanner: None,
            buffer: Vec::new(),
            ended: false,
        }
    }

    /// The elements of a list, which in an object is the value of `key`.
    pub(super) fn list(file: TextFile, key: Option<&str>) -> Self {
        let place = key.map_or(Place::List, |key| Place::ListAt(key.to_owned()));
        Self {
            file,
            place,
            scanner: None,
            buffer: Vec::new(),
            ended: false,
        }
    }

    /// The next row and the bytes it took.
    fn next(&mut self) -> Result<Option<(Row, usize)>> {
        if self.ended {
            return Ok(None);
        }
        self.buffer.clear();
        let found = match self.advance() {
            Ok(found) => found,
            Err(fault) => return Err(explain(&self.file, fault)),
        };
        let Some(line) = found else {
            self.ended = true;
            return Ok(None);
        };
        let broken = |line, reason| Error::BrokenLine {
            path: self.file.name.clone(),
            line,
            reason,
        };
        let value: Value = serde_json::from_slice(&self.buffer).map_err(|error| {
            let (offset, reason) = describe(&error);
            broken(line + offset, reason)
        })?;
        match row(value) {
            Some(row) => Ok(Some((row, self.buffer.len()))),
            None => Err(broken(
                line,
                "the row is neither an object nor text".to_owned(),
            )),
        }
    }

    /// Puts the next row's text into the buffer and says on which line it begins.
    fn advance(&mut self) -> Result<Option<u64>, Fault> {
        let lines = matches!(self.place, Place::Lines);
        let scanner = match &mut self.scanner {
            Some(scanner) => scanner,
            none => {
                let reader = self
                    .file
                    .read()
                    .map_err(|error| Fault::Io(std::io::Error::other(error)))?;
                let scanner = none.insert(Scanner::new(reader));
                match &self.place {
                    Place::Lines => {}
                    Place::List => scanner.expect(b'[', "a list begins with [")?,
                    Place::ListAt(key) => find(scanner, key)?,
                }
                scanner
            }
        };
        if lines {
            loop {
                let line = scanner.line();
                if !scanner.read_line(&mut self.buffer)? {
                    return Ok(None);
                }
                if !self.buffer.trim_ascii().is_empty() {
                    return Ok(Some(line));
                }
                self.buffer.clear();
            }
        }
        element(scanner, &mut self.buffer, matches!(self.place, Place::List))
    }
}

/// The next element of a list and the comma behind it. What follows a list inside an object was
/// looked at when the list was found.
fn element<R: Read>(
    scanner: &mut Scanner<R>,
    out: &mut Vec<u8>,
    whole: bool,
) -> Result<Option<u64>, Fault> {
    if scanner.peek()? == Some(b']') {
        scanner.expect(b']', "")?;
        return match scanner.peek()? {
            Some(_) if whole => Err(Fault::Broken(
                scanner.line(),
                "there is text behind the end of the list",
            )),
            _ => Ok(None),
        };
    }
    scanner.peek()?;
    let line = scanner.line();
    scanner.value(Some(out))?;
    match scanner.peek()? {
        Some(b',') => scanner.expect(b',', "")?,
        Some(b']') => {}
        Some(_) => {
            return Err(Fault::Broken(
                scanner.line(),
                "between two rows there is no comma",
            ));
        }
        None => {
            return Err(Fault::Broken(
                scanner.line(),
                "the file ends before the list does",
            ));
        }
    }
    Ok(Some(line))
}

/// Goes into the list that is the value of `key`.
fn find<R: Read>(scanner: &mut Scanner<R>, key: &str) -> Result<(), Fault> {
    scanner.expect(b'{', "an object begins with {")?;
    while let Some(name) = name(scanner)? {
        if name == key && scanner.peek()? == Some(b'[') {
            return scanner.expect(b'[', "");
        }
        scanner.value(None)?;
        if scanner.peek()? == Some(b',') {
            scanner.expect(b',', "")?;
        }
    }
    Err(Fault::Broken(scanner.line(), "the list of rows is gone"))
}

/// The next key of an object and the colon behind it; `None` at the object's end.
fn name<R: Read>(scanner: &mut Scanner<R>) -> Result<Option<String>, Fault> {
    match scanner.peek()? {
        Some(b'"') => {}
        Some(b'}') => return Ok(None),
        _ => {
            return Err(Fault::Broken(
                scanner.line(),
                "here a quoted key or a } is missing",
            ));
        }
    }
    let mut quoted = Vec::new();
    scanner.value(Some(&mut quoted))?;
    scanner.expect(b':', "behind a key there is no colon")?;
    Ok(Some(serde_json::from_slice(&quoted).unwrap_or_default()))
}

/// The keys of an object whose values are lists of rows. Passes over the whole file.
pub(super) fn lists(file: &TextFile) -> Result<Vec<String>> {
    let mut scanner = Scanner::new(file.read()?);
    keys_of_lists(&mut scanner).map_err(|fault| explain(file, fault))
}

fn keys_of_lists<R: Read>(scanner: &mut Scanner<R>) -> Result<Vec<String>, Fault> {
    let mut lists = Vec::new();
    scanner.expect(b'{', "an object begins with {")?;
    while let Some(name) = name(scanner)? {
        if scanner.peek()? == Some(b'[') {
            scanner.expect(b'[', "")?;
            let rows = scanner.peek()? == Some(b'{');
            while element(scanner, &mut Vec::new(), false)?.is_some() {}
            lists.extend(rows.then_some(name));
        } else {
            scanner.value(None)?;
        }
        match scanner.peek()? {
            Some(b',') => scanner.expect(b',', "")?,
            Some(b'}') => {}
            _ => {
                return Err(Fault::Broken(
                    scanner.line(),
                    "here a comma or a } is missing",
                ));
            }
        }
    }
    Ok(lists)
}

/// A row; bare text and bare lists get the name of the column they are.
fn row(value: Value) -> Option<Row> {
    match value {
        Value::Object(row) => Some(row),
        Value::String(_) => Some(Row::from_iter([("text".to_owned(), value)])),
        Value::Array(_) => Some(Row::from_iter([("messages".to_owned(), value)])),
        _ => None,
    }
}

/// Lines below the value's first, and what is wrong there.
fn describe(error: &serde_json::Error) -> (u64, String) {
    let text = error.to_string();
    let reason = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(reason, _)| reason);
    (
        error.line().saturating_sub(1) as u64,
        format!("{reason} (column {})", error.column()),
    )
}

fn explain(file: &TextFile, fault: Fault) -> Error {
    let path = file.name.clone();
    match fault {
        Fault::Io(error) => Error::io(&path, "read", error),
        Fault::Broken(line, reason) => Error::BrokenLine {
            path,
            line,
            reason: reason.to_owned(),
        },
        Fault::Huge(line) => Error::HugeRow {
            path,
            line,
            limit_mib: HUGE_ROW >> 20,
        },
    }
}

/// The columns of all rows. `step` is called now and then.
pub(super) fn schema(
    mut values: Values,
    step: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<SchemaRef> {
    let mut columns = Vec::new();
    let mut rows = 0usize;
    while let Some((row, _)) = values.next()? {
        widen_fields(&mut columns, &row);
        if columns.len() > COLUMNS {
            let reason = format!("its rows have more than {COLUMNS} different keys");
            return Err(Error::NotData {
                path: values.file.name,
                reason,
            });
        }
        rows += 1;
        if rows.is_multiple_of(BATCH_ROWS) && step().is_break() {
            return Err(Error::Cancelled);
        }
    }
    if rows == 0 {
        return Err(Error::Empty {
            path: values.file.name,
            reason: "it has no rows",
        });
    }
    Ok(Arc::new(Schema::new(arrow_fields(&columns))))
}

/// The rows, in batches.
pub(super) struct Rows {
    values: Values,
    schema: SchemaRef,
}

impl Rows {
    pub(super) fn new(values: Values, schema: SchemaRef) -> Self {
        Self { values, schema }
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut rows: Vec<Row> = Vec::new();
        let mut bytes = 0;
        while rows.len() < BATCH_ROWS && bytes < BATCH_BYTES {
            let Some((mut row, length)) = self.values.next()? else {
                break;
            };
            fit_fields(&mut row, self.schema.fields());
            rows.push(row);
            bytes += length;
        }
        let decode = || {
            let mut decoder = ReaderBuilder::new(self.schema.clone())
                .with_batch_size(BATCH_ROWS)
                .build_decoder()?;
            decoder.serialize(&rows)?;
            decoder.flush()
        };
        decode().map_err(|error| Error::NotData {
            path: self.values.file.name.clone(),
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
