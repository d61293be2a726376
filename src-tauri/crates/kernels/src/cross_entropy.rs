//! Cross-entropy straight from hidden states, in chunks of rows: the `(tokens, vocabulary)` logits
//! never exist as a whole.

use crate::device::{Operation, kernels_of, own};
use crate::gemm::{self, ComputeType, Into, Matrix};
use crate::inference::matmul_for_inference;
use crate::matmul::Transpose;
use crate::operand::Operand;
use crate::scale::scaled;
use crate::softcap::{self, softcap, softcap_slope};
use crate::softmax::exponentials;
use crate::storage::{from_values, on_cpu, update, view};
use candle_core::{D, DType, Result, Tensor, bail};
use rayon::prelude::*;
use std::ops::Range;

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
    pub fn of<'a>(
        &self,
        hidden: &Tensor,
        weight: impl std::convert::Into<Operand<'a>>,
    ) -> Result<Tensor> {
        self.finish(self.compute.matmul(hidden, weight, Transpose::Right)?)
    }

    /// The same by [`matmul_for_inference`].
    pub fn for_inference<'a>(
        &self,
        hidden: &Tensor,
        weight: impl std::convert::Into<Operand<'a>>,
    ) -> Result<Tensor> {
        self.finish(matmul_for_inference(hidden, weight)?)
    }

    fn finish(&self, mut logits: Tensor) -> Result<Tensor> {
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

    /// Scores of products by candle's operations, with the slope of the cap, if there is one.
    fn composed(&self, products: &Tensor) -> Result<(Tensor, Option<Tensor>)> {
        let logits = (products * f64::from(self.scale))?;
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
pub fn linear_cross_entropy<'a>(
    hidden: &Tensor,
    weight: impl std::convert::Into<Operand<'a>>,
    targets: &[u32],
    head: Logits,
    scale: f32,
    weight_gradient: Option<&mut Tensor>,
) -> Result<(f64, Tensor)> {
    let scales = vec![scale; targets.len()];
    let (losses, dhidden) =
        linear_cross_entropy_rows(hidden, weight, targets, head, &scales, weight_gradient)?;
    Ok((losses.iter().sum(), dhidden))
}

/// [`linear_cross_entropy`] with a factor for each row: returns the loss of each row (nats, not
/// scaled) and the gradient of `hidden` of `Σ scales[i] · loss[i]`.
///
/// With `scales[i] = ∂L/∂loss[i]` these are the gradients of any function `L` of the rows' losses,
/// such as one of the log-probabilities of whole sequences. A row of the gradient of `hidden` is
/// its factor times what it is at 1.
pub fn linear_cross_entropy_rows<'a>(
    hidden: &Tensor,
    weight: impl std::convert::Into<Operand<'a>>,
    targets: &[u32],
    head: Logits,
    scales: &[f32],
    mut weight_gradient: Option<&mut Tensor>,
) -> Result<(Vec<f64>, Tensor)> {
    let weight = weight.into();
    let (m, h, v) = check(hidden, weight, targets)?;
    if scales.len() != m {
        bail!("cross-entropy: {} factors for {m} rows", scales.len());
    }
    if !on_cpu(hidden) {
        return composed(hidden, weight, targets, head, scales, weight_gradient);
    }
    let (hidden_values, weight) = (view(hidden)?, weight.open()?);
    let weight = Matrix::of(weight.values(), v, h, h);
    let mut dhidden = vec![0.0; m * h];
    let mut losses = Vec::with_capacity(m);
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
        let chunk: Vec<f64> = logits
            .par_chunks_mut(v)
            .zip(&targets[first..first + count])
            .zip(&scales[first..first + count])
            .map(|((row, target), scale)| {
                let capped = head.softcap.map(|cap| {
                    softcap(row, cap);
                    (row.to_vec(), cap)
                });
                let target_logit = row[*target as usize];
                let (max, sum) = exponentials(row);
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
        losses.extend(chunk);
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
    Ok((losses, from_values(dhidden, (m, h))?))
}

/// `-ln softmax(logits(hidden · weightᵀ))[target]` of each row, forward only.
pub fn linear_token_losses<'a>(
    hidden: &Tensor,
    weight: impl std::convert::Into<Operand<'a>>,
    targets: &[u32],
    head: Logits,
) -> Result<Vec<f32>> {
    let weight = weight.into();
    let (m, h, v) = check(hidden, weight, targets)?;
    if !on_cpu(hidden) {
        return losses_composed(hidden, weight, targets, head);
    }
    let (hidden, weight) = (view(hidden)?, weight.open()?);
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
                let (max, sum) = exponentials(row);
                (f64::from(sum).ln() + f64::from(max) - f64::from(target_logit)) as f32
            })
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|loss| losses.push(loss));
    }
    Ok(losses)
}

fn check(hidden: &Tensor, weight: Operand<'_>, targets: &[u32]) -> Result<(usize, usize, usize)> {
    let ((m, h), (v, h2)) = (hidden.dims2()?, weight.dims2()?);
    if h != h2 || targets.len() != m {
        bail!(
            "cross-entropy: hidden {:?}, weight {:?}, {} targets",
            hidden.shape(),
            (v, h2),
            targets.len()
        );
    }
    if let Some(target) = targets.iter().find(|target| **target as usize >= v) {
        bail!("cross-entropy: token {target} lies outside the vocabulary of {v}");
    }
    Ok((m, h, v))
}

