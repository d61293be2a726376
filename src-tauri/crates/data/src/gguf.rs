//! GGUF files: a model's metadata, tokenizer and tensors in one file, ggml's format.
//!
//! Versions 2 and 3, little-endian. The file is mapped. Metadata stays where it lies: an entry
//! remembers its place, and a list is read when it is asked for. So a file cannot make its reader
//! allocate more than a small multiple of what it holds, whatever numbers it names.

mod cursor;
mod list;
mod tensor;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};

use memmap2::{Mmap, UncheckedAdvice};

use crate::{Error, Result};
use cursor::{Cursor, Kind};
pub use list::{Numbers, Strings};
pub use tensor::{TensorInfo, TensorType};

/// Files are laid out in multiples of this where they name nothing else.
const ALIGNMENT: u64 = 32;

/// More metadata entries, or tensors, than any model has.
const MOST_ENTRIES: u64 = 1 << 16;

/// A metadata value, or where it lies in the file.
#[derive(Debug, Clone)]
enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Flag(bool),
    Text(Range<usize>),
    List {
        kind: Kind,
        count: usize,
        at: Range<usize>,
    },
}

/// What a file holds.
enum Bytes {
    Mapped(Mmap),
    InMemory(Vec<u8>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::InMemory(bytes) => bytes,
        }
    }
}

/// An opened file, its structure checked: every entry, and every tensor's place, lies inside.
pub struct Gguf {
    path: PathBuf,
    bytes: Bytes,
    values: BTreeMap<String, Value>,
    tensors: BTreeMap<String, TensorInfo>,
}

impl std::fmt::Debug for Gguf {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Gguf")
            .field("path", &self.path)
            .field("values", &self.values.len())
            .field("tensors", &self.tensors.len())
            .finish_non_exhaustive()
    }
}

impl Gguf {
    /// Whether `path` means such a file, by its name.
    pub fn is_one(path: &Path) -> bool {
        let named = path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
        named && !path.is_dir()
    }

    /// Maps a file and reads its structure.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::io(path, "read", error))?;
        // SAFETY: the mapping is only read. Attune never rewrites such a file, and whoever replaces
        // one by renaming leaves a mapped one intact.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| Error::io(path, "read", error))?;
        Self::read(path, Bytes::Mapped(map))
    }

    /// Reads a file that is in memory; `path` is what errors call it.
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        Self::read(path, Bytes::InMemory(bytes))
    }

    fn read(path: &Path, bytes: Bytes) -> Result<Self> {
        let mut cursor = Cursor::new(path, &bytes);
        let (tensors, entries) = header(&mut cursor)?;
        let mut values = BTreeMap::new();
        for _ in 0..entries {
            let at = cursor.place();
            let key = cursor.name("a metadata key")?.to_owned();
            let value = value(&mut cursor)?;
            if let Some(_twice) = values.insert(key.clone(), value) {
                return Err(cursor.broken(at, &format!("the key `{key}` stands twice")));
            }
        }
        let alignment = match values.get("general.alignment") {
            None => ALIGNMENT,
            Some(Value::Unsigned(alignment))
                if alignment.is_power_of_two() && (8..=1 << 16).contains(alignment) =>
            {
                *alignment
            }
            Some(_) => {
                let reason = "`general.alignment` is no power of two between 8 and 65536";
                return Err(cursor.broken(0, reason));
            }
        };
        let tensors = tensor::read(&mut cursor, tensors, alignment)?;
        Ok(Self {
            path: path.to_owned(),
            values,
            tensors,
            bytes,
        })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }

    /// The bytes of a tensor of this file; none where its type is [`TensorType::Other`].
    pub fn bytes(&self, tensor: &TensorInfo) -> &[u8] {
        &self.bytes[tensor.range.clone()]
    }

    /// Takes a tensor's pages out of memory, where those of a file that was read count as the
    /// process's own. What is looked at again is read again.
    pub fn give_back(&self, tensor: &TensorInfo) {
        if let Bytes::Mapped(map) = &self.bytes {
            // SAFETY: the mapping is only read, so what is dropped is a copy of the file's content.
            // A system that refuses keeps the pages.
            let _refused = unsafe {
                map.unchecked_advise_range(
                    UncheckedAdvice::DontNeed,
                    tensor.range.start,
                    tensor.range.len(),
                )
            };
        }
    }

    /// A text among the metadata.
    pub fn text(&self, key: &str) -> Result<Option<&str>> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::Text(range)) => Ok(Some(list::text(&self.bytes[range.clone()]))),
            Some(other) => Err(self.wrong(key, other, "a text")),
        }
    }

    /// A number.
    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::Unsigned(number)) => Ok(Some(*number as f64)),
            Some(Value::Signed(number)) => Ok(Some(*number as f64)),
            Some(Value::Float(number)) => Ok(Some(*number)),
            Some(other) => Err(self.wrong(key, other, "a number")),
        }
    }

    /// A number that counts something.
    pub fn count(&self, key: &str) -> Result<Option<u64>> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::Unsigned(number)) => Ok(Some(*number)),
            Some(Value::Signed(number)) if *number >= 0 => Ok(Some(*number as u64)),
            Some(other) => Err(self.wrong(key, other, "a whole number")),
        }
    }

    /// Yes or no.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::Flag(flag)) => Ok(Some(*flag)),
            Some(other) => Err(self.wrong(key, other, "true or false")),
        }
    }

    /// A list of texts.
    pub fn texts(&self, key: &str) -> Result<Option<Strings<'_>>> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::List {
                kind: Kind::Text,
                count,
                at,
            }) => Ok(Some(Strings::new(&self.bytes[at.clone()], *count))),
            Some(other) => Err(self.wrong(key, other, "a list of texts")),
        }
    }

    /// A list of numbers, or of yes and no as 1 and 0.
    pub fn numbers(&self, key: &str) -> Result<Option<Numbers<'_>>> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::List { kind, at, .. }) if kind.width().is_some() => {
                Ok(Some(Numbers::new(*kind, &self.bytes[at.clone()])))
            }
            Some(other) => Err(self.wrong(key, other, "a list of numbers")),
        }
    }

    /// Whether the metadata hold `key`, whatever its kind.
    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// Whether `key` names a list.
    pub fn is_list(&self, key: &str) -> bool {
        matches!(self.values.get(key), Some(Value::List { .. }))
    }

    /// What most of its weights are stored as: the name llama.cpp gives the mixture, such as
    /// `Q4_K_M`, or the type that holds most elements.
    pub fn precision(&self) -> String {
        let mixture = self.count("general.file_type").ok().flatten();
        if let Some(name) = mixture.and_then(tensor::mixture) {
            return name.to_owned();
        }
        let mut elements: BTreeMap<String, u64> = BTreeMap::new();
        for tensor in self.tensors.values() {
            let count: usize = tensor.shape.iter().product();
            let sum = elements.entry(tensor.kind.to_string()).or_default();
            *sum = sum.saturating_add(count as u64);
        }
        let most = elements.into_iter().max_by_key(|(_, count)| *count);
        most.map_or_else(|| "unknown".to_owned(), |(name, _)| name)
    }

    /// An entry that is there and cannot be used.
    pub fn broken(&self, reason: impl Into<String>) -> Error {
        Error::BrokenGguf {
            path: self.path.clone(),
            at: None,
            reason: reason.into(),
        }
    }

    /// A refusal of what is well-formed and not supported.
    pub fn unsupported(&self, what: impl Into<String>, nearest: impl Into<String>) -> Error {
        Error::UnsupportedGguf {
            path: self.path.clone(),
            what: what.into(),
            nearest: nearest.into(),
        }
    }

    fn wrong(&self, key: &str, value: &Value, wanted: &str) -> Error {
        let found = match value {
            Value::Unsigned(_) | Value::Signed(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Flag(_) => "true or false",
            Value::Text(_) => "a text",
            Value::List { .. } => "a list",
        };
        self.broken(format!("`{key}` is {found}, {wanted} is expected"))
    }
}

