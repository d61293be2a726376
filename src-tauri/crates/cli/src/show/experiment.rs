//! Experiments in words.

use std::ffi::OsStr;
use std::path::Path;

use attune_studio::api::{
    Experiment, ExperimentReport, ExperimentState, Level, LogLine, Removed, Samples, TrainEvent,
};

use super::work::one_line;
use super::{next, plain};
use crate::table::{Facts, Left, Right, Table};
use crate::words::{ago, bytes, count, duration, indented, many, measure, rate, time_left};

/// A run that came to an end, or was only described.
pub(super) fn ended(experiment: &Experiment) -> String {
    let id = &experiment.id;
    match experiment.state {
        ExperimentState::Finished => format!(
            "Finished `{id}` after {}.\n\n{}{}",
            many(experiment.step, "step"),
            numbers(experiment),
            next(&[
                format!("attune chat --experiment {id}"),
                format!("attune evaluate --experiment {id}"),
                format!("attune export {id} --to {id}-adapter"),
            ]),
        ),
        // A run that was started never ends queued: this one was only described.
        ExperimentState::Queued => format!(
            "Nothing was started. As `{id}` it would tune {} on {} ({}).\n",
            experiment.model, experiment.dataset, experiment.method,
        ),
        _ => asked(experiment),
    }
}

/// What a run said.
pub(super) fn log(lines: &[LogLine]) -> String {
    let mut table = Table::new([("", Left), ("", Left)]);
    for line in lines {
        let mark = match line.level {
            Level::Info => "",
            Level::Warning => "warning: ",
        };
        table.add([ago(line.time as i64), format!("{mark}{}", line.message)]);
    }
    table.to_string()
}

/// How the answers to the same questions changed.
pub(super) fn samples(samples: &Samples) -> String {
    if samples.prompts.is_empty() {
        return "This run asked no questions: sample_prompts was 0, or nothing was held out.\n"
            .to_owned();
    }
    let mut text = String::new();
    for (number, prompt) in samples.prompts.iter().enumerate() {
        let mut facts = Facts::default();
        facts.add("Question", one_line(&prompt.prompt));
        facts.add("Expected", one_line(&prompt.answer));
        for round in &samples.rounds {
            let answer = round.answers.get(number).map_or("", String::as_str);
            facts.add(format!("Step {}", count(round.step)), one_line(answer));
        }
        text += &format!("{facts}\n");
    }
    text
}

/// A run after it was asked to pause or to stop.
pub(super) fn asked(experiment: &Experiment) -> String {
    let id = &experiment.id;
    let step = step(experiment);
    match experiment.state {
        ExperimentState::Paused => format!("Paused `{id}` at step {step}. {}\n", resume(id)),
        ExperimentState::Stopped => {
            format!("Stopped `{id}` at step {step}; what it has learnt is kept.\n")
        }
        ExperimentState::Interrupted | ExperimentState::Failed => {
            format!(
                "`{id}` {} at step {step}. {}\n",
                state(experiment.state),
                resume(id)
            )
        }
        ExperimentState::Finished => format!("`{id}` has finished.\n"),
        ExperimentState::Queued | ExperimentState::Running => {
            format!("`{id}` is {}, at step {step}.\n", experiment.state.as_str())
        }
    }
}

fn resume(id: &str) -> String {
    format!("Continue with `attune experiments resume {id}`.")
}

/// The word for a state, as it stands after a name.
fn state(state: ExperimentState) -> &'static str {
    match state {
        ExperimentState::Interrupted => "was interrupted",
        other => other.as_str(),
    }
}

/// The runs, and how to continue those that wait for it.
pub(super) fn list(experiments: &[Experiment]) -> String {
    if experiments.is_empty() {
        return "No experiments yet.\n".to_owned()
            + &next(&[
                "attune demo                                      See the whole story".to_owned(),
                "attune train --dataset DATASET --model MODEL    Tune on your own data".to_owned(),
            ]);
    }
    let mut table = Table::new([
        ("Experiment", Left),
        ("State", Left),
        ("Step", Right),
        ("Loss", Right),
        ("Validation", Right),
        ("Model", Left),
        ("Dataset", Left),
        ("Made", Right),
    ]);
    for one in experiments {
        let loss = |loss: Option<f64>| loss.map_or_else(|| "-".to_owned(), measure);
        table.add([
            one.id.clone(),
            one.state.as_str().to_owned(),
            step(one),
            loss(one.loss),
            loss(one.validation_loss),
            model(one).to_owned(),
            one.dataset.clone(),
            ago(one.created_at),
        ]);
    }
    let can_continue = |state| {
        matches!(
            state,
            ExperimentState::Paused | ExperimentState::Interrupted | ExperimentState::Failed
        )
    };
    let mut text = table.to_string();
    for one in experiments.iter().filter(|one| can_continue(one.state)) {
        let why = one
            .error
            .as_ref()
            .map(|error| format!(": {}", error.message))
            .unwrap_or_default();
        text += &format!(
            "\n`{}` {}{why}. {}\n",
            one.id,
            state(one.state),
            resume(&one.id)
        );
    }
    text
}

