//! Which columns make a conversation, and how.

mod guess;
mod rows;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{Error, Result};
pub use rows::{RowFault, RowProblem};

/// The columns of a dataset and what each is. The guess is made by [`Shape::guess`]; it can be
/// written down, changed and read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Shape {
    /// A list of `{role, content}` in one column, as OpenAI writes them.
    Messages {
        /// The column with the list.
        column: String,
        /// A column with the system message of each row.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        system: Option<String>,
        /// A column with the last answer, as preference data have it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<String>,
    },
    /// A list of `{from, value}` in one column, as ShareGPT writes them.
    ShareGpt {
        /// The column with the list.
        column: String,
        /// A column with the system message of each row.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        system: Option<String>,
        /// A column with the last answer, as preference data have it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<String>,
    },
    /// An instruction, what it is about, and the output: one question and one answer.
    Alpaca {
        /// The column with the instruction.
        instruction: String,
        /// The column with what it is about; most rows leave it empty.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<String>,
        /// The column with the answer.
        output: String,
        /// A column with the system message of each row.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        system: Option<String>,
    },
    /// One question and one answer.
    PromptAnswer {
        /// A column with the system message of each row.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        system: Option<String>,
        /// The columns of the question, joined by `separator`; empty ones are left out.
        prompt: Vec<String>,
        /// What stands between the columns of a question.
        #[serde(default = "blank_line")]
        separator: String,
        /// The column with the answer.
        answer: String,
    },
    /// Plain text, learnt as it is.
    Text {
        /// The column with the text.
        column: String,
    },
}

/// Columns a person has chosen; those left out are as guessed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default, deny_unknown_fields)]
pub struct ColumnChoice {
    /// The system message of each row; an empty name for none.
    pub system: Option<String>,
    /// The columns of the question.
    pub prompt: Vec<String>,
    /// The answer.
    pub answer: Option<String>,
    /// A list of messages.
    pub messages: Option<String>,
    /// Plain text.
    pub text: Option<String>,
}

fn blank_line() -> String {
    "\n\n".to_owned()
}

impl Shape {
    /// Questions in `prompt`, answers in `answer`.
    pub fn prompt_answer<S: Into<String>>(
        prompt: impl IntoIterator<Item = S>,
        answer: impl Into<String>,
    ) -> Self {
        let prompt = prompt.into_iter().map(Into::into).collect();
        Self::PromptAnswer {
            system: None,
            prompt,
            separator: blank_line(),
            answer: answer.into(),
        }
    }

    /// Plain text in `column`.
    pub fn text(column: impl Into<String>) -> Self {
        Self::Text {
            column: column.into(),
        }
    }

    /// This shape with its system messages from `column`; plain text has none.
    #[must_use]
    pub fn with_system(mut self, column: Option<String>) -> Self {
        match &mut self {
            Self::Messages { system, .. }
            | Self::ShareGpt { system, .. }
            | Self::Alpaca { system, .. }
            | Self::PromptAnswer { system, .. } => *system = column,
            Self::Text { .. } => {}
        }
        self
    }

    /// The columns that are used.
    pub fn columns(&self) -> Vec<&str> {
        let mut columns: Vec<&str> = Vec::new();
        match self {
            Self::Messages {
                column,
                system,
                answer,
            }
            | Self::ShareGpt {
                column,
                system,
                answer,
            } => {
                columns.push(column);
                columns.extend(system.as_deref());
                columns.extend(answer.as_deref());
            }
            Self::Alpaca {
                instruction,
                input,
                output,
                system,
            } => {
                columns.extend(system.as_deref());
                columns.push(instruction);
                columns.extend(input.as_deref());
                columns.push(output);
            }
            Self::PromptAnswer {
                system,
                prompt,
                answer,
                ..
            } => {
                columns.extend(system.as_deref());
                columns.extend(prompt.iter().map(String::as_str));
                columns.push(answer);
            }
            Self::Text { column } => columns.push(column),
        }
        columns
    }

    /// Refuses a shape that uses a column which is not among `columns`.
    pub fn check(&self, columns: &[String]) -> Result<()> {
        match self
            .columns()
            .into_iter()
            .find(|used| columns.iter().all(|column| column != used))
        {
            None => Ok(()),
            Some(missing) => Err(Error::UnknownColumn {
                column: missing.to_owned(),
                columns: columns.to_vec(),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
