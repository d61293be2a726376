//! Which rows a run trains on and which it holds out, and their tokens.

use crate::api::{Conversation, Progress, Session};
use crate::error::{Error, Result};
use crate::settings::ExperimentConfig;
use attune_data::{Sample, Tokenizer, split};

/// Row numbers, ascending.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    /// To train on.
    pub(crate) train: Vec<usize>,
    /// Held out.
    pub(crate) validation: Vec<usize>,
}

impl Rows {
    /// The rows of a dataset of `count`. The settings alone decide, so an evaluation years later
    /// holds out the same.
    pub(crate) fn choose(config: &ExperimentConfig, count: usize) -> Self {
        let seed = config.seed.max(0) as u64;
        let used = if config.data_sample < 1.0 {
            split(count, 1.0 - config.data_sample, seed).0
        } else {
            (0..count).collect()
        };
        let fraction = if config.validation_dataset.is_some() {
            0.0
        } else {
            config.validation_size
        };
        let (train, validation) = split(used.len(), fraction, seed);
        let rows = |places: Vec<usize>| places.into_iter().map(|place| used[place]).collect();
        Self {
            train: rows(train),
            validation: rows(validation),
        }
    }
}

/// Samples and where they come from.
#[derive(Debug, Default)]
pub(crate) struct Tokenised {
    /// The tokens.
    pub(crate) samples: Vec<Sample>,
    /// For each sample the index of its conversation.
    pub(crate) rows: Vec<usize>,
    /// Conversations that cannot be learned from.
    pub(crate) skipped: usize,
    /// Why the first of them was skipped.
    pub(crate) first_problem: Option<Error>,
}

/// Refusals that concern one conversation and not the whole model.
const SKIPPED: [&str; 3] = [
    "sample-nothing-trained",
    "template-refused",
    "template-answer-lost",
];

/// Tokens of `conversations`, cut at `max_length`. With `answers_only` off, every token is trained.
pub(crate) fn tokenise(
    tokenizer: &Tokenizer,
    conversations: &[&Conversation],
    max_length: usize,
    answers_only: bool,
    session: &mut Session<'_>,
) -> Result<Tokenised> {
    let mut tokenised = Tokenised::default();
    let mut progress = Progress::new("Preparing the samples", Some(conversations.len() as u64));
    for (row, conversation) in conversations.iter().enumerate() {
        session.check()?;
        match tokenizer.sample(conversation, max_length) {
            Ok(mut sample) => {
                if !answers_only {
                    sample.loss_mask.fill(true);
                }
                tokenised.samples.push(sample);
                tokenised.rows.push(row);
            }
            Err(problem) if SKIPPED.contains(&problem.code()) => {
                tokenised.skipped += 1;
                tokenised
                    .first_problem
                    .get_or_insert_with(|| problem.into());
            }
            Err(problem) => {
                return Err(Error::from(problem).with_place(format!("conversation {row}")));
            }
        }
        progress.report(row as u64 + 1, session);
    }
    Ok(tokenised)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_is_both_trained_on_and_held_out() {
        let config = ExperimentConfig {
            data_sample: 0.5,
            validation_size: 0.2,
            seed: 3,
            ..ExperimentConfig::default()
        };
        let rows = Rows::choose(&config, 200);
        assert_eq!((rows.train.len(), rows.validation.len()), (80, 20));
        assert!(rows.validation.iter().all(|row| !rows.train.contains(row)));
        assert_eq!(
            rows,
            Rows::choose(&config, 200),
            "the same settings choose the same rows"
        );
    }

    #[test]
    fn a_validation_dataset_leaves_all_rows_to_training() {
        let config = ExperimentConfig {
            validation_dataset: Some("held".to_owned()),
            ..ExperimentConfig::default()
        };
        assert_eq!(Rows::choose(&config, 10).train.len(), 10);
    }
}
