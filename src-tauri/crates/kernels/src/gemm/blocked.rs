//! The blocked product: both operands packed into panels, one pass of register tiles per block of
//! the inner size.

use super::scratch::{self, Side};
use super::vector::{Destination, Part, Tile, Unit, pack};
use super::{Into, Product};
use rayon::prelude::*;
use std::ops::Range;

/// Rows of the left operand packed at once.
const ROWS: usize = 2048;
/// Numbers of the left operand packed at once: 16 MiB.
const LEFT: usize = 4 * 1024 * 1024;
/// Most panels of the right operand packed at once; they share the second cache.
const GROUP: usize = 16;
/// Multiplications below which handing work to another thread costs more than it saves.
const WORTH_SHARING: usize = 64 * 64 * 128;

/// A product whose inner sizes lie end to end, cut into equal blocks.
struct Plan<'a> {
    products: &'a [Product<'a>],
    rows: usize,
    columns: usize,
    depth: usize,
    /// Inner size of a block; the last may be shorter.
    block: usize,
    /// Rows of a tile; the last may have fewer.
    tile: usize,
}

/// Rows and a range of the inner size: what is packed of the left operand at once.
struct Slab {
    rows: Range<usize>,
    depth: Range<usize>,
}

pub(super) fn sum<U: Unit>(
    destination: Destination,
    mode: Into,
    products: &[Product<'_>],
    parallel: bool,
) {
    let (rows, columns) = (products[0].a.rows, products[0].b.columns);
    let depth: usize = products.iter().map(|product| product.a.columns).sum();
    if depth == 0 {
        if mode == Into::Replace {
            for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |at| (row, at))) {
                // SAFETY: the element lies in the product; there is one task.
                unsafe { *destination.at(row, column) = 0.0 };
            }
        }
        return;
    }
    let plan = Plan {
        products,
        rows,
        columns,
        depth,
        block: depth.div_ceil(depth.div_ceil(U::DEPTH)),
        tile: rows.div_ceil(rows.div_ceil(U::ROWS)),
    };
    let threads = if parallel && rows * columns * depth >= WORTH_SHARING {
        rayon::current_num_threads()
    } else {
        1
    };
    let slab_rows = even(plan.rows, ROWS, plan.tile);
    let slab_depth = even(plan.depth, LEFT / slab_rows.min(plan.rows), plan.block);
    for first in (0..plan.rows).step_by(slab_rows) {
        for start in (0..plan.depth).step_by(slab_depth) {
            let slab = Slab {
                rows: first..plan.rows.min(first + slab_rows),
                depth: start..plan.depth.min(start + slab_depth),
            };
            scratch::with(Side::Left, slab.rows.len() * slab.depth.len(), |left| {
                plan.pack_left::<U>(left, &slab, threads);
                plan.multiply::<U>(&slab, left, destination, mode, threads);
            });
        }
    }
}

/// Cuts `whole` into equal pieces of about `most`, each a multiple of `unit`.
fn even(whole: usize, most: usize, unit: usize) -> usize {
    whole
        .div_ceil(whole.div_ceil(most.max(unit)))
        .next_multiple_of(unit)
}

