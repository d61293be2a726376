//! The decoder: embedding, blocks, final norm, output matrix. One for training and inference.

mod adapter;
mod cached;
mod folder;
mod held;
mod labels;
mod noise;
mod pass;
mod reference;

use crate::block::{Block, Context};
use crate::linear::Products;
use crate::lora::{AdapterFile, LoraConfig};
use crate::norm::Norm;
use crate::parameter::Parameter;
use crate::rotary::{Angles, Rotary};
use crate::{Error, ModelSpec, Result};
use attune_data::{Batch, IGNORED};
use attune_kernels::{ComputeType, Logits, Span, embedding, in_pool, linear_token_losses, scaled};
use candle_core::{Device, Tensor};
use serde::Serialize;
use std::collections::BTreeMap;

pub use noise::Noise;
pub(crate) use pass::Weighing;

/// How many weights a model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ParameterCounts {
    /// All, adapters included.
    pub total: u64,
    /// Those that training changes.
    pub trainable: u64,
}

/// A causal language model.
pub struct Decoder {
    spec: ModelSpec,
    device: Device,
    /// Where the base weights came from, as PEFT records it.
    origin: String,
    embed: Parameter,
    layers: Vec<Block>,
    norm: Norm,
    /// The output matrix, unless the embedding doubles as it or the model scores labels.
    head: Option<Parameter>,
    /// `(labels, H)`: what scores the labels of a sequence, in a model that does.
    score: Option<Parameter>,
    lora: Option<LoraConfig>,
    /// Adapters to choose from, by name, and which of them is the one at work.
    held: BTreeMap<String, AdapterFile>,
    active: Option<String>,
    /// One for each of the spec's rotary embeddings.
    rotary: Vec<Rotary>,
    /// What the products of the output matrix are computed in; the layers know their own.
    compute: ComputeType,
}

/// Where the rows of a batch stand.
struct Rows {
    spans: Vec<Span>,
    positions: Vec<u32>,
    /// Of the sequence of each span, with what is fed later.
    lengths: Vec<usize>,
}

impl Decoder {
    /// Sizes and features.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// Where the weights lie.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Sets what the products of the layers, of attention and of the output matrix are computed in,
    /// forward and backward. Norms, softmax, losses and what is between the products stay in f32.
    pub fn set_compute_type(&mut self, compute: ComputeType) {
        self.compute = compute;
        for layer in &mut self.layers {
            layer.set_compute_type(compute);
        }
    }

    /// Weights in all and weights that training changes.
    pub fn parameter_counts(&self) -> ParameterCounts {
        let mut counts = ParameterCounts {
            total: 0,
            trainable: 0,
        };
        self.visit(&mut |parameter| {
            counts.total += parameter.count();
            counts.trainable += if parameter.is_trainable() {
                parameter.count()
            } else {
                0
            };
        });
        counts
    }

    /// Gradients gathered so far, by parameter.
    pub fn gradients(&self) -> BTreeMap<String, Tensor> {
        let mut gradients = BTreeMap::new();
        self.visit(&mut |parameter| {
            if let Some(gradient) = parameter.gradient() {
                gradients.insert(parameter.name.clone(), gradient.clone());
            }
        });
        gradients
    }

    /// Values of the trainable parameters, as they are computed with.
    pub fn trainable(&self) -> BTreeMap<String, Tensor> {
        let mut values = BTreeMap::new();
        self.visit(&mut |parameter| {
            if parameter.is_trainable() {
                values.insert(parameter.name.clone(), parameter.value.clone());
            }
        });
        values
    }

    /// Sets all gradients to zero.
    pub fn clear_gradients(&mut self) -> Result<()> {
        self.visit_mut(&mut Parameter::clear_gradient)
    }

    /// Scores `(N, vocabulary)` of every position of a batch.
    pub fn logits(&self, batch: &Batch) -> Result<Tensor> {
        self.check_writes()?;
        let hidden = self.hidden(batch)?;
        let hidden = self.norm.forward(&hidden)?;
        Ok(self.head().of(&hidden, self.output().operand())?)
    }

    /// `-ln p(target)` of each position whose prediction counts, in order.
    pub fn token_losses(&self, batch: &Batch) -> Result<Vec<f32>> {
        self.check_writes()?;
        let (rows, targets) = counted(batch);
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let hidden = self.select(&self.hidden(batch)?, &rows)?;
        let hidden = self.norm.forward(&hidden)?;
        let weight = self.output().operand();
        Ok(linear_token_losses(&hidden, weight, &targets, self.head())?)
    }

