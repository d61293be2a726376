//! Datasets in words.

use attune_studio::api::{
    Conversation, DataPreview, Dataset, DatasetPage, DatasetReport, Inspection, Removed, Role,
    Shape,
};

use super::next;
use crate::table::{Facts, Left, Right, Table};
use crate::words::{ago, bytes, count, indented, many, shortened};

/// Characters of an example.
const EXAMPLE: usize = 48;
/// Lines and characters shown of a turn.
const TURN: usize = 400;

/// What an import kept.
pub(super) fn imported(report: &DatasetReport) -> String {
    let Dataset {
        id,
        conversations,
        folder,
        ..
    } = &report.dataset;
    let next = next(&[
        format!("attune data show {id}"),
        "attune models list".to_owned(),
        format!("attune train --dataset {id} --model MODEL"),
    ]);
    format!(
        "{}\nImported {} as `{id}` into {}\n{next}",
        findings(&report.inspection),
        many(*conversations, "conversation"),
        folder.display(),
    )
}

/// What an import would find.
pub(super) fn checked(inspection: &Inspection) -> String {
    format!(
        "{}\nNothing was kept. `attune data import` brings it into the library.\n",
        findings(inspection)
    )
}

/// The datasets of the library.
pub(super) fn list(datasets: &[Dataset]) -> String {
    if datasets.is_empty() {
        return "No datasets yet.\n".to_owned()
            + &next(&[
                "attune data import FILE    CSV, TSV, JSON, JSONL, Parquet or a zip of these"
                    .to_owned(),
            ]);
    }
    let mut table = Table::new([
        ("Dataset", Left),
        ("Name", Left),
        ("Conversations", Right),
        ("Shape", Left),
        ("File", Left),
        ("Size", Right),
        ("Imported", Right),
    ]);
    for one in datasets {
        table.add([
            one.id.clone(),
            one.name.clone(),
            count(one.conversations),
            one.shape.replace('_', " "),
            one.file.clone(),
            bytes(one.bytes),
            ago(one.created_at),
        ]);
    }
    table.to_string()
}

/// A dataset and some of its conversations.
pub(super) fn page(page: &DatasetPage) -> String {
    let Dataset {
        id,
        name,
        conversations,
        folder,
        ..
    } = &page.dataset;
    let mut facts = Facts::default();
    facts.add("Dataset", id);
    facts.add("Name", name);
    facts.add("Files", folder.display().to_string());
    let mut text = format!("{facts}\n{}", findings(&page.inspection));
    for (number, conversation) in (page.first + 1..).zip(&page.conversations) {
        text += &format!(
            "\nConversation {} of {}\n{}",
            count(number),
            count(*conversations),
            turns(conversation)
        );
    }
    text
}

/// What is gone.
pub(super) fn removed(removed: &Removed) -> String {
    format!(
        "Removed the dataset `{}`; {} are free again.\n",
        removed.id,
        bytes(removed.freed)
    )
}

fn findings(found: &Inspection) -> String {
    let mut facts = Facts::default();
    let member = found
        .member
        .as_ref()
        .map(|member| format!(" in {member}"))
        .unwrap_or_default();
    let encoding = found
        .encoding
        .as_ref()
        .filter(|encoding| *encoding != "UTF-8");
    let encoding = encoding
        .map(|encoding| format!(", {encoding}"))
        .unwrap_or_default();
    facts.add(
        "Format",
        format!("{}{member}, {}{encoding}", found.format, bytes(found.bytes)),
    );
    facts.add("Rows", count(found.rows));
    facts.add("Shape", shape(&found.shape));
    facts.add(
        "Conversations",
        format!(
            "{} with {}",
            count(found.conversations),
            many(found.turns, "turn")
        ),
    );
    facts.add_some(
        "Tokens",
        found.lengths.as_ref().map(|lengths| {
            format!(
                "{} to {}, half have at most {}, 95 of 100 at most {}",
                count(lengths.min as u64),
                count(lengths.max as u64),
                count(lengths.median as u64),
                count(lengths.p95 as u64),
            )
        }),
    );
    facts.add_some(
        "Cut",
        found.lengths.as_ref().map(|lengths| {
            format!(
                "{} of {} at {}",
                count(lengths.cut),
                count(lengths.samples),
                many(lengths.max_length as u64, "token")
            )
        }),
    );
    format!("{facts}\n{}{}", columns(found), problems(found))
}

