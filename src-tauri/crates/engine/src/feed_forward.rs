//! What follows attention in a block: an MLP, or a mixture of them.

use crate::Result;
use crate::experts::{self, Experts};
use crate::linear::{Linear, Products};
use crate::mlp::{self, Mlp};
use crate::parameter::Parameter;
use crate::spec::ModelSpec;
use candle_core::Tensor;

/// An MLP that every token passes, or experts of which each token passes a few.
pub(crate) struct FeedForward {
    part: Part,
    /// Whether an adapter can stand beside it.
    adaptable: bool,
}

enum Part {
    Dense(Mlp),
    Sparse(Experts),
}

/// What the backward wants.
pub(crate) enum Saved {
    Dense(mlp::Saved),
    Sparse(Box<experts::Saved>),
}

impl FeedForward {
    /// That of block `layer`, its parameters taken from `take`.
    pub(crate) fn build(
        spec: &ModelSpec,
        layer: usize,
        take: &mut dyn FnMut(&str) -> Result<Parameter>,
    ) -> Result<Self> {
        let part = match spec.experts(layer) {
            None => Part::Dense(Mlp::build(spec, take)?),
            Some(experts) => Part::Sparse(Experts::build(spec, experts, take)?),
        };
        let adaptable = spec.experts.is_none();
        Ok(Self { part, adaptable })
    }

    /// `x (N, H)` to `(N, H)`.
    pub(crate) fn forward(&self, x: &Tensor, products: Products) -> Result<(Tensor, Saved)> {
        Ok(match &self.part {
            Part::Dense(mlp) => {
                let (y, saved) = mlp.forward(x, None, products)?;
                (y, Saved::Dense(saved))
            }
            Part::Sparse(experts) => {
                let (y, saved) = experts.forward(x, products)?;
                (y, Saved::Sparse(Box::new(saved)))
            }
        })
    }

    /// Adds this part's gradients. `input` computes `x` again when it is wanted. The gradient of
    /// `x` is put into `dx`, or added to what is there.
    pub(crate) fn backward(
        &mut self,
        saved: Saved,
        dy: &Tensor,
        input: &dyn Fn() -> Result<Tensor>,
        dx: &mut Option<Tensor>,
    ) -> Result<()> {
        match (&mut self.part, saved) {
            (Part::Dense(mlp), Saved::Dense(saved)) => {
                mlp.backward(saved, dy, None, input, dx).map(drop)
            }
            (Part::Sparse(experts), Saved::Sparse(saved)) => {
                experts.backward(*saved, dy, input, dx)
            }
            _ => unreachable!("a part saves what it wants back"),
        }
    }

    /// The linear layers, where an adapter can stand beside them or, otherwise, where none can.
    pub(crate) fn linears(&self, adaptable: bool) -> impl Iterator<Item = &Linear> {
        let (mlp, experts) = match &self.part {
            _ if self.adaptable != adaptable => (None, None),
            Part::Dense(mlp) => (Some(mlp), None),
            Part::Sparse(experts) => (None, Some(experts)),
        };
        let experts = experts.into_iter().flat_map(Experts::linears);
        mlp.into_iter().flat_map(Mlp::linears).chain(experts)
    }

    /// The linear layers, where an adapter can stand beside them or, otherwise, where none can.
    pub(crate) fn linears_mut(&mut self, adaptable: bool) -> impl Iterator<Item = &mut Linear> {
        let (mlp, experts) = match &mut self.part {
            _ if self.adaptable != adaptable => (None, None),
            Part::Dense(mlp) => (Some(mlp), None),
            Part::Sparse(experts) => (None, Some(experts)),
        };
        let experts = experts.into_iter().flat_map(Experts::linears_mut);
        mlp.into_iter().flat_map(Mlp::linears_mut).chain(experts)
    }
}
