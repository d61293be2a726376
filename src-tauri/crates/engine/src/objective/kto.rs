//! Kahneman-Tversky optimisation (Ethayarajh et al., 2024) of answers that were liked or not, as
//! TRL's `KTOTrainer` has it.

use super::preference::sigmoid;
use super::reference::{Preparation, log_probabilities, reference};
use super::{Measurement, Objective, StepContext};
use crate::decoder::Weighing;
use crate::{Decoder, Error, Result};
use attune_data::{Batch, RatedSample, Sample};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

/// Settings of [`Kto`]. Names and defaults are TRL's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct KtoOptions {
    /// β: how much a difference of log-probabilities counts.
    pub beta: f64,
    /// Weight of answers that were liked.
    pub desirable_weight: f64,
    /// Weight of answers that were not.
    pub undesirable_weight: f64,
}

impl Default for KtoOptions {
    fn default() -> Self {
        Self {
            beta: 0.1,
            desirable_weight: 1.0,
            undesirable_weight: 1.0,
        }
    }
}

/// The loss of one answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RatedLoss {
    /// Weighed by what the answer was rated.
    pub loss: f64,
    /// Its slope by the answer's log-probability.
    pub slope: f64,
    /// The implicit reward.
    pub reward: f64,
}

/// The loss of an answer whose log-probability is `ratio` nats above the reference's, where the
/// model has moved from the reference by `kl` nats, 0 or more. `kl` has no gradient.
pub fn kto_loss(options: &KtoOptions, ratio: f64, desirable: bool, kl: f64) -> RatedLoss {
    let beta = options.beta;
    let (weight, sign) = if desirable {
        (options.desirable_weight, 1.0)
    } else {
        (options.undesirable_weight, -1.0)
    };
    let value = sigmoid(sign * beta * (ratio - kl));
    RatedLoss {
        loss: weight * (1.0 - value),
        slope: -weight * sign * beta * value * (1.0 - value),
        reward: beta * ratio,
    }
}

/// The mean of [`kto_loss`] over answers. How far the model has moved is estimated by answers of
/// other prompts: those of a step for that step, all its micro-batches together. As in TRL a
/// prompt's other answer is that of the sample before it in the data.
#[derive(Debug, Clone)]
pub struct Kto<'a> {
    train: Answers<'a>,
    validation: Answers<'a>,
    options: KtoOptions,
}

/// Rated answers, and what is known of them before the run.
#[derive(Debug, Clone)]
struct Answers<'a> {
    samples: &'a [RatedSample],
    /// Each prompt with another's answer.
    mismatched: Vec<Sample>,
    /// `Σ ln p` of the answers under the reference.
    reference: Vec<f64>,
    mismatched_reference: Vec<f64>,
}

impl<'a> Answers<'a> {
    fn new(samples: &'a [RatedSample]) -> Self {
        Self {
            samples,
            mismatched: Vec::new(),
            reference: Vec::new(),
            mismatched_reference: Vec::new(),
        }
    }

    fn mismatch(&mut self, max_length: usize) {
        let before = |index: usize| (index + self.samples.len() - 1) % self.samples.len();
        let samples = self.samples.iter().enumerate();
        let mismatched =
            samples.map(|(index, one)| one.mismatched(&self.samples[before(index)], max_length));
        self.mismatched = mismatched.collect();
    }

    /// How far the model has moved, by the mismatched answers of these samples.
    fn kl(&self, decoder: &Decoder, indices: &[usize], max_tokens: usize) -> Result<f64> {
        let samples: Vec<&Sample> = indices.iter().map(|one| &self.mismatched[*one]).collect();
        let sums = log_probabilities(decoder, &samples, max_tokens, &|| true)?.unwrap_or_default();
        let moved = sums.iter().zip(indices);
        let moved: f64 = moved
            .map(|(sum, one)| sum - self.mismatched_reference[*one])
            .sum();
        Ok((moved / indices.len().max(1) as f64).max(0.0))
    }
}

