//! How the events of a running command are shown: bars on a terminal, a line now and then in a log
//! file, JSON lines for programs, or not at all.

mod bars;
mod lines;
mod programs;
mod run;

use std::io::{IsTerminal, Write};

use attune_studio::api::{Event, Level};

use crate::output::Output;
use crate::words::printable;

/// Shows what a command reports while it works.
pub(crate) trait View {
    /// One report.
    fn event(&mut self, event: &Event);
    /// A sentence of the host itself.
    fn note(&mut self, sentence: &str);
    /// The command has ended.
    fn finish(&mut self);
}

/// The view for this terminal. With `streams`, a program follows the events.
pub(crate) fn view(output: &Output, streams: bool) -> Box<dyn View + '_> {
    match (output.is_json(), streams) {
        (true, true) => Box::new(programs::JsonLines::new(output)),
        (true, false) => Box::new(programs::Silent),
        (false, _) if std::io::stderr().is_terminal() => Box::new(bars::Bars::new(output)),
        (false, _) => Box::new(lines::Lines::new(output)),
    }
}

/// Writes a line to stderr. Where that fails, there is nobody to tell.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", printable(line));
}

/// A log event as a line.
fn logged(level: Level, message: &str) -> String {
    match level {
        Level::Info => message.to_owned(),
        Level::Warning => format!("warning: {message}"),
    }
}

fn waiting(experiment: &str, behind: &str) -> String {
    format!("`{experiment}` waits for the device; `{behind}` is using it. Ctrl-C leaves the queue.")
}
