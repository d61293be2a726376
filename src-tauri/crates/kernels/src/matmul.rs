//! Matrix products with either side transposed, and products added to what is there.

use crate::device::{Operation, has_bf16, own};
use crate::dispatch::{account, pieces};
use crate::gemm::{self, ComputeType, Into, Matrix, Product, Values};
use crate::operand::Operand;
use crate::storage::{as_f32, from_values, on_cpu, update, weights};
use candle_core::{DType, Result, Tensor, bail};

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
fn sizes(a: &Tensor, b: Operand<'_>, transpose: Transpose) -> Result<(usize, usize, usize)> {
    let ((ar, ac), (br, bc)) = (a.dims2()?, b.dims2()?);
    let ((m, k), (k2, n)) = match transpose {
        Transpose::Neither => ((ar, ac), (br, bc)),
        Transpose::Left => ((ac, ar), (br, bc)),
        Transpose::Right => ((ar, ac), (bc, br)),
    };
    if k != k2 {
        bail!(
            "matmul {transpose:?}: {:?} and {:?} do not fit",
            (ar, ac),
            (br, bc)
        );
    }
    Ok((m, k, n))
}

/// `a · b` in f32, either side transposed. `a` and `b` may be f16 or bf16, and `b` quantised: they
/// are widened.
pub fn matmul<'a>(
    a: &Tensor,
    b: impl std::convert::Into<Operand<'a>>,
    transpose: Transpose,
) -> Result<Tensor> {
    ComputeType::F32.matmul(a, b, transpose)
}

/// One product of [`matmul_sum`]: `scale · a · b`, either side transposed. The sides may be f16 or
/// bf16, the right one quantised.
#[derive(Debug, Clone, Copy)]
pub struct Term<'a> {
    /// The factor.
    pub scale: f32,
    /// The left side.
    pub a: &'a Tensor,
    /// The right side.
    pub b: Operand<'a>,
    /// Which of them is read transposed.
    pub transpose: Transpose,
}

/// [`ComputeType::matmul_sum`] in f32.
pub fn matmul_sum(large: Term<'_>, small: Term<'_>) -> Result<Tensor> {
    ComputeType::F32.matmul_sum(large, small)
}

/// [`ComputeType::matmul_sum_add`] in f32.
pub fn matmul_sum_add(c: &mut Tensor, large: Term<'_>, small: Term<'_>) -> Result<()> {
    ComputeType::F32.matmul_sum_add(c, large, small)
}

/// `c += alpha · a · b`, either side transposed. `c` is f32 and owned by the caller.
pub fn matmul_add<'a>(
    c: &mut Tensor,
    alpha: f32,
    a: &Tensor,
    b: impl std::convert::Into<Operand<'a>>,
    transpose: Transpose,
) -> Result<()> {
    ComputeType::F32.matmul_add(c, alpha, a, b, transpose)
}

/// Products whose operands are rounded to this type first. The result is f32.
impl ComputeType {
    /// [`matmul`], in this type.
    pub fn matmul<'a>(
        self,
        a: &Tensor,
        b: impl std::convert::Into<Operand<'a>>,
        transpose: Transpose,
    ) -> Result<Tensor> {
        let b = b.into();
        let (m, _, n) = sizes(a, b, transpose)?;
        if on_cpu(a) {
            let (left, right) = (weights(a)?, b.open()?);
            let product = product(1.0, (a, left.values()), (b, right.values()), transpose)?;
            let values = gemm::sum_of(&[product], self.shared());
            return from_values(values, (m, n));
        }
        self.composed(1.0, a, b, transpose)
    }

    /// [`matmul_add`], in this type.
    pub fn matmul_add<'a>(
        self,
        c: &mut Tensor,
        alpha: f32,
        a: &Tensor,
        b: impl std::convert::Into<Operand<'a>>,
        transpose: Transpose,
    ) -> Result<()> {
        let b = b.into();
        let (m, _, n) = sizes(a, b, transpose)?;
        if c.dims2()? != (m, n) {
            bail!(
                "matmul_add: the product is {:?}, the destination {:?}",
                (m, n),
                c.shape()
            );
        }
        if on_cpu(c) {
            let (left, right) = (weights(a)?, b.open()?);
            let product = product(alpha, (a, left.values()), (b, right.values()), transpose)?;
            return update(c, |c| {
                gemm::sum(c, n, Into::Add, &[product], self.shared());
            });
        }
        *c = (&*c + self.composed(alpha, a, b, transpose)?)?;
        Ok(())
    }

    /// `large + small`, two products of one size in one pass over the result: what a low-rank
    /// adapter adds to its layer then costs its arithmetic alone.
    pub fn matmul_sum(self, large: Term<'_>, small: Term<'_>) -> Result<Tensor> {
        let (m, n) = one_size(large, small)?;
        if on_cpu(large.a) {
            return with_products(large, small, |products| {
                gemm::sum_of(products, self.shared())
            })
            .and_then(|values| from_values(values, (m, n)));
        }
        self.term_composed(large)? + self.term_composed(small)?
    }

    /// `c += large + small`, as [`ComputeType::matmul_sum`]. `c` is f32 and owned by the caller.
    pub fn matmul_sum_add(self, c: &mut Tensor, large: Term<'_>, small: Term<'_>) -> Result<()> {
        let (m, n) = one_size(large, small)?;
        if c.dims2()? != (m, n) {
            bail!(
                "matmul_sum_add: the products are {:?}, the destination {:?}",
                (m, n),
                c.shape()
            );
        }
        if on_cpu(c) {
            return with_products(large, small, |products| {
                update(c, |c| {
                    gemm::sum(c, n, Into::Add, products, self.shared());
                })
            })?;
        }
        *c = ((&*c + self.term_composed(large)?)? + self.term_composed(small)?)?;
        Ok(())
    }

    fn term_composed(self, term: Term<'_>) -> Result<Tensor> {
        self.composed(term.scale, term.a, term.b, term.transpose)
    }

    /// `scale · a · b` on other devices than the CPU: with a quantised matrix by a kernel of ours
    /// where there is one, otherwise by candle's operations.
    pub(crate) fn composed(
        self,
        scale: f32,
        a: &Tensor,
        b: Operand<'_>,
        transpose: Transpose,
    ) -> Result<Tensor> {
        let device = a.device();
        let a = as_f32(a)?;
        let own = match (self, b, transpose) {
            (Self::F32, Operand::Quantised(matrix), Transpose::Neither | Transpose::Right) => {
                own(&a, Operation::QuantisedProduct, |kernels| {
                    kernels.quantised_product(&a, matrix, transpose)
                })?
            }
            _ => None,
        };
        let product = if let Some(product) = own {
            product
        } else {
            let (a, b) = (self.rounded(&a)?, self.rounded(&b.widened(device)?)?);
            in_pieces(&a, &b, transpose)?
        };
        if scale == 1.0 {
            Ok(product)
        } else {
            product * f64::from(scale)
        }
    }

    /// `x`, f32, rounded to this type, in f32. As it is where a device has no bf16: f16, which ends
    /// at 65504, is no place for activations and gradients, and the product is one of f32 anyhow.
    pub(crate) fn rounded(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Bf16 if has_bf16(x.device()) => as_f32(&x.to_dtype(DType::BF16)?),
            Self::F32 | Self::Bf16 => Ok(x.clone()),
        }
    }
}

