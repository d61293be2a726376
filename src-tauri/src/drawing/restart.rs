//! Beginning anew in the same process: who waits for the program, a terminal or a desktop, notices
//! nothing, and no second program waits for this one to let go of the library. WebKit's processes
//! end with the connection to this one; their last entries stay with it until it ends.

use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use super::Lesson;
use crate::start;

/// Tells the start that follows a troubled one what was learnt. Not for people: it says nothing
/// that `WEBKIT_DISABLE_DMABUF_RENDERER` and the others cannot.
const LESSON: &str = "ATTUNE_DRAWING_LESSON";

/// The program as it was started, before it changed its own environment.
#[derive(Debug)]
pub(super) struct Beginning {
    program: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
}

impl Beginning {
    /// This start, and what the one before it learnt, if there was one. To be called before the
    /// first thread.
    pub(super) fn now() -> (Self, Option<Lesson>) {
        let lesson = env::var(LESSON).ok();
        // What this process starts must not take it for its own.
        start::unset(LESSON);
        let beginning = Self {
            program: env::current_exe().unwrap_or_default(),
            arguments: env::args_os().collect(),
            variables: env::vars_os().collect(),
        };
        let lesson = lesson.and_then(|text| serde_json::from_str(&text).ok());
        (beginning, lesson)
    }

    /// Whether it was started with this variable.
    pub(super) fn sets(&self, name: &str) -> bool {
        self.variables.iter().any(|(set, _)| set == name)
    }

    fn variables_with(&self, lesson: Option<Lesson>) -> Vec<(OsString, OsString)> {
        let mut variables = self.variables.clone();
        if let Some(text) = lesson.and_then(|lesson| serde_json::to_string(&lesson).ok()) {
            variables.push((LESSON.into(), text.into()));
        }
        variables
    }

    /// Becomes the program that was started; after a lesson with the same files to open, without
    /// one with none: they have been opened. Returns only where that fails.
    pub(super) fn again(&self, lesson: Option<Lesson>) -> io::Error {
        let files = if lesson.is_some() {
            self.arguments.get(1..).unwrap_or_default()
        } else {
            &[]
        };
        let mut command = Command::new(&self.program);
        if let Some(name) = self.arguments.first() {
            command.arg0(name);
        }
        command
            .args(files)
            .env_clear()
            .envs(self.variables_with(lesson))
            .exec()
    }

    /// The same as `execve` takes it: path, arguments, variables.
    pub(super) fn prepared(&self, lesson: Lesson) -> Option<(CString, Vec<CString>, Vec<CString>)> {
        let text = |text: &OsStr| CString::new(text.as_bytes()).ok();
        let arguments = self.arguments.iter().map(|argument| text(argument));
        let variables = self.variables_with(Some(lesson));
        let variables = variables.into_iter().map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            text(&name)
        });
        Some((
            text(self.program.as_os_str())?,
            arguments.collect::<Option<_>>()?,
            variables.collect::<Option<_>>()?,
        ))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::{Trouble, Way};
    use super::*;

    #[test]
    fn the_next_start_has_the_same_words_and_the_lesson() {
        let beginning = Beginning {
            program: "/usr/bin/attune-desktop".into(),
            arguments: vec!["attune-desktop".into(), "orders.csv".into()],
            variables: vec![("LANG".into(), "de_DE".into())],
        };
        assert!(beginning.sets("LANG") && !beginning.sets("LC_ALL"));
        let lesson = Lesson {
            way: Way::Software,
            trouble: Trouble::Crashed,
        };
        let (program, arguments, variables) = beginning.prepared(lesson).unwrap();
        assert_eq!(program.to_bytes(), b"/usr/bin/attune-desktop");
        assert_eq!(arguments[1].to_bytes(), b"orders.csv");
        assert_eq!(variables[0].to_bytes(), b"LANG=de_DE");
        let told = variables[1].to_str().unwrap().split_once('=').unwrap();
        assert_eq!(told.0, LESSON);
        assert_eq!(serde_json::from_str::<Lesson>(told.1).unwrap(), lesson);
    }
}
