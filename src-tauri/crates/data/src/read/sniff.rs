//! What a file is, by its content first and its name second.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::encoding::{self, Encoded};
use super::text::TextFile;
use super::{delimited, json};
use crate::{Error, Result};

/// Characters of text that are looked at.
const HEAD: u64 = 256 << 10;

/// How to read a file.
#[derive(Debug, Clone)]
pub(super) enum Layout {
    Delimited {
        text: Encoded,
        delimiter: u8,
    },
    /// One list; inside an object it is the value of `key`.
    Json {
        text: Encoded,
        key: Option<String>,
    },
    JsonLines {
        text: Encoded,
    },
    Parquet,
}

/// The layout of the file at `path`, called `name` in messages.
pub(super) fn layout(name: &Path, path: &Path) -> Result<Layout> {
    let extension = name
        .extension()
        .map(|extension| extension.to_string_lossy().to_lowercase());
    let extension = extension.as_deref().unwrap_or_default();
    let magic = magic(name, path)?;
    if magic.is_empty() {
        return Err(Error::Empty {
            path: name.to_owned(),
            reason: "it has no bytes",
        });
    }
    if magic == b"PAR1" {
        return Ok(Layout::Parquet);
    }
    if matches!(extension, "parquet" | "pq") {
        return Err(Error::BrokenParquet {
            path: name.to_owned(),
            reason: "it does not begin like one".to_owned(),
        });
    }
    let text = encoding::detect(name, path)?;
    let file = TextFile {
        name: name.to_owned(),
        path: path.to_owned(),
        encoding: text,
        done: Arc::default(),
    };
    let head = head(&file)?;
    let lines = matches!(extension, "jsonl" | "ndjson");
    let table = matches!(extension, "csv" | "tsv");
    match head.trim_start().as_bytes() {
        [] => Err(Error::Empty {
            path: name.to_owned(),
            reason: "it has no rows",
        }),
        [b'{', ..] if lines || one_value_a_line(&head) => Ok(Layout::JsonLines { text }),
        [b'{', ..] if !table => object(&file, text, head.trim().lines().count() == 1),
        [b'[', ..] if one_value_a_line(&head) => Ok(Layout::JsonLines { text }),
        [b'[', rest @ ..]
            if !table || matches!(rest.trim_ascii_start(), [b'{' | b'[' | b'"', ..]) =>
        {
            Ok(Layout::Json { text, key: None })
        }
        _ if lines => Ok(Layout::JsonLines { text }),
        _ if extension == "json" => Err(Error::BrokenLine {
            path: name.to_owned(),
            line: 1,
            reason: "it begins with neither [ nor {".to_owned(),
        }),
        _ => match delimited::delimiter(&head, extension) {
            Some(delimiter) => Ok(Layout::Delimited { text, delimiter }),
            None => Err(Error::NotData {
                path: name.to_owned(),
                reason: "its lines are no rows of columns".to_owned(),
            }),
        },
    }
}

fn magic(name: &Path, path: &Path) -> Result<Vec<u8>> {
    let io = |error| Error::io(name, "read", error);
    let mut magic = Vec::new();
    std::fs::File::open(path)
        .map_err(io)?
        .take(4)
        .read_to_end(&mut magic)
        .map_err(io)?;
    Ok(magic)
}

/// The first characters; a letter cut at their end is left out.
fn head(file: &TextFile) -> Result<String> {
    let mut bytes = Vec::new();
    file.read()?
        .take(HEAD)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::io(&file.name, "read", error))?;
    let whole = std::str::from_utf8(&bytes).map_or_else(|error| error.valid_up_to(), str::len);
    bytes.truncate(whole);
    String::from_utf8(bytes).map_err(|error| Error::NotData {
        path: file.name.clone(),
        reason: error.to_string(),
    })
}

/// Whether the first line is a whole value and another follows it.
fn one_value_a_line(head: &str) -> bool {
    let mut lines = head.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines
        .next()
        .is_some_and(|line| serde_json::from_str::<Value>(line).is_ok());
    first && lines.next().is_some()
}

/// An object is a list with something around it, or a single row.
fn object(file: &TextFile, text: Encoded, one_line: bool) -> Result<Layout> {
    let mut lists = json::lists(file)?;
    match (lists.len(), lists.pop()) {
        (0, _) if one_line => Ok(Layout::JsonLines { text }),
        (0, _) => Err(Error::NoList {
            path: file.name.clone(),
            reason: "without a list of rows".to_owned(),
        }),
        (1, key) => Ok(Layout::Json { text, key }),
        (_, last) => {
            lists.extend(last);
            let reason = format!("with several lists: {}", lists.join(", "));
            Err(Error::NoList {
                path: file.name.clone(),
                reason,
            })
        }
    }
}
