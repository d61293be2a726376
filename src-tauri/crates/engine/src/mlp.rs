//! A block's MLP: gated by SiLU or GELU, or plain.

use crate::Result;
use crate::block::wanted;
use crate::linear::{self, Linear, Products};
use crate::parameter::Parameter;
use crate::spec::{Activation, MlpKind, ModelSpec};
use attune_kernels::{
    Gelu, geglu, geglu_backward, gelu, gelu_backward, row_products, scale_rows, swiglu,
    swiglu_backward,
};
use candle_core::Tensor;

/// `down(act(gate(x)) · up(x))`, or `down(act(up(x)))`
pub(crate) struct Mlp {
    /// gate and up, both in one, or up alone.
    ups: Vec<Linear>,
    kind: MlpKind,
    down: Linear,
    activation: Activation,
}

/// What the backward wants. The activation is cheaper to compute again than to keep.
pub(crate) struct Saved {
    middle: Middle,
    ups: Vec<linear::Saved>,
    down: linear::Saved,
}

/// What the activation reads.
enum Middle {
    Gated { gate: Tensor, up: Tensor },
    Plain(Tensor),
}

impl Mlp {
    pub(crate) fn build(
        spec: &ModelSpec,
        take: &mut dyn FnMut(&str) -> Result<Parameter>,
    ) -> Result<Self> {
        let ups = spec.up_linears();
        Ok(Self {
            ups: ups
                .iter()
                .map(|shape| Linear::build(shape, take))
                .collect::<Result<_>>()?,
            kind: spec.mlp,
            down: Linear::build(&spec.down_linear(), take)?,
            activation: spec.activation,
        })
    }

    /// The expert of these layers.
    pub(crate) fn expert(gate: Linear, up: Linear, down: Linear, activation: Activation) -> Self {
        Self {
            ups: vec![gate, up],
            kind: MlpKind::Gated,
            down,
            activation,
        }
    }

    /// `x (N, H)` to `(N, H)`. With `weights (N)`, each row of the result is multiplied by its
    /// own: what `down` reads is, which without a bias is the same, and narrower.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        weights: Option<&[f32]>,
        products: Products,
    ) -> Result<(Tensor, Saved)> {
        let mut projected = Vec::with_capacity(2);
        let mut saved_ups = Vec::with_capacity(2);
        for linear in &self.ups {
            let (y, saved) = linear.forward(x, products)?;
            projected.push(y);
            saved_ups.push(saved);
        }
        let middle = self.split(projected)?;
        let activated = self.activate(&middle)?;
        let (y, saved_down) = match weights {
            None => self.down.forward(&activated, products)?,
            Some(weights) => self
                .down
                .forward(&scale_rows(&activated, weights)?, products)?,
        };
        let saved = Saved {
            middle,
            ups: saved_ups,
            down: saved_down,
        };
        Ok((y, saved))
    }

    /// Adds this part's gradients. `input` computes `x` again when it is wanted. The gradient of
    /// `x` is put into `dx`, or added to what is there; that of the forward's `weights` is
    /// returned.
    pub(crate) fn backward(
        &mut self,
        saved: Saved,
        dy: &Tensor,
        weights: Option<&[f32]>,
        input: &dyn Fn() -> Result<Tensor>,
        dx: &mut Option<Tensor>,
    ) -> Result<Vec<f32>> {
        let Saved { middle, ups, down } = saved;
        let mut dread = None;
        let activated = self.activate(&middle)?;
        let (dactivated, dweights) = match weights {
            None => {
                self.down.backward(&activated, down, dy, Some(&mut dread))?;
                (wanted(dread)?, Vec::new())
            }
            Some(weights) => {
                let read = scale_rows(&activated, weights)?;
                self.down.backward(&read, down, dy, Some(&mut dread))?;
                let dread = wanted(dread)?;
                let dweights = row_products(&activated, &dread)?;
                (scale_rows(&dread, weights)?, dweights)
            }
        };
        drop(activated);
        let gradients = self.deactivate(&middle, &dactivated)?;
        drop(middle);
        let x = input()?;
        for ((linear, saved), dy) in self.ups.iter_mut().zip(ups).zip(gradients) {
            linear.backward(&x, saved, &dy, Some(&mut *dx))?;
        }
        Ok(dweights)
    }

    /// What the activation reads, of what the projections returned.
    fn split(&self, projected: Vec<Tensor>) -> Result<Middle> {
        let mut projected = projected.into_iter();
        Ok(match (self.kind, projected.next(), projected.next()) {
            (MlpKind::Gated, Some(gate), Some(up)) => Middle::Gated { gate, up },
            (MlpKind::GatedFused, Some(both), None) => {
                let width = both.dim(1)? / 2;
                Middle::Gated {
                    gate: both.narrow(1, 0, width)?.contiguous()?,
                    up: both.narrow(1, width, width)?.contiguous()?,
                }
            }
            (MlpKind::Plain, Some(up), None) => Middle::Plain(up),
            _ => unreachable!("`build` made the matrices of this kind"),
        })
    }

    fn activate(&self, middle: &Middle) -> Result<Tensor> {
        Ok(match (middle, self.gelu()) {
            (Middle::Gated { gate, up }, None) => swiglu(gate, up)?,
            (Middle::Gated { gate, up }, Some(kind)) => geglu(gate, up, kind)?,
            (Middle::Plain(up), kind) => gelu(up, kind.unwrap_or(Gelu::Exact))?,
        })
    }

    /// The gradients of what the projections returned.
    fn deactivate(&self, middle: &Middle, dy: &Tensor) -> Result<Vec<Tensor>> {
        let (dgate, dup) = match (middle, self.gelu()) {
            (Middle::Gated { gate, up }, None) => swiglu_backward(gate, up, dy)?,
            (Middle::Gated { gate, up }, Some(kind)) => geglu_backward(gate, up, dy, kind)?,
            (Middle::Plain(up), kind) => {
                return Ok(vec![gelu_backward(up, dy, kind.unwrap_or(Gelu::Exact))?]);
            }
        };
        Ok(match self.kind {
            MlpKind::GatedFused => vec![Tensor::cat(&[dgate, dup], 1)?],
            _ => vec![dgate, dup],
        })
    }

    /// The kind of GELU; none for SiLU, which only gates.
    fn gelu(&self) -> Option<Gelu> {
        match self.activation {
            Activation::Silu => None,
            Activation::Gelu => Some(Gelu::Exact),
            Activation::GeluTanh => Some(Gelu::Tanh),
        }
    }

    pub(crate) fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.ups.iter().chain([&self.down])
    }

    pub(crate) fn linears_mut(&mut self) -> impl Iterator<Item = &mut Linear> {
        self.ups.iter_mut().chain([&mut self.down])
    }
}
