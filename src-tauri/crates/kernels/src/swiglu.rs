//! SwiGLU: `silu(gate) · up` (Shazeer, 2020).

use crate::exp::sigmoid;
use crate::storage::{from_values, on_cpu, view};
use candle_core::{Result, Tensor};
use rayon::prelude::*;

/// Elements one task takes.
const CHUNK: usize = 16 * 1024;

/// `silu(gate) * up`, all `(N, I)`.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if !on_cpu(gate) {
        return composed(gate, up);
    }
    let shape = gate.dims2()?;
    let (gate, up) = (view(gate)?, view(up)?);
    let mut y = vec![0.0; gate.len()];
    let arch = pulp::Arch::new();
    (
        y.par_chunks_mut(CHUNK),
        gate.par_chunks(CHUNK),
        up.par_chunks(CHUNK),
    )
        .into_par_iter()
        .for_each(|(y, gate, up)| {
            arch.dispatch(
                #[inline(always)]
                || {
                    for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
                        *y = gate * sigmoid(*gate) * up;
                    }
                },
            );
        });
    from_values(y, shape)
}

/// Gradients of `gate` and `up`, from the gradient of the result.
pub fn swiglu_backward(gate: &Tensor, up: &Tensor, dy: &Tensor) -> Result<(Tensor, Tensor)> {
    if !on_cpu(gate) {
        return backward_composed(gate, up, dy);
    }
    let shape = gate.dims2()?;
    let (gate, up, dy) = (view(gate)?, view(up)?, view(dy)?);
    let (mut dgate, mut dup) = (vec![0.0; gate.len()], vec![0.0; gate.len()]);
    let arch = pulp::Arch::new();
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
            arch.dispatch(
                #[inline(always)]
                || {
                    for i in 0..dgate.len() {
                        let sigmoid = sigmoid(gate[i]);
                        let silu = gate[i] * sigmoid;
                        dup[i] = dy[i] * silu;
                        dgate[i] = dy[i] * up[i] * (sigmoid + silu * (1.0 - sigmoid));
                    }
                },
            );
        });
    Ok((from_values(dgate, shape)?, from_values(dup, shape)?))
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
