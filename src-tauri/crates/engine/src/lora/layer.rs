//! The adapter of one linear layer, forward and backward.

use super::pissa;
use crate::linear::Products;
use crate::parameter::Parameter;
use crate::{Error, Result};
use attune_kernels::{
    ComputeType, NoiseKey, Operand, Term, Transpose, add, add_column_products, dropout,
    low_rank_row_norms, matmul_add, scale_columns,
};
use candle_core::{DType, Tensor};

/// Adds `s · (x̃ · Aᵀ) · Bᵀ` to a layer's `x · Wᵀ`, where `x̃` is `x` after dropout.
///
/// With a magnitude (DoRA), the sum's columns are brought to that length: with
/// `f = magnitude / ‖W + s · B · A‖`, row by row, the result is `f ⊙ (x · Wᵀ + s · u · Bᵀ)`. The
/// norm is taken as a constant in the backward (section 4.3 of the paper). Under dropout it is,
/// as in PEFT, `x · Wᵀ + (f - 1) ⊙ x̃ · Wᵀ + f ⊙ s · u · Bᵀ`.
pub(crate) struct Lora {
    /// `A (r, in)`
    pub(crate) a: Parameter,
    /// `B (out, r)`
    pub(crate) b: Parameter,
    /// `(out)`, of DoRA.
    pub(crate) magnitude: Option<Parameter>,
    /// `s`
    pub(crate) scale: f32,
    /// Share of the inputs that is set to zero.
    pub(crate) dropout: f32,
    /// Names the random numbers of the step at work; none outside of training.
    pub(crate) noise: Option<NoiseKey>,
    /// `A` and `B` as PiSSA started them; `s · B · A` of these is missing in the layer's `W`.
    pub(crate) start: Option<(Tensor, Tensor)>,
}

/// What the backward wants besides the input.
pub(crate) struct Saved {
    /// `u = x̃ · Aᵀ (N, r)`
    u: Tensor,
    decomposed: Option<Box<Decomposed>>,
}

struct Decomposed {
    /// `x̃ · Wᵀ + s · u · Bᵀ (N, out)`
    sum: Tensor,
    /// `‖W + s · B · A‖ (out)`
    norms: Tensor,
    /// `magnitude / norms (out)`
    factors: Tensor,
}

/// What a backward still has to bring to the layer's input.
pub(crate) struct Upstream {
    /// `dy · f · B (N, r)`, without the factor `s`.
    du: Tensor,
    /// `f ⊙ dy (N, out)`, of DoRA.
    scaled: Option<Tensor>,
}

impl Lora {
    /// The layer's `weight (out, in)` with this adapter in it, in f32.
    pub(crate) fn merged(&self, weight: &Parameter) -> Result<Tensor> {
        let mut merged = weight.dense()?.to_dtype(DType::F32)?.copy()?;
        matmul_add(
            &mut merged,
            self.scale,
            &self.b.value,
            &self.a.value,
            Transpose::Neither,
        )?;
        match &self.magnitude {
            None => Ok(merged),
            Some(magnitude) => {
                let factors = (&magnitude.value / self.norms(weight.operand())?)?;
                Ok(merged.broadcast_mul(&factors.unsqueeze(1)?)?)
            }
        }
    }

    /// `‖W + s · B · A‖`, row by row.
    fn norms(&self, weight: Operand<'_>) -> Result<Tensor> {
        Ok(low_rank_row_norms(
            weight,
            &self.b.value,
            &self.a.value,
            self.scale,
        )?)
    }

    /// Starts as PiSSA does: takes the principal part of `weight` out of it and into `A` and `B`.
    pub(crate) fn start_principal(&mut self, weight: &mut Parameter) -> Result<()> {
        let refuse = |reason: String| {
            let setting = "init_lora_weights".to_owned();
            Err(Error::BadAdapterSetting { setting, reason })
        };
        let (out, input) = weight.operand().dims2()?;
        let r = self.a.value.dim(0)?;
        if weight.is_quantised() || weight.value.dtype() != DType::F32 {
            return refuse(
                "PiSSA changes the weights, which must be held in float32 for it".into(),
            );
        }
        if r > out.min(input) {
            let name = &weight.name;
            return refuse(format!(
                "rank {r} is more than `{name}` of {out} × {input} has"
            ));
        }
        let (a, b) = pissa::principal(&weight.value, r, f64::from(self.scale))?;
        self.a.value = a.copy()?;
        self.b.value = b.copy()?;
        weight.value = weight.value.copy()?;
        matmul_add(&mut weight.value, -self.scale, &b, &a, Transpose::Neither)?;
        self.start = Some((a, b));
        Ok(())
    }

