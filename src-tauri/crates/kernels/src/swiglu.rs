//! SwiGLU: `silu(gate) · up` (Shazeer, 2020).

use crate::device::{Gate, Operation, own};
use crate::exp::sigmoid;
use crate::storage::{from_written, on_cpu, view};
use crate::vectorised::vectorised;
use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

/// Elements one task takes.
const CHUNK: usize = 16 * 1024;

/// `silu(gate) * up`, all `(N, I)`.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if !on_cpu(gate) {
        let own = own(gate, Operation::Gate, |kernels| {
            kernels.gate(gate, up, Gate::Silu)
        })?;
        return own.map_or_else(|| composed(gate, up), Ok);
    }
    let shape = check(gate, up, up)?;
    let (gate, up) = (view(gate)?, view(up)?);
    let mut y = Vec::with_capacity(gate.len());
    (
        y.spare_capacity_mut()[..gate.len()].par_chunks_mut(CHUNK),
        gate.par_chunks(CHUNK),
        up.par_chunks(CHUNK),
    )
        .into_par_iter()
        .for_each(|(y, gate, up)| {
            vectorised(
                #[inline(always)]
                || {
                    for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
                        y.write(gate * sigmoid(*gate) * up);
                    }
                },
            );
        });
    // SAFETY: the three are of one length, and each element of the result is written.
    unsafe { from_written(y, shape) }
}

/// The size of all three.
fn check(gate: &Tensor, up: &Tensor, dy: &Tensor) -> Result<(usize, usize)> {
    let shape = gate.dims2()?;
    if up.dims2()? != shape || dy.dims2()? != shape {
        bail!(
            "swiglu: {:?}, {:?} and {:?} differ",
            gate.shape(),
            up.shape(),
            dy.shape()
        );
    }
    Ok(shape)
}

/// Gradients of `gate` and `up`, from the gradient of the result.
pub fn swiglu_backward(gate: &Tensor, up: &Tensor, dy: &Tensor) -> Result<(Tensor, Tensor)> {
    if !on_cpu(gate) {
        let own = own(gate, Operation::GateBackward, |kernels| {
            kernels.gate_backward(gate, up, dy, Gate::Silu)
        })?;
        return own.map_or_else(|| backward_composed(gate, up, dy), Ok);
    }
    let shape = check(gate, up, dy)?;
    let (gate, up, dy) = (view(gate)?, view(up)?, view(dy)?);
    let len = gate.len();
    let (mut dgate, mut dup) = (Vec::with_capacity(len), Vec::with_capacity(len));
    (
        (
            dgate.spare_capacity_mut()[..len].par_chunks_mut(CHUNK),
            dup.spare_capacity_mut()[..len].par_chunks_mut(CHUNK),
        ),
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
                    for i in 0..dgate.len() {
                        let sigmoid = sigmoid(gate[i]);
                        let silu = gate[i] * sigmoid;
                        dup[i].write(dy[i] * silu);
                        dgate[i].write(dy[i] * up[i] * (sigmoid + silu * (1.0 - sigmoid)));
                    }
                },
            );
        });
    // SAFETY: the five are of one length, and each element of both gradients is written.
    unsafe { Ok((from_written(dgate, shape)?, from_written(dup, shape)?)) }
}

pub(crate) fn composed(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.silu()? * up
}

pub(crate) fn backward_composed(
    gate: &Tensor,
    up: &Tensor,
    dy: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let sigmoid = candle_nn::ops::sigmoid(gate)?;
    let silu = (gate * &sigmoid)?;
    // silu' = sigmoid · (1 + gate · (1 - sigmoid))
    let slope = (&sigmoid + (&silu * (1.0 - &sigmoid)?)?)?;
    Ok((((dy * up)? * slope)?, (dy * silu)?))
}
