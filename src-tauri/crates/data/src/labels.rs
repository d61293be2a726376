//! Texts with labels, to classify or to grade.

use crate::{Batch, Error, Result, Sample, Tokenizer};

/// What is right about a text.
#[derive(Debug, Clone, PartialEq)]
pub enum Label {
    /// One label of several, by its number.
    Class(usize),
    /// For each label whether it applies, or the number it stands for.
    Values(Vec<f32>),
}

/// A tokenised text and what is right about it.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledSample {
    /// Token ids; the last one's hidden state is what the head reads.
    pub tokens: Vec<u32>,
    /// What the head should say.
    pub label: Label,
}

impl LabelledSample {
    /// Length in tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

impl Batch {
    /// Lays texts end to end; no token is predicted. Empty ones leave no trace.
    pub fn from_texts<'a>(texts: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let samples: Vec<Sample> = texts
            .into_iter()
            .map(|tokens| Sample {
                tokens: tokens.to_vec(),
                loss_mask: vec![false; tokens.len()],
            })
            .collect();
        Self::from_samples(&samples)
    }
}

impl Tokenizer {
    /// A text as transformers tokenises it to classify: with the tokens every text begins or ends
    /// with, cut on the right at `max_length`. A text without a token is an error.
    pub fn labelled_sample(
        &self,
        text: &str,
        label: Label,
        max_length: usize,
    ) -> Result<LabelledSample> {
        let mut tokens = self.encode(text, true)?;
        let length = tokens.len();
        tokens.truncate(max_length);
        if tokens.is_empty() {
            return Err(Error::NothingTrained {
                tokens: length,
                max_length,
            });
        }
        Ok(LabelledSample { tokens, label })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::tokenizer::fixture::pieces;

    #[test]
    fn a_text_begins_as_the_model_expects_and_ends_where_it_is_cut() {
        let tokenizer = pieces(&[], None);
        let label = || Label::Class(1);
        let whole = tokenizer.labelled_sample("the hat", label(), 99).unwrap();
        assert_eq!(whole.tokens[0], tokenizer.bos_token().unwrap());
        assert_eq!(whole.tokens, tokenizer.encode("the hat", true).unwrap());
        let cut = tokenizer.labelled_sample("the hat", label(), 2).unwrap();
        assert_eq!(cut.tokens, whole.tokens[..2]);
        let none = tokenizer.labelled_sample("the hat", label(), 0);
        assert!(matches!(none, Err(Error::NothingTrained { .. })));
        let batch = Batch::from_texts([whole.tokens.as_slice(), cut.tokens.as_slice()]);
        assert_eq!((batch.segments.len(), batch.trained_tokens()), (2, 0));
    }
}
