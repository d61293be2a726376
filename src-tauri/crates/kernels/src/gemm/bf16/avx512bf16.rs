//! AVX512-BF16: `vdpbf16ps` multiplies sixteen pairs and adds each pair's products to a sum.

use super::blocked::{TILE, Unit};
use super::pack::{CHUNK, SQUARE, STEP};
use crate::gemm::avx512::LANES;
use crate::gemm::element::Bf16;
#[allow(clippy::wildcard_imports, reason = "names that carry their own prefix")]
use std::arch::x86_64::*;

pub(super) use super::pack::detected;

pub(super) struct Avx512Bf16;

/// Rows whose sums stay in registers.
const ROWS: usize = 8;

impl Unit for Avx512Bf16 {
    fn scope<T>(work: impl FnOnce() -> T) -> T {
        work()
    }

    unsafe fn tile(
        steps: usize,
        a: *const Bf16,
        b: *const Bf16,
        to: *mut f32,
        stride: usize,
        adds: bool,
    ) {
        for row in (0..TILE).step_by(ROWS) {
            let (half, within) = (row / LANES, row % LANES);
            // SAFETY: the caller's: these rows lie in the square `half` of each step.
            unsafe {
                rows(
                    steps,
                    a.add(half * SQUARE + within * STEP),
                    b,
                    to.add(row * stride),
                    stride,
                    adds,
                );
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn rows(
    steps: usize,
    a: *const Bf16,
    b: *const Bf16,
    to: *mut f32,
    stride: usize,
    adds: bool,
) {
    let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
    // SAFETY: the caller promises the steps of both panels, and its rows of the sums.
    unsafe {
        if adds {
            for (row, sums) in sums.iter_mut().enumerate() {
                for (half, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm512_loadu_ps(to.add(row * stride + half * LANES));
                }
            }
        }
        for step in 0..steps {
            let (a, b) = (a.add(step * CHUNK), b.add(step * CHUNK));
            for pair in 0..LANES {
                let columns = [0, SQUARE].map(|half| {
                    let lanes = _mm512_loadu_si512(b.add(half + pair * STEP).cast());
                    std::mem::transmute::<__m512i, __m512bh>(lanes)
                });
                for (row, sums) in sums.iter_mut().enumerate() {
                    let both = a.add(row * STEP + 2 * pair).cast::<i32>().read_unaligned();
                    let both = std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(both));
                    sums[0] = _mm512_dpbf16_ps(sums[0], both, columns[0]);
                    sums[1] = _mm512_dpbf16_ps(sums[1], both, columns[1]);
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            for (half, sum) in sums.iter().enumerate() {
                _mm512_storeu_ps(to.add(row * stride + half * LANES), *sum);
            }
        }
    }
}
