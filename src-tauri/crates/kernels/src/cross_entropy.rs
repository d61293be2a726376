//! Cross-entropy straight from hidden states, in chunks of rows: the `(tokens, vocabulary)` logits
//! never exist as a whole.

use crate::exp::exp;
use crate::gemm::{self, ComputeType, Into, Matrix};
use crate::matmul::Transpose;
use crate::scale::scaled;
use crate::softcap::{self, softcap, softcap_slope};
use crate::storage::{as_f32, from_values, on_cpu, update, view, weights};
use candle_core::{D, Result, Tensor, bail};
use rayon::prelude::*;

/// Logits held at once: 48 MiB of f32. The output matrix is packed once for each chunk of rows.
const CHUNK_ELEMENTS: usize = 12 * 1024 * 1024;

/// Rows per chunk for a vocabulary of `v` and `m` rows in all, cut evenly.
fn chunk_rows(v: usize, m: usize) -> usize {
    let most = (CHUNK_ELEMENTS / v.max(1)).clamp(8, 1024);
    m.max(1).div_ceil(m.max(1).div_ceil(most))
}

/// What stands between `hidden · weightᵀ` and the scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Logits {
    /// Factor on the product (Granite).
    pub scale: f32,
    /// `c`: the scaled product becomes `c · tanh(product / c)` (Gemma 2).
    pub softcap: Option<f32>,
    /// What the products are computed in; the softmax and the loss are f32.
    pub compute: ComputeType,
}

impl Default for Logits {
    fn default() -> Self {
        Self {
            scale: 1.0,
            softcap: None,
            compute: ComputeType::F32,
        }
    }
}

impl Logits {
    /// Scores `(M, V)` of `hidden (M, H)` by `weight (V, H)`.
    pub fn of(&self, hidden: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let mut logits = self.compute.matmul(hidden, weight, Transpose::Right)?;
        if self.scale != 1.0 {
            logits = scaled(&logits, self.scale)?;
        }
        let Some(cap) = self.softcap else {
            return Ok(logits);
        };
        if !on_cpu(&logits) {
            return Ok(softcap::composed(&logits, cap)?.0);
        }
        update(&logits, |logits| softcap(logits, cap))?;
        Ok(logits)
    }

    /// The same by candle's operations, with the slope of the cap, if there is one.
    fn composed(&self, hidden: &Tensor, weight: &Tensor) -> Result<(Tensor, Option<Tensor>)> {
        let logits = (hidden.matmul(&weight.t()?)? * f64::from(self.scale))?;
        let Some(cap) = self.softcap else {
            return Ok((logits, None));
        };
        let (capped, slope) = softcap::composed(&logits, cap)?;
        Ok((capped, Some(slope)))
    }
}

/// Forward and backward of `Σ -ln softmax(logits(hidden · weightᵀ))[target]`.
///
/// `hidden (M, H)` holds only rows that count, `weight (V, H)`, one target per row. Returns the
/// summed loss (nats, not scaled) and the gradient of `hidden` of `scale ·` that sum; the gradient
/// of `weight` is added to `weight_gradient` when there is one.
pub fn linear_cross_entropy(
    hidden: &Tensor,
    weight: &Tensor,
    targets: &[u32],
    head: Logits,
    scale: f32,
    mut weight_gradient: Option<&mut Tensor>,
) -> Result<(f64, Tensor)> {
    let (m, h, v) = check(hidden, weight, targets)?;
    if !on_cpu(hidden) {
        return composed(
            hidden,
            &as_f32(weight)?,
            targets,
            head,
            scale,
            weight_gradient,
        );
    }
    let (hidden_values, weight) = (view(hidden)?, weights(weight)?);
    let weight = Matrix::of(weight.values(), v, h, h);
    let mut dhidden = vec![0.0; m * h];
    let mut loss = 0.0;
    let rows = chunk_rows(v, m);
    let mut logits = vec![0.0; rows * v];
    for first in (0..m).step_by(rows) {
        let count = rows.min(m - first);
        let x = Matrix::new(&hidden_values[first * h..][..count * h], count, h, h);
        let logits = &mut logits[..count * v];
        gemm::gemm(
            logits,
            v,
            Into::Replace,
            head.scale,
            x,
            weight.t(),
            head.compute.shared(),
        );
        // Each row's loss, and its logits turned into scale · (softmax - onehot).
        let losses: Vec<f64> = logits
            .par_chunks_mut(v)
            .zip(&targets[first..first + count])
            .map(|(row, target)| {
                let capped = head.softcap.map(|cap| {
                    softcap(row, cap);
                    (row.to_vec(), cap)
                });
                let target_logit = row[*target as usize];
                let (max, sum) = softmax_in_place(row);
                let factor = scale / sum;
                row.iter_mut().for_each(|p| *p *= factor);
                row[*target as usize] -= scale;
                if let Some((capped, cap)) = capped {
                    for (gradient, capped) in row.iter_mut().zip(capped) {
                        *gradient *= softcap_slope(capped, cap);
                    }
                }
                f64::from(sum).ln() + f64::from(max) - f64::from(target_logit)
            })
            .collect();
        loss += losses.iter().sum::<f64>();
        let dlogits = Matrix::new(logits, count, v, v);
        let dx = &mut dhidden[first * h..][..count * h];
        gemm::gemm(
            dx,
            h,
            Into::Replace,
            head.scale,
            dlogits,
            weight,
            head.compute.shared(),
        );
        if let Some(gradient) = weight_gradient.as_deref_mut() {
            update(gradient, |gradient| {
                gemm::gemm(
                    gradient,
                    h,
                    Into::Add,
                    head.scale,
                    dlogits.t(),
                    x,
                    head.compute.shared(),
                );
            })?;
        }
    }
    Ok((loss, from_values(dhidden, (m, h))?))
}