/// `a · b`, the rows of the result cut where the device would be busy too long.
fn in_pieces(a: &Tensor, b: &Tensor, transpose: Transpose) -> Result<Tensor> {
    let (m, k, n) = sizes(a, b.into(), transpose)?;
    let (device, work) = (a.device(), k * n);
    let pieces: Vec<_> = pieces(device, m, work, 1).collect();
    if pieces.len() <= 1 {
        account(device, m * work)?;
        return composed(a, b, transpose);
    }
    let parts = pieces.into_iter().map(|rows| {
        account(device, rows.len() * work)?;
        // A part of the columns is copied: candle's products want rows without gaps.
        let dimension = usize::from(transpose == Transpose::Left);
        let part = a.narrow(dimension, rows.start, rows.len())?.contiguous()?;
        composed(&part, b, transpose)
    });
    Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)
}

fn one_size(large: Term<'_>, small: Term<'_>) -> Result<(usize, usize)> {
    let (m, _, n) = sizes(large.a, large.b, large.transpose)?;
    let (m2, _, n2) = sizes(small.a, small.b, small.transpose)?;
    if (m, n) != (m2, n2) {
        bail!("matmul_sum: a product is {m} × {n}, the other {m2} × {n2}");
    }
    Ok((m, n))
}

fn with_products<T>(
    large: Term<'_>,
    small: Term<'_>,
    work: impl FnOnce(&[Product<'_>]) -> T,
) -> Result<T> {
    let (a, b) = (weights(large.a)?, large.b.open()?);
    let (c, d) = (weights(small.a)?, small.b.open()?);
    let products = [
        product(
            large.scale,
            (large.a, a.values()),
            (large.b, b.values()),
            large.transpose,
        )?,
        product(
            small.scale,
            (small.a, c.values()),
            (small.b, d.values()),
            small.transpose,
        )?,
    ];
    Ok(work(&products))
}

fn product<'a>(
    alpha: f32,
    (a, a_values): (&Tensor, Values<'a>),
    (b, b_values): (Operand<'_>, Values<'a>),
    transpose: Transpose,
) -> Result<Product<'a>> {
    let ((ar, ac), (br, bc)) = (a.dims2()?, b.dims2()?);
    let (a, b) = (
        Matrix::of(a_values, ar, ac, ac),
        Matrix::of(b_values, br, bc, bc),
    );
    let (a, b) = match transpose {
        Transpose::Neither => (a, b),
        Transpose::Left => (a.t(), b),
        Transpose::Right => (a, b.t()),
    };
    Ok(Product { alpha, a, b })
}

pub(crate) fn composed(a: &Tensor, b: &Tensor, transpose: Transpose) -> Result<Tensor> {
    match transpose {
        Transpose::Neither => a.matmul(b),
        Transpose::Left => a.t()?.matmul(b),
        Transpose::Right => a.matmul(&b.t()?),
    }
}
