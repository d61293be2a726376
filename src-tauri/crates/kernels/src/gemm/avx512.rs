//! AVX-512: tiles of 14 × 32 in 28 of the 32 registers.

use super::element::{Bf16, F16};
use super::skinny::AT_ONCE;
use super::vector::{Loads, Source, Tile, Unit};
#[allow(
    clippy::wildcard_imports,
    reason = "thirty names that carry their own prefix"
)]
use std::arch::x86_64::*;

pub(super) struct Avx512;

/// Whether this processor, and the system on it, has what [`Avx512`] needs.
pub(super) fn detected() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
}

/// Numbers in a vector.
pub(super) const LANES: usize = 16;

/// A mask of the first `count` lanes.
pub(super) fn first(count: usize) -> __mmask16 {
    if count >= LANES {
        0xffff
    } else {
        (1 << count) - 1
    }
}

type TileFunction = unsafe fn(Tile, *const f32, *const f32, *mut f32);
const TILES: [TileFunction; Avx512::ROWS] = [
    tile::<1>, tile::<2>, tile::<3>, tile::<4>, tile::<5>, tile::<6>, tile::<7>, tile::<8>,
    tile::<9>, tile::<10>, tile::<11>, tile::<12>, tile::<13>, tile::<14>,
];

impl Unit for Avx512 {
    const ROWS: usize = 14;
    const COLUMNS: usize = 2 * LANES;
    const DEPTH: usize = 384;

    unsafe fn tile(size: Tile, a: *const f32, b: *const f32, c: *mut f32) {
        // SAFETY: the caller's; the unit was detected.
        unsafe { TILES[size.rows - 1](size, a, b, c) }
    }

    unsafe fn pack<E: Loads>(panel: *mut f32, source: Source<E>, scale: f32) {
        // SAFETY: the caller's; the unit was detected. Each call writes sixteen lanes of its own.
        unsafe {
            for lane in (0..source.width).step_by(LANES) {
                let part = Source {
                    values: source.values.wrapping_add(lane * source.lane_stride),
                    lanes: source.lanes.saturating_sub(lane).min(LANES),
                    ..source
                };
                let width = (source.width - lane).min(LANES);
                if source.depth_stride == 1 {
                    pack_turned(panel.add(lane), part, width, scale);
                } else {
                    pack_straight(panel.add(lane), part, width, scale);
                }
            }
        }
    }

    unsafe fn dot<E: Loads>(
        few: (*const f32, usize),
        count: usize,
        many: [*const E; 2],
        depth: usize,
    ) -> [f32; 2 * AT_ONCE] {
        // SAFETY: the caller's; the unit was detected.
        unsafe {
            match count {
                1 => dot::<1, E>(few, many, depth),
                2 => dot::<2, E>(few, many, depth),
                3 => dot::<3, E>(few, many, depth),
                4 => dot::<4, E>(few, many, depth),
                5 => dot::<5, E>(few, many, depth),
                6 => dot::<6, E>(few, many, depth),
                7 => dot::<7, E>(few, many, depth),
                _ => dot::<8, E>(few, many, depth),
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
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
            let to = c.add(row * c_stride);
            _mm_prefetch::<_MM_HINT_T0>(to.cast());
            _mm_prefetch::<_MM_HINT_T0>(to.wrapping_add(LANES).cast());
        }
        let sums = if columns == 2 * LANES {
            multiply::<ROWS>(depth, a, b, b_stride, |b| {
                [_mm512_loadu_ps(b), _mm512_loadu_ps(b.add(LANES))]
            })
        } else {
            multiply::<ROWS>(depth, a, b, b_stride, |b| {
                [
                    _mm512_maskz_loadu_ps(masks[0], b),
                    _mm512_maskz_loadu_ps(masks[1], b.wrapping_add(LANES)),
                ]
            })
        };
        for (row, sums) in sums.iter().enumerate() {
            for (half, sum) in sums.iter().enumerate() {
                let to = c.wrapping_add(row * c_stride + half * LANES);
                let mut value = *sum;
                if adds {
                    value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(masks[half], to));
                }
                _mm512_mask_storeu_ps(to, masks[half], value);
            }
        }
    }
}

/// The sums of a tile, which stay in registers. `columns` reads two vectors of `b`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
#[inline]
unsafe fn multiply<const ROWS: usize>(
    depth: usize,
    mut a: *const f32,
    mut b: *const f32,
    b_stride: usize,
    columns: impl Fn(*const f32) -> [__m512; 2],
) -> [[__m512; 2]; ROWS] {
    let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
    for _ in 0..depth {
        let columns = columns(b);
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller promises `ROWS · depth` numbers.
            let factor = _mm512_set1_ps(unsafe { *a.add(row) });
            sums[0] = _mm512_fmadd_ps(factor, columns[0], sums[0]);
            sums[1] = _mm512_fmadd_ps(factor, columns[1], sums[1]);
        }
        a = a.wrapping_add(ROWS);
        b = b.wrapping_add(b_stride);
    }
    sums
}

/// Lanes lie one after the other: whole vectors are copied.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn pack_straight<E: Loads>(panel: *mut f32, source: Source<E>, width: usize, scale: f32) {
    let (reads, writes) = (first(source.lanes), first(width));
    // SAFETY: the masks keep to the lanes that the caller promises.
    unsafe {
        let scale = _mm512_set1_ps(scale);
        for p in 0..source.depth {
            let lanes = E::load(source.values.wrapping_add(p * source.depth_stride), reads);
            let to = panel.wrapping_add(p * source.width);
            _mm512_mask_storeu_ps(to, writes, _mm512_mul_ps(lanes, scale));
        }
    }
}

