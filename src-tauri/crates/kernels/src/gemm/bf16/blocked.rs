//! The blocked product of panels of bf16: one pass of tiles over each block of the inner size, sums
//! kept beside the caches until the last.
//!
//! The order in which an element's products are summed depends on the inner sizes alone.

use super::pack::{self, CHUNK, LANES_OF_PANEL, Operand, Part, STEP};
use crate::gemm::avx512::{LANES, first};
use crate::gemm::element::Bf16;
use crate::gemm::scratch::{self, Side};
use crate::gemm::vector::Destination;
use crate::gemm::{Into, Product};
use rayon::prelude::*;
use std::arch::x86_64::{
    _mm512_add_ps, _mm512_loadu_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps,
};
use std::ops::Range;

/// Rows and columns of a tile.
pub(super) const TILE: usize = LANES_OF_PANEL;
/// Rows of the left operand packed at once.
const ROWS: usize = 2048;
/// Steps of the inner size packed at once: with the rows, 16 MiB.
const STEPS: usize = 128;
/// Most steps of a block, whose sums stay in the unit: both operands' panels stream from the second
/// cache, which cost less than blocks that fit the first and sums that come back for each.
const BLOCK: usize = 64;
/// Steps of panels of either operand that share the second cache: 512 KiB each.
const NEAR: usize = 256;
/// Tiles whose sums are kept between blocks.
const BAND: usize = 8;
/// Multiplications below which handing work to another thread costs more than it saves.
const WORTH_SHARING: usize = 128 * 128 * 128;

/// What multiplies a tile. Its functions may be called only where the unit was detected.
pub(super) trait Unit: Sync {
    /// Runs `work`, the only place where this thread may call [`Unit::tile`].
    fn scope<T>(work: impl FnOnce() -> T) -> T;

    /// `sums = a · b`, or `+=`, over `steps` steps, at least one, of a panel of each operand. The
    /// sums are four squares of 16 × 16, row by row of them.
    ///
    /// # Safety
    /// Readable: `steps` · [`CHUNK`] from `a` and `b`. Writable: 1024 from `sums`, initialised
    /// where they are added to. Inside [`Unit::scope`].
    unsafe fn tile(steps: usize, a: *const Bf16, b: *const Bf16, sums: *mut f32, adds: bool);
}

/// Products whose inner sizes lie end to end, each rounded up to whole steps.
struct Plan<'a> {
    products: &'a [Product<'a>],
    rows: usize,
    columns: usize,
    steps: usize,
}

/// Rows and steps of the inner size: what is packed of the left operand at once.
struct Slab {
    rows: Range<usize>,
    steps: Range<usize>,
}

