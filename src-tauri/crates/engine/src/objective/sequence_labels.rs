//! Labels or numbers of whole texts, with the losses of transformers' `ForSequenceClassification`.

use super::{Measurement, Objective, StepContext, groups};
use crate::{Decoder, Error, ProblemType, Result, SequenceHead};
use attune_data::{Batch, Label, LabelledSample};
use candle_core::Tensor;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

/// Cross-entropy, binary cross-entropy or squared error, as the model's head has it; the mean over
/// the texts, and within a text over its labels.
#[derive(Debug, Clone, Copy)]
pub struct SequenceLabels<'a> {
    train: &'a [LabelledSample],
    validation: &'a [LabelledSample],
}

/// Loss of one text, its gradient by the scores, and what tells how good the scores are: whether
/// they are right, or the squared error.
struct Judged {
    loss: f64,
    gradient: Vec<f64>,
    quality: f64,
}

impl<'a> SequenceLabels<'a> {
    /// Learns from `train` and is measured on `validation`. The decoder has a
    /// [`SequenceHead`] ([`Decoder::attach_sequence_head`]).
    pub fn new(train: &'a [LabelledSample], validation: &'a [LabelledSample]) -> Self {
        Self { train, validation }
    }
}

/// A text's loss by its scores.
fn judge(problem: ProblemType, scores: &[f32], label: &Label) -> Judged {
    let scores: Vec<f64> = scores.iter().copied().map(f64::from).collect();
    match (problem, label) {
        (ProblemType::SingleLabelClassification, Label::Class(class)) => {
            let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|score| (score - highest).exp()).sum();
            let log_sum = highest + sum.ln();
            let mut gradient: Vec<f64> = scores.iter().map(|x| (x - log_sum).exp()).collect();
            gradient[*class] -= 1.0;
            let right = scores.iter().all(|score| *score <= scores[*class]);
            Judged {
                loss: log_sum - scores[*class],
                gradient,
                quality: f64::from(u8::from(right)),
            }
        }
        (ProblemType::MultiLabelClassification, Label::Values(values)) => {
            let count = scores.len() as f64;
            let pairs = || scores.iter().zip(values).map(|(x, y)| (*x, f64::from(*y)));
            // ln(1 + e^x) - x · y, without overflow.
            let loss = pairs().map(|(x, y)| x.max(0.0) + (-x.abs()).exp().ln_1p() - x * y);
            let right = pairs().filter(|(x, y)| (*x > 0.0) == (*y > 0.5)).count();
            Judged {
                loss: loss.sum::<f64>() / count,
                gradient: pairs()
                    .map(|(x, y)| (1.0 / (1.0 + (-x).exp()) - y) / count)
                    .collect(),
                quality: right as f64 / count,
            }
        }
        (ProblemType::Regression, Label::Values(values)) => {
            let count = scores.len() as f64;
            let errors = || scores.iter().zip(values).map(|(x, y)| x - f64::from(*y));
            let loss = errors().map(|error| error * error).sum::<f64>() / count;
            Judged {
                loss,
                gradient: errors().map(|error| 2.0 * error / count).collect(),
                quality: loss,
            }
        }
        _ => unreachable!("`check` has seen the labels"),
    }
}

/// What the quality is called.
fn metric(problem: ProblemType) -> &'static str {
    match problem {
        ProblemType::Regression => "mse",
        _ => "accuracy",
    }
}

/// Refuses a label that the head has no place for.
fn fits(head: &SequenceHead, label: &Label) -> std::result::Result<(), String> {
    let count = head.labels.len();
    match (head.problem_type, label) {
        (ProblemType::SingleLabelClassification, Label::Class(class)) if *class < count => Ok(()),
        (ProblemType::SingleLabelClassification, Label::Class(class)) => {
            Err(format!("label {class} of {count}, counted from 0"))
        }
        (ProblemType::SingleLabelClassification, Label::Values(_)) => {
            Err("several values where one of the labels is asked for".into())
        }
        (_, Label::Class(_)) => Err("one label where a value for each is asked for".into()),
        (_, Label::Values(values)) if values.len() != count => {
            Err(format!("{} values for {count} labels", values.len()))
        }
        (_, Label::Values(values)) if values.iter().any(|value| !value.is_finite()) => {
            Err("a value that is not a number".into())
        }
        (ProblemType::MultiLabelClassification, Label::Values(values))
            if values.iter().any(|value| !(0.0..=1.0).contains(value)) =>
        {
            Err("a value that is no probability".into())
        }
        (_, Label::Values(_)) => Ok(()),
    }
}