/// Inner positions lie one after the other: squares of sixteen are turned in registers.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn pack_turned<E: Loads>(panel: *mut f32, source: Source<E>, width: usize, scale: f32) {
    let writes = first(width);
    // SAFETY: the masks keep to the lanes and positions that the caller promises.
    unsafe {
        let scale = _mm512_set1_ps(scale);
        for start in (0..source.depth).step_by(LANES) {
            let depth = (source.depth - start).min(LANES);
            let reads = first(depth);
            let mut square = [_mm512_setzero_ps(); LANES];
            for (lane, row) in square.iter_mut().enumerate() {
                if lane < source.lanes {
                    let from = source.values.add(lane * source.lane_stride + start);
                    *row = _mm512_mul_ps(E::load(from, reads), scale);
                }
            }
            turn(&mut square);
            let to = panel.add(start * source.width);
            if depth == LANES {
                for (p, column) in square.iter().enumerate() {
                    _mm512_mask_storeu_ps(to.wrapping_add(p * source.width), writes, *column);
                }
            } else {
                for (p, column) in square.iter().enumerate().take(depth) {
                    _mm512_mask_storeu_ps(to.wrapping_add(p * source.width), writes, *column);
                }
            }
        }
    }
}

/// Transposes sixteen rows of sixteen.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
#[inline]
pub(super) fn turn(rows: &mut [__m512; LANES]) {
    let wide = |x: __m512| _mm512_castps_pd(x);
    let narrow = |x: __m512d| _mm512_castpd_ps(x);
    let mut pairs = [_mm512_setzero_ps(); LANES];
    for i in 0..8 {
        pairs[2 * i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
        pairs[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
    }
    // `fours[4 i + j]`: in each quarter q, column 4 q + j of rows 4 i to 4 i + 3.
    let mut fours = [_mm512_setzero_ps(); LANES];
    for i in 0..4 {
        let [a, b, c, d] = [0, 1, 2, 3].map(|j| wide(pairs[4 * i + j]));
        fours[4 * i] = narrow(_mm512_unpacklo_pd(a, c));
        fours[4 * i + 1] = narrow(_mm512_unpackhi_pd(a, c));
        fours[4 * i + 2] = narrow(_mm512_unpacklo_pd(b, d));
        fours[4 * i + 3] = narrow(_mm512_unpackhi_pd(b, d));
    }
    for j in 0..4 {
        let [a, b, c, d] = [fours[j], fours[4 + j], fours[8 + j], fours[12 + j]];
        let even = [
            _mm512_shuffle_f32x4::<0x88>(a, b),
            _mm512_shuffle_f32x4::<0x88>(c, d),
        ];
        let odd = [
            _mm512_shuffle_f32x4::<0xdd>(a, b),
            _mm512_shuffle_f32x4::<0xdd>(c, d),
        ];
        rows[j] = _mm512_shuffle_f32x4::<0x88>(even[0], even[1]);
        rows[4 + j] = _mm512_shuffle_f32x4::<0x88>(odd[0], odd[1]);
        rows[8 + j] = _mm512_shuffle_f32x4::<0xdd>(even[0], even[1]);
        rows[12 + j] = _mm512_shuffle_f32x4::<0xdd>(odd[0], odd[1]);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn dot<const COUNT: usize, E: Loads>(
    (few, few_stride): (*const f32, usize),
    many: [*const E; 2],
    depth: usize,
) -> [f32; 2 * AT_ONCE] {
    let mut sums = [[_mm512_setzero_ps(); 2]; COUNT];
    // SAFETY: the caller promises `depth` numbers in each row, which the mask keeps to.
    unsafe {
        for start in (0..depth).step_by(LANES) {
            let mask = first(depth - start);
            let rows = many.map(|row| E::load(row.add(start), mask));
            for (i, sums) in sums.iter_mut().enumerate() {
                let other = _mm512_maskz_loadu_ps(mask, few.add(i * few_stride + start));
                sums[0] = _mm512_fmadd_ps(other, rows[0], sums[0]);
                sums[1] = _mm512_fmadd_ps(other, rows[1], sums[1]);
            }
        }
    }
    let mut products = [0.0; 2 * AT_ONCE];
    for (i, sums) in sums.iter().enumerate() {
        products[2 * i] = _mm512_reduce_add_ps(sums[0]);
        products[2 * i + 1] = _mm512_reduce_add_ps(sums[1]);
    }
    products
}

/// Sixteen elements, widened; zero where the mask is not set.
pub(super) trait Load: Sized {
    /// # Safety
    /// AVX-512 was detected, and the lanes of the mask are readable.
    unsafe fn load(from: *const Self, mask: __mmask16) -> __m512;
}

impl Load for f32 {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    #[inline]
    unsafe fn load(from: *const Self, mask: __mmask16) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_maskz_loadu_ps(mask, from) }
    }
}

impl Load for Bf16 {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    #[inline]
    unsafe fn load(from: *const Self, mask: __mmask16) -> __m512 {
        // SAFETY: the caller's.
        let halves = unsafe { _mm256_maskz_loadu_epi16(mask, from.cast()) };
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves)))
    }
}

impl Load for F16 {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    #[inline]
    unsafe fn load(from: *const Self, mask: __mmask16) -> __m512 {
        // SAFETY: the caller's.
        let halves = unsafe { _mm256_maskz_loadu_epi16(mask, from.cast()) };
        _mm512_cvtph_ps(halves)
    }
}
