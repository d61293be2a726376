//! The decoder: embedding, blocks, final norm, output matrix. One for training and inference.

mod adapter;
mod folder;
mod noise;

use crate::block::{self, Block, Context};
use crate::cache::{Cache, LayerCache};
use crate::lora::LoraConfig;
use crate::norm::Norm;
use crate::parameter::Parameter;
use crate::rotary::{Angles, Rotary};
use crate::{Error, ModelSpec, Result};
use attune_data::{Batch, IGNORED};
use attune_kernels::{
    ComputeType, Logits, Span, embedding, embedding_backward, in_pool, linear_cross_entropy,
    linear_token_losses, scaled,
};
use candle_core::{Device, Tensor};
use serde::Serialize;
use std::collections::BTreeMap;

pub use noise::Noise;

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
    /// The output matrix, unless the embedding doubles as it.
    head: Option<Parameter>,
    lora: Option<LoraConfig>,
    /// One for each of the spec's rotary embeddings.
    rotary: Vec<Rotary>,
    /// What the products of the output matrix are computed in; the layers know their own.
    compute: ComputeType,
}

/// A block's input alone, or all that its backward wants.
enum Kept {
    Input(Tensor),
    Saved(block::Saved),
}

/// Where the rows of a batch stand.
struct Rows {
    spans: Vec<Span>,
    positions: Vec<u32>,
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

