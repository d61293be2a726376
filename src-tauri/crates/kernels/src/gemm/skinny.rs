//! Products with few rows or few columns, as adapters and single tokens have them: the large
//! operand is read once, where it lies.

use super::scratch::{self, Side};
use super::vector::{Destination, Loads, Part, Tile, Unit, pack};
use super::{Into, Matrix, Product, Values};
use crate::quantised::QuantisedMatrix;
use rayon::prelude::*;
use std::ops::Range;

/// Most rows or columns that count as few.
pub(super) const MOST: usize = 16;
/// Inner products that share one reading of a row.
pub(super) const AT_ONCE: usize = 8;
/// Inner positions whose rows are read together: as many streams as hardware follows.
const STREAMS: usize = 32;
/// Elements of the large operand that one task reads at least.
const TASK: usize = 64 * 1024;

/// Multiplies if one side is thin and lies well for it; otherwise returns false.
pub(super) fn sum<U: Unit>(
    destination: Destination,
    mode: Into,
    product: &Product<'_>,
    parallel: bool,
) -> bool {
    let (rows, columns, depth) = (product.a.rows, product.b.columns, product.a.columns);
    if rows.min(columns) > MOST || depth == 0 {
        return false;
    }
    // As `few · manyᵀ`: `few (count, depth)`, `many (length, depth)`.
    let left = rows <= columns;
    let (few, many) = if left {
        (product.a, product.b.t())
    } else {
        (product.b.t(), product.a)
    };
    let thin = Thin {
        few,
        many,
        alpha: product.alpha,
        adds: mode == Into::Add,
        left,
        parallel: parallel && many.rows * depth >= 2 * TASK,
    };
    match many.values {
        Values::F32(values) if many.column_stride == 1 => {
            thin.inner_products::<U, f32>(values, destination);
        }
        Values::Bf16(values) if many.column_stride == 1 => {
            thin.inner_products::<U, _>(values, destination);
        }
        Values::F16(values) if many.column_stride == 1 => {
            thin.inner_products::<U, _>(values, destination);
        }
        Values::Quantised(values) if many.lies_as(values) => {
            thin.quantised_inner_products::<U>(values, destination);
        }
        Values::F32(values) => thin.outer_products::<U>(values, destination),
        Values::Bf16(_) | Values::F16(_) | Values::Quantised(_) => return false,
    }
    true
}

struct Thin<'a> {
    few: Matrix<'a>,
    many: Matrix<'a>,
    alpha: f32,
    adds: bool,
    /// Whether `few` is the left operand, so that the product lies as `few` rows.
    left: bool,
    parallel: bool,
}

