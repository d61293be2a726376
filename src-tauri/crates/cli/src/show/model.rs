//! Models in words.

use attune_studio::api::{Model, ModelFacts, ModelOrigin, ModelReport, Removed};

use super::next;
use crate::table::{Facts, Left, Right, Table};
use crate::words::{bytes, count, many, parameters};

/// The models of this machine.
pub(super) fn list(models: &[Model]) -> String {
    if models.is_empty() {
        return "No models yet.\n".to_owned()
            + &next(&[
                "attune starter              Install the small bundled model".to_owned(),
                "attune models add FOLDER    Add a folder with config.json, tokenizer.json and safetensors".to_owned(),
            ]);
    }
    let mut table = Table::new([
        ("Model", Left),
        ("Family", Left),
        ("Parameters", Right),
        ("Stored as", Left),
        ("Size", Right),
        ("Context", Right),
        ("Origin", Left),
    ]);
    for model in models {
        let fact = |show: fn(&ModelFacts) -> String| {
            model.facts.as_ref().map_or_else(|| "-".to_owned(), show)
        };
        table.add([
            model.id.clone(),
            fact(|facts| facts.family.clone()),
            fact(|facts| parameters(facts.parameters)),
            fact(|facts| facts.dtype.clone()),
            fact(|facts| bytes(facts.bytes)),
            fact(|facts| count(facts.context as u64)),
            origin(model.origin).to_owned(),
        ]);
    }
    let unusable = models
        .iter()
        .filter_map(|model| Some((model, model.problem.as_ref()?)));
    unusable.fold(table.to_string(), |text, (model, problem)| {
        let remedy = problem
            .remedy
            .as_ref()
            .map(|remedy| format!(" {remedy}"))
            .unwrap_or_default();
        format!(
            "{text}\n`{}` cannot be used: {}.{remedy}\n",
            model.id, problem.message
        )
    })
}

/// A model that was added.
pub(super) fn added(model: &Model) -> String {
    let facts = model.facts.as_ref().map(short).unwrap_or_default();
    let next = next(&[
        format!("attune models inspect {}", model.id),
        format!("attune chat --model {} --prompt \"…\"", model.id),
        format!("attune train --model {} --dataset DATASET", model.id),
    ]);
    format!(
        "Added `{}`{facts}. Its folder stays where it is: {}\n{next}",
        model.id,
        model.folder.display()
    )
}

fn short(facts: &ModelFacts) -> String {
    format!(
        ", {} parameters, {}",
        parameters(facts.parameters),
        facts.family
    )
}

/// A model in detail.
pub(super) fn report(report: &ModelReport) -> String {
    let model = &report.model;
    let mut facts = Facts::default();
    facts.add("Model", &model.id);
    facts.add("Name", &model.name);
    facts.add("Origin", origin(model.origin));
    facts.add("Folder", model.folder.display().to_string());
    if let Some(found) = &model.facts {
        facts.add("Family", &found.family);
        facts.add("Parameters", count(found.parameters));
        facts.add(
            "Stored as",
            format!("{}, {}", found.dtype, bytes(found.bytes)),
        );
        facts.add("Context", many(found.context as u64, "token"));
        facts.add("Chat template", &found.template);
    }
    facts.add("Vocabulary", many(report.vocabulary as u64, "token"));
    facts.add("Layers", count(report.layers as u64));
    facts.add(
        "Width",
        format!(
            "{}, {} inside",
            count(report.hidden_size as u64),
            count(report.intermediate_size as u64)
        ),
    );
    if !report.features.is_empty() {
        facts.add("Features", report.features.join(", "));
    }
    facts.add(
        "Heads",
        format!(
            "{}, {} for keys and values",
            report.attention_heads, report.key_value_heads
        ),
    );
    facts.add(
        "Head",
        if report.tied_head {
            "shares the embedding's weights"
        } else {
            "has weights of its own"
        },
    );
    facts.add("Answers end with", report.stop_tokens.join(" "));
    if !report.experiments.is_empty() {
        facts.add("Experiments", report.experiments.join(", "));
    }
    let problem = model
        .problem
        .as_ref()
        .map(|problem| format!("\nIt cannot be used: {}\n", problem.message));
    format!("{facts}{}", problem.unwrap_or_default())
}

/// What is forgotten.
pub(super) fn removed(removed: &Removed) -> String {
    match removed.freed {
        0 => format!(
            "Removed `{}` from the list; its folder is untouched.\n",
            removed.id
        ),
        freed => format!(
            "Removed `{}`; {} are free again.\n",
            removed.id,
            bytes(freed)
        ),
    }
}

fn origin(origin: ModelOrigin) -> &'static str {
    match origin {
        ModelOrigin::Bundled => "bundled",
        ModelOrigin::Added => "added",
        ModelOrigin::Cache => "Hugging Face cache",
        ModelOrigin::Folder => "folder",
    }
}
