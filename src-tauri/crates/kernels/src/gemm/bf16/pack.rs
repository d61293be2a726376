//! Operands rounded to bf16 and laid out as matrix units read them.
//!
//! A panel is 32 rows of the left operand, or 32 columns of the right one, by a number of steps of
//! 32 of the inner size. A step is two squares of 16 lanes by 16 pairs: of the left operand each
//! lane's pairs lie one after the other, of the right one each pair's lanes.

use crate::gemm::Matrix;
use crate::gemm::avx512::{self, LANES, first, turn};
use crate::gemm::element::{Bf16, Values};
use crate::gemm::scratch::{self, Side};
use crate::gemm::vector::Loads;
#[allow(
    clippy::wildcard_imports,
    reason = "thirty names that carry their own prefix"
)]
use std::arch::x86_64::*;

/// Lanes of a panel: rows of the left operand, columns of the right one.
pub(super) const LANES_OF_PANEL: usize = 2 * LANES;
/// Inner positions of a step.
pub(super) const STEP: usize = 32;
/// Numbers of a panel's step.
pub(super) const CHUNK: usize = LANES_OF_PANEL * STEP;
/// Numbers of one of its squares.
pub(super) const SQUARE: usize = CHUNK / 2;

/// Whether this processor, and the system on it, has what packing needs.
pub(super) fn detected() -> bool {
    avx512::detected() && is_x86_feature_detected!("avx512bf16")
}

/// Which operand is packed, and so how a square lies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Operand {
    Left,
    Right,
}

/// Lanes and inner positions of a matrix that become panels. What the last panel and the last step
/// lack becomes zero.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) first: usize,
    pub(super) lanes: usize,
    pub(super) start: usize,
    pub(super) depth: usize,
    /// Numbers from a panel to the next.
    pub(super) panel: usize,
}

/// Part of a matrix in memory.
#[derive(Clone, Copy)]
struct Source<E> {
    values: *const E,
    lanes: usize,
    lane_stride: usize,
    depth: usize,
    depth_stride: usize,
    panel: usize,
}

/// Packs rows of `matrix`, its columns being the inner size, times `scale`, into the steps of the
/// panels that hold them. AVX512-BF16 was detected.
pub(super) fn pack(
    panels: &mut [Bf16],
    matrix: &Matrix<'_>,
    part: Part,
    scale: f32,
    operand: Operand,
) {
    let (count, size) = (
        part.lanes.div_ceil(LANES_OF_PANEL),
        part.depth.div_ceil(STEP) * CHUNK,
    );
    assert!(count == 0 || (count - 1) * part.panel + size <= panels.len());
    assert!(part.first + part.lanes <= matrix.rows && part.start + part.depth <= matrix.columns);
    if part.lanes == 0 || part.depth == 0 {
        return;
    }
    let to = panels.as_mut_ptr();
    // SAFETY: `Matrix::of` bounds every element of the matrix, and the assertions above bound the
    // part and the panel. A unit that reads panels is only ever named after it was detected.
    unsafe {
        match matrix.values {
            Values::F32(values) => steps(to, source(values, matrix, part), scale, operand),
            Values::Bf16(values) => steps(to, source(values, matrix, part), scale, operand),
            Values::F16(values) => steps(to, source(values, matrix, part), scale, operand),
            Values::Quantised(values) => {
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
                        panel: part.panel,
                    };
                    steps(to, source, scale, operand);
                });
            }
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
        panel: part.panel,
    }
}

