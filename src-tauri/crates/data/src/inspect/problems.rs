//! What is wrong with rows, gathered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::RowFault;

/// Row numbers kept of each problem.
const ROWS: usize = 10;
/// And the text of how many.
const EXAMPLES: usize = 3;

/// Something that is wrong with some rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Problem {
    /// What it is.
    pub kind: ProblemKind,
    /// Rows that have it.
    pub count: u64,
    /// The first of them, counted from 1.
    pub rows: Vec<u64>,
    /// The text of the first of them, shortened.
    pub examples: Vec<String>,
    /// What was found in the first of them.
    pub detail: String,
    /// Whether these rows are left out of the dataset.
    pub left_out: bool,
    /// What a user can do about it.
    pub remedy: String,
}

/// The problems that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
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
    /// User and assistant do not take turns.
    RolesOutOfOrder,
    /// Someone speaks who is neither system nor user nor assistant.
    UnknownRole,
    /// A message holds more than text.
    NotText,
    /// The same conversation stood in an earlier row.
    Duplicate,
    /// Characters were lost: the file is not in the encoding it seems to be in.
    UnreadableCharacters,
    /// The sample is longer than the maximum length, and its end is cut off.
    TooLong,
    /// No answer lies within the maximum length.
    NothingTrained,
    /// The model's chat template refuses the conversation.
    TemplateRefused,
}

impl ProblemKind {
    fn of(fault: &RowFault) -> Self {
        match fault {
            RowFault::EmptyPrompt => Self::EmptyPrompt,
            RowFault::EmptyAnswer => Self::EmptyAnswer,
            RowFault::NoAnswer => Self::NoAnswer,
            RowFault::EmptyText => Self::EmptyText,
            RowFault::NoMessages => Self::NoMessages,
            RowFault::RolesOutOfOrder => Self::RolesOutOfOrder,
            RowFault::UnknownRole(_) => Self::UnknownRole,
            RowFault::NotText => Self::NotText,
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Self::Duplicate => "the same conversation stands in an earlier row",
            Self::UnreadableCharacters => "some characters could not be read",
            Self::TooLong => "the sample is longer than the maximum length and is cut",
            Self::NothingTrained => "no answer lies within the maximum length",
            _ => "",
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::EmptyPrompt => "Choose another prompt column, or go on without these rows.",
            Self::EmptyAnswer => "Choose another answer column, or go on without these rows.",
            Self::NoAnswer => {
                "Choose the column with the last answer, or go on without these rows."
            }
            Self::EmptyText => "Choose another text column, or go on without these rows.",
            Self::NoMessages => "Choose another column of messages, or go on without these rows.",
            Self::RolesOutOfOrder => {
                "Join turns of the same speaker in the file, or go on without these rows."
            }
            Self::UnknownRole => {
                "Rename the role to system, user or assistant, or go on without these rows."
            }
            Self::NotText => "Only text can be learnt yet; go on without these rows.",
            Self::Duplicate => {
                "Remove them, so that no row counts twice or lands in training and validation."
            }
            Self::UnreadableCharacters => "Save the file as UTF-8.",
            Self::TooLong => "Raise the maximum length, or shorten these rows.",
            Self::NothingTrained => "Raise the maximum length; otherwise these rows are left out.",
            Self::TemplateRefused => {
                "Choose a model with another template, or leave these rows out."
            }
        }
    }

    fn left_out(self) -> bool {
        !matches!(
            self,
            Self::Duplicate | Self::UnreadableCharacters | Self::TooLong
        )
    }
}

/// Problems so far.
#[derive(Default)]
pub(super) struct Tally {
    problems: BTreeMap<ProblemKind, Problem>,
}

impl Tally {
    pub(super) fn fault(&mut self, row: u64, fault: &RowFault, example: impl FnOnce() -> String) {
        self.add(row, ProblemKind::of(fault), &fault.to_string(), example);
    }

    pub(super) fn add(
        &mut self,
        row: u64,
        kind: ProblemKind,
        detail: &str,
        example: impl FnOnce() -> String,
    ) {
        let problem = self.problems.entry(kind).or_insert_with(|| Problem {
            kind,
            count: 0,
            rows: Vec::new(),
            examples: Vec::new(),
            detail: if detail.is_empty() {
                kind.detail()
            } else {
                detail
            }
            .to_owned(),
            left_out: kind.left_out(),
            remedy: kind.remedy().to_owned(),
        });
        problem.count += 1;
        if problem.rows.len() < ROWS {
            problem.rows.push(row);
        }
        if problem.examples.len() < EXAMPLES {
            problem.examples.push(example());
        }
    }

    /// The most frequent first.
    pub(super) fn into_list(self) -> Vec<Problem> {
        let mut problems: Vec<_> = self.problems.into_values().collect();
        problems.sort_by_key(|problem| std::cmp::Reverse(problem.count));
        problems
    }
}