fn head_of(decoder: &Decoder) -> Result<&SequenceHead> {
    let head = decoder.spec().sequence_head.as_ref();
    head.ok_or(Error::OtherHead {
        has: "predicts tokens",
        lacks: "does not score labels",
    })
}

fn batch_of<'a>(samples: impl Iterator<Item = &'a LabelledSample>) -> Batch {
    Batch::from_texts(samples.map(|sample| sample.tokens.as_slice()))
}

impl Objective for SequenceLabels<'_> {
    fn lengths(&self) -> Vec<usize> {
        self.train.iter().map(LabelledSample::len).collect()
    }

    fn validation_samples(&self) -> usize {
        self.validation.len()
    }

    fn check(&self, decoder: &Decoder) -> Result<()> {
        let head = head_of(decoder)?;
        if self.train.is_empty() {
            return Err(Error::NothingToTrain("there is no labelled text".into()));
        }
        for (kind, samples) in [("training", self.train), ("validation", self.validation)] {
            for (index, sample) in (1..).zip(samples) {
                if sample.is_empty() {
                    let reason = format!("{kind} text {index} has no token");
                    return Err(Error::BadLabels(reason));
                }
                fits(head, &sample.label).map_err(|reason| {
                    Error::BadLabels(format!("{kind} text {index} has {reason}"))
                })?;
            }
        }
        Ok(())
    }

    fn fingerprint(&self, mut hasher: &mut dyn Hasher) {
        "labels".hash(&mut hasher);
        for sample in self.train {
            sample.tokens.hash(&mut hasher);
            match &sample.label {
                Label::Class(class) => class.hash(&mut hasher),
                Label::Values(values) => {
                    values
                        .iter()
                        .for_each(|value| value.to_bits().hash(&mut hasher));
                }
            }
        }
    }

    fn step(
        &self,
        decoder: &mut Decoder,
        micro_batches: &[Vec<usize>],
        context: &StepContext<'_>,
    ) -> Result<Measurement> {
        let problem = head_of(decoder)?.problem_type;
        let texts = micro_batches.iter().map(Vec::len).sum::<usize>().max(1);
        let scale = 1.0 / texts as f64;
        let mut found = Measurement::default();
        let mut quality = 0.0;
        for (micro_batch, indices) in micro_batches.iter().enumerate() {
            let samples: Vec<_> = indices.iter().map(|index| &self.train[*index]).collect();
            let batch = batch_of(samples.iter().copied());
            found.tokens += batch.tokens.len() as u64;
            found.trained_tokens += samples.len() as u64;
            let mut gradient = |scores: &Tensor| -> Result<Tensor> {
                let (count, labels) = scores.dims2()?;
                let mut dscores = Vec::with_capacity(count * labels);
                for (scores, sample) in scores.to_vec2::<f32>()?.iter().zip(&samples) {
                    let judged = judge(problem, scores, &sample.label);
                    found.loss += judged.loss * scale;
                    quality += judged.quality * scale;
                    let scaled = judged.gradient.iter().map(|slope| (slope * scale) as f32);
                    dscores.extend(scaled);
                }
                Ok(Tensor::from_vec(dscores, (count, labels), scores.device())?)
            };
            let noise = context.noise(micro_batch);
            let recompute = context.options.gradient_checkpointing;
            decoder.labels_and_backward(&batch, &mut gradient, recompute, Some(&noise))?;
        }
        found.metrics = BTreeMap::from([(metric(problem).to_owned(), quality)]);
        Ok(found)
    }

    fn evaluate(&self, decoder: &Decoder, max_tokens: usize) -> Result<Measurement> {
        let problem = head_of(decoder)?.problem_type;
        let scale = 1.0 / self.validation.len().max(1) as f64;
        let lengths: Vec<usize> = self.validation.iter().map(LabelledSample::len).collect();
        let mut found = Measurement {
            tokens: lengths.iter().map(|length| *length as u64).sum(),
            trained_tokens: lengths.len() as u64,
            ..Measurement::default()
        };
        let mut quality = 0.0;
        for group in groups(&lengths, max_tokens) {
            let samples = &self.validation[group];
            let scores = decoder.label_scores(&batch_of(samples.iter()))?;
            for (scores, sample) in scores.to_vec2::<f32>()?.iter().zip(samples) {
                let judged = judge(problem, scores, &sample.label);
                found.loss += judged.loss * scale;
                quality += judged.quality * scale;
            }
        }
        found.metrics = BTreeMap::from([(metric(problem).to_owned(), quality)]);
        Ok(found)
    }
}