    /// The residual stream after the last block, `(N, H)`.
    fn hidden(&self, batch: &Batch) -> Result<Tensor> {
        in_pool(|| self.forward(batch))
    }

    fn forward(&self, batch: &Batch) -> Result<Tensor> {
        let rows = self.rows(batch)?;
        let angles = self.angles(&rows)?;
        let context = Context {
            spans: &rows.spans,
            positions: &rows.positions,
            angles: &angles,
            products: Products::Exact,
        };
        let mut x = self.embed(&batch.tokens)?;
        for layer in &self.layers {
            x = layer.forward(&x, &context, None)?.0;
        }
        Ok(x)
    }

    /// The tokens' rows of the embedding, `(N, H)`.
    fn embed(&self, tokens: &[u32]) -> Result<Tensor> {
        let x = embedding(self.embed.operand(), tokens)?.to_device(&self.device)?;
        Ok(if self.spec.embedding_scale == 1.0 {
            x
        } else {
            scaled(&x, self.spec.embedding_scale as f32)?
        })
    }

    /// What stands between the output matrix and the scores.
    fn head(&self) -> Logits {
        Logits {
            scale: self.spec.logit_scale as f32,
            softcap: self.spec.logit_softcap.map(|cap| cap as f32),
            compute: self.compute,
        }
    }

    fn output(&self) -> &Parameter {
        self.head.as_ref().unwrap_or(&self.embed)
    }

    /// Refuses to score tokens with a model that scores labels.
    fn check_writes(&self) -> Result<()> {
        match self.score {
            None => Ok(()),
            Some(_) => Err(Error::OtherHead {
                has: "scores the labels of a text",
                lacks: "predicts no tokens",
            }),
        }
    }

    fn select(&self, x: &Tensor, rows: &[u32]) -> Result<Tensor> {
        Ok(x.index_select(&Tensor::new(rows, &self.device)?, 0)?)
    }

    fn rows(&self, batch: &Batch) -> Result<Rows> {
        self.check_tokens(&batch.tokens)?;
        let spans = batch
            .segments
            .iter()
            .map(|segment| Span {
                start: segment.start,
                len: segment.len,
            })
            .collect();
        let positions = batch
            .segments
            .iter()
            .flat_map(|segment| 0..segment.len as u32)
            .collect();
        let lengths = batch.segments.iter().map(|segment| segment.len).collect();
        Ok(Rows {
            spans,
            positions,
            lengths,
        })
    }

    fn check_tokens<'a>(&self, tokens: impl IntoIterator<Item = &'a u32>) -> Result<()> {
        let vocabulary = self.spec.vocab_size;
        match tokens
            .into_iter()
            .find(|token| **token as usize >= vocabulary)
        {
            Some(token) => Err(Error::TokenOutsideVocabulary {
                token: *token,
                vocabulary,
            }),
            None => Ok(()),
        }
    }

    /// The angles of each rotary embedding for a batch's rows.
    fn angles(&self, rows: &Rows) -> Result<Vec<Angles>> {
        let spans = rows.spans.iter().zip(&rows.lengths);
        let lengths: Vec<usize> = spans
            .flat_map(|(span, length)| std::iter::repeat_n(*length, span.len))
            .collect();
        let (needed, maximum) = (
            lengths.iter().copied().max().unwrap_or(0),
            self.spec.context(),
        );
        if needed > maximum {
            return Err(Error::TooLong {
                length: needed,
                maximum,
            });
        }
        self.rotary
            .iter()
            .map(|rotary| rotary.angles(&rows.positions, &lengths))
            .collect()
    }

    pub(crate) fn visit<'a>(&'a self, visit: &mut dyn FnMut(&'a Parameter)) {
        visit(&self.embed);
        for layer in &self.layers {
            layer.visit(visit);
        }
        self.norm.visit(visit);
        self.head.iter().chain(&self.score).for_each(visit);
    }

    pub(crate) fn visit_mut(
        &mut self,
        visit: &mut dyn FnMut(&mut Parameter) -> Result<()>,
    ) -> Result<()> {
        visit(&mut self.embed)?;
        for layer in &mut self.layers {
            layer.visit_mut(visit)?;
        }
        self.norm.visit_mut(visit)?;
        let heads = self.head.iter_mut().chain(&mut self.score);
        heads.into_iter().try_for_each(visit)
    }
}

/// Rows whose prediction counts, and their targets.
fn counted(batch: &Batch) -> (Vec<u32>, Vec<u32>) {
    let rows = batch
        .targets
        .iter()
        .enumerate()
        .filter(|(_, target)| **target != IGNORED);
    rows.map(|(row, target)| (row as u32, *target)).unzip()
}
