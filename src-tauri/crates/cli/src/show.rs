//! Results in words.

mod dataset;
mod experiment;
mod job;
mod machine;
mod model;
mod work;

use attune_studio::api::{Reply, SettingDefinition};
use serde_json::Value;

use crate::failure::Outcome;
use crate::output::result_of;

pub(crate) use machine::find_setting;
pub(crate) use work::{answer_facts, exact_match};

/// What a person reads of a reply. There is no wildcard: a command without words does not compile.
pub(crate) fn words(reply: &Reply, only: Option<&str>) -> Outcome<String> {
    Ok(match reply {
        Reply::Doctor(report) => machine::doctor(report),
        Reply::DataImport(report) => dataset::imported(report),
        Reply::DataCheck(inspection) => dataset::checked(inspection),
        Reply::DataPreview(preview) => dataset::preview(preview),
        Reply::DataList(datasets) => dataset::list(datasets),
        Reply::DataShow(page) => dataset::page(page),
        Reply::DataRemove(removed) => dataset::removed(removed),
        Reply::ModelsList(models) => model::list(models),
        Reply::ModelsAdd(model) => model::added(model),
        Reply::ModelsInspect(report) => model::report(report),
        Reply::ModelsRemove(removed) => model::removed(removed),
        Reply::ExperimentStart(experiment) | Reply::ExperimentsResume(experiment) => {
            experiment::ended(experiment)
        }
        Reply::ExperimentEstimate(estimate) => work::estimate(estimate),
        Reply::ExperimentsLog(lines) => experiment::log(lines),
        Reply::ExperimentsSamples(samples) => experiment::samples(samples),
        Reply::ExperimentsRename(experiment) => {
            format!("`{}` is now called {}.\n", experiment.id, experiment.name)
        }
        Reply::ExperimentsList(experiments) => experiment::list(experiments),
        Reply::ExperimentsShow(report) => experiment::report(report),
        Reply::ExperimentsPause(experiment) | Reply::ExperimentsStop(experiment) => {
            experiment::asked(experiment)
        }
        Reply::ExperimentsDelete(removed) => experiment::deleted(removed),
        Reply::JobsList(jobs) => job::list(jobs),
        Reply::JobsCancel(job) => job::asked(job),
        Reply::Evaluate(evaluation) => work::evaluation(evaluation),
        Reply::Score(score) => work::score(score),
        Reply::Chat(answer) => format!("{}\n", answer.text),
        Reply::Export(export) => work::export(export),
        Reply::Settings(settings) => settings_words(settings, only)?,
        Reply::Starter(starter) => machine::starter(starter),
        // These have no words of their own: `attune call` is for programs.
        Reply::ExperimentsEvents(_)
        | Reply::ExperimentsFirstBatch(_)
        | Reply::ExperimentsEvaluations(_)
        | Reply::SystemLoad(_)
        | Reply::Preferences(_)
        | Reply::PreferencesSet(_)
        | Reply::KeysList(_)
        | Reply::KeysSet(_)
        | Reply::KeysRemove(_)
        | Reply::RequestsList(_)
        | Reply::Diagnostics(_)
        | Reply::Licences(_) => format!("{:#}\n", result_of(reply)),
    })
}

fn settings_words(settings: &[SettingDefinition], only: Option<&str>) -> Outcome<String> {
    match only {
        Some(key) => Ok(machine::setting(find_setting(settings, key)?)),
        None => Ok(machine::settings(settings)),
    }
}

/// Commands worth running now, under a heading.
fn next(commands: &[String]) -> String {
    commands
        .iter()
        .fold("\nNext:\n".to_owned(), |text, command| {
            text + "  " + command + "\n"
        })
}

/// A setting's value.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Bool(true) => "on".to_owned(),
        Value::Bool(false) => "off".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), decimal),
        other @ Value::Object(_) => other.to_string(),
    }
}

/// `1e-8` rather than `0.00000001`.
fn decimal(number: f64) -> String {
    if number != 0.0 && number.abs() < 1e-3 {
        format!("{number:e}")
    } else {
        number.to_string()
    }
}
