//! Gradients of queries, keys and values, from scores that are computed again.

use super::filled::{Filling, Room};
use super::{Attention, Sequence, product};
use crate::exp::exp;
use crate::gemm::{self, Into, Matrix};
use crate::softcap::softcap_slope;
use crate::vectorised::vectorised;
use candle_core::{Result, Tensor};
use rayon::prelude::*;
use std::ops::Range;

/// What the forward returned and the gradient of it, of one sequence.
#[derive(Clone, Copy)]
struct Outcome<'a> {
    o: &'a [f32],
    log_sum_exp: &'a [f32],
    d_o: &'a [f32],
}

impl Attention {
    /// Runs every key head of every sequence, which lie end to end.
    pub(super) fn run_backward(
        &self,
        sequences: &[Sequence<'_>],
        o: &[f32],
        log_sum_exp: &[f32],
        d_o: &[f32],
    ) -> Result<(Tensor, Tensor, Tensor)> {
        let (q_width, k_width) = (self.query_width(), self.key_value_width());
        let mut start = 0;
        let mut tasks = Vec::new();
        for sequence in sequences {
            let outcome = Outcome {
                o: &o[start * q_width..],
                log_sum_exp: &log_sum_exp[start * self.query_heads..],
                d_o: &d_o[start * q_width..],
            };
            tasks.extend((0..self.key_value_heads).map(|head| (sequence, start, head, outcome)));
            start += sequence.n;
        }
        let (mut dq, mut dk, mut dv) = (
            Room::new(start, q_width),
            Room::new(start, k_width),
            Room::new(start, k_width),
        );
        let (to_q, to_k, to_v) = (dq.fill(), dk.fill(), dv.fill());
        let d = self.head_dim;
        // A key head gathers gradients from all its query heads, so it is one task: the order of
        // the sums, and with it every bit, does not depend on the number of threads.
        tasks
            .par_iter()
            .for_each(|(sequence, start, head, outcome)| {
                let (dk, dv) = self.backward_head(sequence, *head, *outcome, &to_q, *start);
                // SAFETY: no other task has this head of these rows.
                unsafe {
                    to_k.put(*start, head * d, &dk, d);
                    to_v.put(*start, head * d, &dv, d);
                }
            });
        // SAFETY: the tasks cover every position of every sequence, for every head.
        unsafe { Ok((dq.filled()?, dk.filled()?, dv.filled()?)) }
    }

    /// Gradients of one key head and its group of query heads: puts those of the queries into `dq`
    /// from the row `start` on, returns `dk` and `dv (n, head_dim)`.
    fn backward_head(
        &self,
        sequence: &Sequence<'_>,
        key_head: usize,
        outcome: Outcome<'_>,
        dq: &Filling<'_>,
        start: usize,
    ) -> (Vec<f32>, Vec<f32>) {
        let (d, group, how) = (self.head_dim, self.group(), self.compute.alone());
        let (mut dk, mut dv) = (vec![0.0; sequence.n * d], vec![0.0; sequence.n * d]);
        for block in self.blocks(sequence, key_head) {
            let (rows, width) = (block.positions * group, block.keys.len());
            let q = self.rows_of(sequence.q, &block);
            let o = self.rows_of(outcome.o, &block);
            let d_o = self.rows_of(outcome.d_o, &block);
            let q = Matrix::new(&q, rows, d, d);
            let d_o_rows = Matrix::new(&d_o, rows, d, d);
            let v = self.keys_of(sequence.v, &block);
            let mut p = self.scores(sequence, &block, q);
            let mut dp = product(1.0, d_o_rows, v.t(), how);
            for row in 0..rows {
                let delta = dot(&o[row * d..][..d], &d_o[row * d..][..d]);
                let visible = self.visible_in(sequence, &block, row);
                let (position, head) = (block.first + row / group, row % group);
                let log_sum_exp =
                    outcome.log_sum_exp[position * self.query_heads + key_head * group + head];
                let (p, dp) = (
                    &mut p[row * width..][..width],
                    &mut dp[row * width..][..width],
                );
                if let Some(cap) = self.softcap {
                    softcap_backward(&p[visible.clone()], &mut dp[visible.clone()], delta, cap);
                    softmax_backward(p, dp, visible, log_sum_exp, 0.0, self.scale);
                } else {
                    softmax_backward(p, dp, visible, log_sum_exp, delta, self.scale);
                }
            }
            let p = Matrix::new(&p, rows, width, width);
            let ds = Matrix::new(&dp, rows, width, width);
            let from = block.keys.start * d;
            gemm::gemm(&mut dv[from..], d, Into::Add, 1.0, p.t(), d_o_rows, how);
            gemm::gemm(&mut dk[from..], d, Into::Add, 1.0, ds.t(), q, how);
            let k = self.keys_of(sequence.k, &block);
            let part = product(1.0, ds, k, how);
            // SAFETY: no other task has these heads of these rows, and no other block the rows.
            unsafe { dq.put(start + block.first, key_head * group * d, &part, group * d) };
        }
        (dk, dv)
    }
}

/// Turns scores into probabilities and their gradient into `scale · p · (dp - delta)`, the
/// gradient of the unscaled scores; both zero where nothing is visible.
fn softmax_backward(
    scores: &mut [f32],
    gradient: &mut [f32],
    visible: Range<usize>,
    log_sum_exp: f32,
    delta: f32,
    scale: f32,
) {
    for values in [&mut *scores, &mut *gradient] {
        values[..visible.start].fill(0.0);
        values[visible.end..].fill(0.0);
    }
    let (scores, gradient) = (&mut scores[visible.clone()], &mut gradient[visible]);
    vectorised(
        #[inline(always)]
        || {
            for (score, gradient) in scores.iter_mut().zip(gradient.iter_mut()) {
                *score = exp(*score - log_sum_exp);
                *gradient = *score * (*gradient - delta) * scale;
            }
        },
    );
}

/// The inner product, summed in sixteen lanes.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    for (a, b) in a.chunks(16).zip(b.chunks(16)) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

/// Multiplies `dp - delta`, the gradient of the capped scores but for a factor, by the slope
/// `1 - (score / cap)²` of the cap.
fn softcap_backward(capped: &[f32], gradient: &mut [f32], delta: f32, cap: f32) {
    vectorised(
        #[inline(always)]
        || {
            for (score, gradient) in capped.iter().zip(gradient.iter_mut()) {
                *gradient = (*gradient - delta) * softcap_slope(*score, cap);
            }
        },
    );
}
