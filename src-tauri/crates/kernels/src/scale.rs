//! Products with a number, as families put on embeddings and residual branches.

use crate::storage::{from_values, on_cpu, view};
use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

/// Elements one task takes.
const CHUNK: usize = 32 * 1024;

/// `factor · x (N, F)`.
pub fn scaled(x: &Tensor, factor: f32) -> Result<Tensor> {
    if !on_cpu(x) {
        return x * f64::from(factor);
    }
    let shape = x.dims2()?;
    let x = view(x)?;
    let mut y = vec![0.0; x.len()];
    y.par_chunks_mut(CHUNK)
        .zip(x.par_chunks(CHUNK))
        .for_each(|(y, x)| {
            for (y, x) in y.iter_mut().zip(x) {
                *y = factor * x;
            }
        });
    from_values(y, shape)
}

/// `a + factor · b`, both `(N, F)`.
pub fn add_scaled(a: &Tensor, b: &Tensor, factor: f32) -> Result<Tensor> {
    if !on_cpu(a) {
        return a + (b * f64::from(factor))?;
    }
    let shape = a.dims2()?;
    if b.dims2()? != shape {
        bail!("add_scaled: {:?} and {:?} differ", a.shape(), b.shape());
    }
    let (a, b) = (view(a)?, view(b)?);
    let mut sum = vec![0.0; a.len()];
    (
        sum.par_chunks_mut(CHUNK),
        a.par_chunks(CHUNK),
        b.par_chunks(CHUNK),
    )
        .into_par_iter()
        .for_each(|(sum, a, b)| {
            for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
                *sum = a + factor * b;
            }
        });
    from_values(sum, shape)
}
