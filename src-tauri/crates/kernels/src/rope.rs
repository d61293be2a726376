//! Rotary position embedding (Su et al., 2021), in the half-split layout of transformers.

use crate::device::{Operation, own};
use crate::storage::{from_values, on_cpu, view};
use crate::vectorised::vectorised;
use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

/// Forward rotates by the position's angle; the backward of a rotation is the opposite rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// By the angle.
    Forward,
    /// By minus the angle: the gradient's way.
    Backward,
}

/// Rotates the first `R` elements of each head of `x (N, heads · head_dim)`, the rest stay: the
/// pair `(i, i + R / 2)` of row `t` by the angle whose cosine and sine stand at `[positions[t], i]`
/// of `cos` and `sin (P, R / 2)`. Tables may carry a factor on both, as YaRN's and LongRoPE's do:
/// the backward multiplies by it too.
pub fn rope(
    x: &Tensor,
    head_dim: usize,
    cos: &Tensor,
    sin: &Tensor,
    positions: &[u32],
    rotation: Rotation,
) -> Result<Tensor> {
    let (n, width) = x.dims2()?;
    let half = cos.dim(1)?;
    if 2 * half > head_dim || !width.is_multiple_of(head_dim) {
        bail!("rope: {half} pairs do not fit heads of {head_dim} in rows of {width}");
    }
    let sign = if rotation == Rotation::Forward {
        1.0
    } else {
        -1.0
    };
    if !on_cpu(x) {
        let own = own(x, Operation::Rope, |kernels| {
            kernels.rope(x, head_dim, cos, sin, positions, rotation)
        })?;
        return own.map_or_else(
            || composed(x, head_dim, cos, sin, positions, f64::from(sign)),
            Ok,
        );
    }
    let (x, cos, sin) = (view(x)?, view(cos)?, view(sin)?);
    let mut y = vec![0.0; n * width];
    let rows = y
        .par_chunks_mut(width)
        .zip(x.par_chunks(width))
        .zip(positions);
    rows.with_min_len(32).for_each(|((y, x), position)| {
        let angles = *position as usize * half..(*position as usize + 1) * half;
        let (cos, sin) = (&cos[angles.clone()], &sin[angles]);
        vectorised(
            #[inline(always)]
            || {
                for (y, x) in y.chunks_exact_mut(head_dim).zip(x.chunks_exact(head_dim)) {
                    let ((x, x_rest), (y, y_rest)) =
                        (x.split_at(2 * half), y.split_at_mut(2 * half));
                    y_rest.copy_from_slice(x_rest);
                    let (x1, x2) = x.split_at(half);
                    let (y1, y2) = y.split_at_mut(half);
                    for i in 0..half {
                        let (cos, sin) = (cos[i], sign * sin[i]);
                        y1[i] = x1[i] * cos - x2[i] * sin;
                        y2[i] = x2[i] * cos + x1[i] * sin;
                    }
                }
            },
        );
    });
    from_values(y, (n, width))
}

pub(crate) fn composed(
    x: &Tensor,
    head_dim: usize,
    cos: &Tensor,
    sin: &Tensor,
    positions: &[u32],
    sign: f64,
) -> Result<Tensor> {
    let (n, width) = x.dims2()?;
    let half = cos.dim(1)?;
    let positions = Tensor::new(positions, x.device())?;
    let cos = cos.index_select(&positions, 0)?.unsqueeze(1)?;
    let sin = (sin.index_select(&positions, 0)?.unsqueeze(1)? * sign)?;
    let x = x.reshape((n, width / head_dim, head_dim))?;
    let (x1, x2) = (x.narrow(2, 0, half)?, x.narrow(2, half, half)?);
    let y1 = (x1.broadcast_mul(&cos)? - x2.broadcast_mul(&sin)?)?;
    let y2 = (x2.broadcast_mul(&cos)? + x1.broadcast_mul(&sin)?)?;
    let mut parts = vec![y1, y2];
    if 2 * half < head_dim {
        parts.push(x.narrow(2, 2 * half, head_dim - 2 * half)?);
    }
    Tensor::cat(&parts, 2)?.reshape((n, width))
}
