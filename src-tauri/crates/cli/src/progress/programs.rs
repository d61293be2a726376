//! Views for programs.

use attune_studio::api::Event;

use super::View;
use crate::output::Output;

/// Every event as a line of JSON.
pub(super) struct JsonLines<'a> {
    output: &'a Output,
}

impl<'a> JsonLines<'a> {
    pub(super) fn new(output: &'a Output) -> Self {
        Self { output }
    }
}

impl View for JsonLines<'_> {
    fn event(&mut self, event: &Event) {
        // A reader that went away does not end the run.
        let _ = self.output.event(event);
    }
    fn note(&mut self, _: &str) {}
    fn finish(&mut self) {}
}

/// Nothing: the result says it all.
pub(super) struct Silent;

impl View for Silent {
    fn event(&mut self, _: &Event) {}
    fn note(&mut self, _: &str) {}
    fn finish(&mut self) {}
}