    /// Gives `weight` back what PiSSA took out of it, within rounding.
    pub(crate) fn return_principal(&mut self, weight: &mut Parameter) -> Result<()> {
        if let Some((a, b)) = self.start.take() {
            weight.value = weight.value.copy()?;
            matmul_add(&mut weight.value, self.scale, &b, &a, Transpose::Neither)?;
        }
        Ok(())
    }

    /// `A` and `B` as they are saved: after PiSSA's start those of `B · A - B₀ · A₀`.
    pub(crate) fn saved_factors(&self) -> Result<(Tensor, Tensor)> {
        let (a, b) = (&self.a.value, &self.b.value);
        match &self.start {
            None => Ok((a.clone(), b.clone())),
            Some((a0, b0)) => Ok((Tensor::cat(&[a, a0], 0)?, Tensor::cat(&[b, &b0.neg()?], 1)?)),
        }
    }

    /// Takes over what `saved_factors` gave. Where the start was another, as computed elsewhere,
    /// `weight` is brought to it.
    pub(crate) fn resume_principal(
        &mut self,
        weight: &mut Parameter,
        a: &Tensor,
        b: &Tensor,
    ) -> Result<()> {
        let r = a.dim(0)? / 2;
        let start = (
            a.narrow(0, r, r)?.contiguous()?,
            b.narrow(1, r, r)?.neg()?.contiguous()?,
        );
        let bits = |x: &Tensor| x.flatten_all()?.to_vec1::<f32>();
        let same = match &self.start {
            Some((a0, b0)) => bits(a0)? == bits(&start.0)? && bits(b0)? == bits(&start.1)?,
            None => false,
        };
        if !same {
            self.return_principal(weight)?;
            weight.value = weight.value.copy()?;
            let (a0, b0) = &start;
            matmul_add(&mut weight.value, -self.scale, b0, a0, Transpose::Neither)?;
        }
        self.start = Some(start);
        self.a.value = a.narrow(0, 0, r)?.copy()?;
        self.b.value = b.narrow(1, 0, r)?.contiguous()?.copy()?;
        Ok(())
    }

    /// The key of the dropout at work.
    fn dropping(&self) -> Option<NoiseKey> {
        self.noise.filter(|_| self.dropout > 0.0)
    }

    /// `x̃`, where it is not `x`.
    fn dropped(&self, x: &Tensor) -> Result<Option<Tensor>> {
        let dropped = self.dropping().map(|key| dropout(x, self.dropout, key));
        Ok(dropped.transpose()?)
    }

