//! What a vector unit has to supply, and the choice between the ways to multiply with it.

use super::element::{Bf16, Element, F16, Values};
use super::scratch::{self, Side};
use super::{Into, Matrix, Product, avx2, avx512, blocked, skinny};
use crate::quantised::QuantisedMatrix;

/// An element that every vector unit can widen while it loads.
pub(super) trait Loads: Element + avx2::Load + avx512::Load {}
impl Loads for f32 {}
impl Loads for Bf16 {}
impl Loads for F16 {}

/// A vector unit. Its functions may be called only where the unit was detected.
pub(super) trait Unit: Sync {
    /// Most rows of a register tile.
    const ROWS: usize;
    /// Columns of a register tile.
    const COLUMNS: usize;
    /// Most of the inner size that a packed panel holds: a panel of the left operand stays in the
    /// first cache, a group of panels of the right one in the second.
    const DEPTH: usize;

    /// `c = a · b`, or `+=`, for one register tile.
    ///
    /// # Safety
    /// `rows` is 1 to [`Unit::ROWS`], `columns` 1 to [`Unit::COLUMNS`]. Readable: `a` for
    /// `rows · depth`, and `columns` from each `b + p · b_stride`. Writable: `columns` from each
    /// `c + i · c_stride`.
    unsafe fn tile(size: Tile, a: *const f32, b: *const f32, c: *mut f32);

    /// `panel[p · width + lane] = scale · source[lane · lane_stride + p · depth_stride]`, zero for
    /// lanes from `lanes` on. One of the strides is 1.
    ///
    /// # Safety
    /// `panel` is writable for `width · depth`; every index of the source that the formula forms
    /// is readable.
    unsafe fn pack<E: Loads>(panel: *mut f32, source: Source<E>, scale: f32);

    /// `out[2 · i + j]` = inner product of row `i` of `few` and row `j` of two rows of `many`.
    ///
    /// # Safety
    /// `count` is 1 to [`skinny::AT_ONCE`]. Readable: `depth` from each row.
    unsafe fn dot<E: Loads>(
        few: (*const f32, usize),
        count: usize,
        many: [*const E; 2],
        depth: usize,
    ) -> [f32; 2 * skinny::AT_ONCE];
}

/// The sizes of a register tile.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) depth: usize,
    pub(super) b_stride: usize,
    pub(super) c_stride: usize,
    pub(super) adds: bool,
}

/// Part of a matrix that becomes a panel.
#[derive(Clone, Copy)]
pub(super) struct Source<E> {
    pub(super) values: *const E,
    pub(super) lanes: usize,
    pub(super) lane_stride: usize,
    pub(super) depth: usize,
    pub(super) depth_stride: usize,
    pub(super) width: usize,
}

/// Lanes and inner positions of a matrix that become a panel.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) first: usize,
    pub(super) lanes: usize,
    pub(super) start: usize,
    pub(super) depth: usize,
    pub(super) width: usize,
}

/// Packs rows of `matrix`, its columns being the inner size.
pub(super) fn pack<U: Unit>(panel: &mut [f32], matrix: &Matrix<'_>, part: Part, scale: f32) {
    assert!(part.lanes <= part.width && part.width * part.depth <= panel.len());
    assert!(part.first + part.lanes <= matrix.rows && part.start + part.depth <= matrix.columns);
    if part.lanes == 0 || part.depth == 0 {
        return;
    }
    let to = panel.as_mut_ptr();
    // SAFETY: `Matrix::new` bounds every element of the matrix, and the assertions above bound the
    // part and the panel. A `Unit` is only ever named after it was detected.
    unsafe {
        match matrix.values {
            Values::F32(values) => U::pack(to, source(values, matrix, part), scale),
            Values::Bf16(values) => U::pack(to, source(values, matrix, part), scale),
            Values::F16(values) => U::pack(to, source(values, matrix, part), scale),
            Values::Quantised(values) => pack_quantised::<U>(to, values, matrix, part, scale),
        }
    }
}

fn source<E>(values: &[E], matrix: &Matrix<'_>, part: Part) -> Source<E> {
    let offset = part.first * matrix.row_stride + part.start * matrix.column_stride;
    Source {
        values: values[offset..].as_ptr(),
        lanes: part.lanes,
        lane_stride: matrix.row_stride,
        depth: part.depth,
        depth_stride: matrix.column_stride,
        width: part.width,
    }
}

/// Packs part of a quantised matrix: it is widened first, and that copy is packed.
///
/// # Safety
/// That of [`Unit::pack`], for the panel.
unsafe fn pack_quantised<U: Unit>(
    panel: *mut f32,
    values: &QuantisedMatrix,
    matrix: &Matrix<'_>,
    part: Part,
    scale: f32,
) {
    let (lanes, depth) = (
        part.first..part.first + part.lanes,
        part.start..part.start + part.depth,
    );
    scratch::with(Side::Widened, part.lanes * part.depth, |widened| {
        let (lane_stride, depth_stride) = if matrix.lies_as(values) {
            values.widen_part(lanes, &depth, widened);
            (part.depth, 1)
        } else {
            values.widen_part(depth, &lanes, widened);
            (1, part.lanes)
        };
        let source = Source {
            values: widened.as_ptr(),
            lanes: part.lanes,
            lane_stride,
            depth: part.depth,
            depth_stride,
            width: part.width,
        };
        // SAFETY: `widened` holds every lane and depth of the part; the panel is the caller's.
        unsafe { U::pack(panel, source, scale) };
    });
}

/// A destination that tasks share; each writes elements of its own.
#[derive(Clone, Copy)]
pub(super) struct Destination {
    values: *mut f32,
    pub(super) row_stride: usize,
}

// SAFETY: see `Destination::at`: whoever writes through the pointer writes elements of its own.
unsafe impl Send for Destination {}
// SAFETY: as above.
unsafe impl Sync for Destination {}

impl Destination {
    pub(super) fn new(values: *mut f32, row_stride: usize) -> Self {
        Self { values, row_stride }
    }

    /// # Safety
    /// The element lies in the destination, and no two tasks write the same one.
    pub(super) unsafe fn at(&self, row: usize, column: usize) -> *mut f32 {
        // SAFETY: the caller's.
        unsafe { self.values.add(row * self.row_stride + column) }
    }
}

/// `destination = Σ alpha · a · b`, or `+=`; the caller has checked every size.
pub(super) fn sum<U: Unit>(
    destination: Destination,
    mode: Into,
    products: &[Product<'_>],
    parallel: bool,
) {
    if let [product] = products
        && skinny::sum::<U>(destination, mode, product, parallel)
    {
        return;
    }
    blocked::sum::<U>(destination, mode, products, parallel);
}