/// The model's name; of a folder that the library does not know, the last part.
fn model(experiment: &Experiment) -> &str {
    let path = Path::new(&experiment.model);
    let last = path
        .file_name()
        .filter(|_| path.is_absolute())
        .and_then(OsStr::to_str);
    last.unwrap_or(&experiment.model)
}

/// A run in detail.
pub(super) fn report(report: &ExperimentReport) -> String {
    let experiment = &report.experiment;
    let mut facts = Facts::default();
    facts.add("Experiment", &experiment.id);
    facts.add("Name", &experiment.name);
    let left = experiment
        .seconds_left
        .filter(|_| experiment.state == ExperimentState::Running);
    let left = left
        .map(|seconds| format!(", {}", time_left(seconds)))
        .unwrap_or_default();
    facts.add("State", format!("{}{left}", experiment.state.as_str()));
    facts.add("Step", step(experiment));
    facts.add("Model", &experiment.model);
    facts.add("Dataset", &experiment.dataset);
    facts.add("Method", &experiment.method);
    facts.add("Made", ago(experiment.created_at));
    add_numbers(&mut facts, experiment);
    let mut text = facts.to_string();
    if let Some(error) = &experiment.error {
        let remedy = error
            .remedy
            .as_ref()
            .map(|remedy| format!(" {remedy}"))
            .unwrap_or_default();
        text += &format!("\nIt failed: {}.{remedy}\n", error.message);
    }
    if !report.differences.is_empty() {
        let mut table = Table::new([("Setting", Left), ("Here", Left), ("Otherwise", Left)]);
        for one in &report.differences {
            table.add([one.key.clone(), plain(&one.value), plain(&one.other)]);
        }
        text += &format!("\n{table}");
    }
    text + &history(report)
}

fn history(report: &ExperimentReport) -> String {
    let evaluations: Vec<String> = report
        .events
        .iter()
        .filter_map(|line| match &line.event {
            TrainEvent::Evaluation {
                step,
                loss,
                perplexity,
                best,
                ..
            } => Some(format!(
                "step {}: validation loss {}, perplexity {}{}",
                count(*step),
                measure(*loss),
                measure(*perplexity),
                if *best { ", the best so far" } else { "" },
            )),
            TrainEvent::Paused { step } => Some(format!("step {}: paused", count(*step))),
            TrainEvent::Resumed { step } => Some(format!("step {}: continued", count(*step))),
            TrainEvent::Stopped { step, .. } => Some(format!("step {}: stopped", count(*step))),
            TrainEvent::Finished { step, .. } => Some(format!("step {}: finished", count(*step))),
            TrainEvent::Started { .. }
            | TrainEvent::Step { .. }
            | TrainEvent::Checkpoint { .. } => None,
        })
        .collect();
    if evaluations.is_empty() {
        return String::new();
    }
    format!("\nWhat happened\n{}", indented(&evaluations.join("\n"), 2))
}

/// What is gone.
pub(super) fn deleted(removed: &Removed) -> String {
    format!(
        "Deleted the experiment `{}`; {} are free again.\n",
        removed.id,
        bytes(removed.freed)
    )
}

fn numbers(experiment: &Experiment) -> Facts {
    let mut facts = Facts::default();
    add_numbers(&mut facts, experiment);
    facts
}

fn add_numbers(facts: &mut Facts, experiment: &Experiment) {
    facts.add_some("Training loss", experiment.loss.map(measure));
    facts.add_some(
        "Validation loss",
        experiment.validation_loss.map(|loss| {
            let best = experiment.best_validation_loss.zip(experiment.best_step);
            let best = best
                .map(|(best, step)| format!(" (lowest {} at step {})", measure(best), count(step)));
            format!("{}{}", measure(loss), best.unwrap_or_default())
        }),
    );
    facts.add_some("Speed", experiment.tokens_per_second.map(rate));
    facts.add_some(
        "Peak memory",
        experiment.peak_memory.map(|peak| {
            let predicted = experiment.predicted_memory.map(bytes);
            let predicted = predicted.map(|predicted| format!(" ({predicted} predicted)"));
            format!("{}{}", bytes(peak), predicted.unwrap_or_default())
        }),
    );
    let wall = experiment
        .started_at
        .zip(experiment.ended_at)
        .map(|(start, end)| (end - start).max(0) as f64);
    facts.add_some(
        "From start to end",
        wall.filter(|_| experiment.state == ExperimentState::Finished)
            .map(duration),
    );
    facts.add("Files", experiment.folder.display().to_string());
}

/// `340 / 1 120`.
fn step(experiment: &Experiment) -> String {
    match experiment.total_steps {
        Some(total) => format!("{} / {}", count(experiment.step), count(total)),
        None => count(experiment.step),
    }
}
