//! What an importer says about a file before it is used: what it holds, how it is read, how long
//! its conversations are for a model, and what is wrong with which rows.
//!
//! One pass. What is kept grows by 8 bytes a row (to find duplicates), not by their text.

mod columns;
mod lengths;
mod problems;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use arrow::record_batch::RecordBatch;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{Conversation, Error, Format, Result, Sample, Shape, Source, Tokenizer, Watch};
pub use columns::{Column, ColumnKind};
pub use lengths::{Bin, Lengths};
pub use problems::{Problem, ProblemKind};

/// Conversations shown as they will be read.
const PREVIEW: usize = 5;

/// The findings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Inspection {
    /// The format, as the content shows it.
    pub format: Format,
    /// The encoding of text.
    pub encoding: Option<String>,
    /// What separates columns of text.
    pub delimiter: Option<char>,
    /// The member of an archive that was read.
    pub member: Option<String>,
    /// All members of an archive that could be read.
    pub members: Vec<String>,
    /// Size of the file, unpacked.
    pub bytes: u64,
    /// Rows in the file.
    pub rows: u64,
    /// The columns, in order.
    pub columns: Vec<Column>,
    /// How rows become conversations.
    pub shape: Shape,
    /// Rows that became conversations.
    pub conversations: u64,
    /// Their turns.
    pub turns: u64,
    /// The first conversations.
    pub preview: Vec<Conversation>,
    /// What is wrong, the most frequent first.
    pub problems: Vec<Problem>,
    /// Lengths in tokens, where a tokenizer was given.
    pub lengths: Option<Lengths>,
}

/// Reads `source` once as `shape` says. With `measure`, conversations are tokenised as they would
/// be for training and compared with that many tokens.
pub fn inspect(
    source: &Source,
    shape: &Shape,
    measure: Option<(&Tokenizer, usize)>,
    watch: Watch<'_>,
) -> Result<Inspection> {
    shape.check(&source.columns())?;
    let mut survey = Survey::new(source, measure);
    let mut batches = source.batches();
    while let Some(batch) = batches.next().transpose()? {
        survey.batch(&batch, shape)?;
        if watch(batches.progress()).is_break() {
            return Err(Error::Cancelled);
        }
    }
    Ok(Inspection {
        format: source.format(),
        encoding: source.encoding().map(str::to_owned),
        delimiter: source.delimiter(),
        member: source.member().map(str::to_owned),
        members: source.members().to_vec(),
        bytes: source.bytes(),
        rows: survey.rows,
        columns: survey.columns,
        shape: shape.clone(),
        conversations: survey.conversations,
        turns: survey.turns,
        preview: survey.preview,
        problems: survey.problems.into_list(),
        lengths: measure.map(|(_, max_length)| survey.lengths.finish(max_length)),
    })
}

/// What is known after some of the batches.
struct Survey<'a> {
    measure: Option<(&'a Tokenizer, usize)>,
    rows: u64,
    columns: Vec<Column>,
    conversations: u64,
    turns: u64,
    preview: Vec<Conversation>,
    seen: HashSet<u64>,
    problems: problems::Tally,
    lengths: lengths::Tally,
}

impl<'a> Survey<'a> {
    fn new(source: &Source, measure: Option<(&'a Tokenizer, usize)>) -> Self {
        Self {
            measure,
            rows: 0,
            columns: source
                .schema()
                .fields()
                .iter()
                .map(|field| Column::new(field))
                .collect(),
            conversations: 0,
            turns: 0,
            preview: Vec::new(),
            seen: HashSet::new(),
            problems: problems::Tally::default(),
            lengths: lengths::Tally::default(),
        }
    }

    fn batch(&mut self, batch: &RecordBatch, shape: &Shape) -> Result<()> {
        for (column, array) in self.columns.iter_mut().zip(batch.columns()) {
            column.look_at(array);
        }
        let first = self.rows + 1;
        let mut whole: Vec<(u64, Conversation)> = Vec::new();
        for (row, outcome) in (first..).zip(shape.conversations(batch, first)) {
            match outcome {
                Ok(conversation) => whole.push((row, conversation)),
                Err(problem) => self
                    .problems
                    .fault(row, &problem.fault, || cells(batch, (row - first) as usize)),
            }
        }
        self.rows += batch.num_rows() as u64;
        self.conversations += whole.len() as u64;
        for (row, conversation) in &whole {
            self.conversation(*row, conversation);
        }
        match self.measure {
            Some((tokenizer, max_length)) => self.measure(&whole, tokenizer, max_length),
            None => Ok(()),
        }
    }

    fn conversation(&mut self, row: u64, conversation: &Conversation) {
        self.turns += conversation.turns.len() as u64;
        if self.preview.len() < PREVIEW {
            self.preview.push(conversation.clone());
        }
        let mut hasher = DefaultHasher::new();
        conversation.hash(&mut hasher);
        let example = || said(conversation);
        if !self.seen.insert(hasher.finish()) {
            self.problems.add(row, ProblemKind::Duplicate, "", example);
        }
        if conversation
            .turns
            .iter()
            .any(|turn| turn.content.contains(char::REPLACEMENT_CHARACTER))
        {
            self.problems
                .add(row, ProblemKind::UnreadableCharacters, "", example);
        }
    }

    /// Tokenises a batch on all cores, and counts in order.
    fn measure(
        &mut self,
        rows: &[(u64, Conversation)],
        tokenizer: &Tokenizer,
        max_length: usize,
    ) -> Result<()> {
        let sample =
            |(_, conversation): &(u64, Conversation)| tokenizer.sample(conversation, usize::MAX);
        let samples: Vec<Result<Sample>> = rows.par_iter().map(sample).collect();
        for ((row, conversation), sample) in rows.iter().zip(samples) {
            let example = || said(conversation);
            match sample {
                Ok(sample) => self.sample(*row, &sample, max_length, example),
                Err(
                    error @ (Error::TemplateRefused { .. }
                    | Error::SystemRefused { .. }
                    | Error::AnswerLost { .. }),
                ) => {
                    let detail = error.to_string();
                    self.problems
                        .add(*row, ProblemKind::TemplateRefused, &detail, example);
                }
                Err(Error::NothingTrained { .. }) => {
                    self.problems
                        .add(*row, ProblemKind::NothingTrained, "", example);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sample(
        &mut self,
        row: u64,
        sample: &Sample,
        max_length: usize,
        example: impl FnOnce() -> String,
    ) {
        let kept = sample.len().min(max_length);
        let trained = sample.loss_mask[..kept]
            .iter()
            .skip(1)
            .filter(|trained| **trained)
            .count();
        self.lengths.add(sample.len(), trained);
        if trained == 0 {
            self.problems
                .add(row, ProblemKind::NothingTrained, "", example);
        } else if sample.len() > max_length {
            self.problems.add(row, ProblemKind::TooLong, "", example);
        }
    }
}

/// A row of the file as a person may recognise it: its cells, shortened.
fn cells(batch: &RecordBatch, row: usize) -> String {
    let schema = batch.schema();
    let cells = schema.fields().iter().map(|field| {
        let value = crate::cell::text(batch, field.name(), row).unwrap_or_default();
        format!("{}: {}", field.name(), shortened(&value))
    });
    cells.collect::<Vec<_>>().join(" · ")
}

/// A conversation as a person may recognise it: its turns, shortened.
fn said(conversation: &Conversation) -> String {
    let turns = conversation.turns.iter();
    turns
        .map(|turn| shortened(&turn.content))
        .collect::<Vec<_>>()
        .join(" · ")
}

fn shortened(text: &str) -> String {
    const CHARACTERS: usize = 120;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests;
