//! Progress on a terminal: one bar at a time on stderr, and sentences above it that stay.

use std::time::Duration;

use attune_studio::api::{Event, TrainEvent};
use indicatif::{ProgressBar, ProgressStyle};

use super::run::{Run, numbers};
use super::{View, logged, say, waiting};
use crate::output::Output;
use crate::words::{printable, time_left};

const KNOWN: &str = "{prefix} {bar:24.cyan/dim} {percent:>3} % {wide_msg:.dim}";
const UNKNOWN: &str = "{prefix} {spinner:.cyan} {human_pos} {wide_msg:.dim}";
const TRAINING: &str = "{prefix} {bar:16.cyan/dim} {wide_msg}";
const WAITING: &str = "{spinner:.cyan} {prefix}";

/// Ticks keep a spinner turning while nothing is reported.
const TICK: Duration = Duration::from_millis(120);

/// Bars on stderr.
pub(super) struct Bars<'a> {
    output: &'a Output,
    bar: Option<(String, ProgressBar)>,
    run: Run,
}

impl<'a> Bars<'a> {
    pub(super) fn new(output: &'a Output) -> Self {
        Self {
            output,
            bar: None,
            run: Run::default(),
        }
    }

    /// The bar of this work: the one that stands, or a new one in its place.
    fn bar(&mut self, what: &str, template: &str, total: Option<u64>) -> ProgressBar {
        if let Some((_, bar)) = self.bar.as_ref().filter(|(current, _)| current == what) {
            return bar.clone();
        }
        self.clear();
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        // The templates are constants; a wrong one shows the default bar and fails a test.
        bar.set_style(style(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(printable(what).into_owned());
        bar.enable_steady_tick(TICK);
        self.bar = Some((what.to_owned(), bar.clone()));
        bar
    }

    fn clear(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn above(&self, line: &str) {
        match &self.bar {
            Some((_, bar)) => bar.suspend(|| say(line)),
            None => say(line),
        }
    }

    fn train(&mut self, event: &TrainEvent, seconds_left: Option<f64>) {
        self.run.follow(event);
        match event {
            TrainEvent::Step { step, .. } => {
                let bar = self.bar("Tuning", TRAINING, self.run.total);
                bar.set_position(*step);
                let saved = self
                    .run
                    .saved
                    .map(|step| format!(" · saved at {step}"))
                    .unwrap_or_default();
                bar.set_message(format!(
                    "{} · {}{saved}",
                    self.run.of(*step),
                    numbers(event, seconds_left).unwrap_or_default()
                ));
            }
            // The bar says at which step the run was saved last.
            TrainEvent::Checkpoint { .. } => {}
            other => {
                if let Some(sentence) = self.run.sentence(other) {
                    self.above(&sentence);
                }
            }
        }
    }
}

fn style(template: &str) -> Result<ProgressStyle, indicatif::style::TemplateError> {
    ProgressStyle::with_template(template).map(|style| style.progress_chars("━━─"))
}

impl View for Bars<'_> {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Progress {
                what,
                done,
                total,
                seconds_left,
            } => {
                let template = if total.is_some() { KNOWN } else { UNKNOWN };
                let bar = self.bar(what, template, *total);
                bar.set_position(*done);
                bar.set_message(
                    seconds_left
                        .filter(|seconds| *seconds > 0.0)
                        .map(time_left)
                        .unwrap_or_default(),
                );
            }
            // The bar of the run, or its first line, will name it.
            Event::Created { .. } => {}
            Event::Waiting { subject, behind } => {
                self.clear();
                self.bar(&waiting(subject, behind), WAITING, None);
            }
            Event::Train {
                event,
                seconds_left,
                ..
            } => self.train(event, *seconds_left),
            Event::Text { text } => {
                self.clear();
                let _ = self.output.text(text);
            }
            Event::Log { level, message } => self.above(&logged(*level, message)),
        }
    }

    fn note(&mut self, sentence: &str) {
        self.above(sentence);
    }

    fn finish(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_whole() {
        for template in [KNOWN, UNKNOWN, TRAINING, WAITING] {
            assert!(style(template).is_ok(), "{template}");
        }
    }
}
