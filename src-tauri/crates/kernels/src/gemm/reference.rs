//! The `gemm` crate: what runs where we have no kernel, and what ours are compared with.

use super::element::{Element, Values};
use super::{Into, Matrix, Product};
use ::gemm::Parallelism;
use std::borrow::Cow;

fn widened<'a>(values: &Values<'a>) -> Cow<'a, [f32]> {
    match values {
        Values::F32(values) => Cow::Borrowed(values),
        Values::Bf16(values) => values.iter().map(|value| value.widen()).collect(),
        Values::F16(values) => values.iter().map(|value| value.widen()).collect(),
        Values::Quantised(matrix) => Cow::Owned(matrix.widened()),
    }
}

/// `destination = Σ alpha · a · b`, or `+=`.
///
/// # Safety
/// That of `Variant::sum_at`.
pub(super) unsafe fn sum(
    destination: *mut f32,
    stride: usize,
    mode: Into,
    products: &[Product<'_>],
    parallelism: Parallelism,
) {
    for (index, Product { alpha, a, b }) in products.iter().enumerate() {
        let adds = mode == Into::Add || index > 0;
        let (a_values, b_values) = (widened(&a.values), widened(&b.values));
        let strides =
            |matrix: &Matrix<'_>| (matrix.column_stride as isize, matrix.row_stride as isize);
        let ((a_columns, a_rows), (b_columns, b_rows)) = (strides(a), strides(b));
        // SAFETY: `Matrix::of` bounds every index into the operands, the caller those into the
        // destination. Values there are read only where they are added to.
        unsafe {
            ::gemm::gemm(
                a.rows,
                b.columns,
                a.columns,
                destination,
                1,
                stride as isize,
                adds,
                a_values.as_ptr(),
                a_columns,
                a_rows,
                b_values.as_ptr(),
                b_columns,
                b_rows,
                1.0,
                *alpha,
                false,
                false,
                false,
                parallelism,
            );
        }
    }
}
