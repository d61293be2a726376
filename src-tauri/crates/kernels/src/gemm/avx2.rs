//! AVX2 with FMA: tiles of 6 × 16 in 12 of the 16 registers.

use super::element::{Bf16, F16};
use super::skinny::AT_ONCE;
use super::vector::{Loads, Source, Tile, Unit};
#[allow(
    clippy::wildcard_imports,
    reason = "twenty names that carry their own prefix"
)]
use std::arch::x86_64::*;

pub(super) struct Avx2;

/// Whether this processor, and the system on it, has what [`Avx2`] needs.
pub(super) fn detected() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

/// Numbers in a vector.
const LANES: usize = 8;

/// A mask of the first `count` lanes.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn first(count: usize) -> __m256i {
    let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_cmpgt_epi32(_mm256_set1_epi32(count.min(LANES) as i32), lanes)
}

type TileFunction = unsafe fn(Tile, *const f32, *const f32, *mut f32);
const TILES: [TileFunction; Avx2::ROWS] = [
    tile::<1>, tile::<2>, tile::<3>, tile::<4>, tile::<5>, tile::<6>,
];

impl Unit for Avx2 {
    const ROWS: usize = 6;
    const COLUMNS: usize = 2 * LANES;
    const DEPTH: usize = 256;

    unsafe fn tile(size: Tile, a: *const f32, b: *const f32, c: *mut f32) {
        // SAFETY: the caller's; the unit was detected.
        unsafe { TILES[size.rows - 1](size, a, b, c) }
    }

    unsafe fn pack<E: Loads>(panel: *mut f32, source: Source<E>, scale: f32) {
        let Source {
            values,
            lanes,
            lane_stride,
            depth,
            depth_stride,
            width,
        } = source;
        // Squares of 8 × 8: eight lines of the source stay in the first cache while they are read
        // across. Plain code: at one element a cycle this is a few hundredths of the product.
        for lane in (0..lanes).step_by(LANES) {
            for start in (0..depth).step_by(LANES) {
                for p in start..depth.min(start + LANES) {
                    for lane in lane..lanes.min(lane + LANES) {
                        // SAFETY: the caller promises these elements.
                        unsafe {
                            let value = *values.add(lane * lane_stride + p * depth_stride);
                            *panel.add(p * width + lane) = scale * value.widen();
                        }
                    }
                }
            }
        }
        for p in 0..depth {
            for lane in lanes..width {
                // SAFETY: the caller promises `width · depth` numbers.
                unsafe { *panel.add(p * width + lane) = 0.0 };
            }
        }
    }

    unsafe fn dot<E: Loads>(
        (few, few_stride): (*const f32, usize),
        count: usize,
        many: [*const E; 2],
        depth: usize,
    ) -> [f32; 2 * AT_ONCE] {
        let mut products = [0.0; 2 * AT_ONCE];
        for (index, products) in products.chunks_exact_mut(8).enumerate() {
            // SAFETY: the caller's, for four of its rows at most; the unit was detected.
            let four = unsafe {
                let few = (few.wrapping_add(4 * index * few_stride), few_stride);
                match count.saturating_sub(4 * index) {
                    0 => break,
                    1 => dot::<1, E>(few, many, depth),
                    2 => dot::<2, E>(few, many, depth),
                    3 => dot::<3, E>(few, many, depth),
                    _ => dot::<4, E>(few, many, depth),
                }
            };
            products.copy_from_slice(&four);
        }
        products
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile<const ROWS: usize>(size: Tile, a: *const f32, b: *const f32, c: *mut f32) {
    let Tile {
        columns,
        depth,
        b_stride,
        c_stride,
        adds,
        ..
    } = size;
    let masks = [first(columns), first(columns.saturating_sub(LANES))];
    // SAFETY: the caller promises `ROWS · depth` numbers at `a`, and `columns` from each row of `b`
    // and `c`, which the masks keep to. A prefetch may point anywhere.
    unsafe {
        for row in 0..ROWS {
            _mm_prefetch::<_MM_HINT_T0>(c.wrapping_add(row * c_stride).cast());
        }
        let sums = if columns == 2 * LANES {
            multiply::<ROWS>(depth, a, b, b_stride, |b| {
                [_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(LANES))]
            })
        } else {
            multiply::<ROWS>(depth, a, b, b_stride, |b| {
                [
                    _mm256_maskload_ps(b, masks[0]),
                    _mm256_maskload_ps(b.wrapping_add(LANES), masks[1]),
                ]
            })
        };
        for (row, sums) in sums.iter().enumerate() {
            for (half, sum) in sums.iter().enumerate() {
                let to = c.wrapping_add(row * c_stride + half * LANES);
                let mut value = *sum;
                if adds {
                    value = _mm256_add_ps(value, _mm256_maskload_ps(to, masks[half]));
                }
                _mm256_maskstore_ps(to, masks[half], value);
            }
        }
    }
}

/// The sums of a tile, which stay in registers. `columns` reads two vectors of `b`.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn multiply<const ROWS: usize>(
    depth: usize,
    mut a: *const f32,
    mut b: *const f32,
    b_stride: usize,
    columns: impl Fn(*const f32) -> [__m256; 2],
) -> [[__m256; 2]; ROWS] {
    let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
    for _ in 0..depth {
        let columns = columns(b);
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller promises `ROWS · depth` numbers.
            let factor = _mm256_set1_ps(unsafe { *a.add(row) });
            sums[0] = _mm256_fmadd_ps(factor, columns[0], sums[0]);
            sums[1] = _mm256_fmadd_ps(factor, columns[1], sums[1]);
        }
        a = a.wrapping_add(ROWS);
        b = b.wrapping_add(b_stride);
    }
    sums
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn dot<const COUNT: usize, E: Loads>(
    (few, few_stride): (*const f32, usize),
    many: [*const E; 2],
    depth: usize,
) -> [f32; 8] {
    let mut sums = [[_mm256_setzero_ps(); 2]; COUNT];
    let whole = depth - depth % LANES;
    let mut products = [0.0; 8];
    // SAFETY: the caller promises `depth` elements in each row.
    unsafe {
        for start in (0..whole).step_by(LANES) {
            let rows = many.map(|row| E::load_eight(row.add(start)));
            for (i, sums) in sums.iter_mut().enumerate() {
                let other = _mm256_loadu_ps(few.add(i * few_stride + start));
                sums[0] = _mm256_fmadd_ps(other, rows[0], sums[0]);
                sums[1] = _mm256_fmadd_ps(other, rows[1], sums[1]);
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            for (j, sum) in sums.iter().enumerate() {
                let mut lanes = [0.0_f32; LANES];
                _mm256_storeu_ps(lanes.as_mut_ptr(), *sum);
                let mut product: f32 = lanes.iter().sum();
                for p in whole..depth {
                    product += *few.add(i * few_stride + p) * (*many[j].add(p)).widen();
                }
                products[2 * i + j] = product;
            }
        }
    }
    products
}

/// Eight elements, widened.
pub(super) trait Load: Sized {
    /// # Safety
    /// AVX2 and F16C were detected, and eight elements are readable.
    unsafe fn load_eight(from: *const Self) -> __m256;
}

impl Load for f32 {
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn load_eight(from: *const Self) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_loadu_ps(from) }
    }
}

impl Load for Bf16 {
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn load_eight(from: *const Self) -> __m256 {
        // SAFETY: the caller's.
        let halves = unsafe { _mm_loadu_si128(from.cast()) };
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(halves)))
    }
}

impl Load for F16 {
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn load_eight(from: *const Self) -> __m256 {
        // SAFETY: the caller's.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(from.cast()) })
    }
}