    /// The layer's adapted result `(N, out)`, of its input and its `weight`, without the bias.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        weight: Operand<'_>,
        products: Products,
        compute: ComputeType,
    ) -> Result<(Tensor, Saved)> {
        let dropped = self.dropped(x)?;
        let input = dropped.as_ref().unwrap_or(x);
        let u = compute.matmul(input, &self.a.value, Transpose::Right)?;
        let (scale, b) = (self.scale, &self.b.value);
        let adapted = || -> Result<Tensor> {
            if products == Products::Rounded {
                let mut sum = products.product(x, weight, compute)?;
                matmul_add(&mut sum, scale, &u, b, Transpose::Right)?;
                return Ok(sum);
            }
            let base = term(1.0, x, weight, Transpose::Right);
            Ok(compute.matmul_sum(base, term(scale, &u, b, Transpose::Right))?)
        };
        let Some(magnitude) = &self.magnitude else {
            let y = adapted()?;
            let decomposed = None;
            return Ok((y, Saved { u, decomposed }));
        };
        let norms = self.norms(weight)?;
        let factors = (&magnitude.value / &norms)?;
        let (y, sum) = match &dropped {
            None => {
                let sum = adapted()?;
                (scale_columns(&sum, &factors)?, sum)
            }
            Some(dropped) => {
                let y = compute.matmul(x, weight, Transpose::Right)?;
                let base = compute.matmul(dropped, weight, Transpose::Right)?;
                let mut sum = base.copy()?;
                compute.matmul_add(&mut sum, scale, &u, b, Transpose::Right)?;
                let scaled = scale_columns(&sum, &factors)?;
                ((add(&y, &scaled)? - base)?, sum)
            }
        };
        let decomposed = Some(Box::new(Decomposed {
            sum,
            norms,
            factors,
        }));
        Ok((y, Saved { u, decomposed }))
    }

    /// Adds the gradients of `A`, `B` and the magnitude.
    pub(crate) fn backward(
        &mut self,
        x: &Tensor,
        saved: Saved,
        dy: &Tensor,
        compute: ComputeType,
    ) -> Result<Upstream> {
        let Saved { u, decomposed } = saved;
        let mut scaled = None;
        if let (Some(magnitude), Some(decomposed)) = (&mut self.magnitude, decomposed) {
            let Decomposed {
                sum,
                norms,
                factors,
            } = *decomposed;
            if let Some(gradient) = magnitude.gradient_mut() {
                add_column_products(gradient, dy, &sum, &norms)?;
            }
            scaled = Some(scale_columns(dy, &factors)?);
        }
        let dsum = scaled.as_ref().unwrap_or(dy);
        if let Some(gradient) = self.b.gradient_mut() {
            compute.matmul_add(gradient, self.scale, dsum, &u, Transpose::Left)?;
        }
        // Without the factor s, which the products below put in.
        let du = compute.matmul(dsum, &self.b.value, Transpose::Neither)?;
        let dropped = self.dropped(x)?;
        if let Some(gradient) = self.a.gradient_mut() {
            let input = dropped.as_ref().unwrap_or(x);
            compute.matmul_add(gradient, self.scale, &du, input, Transpose::Left)?;
        }
        Ok(Upstream { du, scaled })
    }

    /// The gradient of the layer's input, added to `dx` if there is one.
    pub(crate) fn input_gradient(
        &self,
        upstream: &Upstream,
        weight: Operand<'_>,
        dy: &Tensor,
        dx: Option<Tensor>,
        compute: ComputeType,
    ) -> Result<Tensor> {
        let Upstream { du, scaled } = upstream;
        let adapter = term(self.scale, du, &self.a.value, Transpose::Neither);
        let Some(key) = self.dropping() else {
            let through_base = scaled.as_ref().unwrap_or(dy);
            let base = term(1.0, through_base, weight, Transpose::Neither);
            return match dx {
                None => Ok(compute.matmul_sum(base, adapter)?),
                Some(mut dx) => {
                    compute.matmul_sum_add(&mut dx, base, adapter)?;
                    Ok(dx)
                }
            };
        };
        // The base saw the undropped input, the adapter the dropped one.
        let through_adapter = match scaled {
            None => compute
                .matmul(du, &self.a.value, Transpose::Neither)?
                .affine(f64::from(self.scale), 0.0)?,
            Some(scaled) => {
                let rest = (scaled - dy)?;
                compute.matmul_sum(term(1.0, &rest, weight, Transpose::Neither), adapter)?
            }
        };
        let through_adapter = dropout(&through_adapter, self.dropout, key)?;
        let through_base = compute.matmul(dy, weight, Transpose::Neither)?;
        let sum = add(&through_base, &through_adapter)?;
        match dx {
            None => Ok(sum),
            Some(dx) => Ok(add(&dx, &sum)?),
        }
    }

    pub(crate) fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        [&self.a, &self.b].into_iter().chain(&self.magnitude)
    }

    pub(crate) fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Parameter> {
        [&mut self.a, &mut self.b]
            .into_iter()
            .chain(&mut self.magnitude)
    }
}

fn term<'a>(
    scale: f32,
    a: &'a Tensor,
    b: impl Into<Operand<'a>>,
    transpose: Transpose,
) -> Term<'a> {
    Term {
        scale,
        a,
        b: b.into(),
        transpose,
    }
}
