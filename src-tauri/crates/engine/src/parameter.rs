//! A tensor of the model and, when it is trained, its gradient.

use crate::Result;
use candle_core::{DType, Tensor};

/// A named tensor. Frozen unless made trainable.
#[derive(Debug)]
pub(crate) struct Parameter {
    /// The name transformers or PEFT gives it, such as
    /// `model.layers.0.self_attn.q_proj.lora_A.weight`.
    pub(crate) name: String,
    /// The weights; f32 when trained.
    pub(crate) value: Tensor,
    gradient: Option<Tensor>,
    /// The weights before an adapter trained them whole.
    base: Option<Tensor>,
}

impl Parameter {
    pub(crate) fn frozen(name: String, value: Tensor) -> Self {
        Self {
            name,
            value,
            gradient: None,
            base: None,
        }
    }

    pub(crate) fn trainable(name: String, value: Tensor) -> Result<Self> {
        let mut parameter = Self::frozen(name, value);
        parameter.make_trainable()?;
        Ok(parameter)
    }

    /// Widens the weights to f32 and gives them a gradient of zeros.
    pub(crate) fn make_trainable(&mut self) -> Result<()> {
        // A copy of its own: it will be changed in place.
        self.value = self.value.to_dtype(DType::F32)?.copy()?;
        self.gradient = Some(self.value.zeros_like()?);
        Ok(())
    }

    /// Makes the weights trainable as a part of an adapter: freezing brings back what they were.
    pub(crate) fn train_whole(&mut self) -> Result<()> {
        let base = self.value.clone();
        self.make_trainable()?;
        self.base.get_or_insert(base);
        Ok(())
    }

    /// Ends training. Weights that belonged to an adapter are again those of the base.
    pub(crate) fn freeze(&mut self) {
        self.gradient = None;
        if let Some(base) = self.base.take() {
            self.value = base;
        }
    }

    /// Ends training with the weights as they are.
    pub(crate) fn keep(&mut self) {
        self.base = None;
    }

    pub(crate) fn is_trainable(&self) -> bool {
        self.gradient.is_some()
    }

    /// The gradient gathered since it was last cleared; none for a frozen parameter.
    pub(crate) fn gradient(&self) -> Option<&Tensor> {
        self.gradient.as_ref()
    }

    /// Where a backward adds.
    pub(crate) fn gradient_mut(&mut self) -> Option<&mut Tensor> {
        self.gradient.as_mut()
    }

    /// The value to change together with its gradient.
    pub(crate) fn value_and_gradient(&mut self) -> Option<(&mut Tensor, &Tensor)> {
        self.gradient
            .as_ref()
            .map(|gradient| (&mut self.value, gradient))
    }

    pub(crate) fn clear_gradient(&mut self) -> Result<()> {
        if let Some(gradient) = &mut self.gradient {
            gradient.zero_set()?;
        }
        Ok(())
    }

    /// Number of weights.
    pub(crate) fn count(&self) -> u64 {
        self.value.elem_count() as u64
    }
}
