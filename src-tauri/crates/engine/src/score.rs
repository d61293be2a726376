//! Log-probabilities of given text, and the loss of samples.

use crate::{Decoder, Result};
use attune_data::{Batch, Sample};
use serde::Serialize;

/// The loss of one sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SampleLoss {
    /// Σ `-ln p` over its trained tokens.
    pub loss_sum: f64,
    /// How many those are.
    pub trained_tokens: usize,
}

/// `ln p` of each token but the first, given those before it.
pub fn score(decoder: &Decoder, tokens: &[u32]) -> Result<Vec<f32>> {
    let sample = Sample {
        tokens: tokens.to_vec(),
        loss_mask: vec![true; tokens.len()],
    };
    let losses = decoder.token_losses(&Batch::from_samples([&sample]))?;
    Ok(losses.into_iter().map(|loss| -loss).collect())
}

/// The loss of each sample. Samples share a forward as long as they have at most
/// `max_tokens_per_batch` tokens together. `progress` is told how many are done.
pub fn evaluate(
    decoder: &Decoder,
    samples: &[Sample],
    max_tokens_per_batch: usize,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<SampleLoss>> {
    let mut losses: Vec<SampleLoss> = Vec::with_capacity(samples.len());
    while losses.len() < samples.len() {
        let rest = &samples[losses.len()..];
        let mut tokens = 0;
        let fitting = rest.iter().take_while(|sample| {
            tokens += sample.len();
            tokens <= max_tokens_per_batch
        });
        let group = &rest[..fitting.count().max(1)];
        let mut token_losses = decoder
            .token_losses(&Batch::from_samples(group))?
            .into_iter();
        losses.extend(group.iter().map(|sample| {
            let trained_tokens = sample.trained_tokens();
            let loss_sum = token_losses
                .by_ref()
                .take(trained_tokens)
                .map(f64::from)
                .sum();
            SampleLoss {
                loss_sum,
                trained_tokens,
            }
        }));
        progress(losses.len());
    }
    Ok(losses)
}