/// Sums over answers that were liked, then over the others.
#[derive(Default)]
struct Sums {
    loss: f64,
    counts: [f64; 2],
    rewards: [f64; 2],
    log_probabilities: [f64; 2],
}

impl Sums {
    fn add(&mut self, desirable: bool, log_probability: f64, found: &RatedLoss) {
        let side = usize::from(!desirable);
        self.loss += found.loss;
        self.counts[side] += 1.0;
        self.rewards[side] += found.reward;
        self.log_probabilities[side] += log_probability;
    }

    /// Means, by TRL's names; without those of a side that has no answer.
    fn metrics(&self, kl: f64) -> BTreeMap<String, f64> {
        let mut metrics = BTreeMap::from([("kl".to_owned(), kl)]);
        for (side, name) in ["chosen", "rejected"].into_iter().enumerate() {
            if self.counts[side] > 0.0 {
                let count = self.counts[side];
                metrics.insert(format!("rewards/{name}"), self.rewards[side] / count);
                let mean = self.log_probabilities[side] / count;
                metrics.insert(format!("logps/{name}"), mean);
            }
        }
        if let (Some(chosen), Some(rejected)) = (
            metrics.get("rewards/chosen"),
            metrics.get("rewards/rejected"),
        ) {
            let margin = chosen - rejected;
            metrics.insert("rewards/margins".to_owned(), margin);
        }
        metrics
    }
}

impl<'a> Kto<'a> {
    /// Learns from `train` and is measured on `validation`.
    pub fn new(
        train: &'a [RatedSample],
        validation: &'a [RatedSample],
        options: KtoOptions,
    ) -> Self {
        Self {
            train: Answers::new(train),
            validation: Answers::new(validation),
            options,
        }
    }
}

fn batch_of<'a>(samples: impl Iterator<Item = &'a RatedSample>) -> Batch {
    Batch::from_samples(samples.map(|one| &one.sample))
}

