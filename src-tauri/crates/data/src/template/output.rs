//! Bounds on what a template writes.

use std::io::{self, Write};

use minijinja::value::StringInput;
use minijinja::{ErrorKind, Value};

use crate::{Error, Result};

/// Text up to a limit; more is an error.
pub(super) struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
    overflowed: bool,
}

impl Bounded {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
            overflowed: false,
        }
    }

    pub(super) fn overflowed(&self) -> bool {
        self.overflowed
    }

    pub(super) fn into_text(self) -> Result<String> {
        String::from_utf8(self.bytes).map_err(|error| Error::Template {
            reason: error.to_string(),
        })
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            self.overflowed = true;
            return Err(io::Error::other("the output is too large"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// minijinja's `indent` pads by any width; this one by what a page could hold.
pub(super) fn indent(
    value: StringInput<'_>,
    width: Option<usize>,
    first: Option<bool>,
    blank: Option<bool>,
    options: minijinja::value::Kwargs,
) -> Result<Value, minijinja::Error> {
    let named = if options.has("width") {
        options.peek::<Option<usize>>("width")?
    } else {
        None
    };
    if width.or(named).is_some_and(|width| width > 64) {
        return Err(minijinja::Error::new(
            ErrorKind::InvalidOperation,
            "indent: width above 64",
        ));
    }
    minijinja::filters::indent(value, width, first, blank, options)
}
