//! A linear layer: a base matrix and, optionally, a low-rank adapter beside it (Hu et al., 2021).

use crate::Result;
use crate::lora::{self, AdapterTensors, Lora, LoraConfig, LoraInit};
use crate::parameter::Parameter;
use crate::spec::LinearShape;
use attune_kernels::{
    ComputeType, Operand, Transpose, add_bias, add_column_sums, low_rank_row_norms,
    matmul_for_inference,
};
use candle_core::{DType, Device, Tensor};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// `y = x · Wᵀ + b`, and what the adapter makes of it: `+ s · (x · Aᵀ) · Bᵀ`
pub(crate) struct Linear {
    /// `W (out, in)`
    pub(crate) weight: Parameter,
    /// `b (out)`
    pub(crate) bias: Option<Parameter>,
    pub(crate) lora: Option<Lora>,
    /// What the products are computed in.
    pub(crate) compute: ComputeType,
}

/// How a layer multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Products {
    /// As the model is told to compute: for gradients, scores and prompts.
    Exact,
    /// As [`matmul_for_inference`]: for the tokens of an answer, one at a time.
    Rounded,
}

impl Products {
    /// `x · weightᵀ`
    pub(crate) fn product(
        self,
        x: &Tensor,
        weight: Operand<'_>,
        compute: ComputeType,
    ) -> Result<Tensor> {
        Ok(match self {
            Self::Exact => compute.matmul(x, weight, Transpose::Right)?,
            Self::Rounded => matmul_for_inference(x, weight)?,
        })
    }
}

/// What the backward wants besides the input.
pub(crate) struct Saved(Option<lora::Saved>);

impl Linear {
    pub(crate) fn new(weight: Parameter, bias: Option<Parameter>) -> Self {
        Self {
            weight,
            bias,
            lora: None,
            compute: ComputeType::F32,
        }
    }

    /// The layer of a block that `shape` describes, its parameters taken from `take`.
    pub(crate) fn build(
        shape: &LinearShape,
        take: &mut dyn FnMut(&str) -> Result<Parameter>,
    ) -> Result<Self> {
        let weight = take(&format!("{}.weight", shape.name))?;
        let bias = if shape.bias {
            Some(take(&format!("{}.bias", shape.name))?)
        } else {
            None
        };
        Ok(Self::new(weight, bias))
    }

    /// The layer's name, without `.weight`.
    pub(crate) fn name(&self) -> &str {
        self.weight.name.trim_end_matches(".weight")
    }

    /// Adds a fresh adapter: `A` uniform as `torch.nn.Linear` starts, `B` zero and the magnitude
    /// the rows' own, so that the layer computes what it did.
    pub(crate) fn attach_lora(&mut self, config: &LoraConfig, rng: &mut ChaCha8Rng) -> Result<()> {
        let (out, input) = self.weight.operand().dims2()?;
        let r = config.rank(self.name())?;
        let bound = 1.0 / (input as f32).sqrt();
        let a: Vec<f32> = (0..r * input)
            .map(|_| rng.random_range(-bound..bound))
            .collect();
        let device = self.weight.value.device();
        let a = Tensor::from_vec(a, (r, input), &Device::Cpu)?.to_device(device)?;
        let b = Tensor::zeros((out, r), DType::F32, device)?;
        let magnitude = if config.use_dora {
            Some(low_rank_row_norms(self.weight.operand(), &b, &a, 0.0)?)
        } else {
            None
        };
        self.set_lora(AdapterTensors { a, b, magnitude }, config)?;
        self.train_lora()?;
        match &mut self.lora {
            Some(lora) if config.init_lora_weights == LoraInit::Pissa => {
                lora.start_principal(&mut self.weight)
            }
            _ => Ok(()),
        }
    }

    /// Removes the adapter.
    pub(crate) fn detach_lora(&mut self) -> Result<()> {
        match self.lora.take() {
            Some(mut lora) => lora.return_principal(&mut self.weight),
            None => Ok(()),
        }
    }

