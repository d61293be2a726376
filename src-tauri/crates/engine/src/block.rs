//! One transformer block: what attention and MLP read, and how the residual stream takes them up.

use crate::Result;
use crate::attention::{self, SelfAttention};
use crate::cache::LayerCache;
use crate::feed_forward::{self, FeedForward};
use crate::linear::{Linear, Products};
use crate::norm::Norm;
use crate::parameter::Parameter;
use crate::rotary::{Angles, Tables};
use crate::spec::{ModelSpec, Residual};
use attune_kernels::{ComputeType, Span, add, add_scaled, scaled};
use candle_core::Tensor;

/// `m = x + attention(norm(x))`, then `m + mlp(norm(m))`; each norm may stand after the part, on
/// both sides, or be missing, and the MLP may read `x` instead of `m`.
pub(crate) struct Block {
    norms: Norms,
    attention: SelfAttention,
    mlp: FeedForward,
    residual: Residual,
    /// Factor on what the parts add.
    scale: f32,
}

struct Norms {
    before_attention: Option<Norm>,
    after_attention: Option<Norm>,
    before_mlp: Option<Norm>,
    after_mlp: Option<Norm>,
}

/// Where the rows of a batch stand.
pub(crate) struct Context<'a> {
    /// The samples.
    pub(crate) spans: &'a [Span],
    /// Each row's position in its sample.
    pub(crate) positions: &'a [u32],
    /// One for each of the spec's rotary embeddings.
    pub(crate) angles: &'a [Angles],
    pub(crate) products: Products,
}

impl Context<'_> {
    /// Tables of a rotary embedding and each row's place in them.
    pub(crate) fn angles(&self, rope: usize) -> (&Tables, &[u32]) {
        let angles = &self.angles[rope];
        let rows = angles.rows.as_deref().unwrap_or(self.positions);
        (&angles.tables, rows)
    }
}

/// What the backward wants. Norms are cheaper to compute again than to keep.
pub(crate) struct Saved {
    x: Tensor,
    /// The residual stream between attention and MLP; none where the MLP reads `x`.
    middle: Option<Tensor>,
    /// What the norms after attention and MLP read.
    attended: Option<Tensor>,
    transformed: Option<Tensor>,
    attention: attention::Saved,
    mlp: feed_forward::Saved,
}

impl Block {
    /// Block `layer`, its parameters taken from `take` by their names inside the block.
    pub(crate) fn build(
        spec: &ModelSpec,
        layer: usize,
        take: &mut dyn FnMut(&str) -> Result<Parameter>,
    ) -> Result<Self> {
        let [before_attention, after_attention, before_mlp, after_mlp] = spec.norm_names();
        let mut norm =
            |name: Option<&str>| name.map(|name| Norm::build(spec, name, take)).transpose();
        Ok(Self {
            norms: Norms {
                before_attention: norm(before_attention)?,
                after_attention: norm(after_attention)?,
                before_mlp: norm(before_mlp)?,
                after_mlp: norm(after_mlp)?,
            },
            attention: SelfAttention::build(spec, layer, take)?,
            mlp: FeedForward::build(spec, layer, take)?,
            residual: spec.residual,
            scale: spec.residual_scale as f32,
        })
    }