/// The number of tensors and of metadata entries.
fn header(cursor: &mut Cursor<'_>) -> Result<(u64, u64)> {
    if cursor.take(4, "the header")? != b"GGUF" {
        return Err(cursor.broken(0, "it does not begin with `GGUF`"));
    }
    let version = cursor.u32("the version")?;
    match version {
        2 | 3 => {}
        1 => return Err(cursor.unsupported("GGUF version 1", "versions 2 and 3")),
        0x0200_0000 | 0x0300_0000 => {
            return Err(cursor.unsupported("a big-endian GGUF file", "little-endian files"));
        }
        other => {
            let what = format!("GGUF version {other}");
            return Err(cursor.unsupported(&what, "versions 2 and 3"));
        }
    }
    let at = cursor.place();
    let tensors = cursor.u64("the number of tensors")?;
    let entries = cursor.u64("the number of metadata entries")?;
    if tensors > MOST_ENTRIES || entries > MOST_ENTRIES {
        let reason = format!("it names {tensors} tensors and {entries} metadata entries");
        return Err(cursor.broken(at, &reason));
    }
    Ok((tensors, entries))
}

fn value(cursor: &mut Cursor<'_>) -> Result<Value> {
    let kind = cursor.kind()?;
    let what = "a metadata value";
    Ok(match kind {
        Kind::U8 => Value::Unsigned(cursor.take(1, what)?[0].into()),
        Kind::I8 => Value::Signed(i64::from(cursor.take(1, what)?[0] as i8)),
        Kind::U16 => Value::Unsigned(u16::from_le_bytes(cursor.array(what)?).into()),
        Kind::I16 => Value::Signed(i16::from_le_bytes(cursor.array(what)?).into()),
        Kind::U32 => Value::Unsigned(u32::from_le_bytes(cursor.array(what)?).into()),
        Kind::I32 => Value::Signed(i32::from_le_bytes(cursor.array(what)?).into()),
        Kind::U64 => Value::Unsigned(u64::from_le_bytes(cursor.array(what)?)),
        Kind::I64 => Value::Signed(i64::from_le_bytes(cursor.array(what)?)),
        Kind::F32 => Value::Float(decimal(f32::from_le_bytes(cursor.array(what)?))),
        Kind::F64 => Value::Float(f64::from_le_bytes(cursor.array(what)?)),
        Kind::Flag => Value::Flag(cursor.flag()?),
        Kind::Text => Value::Text(cursor.text(what)?),
        Kind::List => {
            let (kind, count, at) = cursor.list()?;
            Value::List { kind, count, at }
        }
    })
}

/// The number that was rounded to `number`: the decimal it prints as. A `config.json` says 1e-6,
/// and so it shall where a converter made an f32 of it.
fn decimal(number: f32) -> f64 {
    let printed = number.to_string().parse();
    printed.unwrap_or_else(|_| f64::from(number))
}
