//! Rows → conversations, or what is wrong with them.

use std::fmt;

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Shape;
use crate::{Conversation, Role, Turn, cell};

/// A row that is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowProblem {
    /// Number of the row in the file, from 1; a header is not a row.
    pub row: u64,
    /// What is wrong with it.
    pub fault: RowFault,
}

/// What can be wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "fault", content = "detail", rename_all = "snake_case")]
pub enum RowFault {
    /// The question, or a user's turn, is empty.
    EmptyPrompt,
    /// The answer, or an assistant's turn, is empty.
    EmptyAnswer,
    /// The conversation ends with a question.
    NoAnswer,
    /// Plain text is empty.
    EmptyText,
    /// There is no list of messages, or it is empty.
    NoMessages,
    /// After an optional system turn, user and assistant must take turns, the user first.
    RolesOutOfOrder,
    /// Someone speaks who is neither system nor user nor assistant.
    UnknownRole(String),
    /// A message holds more than text.
    NotText,
}

impl fmt::Display for RowFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyPrompt => formatter.write_str("the prompt is empty"),
            Self::EmptyAnswer => formatter.write_str("the answer is empty"),
            Self::NoAnswer => formatter.write_str("the last turn is a question without an answer"),
            Self::EmptyText => formatter.write_str("the text is empty"),
            Self::NoMessages => formatter.write_str("there are no messages"),
            Self::RolesOutOfOrder => formatter.write_str("user and assistant do not take turns"),
            Self::UnknownRole(role) => write!(formatter, "the role `{role}` is not known"),
            Self::NotText => formatter.write_str("a message holds something other than text"),
        }
    }
}

impl Shape {
    /// Conversations of a batch whose first row is row `first_row` of the file, counted from 1.
    pub fn conversations(
        &self,
        batch: &RecordBatch,
        first_row: u64,
    ) -> Vec<Result<Conversation, RowProblem>> {
        let one = |row: usize| {
            let problem = |fault| RowProblem {
                row: first_row + row as u64,
                fault,
            };
            self.turns(batch, row).and_then(checked).map_err(problem)
        };
        (0..batch.num_rows()).map(one).collect()
    }

    fn turns(&self, batch: &RecordBatch, row: usize) -> Result<Vec<Turn>, RowFault> {
        let text = |column: &str| cell::text(batch, column, row).unwrap_or_default();
        match self {
            Self::Messages {
                column,
                system,
                answer,
            } => listed(
                batch,
                row,
                ["role", "content"],
                column,
                system.as_deref(),
                answer.as_deref(),
            ),
            Self::ShareGpt {
                column,
                system,
                answer,
            } => listed(
                batch,
                row,
                ["from", "value"],
                column,
                system.as_deref(),
                answer.as_deref(),
            ),
            Self::Alpaca {
                instruction,
                input,
                output,
                system,
            } => {
                let prompt = [Some(instruction), input.as_ref()]
                    .into_iter()
                    .flatten()
                    .map(|column| text(column));
                Ok(pair(
                    system.as_deref().map(text),
                    &join(prompt, "\n\n"),
                    text(output),
                ))
            }
            Self::PromptAnswer {
                system,
                prompt,
                separator,
                answer,
            } => {
                let prompt = join(prompt.iter().map(|column| text(column)), separator);
                Ok(pair(system.as_deref().map(text), &prompt, text(answer)))
            }
            Self::Text { column } => Ok(vec![Turn::new(Role::Text, text(column))]),
        }
    }
}

fn join(parts: impl Iterator<Item = String>, separator: &str) -> String {
    let parts: Vec<_> = parts.filter(|part| !part.trim().is_empty()).collect();
    parts.join(separator)
}

fn pair(system: Option<String>, prompt: &str, answer: String) -> Vec<Turn> {
    let system = system
        .filter(|system| !system.trim().is_empty())
        .map(|system| Turn::new(Role::System, system));
    system
        .into_iter()
        .chain([
            Turn::new(Role::User, prompt),
            Turn::new(Role::Assistant, answer),
        ])
        .collect()
}

