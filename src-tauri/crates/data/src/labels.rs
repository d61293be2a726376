//! Texts with labels, to classify or to grade.

use crate::{Batch, Sample};

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
