//! GELU (Hendrycks and Gimpel, 2016), plain and gating another tensor (GeGLU; Shazeer, 2020).

use crate::device::{Gate, Operation, own};
use crate::storage::{from_values, on_cpu, view};
use crate::tanh::{erf, tanh};
use crate::vectorised::vectorised;
use candle_core::{Result, Tensor};
use rayon::prelude::*;
use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

/// Elements one task takes.
const CHUNK: usize = 16 * 1024;
/// `sqrt(2 / π)`
const SQRT_2_OVER_PI: f32 = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
/// Factor of the cube in the approximation.
const CUBE: f32 = 0.044_715;

/// How `x · Φ(x)` is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gelu {
    /// By the error function: PyTorch's `gelu`.
    Exact,
    /// `x/2 · (1 + tanh(sqrt(2/π) · (x + 0.044715 x³)))`: `gelu_pytorch_tanh`, `gelu_new`.
    Tanh,
}

/// Value and derivative of the exact form.
#[inline(always)]
fn exact(x: f32) -> (f32, f32) {
    let cumulative = 0.5 + 0.5 * erf(x * FRAC_1_SQRT_2);
    let density = 0.5 * SQRT_2_OVER_PI * crate::exp::exp(-0.5 * x * x);
    (x * cumulative, cumulative + x * density)
}

/// Value and derivative of the approximation.
#[inline(always)]
fn approximate(x: f32) -> (f32, f32) {
    let square = x * x;
    let t = tanh(SQRT_2_OVER_PI * (x + CUBE * x * square));
    let inner = SQRT_2_OVER_PI * (1.0 + 3.0 * CUBE * square);
    let half = 0.5 * (1.0 + t);
    (x * half, half + 0.5 * x * (1.0 - t * t) * inner)
}

/// `gelu(x) (N, F)`.
pub fn gelu(x: &Tensor, kind: Gelu) -> Result<Tensor> {
    if !on_cpu(x) {
        let own = own(x, Operation::Gelu, |kernels| kernels.gelu(x, kind))?;
        return own.map_or_else(|| Ok(composed(x, kind)?.0), Ok);
    }
    let shape = x.dims2()?;
    let x = view(x)?;
    let mut y = vec![0.0; x.len()];
    y.par_chunks_mut(CHUNK)
        .zip(x.par_chunks(CHUNK))
        .for_each(|(y, x)| {
            vectorised(
                #[inline(always)]
                || {
                    let pairs = y.iter_mut().zip(x);
                    match kind {
                        Gelu::Exact => pairs.for_each(|(y, x)| *y = exact(*x).0),
                        Gelu::Tanh => pairs.for_each(|(y, x)| *y = approximate(*x).0),
                    }
                },
            );
        });
    from_values(y, shape)
}

/// Gradient of `x`, from the gradient of the result.
pub fn gelu_backward(x: &Tensor, dy: &Tensor, kind: Gelu) -> Result<Tensor> {
    if !on_cpu(x) {
        let own = own(x, Operation::GeluBackward, |kernels| {
            kernels.gelu_backward(x, dy, kind)
        })?;
        return own.map_or_else(|| composed(x, kind)?.1 * dy, Ok);
    }
    let shape = x.dims2()?;
    let (x, dy) = (view(x)?, view(dy)?);
    let mut dx = vec![0.0; x.len()];
    (
        dx.par_chunks_mut(CHUNK),
        x.par_chunks(CHUNK),
        dy.par_chunks(CHUNK),
    )
        .into_par_iter()
        .for_each(|(dx, x, dy)| {
            vectorised(
                #[inline(always)]
                || {
                    let triples = dx.iter_mut().zip(x.iter().zip(dy));
                    match kind {
                        Gelu::Exact => triples.for_each(|(dx, (x, dy))| *dx = exact(*x).1 * dy),
                        Gelu::Tanh => {
                            triples.for_each(|(dx, (x, dy))| *dx = approximate(*x).1 * dy);
                        }
                    }
                },
            );
        });
    from_values(dx, shape)
}

