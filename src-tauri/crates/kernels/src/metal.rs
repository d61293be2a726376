//! Our own kernels on Apple's GPUs: the shaders in `metal/shaders`, which are embedded and compiled
//! by the system when they are first wanted. What they expect is written in the README there.
//!
//! Activations are f32. A tensor that is not contiguous, or not of the type that a shader wants, is
//! left to the composition.

mod attention;
mod launch;
mod products;
mod rows;

use crate::attention::{Attention, Span};
use crate::device::{Gate, OwnKernels};
use crate::gelu::Gelu;
use crate::quantised::QuantisedMatrix;
use crate::rope::Rotation;
use crate::{AdamW, Transpose};
use candle_core::{DType, Result, Tensor};

/// The kernels of every Mac's GPU.
pub(crate) struct MetalKernels;

/// Whether a shader can read all of them as they lie.
fn fit(tensors: &[&Tensor]) -> bool {
    tensors
        .iter()
        .all(|x| x.dtype() == DType::F32 && x.is_contiguous() && x.elem_count() > 0)
}

/// How many threads share a row: the order of its sum depends on nothing but its width.
fn threads_of(width: usize) -> usize {
    width.next_multiple_of(32).min(256)
}

impl OwnKernels for MetalKernels {
    fn rms_norm(
        &self,
        x: &Tensor,
        weight: &Tensor,
        offset: f32,
        epsilon: f64,
    ) -> Result<Option<Tensor>> {
        if !fit(&[x, weight]) {
            return Ok(None);
        }
        rows::rms_norm(x, weight, offset, epsilon as f32).map(Some)
    }

    fn rms_norm_backward(
        &self,
        x: &Tensor,
        weight: &Tensor,
        offset: f32,
        epsilon: f64,
        dy: &Tensor,
        weight_gradient: Option<&Tensor>,
    ) -> Result<Option<Tensor>> {
        if !fit(&[x, weight, dy]) || !weight_gradient.is_none_or(|gradient| fit(&[gradient])) {
            return Ok(None);
        }
        rows::rms_norm_backward(x, weight, offset, epsilon as f32, dy, weight_gradient).map(Some)
    }

    fn rope(
        &self,
        x: &Tensor,
        head_dim: usize,
        cos: &Tensor,
        sin: &Tensor,
        positions: &[u32],
        rotation: Rotation,
    ) -> Result<Option<Tensor>> {
        if !fit(&[x, cos, sin]) {
            return Ok(None);
        }
        rows::rope(x, head_dim, cos, sin, positions, rotation).map(Some)
    }

    fn gate(&self, gate: &Tensor, up: &Tensor, kind: Gate) -> Result<Option<Tensor>> {
        if !fit(&[gate, up]) || gate.dims() != up.dims() {
            return Ok(None);
        }
        let function = match kind {
            Gate::Silu => "swiglu_f32",
            Gate::Gelu(Gelu::Exact) => "geglu_exact_f32",
            Gate::Gelu(Gelu::Tanh) => "geglu_tanh_f32",
        };
        rows::elementwise(function, &[gate, up]).map(Some)
    }

    fn gate_backward(
        &self,
        gate: &Tensor,
        up: &Tensor,
        dy: &Tensor,
        kind: Gate,
    ) -> Result<Option<(Tensor, Tensor)>> {
        if !fit(&[gate, up, dy]) || gate.dims() != up.dims() || gate.dims() != dy.dims() {
            return Ok(None);
        }
        let function = match kind {
            Gate::Silu => "swiglu_backward_f32",
            Gate::Gelu(Gelu::Exact) => "geglu_exact_backward_f32",
            Gate::Gelu(Gelu::Tanh) => "geglu_tanh_backward_f32",
        };
        rows::gate_backward(function, gate, up, dy).map(Some)
    }

    fn gelu(&self, x: &Tensor, kind: Gelu) -> Result<Option<Tensor>> {
        if !fit(&[x]) {
            return Ok(None);
        }
        let function = match kind {
            Gelu::Exact => "gelu_exact_f32",
            Gelu::Tanh => "gelu_tanh_f32",
        };
        rows::elementwise(function, &[x]).map(Some)
    }

    fn gelu_backward(&self, x: &Tensor, dy: &Tensor, kind: Gelu) -> Result<Option<Tensor>> {
        if !fit(&[x, dy]) || x.dims() != dy.dims() {
            return Ok(None);
        }
        let function = match kind {
            Gelu::Exact => "gelu_exact_backward_f32",
            Gelu::Tanh => "gelu_tanh_backward_f32",
        };
        rows::elementwise(function, &[x, dy]).map(Some)
    }

    /// In f32 even where the products of the layer are asked for in bf16.
    fn attention(
        &self,
        attention: &Attention,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        spans: &[Span],
    ) -> Result<Option<(Tensor, Tensor)>> {
        if !fit(&[q, k, v]) {
            return Ok(None);
        }
        attention::forward(attention, q, k, v, spans)
    }

    fn attention_cached(
        &self,
        attention: &Attention,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
    ) -> Result<Option<(Tensor, Tensor)>> {
        if !fit(&[q, k, v]) {
            return Ok(None);
        }
        attention::cached(attention, q, k, v)
    }

    fn attention_backward(
        &self,
        attention: &Attention,
        (q, k, v): (&Tensor, &Tensor, &Tensor),
        spans: &[Span],
        o: &Tensor,
        log_sum_exp: &Tensor,
        d_o: &Tensor,
    ) -> Result<Option<(Tensor, Tensor, Tensor)>> {
        if !fit(&[q, k, v, o, log_sum_exp, d_o]) {
            return Ok(None);
        }
        attention::backward(attention, (q, k, v), spans, o, log_sum_exp, d_o)
    }

    fn cross_entropy(
        &self,
        products: &Tensor,
        targets: &Tensor,
        scales: &Tensor,
        scale: f32,
        softcap: Option<f32>,
    ) -> Result<Option<Tensor>> {
        if !fit(&[products, scales]) {
            return Ok(None);
        }
        rows::cross_entropy(products, targets, scales, scale, softcap).map(Some)
    }

    fn token_losses(
        &self,
        products: &Tensor,
        targets: &Tensor,
        scale: f32,
        softcap: Option<f32>,
    ) -> Result<Option<Tensor>> {
        if !fit(&[products]) {
            return Ok(None);
        }
        rows::token_losses(products, targets, scale, softcap).map(Some)
    }

    fn quantised_product(
        &self,
        a: &Tensor,
        matrix: &QuantisedMatrix,
        transpose: Transpose,
    ) -> Result<Option<Tensor>> {
        if !fit(&[a]) {
            return Ok(None);
        }
        products::quantised(a, matrix, transpose)
    }

    fn adamw(
        &self,
        parameter: &Tensor,
        moments: &Tensor,
        gradient: &Tensor,
        options: &AdamW,
    ) -> Result<Option<()>> {
        if !fit(&[parameter, moments, gradient]) {
            return Ok(None);
        }
        rows::adamw(parameter, moments, gradient, options).map(Some)
    }
}
