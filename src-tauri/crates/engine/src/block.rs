//! One transformer block: attention and gated MLP, each behind an RMSNorm, each added to the
//! residual stream.

use crate::cache::LayerCache;
use crate::linear::{self, Linear};
use crate::parameter::Parameter;
use crate::rotary::Rotary;
use crate::{ModelSpec, Result};
use attune_kernels::{
    Attention, Rotation, Span, add, rms_norm, rms_norm_backward, rope, swiglu, swiglu_backward,
};
use candle_core::Tensor;

/// `x + o(attention(norm(x)))`, then the same with the MLP.
pub(crate) struct Block {
    pub(crate) input_norm: Parameter,
    pub(crate) q: Linear,
    pub(crate) k: Linear,
    pub(crate) v: Linear,
    pub(crate) o: Linear,
    /// RMSNorm weights of each head of q and of k, `(head_dim)`.
    pub(crate) qk_norm: Option<(Parameter, Parameter)>,
    pub(crate) post_norm: Parameter,
    pub(crate) gate: Linear,
    pub(crate) up: Linear,
    pub(crate) down: Linear,
    pub(crate) attention: Attention,
    pub(crate) epsilon: f64,
}

/// Where the rows of a batch stand.
pub(crate) struct Context<'a> {
    /// The samples.
    pub(crate) spans: &'a [Span],
    /// Each row's position in its sample.
    pub(crate) positions: &'a [u32],
    pub(crate) rotary: &'a Rotary,
}

/// What the backward wants. Norms and the activation are cheaper to compute again than to keep.
pub(crate) struct Saved {
    x: Tensor,
    /// q and k before their norm, if they have one.
    raw: Option<(Tensor, Tensor)>,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mixed: Tensor,
    log_sum_exp: Tensor,
    middle: Tensor,
    gate: Tensor,
    up: Tensor,
    linears: Linears,
}

struct Linears {
    q: linear::Saved,
    k: linear::Saved,
    v: linear::Saved,
    o: linear::Saved,
    gate: linear::Saved,
    up: linear::Saved,
    down: linear::Saved,
}

impl Block {
    pub(crate) fn attention_of(spec: &ModelSpec, layer: usize) -> Attention {
        Attention {
            query_heads: spec.num_attention_heads,
            key_value_heads: spec.num_key_value_heads,
            head_dim: spec.head_dim,
            scale: 1.0 / (spec.head_dim as f32).sqrt(),
            window: spec.windows[layer],
        }
    }

