//! Keys and values of what a sequence has already seen.

use crate::linear::Products;
use crate::{Decoder, Result};
use candle_core::{DType, Device, Tensor};

/// One sequence's keys and values in one block, in buffers that grow by doubling.
pub(crate) struct LayerCache {
    k: Tensor,
    v: Tensor,
    len: usize,
}

impl LayerCache {
    /// An empty cache for rows of `width` elements.
    pub(crate) fn new(width: usize, device: &Device) -> Result<Self> {
        let empty = Tensor::zeros((64, width), DType::F32, device)?;
        Ok(Self {
            k: empty.copy()?,
            v: empty,
            len: 0,
        })
    }

    /// Appends rows and returns all keys and values so far, `(len, width)`.
    pub(crate) fn append(&mut self, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let added = k.dim(0)?;
        let (capacity, width) = self.k.dims2()?;
        if self.len + added > capacity {
            let capacity = (self.len + added).next_power_of_two();
            for buffer in [&mut self.k, &mut self.v] {
                let grown = Tensor::zeros((capacity, width), DType::F32, buffer.device())?;
                grown.slice_set(&buffer.narrow(0, 0, self.len)?.contiguous()?, 0, 0)?;
                *buffer = grown;
            }
        }
        self.k.slice_set(k, 0, self.len)?;
        self.v.slice_set(v, 0, self.len)?;
        self.len += added;
        Ok((
            self.k.narrow(0, 0, self.len)?,
            self.v.narrow(0, 0, self.len)?,
        ))
    }
}

/// One sequence's cache: a [`LayerCache`] per block.
pub(crate) struct Cache {
    pub(crate) layers: Vec<LayerCache>,
    /// What it was made from, to make it anew where a longer sequence turns by other angles.
    pub(crate) tokens: Vec<u32>,
    /// How many of its first positions are of exact products.
    pub(crate) exact: usize,
}

impl Cache {
    /// Positions seen.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Notes what keys and values are about to be appended for.
    pub(crate) fn extend(&mut self, tokens: &[u32], products: Products) {
        if products == Products::Exact && self.exact == self.len() {
            self.exact += tokens.len();
        }
        self.tokens.extend_from_slice(tokens);
    }

    /// Forgets all but the first positions.
    fn truncate(&mut self, len: usize) {
        for layer in &mut self.layers {
            layer.len = len;
        }
        self.tokens.truncate(len);
        self.exact = self.exact.min(len);
    }

    /// Forgets everything; returns the tokens it was made from.
    pub(crate) fn take(&mut self) -> Vec<u32> {
        for layer in &mut self.layers {
            layer.len = 0;
        }
        self.exact = 0;
        std::mem::take(&mut self.tokens)
    }
}

/// What a model has seen of a conversation, kept from one answer to the next: the next prompt's
/// tokens are fed from where they differ. It belongs to one decoder with unchanged weights.
#[derive(Default)]
pub struct PromptCache(Option<Cache>);

impl PromptCache {
    /// A cache that holds the beginning of `prompt` so far as it is known, less its last token,
    /// whose scores are still wanted; an empty one of `decoder` where nothing is.
    pub(crate) fn begin(&mut self, decoder: &Decoder, prompt: &[u32]) -> Result<Cache> {
        let Some(mut cache) = self.0.take() else {
            return decoder.cache();
        };
        let pairs = prompt.iter().zip(&cache.tokens);
        let known = pairs.take_while(|(a, b)| a == b).count();
        let mut known = known.min(prompt.len().saturating_sub(1));
        if decoder.rounds() {
            // An answer's own positions are not what they would be in a prompt.
            known = known.min(cache.exact);
        }
        let spec = decoder.spec();
        if spec.rope_regime(cache.len()) == spec.rope_regime(known) {
            cache.truncate(known);
        } else {
            // Its keys were turned by the angles of a longer sequence.
            cache.take();
        }
        Ok(cache)
    }

    /// The tokens whose keys and values it holds.
    pub fn tokens(&self) -> &[u32] {
        self.0.as_ref().map_or(&[], |cache| &cache.tokens)
    }

    /// Keeps a cache for the next prompt.
    pub(crate) fn keep(&mut self, cache: Cache) {
        self.0 = Some(cache);
    }
}