/// Turns from a list of messages, with the system message and the last answer of other columns.
fn listed(
    batch: &RecordBatch,
    row: usize,
    keys: [&str; 2],
    column: &str,
    system: Option<&str>,
    answer: Option<&str>,
) -> Result<Vec<Turn>, RowFault> {
    let value = |column: &str| {
        batch
            .column_by_name(column)
            .map_or(Value::Null, |array| cell::value(array, row))
    };
    let Value::Array(messages) = parsed(value(column)) else {
        return Err(RowFault::NoMessages);
    };
    let mut turns = messages
        .iter()
        .map(|message| turn(message, keys))
        .collect::<Result<Vec<_>, _>>()?;
    let stated = turns.first().is_some_and(|turn| turn.role == Role::System);
    let system = system.and_then(|column| cell::text(batch, column, row));
    if let Some(system) = system.filter(|system| !stated && !system.trim().is_empty()) {
        turns.insert(0, Turn::new(Role::System, system));
    }
    match answer.map(|column| parsed(value(column))) {
        None => {}
        Some(Value::Array(messages)) => {
            for message in &messages {
                turns.push(turn(message, keys)?);
            }
        }
        Some(message @ Value::Object(_)) => turns.push(turn(&message, keys)?),
        Some(text) => turns.push(Turn::new(Role::Assistant, content(&text)?)),
    }
    Ok(turns)
}

/// A list or an object, also one that a table holds as JSON text.
pub(super) fn parsed(value: Value) -> Value {
    match &value {
        Value::String(text) if text.trim_start().starts_with(['[', '{']) => {
            serde_json::from_str(text).unwrap_or(value)
        }
        _ => value,
    }
}

fn turn(message: &Value, [role, text]: [&str; 2]) -> Result<Turn, RowFault> {
    let speaker = message
        .get(role)
        .and_then(Value::as_str)
        .unwrap_or_default();
    let role = match speaker.trim().to_lowercase().as_str() {
        "system" | "developer" => Role::System,
        "user" | "human" | "prompter" => Role::User,
        "assistant" | "gpt" | "model" | "chatgpt" | "bot" | "bing" | "bard" | "ai" => {
            Role::Assistant
        }
        _ => return Err(RowFault::UnknownRole(speaker.to_owned())),
    };
    Ok(Turn::new(
        role,
        content(message.get(text).unwrap_or(&Value::Null))?,
    ))
}

/// The words of a message: text, or a list of parts that are all text. Where some rows hold text
/// and others parts, the reader has made all of them text.
fn content(value: &Value) -> Result<String, RowFault> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => match parsed_parts(text) {
            Some(parts) => joined(&parts),
            None => Ok(text.clone()),
        },
        Value::Array(parts) => joined(parts),
        Value::Object(_) => Err(RowFault::NotText),
        other => Ok(other.to_string()),
    }
}

/// Parts of a message as JSON text. Each names its type: other lists are what someone wrote.
fn parsed_parts(text: &str) -> Option<Vec<Value>> {
    let list = text
        .starts_with("[{")
        .then(|| serde_json::from_str::<Vec<Value>>(text).ok())??;
    list.iter()
        .all(|part| part["type"].is_string())
        .then_some(list)
}

fn joined(parts: &[Value]) -> Result<String, RowFault> {
    let text = |part: &Value| Some(part.get("text").unwrap_or(part).as_str()?.to_owned());
    parts
        .iter()
        .map(|part| text(part).ok_or(RowFault::NotText))
        .collect()
}

/// The conversation, if the model can learn from it. Empty system turns are left out.
fn checked(mut turns: Vec<Turn>) -> Result<Conversation, RowFault> {
    turns.retain(|turn| turn.role != Role::System || !turn.content.trim().is_empty());
    if let [
        Turn {
            role: Role::Text,
            content,
        },
    ] = turns.as_slice()
    {
        return if content.trim().is_empty() {
            Err(RowFault::EmptyText)
        } else {
            Ok(Conversation { turns })
        };
    }
    let spoken = match turns.split_first() {
        Some((first, rest)) if first.role == Role::System => rest,
        _ => turns.as_slice(),
    };
    if spoken.is_empty() {
        return Err(RowFault::NoMessages);
    }
    for (turn, expected) in spoken
        .iter()
        .zip([Role::User, Role::Assistant].into_iter().cycle())
    {
        if turn.role != expected {
            return Err(RowFault::RolesOutOfOrder);
        }
        if turn.content.trim().is_empty() {
            return Err(if expected == Role::User {
                RowFault::EmptyPrompt
            } else {
                RowFault::EmptyAnswer
            });
        }
    }
    if !spoken.len().is_multiple_of(2) {
        return Err(RowFault::NoAnswer);
    }
    Ok(Conversation { turns })
}