    /// `x (N, H)` to `(N, H)`. With `caches`, one per span, queries also see what those hold, and
    /// the new keys and values are appended.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        context: &Context<'_>,
        caches: Option<&mut [&mut LayerCache]>,
    ) -> Result<(Tensor, Saved)> {
        let h = through(self.norms.before_attention.as_ref(), x)?;
        let (attended, attention) = self.attention.forward(&h, context, caches)?;
        let (attended, kept_attended) = after(self.norms.after_attention.as_ref(), attended)?;
        let middle = self.sum(x, &attended)?;
        drop(attended);
        let (mlp_input, kept_middle) = match self.residual {
            Residual::Sequential => {
                drop(h);
                let input = through(self.norms.before_mlp.as_ref(), &middle)?;
                (input, Some(middle.clone()))
            }
            Residual::Parallel => (through(self.norms.before_mlp.as_ref(), x)?, None),
            Residual::ParallelOneNorm => (h, None),
        };
        let (transformed, mlp) = self.mlp.forward(&mlp_input, context.products)?;
        let (transformed, kept_transformed) = after(self.norms.after_mlp.as_ref(), transformed)?;
        let y = self.sum(&middle, &transformed)?;
        let saved = Saved {
            x: x.clone(),
            middle: kept_middle,
            attended: kept_attended,
            transformed: kept_transformed,
            attention,
            mlp,
        };
        Ok((y, saved))
    }

    /// Adds the block's gradients and returns that of `x`, unless nobody below wants it.
    pub(crate) fn backward(
        &mut self,
        saved: Saved,
        dy: &Tensor,
        context: &Context<'_>,
        wants_dx: bool,
    ) -> Result<Option<Tensor>> {
        let Saved {
            x,
            middle,
            attended,
            transformed,
            attention,
            mlp,
        } = saved;
        let factor = self.scale;
        let norms = &mut self.norms;

        // Through the MLP to its input.
        let dtransformed = branch(norms.after_mlp.as_mut(), transformed, dy, factor)?;
        let mut dinput = None;
        let read = middle.as_ref().unwrap_or(&x);
        let input_norm = match self.residual {
            Residual::ParallelOneNorm => norms.before_attention.as_ref(),
            Residual::Sequential | Residual::Parallel => norms.before_mlp.as_ref(),
        };
        let input = || through(input_norm, read);
        self.mlp.backward(
            mlp,
            dtransformed.as_ref().unwrap_or(dy),
            &input,
            &mut dinput,
        )?;
        drop(dtransformed);
        let dinput = wanted(dinput)?;

        // The gradient of what attention was added to, and of what else reads `x`.
        let (dmiddle, mut dh) = if self.residual == Residual::ParallelOneNorm {
            (dy.clone(), Some(dinput))
        } else {
            let through_norm = back(norms.before_mlp.as_mut(), read, dinput)?;
            (add(dy, &through_norm)?, None)
        };
        drop(middle);

        // Through attention to the block's input. Beside an MLP that reads `x` too, attention's
        // own gradient is that of the result alone.
        let dadded = match self.residual {
            Residual::Sequential => &dmiddle,
            Residual::Parallel | Residual::ParallelOneNorm => dy,
        };
        let dattended = branch(norms.after_attention.as_mut(), attended, dadded, factor)?;
        let wants_dh = wants_dx
            || norms
                .before_attention
                .as_ref()
                .is_some_and(Norm::is_trainable);
        let input = || through(norms.before_attention.as_ref(), &x);
        self.attention.backward(
            attention,
            dattended.as_ref().unwrap_or(dadded),
            context,
            &input,
            wants_dh.then_some(&mut dh),
        )?;
        if !wants_dh {
            return Ok(None);
        }
        let through_norm = back(norms.before_attention.as_mut(), &x, wanted(dh)?)?;
        Ok(Some(add(&dmiddle, &through_norm)?))
    }

    /// The residual stream with what a part adds.
    fn sum(&self, stream: &Tensor, part: &Tensor) -> Result<Tensor> {
        Ok(if self.scale == 1.0 {
            add(stream, part)?
        } else {
            add_scaled(stream, part, self.scale)?
        })
    }

    /// The linear layers that an adapter can stand beside, in the order of the computation.
    pub(crate) fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.attention.linears().chain(self.mlp.linears(true))
    }

    /// Sets what the products are computed in.
    pub(crate) fn set_compute_type(&mut self, compute: ComputeType) {
        self.attention.set_compute_type(compute);
        for adaptable in [true, false] {
            self.mlp
                .linears_mut(adaptable)
                .for_each(|linear| linear.compute = compute);
        }
    }

    /// The linear layers that an adapter can stand beside, in the order of the computation.
    pub(crate) fn linears_mut(&mut self) -> impl Iterator<Item = &mut Linear> {
        self.attention
            .linears_mut()
            .chain(self.mlp.linears_mut(true))
    }

    pub(crate) fn visit<'a>(&'a self, visit: &mut dyn FnMut(&'a Parameter)) {
        let norms = &self.norms;
        if let Some(norm) = &norms.before_attention {
            norm.visit(visit);
        }
        for linear in self.linears().chain(self.mlp.linears(false)) {
            linear.visit(visit);
        }
        for norm in self.attention.norms() {
            norm.visit(visit);
        }
        let later = [&norms.after_attention, &norms.before_mlp, &norms.after_mlp];
        for norm in later.into_iter().flatten() {
            norm.visit(visit);
        }
    }

    pub(crate) fn visit_mut(
        &mut self,
        visit: &mut dyn FnMut(&mut Parameter) -> Result<()>,
    ) -> Result<()> {
        if let Some(norm) = &mut self.norms.before_attention {
            norm.visit_mut(visit)?;
        }
        for linear in self.linears_mut() {
            linear.visit_mut(visit)?;
        }
        for linear in self.mlp.linears_mut(false) {
            linear.visit_mut(visit)?;
        }
        for norm in self.attention.norms_mut() {
            norm.visit_mut(visit)?;
        }
        let norms = &mut self.norms;
        let later = [
            &mut norms.after_attention,
            &mut norms.before_mlp,
            &mut norms.after_mlp,
        ];
        for norm in later.into_iter().flatten() {
            norm.visit_mut(visit)?;
        }
        Ok(())
    }
}

/// `x` through a norm, or as it is.
fn through(norm: Option<&Norm>, x: &Tensor) -> Result<Tensor> {
    norm.map_or_else(|| Ok(x.clone()), |norm| norm.forward(x))
}

/// The gradient of what a norm read, or of what passed by.
fn back(norm: Option<&mut Norm>, x: &Tensor, dy: Tensor) -> Result<Tensor> {
    match norm {
        Some(norm) => norm.backward(x, &dy),
        None => Ok(dy),
    }
}

/// What a part adds to the stream, and what the norm after it read, if there is one.
fn after(norm: Option<&Norm>, y: Tensor) -> Result<(Tensor, Option<Tensor>)> {
    Ok(match norm {
        Some(norm) => (norm.forward(&y)?, Some(y)),
        None => (y, None),
    })
}

/// The gradient of what a part returned, from that of the stream it was added to; none where it is
/// the same.
fn branch(
    norm: Option<&mut Norm>,
    read: Option<Tensor>,
    dy: &Tensor,
    factor: f32,
) -> Result<Option<Tensor>> {
    let dadded = if factor == 1.0 {
        None
    } else {
        Some(scaled(dy, factor)?)
    };
    match (norm, read) {
        (Some(norm), Some(read)) => Ok(Some(norm.backward(&read, dadded.as_ref().unwrap_or(dy))?)),
        _ => Ok(dadded),
    }
}

/// A gradient that the layers above were asked for.
pub(crate) fn wanted(gradient: Option<Tensor>) -> Result<Tensor> {
    gradient
        .ok_or_else(|| candle_core::Error::Msg("a backward left its gradient out".into()).into())
}
