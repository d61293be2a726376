//! The answers of pairs in a batch, and which of its rows are whose.

use attune_data::{Batch, PreferencePair};
use std::ops::Range;

/// How a preferred answer's own loss counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Likelihood {
    pub(super) weight: f64,
    /// Of the prompt too.
    pub(super) whole: bool,
}

/// A micro-batch: its pairs' answers one after the other.
pub(super) struct Layout<'a> {
    /// With their numbers.
    pub(super) pairs: Vec<(usize, &'a PreferencePair)>,
    pub(super) batch: Batch,
    /// For each row that counts, whether it is part of an answer.
    pub(super) answers: Vec<bool>,
    /// How many of those rows each side has: preferred, other, preferred, …
    sides: Vec<usize>,
}

impl<'a> Layout<'a> {
    pub(super) fn new(
        pairs: Vec<(usize, &'a PreferencePair)>,
        likelihood: Option<Likelihood>,
    ) -> Self {
        let (mut samples, mut answers, mut sides) = (Vec::new(), Vec::new(), Vec::new());
        for (_, pair) in &pairs {
            for (side, preferred) in [(&pair.chosen, true), (&pair.rejected, false)] {
                let mut sample = side.clone();
                if preferred && likelihood.is_some_and(|likelihood| likelihood.whole) {
                    sample.loss_mask.fill(true);
                }
                let counted = sample.loss_mask.iter().zip(&side.loss_mask).skip(1);
                let rows = counted
                    .filter(|(counts, _)| **counts)
                    .map(|(_, answer)| *answer);
                answers.extend(rows);
                sides.push(sample.trained_tokens());
                samples.push(sample);
            }
        }
        Self {
            batch: Batch::from_samples(&samples),
            pairs,
            answers,
            sides,
        }
    }

    /// The rows of each side.
    pub(super) fn rows(&self) -> impl Iterator<Item = Range<usize>> {
        self.sides.iter().scan(0, |end, rows| {
            let start = *end;
            *end += rows;
            Some(start..*end)
        })
    }

    /// `Σ ln p` of both answers of each pair.
    pub(super) fn log_probabilities(&self, losses: &[f64]) -> Vec<[f64; 2]> {
        let sum = |rows: Range<usize>| {
            let answer = losses[rows.clone()].iter().zip(&self.answers[rows]);
            -answer
                .filter(|(_, answer)| **answer)
                .map(|(loss, _)| loss)
                .sum::<f64>()
        };
        let sums: Vec<f64> = self.rows().map(sum).collect();
        sums.chunks_exact(2)
            .map(|pair| [pair[0], pair[1]])
            .collect()
    }

    /// The rows of the preferred sides.
    pub(super) fn preferred(&self) -> impl Iterator<Item = Range<usize>> {
        self.rows().step_by(2)
    }
}
