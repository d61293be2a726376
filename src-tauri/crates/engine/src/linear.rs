//! A linear layer: a base matrix and, optionally, a low-rank adapter beside it (Hu et al., 2021).

use crate::Result;
use crate::lora::LoraConfig;
use crate::parameter::Parameter;
use attune_kernels::{
    Term, Transpose, add_bias, add_column_sums, matmul, matmul_add, matmul_sum, matmul_sum_add,
};
use candle_core::{DType, Device, Tensor};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// `y = x · Wᵀ + b + s · (x · Aᵀ) · Bᵀ`
pub(crate) struct Linear {
    /// `W (out, in)`
    pub(crate) weight: Parameter,
    /// `b (out)`
    pub(crate) bias: Option<Parameter>,
    /// `A`, `B` and `s`
    pub(crate) lora: Option<Lora>,
}

/// A low-rank adapter.
pub(crate) struct Lora {
    /// `A (r, in)`
    pub(crate) a: Parameter,
    /// `B (out, r)`
    pub(crate) b: Parameter,
    /// `s`
    pub(crate) scale: f32,
}

/// What the backward wants besides the input: `x · Aᵀ (N, r)`.
pub(crate) struct Saved(Option<Tensor>);

impl Linear {
    pub(crate) fn new(weight: Parameter, bias: Option<Parameter>) -> Self {
        Self {
            weight,
            bias,
            lora: None,
        }
    }

    /// The layer's name, without `.weight`.
    pub(crate) fn name(&self) -> &str {
        self.weight.name.trim_end_matches(".weight")
    }

    /// Adds a fresh adapter: `A` uniform as `torch.nn.Linear` starts, `B` zero, so that the layer
    /// computes what it did.
    pub(crate) fn attach_lora(&mut self, config: &LoraConfig, rng: &mut ChaCha8Rng) -> Result<()> {
        let (out, input) = self.weight.value.dims2()?;
        let bound = 1.0 / (input as f32).sqrt();
        let a: Vec<f32> = (0..config.r * input)
            .map(|_| rng.random_range(-bound..bound))
            .collect();
        let device = self.weight.value.device();
        let a = Tensor::from_vec(a, (config.r, input), &Device::Cpu)?.to_device(device)?;
        let b = Tensor::zeros((out, config.r), DType::F32, device)?;
        self.set_lora(a, b, config.scale())
    }

    /// Adds an adapter with the given matrices.
    pub(crate) fn set_lora(&mut self, a: Tensor, b: Tensor, scale: f64) -> Result<()> {
        let name = self.name();
        self.lora = Some(Lora {
            a: Parameter::trainable(format!("{name}.lora_A.weight"), a)?,
            b: Parameter::trainable(format!("{name}.lora_B.weight"), b)?,
            scale: scale as f32,
        });
        Ok(())
    }

    /// `W + s · B · A`, in f32.
    pub(crate) fn merged(&self) -> Result<Tensor> {
        let mut weight = self.weight.value.to_dtype(DType::F32)?;
        if let Some(lora) = &self.lora {
            weight = weight.copy()?;
            matmul_add(
                &mut weight,
                lora.scale,
                &lora.b.value,
                &lora.a.value,
                Transpose::Neither,
            )?;
        }
        Ok(weight)
    }

    /// `x (N, in)` to `y (N, out)`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<(Tensor, Saved)> {
        let (mut y, u) = match &self.lora {
            None => (matmul(x, &self.weight.value, Transpose::Right)?, None),
            Some(lora) => {
                let u = matmul(x, &lora.a.value, Transpose::Right)?;
                let base = term(1.0, x, &self.weight.value, Transpose::Right);
                let adapter = term(lora.scale, &u, &lora.b.value, Transpose::Right);
                (matmul_sum(base, adapter)?, Some(u))
            }
        };
        if let Some(bias) = &self.bias {
            add_bias(&mut y, &bias.value)?;
        }
        Ok((y, Saved(u)))
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
        if let Some(gradient) = self.weight.gradient_mut() {
            matmul_add(gradient, 1.0, dy, x, Transpose::Left)?;
        }
        if let Some(gradient) = self.bias.as_mut().and_then(Parameter::gradient_mut) {
            add_column_sums(gradient, dy)?;
        }
        let mut du = None;
        if let (Some(lora), Saved(Some(u))) = (&mut self.lora, saved) {
            if let Some(gradient) = lora.b.gradient_mut() {
                matmul_add(gradient, lora.scale, dy, &u, Transpose::Left)?;
            }
            // Without the factor s, which the two products below put in.
            let gradient_of_u = matmul(dy, &lora.b.value, Transpose::Neither)?;
            if let Some(gradient) = lora.a.gradient_mut() {
                matmul_add(gradient, lora.scale, &gradient_of_u, x, Transpose::Left)?;
            }
            du = Some(gradient_of_u);
        }
        let Some(dx) = dx else { return Ok(()) };
        let base = term(1.0, dy, &self.weight.value, Transpose::Neither);
        let adapter = match (&self.lora, &du) {
            (Some(lora), Some(du)) => Some(term(lora.scale, du, &lora.a.value, Transpose::Neither)),
            _ => None,
        };
        let sum = match (dx.take(), adapter) {
            (None, None) => matmul(dy, &self.weight.value, Transpose::Neither)?,
            (None, Some(adapter)) => matmul_sum(base, adapter)?,
            (Some(mut sum), None) => {
                matmul_add(&mut sum, 1.0, dy, &self.weight.value, Transpose::Neither)?;
                sum
            }
            (Some(mut sum), Some(adapter)) => {
                matmul_sum_add(&mut sum, base, adapter)?;
                sum
            }
        };
        *dx = Some(sum);
        Ok(())
    }

    pub(crate) fn visit<'a>(&'a self, visit: &mut dyn FnMut(&'a Parameter)) {
        visit(&self.weight);
        self.bias.iter().for_each(&mut *visit);
        if let Some(lora) = &self.lora {
            visit(&lora.a);
            visit(&lora.b);
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
        if let Some(lora) = &mut self.lora {
            visit(&mut lora.a)?;
            visit(&mut lora.b)?;
        }
        Ok(())
    }
}

fn term<'a>(scale: f32, a: &'a Tensor, b: &'a Tensor, transpose: Transpose) -> Term<'a> {
    Term {
        scale,
        a,
        b,
        transpose,
    }
}
