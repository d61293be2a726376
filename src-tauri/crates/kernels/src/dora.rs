//! What weight decomposition (DoRA, Liu et al., 2024) adds to a low-rank adapter: the norms of
//! the adapted matrix's rows, and factors on the columns of a result.

use crate::gemm::Values;
use crate::operand::Operand;
use crate::storage::{from_values, on_cpu, update, view};
use crate::vectorised::vectorised;
use candle_core::{D, Device, Result, Tensor};
use rayon::prelude::*;

/// Euclidean norm of each row of `weight (out, in) + scale · b (out, r) · a (r, in)`: `(out)`. The
/// sum is formed row by row, never as a whole; `weight` may be f16, bf16 or quantised.
pub fn low_rank_row_norms<'a>(
    weight: impl Into<Operand<'a>>,
    b: &Tensor,
    a: &Tensor,
    scale: f32,
) -> Result<Tensor> {
    let weight = weight.into();
    if !on_cpu(a) {
        return norms_composed(&weight.widened(a.device())?, b, a, scale);
    }
    let ((out, input), r) = (weight.dims2()?, a.dim(0)?);
    let (weight, b, a) = (weight.open()?, view(b)?, view(a)?);
    let (weight, b, a): (Values<'_>, &[f32], &[f32]) = (weight.values(), &b, &a);
    let norms: Vec<f32> = (0..out)
        .into_par_iter()
        .map_init(
            || vec![0.0; input],
            |sum, row| {
                weight.widen_row(row, input, sum);
                let b = &b[row * r..][..r];
                vectorised(
                    #[inline(always)]
                    || row_norm(sum, b, a, scale),
                )
            },
        )
        .collect();
    Tensor::from_vec(norms, out, &Device::Cpu)
}

/// `‖sum + scale · b · a‖` of one row, the sum left in its place.
#[inline(always)]
fn row_norm(sum: &mut [f32], b: &[f32], a: &[f32], scale: f32) -> f32 {
    for (b, a) in b.iter().zip(a.chunks_exact(sum.len())) {
        let factor = scale * b;
        sum.iter_mut()
            .zip(a)
            .for_each(|(sum, a)| *sum += factor * a);
    }
    // Partial sums in f64: many, so that they fill a vector unit.
    let mut squares = [0.0_f64; 16];
    for chunk in sum.chunks(16) {
        for (square, x) in squares.iter_mut().zip(chunk) {
            *square += f64::from(*x) * f64::from(*x);
        }
    }
    squares.iter().sum::<f64>().sqrt() as f32
}

pub(crate) fn norms_composed(
    weight: &Tensor,
    b: &Tensor,
    a: &Tensor,
    scale: f32,
) -> Result<Tensor> {
    (weight + (b.matmul(a)? * f64::from(scale))?)?
        .sqr()?
        .sum(D::Minus1)?
        .sqrt()
}

/// `x (N, F)` with column `f` multiplied by `factors[f]`.
pub fn scale_columns(x: &Tensor, factors: &Tensor) -> Result<Tensor> {
    if !on_cpu(x) {
        return x.broadcast_mul(factors);
    }
    let (rows, width) = x.dims2()?;
    let (values, factors) = (view(x)?, view(factors)?);
    let factors: &[f32] = &factors;
    let mut y = vec![0.0; rows * width];
    (y.par_chunks_mut(width), values.par_chunks(width))
        .into_par_iter()
        .for_each(|(y, x)| {
            for ((y, x), factor) in y.iter_mut().zip(x).zip(factors) {
                *y = x * factor;
            }
        });
    from_values(y, (rows, width))
}

/// Adds `Σₙ a[n, f] · b[n, f] / divisors[f]` to `gradient (F)`: the gradient of a factor on column
/// `f`, and of what the factor is a quotient of.
pub fn add_column_products(
    gradient: &mut Tensor,
    a: &Tensor,
    b: &Tensor,
    divisors: &Tensor,
) -> Result<()> {
    if !on_cpu(a) {
        *gradient = (&*gradient + ((a * b)?.sum(0)? / divisors)?)?;
        return Ok(());
    }
    let width = a.dim(1)?;
    let (a, b, divisors) = (view(a)?, view(b)?, view(divisors)?);
    let mut sums = vec![0.0_f32; width];
    for (a, b) in a.chunks_exact(width).zip(b.chunks_exact(width)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    update(gradient, |gradient| {
        for ((gradient, sum), divisor) in gradient.iter_mut().zip(&sums).zip(divisors.iter()) {
            *gradient += sum / divisor;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agree_with_their_compositions() -> Result<()> {
        let device = &Device::Cpu;
        let draw =
            |rows: usize, columns: usize| Tensor::randn(0.0_f32, 1.0, (rows, columns), device);
        let apart =
            |a: &Tensor, b: &Tensor| -> Result<f32> { (a - b)?.abs()?.max_all()?.to_scalar() };
        let (weight, b, a) = (draw(7, 5)?, draw(7, 2)?, draw(2, 5)?);
        let norms = low_rank_row_norms(&weight, &b, &a, 0.7)?;
        assert!(apart(&norms, &norms_composed(&weight, &b, &a, 0.7)?)? < 1e-5);
        let (x, y) = (draw(9, 7)?, draw(9, 7)?);
        assert!(apart(&scale_columns(&x, &norms)?, &x.broadcast_mul(&norms)?)? < 1e-6);
        let mut gradient = Tensor::ones(7, candle_core::DType::F32, device)?;
        add_column_products(&mut gradient, &x, &y, &norms)?;
        let expected = (((&x * &y)?.sum(0)? / &norms)? + 1.0)?;
        assert!(apart(&gradient, &expected)? < 1e-5);
        Ok(())
    }
}
