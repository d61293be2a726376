//! Products of strided matrices over slices, in f32 or of operands rounded to bf16, at the speed of
//! the machine.
//!
//! On x86-64 with AVX-512 or AVX2 the product is our own: packed panels, register tiles and
//! blocks sized for the caches (Goto and van de Geijn, 2008). Everywhere else it is the `gemm`
//! crate's, which is also what the tests compare ours with.
//!
//! The order in which an element's products are summed depends on the inner size alone: not on the
//! number of threads, and not on how many rows or columns stand beside it, as long as both
//! numbers are above [`skinny::MOST`] or stay below it.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod bf16;
#[cfg(target_arch = "x86_64")]
mod blocked;
mod compute;
mod element;
mod reference;
#[cfg(target_arch = "x86_64")]
mod scratch;
#[cfg(target_arch = "x86_64")]
mod skinny;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod vector;

#[cfg(target_arch = "x86_64")]
use crate::quantised::QuantisedMatrix;
use ::gemm::Parallelism;
use bf16::Bf16Variant;
pub use compute::ComputeType;
pub(crate) use compute::How;
pub(crate) use element::{Bf16, Element, F16, Values};
use std::sync::OnceLock;

/// A read-only strided matrix; one of its strides is 1.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: Values<'a>,
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
        Self::of(Values::F32(values), rows, columns, row_stride)
    }

    /// The same over elements of any kind.
    pub(crate) fn of(values: Values<'a>, rows: usize, columns: usize, row_stride: usize) -> Self {
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

    /// Whether this is the matrix that `values` holds, rather than its transpose.
    #[cfg(target_arch = "x86_64")]
    fn lies_as(&self, values: &QuantisedMatrix) -> bool {
        (self.rows, self.columns) == values.dims() && self.column_stride == 1
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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Into {
    /// They are overwritten.
    Replace,
    /// The product is added to them.
    Add,
}

/// `alpha · a · b`
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    pub(crate) alpha: f32,
    pub(crate) a: Matrix<'a>,
    pub(crate) b: Matrix<'a>,
}

/// `destination = alpha · a · b`, or `+=`. The destination is row-major, its rows `stride` apart.
pub(crate) fn gemm(
    destination: &mut [f32],
    stride: usize,
    mode: Into,
    alpha: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
    how: impl std::convert::Into<How>,
) {
    let product = Product { alpha, a, b };
    sum(destination, stride, mode, &[product], how);
}

/// `destination = Σ alpha · a · b`, or `+=`, in one pass over the destination: a low-rank product
/// added to a large one costs its arithmetic alone. The products are of one size but for their
/// inner one.
pub(crate) fn sum(
    destination: &mut [f32],
    stride: usize,
    mode: Into,
    products: &[Product<'_>],
    how: impl std::convert::Into<How>,
) {
    let how = how.into();
    match how.compute {
        ComputeType::F32 => {
            Variant::fastest().sum(destination, stride, mode, products, how.parallelism);
        }
        ComputeType::Bf16 => {
            Bf16Variant::fastest().sum(destination, stride, mode, products, how.parallelism);
        }
    }
}

/// `Σ alpha · a · b` in memory of its own, row-major.
pub(crate) fn sum_of(products: &[Product<'_>], how: impl std::convert::Into<How>) -> Vec<f32> {
    let (rows, columns) = products
        .first()
        .map_or((0, 0), |first| (first.a.rows, first.b.columns));
    let mut values = Vec::with_capacity(rows * columns);
    check(columns, products);
    let How {
        compute,
        parallelism,
    } = how.into();
    // SAFETY: there is room for the product, every element of which is written before the length
    // says so; nothing else knows the memory.
    unsafe {
        let to = values.as_mut_ptr();
        match compute {
            ComputeType::F32 => {
                Variant::fastest().sum_at(to, columns, Into::Replace, products, parallelism);
            }
            ComputeType::Bf16 => {
                Bf16Variant::fastest().sum_at(to, columns, Into::Replace, products, parallelism);
            }
        }
        values.set_len(rows * columns);
    }
    values
}

/// Every thread of the pool.
pub(crate) fn all_threads() -> Parallelism {
    Parallelism::Rayon(rayon::current_num_threads())
}

/// Rows and columns of products that fit each other.
fn check(stride: usize, products: &[Product<'_>]) -> (usize, usize) {
    let Some(first) = products.first() else {
        return (0, 0);
    };
    let (rows, columns) = (first.a.rows, first.b.columns);
    for Product { a, b, .. } in products {
        assert_eq!(a.columns, b.rows, "inner sizes differ");
        assert_eq!((a.rows, b.columns), (rows, columns), "sizes differ");
    }
    assert!(stride >= columns, "rows of the destination overlap");
    (rows, columns)
}

/// What [`Variant::sum_at`] may write for [`Variant::sum`].
fn check_destination(destination: &[f32], stride: usize, products: &[Product<'_>]) {
    let (rows, columns) = check(stride, products);
    assert!(
        extent(rows, columns, stride, 1) <= destination.len(),
        "destination too small"
    );
}

/// Who multiplies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Variant {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// The `gemm` crate.
    Reference,
}

impl Variant {
    /// What this machine can run, the fastest first.
    fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let own = [
            avx512::detected().then_some(Self::Avx512),
            avx2::detected().then_some(Self::Avx2),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let own: [Option<Self>; 0] = [];
        own.into_iter().flatten().chain([Self::Reference])
    }

    /// The fastest of them, or the one that the environment names, to compare whole runs by.
    fn fastest() -> Self {
        static CHOSEN: OnceLock<Variant> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let asked = std::env::var("ATTUNE_MATRIX_KERNEL").ok();
            let meant = |variant: &Self| asked.as_deref().is_none_or(|name| variant.name() == name);
            let chosen = Self::available().find(meant);
            chosen
                .or_else(|| Self::available().next())
                .unwrap_or(Self::Reference)
        })
    }

    fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            Self::Reference => "reference",
        }
    }

    fn sum(
        self,
        destination: &mut [f32],
        stride: usize,
        mode: Into,
        products: &[Product<'_>],
        parallelism: Parallelism,
    ) {
        check_destination(destination, stride, products);
        // SAFETY: the destination holds the product, and is borrowed mutably, so that it overlaps
        // no operand.
        unsafe {
            self.sum_at(
                destination.as_mut_ptr(),
                stride,
                mode,
                products,
                parallelism,
            );
        }
    }

    /// # Safety
    /// The products passed [`check`]. The destination is writable for their rows and
    /// columns, `stride` apart, initialised where the mode is to add, and overlaps no operand.
    unsafe fn sum_at(
        self,
        destination: *mut f32,
        stride: usize,
        mode: Into,
        products: &[Product<'_>],
        parallelism: Parallelism,
    ) {
        if products
            .iter()
            .all(|product| product.a.rows == 0 || product.b.columns == 0)
        {
            return;
        }
        #[cfg(target_arch = "x86_64")]
        let to = vector::Destination::new(destination, stride);
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => vector::sum::<avx512::Avx512>(
                to,
                mode,
                products,
                !matches!(parallelism, Parallelism::None),
            ),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => vector::sum::<avx2::Avx2>(
                to,
                mode,
                products,
                !matches!(parallelism, Parallelism::None),
            ),
            // SAFETY: the caller's.
            Self::Reference => unsafe {
                reference::sum(destination, stride, mode, products, parallelism);
            },
        }
    }
}