/// `destination = Σ alpha · a · b`, or `+=`; the caller has checked every size, none of which is
/// zero.
pub(super) fn sum<U: Unit>(
    destination: Destination,
    mode: Into,
    products: &[Product<'_>],
    parallel: bool,
) {
    let plan = Plan {
        products,
        rows: products[0].a.rows,
        columns: products[0].b.columns,
        steps: products.iter().map(steps_of).sum(),
    };
    let threads = if parallel && plan.rows * plan.columns * plan.steps * STEP >= WORTH_SHARING {
        rayon::current_num_threads()
    } else {
        1
    };
    let slab_rows = even(plan.rows, ROWS).next_multiple_of(TILE);
    let slab_steps = even(plan.steps, STEPS);
    for row in (0..plan.rows).step_by(slab_rows) {
        for step in (0..plan.steps).step_by(slab_steps) {
            let slab = Slab {
                rows: row..plan.rows.min(row + slab_rows),
                steps: step..plan.steps.min(step + slab_steps),
            };
            let room = slab.rows.len().div_ceil(TILE) * slab.steps.len() * CHUNK;
            scratch::with_bf16(Side::Left, room, |left| {
                plan.pack_left(left, &slab, threads);
                plan.multiply::<U>(&slab, left, destination, mode, threads);
            });
        }
    }
}

fn steps_of(product: &Product<'_>) -> usize {
    product.a.columns.div_ceil(STEP)
}

/// The size of equal pieces of `whole`, each `most` at most.
fn even(whole: usize, most: usize) -> usize {
    whole.div_ceil(whole.div_ceil(most))
}

/// Ranges of `size` that cover `whole`.
fn pieces(whole: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    let end = whole.end;
    whole
        .step_by(size)
        .map(move |start| start..end.min(start + size))
}

impl Plan<'_> {
    /// Packs a slab of the left operand, tile by tile of its rows.
    fn pack_left(&self, left: &mut [Bf16], slab: &Slab, threads: usize) {
        let one = |(tile, panel): (usize, &mut [Bf16])| {
            let first = slab.rows.start + tile * TILE;
            let rows = first..slab.rows.end.min(first + TILE);
            self.pack(panel, Operand::Left, &rows, &slab.steps);
        };
        let size = slab.steps.len() * CHUNK;
        if threads == 1 {
            left.chunks_mut(size).enumerate().for_each(one);
        } else {
            left.par_chunks_mut(size).enumerate().for_each(one);
        }
    }

    /// Packs rows of the left operand or columns of the right one.
    fn pack(
        &self,
        panels: &mut [Bf16],
        operand: Operand,
        lanes: &Range<usize>,
        steps: &Range<usize>,
    ) {
        let mut start = 0;
        for product in self.products {
            let end = start + steps_of(product);
            let (from, to) = (steps.start.max(start), steps.end.min(end));
            if from < to {
                let depth = (from - start) * STEP..product.a.columns.min((to - start) * STEP);
                let part = Part {
                    first: lanes.start,
                    lanes: lanes.len(),
                    start: depth.start,
                    depth: depth.len(),
                    panel: steps.len() * CHUNK,
                };
                let panels = &mut panels[(from - steps.start) * CHUNK..];
                match operand {
                    Operand::Left => {
                        pack::pack(panels, &product.a, part, product.alpha, operand);
                    }
                    Operand::Right => pack::pack(panels, &product.b.t(), part, 1.0, operand),
                }
            }
            start = end;
        }
    }

    /// Multiplies a packed slab with the right operand, group by group of its columns.
    fn multiply<U: Unit>(
        &self,
        slab: &Slab,
        left: &[Bf16],
        destination: Destination,
        mode: Into,
        threads: usize,
    ) {
        let panels = self.columns.div_ceil(TILE);
        let tiles = slab.rows.len().div_ceil(TILE);
        let wanted = if threads == 1 { 1 } else { 2 * threads };
        let most = (NEAR / slab.steps.len())
            .max(1)
            .min(panels.div_ceil(wanted));
        let group = even(panels, most);
        let groups = panels.div_ceil(group);
        // Few columns: the rows are divided too, and each task packs the columns for itself.
        let share = tiles.div_ceil(wanted.div_ceil(groups).min(tiles));
        let shares = tiles.div_ceil(share);
        let one = |task: usize| {
            let (columns, rows) = (task / shares, task % shares);
            let columns = columns * group..panels.min((columns + 1) * group);
            let tiles = rows * share..tiles.min((rows + 1) * share);
            self.multiply_group::<U>(slab, left, destination, mode, &columns, &tiles);
        };
        if threads == 1 {
            (0..groups * shares).for_each(one);
        } else {
            (0..groups * shares)
                .into_par_iter()
                .with_max_len(1)
                .for_each(one);
        }
    }

    /// Multiplies some tiles of rows with some panels of columns.
    fn multiply_group<U: Unit>(
        &self,
        slab: &Slab,
        left: &[Bf16],
        destination: Destination,
        mode: Into,
        panels: &Range<usize>,
        tiles: &Range<usize>,
    ) {
        let steps = slab.steps.len();
        let size = steps * CHUNK;
        let band = (NEAR / steps).clamp(1, BAND);
        let adds = mode == Into::Add || slab.steps.start > 0;
        scratch::with_bf16(Side::Right, panels.len() * size, |right| {
            let columns = panels.start * TILE..self.columns.min(panels.end * TILE);
            self.pack(right, Operand::Right, &columns, &slab.steps);
            scratch::with(Side::Sums, band * TILE * TILE, |sums| {
                U::scope(|| {
                    for band in pieces(tiles.clone(), band) {
                        for (panel, right) in panels.clone().zip(right.chunks_exact(size)) {
                            let left = &left[band.start * size..band.end * size];
                            multiply_band::<U>(left, right, steps, sums);
                            for (tile, sums) in band.clone().zip(sums.chunks_exact(TILE * TILE)) {
                                let row = slab.rows.start + tile * TILE;
                                let rows = TILE.min(slab.rows.end - row);
                                let columns = TILE.min(self.columns - panel * TILE);
                                // SAFETY: the rows and columns lie in the destination, and no other
                                // task has them. The sums are a tile.
                                unsafe {
                                    let to = destination.at(row, panel * TILE);
                                    write(sums, to, destination.row_stride, rows, columns, adds);
                                }
                            }
                        }
                    }
                });
            });
        });
    }
}

/// The sums of some tiles of rows with one panel of columns, over all their steps.
fn multiply_band<U: Unit>(left: &[Bf16], right: &[Bf16], steps: usize, sums: &mut [f32]) {
    let block = even(steps, BLOCK);
    for block in pieces(0..steps, block) {
        let b = &right[block.start * CHUNK..block.end * CHUNK];
        let tiles = left.chunks_exact(steps * CHUNK);
        for (left, sums) in tiles.zip(sums.chunks_exact_mut(TILE * TILE)) {
            let a = &left[block.start * CHUNK..block.end * CHUNK];
            // SAFETY: both are sliced to the block's steps, the sums to a tile, which the first
            // block writes.
            unsafe {
                U::tile(
                    block.len(),
                    a.as_ptr(),
                    b.as_ptr(),
                    sums.as_mut_ptr(),
                    block.start > 0,
                );
            }
        }
    }
}

/// Writes a tile's sums, or adds them.
///
/// # Safety
/// AVX-512 was detected. `sums` is a tile; `to` is writable for `rows` of `columns`, `stride` apart,
/// and initialised where it is added to.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn write(
    sums: &[f32],
    to: *mut f32,
    stride: usize,
    rows: usize,
    columns: usize,
    adds: bool,
) {
    for (pair, sums) in sums.chunks_exact(TILE * LANES).enumerate() {
        for row in 0..rows.saturating_sub(pair * LANES).min(LANES) {
            for half in 0..2 {
                let mask = first(columns.saturating_sub(half * LANES));
                let to = to.wrapping_add((pair * LANES + row) * stride + half * LANES);
                let from = &sums[(half * LANES + row) * LANES..][..LANES];
                // SAFETY: the mask keeps to the columns that the caller promises.
                unsafe {
                    let mut sum = _mm512_loadu_ps(from.as_ptr());
                    if adds {
                        sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, to));
                    }
                    _mm512_mask_storeu_ps(to, mask, sum);
                }
            }
        }
    }
}
