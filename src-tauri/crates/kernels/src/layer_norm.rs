//! LayerNorm (Ba et al., 2016): `y = (x - mean(x)) / sqrt(var(x) + ε) · w + b`.

use crate::storage::{as_f32, from_values, on_cpu, update, view};
use crate::vectorised::vectorised;
use candle_core::{D, Result, Tensor};
use rayon::prelude::*;

/// Rows one task takes. Fixed, so that sums do not depend on the number of threads.
const ROWS: usize = 64;

/// Where a backward adds the gradients of weight and bias, `(H)` each.
#[derive(Debug, Default)]
pub struct LayerNormGradients<'a> {
    /// Of the weight.
    pub weight: Option<&'a mut Tensor>,
    /// Of the bias.
    pub bias: Option<&'a mut Tensor>,
}

/// Normalises each row of `x (N, H)`, scales it by `weight (H)` and adds `bias (H)`, if any.
pub fn layer_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    epsilon: f64,
) -> Result<Tensor> {
    let (weight, bias) = (as_f32(weight)?, bias.map(as_f32).transpose()?);
    if !on_cpu(x) {
        return composed(x, &weight, bias.as_ref(), epsilon);
    }
    let (n, h) = x.dims2()?;
    let bias = match bias {
        Some(bias) => bias,
        None => weight.zeros_like()?,
    };
    let (x, weight, bias) = (view(x)?, view(&weight)?, view(&bias)?);
    let mut y = vec![0.0; n * h];
    y.par_chunks_mut(ROWS * h)
        .zip(x.par_chunks(ROWS * h))
        .for_each(|(y, x)| {
            vectorised(
                #[inline(always)]
                || {
                    for (y, x) in y.chunks_exact_mut(h).zip(x.chunks_exact(h)) {
                        let (mean, scale) = moments(x, epsilon);
                        for i in 0..h {
                            y[i] = (x[i] - mean) * scale * weight[i] + bias[i];
                        }
                    }
                },
            );
        });
    from_values(y, (n, h))
}

/// Gradient of `x`; those of weight and bias are added to `gradients`.
pub fn layer_norm_backward(
    x: &Tensor,
    weight: &Tensor,
    epsilon: f64,
    dy: &Tensor,
    gradients: LayerNormGradients<'_>,
) -> Result<Tensor> {
    let weight = as_f32(weight)?;
    if !on_cpu(x) {
        return backward_composed(x, &weight, epsilon, dy, gradients);
    }
    let (n, h) = x.dims2()?;
    let (x, weight, dy) = (view(x)?, view(&weight)?, view(dy)?);
    let mut dx = vec![0.0; n * h];
    let wants_sums = gradients.weight.is_some() || gradients.bias.is_some();
    let partial_sums: Vec<(Vec<f32>, Vec<f32>)> = (
        dx.par_chunks_mut(ROWS * h),
        x.par_chunks(ROWS * h),
        dy.par_chunks(ROWS * h),
    )
        .into_par_iter()
        .map(|(dx, x, dy)| {
            let width = if wants_sums { h } else { 0 };
            let (mut dweight, mut dbias) = (vec![0.0; width], vec![0.0; width]);
            vectorised(
                #[inline(always)]
                || {
                    let rows = dx
                        .chunks_exact_mut(h)
                        .zip(x.chunks_exact(h))
                        .zip(dy.chunks_exact(h));
                    for ((dx, x), dy) in rows {
                        let (mean, scale) = moments(x, epsilon);
                        // With z the normalised row and g = w·dy: dx = s·(g - mean(g) - z·mean(g·z))
                        let (mut sums, mut dots) = ([0.0_f32; 16], [0.0_f32; 16]);
                        for i in 0..h {
                            dx[i] = weight[i] * dy[i];
                            sums[i % 16] += dx[i];
                            dots[i % 16] += dx[i] * (x[i] - mean) * scale;
                        }
                        let sum = sums.iter().sum::<f32>() / h as f32;
                        let dot = dots.iter().sum::<f32>() / h as f32;
                        for i in 0..h {
                            dx[i] = scale * (dx[i] - sum - (x[i] - mean) * scale * dot);
                        }
                        for (i, sum) in dweight.iter_mut().enumerate() {
                            *sum += (x[i] - mean) * scale * dy[i];
                        }
                        for (sum, dy) in dbias.iter_mut().zip(dy) {
                            *sum += dy;
                        }
                    }
                },
            );
            (dweight, dbias)
        })
        .collect();
    let (dweight, dbias): (Vec<_>, Vec<_>) = partial_sums.into_iter().unzip();
    for (gradient, partial_sums) in [(gradients.weight, dweight), (gradients.bias, dbias)] {
        let Some(gradient) = gradient else { continue };
        update(gradient, |gradient| {
            for partial in &partial_sums {
                gradient
                    .iter_mut()
                    .zip(partial)
                    .for_each(|(sum, part)| *sum += part);
            }
        })?;
    }
    from_values(dx, (n, h))
}

/// `mean(x)` and `1 / sqrt(var(x) + ε)`, in two passes, summed in sixteen lanes.
#[inline(always)]
fn moments(x: &[f32], epsilon: f64) -> (f32, f32) {
    let mean = lanes(x, |x| x) / x.len() as f32;
    let variance = lanes(x, |x| (x - mean) * (x - mean)) / x.len() as f32;
    (mean, 1.0 / (variance + epsilon as f32).sqrt())
}

/// `Σ f(x)`.
#[inline(always)]
fn lanes(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let chunks = x.chunks_exact(16);
    let rest: f32 = chunks.remainder().iter().map(|x| f(*x)).sum();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += f(*x);
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// The normalised rows and `1 / sqrt(var + ε)`, by candle's operations.
fn normalise(x: &Tensor, epsilon: f64) -> Result<(Tensor, Tensor)> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let scale = (centred.sqr()?.mean_keepdim(D::Minus1)? + epsilon)?
        .sqrt()?
        .recip()?;
    Ok((centred.broadcast_mul(&scale)?, scale))
}

pub(crate) fn composed(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    epsilon: f64,
) -> Result<Tensor> {
    let y = normalise(x, epsilon)?.0.broadcast_mul(weight)?;
    bias.map_or(Ok(y.clone()), |bias| y.broadcast_add(bias))
}

pub(crate) fn backward_composed(
    x: &Tensor,
    weight: &Tensor,
    epsilon: f64,
    dy: &Tensor,
    gradients: LayerNormGradients<'_>,
) -> Result<Tensor> {
    let (normalised, scale) = normalise(x, epsilon)?;
    if let Some(gradient) = gradients.weight {
        *gradient = (&*gradient + (&normalised * dy)?.sum(0)?)?;
    }
    if let Some(gradient) = gradients.bias {
        *gradient = (&*gradient + dy.sum(0)?)?;
    }
    let dnormalised = dy.broadcast_mul(weight)?;
    let pull = (&dnormalised * &normalised)?.mean_keepdim(D::Minus1)?;
    dnormalised
        .broadcast_sub(&dnormalised.mean_keepdim(D::Minus1)?)?
        .sub(&normalised.broadcast_mul(&pull)?)?
        .broadcast_mul(&scale)
}
