//! RMSNorm (Zhang and Sennrich, 2019): `y = x / sqrt(mean(x²) + ε) · (o + w)`.
//!
//! The offset `o` is 0, or 1 where a family stores its weights as what they differ from one by
//! (Gemma). It is added here, so that weight and gradient stay what the family's files hold.

use crate::device::{Operation, own};
use crate::storage::{as_f32, from_values, from_written, on_cpu, update, view};
use crate::vectorised::vectorised;
use candle_core::{D, Result, Tensor};
use rayon::prelude::*;

/// Rows one task takes. Fixed, so that sums do not depend on the number of threads.
const ROWS: usize = 64;

/// Normalises each row of `x (N, H)` and scales it by `offset + weight (H)`.
pub fn rms_norm(x: &Tensor, weight: &Tensor, offset: f32, epsilon: f64) -> Result<Tensor> {
    let weight = as_f32(weight)?;
    if !on_cpu(x) {
        let own = own(x, Operation::RmsNorm, |kernels| {
            kernels.rms_norm(x, &weight, offset, epsilon)
        })?;
        return own.map_or_else(|| composed(x, &weight, offset, epsilon), Ok);
    }
    let (n, h) = x.dims2()?;
    let (x, weight) = (view(x)?, view(&weight)?);
    assert_eq!(weight.len(), h, "a weight for each feature");
    let mut y = Vec::with_capacity(n * h);
    y.spare_capacity_mut()[..n * h]
        .par_chunks_mut(ROWS * h)
        .zip(x.par_chunks(ROWS * h))
        .for_each(|(y, x)| {
            vectorised(
                #[inline(always)]
                || {
                    for (y, x) in y.chunks_exact_mut(h).zip(x.chunks_exact(h)) {
                        let scale = inverse_rms(x, epsilon);
                        for ((y, x), weight) in y.iter_mut().zip(x).zip(weight.iter()) {
                            y.write(x * scale * (weight + offset));
                        }
                    }
                },
            );
        });
    // SAFETY: `x` has as many elements, and each of the result is written.
    unsafe { from_written(y, (n, h)) }
}

/// Gradient of `x`; the gradient of `weight` is added to `weight_gradient (H)` when there is one.
pub fn rms_norm_backward(
    x: &Tensor,
    weight: &Tensor,
    offset: f32,
    epsilon: f64,
    dy: &Tensor,
    weight_gradient: Option<&mut Tensor>,
) -> Result<Tensor> {
    let weight = as_f32(weight)?;
    if !on_cpu(x) {
        let own = own(x, Operation::RmsNormBackward, |kernels| {
            let gradient = weight_gradient.as_deref();
            kernels.rms_norm_backward(x, &weight, offset, epsilon, dy, gradient)
        })?;
        return own.map_or_else(
            || backward_composed(x, &weight, offset, epsilon, dy, weight_gradient),
            Ok,
        );
    }
    let (n, h) = x.dims2()?;
    let (x, weight, dy) = (view(x)?, view(&weight)?, view(dy)?);
    let mut dx = vec![0.0; n * h];
    let wants_weight = weight_gradient.is_some();
    let partial_sums: Vec<Vec<f32>> = (
        dx.par_chunks_mut(ROWS * h),
        x.par_chunks(ROWS * h),
        dy.par_chunks(ROWS * h),
    )
        .into_par_iter()
        .map(|(dx, x, dy)| {
            let mut dweight = vec![0.0; if wants_weight { h } else { 0 }];
            vectorised(
                #[inline(always)]
                || {
                    let rows = dx
                        .chunks_exact_mut(h)
                        .zip(x.chunks_exact(h))
                        .zip(dy.chunks_exact(h));
                    for ((dx, x), dy) in rows {
                        let scale = inverse_rms(x, epsilon);
                        // With w the offset weight: d(x·s·w)/dx = s·(w·dy) - x·s³/H·Σ(w·dy·x)
                        let mut dot = [0.0_f32; 16];
                        for i in 0..h {
                            dx[i] = (weight[i] + offset) * dy[i];
                            dot[i % 16] += dx[i] * x[i];
                        }
                        let pull = scale * scale * scale * dot.iter().sum::<f32>() / h as f32;
                        for i in 0..h {
                            dx[i] = scale * dx[i] - pull * x[i];
                        }
                        for (sum, (x, dy)) in dweight.iter_mut().zip(x.iter().zip(dy)) {
                            *sum += x * scale * dy;
                        }
                    }
                },
            );
            dweight
        })
        .collect();
    if let Some(gradient) = weight_gradient {
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

/// `1 / sqrt(mean(x²) + ε)`, summed in sixteen lanes.
#[inline(always)]
fn inverse_rms(x: &[f32], epsilon: f64) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let chunks = x.chunks_exact(16);
    let rest: f32 = chunks.remainder().iter().map(|x| x * x).sum();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x * x;
        }
    }
    let mean = (lanes.iter().sum::<f32>() + rest) / x.len() as f32;
    1.0 / (mean + epsilon as f32).sqrt()
}

/// `(x · s, s)` with `s = 1 / sqrt(mean(x²) + ε)`, by candle's operations.
fn normalise(x: &Tensor, epsilon: f64) -> Result<(Tensor, Tensor)> {
    let scale = (x.sqr()?.mean_keepdim(D::Minus1)? + epsilon)?
        .sqrt()?
        .recip()?;
    Ok((x.broadcast_mul(&scale)?, scale))
}

pub(crate) fn composed(x: &Tensor, weight: &Tensor, offset: f32, epsilon: f64) -> Result<Tensor> {
    let weight = (weight + f64::from(offset))?;
    normalise(x, epsilon)?.0.broadcast_mul(&weight)
}

pub(crate) fn backward_composed(
    x: &Tensor,
    weight: &Tensor,
    offset: f32,
    epsilon: f64,
    dy: &Tensor,
    weight_gradient: Option<&mut Tensor>,
) -> Result<Tensor> {
    let (normalised, scale) = normalise(x, epsilon)?;
    if let Some(gradient) = weight_gradient {
        *gradient = (&*gradient + (&normalised * dy)?.sum(0)?)?;
    }
    let dnormalised = dy.broadcast_mul(&(weight + f64::from(offset))?)?;
    let pull = (&dnormalised * &normalised)?.mean_keepdim(D::Minus1)?;
    (dnormalised - normalised.broadcast_mul(&pull)?)?.broadcast_mul(&scale)
}