impl Plan<'_> {
    /// Packs a slab of the left operand: for each block its tiles, one after the other.
    fn pack_left<U: Unit>(&self, left: &mut [f32], slab: &Slab, threads: usize) {
        for block in self.blocks(&slab.depth) {
            let (here, rows) = (block.start - slab.depth.start, slab.rows.len());
            let panels = left[here * rows..][..block.len() * rows]
                .chunks_mut(self.tile * block.len())
                .enumerate();
            let one = |(index, panel): (usize, &mut [f32])| {
                let first = slab.rows.start + index * self.tile;
                let lanes = self.tile.min(slab.rows.end - first);
                self.each_product(&block, |product, depth, offset| {
                    let part = Part {
                        first,
                        lanes,
                        start: depth.start,
                        depth: depth.len(),
                        width: lanes,
                    };
                    pack::<U>(
                        &mut panel[offset * lanes..],
                        &product.a,
                        part,
                        product.alpha,
                    );
                });
            };
            if threads == 1 {
                panels.for_each(one);
            } else {
                panels
                    .collect::<Vec<_>>()
                    .into_par_iter()
                    .with_min_len(8)
                    .for_each(one);
            }
        }
    }

    /// Multiplies a packed slab with the right operand, group by group of its columns.
    fn multiply<U: Unit>(
        &self,
        slab: &Slab,
        left: &[f32],
        destination: Destination,
        mode: Into,
        threads: usize,
    ) {
        let panels = self.columns.div_ceil(U::COLUMNS);
        let wanted = if threads == 1 { 1 } else { 2 * threads };
        let group = panels.div_ceil(wanted).clamp(1, GROUP);
        let groups = panels.div_ceil(group);
        let tiles = slab.rows.len().div_ceil(self.tile);
        // Few columns: the rows are divided too, and each task packs the columns for itself.
        let bands = wanted.div_ceil(groups).min(tiles);
        let band = tiles.div_ceil(bands);
        let one = |task: usize| {
            let (columns, rows) = (task / bands, task % bands);
            let columns =
                columns * group * U::COLUMNS..self.columns.min((columns + 1) * group * U::COLUMNS);
            let tiles = rows * band..tiles.min((rows + 1) * band);
            self.multiply_group::<U>(slab, left, destination, mode, &columns, &tiles);
        };
        if threads == 1 {
            (0..groups * bands).for_each(one);
        } else {
            (0..groups * bands)
                .into_par_iter()
                .with_max_len(1)
                .for_each(one);
        }
    }

    fn multiply_group<U: Unit>(
        &self,
        slab: &Slab,
        left: &[f32],
        destination: Destination,
        mode: Into,
        columns: &Range<usize>,
        tiles: &Range<usize>,
    ) {
        let rows = slab.rows.len();
        let room = columns.len().next_multiple_of(U::COLUMNS) * self.block;
        scratch::with(Side::Right, room, |right| {
            for block in self.blocks(&slab.depth) {
                let depth = block.len();
                for column in columns.clone().step_by(U::COLUMNS) {
                    let panel = &mut right[(column - columns.start) * depth..];
                    self.each_product(&block, |product, within, offset| {
                        let part = Part {
                            first: column,
                            lanes: U::COLUMNS.min(columns.end - column),
                            start: within.start,
                            depth: within.len(),
                            width: U::COLUMNS,
                        };
                        pack::<U>(&mut panel[offset * U::COLUMNS..], &product.b.t(), part, 1.0);
                    });
                }
                let left = &left[(block.start - slab.depth.start) * rows..][..depth * rows];
                for tile in tiles.clone() {
                    let first = tile * self.tile;
                    let count = self.tile.min(rows - first);
                    let a = &left[first * depth..][..count * depth];
                    for column in columns.clone().step_by(U::COLUMNS) {
                        let b = &right[(column - columns.start) * depth..][..U::COLUMNS * depth];
                        let size = Tile {
                            rows: count,
                            columns: U::COLUMNS.min(columns.end - column),
                            depth,
                            b_stride: U::COLUMNS,
                            c_stride: destination.row_stride,
                            adds: mode == Into::Add || block.start > 0,
                        };
                        // SAFETY: `a` and `b` are sliced to what a tile reads. The rows and
                        // columns lie in the destination, and no other task has them.
                        unsafe {
                            let c = destination.at(slab.rows.start + first, column);
                            U::tile(size, a.as_ptr(), b.as_ptr(), c);
                        }
                    }
                }
            }
        });
    }

    /// The blocks of a range that begins at a block's border.
    fn blocks(&self, depth: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let (block, end) = (self.block, depth.end);
        depth
            .clone()
            .step_by(block)
            .map(move |start| start..end.min(start + block))
    }

    /// The products that a block touches: each with the range of its own inner size, and where
    /// that lies in the block.
    fn each_product(
        &self,
        block: &Range<usize>,
        mut visit: impl FnMut(&Product<'_>, Range<usize>, usize),
    ) {
        let mut start = 0;
        for product in self.products {
            let end = start + product.a.columns;
            let (from, to) = (block.start.max(start), block.end.min(end));
            if from < to {
                visit(product, from - start..to - start, from - block.start);
            }
            start = end;
        }
    }
}