impl Objective for Kto<'_> {
    fn lengths(&self) -> Vec<usize> {
        let samples = self.train.samples.iter();
        samples.map(|one| one.sample.len()).collect()
    }

    fn validation_samples(&self) -> usize {
        self.validation.samples.len()
    }

    fn check(&self, _decoder: &Decoder) -> Result<()> {
        if self.options.beta <= 0.0 || !self.options.beta.is_finite() {
            return Err(Error::NothingToTrain(format!(
                "beta is {}; a preference counts by a factor above 0",
                self.options.beta
            )));
        }
        if self.train.samples.len() < 2 {
            return Err(Error::NothingToTrain(
                "KTO needs two rated answers or more: each is measured by another's".into(),
            ));
        }
        for (kind, answers) in [("training", &self.train), ("validation", &self.validation)] {
            let empty = |one: &RatedSample| one.sample.trained_tokens() == 0;
            if let Some(index) = answers.samples.iter().position(empty) {
                return Err(Error::NothingToTrain(format!(
                    "{kind} answer {} has no token",
                    index + 1
                )));
            }
        }
        Ok(())
    }

    fn fingerprint(&self, mut hasher: &mut dyn Hasher) {
        format!("kto {:?}", self.options).hash(&mut hasher);
        for one in self.train.samples {
            one.sample.tokens.hash(&mut hasher);
            one.sample.loss_mask.hash(&mut hasher);
            one.desirable.hash(&mut hasher);
        }
    }

    fn prepare(&mut self, decoder: &mut Decoder, preparation: &Preparation<'_>) -> Result<bool> {
        let max_length = preparation.options.max_length;
        self.train.mismatch(max_length);
        self.validation.mismatch(max_length);
        let answers = |answers: &Answers<'_>| -> Vec<Sample> {
            answers
                .samples
                .iter()
                .map(|one| one.sample.clone())
                .collect()
        };
        let (train, validation) = (answers(&self.train), answers(&self.validation));
        let lists = [
            ("train", train.iter().collect()),
            ("train_mismatched", self.train.mismatched.iter().collect()),
            ("validation", validation.iter().collect()),
            (
                "validation_mismatched",
                self.validation.mismatched.iter().collect(),
            ),
        ];
        let Some(found) = reference(decoder, &lists, preparation)? else {
            return Ok(false);
        };
        let mut found = found.into_iter();
        for answers in [&mut self.train, &mut self.validation] {
            answers.reference = found.next().unwrap_or_default();
            answers.mismatched_reference = found.next().unwrap_or_default();
        }
        Ok(true)
    }

    fn step(
        &self,
        decoder: &mut Decoder,
        micro_batches: &[Vec<usize>],
        context: &StepContext<'_>,
    ) -> Result<Measurement> {
        let indices = micro_batches.concat();
        let scale = 1.0 / indices.len().max(1) as f64;
        let options = context.options;
        let max_tokens = options.batch_size * options.max_length;
        let kl = self.train.kl(decoder, &indices, max_tokens)?;
        let mut sums = Sums::default();
        let mut found = Measurement::default();
        for (micro_batch, indices) in micro_batches.iter().enumerate() {
            let samples = || indices.iter().map(|index| &self.train.samples[*index]);
            let batch = batch_of(samples());
            found.tokens += batch.tokens.len() as u64;
            found.trained_tokens += batch.trained_tokens() as u64;
            let mut weigh = |losses: &[f64]| -> Vec<f32> {
                let mut scales = Vec::with_capacity(losses.len());
                for (index, one) in indices.iter().zip(samples()) {
                    let tokens = one.sample.trained_tokens();
                    let losses = &losses[scales.len()..][..tokens];
                    let sum = -losses.iter().sum::<f64>();
                    let ratio = sum - self.train.reference[*index];
                    let rated = kto_loss(&self.options, ratio, one.desirable, kl);
                    sums.add(one.desirable, sum, &rated);
                    // A loss is minus a log-probability.
                    scales.extend(vec![(-rated.slope * scale) as f32; tokens]);
                }
                scales
            };
            let noise = context.noise(micro_batch);
            decoder.weighted_loss_and_backward(
                &batch,
                Weighing::ByLosses(&mut weigh),
                options.gradient_checkpointing,
                Some(&noise),
            )?;
        }
        found.loss = sums.loss * scale;
        found.metrics = sums.metrics(kl);
        Ok(found)
    }

    fn evaluate(&self, decoder: &Decoder, max_tokens: usize) -> Result<Measurement> {
        let answers = &self.validation;
        let indices: Vec<usize> = (0..answers.samples.len()).collect();
        let kl = answers.kl(decoder, &indices, max_tokens)?;
        let samples: Vec<&Sample> = answers.samples.iter().map(|one| &one.sample).collect();
        let found = log_probabilities(decoder, &samples, max_tokens, &|| true)?.unwrap_or_default();
        let mut sums = Sums::default();
        for ((one, sum), before) in answers.samples.iter().zip(found).zip(&answers.reference) {
            let rated = kto_loss(&self.options, sum - before, one.desirable, kl);
            sums.add(one.desirable, sum, &rated);
        }
        Ok(Measurement {
            loss: sums.loss / samples.len().max(1) as f64,
            tokens: samples.iter().map(|sample| sample.len() as u64).sum(),
            trained_tokens: samples.iter().map(|one| one.trained_tokens() as u64).sum(),
            metrics: sums.metrics(kl),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_finite_differences() {
        let options = KtoOptions {
            beta: 0.3,
            desirable_weight: 1.3,
            undesirable_weight: 0.6,
        };
        for desirable in [true, false] {
            for ratio in [-7.0, -0.4, 0.0, 2.5] {
                for kl in [0.0, 1.7] {
                    let at = |ratio| kto_loss(&options, ratio, desirable, kl);
                    let numeric = (at(ratio + 1e-5).loss - at(ratio - 1e-5).loss) / 2e-5;
                    assert!((at(ratio).slope - numeric).abs() < 1e-9);
                }
            }
        }
    }
}
