//! Products for inference, where speed counts for more than the last digits.

use crate::matmul::{Transpose, matmul};
use crate::operand::Operand;
use crate::storage::{from_values, on_cpu, view};
use candle_core::{Result, Tensor, bail};

/// `a · bᵀ` in f32, `a (N, in)` and `b (out, in)`, as [`matmul`] forms it; but beside a matrix in a
/// block type of ggml the rows of `a`, of f32, are rounded to 8 bits, as llama.cpp rounds them. A
/// row's result does not depend on the rows beside it. Not for training, whose gradients are those
/// of the exact product.
pub fn matmul_for_inference<'a>(a: &Tensor, b: impl Into<Operand<'a>>) -> Result<Tensor> {
    let b = b.into();
    if let Operand::Quantised(matrix) = b
        && on_cpu(a)
    {
        let ((rows, inner), (out, columns)) = (a.dims2()?, matrix.dims());
        if inner != columns {
            bail!(
                "matmul_for_inference: {:?} and {:?} do not fit",
                (rows, inner),
                (out, columns)
            );
        }
        if let Some(product) = matrix.rounded_product(&view(a)?) {
            return from_values(product, (rows, out));
        }
    }
    matmul(a, b, Transpose::Right)
}
