//! A Llama with LoRA as its papers write it, in candle's own operations and with candle's autograd:
//! what a device is compared with. It shares no kernel with what trains, and is used for nothing
//! else.

use std::collections::BTreeMap;

use crate::{LoraConfig, ModelSpec};
use attune_data::{Batch, IGNORED};
use candle_core::backprop::GradStore;
use candle_core::{D, DType, Device, Result, Tensor, Var};

/// Tensors by the names transformers and PEFT give them, on the CPU.
pub(super) struct Plain {
    pub(super) spec: ModelSpec,
    pub(super) lora: LoraConfig,
    pub(super) frozen: BTreeMap<String, Tensor>,
    pub(super) trained: BTreeMap<String, Var>,
}

impl Plain {
    /// Σ loss (nats) of the batch, and the gradient of it times `scale`.
    pub(super) fn loss_and_gradients(&self, batch: &Batch, scale: f64) -> Result<(f64, GradStore)> {
        let mut sum = Tensor::zeros((), DType::F32, &Device::Cpu)?;
        for segment in &batch.segments {
            let range = segment.start..segment.start + segment.len;
            let logits = self.logits(&batch.tokens[range.clone()])?;
            for (row, target) in batch.targets[range].iter().enumerate() {
                if *target != IGNORED {
                    let row = logits.get(row)?;
                    sum = ((sum + log_sum_exp(&row)?)? - row.get(*target as usize)?)?;
                }
            }
        }
        let gradients = (&sum * scale)?.backward()?;
        Ok((f64::from(sum.to_scalar::<f32>()?), gradients))
    }

    /// `(T, V)` of one sequence.
    fn logits(&self, tokens: &[u32]) -> Result<Tensor> {
        let embedding = self.tensor("model.embed_tokens.weight")?;
        let mut x = embedding.index_select(&Tensor::new(tokens, &Device::Cpu)?, 0)?;
        for layer in 0..self.spec.layers.len() {
            let name = format!("model.layers.{layer}");
            let normalised = self.norm(&x, &format!("{name}.input_layernorm"))?;
            x = (x + self.attention(&normalised, &format!("{name}.self_attn"))?)?;
            let normalised = self.norm(&x, &format!("{name}.post_attention_layernorm"))?;
            let gate = self.linear(&normalised, &format!("{name}.mlp.gate_proj"))?;
            let up = self.linear(&normalised, &format!("{name}.mlp.up_proj"))?;
            let inner = (gate.silu()? * up)?;
            x = (x + self.linear(&inner, &format!("{name}.mlp.down_proj"))?)?;
        }
        self.norm(&x, "model.norm")?.matmul(&embedding.t()?)
    }

    fn attention(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let (t, d) = (x.dim(0)?, self.spec.head_dim);
        let q = self.linear(x, &format!("{name}.q_proj"))?;
        let k = self.linear(x, &format!("{name}.k_proj"))?;
        let v = self.linear(x, &format!("{name}.v_proj"))?;
        let group = q.dim(1)? / k.dim(1)?;
        let heads = (0..q.dim(1)? / d)
            .map(|head| {
                let q = rotate(&q.narrow(1, head * d, d)?, self.theta())?;
                let k = rotate(&k.narrow(1, head / group * d, d)?, self.theta())?;
                let v = v.narrow(1, head / group * d, d)?;
                let mask: Vec<f32> = (0..t * t)
                    .map(|at| if at % t > at / t { -1e9 } else { 0.0 })
                    .collect();
                let mask = Tensor::from_vec(mask, (t, t), &Device::Cpu)?;
                let scores = ((q.matmul(&k.t()?)? / (d as f64).sqrt())? + mask)?;
                let shifted = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?;
                let weights = shifted.exp()?;
                let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
                weights.matmul(&v.contiguous()?)
            })
            .collect::<Result<Vec<_>>>()?;
        self.linear(&Tensor::cat(&heads, 1)?, &format!("{name}.o_proj"))
    }

    /// `x · Wᵀ + s · (x · Aᵀ) · Bᵀ`
    fn linear(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let base = x.matmul(&self.tensor(&format!("{name}.weight"))?.t()?)?;
        let (a, b) = (
            self.tensor(&format!("{name}.lora_A.weight"))?,
            self.tensor(&format!("{name}.lora_B.weight"))?,
        );
        let scale = self.lora.lora_alpha / self.lora.r as f64;
        base + (x.matmul(&a.t()?)?.matmul(&b.t()?)? * scale)?
    }

    fn norm(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let square = (x.sqr()?.mean_keepdim(D::Minus1)? + self.spec.norm_eps)?;
        x.broadcast_div(&square.sqrt()?)?
            .broadcast_mul(&self.tensor(&format!("{name}.weight"))?)
    }

    fn theta(&self) -> f64 {
        self.spec.ropes.first().map_or(1e4, |rope| rope.theta)
    }

    fn tensor(&self, name: &str) -> Result<Tensor> {
        let trained = self.trained.get(name).map(Var::as_tensor);
        trained
            .or_else(|| self.frozen.get(name))
            .cloned()
            .ok_or_else(|| candle_core::Error::Msg(format!("the model has no {name}")))
    }
}

/// `x (T, d)` with each pair `(i, i + d/2)` of row `t` turned by `t · θ^(-2i/d)`.
fn rotate(x: &Tensor, theta: f64) -> Result<Tensor> {
    let (t, d) = x.dims2()?;
    let half = d / 2;
    let angles: Vec<f32> = (0..t * half)
        .map(|at| {
            let frequency = theta.powf(-2.0 * (at % half) as f64 / d as f64);
            ((at / half) as f64 * frequency) as f32
        })
        .collect();
    let angles = Tensor::from_vec(angles, (t, half), &Device::Cpu)?;
    let (cos, sin) = (angles.cos()?, angles.sin()?);
    let (first, second) = (x.narrow(1, 0, half)?, x.narrow(1, half, half)?);
    let turned = [
        ((&first * &cos)? - (&second * &sin)?)?,
        ((&second * &cos)? + (&first * &sin)?)?,
    ];
    Tensor::cat(&turned, 1)
}

fn log_sum_exp(row: &Tensor) -> Result<Tensor> {
    let largest = row.max(0)?.detach();
    row.broadcast_sub(&largest)?.exp()?.sum(0)?.log()? + largest
}
