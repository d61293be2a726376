//! The squared Euclidean norm, summed in f64.

use crate::storage::{on_cpu, view};
use candle_core::{DType, Result, Tensor};

/// Σ x².
pub fn squared_norm(x: &Tensor) -> Result<f64> {
    if on_cpu(x) {
        return Ok(view(x)?.iter().map(|x| f64::from(*x) * f64::from(*x)).sum());
    }
    x.to_dtype(DType::F32)?
        .sqr()?
        .sum_all()?
        .to_scalar::<f32>()
        .map(f64::from)
}