/// # Safety
/// AVX512-BF16 was detected; the panels are writable for the steps that hold the source's depth, and
/// the source readable.
unsafe fn steps<E: Loads>(panels: *mut Bf16, source: Source<E>, scale: f32, operand: Operand) {
    let halves = 2 * source.lanes.div_ceil(LANES_OF_PANEL);
    let steps = source.depth.div_ceil(STEP);
    let one = |half: usize, step: usize| {
        let (lane, depth) = (half * LANES, step * STEP);
        let square = Source {
            values: source
                .values
                .wrapping_add(lane * source.lane_stride + depth * source.depth_stride),
            lanes: source.lanes.saturating_sub(lane).min(LANES),
            depth: (source.depth - depth).min(STEP),
            ..source
        };
        // SAFETY: the caller's; each square lies in a panel.
        unsafe {
            let to = panels.add(half / 2 * source.panel + step * CHUNK + half % 2 * SQUARE);
            if square.depth_stride == 1 {
                pack_lanes(to, square, scale, operand == Operand::Right);
            } else {
                pack_pairs(to, square, scale, operand == Operand::Left);
            }
        }
    };
    // Along the rows of the source, whichever they are.
    if source.depth_stride == 1 {
        (0..halves).for_each(|half| (0..steps).for_each(|step| one(half, step)));
    } else {
        (0..steps).for_each(|step| (0..halves).for_each(|half| one(half, step)));
    }
}

/// A square whose inner positions lie one after the other, lane by lane.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn pack_lanes<E: Loads>(to: *mut Bf16, source: Source<E>, scale: f32, turned: bool) {
    let mut rows = [_mm512_setzero_ps(); LANES];
    let masks = [
        first(source.depth),
        first(source.depth.saturating_sub(LANES)),
    ];
    let scale = _mm512_set1_ps(scale);
    for (lane, row) in rows.iter_mut().enumerate() {
        if lane < source.lanes {
            let from = source.values.wrapping_add(lane * source.lane_stride);
            // SAFETY: the masks keep to the positions that the caller promises. A prefetch may point
            // anywhere: two steps ahead.
            let halves = unsafe {
                _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(2 * STEP).cast());
                _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(2 * STEP + LANES).cast());
                [
                    _mm512_mul_ps(E::load(from, masks[0]), scale),
                    _mm512_mul_ps(E::load(from.wrapping_add(LANES), masks[1]), scale),
                ]
            };
            *row = as_ps(_mm512_cvtne2ps_pbh(halves[1], halves[0]));
        }
    }
    // SAFETY: the caller promises a square.
    unsafe { store(to, rows, turned) };
}

/// A square whose lanes lie one after the other, pair by pair.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn pack_pairs<E: Loads>(to: *mut Bf16, source: Source<E>, scale: f32, turned: bool) {
    let mut rows = [_mm512_setzero_ps(); LANES];
    let mask = first(source.lanes);
    let scale = _mm512_set1_ps(scale);
    // Of two halves, the first number of each, then the second.
    let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let by_pairs = _mm512_or_epi32(
        lanes,
        _mm512_slli_epi32::<16>(_mm512_add_epi32(lanes, _mm512_set1_epi32(LANES as i32))),
    );
    for (pair, row) in rows.iter_mut().enumerate() {
        let mut halves = [_mm512_setzero_ps(); 2];
        for (position, half) in (2 * pair..source.depth).zip(&mut halves) {
            let from = source.values.wrapping_add(position * source.depth_stride);
            // SAFETY: the mask keeps to the lanes that the caller promises. A prefetch may point
            // anywhere: to the square after the next.
            *half = unsafe {
                _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(2 * LANES).cast());
                _mm512_mul_ps(E::load(from, mask), scale)
            };
        }
        let both = as_ps(_mm512_cvtne2ps_pbh(halves[1], halves[0]));
        let paired = _mm512_permutexvar_epi16(by_pairs, _mm512_castps_si512(both));
        *row = _mm512_castsi512_ps(paired);
    }
    // SAFETY: the caller promises a square.
    unsafe { store(to, rows, turned) };
}

/// The bits, for instructions that move them.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
fn as_ps(pairs: __m512bh) -> __m512 {
    // SAFETY: both are 64 bytes, of which any are a value.
    unsafe { std::mem::transmute::<__m512bh, __m512>(pairs) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
#[inline]
unsafe fn store(to: *mut Bf16, mut rows: [__m512; LANES], turned: bool) {
    if turned {
        turn(&mut rows);
    }
    for (index, row) in rows.iter().enumerate() {
        // SAFETY: the caller promises a square.
        unsafe { _mm512_storeu_ps(to.add(index * STEP).cast(), *row) };
    }
}
