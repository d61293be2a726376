//! Progress where nobody watches a terminal: a line now and then, for a log file.

use std::time::{Duration, Instant};

use attune_studio::api::{Event, TrainEvent};

use super::run::{Run, numbers};
use super::{View, logged, say, waiting};
use crate::output::Output;
use crate::words::{count, percent, time_left};

/// Seldom enough for a log file, often enough for somebody who follows it.
const INTERVAL: Duration = Duration::from_secs(10);

/// Lines on stderr.
pub(super) struct Lines<'a> {
    output: &'a Output,
    what: String,
    said: Instant,
    run: Run,
}

impl<'a> Lines<'a> {
    pub(super) fn new(output: &'a Output) -> Self {
        Self {
            output,
            what: String::new(),
            said: Instant::now(),
            run: Run::default(),
        }
    }

    /// Whether it is time for another line; work that ends sooner needs none.
    fn is_time(&mut self, what: &str) -> bool {
        if self.what != what {
            what.clone_into(&mut self.what);
            self.said = Instant::now();
        }
        let due = self.said.elapsed() >= INTERVAL;
        if due {
            self.said = Instant::now();
        }
        due
    }

    fn train(&mut self, event: &TrainEvent, seconds_left: Option<f64>) {
        self.run.follow(event);
        if let TrainEvent::Step { step, .. } = event {
            // The first step tells that it works, the last how it ended.
            if self.is_time("Tuning") || *step == 1 || self.run.is_last(*step) {
                say(&format!(
                    "Step {} · {}",
                    self.run.of(*step),
                    numbers(event, seconds_left).unwrap_or_default()
                ));
            }
        } else if let Some(sentence) = self.run.sentence(event) {
            say(&sentence);
        }
    }
}

impl View for Lines<'_> {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Progress {
                what,
                done,
                total,
                seconds_left,
            } => {
                if self.is_time(what) {
                    let done = match total {
                        Some(total) if *total > 0 => percent(*done as f64 / *total as f64),
                        _ => count(*done),
                    };
                    let left = seconds_left
                        .map(|seconds| format!(", {}", time_left(seconds)))
                        .unwrap_or_default();
                    say(&format!("{what}: {done}{left}"));
                }
            }
            // The bar of the run, or its first line, will name it.
            Event::Created { .. } => {}
            Event::Waiting { subject, behind } => say(&waiting(subject, behind)),
            Event::Train {
                event,
                seconds_left,
                ..
            } => self.train(event, *seconds_left),
            Event::Text { text } => {
                let _ = self.output.text(text);
            }
            Event::Log { level, message } => say(&logged(*level, message)),
        }
    }

    fn note(&mut self, sentence: &str) {
        say(sentence);
    }

    fn finish(&mut self) {}
}