    /// Values of the trainable parameters.
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
        let hidden = self.hidden(batch)?;
        let hidden = self.norm.forward(&hidden)?;
        Ok(self.head().of(&hidden, &self.output().value)?)
    }

    /// `-ln p(target)` of each position whose prediction counts, in order.
    pub fn token_losses(&self, batch: &Batch) -> Result<Vec<f32>> {
        let (rows, targets) = counted(batch);
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let hidden = self.select(&self.hidden(batch)?, &rows)?;
        let hidden = self.norm.forward(&hidden)?;
        let weight = &self.output().value;
        Ok(linear_token_losses(&hidden, weight, &targets, self.head())?)
    }

    /// Forward and backward of one batch. Adds the gradient of `scale · Σ loss` to every trainable
    /// parameter and returns `Σ loss` in nats. With `recompute`, a block keeps only its input and
    /// runs forward again when its turn in the backward comes.
    pub fn loss_and_backward(&mut self, batch: &Batch, scale: f32, recompute: bool) -> Result<f64> {
        in_pool(|| self.forward_and_backward(batch, scale, recompute, None))
    }

    fn forward_and_backward(
        &mut self,
        batch: &Batch,
        scale: f32,
        recompute: bool,
        noise: Option<&Noise>,
    ) -> Result<f64> {
        let rows = self.rows(batch)?;
        let angles = self.angles(&rows)?;
        let context = Context {
            spans: &rows.spans,
            positions: &rows.positions,
            angles: &angles,
        };
        let mut x = self.embed(&batch.tokens)?;
        if let Some(noise) = noise {
            noise.add_to_embeddings(&mut x, &rows.spans)?;
        }
        let mut kept = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let (y, saved) = layer.forward(&x, &context, None)?;
            kept.push(if recompute {
                Kept::Input(x)
            } else {
                Kept::Saved(saved)
            });
            x = y;
        }
        // Only rows that count go through the final norm and the output matrix.
        let (counted_rows, targets) = counted(batch);
        if counted_rows.is_empty() {
            return Ok(0.0);
        }
        let last = self.select(&x, &counted_rows)?;
        let hidden = self.norm.forward(&last)?;
        let head = self.head();
        let output = self.head.as_mut().unwrap_or(&mut self.embed);
        let weight = output.value.clone();
        let (loss, dhidden) = linear_cross_entropy(
            &hidden,
            &weight,
            &targets,
            head,
            scale,
            output.gradient_mut(),
        )?;
        let dlast = self.norm.backward(&last, &dhidden)?;
        let mut dx = x.zeros_like()?;
        embedding_backward(&mut dx, &counted_rows, &dlast)?;
        drop(x);

        let wants_embedding = self.embed.is_trainable();
        for (index, layer) in self.layers.iter_mut().enumerate().rev() {
            let saved = match kept.pop() {
                Some(Kept::Saved(saved)) => saved,
                Some(Kept::Input(x)) => layer.forward(&x, &context, None)?.1,
                None => unreachable!("one is kept per layer"),
            };
            match layer.backward(saved, &dx, &context, index > 0 || wants_embedding)? {
                Some(next) => dx = next,
                None => return Ok(loss),
            }
        }
        if let Some(gradient) = self.embed.gradient_mut() {
            if self.spec.embedding_scale != 1.0 {
                dx = scaled(&dx, self.spec.embedding_scale as f32)?;
            }
            embedding_backward(gradient, &batch.tokens, &dx)?;
        }
        Ok(loss)
    }

    /// An empty cache for one sequence.
    pub(crate) fn cache(&self) -> Result<Cache> {
        let width = self.spec.key_width();
        let layers = (0..self.layers.len())
            .map(|_| LayerCache::new(width, &self.device))
            .collect::<Result<_>>()?;
        Ok(Cache {
            layers,
            tokens: Vec::new(),
        })
    }

    /// Feeds each sequence's new tokens, one or more, and returns the scores `(sequences,
    /// vocabulary)` of what follows each.
    pub(crate) fn advance(&self, tokens: &[&[u32]], caches: &mut [&mut Cache]) -> Result<Tensor> {
        in_pool(|| self.forward_cached(tokens, caches))
    }

    fn forward_cached(&self, tokens: &[&[u32]], caches: &mut [&mut Cache]) -> Result<Tensor> {
        let mut rows = Rows {
            spans: Vec::new(),
            positions: Vec::new(),
        };
        self.check_tokens(tokens.iter().copied().flatten())?;
        let mut fed = Vec::new();
        for (tokens, cache) in tokens.iter().zip(caches.iter_mut()) {
            let length = cache.len() + tokens.len();
            // Where the longer sequence turns by other angles, its keys are made anew.
            let mut new = if self.spec.rope_regime(cache.len()) == self.spec.rope_regime(length) {
                Vec::new()
            } else {
                cache.take()
            };
            new.extend_from_slice(tokens);
            rows.spans.push(Span {
                start: rows.positions.len(),
                len: new.len(),
            });
            rows.positions
                .extend((length - new.len()..length).map(|position| position as u32));
            cache.tokens.extend_from_slice(&new);
            fed.append(&mut new);
        }
        let angles = self.angles(&rows)?;
        let context = Context {
            spans: &rows.spans,
            positions: &rows.positions,
            angles: &angles,
        };
        let mut x = self.embed(&fed)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let mut caches: Vec<&mut LayerCache> = caches
                .iter_mut()
                .map(|cache| &mut cache.layers[index])
                .collect();
            x = layer.forward(&x, &context, Some(&mut caches))?.0;
        }
        let last: Vec<u32> = rows
            .spans
            .iter()
            .map(|span| (span.start + span.len - 1) as u32)
            .collect();
        let hidden = self.norm.forward(&self.select(&x, &last)?)?;
        Ok(self.head().of(&hidden, &self.output().value)?)
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
        };
        let mut x = self.embed(&batch.tokens)?;
        for layer in &self.layers {
            x = layer.forward(&x, &context, None)?.0;
        }
        Ok(x)
    }

    /// The tokens' rows of the embedding, `(N, H)`.
    fn embed(&self, tokens: &[u32]) -> Result<Tensor> {
        let x = embedding(&self.embed.value, tokens)?;
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
        Ok(Rows { spans, positions })
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
        let last = |span: &Span| rows.positions[span.start + span.len - 1] as usize;
        let spans = rows.spans.iter().filter(|span| span.len > 0);
        let lengths: Vec<usize> = spans
            .flat_map(|span| std::iter::repeat_n(last(span) + 1, span.len))
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
        self.head.iter().for_each(visit);
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
        self.head.iter_mut().try_for_each(visit)
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