    /// `x (N, H)` to `(N, H)`. With `caches`, one per span, queries also see what those hold, and
    /// the new keys and values are appended.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        context: &Context<'_>,
        caches: Option<&mut [&mut LayerCache]>,
    ) -> Result<(Tensor, Saved)> {
        let h = rms_norm(x, &self.input_norm.value, self.epsilon)?;
        let (q_raw, saved_q) = self.q.forward(&h)?;
        let (k_raw, saved_k) = self.k.forward(&h)?;
        let (v, saved_v) = self.v.forward(&h)?;
        let (q, k, raw) = match &self.qk_norm {
            None => (rotate(&q_raw, context)?, rotate(&k_raw, context)?, None),
            Some((q_norm, k_norm)) => (
                rotate(&self.norm_heads(&q_raw, q_norm)?, context)?,
                rotate(&self.norm_heads(&k_raw, k_norm)?, context)?,
                Some((q_raw, k_raw)),
            ),
        };
        let (mixed, log_sum_exp) = match caches {
            None => self.attention.forward(&q, &k, &v, context.spans)?,
            Some(caches) => {
                let keys_and_values = caches
                    .iter_mut()
                    .zip(context.spans)
                    .map(|(cache, span)| {
                        let part = |x: &Tensor| x.narrow(0, span.start, span.len)?.contiguous();
                        cache.append(&part(&k)?, &part(&v)?)
                    })
                    .collect::<Result<Vec<_>>>()?;
                self.attention.cached(&q, context.spans, &keys_and_values)?
            }
        };
        let (attended, saved_o) = self.o.forward(&mixed)?;
        let middle = add(x, &attended)?;

        let h = rms_norm(&middle, &self.post_norm.value, self.epsilon)?;
        let (gate, saved_gate) = self.gate.forward(&h)?;
        let (up, saved_up) = self.up.forward(&h)?;
        let (transformed, saved_down) = self.down.forward(&swiglu(&gate, &up)?)?;
        let y = add(&middle, &transformed)?;

        let linears = Linears {
            q: saved_q,
            k: saved_k,
            v: saved_v,
            o: saved_o,
            gate: saved_gate,
            up: saved_up,
            down: saved_down,
        };
        let x = x.clone();
        Ok((
            y,
            Saved {
                x,
                raw,
                q,
                k,
                v,
                mixed,
                log_sum_exp,
                middle,
                gate,
                up,
                linears,
            },
        ))
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
            raw,
            q,
            k,
            v,
            mixed,
            log_sum_exp,
            middle,
            gate,
            up,
            linears,
        } = saved;

        let mut dactivation = None;
        self.down.backward(
            &swiglu(&gate, &up)?,
            linears.down,
            dy,
            Some(&mut dactivation),
        )?;
        let (dgate, dup) = swiglu_backward(&gate, &up, &wanted(dactivation)?)?;
        drop((gate, up));
        let h = rms_norm(&middle, &self.post_norm.value, self.epsilon)?;
        let mut dh = None;
        self.gate
            .backward(&h, linears.gate, &dgate, Some(&mut dh))?;
        self.up.backward(&h, linears.up, &dup, Some(&mut dh))?;
        drop((dgate, dup, h));
        let through_norm = norm_backward(&middle, &mut self.post_norm, self.epsilon, &wanted(dh)?)?;
        let dmiddle = add(dy, &through_norm)?;
        drop(middle);

        let mut dmixed = None;
        self.o
            .backward(&mixed, linears.o, &dmiddle, Some(&mut dmixed))?;
        let dmixed = wanted(dmixed)?;
        let (dq, dk, dv) =
            self.attention
                .backward(&q, &k, &v, context.spans, &mixed, &log_sum_exp, &dmixed)?;
        drop((q, k, v, mixed, log_sum_exp, dmixed));
        let (mut dq, mut dk) = (rotate_back(&dq, context)?, rotate_back(&dk, context)?);
        if let (Some((q_raw, k_raw)), Some((q_norm, k_norm))) = (raw, &mut self.qk_norm) {
            dq = norm_heads_backward(&q_raw, q_norm, self.epsilon, &dq)?;
            dk = norm_heads_backward(&k_raw, k_norm, self.epsilon, &dk)?;
        }
        let h = rms_norm(&x, &self.input_norm.value, self.epsilon)?;
        let wants_dh = wants_dx || self.input_norm.is_trainable();
        let mut dh = None;
        self.q
            .backward(&h, linears.q, &dq, wants_dh.then_some(&mut dh))?;
        self.k
            .backward(&h, linears.k, &dk, wants_dh.then_some(&mut dh))?;
        self.v
            .backward(&h, linears.v, &dv, wants_dh.then_some(&mut dh))?;
        let Some(dh) = dh else { return Ok(None) };
        let through_norm = norm_backward(&x, &mut self.input_norm, self.epsilon, &dh)?;
        Ok(Some(add(&dmiddle, &through_norm)?))
    }

    /// RMSNorm of each head of `x (N, heads · head_dim)`.
    fn norm_heads(&self, x: &Tensor, weight: &Parameter) -> Result<Tensor> {
        let heads = x.reshape(((), self.attention.head_dim))?;
        Ok(rms_norm(&heads, &weight.value, self.epsilon)?.reshape(x.shape())?)
    }

    /// The seven linear layers.
    pub(crate) fn linears(&self) -> [&Linear; 7] {
        [
            &self.q, &self.k, &self.v, &self.o, &self.gate, &self.up, &self.down,
        ]
    }

    /// The seven linear layers.
    pub(crate) fn linears_mut(&mut self) -> [&mut Linear; 7] {
        [
            &mut self.q,
            &mut self.k,
            &mut self.v,
            &mut self.o,
            &mut self.gate,
            &mut self.up,
            &mut self.down,
        ]
    }

    pub(crate) fn visit<'a>(&'a self, visit: &mut dyn FnMut(&'a Parameter)) {
        visit(&self.input_norm);
        for linear in self.linears() {
            linear.visit(visit);
        }
        if let Some((q_norm, k_norm)) = &self.qk_norm {
            visit(q_norm);
            visit(k_norm);
        }
        visit(&self.post_norm);
    }

    pub(crate) fn visit_mut(
        &mut self,
        visit: &mut dyn FnMut(&mut Parameter) -> Result<()>,
    ) -> Result<()> {
        visit(&mut self.input_norm)?;
        for linear in self.linears_mut() {
            linear.visit_mut(visit)?;
        }
        if let Some((q_norm, k_norm)) = &mut self.qk_norm {
            visit(q_norm)?;
            visit(k_norm)?;
        }
        visit(&mut self.post_norm)
    }
}

fn rotate(x: &Tensor, context: &Context<'_>) -> Result<Tensor> {
    let Rotary { cos, sin } = context.rotary;
    Ok(rope(x, cos, sin, context.positions, Rotation::Forward)?)
}

fn rotate_back(dx: &Tensor, context: &Context<'_>) -> Result<Tensor> {
    let Rotary { cos, sin } = context.rotary;
    Ok(rope(dx, cos, sin, context.positions, Rotation::Backward)?)
}

/// A gradient that the layers above were asked for.
fn wanted(gradient: Option<Tensor>) -> Result<Tensor> {
    gradient
        .ok_or_else(|| candle_core::Error::Msg("a backward left its gradient out".into()).into())
}

pub(crate) fn norm_backward(
    x: &Tensor,
    weight: &mut Parameter,
    epsilon: f64,
    dy: &Tensor,
) -> Result<Tensor> {
    let value = weight.value.clone();
    Ok(rms_norm_backward(
        x,
        &value,
        epsilon,
        dy,
        weight.gradient_mut(),
    )?)
}

fn norm_heads_backward(
    x: &Tensor,
    weight: &mut Parameter,
    epsilon: f64,
    dy: &Tensor,
) -> Result<Tensor> {
    let head_dim = weight.value.elem_count();
    let dx = norm_backward(
        &x.reshape(((), head_dim))?,
        weight,
        epsilon,
        &dy.reshape(((), head_dim))?,
    )?;
    Ok(dx.reshape(x.shape())?)
}