impl Thin<'_> {
    /// Cuts the large operand's rows into tasks, in multiples of `unit`.
    fn each_task(&self, unit: usize, task: impl Fn(Range<usize>) + Sync) {
        let length = self.many.rows;
        if !self.parallel {
            return task(0..length);
        }
        let size = (TASK / self.few.columns).next_multiple_of(unit);
        (0..length.div_ceil(size))
            .into_par_iter()
            .for_each(|index| task(index * size..length.min((index + 1) * size)));
    }

    /// Rows of the large operand lie in memory one after the other: each element of the product is
    /// an inner product of two rows.
    fn inner_products<U: Unit, E: Loads>(&self, many: &[E], destination: Destination) {
        let (depth, many_stride) = (self.few.columns, self.many.row_stride);
        self.with_few::<U>(|few| {
            self.each_task(2, |rows| {
                for row in rows.clone().step_by(2) {
                    // The last of an odd number stands in for its neighbour, whose results are
                    // left out.
                    let next = (row + 1).min(rows.end - 1);
                    let pair = [row, next].map(|row| &many[row * many_stride..][..depth]);
                    self.pair_of_rows::<U, E>(few, pair, row..rows.end, destination);
                }
            });
        });
    }

    /// The same with rows that are widened, two at a time.
    fn quantised_inner_products<U: Unit>(&self, many: &QuantisedMatrix, destination: Destination) {
        let depth = self.few.columns;
        self.with_few::<U>(|few| {
            self.each_task(2, |rows| {
                scratch::with(Side::Widened, 2 * depth, |widened| {
                    for row in rows.clone().step_by(2) {
                        let next = (row + 1).min(rows.end - 1);
                        let (first, second) = widened.split_at_mut(depth);
                        many.widen_row(row, 0..depth, first);
                        many.widen_row(next, 0..depth, second);
                        let pair = [&*first, &*second];
                        self.pair_of_rows::<U, f32>(few, pair, row..rows.end, destination);
                    }
                });
            });
        });
    }

    /// Lends `work` the rows of the small operand one after the other, scaled.
    fn with_few<U: Unit>(&self, work: impl FnOnce(&[f32])) {
        let (count, depth) = (self.few.rows, self.few.columns);
        scratch::with(Side::Left, count * depth, |few| {
            // A panel of one lane each.
            for (row, panel) in few.chunks_exact_mut(depth).enumerate() {
                let part = Part {
                    first: row,
                    lanes: 1,
                    start: 0,
                    depth,
                    width: 1,
                };
                pack::<U>(panel, &self.few, part, self.alpha);
            }
            work(few);
        });
    }

    /// The inner products of all of `few` with two rows of the large operand, the first two of
    /// `rows`.
    fn pair_of_rows<U: Unit, E: Loads>(
        &self,
        few: &[f32],
        pair: [&[E]; 2],
        rows: Range<usize>,
        destination: Destination,
    ) {
        let depth = self.few.columns;
        assert!(pair.iter().all(|row| row.len() >= depth));
        let pair = pair.map(<[E]>::as_ptr);
        for (index, some) in few.chunks(AT_ONCE * depth).enumerate() {
            let here = some.len() / depth;
            // SAFETY: `some` holds `here` rows of `depth`, and so does each of the pair.
            let products = unsafe { U::dot((some.as_ptr(), depth), here, pair, depth) };
            for (at, product) in products[..2 * here].iter().enumerate() {
                let (i, j) = (index * AT_ONCE + at / 2, rows.start + at % 2);
                if j >= rows.end {
                    continue;
                }
                // SAFETY: `i` and `j` lie in the product, and no other task has `j`.
                unsafe {
                    let to = if self.left {
                        destination.at(i, j)
                    } else {
                        destination.at(j, i)
                    };
                    *to = if self.adds { *to + product } else { *product };
                }
            }
        }
    }

    /// Columns of the large operand lie in memory one after the other: the product is a sum of
    /// outer products, formed in register tiles straight from it.
    fn outer_products<U: Unit>(&self, many: &[f32], destination: Destination) {
        let (count, depth) = (self.few.rows, self.few.columns);
        let (length, many_stride) = (self.many.rows, self.many.column_stride);
        scratch::with(Side::Left, count * depth, |few| {
            for (first, lanes, panel) in bands(count, depth, U::ROWS) {
                let part = Part {
                    first,
                    lanes,
                    start: 0,
                    depth,
                    width: lanes,
                };
                pack::<U>(&mut few[panel], &self.few, part, self.alpha);
            }
            let few = &*few;
            self.each_task(U::COLUMNS, |columns| {
                if self.left {
                    let to = |i, j| {
                        // SAFETY: as for `outer_task`, which asks for these elements only.
                        unsafe { destination.at(i, j) }
                    };
                    let shape = (count, depth, many_stride, destination.row_stride);
                    outer_task::<U>(few, many, shape, &columns, self.adds, to(0, columns.start));
                    return;
                }
                // The product lies the other way round: formed here, then turned.
                scratch::with(Side::Right, count * columns.len(), |turned| {
                    let shape = (count, depth, many_stride, columns.len());
                    outer_task::<U>(few, many, shape, &columns, false, turned.as_mut_ptr());
                    for j in columns.clone() {
                        for i in 0..count {
                            let product = turned[i * columns.len() + j - columns.start];
                            // SAFETY: the element lies in the product, and no other task has `j`.
                            unsafe {
                                let to = destination.at(j, i);
                                *to = if self.adds { *to + product } else { product };
                            }
                        }
                    }
                });
            });
        });
        debug_assert!(length > 0);
    }
}

/// Cuts `count` rows of `depth` into panels: first row, rows, and where the panel lies.
fn bands(
    count: usize,
    depth: usize,
    most: usize,
) -> impl Iterator<Item = (usize, usize, Range<usize>)> {
    let size = count.div_ceil(count.div_ceil(most));
    (0..count).step_by(size).map(move |first| {
        let lanes = size.min(count - first);
        (first, lanes, first * depth..(first + lanes) * depth)
    })
}

/// Columns of a sum of outer products. `c` is where its first column begins, `shape` is rows, inner
/// size, and the strides of `many` and `c`.
fn outer_task<U: Unit>(
    few: &[f32],
    many: &[f32],
    (count, depth, many_stride, c_stride): (usize, usize, usize, usize),
    columns: &Range<usize>,
    adds: bool,
    c: *mut f32,
) {
    for start in (0..depth).step_by(STREAMS) {
        let here = STREAMS.min(depth - start);
        for column in columns.clone().step_by(U::COLUMNS) {
            let width = U::COLUMNS.min(columns.end - column);
            let b = &many[start * many_stride + column..][..(here - 1) * many_stride + width];
            for (first, lanes, panel) in bands(count, depth, U::ROWS) {
                let a = &few[panel][start * lanes..][..here * lanes];
                let size = Tile {
                    rows: lanes,
                    columns: width,
                    depth: here,
                    b_stride: many_stride,
                    c_stride,
                    adds: adds || start > 0,
                };
                // SAFETY: `a` and `b` are sliced to what a tile reads. `c` is the caller's: a
                // matrix of `count` rows and these columns.
                unsafe {
                    let c = c.add(first * c_stride + column - columns.start);
                    U::tile(size, a.as_ptr(), b.as_ptr(), c);
                }
            }
        }
    }
}
