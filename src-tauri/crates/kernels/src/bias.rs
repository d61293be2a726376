//! Bias of a linear layer: added to every row; its gradient is the sum over rows.

use crate::storage::{as_f32, on_cpu, update, view};
use candle_core::{Result, Tensor};

/// Adds `bias (F)` to every row of `x (N, F)`.
pub fn add_bias(x: &mut Tensor, bias: &Tensor) -> Result<()> {
    let bias = as_f32(bias)?;
    if on_cpu(x) {
        let bias = view(&bias)?;
        return update(x, |x| {
            for row in x.chunks_exact_mut(bias.len()) {
                row.iter_mut()
                    .zip(bias.iter())
                    .for_each(|(x, bias)| *x += bias);
            }
        });
    }
    *x = x.broadcast_add(&bias)?;
    Ok(())
}

/// Adds the sum over the rows of `dy (N, F)` to `gradient (F)`.
pub fn add_column_sums(gradient: &mut Tensor, dy: &Tensor) -> Result<()> {
    if on_cpu(dy) {
        let dy = view(dy)?;
        return update(gradient, |gradient| {
            for row in dy.chunks_exact(gradient.len()) {
                gradient
                    .iter_mut()
                    .zip(row)
                    .for_each(|(sum, dy)| *sum += dy);
            }
        });
    }
    *gradient = (&*gradient + dy.sum(0)?)?;
    Ok(())
}
