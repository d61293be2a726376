//! Cross-entropy of the tokens that count: supervised fine-tuning and pretraining.

use super::{Measurement, Objective, StepContext};
use crate::{Decoder, Error, Result, evaluate};
use attune_data::{Batch, Sample};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

/// The mean of `-ln p` over all trained tokens.
#[derive(Debug, Clone, Copy)]
pub struct NextToken<'a> {
    train: &'a [Sample],
    validation: &'a [Sample],
}

impl<'a> NextToken<'a> {
    /// Learns from `train` and is measured on `validation`.
    pub fn new(train: &'a [Sample], validation: &'a [Sample]) -> Self {
        Self { train, validation }
    }
}

impl Objective for NextToken<'_> {
    fn lengths(&self) -> Vec<usize> {
        self.train.iter().map(Sample::len).collect()
    }

    fn validation_samples(&self) -> usize {
        self.validation.len()
    }

    fn check(&self, _decoder: &Decoder) -> Result<()> {
        if self.train.iter().any(|sample| sample.trained_tokens() > 0) {
            return Ok(());
        }
        Err(Error::NothingToTrain(
            "no sample has a token that counts in the loss".into(),
        ))
    }

    fn fingerprint(&self, mut hasher: &mut dyn Hasher) {
        for sample in self.train {
            sample.tokens.hash(&mut hasher);
            sample.loss_mask.hash(&mut hasher);
        }
    }

    fn step(
        &self,
        decoder: &mut Decoder,
        micro_batches: &[Vec<usize>],
        context: &StepContext<'_>,
    ) -> Result<Measurement> {
        let batches: Vec<Batch> = micro_batches
            .iter()
            .map(|samples| Batch::from_samples(samples.iter().map(|index| &self.train[*index])))
            .collect();
        let trained_tokens: usize = batches.iter().map(Batch::trained_tokens).sum();
        let scale = 1.0 / trained_tokens.max(1) as f32;
        let recompute = context.options.gradient_checkpointing;
        let mut loss = 0.0;
        for (micro_batch, batch) in batches.iter().enumerate() {
            let noise = context.noise(micro_batch);
            loss += decoder.noisy_loss_and_backward(batch, scale, recompute, &noise)?;
        }
        Ok(Measurement {
            loss: loss / trained_tokens.max(1) as f64,
            tokens: batches.iter().map(|batch| batch.tokens.len() as u64).sum(),
            trained_tokens: trained_tokens as u64,
            metrics: BTreeMap::new(),
        })
    }

    fn evaluate(&self, decoder: &Decoder, max_tokens: usize) -> Result<Measurement> {
        let losses = evaluate(decoder, self.validation, max_tokens, &mut |_| {})?;
        let trained_tokens: usize = losses.iter().map(|sample| sample.trained_tokens).sum();
        let loss = losses.iter().map(|sample| sample.loss_sum).sum::<f64>();
        Ok(Measurement {
            loss: loss / trained_tokens.max(1) as f64,
            tokens: self.validation.iter().map(|one| one.len() as u64).sum(),
            trained_tokens: trained_tokens as u64,
            metrics: BTreeMap::new(),
        })
    }
}
