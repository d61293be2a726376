//! Lists among the metadata, read from where they lie.

use super::cursor::Kind;

/// A text that was found to be UTF-8 when the file was opened.
pub(super) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// The texts of a list, in order.
#[derive(Debug, Clone)]
pub struct Strings<'a> {
    rest: &'a [u8],
    count: usize,
}

impl<'a> Strings<'a> {
    pub(super) fn new(rest: &'a [u8], count: usize) -> Self {
        Self { rest, count }
    }
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (length, rest) = self.rest.split_first_chunk()?;
        let (found, rest) = rest.split_at_checked(u64::from_le_bytes(*length) as usize)?;
        self.rest = rest;
        self.count = self.count.saturating_sub(1);
        Some(text(found))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

impl ExactSizeIterator for Strings<'_> {}

/// The numbers of a list, in order.
#[derive(Debug, Clone)]
pub struct Numbers<'a> {
    kind: Kind,
    width: usize,
    rest: &'a [u8],
}

impl<'a> Numbers<'a> {
    pub(super) fn new(kind: Kind, rest: &'a [u8]) -> Self {
        let width = kind.width().unwrap_or(1);
        Self { kind, width, rest }
    }
}

impl Iterator for Numbers<'_> {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        let (value, rest) = self.rest.split_at_checked(self.width)?;
        self.rest = rest;
        let mut bytes = [0; 8];
        bytes[..value.len()].copy_from_slice(value);
        let whole = u64::from_le_bytes(bytes);
        Some(match self.kind {
            Kind::I8 => f64::from(whole as i8),
            Kind::I16 => f64::from(whole as i16),
            Kind::I32 => f64::from(whole as i32),
            Kind::I64 => whole as i64 as f64,
            Kind::F32 => f64::from(f32::from_bits(whole as u32)),
            Kind::F64 => f64::from_bits(whole),
            _ => whole as f64,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = self.rest.len() / self.width;
        (count, Some(count))
    }
}

impl ExactSizeIterator for Numbers<'_> {}