/// `-ln softmax(logits(hidden · weightᵀ))[target]` of each row, forward only.
pub fn linear_token_losses(
    hidden: &Tensor,
    weight: &Tensor,
    targets: &[u32],
    head: Logits,
) -> Result<Vec<f32>> {
    let (m, h, v) = check(hidden, weight, targets)?;
    if !on_cpu(hidden) {
        return losses_composed(hidden, &as_f32(weight)?, targets, head);
    }
    let (hidden, weight) = (view(hidden)?, weights(weight)?);
    let weight = Matrix::of(weight.values(), v, h, h);
    let rows = chunk_rows(v, m);
    let mut logits = vec![0.0; rows * v];
    let mut losses = Vec::with_capacity(m);
    for first in (0..m).step_by(rows) {
        let count = rows.min(m - first);
        let x = Matrix::new(&hidden[first * h..][..count * h], count, h, h);
        let logits = &mut logits[..count * v];
        gemm::gemm(
            logits,
            v,
            Into::Replace,
            head.scale,
            x,
            weight.t(),
            head.compute.shared(),
        );
        logits
            .par_chunks_mut(v)
            .zip(&targets[first..first + count])
            .map(|(row, target)| {
                if let Some(cap) = head.softcap {
                    softcap(row, cap);
                }
                let target_logit = row[*target as usize];
                let (max, sum) = softmax_in_place(row);
                (f64::from(sum).ln() + f64::from(max) - f64::from(target_logit)) as f32
            })
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|loss| losses.push(loss));
    }
    Ok(losses)
}

fn check(hidden: &Tensor, weight: &Tensor, targets: &[u32]) -> Result<(usize, usize, usize)> {
    let ((m, h), (v, h2)) = (hidden.dims2()?, weight.dims2()?);
    if h != h2 || targets.len() != m {
        bail!(
            "cross-entropy: hidden {:?}, weight {:?}, {} targets",
            hidden.shape(),
            weight.shape(),
            targets.len()
        );
    }
    if let Some(target) = targets.iter().find(|target| **target as usize >= v) {
        bail!("cross-entropy: token {target} lies outside the vocabulary of {v}");
    }
    Ok((m, h, v))
}

/// Replaces a row by `e^(x - max)`; returns the maximum and the sum.
fn softmax_in_place(row: &mut [f32]) -> (f32, f32) {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let mut highest = [f32::NEG_INFINITY; 16];
            for chunk in row.chunks(16) {
                for (highest, x) in highest.iter_mut().zip(chunk) {
                    *highest = if *x > *highest { *x } else { *highest };
                }
            }
            let max = highest.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut sums = [0.0_f32; 16];
            for chunk in row.chunks_mut(16) {
                for (sum, x) in sums.iter_mut().zip(chunk) {
                    *x = exp(*x - max);
                    *sum += *x;
                }
            }
            (max, sums.iter().sum())
        },
    )
}

pub(crate) fn composed(
    hidden: &Tensor,
    weight: &Tensor,
    targets: &[u32],
    head: Logits,
    scale: f32,
    mut weight_gradient: Option<&mut Tensor>,
) -> Result<(f64, Tensor)> {
    let (m, v) = (hidden.dim(0)?, weight.dim(0)?);
    let rows = chunk_rows(v, m);
    let mut loss = 0.0;
    let mut dhidden = Vec::new();
    for first in (0..m).step_by(rows) {
        let count = rows.min(m - first);
        let x = hidden.narrow(0, first, count)?.contiguous()?;
        let targets = Tensor::new(&targets[first..first + count], hidden.device())?.unsqueeze(1)?;
        let (logits, slope) = head.composed(&x, weight)?;
        let log_probabilities = candle_nn::ops::log_softmax(&logits, D::Minus1)?;
        loss -= f64::from(
            log_probabilities
                .gather(&targets, 1)?
                .sum_all()?
                .to_scalar::<f32>()?,
        );
        let ones = targets.ones_like()?.to_dtype(x.dtype())?.neg()?;
        let mut dlogits =
            (log_probabilities.exp()?.scatter_add(&targets, &ones, 1)? * f64::from(scale))?;
        if let Some(slope) = slope {
            dlogits = (dlogits * slope)?;
        }
        dlogits = (dlogits * f64::from(head.scale))?;
        dhidden.push(dlogits.matmul(weight)?);
        if let Some(gradient) = weight_gradient.as_deref_mut() {
            *gradient = (&*gradient + dlogits.t()?.matmul(&x)?)?;
        }
    }
    if dhidden.is_empty() {
        return Ok((0.0, hidden.zeros_like()?));
    }
    Ok((loss, Tensor::cat(&dhidden, 0)?))
}

pub(crate) fn losses_composed(
    hidden: &Tensor,
    weight: &Tensor,
    targets: &[u32],
    head: Logits,
) -> Result<Vec<f32>> {
    let logits = head.composed(hidden, weight)?.0;
    let log_probabilities = candle_nn::ops::log_softmax(&logits, D::Minus1)?;
    let targets = Tensor::new(targets, hidden.device())?.unsqueeze(1)?;
    log_probabilities
        .gather(&targets, 1)?
        .neg()?
        .flatten_all()?
        .to_vec1()
}