/// The output matrix as the chunks of a device read it: widened once for all of them, unless a
/// kernel of ours reads it as it is.
fn held(weight: Operand<'_>, hidden: &Tensor) -> Result<Option<Tensor>> {
    match weight {
        Operand::Quantised(_) if kernels_of(hidden.device()).is_some() => Ok(None),
        _ => weight.widened(hidden.device()).map(Some),
    }
}

/// The rows of each chunk, and what they are to be.
fn chunks<'a>(
    hidden: &'a Tensor,
    targets: &'a [u32],
    vocabulary: usize,
) -> impl Iterator<Item = Result<(Range<usize>, Tensor, Tensor)>> + 'a {
    let (m, device) = (targets.len(), hidden.device());
    let rows = chunk_rows(vocabulary, m);
    (0..m).step_by(rows).map(move |first| {
        let range = first..m.min(first + rows);
        let x = hidden.narrow(0, first, range.len())?.contiguous()?;
        let targets = Tensor::new(&targets[range.clone()], device)?;
        Ok((range, x, targets))
    })
}

/// On other devices than the CPU: products, softmax and losses by kernels of ours where there are
/// any, otherwise by candle's operations. The losses come to the CPU, chunk by chunk.
pub(crate) fn composed<'a>(
    hidden: &Tensor,
    weight: impl std::convert::Into<Operand<'a>>,
    targets: &[u32],
    head: Logits,
    scales: &[f32],
    mut weight_gradient: Option<&mut Tensor>,
) -> Result<(Vec<f64>, Tensor)> {
    let weight = weight.into();
    let held = held(weight, hidden)?;
    let weight = held.as_ref().map_or(weight, Operand::from);
    let mut losses = Vec::with_capacity(targets.len());
    let mut dhidden = Vec::new();
    for chunk in chunks(hidden, targets, weight.dims2()?.0) {
        let (range, x, targets) = chunk?;
        let scales = Tensor::new(&scales[range], hidden.device())?;
        let products = head.compute.composed(1.0, &x, weight, Transpose::Right)?;
        let own = own(hidden, Operation::CrossEntropy, |kernels| {
            kernels.cross_entropy(&products, &targets, &scales, head.scale, head.softcap)
        })?;
        let (chunk, gradient) = match own {
            Some(losses) => (losses, products),
            None => rows_composed(&products, &targets, &scales, head)?,
        };
        losses.extend(chunk.to_vec1::<f32>()?.into_iter().map(f64::from));
        dhidden.push(
            head.compute
                .composed(1.0, &gradient, weight, Transpose::Neither)?,
        );
        if let Some(sum) = weight_gradient.as_deref_mut() {
            let added = head
                .compute
                .composed(1.0, &gradient, (&x).into(), Transpose::Left)?;
            *sum = (&*sum + added)?;
        }
    }
    if dhidden.is_empty() {
        return Ok((losses, hidden.zeros_like()?));
    }
    Ok((losses, Tensor::cat(&dhidden, 0)?))
}

/// Losses `(M)` of products `(M, V)`, and the gradient of `Σ scales · loss`, by candle's operations.
fn rows_composed(
    products: &Tensor,
    targets: &Tensor,
    scales: &Tensor,
    head: Logits,
) -> Result<(Tensor, Tensor)> {
    let (targets, scales) = (targets.unsqueeze(1)?, scales.unsqueeze(1)?);
    let (logits, slope) = head.composed(products)?;
    let log_probabilities = candle_nn::ops::log_softmax(&logits, D::Minus1)?;
    let losses = log_probabilities
        .gather(&targets, 1)?
        .flatten_all()?
        .neg()?;
    let ones = targets.ones_like()?.to_dtype(DType::F32)?.neg()?;
    let mut gradient = log_probabilities
        .exp()?
        .scatter_add(&targets, &ones, 1)?
        .broadcast_mul(&scales)?;
    if let Some(slope) = slope {
        gradient = (gradient * slope)?;
    }
    Ok((losses, (gradient * f64::from(head.scale))?))
}

pub(crate) fn losses_composed<'a>(
    hidden: &Tensor,
    weight: impl std::convert::Into<Operand<'a>>,
    targets: &[u32],
    head: Logits,
) -> Result<Vec<f32>> {
    let weight = weight.into();
    let held = held(weight, hidden)?;
    let weight = held.as_ref().map_or(weight, Operand::from);
    let mut losses = Vec::with_capacity(targets.len());
    for chunk in chunks(hidden, targets, weight.dims2()?.0) {
        let (_, x, targets) = chunk?;
        let products = head.compute.composed(1.0, &x, weight, Transpose::Right)?;
        let own = own(hidden, Operation::TokenLosses, |kernels| {
            kernels.token_losses(&products, &targets, head.scale, head.softcap)
        })?;
        let chunk = match own {
            Some(losses) => losses,
            None => candle_nn::ops::log_softmax(&head.composed(&products)?.0, D::Minus1)?
                .gather(&targets.unsqueeze(1)?, 1)?
                .flatten_all()?
                .neg()?,
        };
        losses.extend(chunk.to_vec1::<f32>()?);
    }
    Ok(losses)
}
