//! Keys and values of what a sequence has already seen.

use crate::Result;
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
}

impl Cache {
    /// Positions seen.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Forgets everything; returns the tokens it was made from.
    pub(crate) fn take(&mut self) -> Vec<u32> {
        for layer in &mut self.layers {
            layer.len = 0;
        }
        std::mem::take(&mut self.tokens)
    }
}
