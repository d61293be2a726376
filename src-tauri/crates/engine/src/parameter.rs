//! A tensor of the model and, when it is trained, its gradient.

use crate::Result;
use attune_kernels::{Operand, QuantisedMatrix};
use candle_core::{DType, Device, Tensor};

/// A named tensor. Frozen unless made trainable.
#[derive(Debug)]
pub(crate) struct Parameter {
    /// The name transformers or PEFT gives it, such as
    /// `model.layers.0.self_attn.q_proj.lora_A.weight`.
    pub(crate) name: String,
    /// The weights; f32 when trained. Empty where they are quantised.
    pub(crate) value: Tensor,
    /// A frozen matrix in few bits.
    quantised: Option<QuantisedMatrix>,
    gradient: Option<Tensor>,
    /// The base's weights while an adapter's stand in their place.
    base: Option<Tensor>,
}

impl Parameter {
    pub(crate) fn frozen(name: String, value: Tensor) -> Self {
        Self {
            name,
            value,
            quantised: None,
            gradient: None,
            base: None,
        }
    }

    pub(crate) fn quantised(
        name: String,
        matrix: QuantisedMatrix,
        device: &Device,
    ) -> Result<Self> {
        let mut parameter = Self::frozen(name, Tensor::zeros(0, DType::F32, device)?);
        parameter.quantised = Some(matrix);
        Ok(parameter)
    }

    pub(crate) fn is_quantised(&self) -> bool {
        self.quantised.is_some()
    }

    /// A matrix as products read it.
    pub(crate) fn operand(&self) -> Operand<'_> {
        match &self.quantised {
            Some(matrix) => matrix.into(),
            None => (&self.value).into(),
        }
    }

    /// Replaces the weights by a tensor.
    pub(crate) fn set_value(&mut self, value: Tensor) {
        self.value = value;
        self.quantised = None;
    }

    /// The weights as a tensor; quantised ones in f32.
    pub(crate) fn dense(&self) -> Result<Tensor> {
        match &self.quantised {
            Some(matrix) => Ok(matrix.dequantise()?.to_device(self.value.device())?),
            None => Ok(self.value.clone()),
        }
    }

    /// Widens the weights to f32 and gives them a gradient of zeros.
    pub(crate) fn make_trainable(&mut self) -> Result<()> {
        // A copy of its own: it will be changed in place.
        self.value = self.dense()?.to_dtype(DType::F32)?.copy()?;
        self.quantised = None;
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

    /// Puts an adapter's weights in the place of the base's, which are kept aside.
    pub(crate) fn replace(&mut self, value: Tensor) {
        let base = std::mem::replace(&mut self.value, value);
        self.base.get_or_insert(base);
    }

    /// Whether an adapter's weights stand in the place of the base's.
    pub(crate) fn is_replaced(&self) -> bool {
        self.base.is_some()
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
        match &self.quantised {
            Some(matrix) => {
                let (rows, columns) = matrix.dims();
                (rows * columns) as u64
            }
            None => self.value.elem_count() as u64,
        }
    }
}
