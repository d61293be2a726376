//! A tensor of the model and, when it is trained, its gradient.

use crate::Result;
use attune_kernels::{Operand, QuantisedMatrix, Remainders, has_bf16};
use candle_core::{DType, Device, Tensor};

/// What the weights that full fine-tuning moves are computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TrainedType {
    /// f32.
    #[default]
    F32,
    /// Matrices rounded to bf16; gradients, steps and the weights that remember them are f32
    /// (mixed precision, Micikevicius et al., 2018). Norms and biases are f32. On a device without
    /// bf16 all are f32, which takes the same memory.
    Bf16,
}

/// A named tensor. Frozen unless made trainable.
#[derive(Debug)]
pub(crate) struct Parameter {
    /// The name transformers or PEFT gives it, such as
    /// `model.layers.0.self_attn.q_proj.lora_A.weight`.
    pub(crate) name: String,
    /// The weights; when trained, f32, or bf16 with `remainders`. Empty where they are quantised.
    pub(crate) value: Tensor,
    /// A frozen matrix in few bits.
    quantised: Option<QuantisedMatrix>,
    gradient: Option<Tensor>,
    /// What the f32 weights that training moves have beyond their bf16 `value`.
    remainders: Option<Remainders>,
    /// The base's weights while an adapter's stand in their place.
    base: Option<(Tensor, Option<QuantisedMatrix>)>,
}

impl Parameter {
    pub(crate) fn frozen(name: String, value: Tensor) -> Self {
        Self {
            name,
            value,
            quantised: None,
            gradient: None,
            remainders: None,
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
        self.remainders = None;
    }

    /// The weights as a tensor; quantised ones, and those trained in bf16, in f32.
    pub(crate) fn dense(&self) -> Result<Tensor> {
        match (&self.quantised, &self.remainders) {
            (Some(matrix), _) => Ok(matrix.dequantise()?.to_device(self.value.device())?),
            (None, Some(remainders)) => Ok(remainders.join(&self.value)?),
            (None, None) => Ok(self.value.clone()),
        }
    }

    /// Widens the weights to f32 and gives them a gradient of zeros.
    pub(crate) fn make_trainable(&mut self) -> Result<()> {
        // A copy of its own: it will be changed in place.
        self.value = self.dense()?.to_dtype(DType::F32)?.copy()?;
        self.quantised = None;
        self.remainders = None;
        self.gradient = Some(self.value.zeros_like()?);
        Ok(())
    }

    /// Makes the weights trainable, a matrix computed with as `trained` says.
    pub(crate) fn make_trainable_in(&mut self, trained: TrainedType) -> Result<()> {
        self.make_trainable()?;
        let rounds = trained == TrainedType::Bf16 && has_bf16(self.value.device());
        if rounds && self.value.rank() == 2 {
            let (value, remainders) = Remainders::split(&self.value)?;
            (self.value, self.remainders) = (value, Some(remainders));
        }
        Ok(())
    }

    /// Whether training rounds the weights to bf16.
    pub(crate) fn is_rounded(&self) -> bool {
        self.remainders.is_some()
    }

    /// Replaces trained weights by `weights`, f32, held as they are.
    pub(crate) fn set_trained(&mut self, weights: &Tensor) -> Result<()> {
        if let Some(remainders) = &mut self.remainders {
            remainders.set(&self.value, weights)?;
        } else {
            self.value = weights.copy()?;
        }
        Ok(())
    }

    /// Makes the weights trainable as a part of an adapter: freezing brings back what they were.
    pub(crate) fn train_whole(&mut self) -> Result<()> {
        let base = (self.value.clone(), self.quantised.clone());
        self.make_trainable()?;
        self.base.get_or_insert(base);
        Ok(())
    }

    /// Puts an adapter's weights in the place of the base's, which are kept aside.
    pub(crate) fn replace(&mut self, value: Tensor) {
        let base = std::mem::replace(&mut self.value, value);
        let base = (base, self.quantised.take());
        self.base.get_or_insert(base);
    }

    /// Whether an adapter's weights stand in the place of the base's.
    pub(crate) fn is_replaced(&self) -> bool {
        self.base.is_some()
    }

    /// Ends training. Weights that belonged to an adapter are again those of the base.
    pub(crate) fn freeze(&mut self) -> Result<()> {
        self.gradient = None;
        if let Some(base) = self.base.take() {
            (self.value, self.quantised) = base;
        } else if self.is_rounded() {
            self.value = self.dense()?;
        }
        self.remainders = None;
        Ok(())
    }

    /// Exchanges weights that an adapter trains whole with those of the base.
    pub(crate) fn exchange_base(&mut self) {
        if let Some(base) = &mut self.base {
            std::mem::swap(&mut self.value, &mut base.0);
            std::mem::swap(&mut self.quantised, &mut base.1);
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

    /// A matrix as products read it, and where a backward adds.
    pub(crate) fn operand_and_gradient(&mut self) -> (Operand<'_>, Option<&mut Tensor>) {
        let operand = match &self.quantised {
            Some(matrix) => matrix.into(),
            None => (&self.value).into(),
        };
        (operand, self.gradient.as_mut())
    }

    /// Lets `change` move the f32 weights by their gradient; nothing where they are frozen.
    pub(crate) fn update(
        &mut self,
        change: impl FnOnce(&mut Tensor, &Tensor) -> Result<()>,
    ) -> Result<()> {
        let Some(gradient) = &self.gradient else {
            return Ok(());
        };
        match &self.remainders {
            None => change(&mut self.value, gradient),
            Some(remainders) => {
                let mut weights = remainders.join(&self.value)?;
                change(&mut weights, gradient)?;
                self.set_trained(&weights)
            }
        }
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

/// A parameter's weights on their way into a file, widened one tensor at a time.
pub(crate) struct Stored<'a>(pub(crate) &'a Parameter);

impl Stored<'_> {
    fn weights(&self) -> Tensor {
        let weights = self.0.dense();
        weights.unwrap_or_else(|error| unreachable!("weights that can be computed with: {error}"))
    }
}

impl safetensors::View for Stored<'_> {
    fn dtype(&self) -> safetensors::Dtype {
        if self.0.is_rounded() {
            safetensors::Dtype::F32
        } else {
            safetensors::View::dtype(&self.0.value)
        }
    }

    fn shape(&self) -> &[usize] {
        self.0.value.dims()
    }

    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        std::borrow::Cow::Owned(safetensors::View::data(&self.weights()).into_owned())
    }

    fn data_len(&self) -> usize {
        let size = self.0.value.dtype().size_in_bytes();
        let size = if self.0.is_rounded() { 4 } else { size };
        self.0.value.elem_count() * size
    }
}
