//! A packed batch: samples laid end to end, without padding, their borders kept.

use crate::Sample;

/// The target of a position whose prediction does not count in the loss.
pub const IGNORED: u32 = u32::MAX;

/// One sample inside a batch. Attention never leaves it and positions count from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Index of the first token.
    pub start: usize,
    /// Number of tokens, at least one.
    pub len: usize,
}

/// `N` tokens of one or more samples, end to end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Token ids, `(N)`.
    pub tokens: Vec<u32>,
    /// The token each position is trained to predict, or [`IGNORED`], `(N)`.
    pub targets: Vec<u32>,
    /// Where each sample lies; together they cover `0..N` in order.
    pub segments: Vec<Segment>,
}

impl Batch {
    /// Lays samples end to end. Empty samples leave no trace.
    pub fn from_samples<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Self {
        let mut batch = Self::default();
        for sample in samples {
            if sample.is_empty() {
                continue;
            }
            batch.segments.push(Segment {
                start: batch.tokens.len(),
                len: sample.len(),
            });
            batch.tokens.extend_from_slice(&sample.tokens);
            let next = sample.tokens.iter().zip(&sample.loss_mask).skip(1);
            batch
                .targets
                .extend(next.map(|(token, trained)| if *trained { *token } else { IGNORED }));
            batch.targets.push(IGNORED);
        }
        batch
    }

    /// Positions whose prediction counts in the loss.
    pub fn trained_tokens(&self) -> usize {
        self.targets
            .iter()
            .filter(|target| **target != IGNORED)
            .count()
    }
}
