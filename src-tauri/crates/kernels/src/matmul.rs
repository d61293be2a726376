//! Matrix products with either side transposed, and products added to what is there.

use crate::gemm::{self, Into, Matrix};
use crate::storage::{as_f32, from_values, on_cpu, update, weights};
use candle_core::{Result, Tensor, bail};

/// Which operand is read transposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transpose {
    /// `a · b`
    Neither,
    /// `aᵀ · b`
    Left,
    /// `a · bᵀ`
    Right,
}

/// Rows, inner size and columns of the product.
fn sizes(a: &Tensor, b: &Tensor, transpose: Transpose) -> Result<(usize, usize, usize)> {
    let ((ar, ac), (br, bc)) = (a.dims2()?, b.dims2()?);
    let ((m, k), (k2, n)) = match transpose {
        Transpose::Neither => ((ar, ac), (br, bc)),
        Transpose::Left => ((ac, ar), (br, bc)),
        Transpose::Right => ((ar, ac), (bc, br)),
    };
    if k != k2 {
        bail!(
            "matmul {transpose:?}: {:?} and {:?} do not fit",
            a.shape(),
            b.shape()
        );
    }
    Ok((m, k, n))
}

/// `a · b` in f32, either side transposed. `a` and `b` may be f16 or bf16: they are widened.
pub fn matmul(a: &Tensor, b: &Tensor, transpose: Transpose) -> Result<Tensor> {
    let (m, _, n) = sizes(a, b, transpose)?;
    if on_cpu(a) {
        let mut out = vec![0.0; m * n];
        product(&mut out, Into::Replace, 1.0, a, b, transpose)?;
        return from_values(out, (m, n));
    }
    composed(&as_f32(a)?, &as_f32(b)?, transpose)
}

/// `c += alpha · a · b`, either side transposed. `c` is f32 and owned by the caller.
pub fn matmul_add(
    c: &mut Tensor,
    alpha: f32,
    a: &Tensor,
    b: &Tensor,
    transpose: Transpose,
) -> Result<()> {
    let (m, _, n) = sizes(a, b, transpose)?;
    if c.dims2()? != (m, n) {
        bail!(
            "matmul_add: the product is {:?}, the destination {:?}",
            (m, n),
            c.shape()
        );
    }
    if on_cpu(c) {
        // The product may fail only before it writes, so the closure's result can be carried out.
        let failure = std::cell::RefCell::new(Ok(()));
        update(c, |c| {
            *failure.borrow_mut() = product(c, Into::Add, alpha, a, b, transpose);
        })?;
        return failure.into_inner();
    }
    let (a, b) = (as_f32(a)?, as_f32(b)?);
    *c = (&*c + (composed(&a, &b, transpose)? * f64::from(alpha))?)?;
    Ok(())
}

fn product(
    c: &mut [f32],
    mode: Into,
    alpha: f32,
    a: &Tensor,
    b: &Tensor,
    transpose: Transpose,
) -> Result<()> {
    let ((ar, ac), (br, bc)) = (a.dims2()?, b.dims2()?);
    let (a, b) = (weights(a)?, weights(b)?);
    let (a, b) = (
        Matrix::of(a.values(), ar, ac, ac),
        Matrix::of(b.values(), br, bc, bc),
    );
    let (a, b, n) = match transpose {
        Transpose::Neither => (a, b, bc),
        Transpose::Left => (a.t(), b, bc),
        Transpose::Right => (a, b.t(), br),
    };
    gemm::gemm(c, n, mode, alpha, a, b, gemm::all_threads());
    Ok(())
}

pub(crate) fn composed(a: &Tensor, b: &Tensor, transpose: Transpose) -> Result<Tensor> {
    match transpose {
        Transpose::Neither => a.matmul(b),
        Transpose::Left => a.t()?.matmul(b),
        Transpose::Right => a.matmul(&b.t()?),
    }
}