fn columns(found: &Inspection) -> String {
    let mut table = Table::new([
        ("Column", Left),
        ("Type", Left),
        ("Empty", Right),
        ("Example", Left),
    ]);
    for column in &found.columns {
        let kind = serde_json::to_value(column.kind).unwrap_or_default();
        table.add([
            column.name.clone(),
            kind.as_str().unwrap_or_default().to_owned(),
            count(column.empty),
            shortened(column.examples.first().map_or("", String::as_str), EXAMPLE),
        ]);
    }
    table.to_string()
}

fn problems(found: &Inspection) -> String {
    let mut text = String::new();
    for problem in &found.problems {
        let rows: Vec<String> = problem.rows.iter().take(5).map(|row| count(*row)).collect();
        let more = if problem.count as usize > rows.len() {
            ", …"
        } else {
            ""
        };
        let fate = if problem.left_out { "left out" } else { "kept" };
        text += &format!(
            "\n{}: {} ({} {}{more}), {fate}.\n  {}\n",
            many(problem.count, "row"),
            problem.detail,
            if problem.count == 1 { "row" } else { "rows" },
            rows.join(", "),
            problem.remedy,
        );
    }
    text
}

/// The shape and the columns it uses.
fn shape(shape: &Shape) -> String {
    let system = |column: &Option<String>| {
        column
            .as_ref()
            .map(|column| format!(", system from `{column}`"))
            .unwrap_or_default()
    };
    match shape {
        Shape::Messages {
            column,
            system: from,
            ..
        } => format!("messages in `{column}`{}", system(from)),
        Shape::ShareGpt {
            column,
            system: from,
            ..
        } => format!("ShareGPT conversations in `{column}`{}", system(from)),
        Shape::Alpaca {
            instruction,
            input,
            output,
            system: from,
        } => {
            let input = input
                .as_ref()
                .map(|input| format!(" and `{input}`"))
                .unwrap_or_default();
            format!(
                "Alpaca: question from `{instruction}`{input}, answer from `{output}`{}",
                system(from)
            )
        }
        Shape::PromptAnswer {
            system: from,
            prompt,
            answer,
            ..
        } => {
            let prompt: Vec<String> = prompt.iter().map(|column| format!("`{column}`")).collect();
            format!(
                "question from {}, answer from `{answer}`{}",
                prompt.join(" and "),
                system(from)
            )
        }
        Shape::Text { column } => format!("plain text in `{column}`"),
    }
}

/// A conversation, each turn under its speaker.
fn turns(conversation: &Conversation) -> String {
    conversation.turns.iter().fold(String::new(), |text, turn| {
        let speaker = match turn.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Text => "text",
        };
        let mut content: String = turn.content.chars().take(TURN).collect();
        if content.len() < turn.content.len() {
            content.push('…');
        }
        text + "  " + speaker + "\n" + &indented(&content, 4)
    })
}

/// Conversations as a model would learn them: what counts in the loss stands between ‹ and ›.
pub(super) fn preview(preview: &DataPreview) -> String {
    let mut text = format!("Template: {}\n", preview.template);
    for sample in &preview.samples {
        let trained = sample.tokens.iter().filter(|token| token.trained).count();
        text += &format!(
            "\nConversation {}: {}, {} trained",
            count(sample.row + 1),
            many(sample.tokens.len() as u64, "token"),
            count(trained as u64)
        );
        if sample.cut > 0 {
            text += &format!(", {} cut off", count(sample.cut));
        }
        text.push('\n');
        if let Some(problem) = &sample.problem {
            text += &format!("{}\n", problem.message);
        }
        let mut inside = false;
        let mut shown = String::new();
        for token in &sample.tokens {
            if token.trained != inside {
                shown.push(if token.trained { '‹' } else { '›' });
                inside = token.trained;
            }
            shown += &token.text;
        }
        if inside {
            shown.push('›');
        }
        text += &indented(&shown, 2);
    }
    text
}
