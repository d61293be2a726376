//! What a run minimises. The training loop plans, accumulates, steps, measures and keeps; an
//! objective turns its samples into a loss and gradients.

mod kto;
mod next_token;
mod preference;
mod reference;
mod sequence_labels;

pub use kto::{Kto, KtoOptions, RatedLoss, kto_loss};
pub use next_token::NextToken;
pub use preference::{
    PairLogProbabilities, PairLoss, Preference, PreferenceLoss, PreferenceOptions,
    preference_losses,
};
pub use reference::Preparation;
pub use sequence_labels::SequenceLabels;

use crate::{Decoder, Noise, Result, TrainOptions};
use std::collections::BTreeMap;
use std::hash::Hasher;

/// What was found of some samples.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measurement {
    /// The mean loss.
    pub loss: f64,
    /// Tokens that were computed.
    pub tokens: u64,
    /// Tokens that counted in the loss.
    pub trained_tokens: u64,
    /// Other means, by the names TRL and transformers log them under.
    pub metrics: BTreeMap<String, f64>,
}

/// Where a step of training stands.
#[derive(Debug, Clone, Copy)]
pub struct StepContext<'a> {
    /// Its number, counted from 1.
    pub step: u64,
    /// The settings of the run.
    pub options: &'a TrainOptions,
}

impl StepContext<'_> {
    /// The random parts of a micro-batch of this step.
    pub fn noise(&self, micro_batch: usize) -> Noise {
        Noise {
            seed: self.options.seed,
            step: self.step,
            micro_batch: micro_batch as u64,
            neftune_noise_alpha: self.options.neftune_noise_alpha,
        }
    }
}

/// A loss over samples of some kind.
///
/// The loss of a step is a mean over the whole step, however it is divided into micro-batches.
pub trait Objective {
    /// Tokens of each training sample: what batches are packed by.
    fn lengths(&self) -> Vec<usize>;

    /// How many samples are held out.
    fn validation_samples(&self) -> usize;

    /// Refuses a run that cannot learn, before anything happens.
    fn check(&self, decoder: &Decoder) -> Result<()>;

    /// Feeds what of the samples and of the objective's own settings decides the course of a run.
    fn fingerprint(&self, hasher: &mut dyn Hasher);

    /// Computes what has to be known before the first step, or finds it beside the run; `false`
    /// where an end was asked for meanwhile.
    fn prepare(&mut self, _decoder: &mut Decoder, _preparation: &Preparation<'_>) -> Result<bool> {
        Ok(true)
    }

    /// Adds the gradients of the mean loss over all samples of `micro_batches`, which are indices
    /// of training samples.
    fn step(
        &self,
        decoder: &mut Decoder,
        micro_batches: &[Vec<usize>],
        context: &StepContext<'_>,
    ) -> Result<Measurement>;

    /// Measures the samples held out, at most `max_tokens` tokens at once.
    fn evaluate(&self, decoder: &Decoder, max_tokens: usize) -> Result<Measurement>;
}

/// Consecutive ranges of samples of these lengths, none of more than `max_tokens` tokens unless a
/// single sample is longer.
pub(crate) fn groups(lengths: &[usize], max_tokens: usize) -> Vec<std::ops::Range<usize>> {
    let mut groups = Vec::new();
    let (mut start, mut tokens) = (0, 0);
    for (index, length) in lengths.iter().enumerate() {
        if index > start && tokens + length > max_tokens {
            groups.push(start..index);
            (start, tokens) = (index, 0);
        }
        tokens += length;
    }
    if start < lengths.len() {
        groups.push(start..lengths.len());
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::groups;

    #[test]
    fn groups_hold_what_fits_and_every_sample_once() {
        assert_eq!(groups(&[3, 4, 9, 1, 1], 7), [0..2, 2..3, 3..5]);
        assert_eq!(groups(&[9, 1], 7), [0..1, 1..2]);
        assert!(groups(&[], 7).is_empty());
    }
}