    /// Adds an adapter with the given tensors, frozen: it shares them.
    pub(crate) fn set_lora(&mut self, tensors: AdapterTensors, config: &LoraConfig) -> Result<()> {
        let name = self.name();
        let AdapterTensors { a, b, magnitude } = tensors;
        let magnitude = magnitude
            .map(|value| Parameter::frozen(format!("{name}.lora_magnitude_vector"), value));
        self.lora = Some(Lora {
            a: Parameter::frozen(format!("{name}.lora_A.weight"), a),
            b: Parameter::frozen(format!("{name}.lora_B.weight"), b),
            magnitude,
            scale: config.scale(name)? as f32,
            dropout: config.lora_dropout as f32,
            noise: None,
            start: None,
        });
        Ok(())
    }

    /// Makes the adapter trainable, on tensors of its own.
    pub(crate) fn train_lora(&mut self) -> Result<()> {
        match &mut self.lora {
            Some(lora) => lora
                .parameters_mut()
                .try_for_each(Parameter::make_trainable),
            None => Ok(()),
        }
    }

    /// The weights with the adapter in them, in f32.
    pub(crate) fn merged(&self) -> Result<Tensor> {
        match &self.lora {
            Some(lora) => lora.merged(&self.weight),
            None => Ok(self.weight.dense()?.to_dtype(DType::F32)?),
        }
    }

    /// `x (N, in)` to `y (N, out)`.
    pub(crate) fn forward(&self, x: &Tensor, products: Products) -> Result<(Tensor, Saved)> {
        let (mut y, saved) = match &self.lora {
            None => (
                products.product(x, self.weight.operand(), self.compute)?,
                None,
            ),
            Some(lora) => {
                let weight = self.weight.operand();
                let (y, saved) = lora.forward(x, weight, products, self.compute)?;
                (y, Some(saved))
            }
        };
        if let Some(bias) = &self.bias {
            add_bias(&mut y, &bias.value)?;
        }
        Ok((y, Saved(saved)))
    }

    /// Adds this layer's gradients. The gradient of `x` is put into `dx`, or added to what is
    /// there; `None` where nobody wants it.
    pub(crate) fn backward(
        &mut self,
        x: &Tensor,
        saved: Saved,
        dy: &Tensor,
        dx: Option<&mut Option<Tensor>>,
    ) -> Result<()> {
        let compute = self.compute;
        if let Some(gradient) = self.weight.gradient_mut() {
            compute.matmul_add(gradient, 1.0, dy, x, Transpose::Left)?;
        }
        if let Some(gradient) = self.bias.as_mut().and_then(Parameter::gradient_mut) {
            add_column_sums(gradient, dy)?;
        }
        let upstream = match (&mut self.lora, saved) {
            (Some(lora), Saved(Some(saved))) => Some(lora.backward(x, saved, dy, compute)?),
            _ => None,
        };
        let Some(dx) = dx else { return Ok(()) };
        let weight = self.weight.operand();
        *dx = Some(match (&self.lora, upstream, dx.take()) {
            (Some(lora), Some(upstream), sum) => {
                lora.input_gradient(&upstream, weight, dy, sum, compute)?
            }
            (_, _, None) => compute.matmul(dy, weight, Transpose::Neither)?,
            (_, _, Some(mut sum)) => {
                compute.matmul_add(&mut sum, 1.0, dy, weight, Transpose::Neither)?;
                sum
            }
        });
        Ok(())
    }

    pub(crate) fn visit<'a>(&'a self, visit: &mut dyn FnMut(&'a Parameter)) {
        visit(&self.weight);
        self.bias.iter().for_each(&mut *visit);
        if let Some(lora) = &self.lora {
            lora.parameters().for_each(visit);
        }
    }

    pub(crate) fn visit_mut(
        &mut self,
        visit: &mut dyn FnMut(&mut Parameter) -> Result<()>,
    ) -> Result<()> {
        visit(&mut self.weight)?;
        if let Some(bias) = &mut self.bias {
            visit(bias)?;
        }
        match &mut self.lora {
            Some(lora) => lora.parameters_mut().try_for_each(visit),
            None => Ok(()),
        }
    }
}
