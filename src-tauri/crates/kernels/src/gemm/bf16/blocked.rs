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
use std::arch::x86_64::{_mm512_mask_storeu_ps, _mm512_maskz_loadu_ps};
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

    /// `to = a · b`, or `+=`, over `steps` steps, at least one, of a panel of each operand: 32 rows
    /// of 32 sums, `stride` apart.
    ///
    /// # Safety
    /// Readable: `steps` · [`CHUNK`] from `a` and `b`. Writable: the rows from `to`, initialised
    /// where they are added to. Inside [`Unit::scope`].
    unsafe fn tile(
        steps: usize,
        a: *const Bf16,
        b: *const Bf16,
        to: *mut f32,
        stride: usize,
        adds: bool,
    );
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
            scratch::with(Side::Sums, band * TILE * TILE, |edges| {
                U::scope(|| {
                    for band in pieces(tiles.clone(), band) {
                        for (panel, right) in panels.clone().zip(right.chunks_exact(size)) {
                            let left = &left[band.start * size..band.end * size];
                            let place = |tile: usize| self.place(slab, destination, tile, panel);
                            let places = band.clone().map(place);
                            // SAFETY: a tile's place is this task's alone, and initialised where
                            // it is added to.
                            unsafe {
                                multiply_band::<U>(left, right, steps, places, edges, adds);
                            }
                        }
                    }
                });
            });
        });
    }

    /// Where in the destination a tile of a slab's rows and a panel of columns belongs.
    fn place(&self, slab: &Slab, destination: Destination, tile: usize, panel: usize) -> Place {
        let (row, column) = (slab.rows.start + tile * TILE, panel * TILE);
        Place {
            // SAFETY: the tile and the panel begin inside the destination, which no other task
            // writes there.
            to: unsafe { destination.at(row, column) },
            stride: destination.row_stride,
            rows: TILE.min(slab.rows.end - row),
            columns: TILE.min(self.columns - column),
        }
    }
}

/// Part of the destination, of a tile's size or, at its edges, smaller.
struct Place {
    to: *mut f32,
    stride: usize,
    rows: usize,
    columns: usize,
}

impl Place {
    fn whole(&self) -> bool {
        (self.rows, self.columns) == (TILE, TILE)
    }
}

/// The sums of some tiles of rows with one panel of columns, over all their steps. Whole tiles are
/// summed where they belong, those at the edges in `edges`, a tile for each.
///
/// # Safety
/// The places are writable, initialised if they are added to, and nobody else's.
unsafe fn multiply_band<U: Unit>(
    left: &[Bf16],
    right: &[Bf16],
    steps: usize,
    places: impl Iterator<Item = Place> + Clone,
    edges: &mut [f32],
    adds: bool,
) {
    for (place, edge) in places.clone().zip(edges.chunks_exact_mut(TILE * TILE)) {
        if adds && !place.whole() {
            // SAFETY: the caller's; AVX-512 was detected with the unit.
            unsafe { copy_edge(place.to, place.stride, edge.as_mut_ptr(), TILE, &place) };
        }
    }
    for block in pieces(0..steps, even(steps, BLOCK)) {
        let b = &right[block.start * CHUNK..block.end * CHUNK];
        let tiles = left.chunks_exact(steps * CHUNK);
        for ((left, place), edge) in tiles
            .zip(places.clone())
            .zip(edges.chunks_exact_mut(TILE * TILE))
        {
            let a = &left[block.start * CHUNK..block.end * CHUNK];
            let (to, stride) = if place.whole() {
                (place.to, place.stride)
            } else {
                (edge.as_mut_ptr(), TILE)
            };
            // SAFETY: both are sliced to the block's steps; a whole place is the caller's, an edge a
            // tile; the first block writes both unless they are added to.
            unsafe {
                U::tile(
                    block.len(),
                    a.as_ptr(),
                    b.as_ptr(),
                    to,
                    stride,
                    adds || block.start > 0,
                );
            }
        }
    }
    for (place, edge) in places.zip(edges.chunks_exact(TILE * TILE)) {
        if !place.whole() {
            // SAFETY: as above.
            unsafe { copy_edge(edge.as_ptr(), TILE, place.to, place.stride, &place) };
        }
    }
}

/// Copies as many rows and columns as a place has.
///
/// # Safety
/// AVX-512 was detected. `from` is readable and `to` writable for them, each its stride apart.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn copy_edge(
    from: *const f32,
    from_stride: usize,
    to: *mut f32,
    to_stride: usize,
    place: &Place,
) {
    for row in 0..place.rows {
        for column in (0..place.columns).step_by(LANES) {
            let mask = first(place.columns - column);
            // SAFETY: the mask keeps to the columns that the caller promises.
            unsafe {
                let values =
                    _mm512_maskz_loadu_ps(mask, from.wrapping_add(row * from_stride + column));
                _mm512_mask_storeu_ps(to.wrapping_add(row * to_stride + column), mask, values);
            }
        }
    }
}
