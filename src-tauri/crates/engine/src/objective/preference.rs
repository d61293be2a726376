//! Losses over pairs of a preferred and another answer.

mod layout;
mod loss;

pub(super) use loss::sigmoid;
pub use loss::{
    PairLogProbabilities, PairLoss, PreferenceLoss, PreferenceOptions, preference_losses,
};

use layout::{Layout, Likelihood};

use super::reference::{Preparation, reference};
use super::{Measurement, Objective, StepContext};
use crate::decoder::Weighing;
use crate::{Decoder, Error, Result};
use attune_data::{PreferencePair, Sample};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

/// The mean of a [`PreferenceLoss`] over pairs, with the loss of the preferred answers that some
/// add: the mean over their tokens.
#[derive(Debug, Clone)]
pub struct Preference<'a> {
    train: &'a [PreferencePair],
    validation: &'a [PreferencePair],
    options: PreferenceOptions,
    /// For each pair the log-probabilities of both answers before the run, in nats.
    train_reference: Vec<[f64; 2]>,
    validation_reference: Vec<[f64; 2]>,
}

impl<'a> Preference<'a> {
    /// Learns from `train` and is measured on `validation`.
    pub fn new(
        train: &'a [PreferencePair],
        validation: &'a [PreferencePair],
        options: PreferenceOptions,
    ) -> Self {
        Self {
            train,
            validation,
            options,
            train_reference: vec![[0.0; 2]; train.len()],
            validation_reference: vec![[0.0; 2]; validation.len()],
        }
    }

    /// How a preferred answer's own loss counts, where it does.
    fn likelihood(&self) -> Option<Likelihood> {
        match self.options.loss_type {
            PreferenceLoss::Orpo => Some(Likelihood {
                weight: 1.0,
                whole: true,
            }),
            PreferenceLoss::Cpo | PreferenceLoss::Simpo if self.options.cpo_alpha != 0.0 => {
                Some(Likelihood {
                    weight: self.options.cpo_alpha,
                    whole: false,
                })
            }
            _ => None,
        }
    }

    /// What the sum of an answer's log-probabilities is divided by.
    fn divisor(&self, side: &Sample) -> f64 {
        if self.options.loss_type.averages() {
            side.trained_tokens() as f64
        } else {
            1.0
        }
    }

    /// What a pair's sums of log-probabilities are to the loss.
    fn pair(
        &self,
        pair: &PreferencePair,
        sums: [f64; 2],
        before: [f64; 2],
    ) -> PairLogProbabilities {
        let tokens = [&pair.chosen, &pair.rejected].map(|side| self.divisor(side));
        PairLogProbabilities {
            chosen: sums[0] / tokens[0],
            rejected: sums[1] / tokens[1],
            reference_chosen: before[0] / tokens[0],
            reference_rejected: before[1] / tokens[1],
        }
    }
}

/// Sums over the pairs of a step.
#[derive(Default)]
struct Sums {
    loss: f64,
    likelihood: f64,
    rewards: [f64; 2],
    log_probabilities: [f64; 2],
    right: f64,
}

impl Sums {
    fn add(&mut self, pair: &PairLogProbabilities, found: &PairLoss) {
        self.loss += found.loss;
        self.rewards[0] += found.chosen_reward;
        self.rewards[1] += found.rejected_reward;
        self.log_probabilities[0] += pair.chosen;
        self.log_probabilities[1] += pair.rejected;
        self.right += f64::from(u8::from(found.chosen_reward > found.rejected_reward));
    }

    /// The means over `pairs`, by TRL's names.
    fn metrics(&self, pairs: f64, likelihood: Option<f64>) -> BTreeMap<String, f64> {
        let means = [
            ("rewards/chosen", self.rewards[0]),
            ("rewards/rejected", self.rewards[1]),
            ("rewards/margins", self.rewards[0] - self.rewards[1]),
            ("rewards/accuracies", self.right),
            ("logps/chosen", self.log_probabilities[0]),
            ("logps/rejected", self.log_probabilities[1]),
        ];
        let means = means.map(|(name, sum)| (name, sum / pairs));
        means
            .into_iter()
            .chain(likelihood.map(|loss| ("nll_loss", loss)))
            .map(|(name, mean)| (name.to_owned(), mean))
            .collect()
    }
}