/// `gelu(gate) * up`, all `(N, I)`.
pub fn geglu(gate: &Tensor, up: &Tensor, kind: Gelu) -> Result<Tensor> {
    if !on_cpu(gate) {
        let own = own(gate, Operation::Gate, |kernels| {
            kernels.gate(gate, up, Gate::Gelu(kind))
        })?;
        return own.map_or_else(|| geglu_composed(gate, up, kind), Ok);
    }
    let shape = gate.dims2()?;
    let (gate, up) = (view(gate)?, view(up)?);
    let mut y = vec![0.0; gate.len()];
    (
        y.par_chunks_mut(CHUNK),
        gate.par_chunks(CHUNK),
        up.par_chunks(CHUNK),
    )
        .into_par_iter()
        .for_each(|(y, gate, up)| {
            vectorised(
                #[inline(always)]
                || {
                    let triples = y.iter_mut().zip(gate.iter().zip(up));
                    match kind {
                        Gelu::Exact => triples.for_each(|(y, (gate, up))| *y = exact(*gate).0 * up),
                        Gelu::Tanh => {
                            triples.for_each(|(y, (gate, up))| *y = approximate(*gate).0 * up);
                        }
                    }
                },
            );
        });
    from_values(y, shape)
}

/// Gradients of `gate` and `up`, from the gradient of the result.
pub fn geglu_backward(
    gate: &Tensor,
    up: &Tensor,
    dy: &Tensor,
    kind: Gelu,
) -> Result<(Tensor, Tensor)> {
    if !on_cpu(gate) {
        let own = own(gate, Operation::GateBackward, |kernels| {
            kernels.gate_backward(gate, up, dy, Gate::Gelu(kind))
        })?;
        return own.map_or_else(|| geglu_backward_composed(gate, up, dy, kind), Ok);
    }
    let shape = gate.dims2()?;
    let (gate, up, dy) = (view(gate)?, view(up)?, view(dy)?);
    let (mut dgate, mut dup) = (vec![0.0; gate.len()], vec![0.0; gate.len()]);
    (
        (dgate.par_chunks_mut(CHUNK), dup.par_chunks_mut(CHUNK)),
        (
            gate.par_chunks(CHUNK),
            up.par_chunks(CHUNK),
            dy.par_chunks(CHUNK),
        ),
    )
        .into_par_iter()
        .for_each(|((dgate, dup), (gate, up, dy))| {
            vectorised(
                #[inline(always)]
                || {
                    let mut put = |i: usize, (value, slope): (f32, f32)| {
                        dup[i] = dy[i] * value;
                        dgate[i] = dy[i] * up[i] * slope;
                    };
                    match kind {
                        Gelu::Exact => (0..gate.len()).for_each(|i| put(i, exact(gate[i]))),
                        Gelu::Tanh => (0..gate.len()).for_each(|i| put(i, approximate(gate[i]))),
                    }
                },
            );
        });
    Ok((from_values(dgate, shape)?, from_values(dup, shape)?))
}

/// Value and derivative, by candle's operations.
pub(crate) fn composed(x: &Tensor, kind: Gelu) -> Result<(Tensor, Tensor)> {
    let half = |t: &Tensor| (t + 1.0)? * 0.5;
    match kind {
        Gelu::Exact => {
            let cumulative = half(&(x * f64::from(FRAC_1_SQRT_2))?.erf()?)?;
            let density = ((x.sqr()? * -0.5)?.exp()? * f64::from(0.5 * SQRT_2_OVER_PI))?;
            Ok(((x * &cumulative)?, (&cumulative + (x * density)?)?))
        }
        Gelu::Tanh => {
            let cubed = ((x * x.sqr()?)? * f64::from(CUBE))?;
            let t = ((x + cubed)? * f64::from(SQRT_2_OVER_PI))?.tanh()?;
            let inner = (((x.sqr()? * f64::from(3.0 * CUBE))? + 1.0)? * f64::from(SQRT_2_OVER_PI))?;
            let bend = (((x * (1.0 - t.sqr()?)?)? * inner)? * 0.5)?;
            let half = half(&t)?;
            Ok(((x * &half)?, (half + bend)?))
        }
    }
}

pub(crate) fn geglu_composed(gate: &Tensor, up: &Tensor, kind: Gelu) -> Result<Tensor> {
    composed(gate, kind)?.0 * up
}

pub(crate) fn geglu_backward_composed(
    gate: &Tensor,
    up: &Tensor,
    dy: &Tensor,
    kind: Gelu,
) -> Result<(Tensor, Tensor)> {
    let (value, slope) = composed(gate, kind)?;
    Ok((((dy * up)? * slope)?, (dy * value)?))
}
