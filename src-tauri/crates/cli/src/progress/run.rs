//! A training run in sentences.

use attune_studio::api::TrainEvent;

use crate::words::{THIN, bytes, count, many, measure, percent, rate, time_left};

/// What is remembered of a run between its events.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// Steps in all, once known.
    pub(super) total: Option<u64>,
    /// The step of the last checkpoint.
    pub(super) saved: Option<u64>,
}

impl Run {
    /// Takes over what later sentences need.
    pub(super) fn follow(&mut self, event: &TrainEvent) {
        match event {
            TrainEvent::Started { total_steps, .. } => self.total = Some(*total_steps),
            TrainEvent::Checkpoint { step, .. } | TrainEvent::Resumed { step } => {
                self.saved = Some(*step);
            }
            TrainEvent::Step { .. }
            | TrainEvent::Evaluation { .. }
            | TrainEvent::Paused { .. }
            | TrainEvent::Stopped { .. }
            | TrainEvent::Finished { .. } => {}
        }
    }

    /// Whether `step` is the last.
    pub(super) fn is_last(&self, step: u64) -> bool {
        self.total == Some(step)
    }

    /// The event in a sentence; a step has [`numbers`] instead.
    pub(super) fn sentence(&self, event: &TrainEvent) -> Option<String> {
        Some(match event {
            TrainEvent::Started {
                total_steps,
                train_samples,
                validation_samples,
                trainable_parameters,
                total_parameters,
                ..
            } => {
                let held_out = match validation_samples {
                    0 => String::new(),
                    samples => format!(" ({} held out)", count(*samples as u64)),
                };
                let share = *trainable_parameters as f64 / (*total_parameters).max(1) as f64;
                format!(
                    "Learning from {}{held_out} in {}; {} of the weights change ({}).",
                    many(*train_samples as u64, "sample"),
                    many(*total_steps, "step"),
                    percent(share),
                    count(*trainable_parameters),
                )
            }
            TrainEvent::Step { .. } => return None,
            TrainEvent::Evaluation {
                step,
                loss,
                perplexity,
                best,
                ..
            } => format!(
                "Step {}: validation loss {}, perplexity {}{}",
                count(*step),
                measure(*loss),
                measure(*perplexity),
                if *best { ", the best so far" } else { "" },
            ),
            TrainEvent::Checkpoint { step, best } => {
                format!(
                    "Step {}: checkpoint saved{}",
                    count(*step),
                    if *best { ", the best so far" } else { "" }
                )
            }
            TrainEvent::Paused { step } => format!("Paused at step {}.", self.of(*step)),
            TrainEvent::Resumed { step } => format!("Continuing from step {}.", self.of(*step)),
            TrainEvent::Stopped { step, reason } => {
                format!("Stopped at step {}: {reason}", self.of(*step))
            }
            TrainEvent::Finished { step, early: true } => {
                format!(
                    "Ended early at step {}: the validation loss no longer falls.",
                    self.of(*step)
                )
            }
            TrainEvent::Finished { step, early: false } => {
                format!("Trained {}.", many(*step, "step"))
            }
        })
    }

    /// `340 of 1 120`.
    pub(super) fn of(&self, step: u64) -> String {
        match self.total {
            Some(total) => format!("{} of {}", count(step), count(total)),
            None => count(step),
        }
    }
}

/// The numbers of a step, what matters most first: a narrow terminal shows only the beginning.
pub(super) fn numbers(event: &TrainEvent, seconds_left: Option<f64>) -> Option<String> {
    let TrainEvent::Step {
        epoch,
        loss,
        tokens_per_second,
        peak_memory,
        ..
    } = event
    else {
        return None;
    };
    let mut numbers = vec![format!("loss{THIN}{}", measure(*loss))];
    numbers.extend(seconds_left.filter(|seconds| *seconds > 0.0).map(time_left));
    numbers.extend([
        rate(*tokens_per_second),
        bytes(*peak_memory),
        format!("epoch{THIN}{epoch:.2}"),
    ]);
    Some(numbers.join(" · "))
}