impl Objective for Preference<'_> {
    fn lengths(&self) -> Vec<usize> {
        self.train.iter().map(PreferencePair::len).collect()
    }

    fn validation_samples(&self) -> usize {
        self.validation.len()
    }

    fn check(&self, _decoder: &Decoder) -> Result<()> {
        if self.options.beta <= 0.0 || !self.options.beta.is_finite() {
            return Err(Error::NothingToTrain(format!(
                "beta is {}; a preference counts by a factor above 0",
                self.options.beta
            )));
        }
        if self.train.is_empty() {
            return Err(Error::NothingToTrain("there is no pair of answers".into()));
        }
        for (kind, pairs) in [("training", self.train), ("validation", self.validation)] {
            let empty = |pair: &PreferencePair| {
                pair.chosen.trained_tokens() == 0 || pair.rejected.trained_tokens() == 0
            };
            if let Some(index) = pairs.iter().position(empty) {
                return Err(Error::NothingToTrain(format!(
                    "an answer of {kind} pair {} has no token",
                    index + 1
                )));
            }
        }
        Ok(())
    }

    fn fingerprint(&self, mut hasher: &mut dyn Hasher) {
        format!("preference {:?}", self.options).hash(&mut hasher);
        for sample in self
            .train
            .iter()
            .flat_map(|pair| [&pair.chosen, &pair.rejected])
        {
            sample.tokens.hash(&mut hasher);
            sample.loss_mask.hash(&mut hasher);
        }
    }

    fn prepare(&mut self, decoder: &mut Decoder, preparation: &Preparation<'_>) -> Result<bool> {
        if !self.options.loss_type.needs_reference() {
            return Ok(true);
        }
        let sides = |pairs: &'_ [PreferencePair]| -> Vec<Sample> {
            let sides = pairs.iter().flat_map(|pair| [&pair.chosen, &pair.rejected]);
            sides.cloned().collect()
        };
        let (train, validation) = (sides(self.train), sides(self.validation));
        let lists = [
            ("train", train.iter().collect()),
            ("validation", validation.iter().collect()),
        ];
        let Some(found) = reference(decoder, &lists, preparation)? else {
            return Ok(false);
        };
        let pairs = |sums: &[f64]| {
            sums.chunks_exact(2)
                .map(|pair| [pair[0], pair[1]])
                .collect()
        };
        self.train_reference = pairs(&found[0]);
        self.validation_reference = pairs(&found[1]);
        Ok(true)
    }

    fn step(
        &self,
        decoder: &mut Decoder,
        micro_batches: &[Vec<usize>],
        context: &StepContext<'_>,
    ) -> Result<Measurement> {
        let likelihood = self.likelihood();
        let pairs_of = |indices: &Vec<usize>| {
            let pairs = indices.iter().map(|index| (*index, &self.train[*index]));
            Layout::new(pairs.collect(), likelihood)
        };
        let layouts: Vec<Layout<'_>> = micro_batches.iter().map(pairs_of).collect();
        let pairs: usize = layouts.iter().map(|layout| layout.pairs.len()).sum();
        let scale = 1.0 / pairs.max(1) as f64;
        // The preferred answers' own loss is a mean over the tokens of the whole step.
        let learnt: usize = layouts
            .iter()
            .flat_map(Layout::preferred)
            .map(|rows| rows.len())
            .sum();
        let likelihood_scale = likelihood.map(|one| one.weight / learnt.max(1) as f64);

        let pair_of = |(index, pair): (usize, &PreferencePair), sums: [f64; 2]| {
            self.pair(pair, sums, self.train_reference[index])
        };
        let log_probabilities =
            |layout: &Layout<'_>, losses: &[f64]| -> Vec<PairLogProbabilities> {
                let sums = layout.log_probabilities(losses);
                let pairs = layout.pairs.iter().zip(sums);
                pairs.map(|(pair, sums)| pair_of(*pair, sums)).collect()
            };
        // Where pairs depend on each other, all of the step are seen before the first is learnt.
        let mut known: Option<Vec<PairLoss>> = None;
        if self.options.loss_type.couples() && layouts.len() > 1 {
            let mut all = Vec::new();
            for (micro_batch, layout) in layouts.iter().enumerate() {
                let noise = context.noise(micro_batch);
                let losses = decoder.noisy_token_losses(&layout.batch, &noise)?;
                let losses: Vec<f64> = losses.into_iter().map(f64::from).collect();
                all.extend(log_probabilities(layout, &losses));
            }
            known = Some(preference_losses(&self.options, &all));
        }
        let mut sums = Sums::default();
        let mut done = 0;
        for (micro_batch, layout) in layouts.iter().enumerate() {
            let mut weigh = |losses: &[f64]| -> Vec<f32> {
                let pairs = log_probabilities(layout, losses);
                let found = match &known {
                    Some(known) => known[done..done + pairs.len()].to_vec(),
                    None => preference_losses(&self.options, &pairs),
                };
                let mut scales = vec![0.0_f64; losses.len()];
                let slopes = layout
                    .pairs
                    .iter()
                    .zip(&found)
                    .flat_map(|((_, pair), found)| {
                        [
                            found.chosen_slope / self.divisor(&pair.chosen),
                            found.rejected_slope / self.divisor(&pair.rejected),
                        ]
                    });
                for (rows, slope) in layout.rows().zip(slopes) {
                    for row in rows {
                        // A loss is minus a log-probability.
                        scales[row] = if layout.answers[row] {
                            -slope * scale
                        } else {
                            0.0
                        };
                    }
                }
                if let Some(likelihood_scale) = likelihood_scale {
                    for row in layout.preferred().flatten() {
                        scales[row] += likelihood_scale;
                        sums.likelihood += losses[row];
                    }
                }
                pairs
                    .iter()
                    .zip(&found)
                    .for_each(|(pair, found)| sums.add(pair, found));
                done += pairs.len();
                scales.into_iter().map(|scale| scale as f32).collect()
            };
            let noise = context.noise(micro_batch);
            decoder.weighted_loss_and_backward(
                &layout.batch,
                Weighing::ByLosses(&mut weigh),
                context.options.gradient_checkpointing,
                Some(&noise),
            )?;
        }
        let mean = likelihood.map(|_| sums.likelihood / learnt.max(1) as f64);
        let weight = likelihood.map_or(0.0, |one| one.weight);
        Ok(Measurement {
            loss: sums.loss * scale + weight * mean.unwrap_or(0.0),
            tokens: layouts
                .iter()
                .map(|one| one.batch.tokens.len() as u64)
                .sum(),
            trained_tokens: layouts.iter().map(|one| one.answers.len() as u64).sum(),
            metrics: sums.metrics(pairs.max(1) as f64, mean),
        })
    }

    fn evaluate(&self, decoder: &Decoder, max_tokens: usize) -> Result<Measurement> {
        let likelihood = self.likelihood();
        let mut sums = Sums::default();
        let (mut pairs, mut learnt) = (Vec::new(), 0);
        let mut found = Measurement::default();
        let lengths: Vec<usize> = self.validation.iter().map(PreferencePair::len).collect();
        for group in super::groups(&lengths, max_tokens) {
            let layout = Layout::new(
                group
                    .map(|index| (index, &self.validation[index]))
                    .collect(),
                likelihood,
            );
            let losses = decoder.token_losses(&layout.batch)?;
            let losses: Vec<f64> = losses.into_iter().map(f64::from).collect();
            for ((index, pair), sums) in layout.pairs.iter().zip(layout.log_probabilities(&losses))
            {
                pairs.push(self.pair(pair, sums, self.validation_reference[*index]));
            }
            if likelihood.is_some() {
                for rows in layout.preferred() {
                    learnt += rows.len();
                    sums.likelihood += losses[rows].iter().sum::<f64>();
                }
            }
            found.tokens += layout.batch.tokens.len() as u64;
            found.trained_tokens += layout.answers.len() as u64;
        }
        let losses = preference_losses(&self.options, &pairs);
        pairs
            .iter()
            .zip(&losses)
            .for_each(|(pair, found)| sums.add(pair, found));
        let mean = likelihood.map(|_| sums.likelihood / learnt.max(1) as f64);
        let weight = likelihood.map_or(0.0, |one| one.weight);
        let count = pairs.len().max(1) as f64;
        found.loss = sums.loss / count + weight * mean.unwrap_or(0.0);
        found.metrics = sums.metrics(count, mean);
        Ok(found)
    }
}
