//! A place in a file that moves forward and never past the end.

use std::ops::Range;
use std::path::Path;

use crate::{Error, Result};

/// Elements of a metadata list: the largest vocabularies have a quarter million, their merges half
/// a million.
const LONGEST_LIST: u64 = 1 << 24;

/// Bytes of a key or of a tensor's name. The format allows keys 65 535 bytes, names 64.
const LONGEST_NAME: u64 = 1 << 16;

/// What a metadata value is, in the order of its numbers in the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Flag,
    Text,
    List,
    U64,
    I64,
    F64,
}

impl Kind {
    const ALL: [Self; 13] = [
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::F32,
        Self::Flag,
        Self::Text,
        Self::List,
        Self::U64,
        Self::I64,
        Self::F64,
    ];

    /// Bytes of a value, where all have the same.
    pub(super) fn width(self) -> Option<usize> {
        match self {
            Self::U8 | Self::I8 | Self::Flag => Some(1),
            Self::U16 | Self::I16 => Some(2),
            Self::U32 | Self::I32 | Self::F32 => Some(4),
            Self::U64 | Self::I64 | Self::F64 => Some(8),
            Self::Text | Self::List => None,
        }
    }
}

pub(super) struct Cursor<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(path: &'a Path, bytes: &'a [u8]) -> Self {
        Self { path, bytes, at: 0 }
    }

    /// Bytes read so far.
    pub(super) fn place(&self) -> usize {
        self.at
    }

    /// Bytes of the whole file.
    pub(super) fn length(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn broken(&self, at: usize, reason: &str) -> Error {
        Error::BrokenGguf {
            path: self.path.to_owned(),
            at: Some(at as u64),
            reason: reason.to_owned(),
        }
    }

    pub(super) fn unsupported(&self, what: &str, nearest: &str) -> Error {
        Error::UnsupportedGguf {
            path: self.path.to_owned(),
            what: what.to_owned(),
            nearest: nearest.to_owned(),
        }
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: u64, what: &str) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let found = usize::try_from(count)
            .ok()
            .and_then(|count| rest.get(..count));
        let Some(found) = found else {
            let reason = format!(
                "{what} takes {count} bytes, and the file ends after {}",
                rest.len()
            );
            return Err(self.broken(self.at, &reason));
        };
        self.at += found.len();
        Ok(found)
    }

    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64, what)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    pub(super) fn flag(&mut self) -> Result<bool> {
        let at = self.at;
        match self.take(1, "a flag")? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(self.broken(at, "a flag is neither 0 nor 1")),
        }
    }

    pub(super) fn kind(&mut self) -> Result<Kind> {
        let at = self.at;
        let number = self.u32("the type of a value")?;
        let kind = Kind::ALL.get(number as usize).copied();
        kind.ok_or_else(|| self.broken(at, &format!("{number} is no type of a value")))
    }

    /// Where a text lies; it is UTF-8.
    pub(super) fn text(&mut self, what: &str) -> Result<Range<usize>> {
        let length = self.u64(what)?;
        let at = self.at;
        let bytes = self.take(length, what)?;
        if std::str::from_utf8(bytes).is_err() {
            return Err(self.broken(at, &format!("{what} is not UTF-8")));
        }
        Ok(at..self.at)
    }

    /// A key or a tensor's name.
    pub(super) fn name(&mut self, what: &str) -> Result<&'a str> {
        let at = self.at;
        let range = self.text(what)?;
        if range.is_empty() || range.len() as u64 > LONGEST_NAME {
            return Err(self.broken(at, &format!("{what} has {} bytes", range.len())));
        }
        Ok(super::list::text(&self.bytes[range]))
    }

    /// Kind and number of a list's elements, and where they lie. All of them are walked once.
    pub(super) fn list(&mut self) -> Result<(Kind, usize, Range<usize>)> {
        let at = self.at;
        let kind = self.kind()?;
        let count = self.u64("the length of a list")?;
        if count > LONGEST_LIST {
            return Err(self.broken(at, &format!("a list of {count} values")));
        }
        let start = self.at;
        match (kind, kind.width()) {
            (_, Some(width)) => {
                let values = self.take(count * width as u64, "a list")?;
                if kind == Kind::Flag && values.iter().any(|flag| *flag > 1) {
                    return Err(self.broken(at, "a flag in a list is neither 0 nor 1"));
                }
            }
            (Kind::List, _) => {
                return Err(self.unsupported("a list of lists among the metadata", "plain lists"));
            }
            _ => {
                for _ in 0..count {
                    self.text("a text in a list")?;
                }
            }
        }
        Ok((kind, count as usize, start..self.at))
    }
}
