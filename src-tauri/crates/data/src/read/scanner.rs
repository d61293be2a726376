//! Cuts JSON text into values without understanding them, so that a list of any length is read
//! one element at a time.

use std::io::{self, Read};

use super::HUGE_ROW;

/// Why a value could not be cut out.
#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    /// What is wrong, and on which line.
    Broken(u64, &'static str),
    /// The value beginning on this line is too large.
    Huge(u64),
}

/// A place in JSON text.
pub(super) struct Scanner<R> {
    reader: R,
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    line: u64,
}

impl<R: Read> Scanner<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: vec![0; 1 << 16],
            at: 0,
            end: 0,
            line: 1,
        }
    }

    /// The line of the next character.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The next character that is not white space, which stays.
    pub(super) fn peek(&mut self) -> Result<Option<u8>, Fault> {
        while let Some(byte) = self.byte()? {
            if !byte.is_ascii_whitespace() {
                return Ok(Some(byte));
            }
            self.pass(byte);
        }
        Ok(None)
    }

    /// Passes `expected`, after white space.
    pub(super) fn expect(&mut self, expected: u8, reason: &'static str) -> Result<(), Fault> {
        if self.peek()? != Some(expected) {
            return Err(Fault::Broken(self.line, reason));
        }
        self.pass(expected);
        Ok(())
    }

    /// Cuts out the value that begins at the next character; without `out` it is passed over.
    pub(super) fn value(&mut self, mut out: Option<&mut Vec<u8>>) -> Result<(), Fault> {
        let begun = self.line;
        let (mut depth, mut quoted, mut escaped) = (0u64, false, false);
        self.peek()?;
        loop {
            let Some(byte) = self.byte()? else {
                return if depth == 0 && !quoted {
                    Ok(())
                } else {
                    Err(Fault::Broken(
                        begun,
                        "the file ends inside the value that begins here",
                    ))
                };
            };
            if !quoted
                && depth == 0
                && (matches!(byte, b',' | b']' | b'}' | b':') || byte.is_ascii_whitespace())
            {
                return Ok(());
            }
            self.pass(byte);
            if let Some(out) = out.as_deref_mut() {
                out.push(byte);
                if out.len() as u64 > HUGE_ROW {
                    return Err(Fault::Huge(begun));
                }
            }
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ if quoted => continue,
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => continue,
            }
            if depth == 0 && !quoted {
                return Ok(());
            }
        }
    }

    /// Reads up to the end of the line; `false` at the end of the text.
    pub(super) fn read_line(&mut self, out: &mut Vec<u8>) -> Result<bool, Fault> {
        let begun = self.line;
        let mut any = false;
        while self.fill()? {
            any = true;
            let rest = &self.buffer[self.at..self.end];
            let end = rest.iter().position(|byte| *byte == b'\n');
            out.extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
            if out.len() as u64 > HUGE_ROW {
                return Err(Fault::Huge(begun));
            }
            self.at += end.map_or(rest.len(), |end| end + 1);
            if end.is_some() {
                self.line += 1;
                break;
            }
        }
        Ok(any)
    }

    fn byte(&mut self) -> Result<Option<u8>, Fault> {
        Ok(if self.fill()? {
            Some(self.buffer[self.at])
        } else {
            None
        })
    }

    fn pass(&mut self, byte: u8) {
        self.at += 1;
        self.line += u64::from(byte == b'\n');
    }

    /// Whether there is a character, after reading more if need be.
    fn fill(&mut self) -> Result<bool, Fault> {
        while self.at == self.end {
            match self.reader.read(&mut self.buffer) {
                Ok(0) => return Ok(false),
                Ok(read) => (self.at, self.end) = (0, read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::Io(error)),
            }
        }
        Ok(true)
    }
}
