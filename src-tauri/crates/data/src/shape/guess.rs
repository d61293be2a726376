//! The shape of data, by the names of columns and by what the first rows hold.

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use serde_json::Value;

use super::{ColumnChoice, Shape, blank_line};
use crate::{Error, Result, cell};

/// Names by which H2O LLM Studio knows columns, and a few that are as common. Capitals and spaces
/// around a name do not matter. The first name found wins.
const SYSTEM: [&str; 2] = ["system", "system_prompt"];
const PROMPT: [&str; 7] = [
    "instruction",
    "prompt",
    "question",
    "query",
    "user",
    "human",
    "input",
];
/// Columns that belong to a question beside the one that asks it.
const MATTER: [&str; 2] = ["input", "context"];
const ANSWER: [&str; 8] = [
    "answer",
    "output",
    "response",
    "assistant",
    "chosen",
    "completion",
    "chosen_response",
    "target",
];
const TEXT: [&str; 4] = ["text", "content", "document", "body"];
const MESSAGES: [&str; 5] = [
    "messages",
    "conversations",
    "conversation",
    "dialog",
    "chosen",
];

/// Rows looked at for what a column holds.
const ROWS: usize = 64;

impl Shape {
    /// The shape of data that begin with `batch`.
    pub fn guess(batch: &RecordBatch) -> Result<Self> {
        Self::choose(batch, &ColumnChoice::default())
    }

    /// The shape of data that begin with `batch`, some columns being chosen.
    pub fn choose(batch: &RecordBatch, choice: &ColumnChoice) -> Result<Self> {
        let columns = Columns::of(batch);
        let shape = chosen(batch, &columns, choice)
            .or_else(|| conversation(batch, &columns))
            .or_else(|| alpaca(&columns))
            .or_else(|| prompt_answer(&columns))
            .or_else(|| text(batch, &columns));
        let shape = shape.ok_or_else(|| Error::UnknownShape {
            columns: columns.names.clone(),
        })?;
        let shape = match choice.system.as_deref() {
            None => shape,
            Some(column) => {
                shape.with_system(Some(column.to_owned()).filter(|column| !column.is_empty()))
            }
        };
        shape.check(&columns.names)?;
        Ok(shape)
    }
}

struct Columns {
    names: Vec<String>,
}

impl Columns {
    fn of(batch: &RecordBatch) -> Self {
        Self {
            names: batch
                .schema()
                .fields()
                .iter()
                .map(|field| field.name().clone())
                .collect(),
        }
    }

    fn named(&self, known: &str) -> Option<String> {
        self.names
            .iter()
            .find(|name| name.trim().eq_ignore_ascii_case(known))
            .cloned()
    }

    fn first(&self, known: &[&str]) -> Option<String> {
        known.iter().find_map(|known| self.named(known))
    }
}

fn chosen(batch: &RecordBatch, columns: &Columns, choice: &ColumnChoice) -> Option<Shape> {
    let system = columns.first(&SYSTEM);
    if let Some(column) = &choice.text {
        return Some(Shape::text(column));
    }
    if let Some(column) = &choice.messages {
        let shape = messages(batch, column, system.clone(), choice.answer.clone());
        let messages = Shape::Messages {
            column: column.clone(),
            system,
            answer: choice.answer.clone(),
        };
        return Some(shape.unwrap_or(messages));
    }
    if choice.prompt.is_empty() && choice.answer.is_none() {
        return None;
    }
    let answer = choice.answer.clone().or_else(|| columns.first(&ANSWER))?;
    let prompt = if choice.prompt.is_empty() {
        question(columns)
    } else {
        choice.prompt.clone()
    };
    (!prompt.is_empty()).then(|| Shape::prompt_answer(prompt, answer).with_system(system))
}

/// A column of messages, the known names first.
fn conversation(batch: &RecordBatch, columns: &Columns) -> Option<Shape> {
    let known = MESSAGES.iter().filter_map(|known| columns.named(known));
    let nested = columns.names.iter().filter(|name| {
        batch.column_by_name(name).is_some_and(|column| {
            matches!(
                column.data_type(),
                DataType::List(_) | DataType::LargeList(_)
            )
        })
    });
    known.chain(nested.cloned()).find_map(|column| {
        let answer = columns.named("chosen").filter(|chosen| *chosen != column);
        messages(batch, &column, columns.first(&SYSTEM), answer)
    })
}

/// The kind of messages that `column` holds.
fn messages(
    batch: &RecordBatch,
    column: &str,
    system: Option<String>,
    answer: Option<String>,
) -> Option<Shape> {
    let array = batch.column_by_name(column)?;
    let message = (0..batch.num_rows().min(ROWS)).find_map(|row| {
        let list = super::rows::parsed(cell::value(array, row));
        list.as_array()?.first().cloned()
    })?;
    let has = |key: &str| message.get(key).is_some_and(|value| !value.is_null());
    let column = column.to_owned();
    match message {
        Value::Object(_) if has("role") => Some(Shape::Messages {
            column,
            system,
            answer,
        }),
        Value::Object(_) if has("from") => Some(Shape::ShareGpt {
            column,
            system,
            answer,
        }),
        _ => None,
    }
}

fn alpaca(columns: &Columns) -> Option<Shape> {
    Some(Shape::Alpaca {
        instruction: columns.named("instruction")?,
        input: columns.named("input"),
        output: columns.named("output")?,
        system: columns.first(&SYSTEM),
    })
}

fn prompt_answer(columns: &Columns) -> Option<Shape> {
    let (prompt, answer) = (question(columns), columns.first(&ANSWER)?);
    let system = columns.first(&SYSTEM);
    (!prompt.is_empty()).then(|| Shape::PromptAnswer {
        system,
        prompt,
        separator: blank_line(),
        answer,
    })
}

/// The columns of a question: what asks it, and what it is about.
fn question(columns: &Columns) -> Vec<String> {
    let Some(asks) = columns.first(&PROMPT) else {
        return Vec::new();
    };
    let matter = MATTER
        .iter()
        .filter_map(|known| columns.named(known))
        .filter(|column| *column != asks);
    std::iter::once(asks.clone()).chain(matter).collect()
}

/// Plain text by its name, or because there is no other column.
fn text(batch: &RecordBatch, columns: &Columns) -> Option<Shape> {
    let only = || match columns.names.as_slice() {
        [only]
            if matches!(
                batch.column(0).data_type(),
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
            ) =>
        {
            Some(only.clone())
        }
        _ => None,
    };
    columns.first(&TEXT).or_else(only).map(Shape::text)
}
