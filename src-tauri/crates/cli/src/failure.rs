//! How a command can end other than well, what is said about it, and the exit code.

use std::io::Write;
use std::process::ExitCode;

use serde_json::json;

use attune_studio::Error;

use crate::output::Output;
use crate::words::printable;

/// What everything in this program returns.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// Why a command did not end well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was refused, or failed.
    Refused(Box<Error>),
    /// What was asked for is not clear.
    Usage(Box<Error>),
    /// A run was paused by another process before its end; it has been shown.
    Paused,
    /// A signal ended it; what is to be said has been said.
    Interrupted(Signal),
}

/// A signal that asks the program to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// What a system sends when it shuts down.
    Terminate,
}

impl Failure {
    /// Something that should not happen.
    pub(crate) fn broken(message: &str) -> Self {
        Self::Refused(Box::new(Error::new("broken", message)))
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::Paused => 3,
            // The shell's convention: 128 and the signal's number.
            Self::Interrupted(Signal::Interrupt) => 130,
            Self::Interrupted(Signal::Terminate) => 143,
        }
    }

    /// Says what failed and what can be done, and returns the exit code.
    pub(crate) fn report(&self, output: &Output) -> ExitCode {
        if let Self::Refused(error) | Self::Usage(error) = self {
            if output.is_json() {
                // Standard output may be what is broken.
                let _ = output.line(&json!({ "error": error }));
            }
            let _ = std::io::stderr().write_all(printable(&sentences(error)).as_bytes());
        }
        ExitCode::from(self.exit_code())
    }
}

/// Reports a command line that cannot be read, or the help that was asked for.
pub(crate) fn report_usage(refusal: &clap::Error) -> ExitCode {
    // clap writes help to stdout and refusals to stderr.
    let _ = refusal.print();
    if !refusal.use_stderr() {
        return ExitCode::SUCCESS;
    }
    // What could not be read may still hold the wish for JSON.
    if std::env::args_os().any(|argument| argument == "--json") {
        let message = refusal.to_string();
        let message = message
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("error: ");
        let error = Error::new("usage", message).with_remedy("Run the command with `--help`.");
        let _ = Output::new(true).line(&json!({ "error": error }));
    }
    ExitCode::from(2)
}

/// What failed, where if the message does not say, and what can be done.
fn sentences(error: &Error) -> String {
    let mut text = format!("error: {}\n", error.message);
    if let Some(place) = error
        .place
        .as_ref()
        .filter(|place| !mentions(&error.message, place))
    {
        text += &format!("   in: {place}\n");
    }
    if let Some(remedy) = &error.remedy {
        text += &format!("hint: {remedy}\n");
    }
    text
}

/// Whether the message names the place already: `orders.csv:12` is there as `orders.csv, line 12`.
fn mentions(message: &str, place: &str) -> bool {
    let without_line = place.rsplit_once(':').map(|(file, _)| file);
    message.contains(place)
        || without_line.is_some_and(|file| !file.is_empty() && message.contains(file))
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_said_once() {
        let error = Error::new(
            "data-ragged",
            "a.csv, line 3: 5 columns where the header has 4",
        )
        .with_place("a.csv:3");
        assert_eq!(
            sentences(&error),
            "error: a.csv, line 3: 5 columns where the header has 4\n"
        );
        let error =
            Error::new("setting-invalid", "`lora_r` cannot be `0`").with_place("run.yaml, line 2");
        let error = error.with_remedy("Give a whole number.");
        assert_eq!(
            sentences(&error),
            "error: `lora_r` cannot be `0`\n   in: run.yaml, line 2\nhint: Give a whole number.\n"
        );
    }
}
