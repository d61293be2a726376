//! Standard output: results, in words or as JSON. Progress and notes never come here.

use std::borrow::Cow;
use std::io::{ErrorKind, IsTerminal, Stdout, Write};

use serde_json::{Value, json};

use attune_studio::api::{Event, Reply};

use crate::failure::{Failure, Outcome};
use crate::words::printable;

/// Where results go.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    stdout: Stdout,
}

impl Output {
    /// Output in words, or in JSON.
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            stdout: std::io::stdout(),
        }
    }

    /// Whether a program reads it.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Writes text.
    pub(crate) fn text(&self, text: &str) -> Outcome<()> {
        let mut stdout = self.stdout.lock();
        // A file gets the text as it is.
        let text = if stdout.is_terminal() {
            printable(text)
        } else {
            Cow::Borrowed(text)
        };
        match stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
        {
            // The reader has seen enough, as `head` does; that is no failure.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::broken(&format!(
                "the result cannot be written: {error}"
            ))),
            _ => Ok(()),
        }
    }

    /// Writes the one document of a command.
    pub(crate) fn document(&self, document: &Value) -> Outcome<()> {
        self.text(&format!("{document:#}\n"))
    }

    /// Writes one of many documents, on a line of its own.
    pub(crate) fn line(&self, line: &Value) -> Outcome<()> {
        self.text(&format!("{line}\n"))
    }

    /// Writes an event as a line.
    pub(crate) fn event(&self, event: &Event) -> Outcome<()> {
        self.line(&serde_json::to_value(event).unwrap_or_default())
    }
}

/// The result inside a reply: a host's own envelope says which command it belongs to.
pub(crate) fn result_of(reply: &Reply) -> Value {
    let mut reply = serde_json::to_value(reply).unwrap_or_default();
    reply["result"].take()
}

/// The last line of a command that wrote events.
pub(crate) fn last_line(reply: &Reply) -> Value {
    let mut line = json!({ "type": "result" });
    if let (Value::Object(line), Ok(Value::Object(reply))) =
        (&mut line, serde_json::to_value(reply))
    {
        line.extend(reply);
    }
    line
}
