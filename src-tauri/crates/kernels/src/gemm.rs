//! A safe face of the `gemm` crate: strided f32 matrices over slices.

use ::gemm::Parallelism;

/// A read-only strided matrix.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

/// Index one past the last element that a strided matrix touches.
fn extent(rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> usize {
    if rows == 0 || columns == 0 {
        0
    } else {
        (rows - 1) * row_stride + (columns - 1) * column_stride + 1
    }
}

impl<'a> Matrix<'a> {
    /// `rows` × `columns`, each row `row_stride` elements after the one before.
    pub(crate) fn new(values: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(
            extent(rows, columns, row_stride, 1) <= values.len(),
            "matrix reaches past its slice"
        );
        Self {
            values,
            rows,
            columns,
            row_stride,
            column_stride: 1,
        }
    }

    /// The same elements, transposed.
    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// What happens to the values already in the destination.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Into {
    /// They are overwritten.
    Replace,
    /// The product is added to them.
    Add,
}

/// `destination = alpha · a · b`, or `+=`. The destination is row-major, its rows `stride` apart.
pub(crate) fn gemm(
    destination: &mut [f32],
    stride: usize,
    mode: Into,
    alpha: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
    parallelism: Parallelism,
) {
    assert_eq!(a.columns, b.rows, "inner sizes differ");
    assert!(stride >= b.columns, "rows of the destination overlap");
    assert!(
        extent(a.rows, b.columns, stride, 1) <= destination.len(),
        "destination too small"
    );
    if a.rows == 0 || b.columns == 0 {
        return;
    }
    // SAFETY: the constructors and the assertions above bound every index the kernel forms, and
    // `destination` is borrowed mutably, so it cannot overlap `a` or `b`.
    unsafe {
        ::gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            destination.as_mut_ptr(),
            1,
            stride as isize,
            mode == Into::Add,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            alpha,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// Every thread of the pool.
pub(crate) fn all_threads() -> Parallelism {
    Parallelism::Rayon(rayon::current_num_threads())
}
