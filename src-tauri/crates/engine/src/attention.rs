//! A block's attention: projections, norms of q and k, rotation, heads, and the matrix that mixes
//! what they found.

use crate::Result;
use crate::block::{Context, wanted};
use crate::cache::LayerCache;
use crate::linear::{self, Linear};
use crate::norm::HeadNorm;
use crate::parameter::Parameter;
use crate::spec::{ModelSpec, QkvProjection};
use attune_kernels::{Attention, ComputeType, Rotation, rope};
use candle_core::{D, Tensor};

/// `o(attention(rope(norm(q)), rope(norm(k)), v))`
pub(crate) struct SelfAttention {
    /// q, k and v, or the one that holds them all.
    qkv: Vec<Linear>,
    projection: QkvProjection,
    o: Linear,
    /// Of q and of k.
    qk_norm: Option<[HeadNorm; 2]>,
    heads: Attention,
    /// Which of the context's rotary embeddings.
    rope: Option<usize>,
}

/// What the backward wants.
pub(crate) struct Saved {
    /// q and k before their norm, if they have one.
    raw: Option<(Tensor, Tensor)>,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mixed: Tensor,
    log_sum_exp: Tensor,
    qkv: Vec<linear::Saved>,
    o: linear::Saved,
}

impl SelfAttention {
    pub(crate) fn build(
        spec: &ModelSpec,
        layer: usize,
        take: &mut dyn FnMut(&str) -> Result<Parameter>,
    ) -> Result<Self> {
        let qkv = spec.qkv_linears();
        Ok(Self {
            qkv: qkv
                .iter()
                .map(|shape| Linear::build(shape, take))
                .collect::<Result<_>>()?,
            projection: spec.qkv,
            o: Linear::build(&spec.output_linear(), take)?,
            qk_norm: HeadNorm::build_pair(spec, take)?,
            heads: Attention {
                query_heads: spec.num_attention_heads,
                key_value_heads: spec.num_key_value_heads,
                head_dim: spec.head_dim,
                scale: spec.attention_scale as f32,
                window: spec.layers[layer].window,
                softcap: spec.attention_softcap.map(|cap| cap as f32),
                compute: ComputeType::F32,
            },
            rope: spec.layers[layer].rope,
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
        let mut projected = Vec::with_capacity(3);
        let mut saved_qkv = Vec::with_capacity(3);
        for linear in &self.qkv {
            let (y, saved) = linear.forward(x, context.products)?;
            projected.push(y);
            saved_qkv.push(saved);
        }
        let [q, k, v] = self.split(projected)?;
        let (q, k, raw) = match &self.qk_norm {
            None => (
                self.rotate(q, context, Rotation::Forward)?,
                self.rotate(k, context, Rotation::Forward)?,
                None,
            ),
            Some([q_norm, k_norm]) => (
                self.rotate(q_norm.forward(&q)?, context, Rotation::Forward)?,
                self.rotate(k_norm.forward(&k)?, context, Rotation::Forward)?,
                Some((q, k)),
            ),
        };
        let (mixed, log_sum_exp) = match caches {
            None => self.heads.forward(&q, &k, &v, context.spans)?,
            Some(caches) => {
                let keys_and_values = caches
                    .iter_mut()
                    .zip(context.spans)
                    .map(|(cache, span)| {
                        let part = |x: &Tensor| x.narrow(0, span.start, span.len)?.contiguous();
                        cache.append(&part(&k)?, &part(&v)?)
                    })
                    .collect::<Result<Vec<_>>>()?;
                self.heads.cached(&q, context.spans, &keys_and_values)?
            }
        };
        let (y, saved_o) = self.o.forward(&mixed, context.products)?;
        let saved = Saved {
            raw,
            q,
            k,
            v,
            mixed,
            log_sum_exp,
            qkv: saved_qkv,
            o: saved_o,
        };
        Ok((y, saved))
    }

    /// Adds this part's gradients. `input` computes `x` again when it is wanted. The gradient of
    /// `x` is put into `dx`, or added to what is there; `None` where nobody wants it.
    pub(crate) fn backward(
        &mut self,
        saved: Saved,
        dy: &Tensor,
        context: &Context<'_>,
        input: &dyn Fn() -> Result<Tensor>,
        mut dx: Option<&mut Option<Tensor>>,
    ) -> Result<()> {
        let Saved {
            raw,
            q,
            k,
            v,
            mixed,
            log_sum_exp,
            qkv: saved_qkv,
            o: saved_o,
        } = saved;
        let mut dmixed = None;
        self.o.backward(&mixed, saved_o, dy, Some(&mut dmixed))?;
        let dmixed = wanted(dmixed)?;
        let (dq, dk, dv) =
            self.heads
                .backward(&q, &k, &v, context.spans, &mixed, &log_sum_exp, &dmixed)?;
        drop((q, k, v, mixed, log_sum_exp, dmixed));
        let mut dq = self.rotate(dq, context, Rotation::Backward)?;
        let mut dk = self.rotate(dk, context, Rotation::Backward)?;
        if let (Some((q, k)), Some([q_norm, k_norm])) = (raw, &mut self.qk_norm) {
            dq = q_norm.backward(&q, &dq)?;
            dk = k_norm.backward(&k, &dk)?;
        }
        let gradients = self.join([dq, dk, dv])?;
        let x = input()?;
        for ((linear, saved), dy) in self.qkv.iter_mut().zip(saved_qkv).zip(gradients) {
            linear.backward(&x, saved, &dy, dx.as_deref_mut())?;
        }
        Ok(())
    }

    fn rotate(&self, x: Tensor, context: &Context<'_>, rotation: Rotation) -> Result<Tensor> {
        let Some(index) = self.rope else { return Ok(x) };
        let (tables, rows) = context.angles(index);
        Ok(rope(
            &x,
            self.heads.head_dim,
            &tables.cos,
            &tables.sin,
            rows,
            rotation,
        )?)
    }

    /// q, k and v of what the projections returned.
    fn split(&self, projected: Vec<Tensor>) -> Result<[Tensor; 3]> {
        let projected = match <[Tensor; 3]>::try_from(projected) {
            Ok(separate) => return Ok(separate),
            Err(projected) => Tensor::cat(&projected, 1)?,
        };
        let (q, kv) = self.widths();
        let rows = projected.dim(0)?;
        let part = |index: usize| -> candle_core::Result<Tensor> {
            if self.projection == QkvProjection::FusedByHead {
                let (heads, d) = (self.heads.query_heads, self.heads.head_dim);
                let by_head = projected.reshape((rows, heads, 3, d))?;
                return by_head
                    .narrow(2, index, 1)?
                    .contiguous()?
                    .reshape((rows, q));
            }
            let (start, width) = [(0, q), (q, kv), (q + kv, kv)][index];
            projected.narrow(D::Minus1, start, width)?.contiguous()
        };
        Ok([part(0)?, part(1)?, part(2)?])
    }

    /// The gradients of what the projections returned.
    fn join(&self, parts: [Tensor; 3]) -> Result<Vec<Tensor>> {
        let rows = parts[0].dim(0)?;
        Ok(match self.projection {
            QkvProjection::Separate => parts.into(),
            QkvProjection::Fused => vec![Tensor::cat(&parts, 1)?],
            QkvProjection::FusedByHead => {
                let (heads, d) = (self.heads.query_heads, self.heads.head_dim);
                let parts = parts.map(|part| part.reshape((rows, heads, 1, d)));
                let parts: Vec<Tensor> = parts.into_iter().collect::<candle_core::Result<_>>()?;
                vec![Tensor::cat(&parts, 2)?.reshape((rows, 3 * heads * d))?]
            }
        })
    }

    /// Widths of queries and of keys.
    fn widths(&self) -> (usize, usize) {
        let d = self.heads.head_dim;
        (self.heads.query_heads * d, self.heads.key_value_heads * d)
    }

    /// Sets what the products are computed in.
    pub(crate) fn set_compute_type(&mut self, compute: ComputeType) {
        self.heads.compute = compute;
        self.linears_mut()
            .for_each(|linear| linear.compute = compute);
    }

    pub(crate) fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.qkv.iter().chain([&self.o])
    }

    pub(crate) fn linears_mut(&mut self) -> impl Iterator<Item = &mut Linear> {
        self.qkv.iter_mut().chain([&mut self.o])
    }

    /// The norms of q and k.
    pub(crate) fn norms(&self) -> impl Iterator<Item = &HeadNorm> {
        self.qk_norm.iter().flatten()
    }

    /// The norms of q and k.
    pub(crate) fn norms_mut(&mut self) -> impl Iterator<Item = &mut HeadNorm> {
        self.qk_norm.iter_mut().flatten()
    }
}
