//! Causal attention inside the samples of a packed batch, with grouped key/value heads.
//!
//! Neither the keys and values are repeated per query head nor is a whole `T × T` matrix kept:
//! scores exist for a block of query rows at a time, and the backward rebuilds them from the
//! saved log-sum-exp (Dao et al., 2022).

use crate::exp::exp;
use crate::gemm::{self, ComputeType, Into, Matrix};
use crate::softcap::{self, softcap, softcap_slope};
use crate::softmax::exponentials;
use crate::storage::{from_values, on_cpu, view};
use crate::vectorised::vectorised;
use candle_core::{D, DType, Device, Result, Tensor};
use rayon::prelude::*;

/// Query rows whose scores exist at once.
const BLOCK: usize = 64;

/// Rows `start..start + len` of a batch: one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First row.
    pub start: usize,
    /// Number of rows.
    pub len: usize,
}

/// The heads of an attention layer and what they may see.
#[derive(Debug, Clone, Copy)]
pub struct Attention {
    /// Number of query heads, a multiple of `key_value_heads`.
    pub query_heads: usize,
    /// Number of key and value heads.
    pub key_value_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Factor on the scores, usually `1 / sqrt(head_dim)`.
    pub scale: f32,
    /// How many positions back a query sees, itself included; `None` for all.
    pub window: Option<usize>,
    /// `c`: scores become `c · tanh(score / c)` before the softmax (Gemma 2).
    pub softcap: Option<f32>,
    /// What its products are computed in; the softmax is f32.
    pub compute: ComputeType,
}

/// One sample's `n` queries over its `m ≥ n` keys; the queries are the last `n` positions.
struct Sequence<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    n: usize,
    m: usize,
}

/// A block of query rows of one head of one sequence.
struct Block {
    sequence: usize,
    head: usize,
    first: usize,
    rows: usize,
}

impl Attention {
    /// Attends each span of `q (N, query_heads · head_dim)` to the same span of `k` and `v
    /// (N, key_value_heads · head_dim)`. Returns the mixed values, shaped as `q`, and the
    /// log-sum-exp of the scores `(N, query_heads)`, which the backward wants.
    pub fn forward(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        spans: &[Span],
    ) -> Result<(Tensor, Tensor)> {
        if !on_cpu(q) {
            return self.forward_composed(q, k, v, spans);
        }
        let (q, k, v) = (view(q)?, view(k)?, view(v)?);
        let sequences: Vec<_> = spans
            .iter()
            .map(|span| self.sequence(&q, &k, &v, *span))
            .collect();
        self.run(&sequences)
    }

    /// Attends each span of `q` to a sequence of its own: the span's `n` queries are the last `n`
    /// positions of its keys and values `(m, key_value_heads · head_dim)`. For generation with a
    /// cache. Returns what [`Attention::forward`] does.
    pub fn cached(
        &self,
        q: &Tensor,
        spans: &[Span],
        caches: &[(Tensor, Tensor)],
    ) -> Result<(Tensor, Tensor)> {
        if !on_cpu(q) {
            let parts = spans.iter().zip(caches).map(|(span, (k, v))| {
                self.attend_composed(&q.narrow(0, span.start, span.len)?, k, v)
            });
            return join(parts.collect::<Result<_>>()?);
        }
        let q = view(q)?;
        let views = caches
            .iter()
            .map(|(k, v)| Ok((view(k)?, view(v)?)))
            .collect::<Result<Vec<_>>>()?;
        let (q_width, k_width) = (self.query_width(), self.key_value_width());
        let sequences: Vec<_> = spans
            .iter()
            .zip(&views)
            .map(|(span, (k, v))| Sequence {
                q: &q[span.start * q_width..][..span.len * q_width],
                k,
                v,
                n: span.len,
                m: k.len() / k_width,
            })
            .collect();
        self.run(&sequences)
    }

    /// Gradients of `q`, `k` and `v`, from the result `o`, its log-sum-exp and its gradient `d_o`.
    pub fn backward(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        spans: &[Span],
        o: &Tensor,
        log_sum_exp: &Tensor,
        d_o: &Tensor,
    ) -> Result<(Tensor, Tensor, Tensor)> {
        if !on_cpu(q) {
            return self.backward_composed(q, k, v, spans, log_sum_exp, d_o);
        }
        let (n, q_width) = q.dims2()?;
        let k_width = self.key_value_width();
        let (q, k, v) = (view(q)?, view(k)?, view(v)?);
        let (o, log_sum_exp, d_o) = (view(o)?, view(log_sum_exp)?, view(d_o)?);
        let tasks: Vec<(Span, usize)> = spans
            .iter()
            .flat_map(|span| (0..self.key_value_heads).map(|head| (*span, head)))
            .collect();
        // A key head gathers gradients from all its query heads, so it is one task: the order of
        // the sums, and with it every bit, does not depend on the number of threads.
        let parts: Vec<_> = tasks
            .par_iter()
            .map(|(span, head)| {
                let rows = span.start * q_width..(span.start + span.len) * q_width;
                let sequence = self.sequence(&q, &k, &v, *span);
                let log_sum_exp = &log_sum_exp[span.start * self.query_heads..];
                self.backward_head(&sequence, *head, &o[rows.clone()], log_sum_exp, &d_o[rows])
            })
            .collect();
        let (mut dq, mut dk, mut dv) = (
            vec![0.0; n * q_width],
            vec![0.0; n * k_width],
            vec![0.0; n * k_width],
        );
        let d = self.head_dim;
        for ((span, head), (part_q, part_k, part_v)) in tasks.iter().zip(&parts) {
            let group = d * self.group();
            copy_columns(
                &mut dq[span.start * q_width..],
                q_width,
                head * group,
                part_q,
                group,
            );
            copy_columns(
                &mut dk[span.start * k_width..],
                k_width,
                head * d,
                part_k,
                d,
            );
            copy_columns(
                &mut dv[span.start * k_width..],
                k_width,
                head * d,
                part_v,
                d,
            );
        }
        Ok((
            from_values(dq, (n, q_width))?,
            from_values(dk, (n, k_width))?,
            from_values(dv, (n, k_width))?,
        ))
    }

    fn group(&self) -> usize {
        self.query_heads / self.key_value_heads
    }

    fn query_width(&self) -> usize {
        self.query_heads * self.head_dim
    }

    fn key_value_width(&self) -> usize {
        self.key_value_heads * self.head_dim
    }

    fn sequence<'a>(&self, q: &'a [f32], k: &'a [f32], v: &'a [f32], span: Span) -> Sequence<'a> {
        let (q_width, k_width) = (self.query_width(), self.key_value_width());
        Sequence {
            q: &q[span.start * q_width..][..span.len * q_width],
            k: &k[span.start * k_width..][..span.len * k_width],
            v: &v[span.start * k_width..][..span.len * k_width],
            n: span.len,
            m: span.len,
        }
    }

    /// The keys that query row `row` of a sequence sees.
    fn visible(&self, sequence: &Sequence<'_>, row: usize) -> std::ops::Range<usize> {
        let end = sequence.m - sequence.n + row + 1;
        end.saturating_sub(self.window.unwrap_or(usize::MAX))..end
    }

    /// Runs every block of every head; outputs of all sequences lie end to end.
    fn run(&self, sequences: &[Sequence<'_>]) -> Result<(Tensor, Tensor)> {
        let total: usize = sequences.iter().map(|sequence| sequence.n).sum();
        let blocks: Vec<Block> = sequences
            .iter()
            .enumerate()
            .flat_map(|(index, sequence)| {
                (0..self.query_heads).flat_map(move |head| {
                    (0..sequence.n).step_by(BLOCK).map(move |first| Block {
                        sequence: index,
                        head,
                        first,
                        rows: BLOCK.min(sequence.n - first),
                    })
                })
            })
            .collect();
        let parts: Vec<_> = blocks
            .par_iter()
            .map(|block| self.forward_block(&sequences[block.sequence], block))
            .collect();

        let starts: Vec<usize> = sequences
            .iter()
            .scan(0, |next, sequence| {
                Some(std::mem::replace(next, *next + sequence.n))
            })
            .collect();
        let (d, width) = (self.head_dim, self.query_width());
        let mut o = vec![0.0; total * width];
        let mut log_sum_exp = vec![0.0; total * self.query_heads];
        for (block, (part, sums)) in blocks.iter().zip(&parts) {
            let row = starts[block.sequence] + block.first;
            copy_columns(&mut o[row * width..], width, block.head * d, part, d);
            copy_columns(
                &mut log_sum_exp[row * self.query_heads..],
                self.query_heads,
                block.head,
                sums,
                1,
            );
        }
        Ok((
            from_values(o, (total, width))?,
            from_values(log_sum_exp, (total, self.query_heads))?,
        ))
    }

    /// One block of one head: its values `(rows, head_dim)` and log-sum-exps `(rows)`.
    fn forward_block(&self, sequence: &Sequence<'_>, block: &Block) -> (Vec<f32>, Vec<f32>) {
        let (d, k_width) = (self.head_dim, self.key_value_width());
        let keys = self.keys_of_block(sequence, block.first, block.rows);
        let mut p = vec![0.0; block.rows * keys.len()];
        self.scores(
            sequence,
            block.head,
            block.first,
            block.rows,
            keys.clone(),
            &mut p,
        );
        let log_sum_exp: Vec<f32> = (0..block.rows)
            .map(|row| {
                let visible = self.visible(sequence, block.first + row);
                let scores = &mut p[row * keys.len()..][..keys.len()];
                softmax(scores, visible.start - keys.start..visible.end - keys.start)
            })
            .collect();
        let offset = block.head / self.group() * d + keys.start * k_width;
        let v = Matrix::new(&sequence.v[offset..], keys.len(), d, k_width);
        let mut o = vec![0.0; block.rows * d];
        let p = Matrix::new(&p, block.rows, keys.len(), keys.len());
        gemm::gemm(&mut o, d, Into::Replace, 1.0, p, v, self.compute.alone());
        (o, log_sum_exp)
    }

    /// The keys that any row of a block sees.
    fn keys_of_block(
        &self,
        sequence: &Sequence<'_>,
        first: usize,
        rows: usize,
    ) -> std::ops::Range<usize> {
        self.visible(sequence, first).start..self.visible(sequence, first + rows - 1).end
    }

    /// `scale · q · kᵀ` of a block over `keys`, capped if they are, into `scores (rows, keys)`.
    fn scores(
        &self,
        sequence: &Sequence<'_>,
        head: usize,
        first: usize,
        rows: usize,
        keys: std::ops::Range<usize>,
        scores: &mut [f32],
    ) {
        let (d, q_width, k_width) = (self.head_dim, self.query_width(), self.key_value_width());
        let q = Matrix::new(&sequence.q[first * q_width + head * d..], rows, d, q_width);
        let offset = head / self.group() * d + keys.start * k_width;
        let k = Matrix::new(&sequence.k[offset..], keys.len(), d, k_width);
        gemm::gemm(
            scores,
            keys.len(),
            Into::Replace,
            self.scale,
            q,
            k.t(),
            self.compute.alone(),
        );
        if let Some(cap) = self.softcap {
            softcap(scores, cap);
        }
    }

    /// Gradients of one key head and its group of query heads: `dq (n, group · head_dim)`,
    /// `dk` and `dv (n, head_dim)`.
    fn backward_head(
        &self,
        sequence: &Sequence<'_>,
        key_head: usize,
        o: &[f32],
        log_sum_exp: &[f32],
        d_o: &[f32],
    ) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let (d, group, n) = (self.head_dim, self.group(), sequence.n);
        let (q_width, k_width) = (self.query_width(), self.key_value_width());
        let (mut dq, mut dk, mut dv) =
            (vec![0.0; n * group * d], vec![0.0; n * d], vec![0.0; n * d]);
        let (mut p, mut dp) = (vec![0.0; BLOCK * n], vec![0.0; BLOCK * n]);
        for member in 0..group {
            let head = key_head * group + member;
            for first in (0..n).step_by(BLOCK) {
                let rows = BLOCK.min(n - first);
                let keys = self.keys_of_block(sequence, first, rows);
                let width = keys.len();
                let (p, dp) = (&mut p[..rows * width], &mut dp[..rows * width]);
                self.scores(sequence, head, first, rows, keys.clone(), p);
                let key_offset = key_head * d + keys.start * k_width;
                let d_o_block = Matrix::new(&d_o[first * q_width + head * d..], rows, d, q_width);
                let v = Matrix::new(&sequence.v[key_offset..], width, d, k_width);
                gemm::gemm(
                    dp,
                    width,
                    Into::Replace,
                    1.0,
                    d_o_block,
                    v.t(),
                    self.compute.alone(),
                );
                for row in 0..rows {
                    let at = (first + row) * q_width + head * d;
                    let delta = dot(&o[at..at + d], &d_o[at..at + d]);
                    let visible = self.visible(sequence, first + row);
                    let visible = visible.start - keys.start..visible.end - keys.start;
                    let log_sum_exp = log_sum_exp[(first + row) * self.query_heads + head];
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
                let p = Matrix::new(p, rows, width, width);
                let ds = Matrix::new(dp, rows, width, width);
                let q = Matrix::new(&sequence.q[first * q_width + head * d..], rows, d, q_width);
                let k = Matrix::new(&sequence.k[key_offset..], width, d, k_width);
                let dv = &mut dv[keys.start * d..];
                gemm::gemm(
                    dv,
                    d,
                    Into::Add,
                    1.0,
                    p.t(),
                    d_o_block,
                    self.compute.alone(),
                );
                let dk = &mut dk[keys.start * d..];
                gemm::gemm(dk, d, Into::Add, 1.0, ds.t(), q, self.compute.alone());
                let dq = &mut dq[first * group * d + member * d..];
                gemm::gemm(
                    dq,
                    group * d,
                    Into::Replace,
                    1.0,
                    ds,
                    k,
                    self.compute.alone(),
                );
            }
        }
        (dq, dk, dv)
    }
}

/// Copies the rows of `part (rows, columns)` into columns `offset..` of a matrix `stride` wide.
fn copy_columns(matrix: &mut [f32], stride: usize, offset: usize, part: &[f32], columns: usize) {
    for (row, part) in matrix.chunks_mut(stride).zip(part.chunks_exact(columns)) {
        row[offset..offset + columns].copy_from_slice(part);
    }
}

/// Softmax over the visible scores, zero elsewhere; returns the log-sum-exp.
fn softmax(scores: &mut [f32], visible: std::ops::Range<usize>) -> f32 {
    scores[..visible.start].fill(0.0);
    scores[visible.end..].fill(0.0);
    let scores = &mut scores[visible];
    let (max, sum) = exponentials(scores);
    let factor = 1.0 / sum;
    scores.iter_mut().for_each(|score| *score *= factor);
    max + sum.ln()
}

/// Turns scores into probabilities and their gradient into `scale · p · (dp - delta)`, the
/// gradient of the unscaled scores; both zero where nothing is visible.
fn softmax_backward(
    scores: &mut [f32],
    gradient: &mut [f32],
    visible: std::ops::Range<usize>,
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

/// Lays the sequences' values and log-sum-exps end to end.
fn join(parts: Vec<(Tensor, Tensor)>) -> Result<(Tensor, Tensor)> {
    let (o, log_sum_exp): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    Ok((Tensor::cat(&o, 0)?, Tensor::cat(&log_sum_exp, 0)?))
}

/// The same by candle's operations, for devices without a kernel of their own.
impl Attention {
    pub(crate) fn forward_composed(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        spans: &[Span],
    ) -> Result<(Tensor, Tensor)> {
        let parts = spans
            .iter()
            .map(|span| {
                let part = |x: &Tensor| x.narrow(0, span.start, span.len);
                self.attend_composed(&part(q)?, &part(k)?, &part(v)?)
            })
            .collect::<Result<Vec<_>>>()?;
        join(parts)
    }

    fn attend_composed(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let n = q.dim(0)?;
        let (q, k, v) = (
            self.split_queries(q)?,
            self.split_keys(k)?,
            self.split_keys(v)?,
        );
        let scores = self.scores_composed(&q, &k, n)?.0;
        let log_sum_exp = scores.log_sum_exp(D::Minus1)?.unsqueeze(D::Minus1)?;
        let o = scores.broadcast_sub(&log_sum_exp)?.exp()?.matmul(&v)?;
        Ok((
            self.join_queries(&o, n)?,
            self.join_queries(&log_sum_exp, n)?,
        ))
    }

    pub(crate) fn backward_composed(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        spans: &[Span],
        log_sum_exp: &Tensor,
        d_o: &Tensor,
    ) -> Result<(Tensor, Tensor, Tensor)> {
        let (mut dq, mut dk, mut dv) = (Vec::new(), Vec::new(), Vec::new());
        for span in spans {
            let n = span.len;
            let part = |x: &Tensor| x.narrow(0, span.start, n);
            let (q, k, v) = (
                self.split_queries(&part(q)?)?,
                self.split_keys(&part(k)?)?,
                self.split_keys(&part(v)?)?,
            );
            let (d_o, log_sum_exp) = (
                self.split_queries(&part(d_o)?)?,
                self.split_queries(&part(log_sum_exp)?)?,
            );
            let (scores, slope) = self.scores_composed(&q, &k, n)?;
            let p = scores.broadcast_sub(&log_sum_exp)?.exp()?;
            let dp = d_o.matmul(&v.t()?)?;
            let delta = (&p * &dp)?.sum_keepdim(D::Minus1)?;
            let mut ds = ((&p * dp.broadcast_sub(&delta)?)? * f64::from(self.scale))?;
            if let Some(slope) = slope {
                ds = (ds * slope)?;
            }
            dq.push(self.join_queries(&ds.matmul(&k)?, n)?);
            dk.push(self.join_keys(&ds.t()?.matmul(&q)?)?);
            dv.push(self.join_keys(&p.t()?.matmul(&d_o)?)?);
        }
        Ok((
            Tensor::cat(&dq, 0)?,
            Tensor::cat(&dk, 0)?,
            Tensor::cat(&dv, 0)?,
        ))
    }

    /// `(n, query_heads · d)` to `(key_value_heads, group · n, d)`.
    fn split_queries(&self, x: &Tensor) -> Result<Tensor> {
        let (n, width) = x.dims2()?;
        let d = width / self.query_heads;
        x.reshape((n, self.key_value_heads, self.group(), d))?
            .permute((1, 2, 0, 3))?
            .reshape((self.key_value_heads, self.group() * n, d))?
            .contiguous()
    }

    fn join_queries(&self, x: &Tensor, n: usize) -> Result<Tensor> {
        let d = x.dim(2)?;
        x.reshape((self.key_value_heads, self.group(), n, d))?
            .permute((2, 0, 1, 3))?
            .reshape((n, self.query_heads * d))?
            .contiguous()
    }

    /// `(m, key_value_heads · d)` to `(key_value_heads, m, d)`.
    fn split_keys(&self, x: &Tensor) -> Result<Tensor> {
        let m = x.dim(0)?;
        x.reshape((m, self.key_value_heads, self.head_dim))?
            .permute((1, 0, 2))?
            .contiguous()
    }

    fn join_keys(&self, x: &Tensor) -> Result<Tensor> {
        let m = x.dim(1)?;
        x.permute((1, 0, 2))?
            .reshape((m, self.key_value_width()))?
            .contiguous()
    }

    /// Scores with what is not visible at minus infinity, `(key_value_heads, group · n, m)`, and
    /// the slope of their cap, if they have one.
    fn scores_composed(
        &self,
        q: &Tensor,
        k: &Tensor,
        n: usize,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let m = k.dim(1)?;
        let window = self.window.unwrap_or(usize::MAX);
        let mask: Vec<f32> = (0..self.group() * n)
            .flat_map(|row| {
                let end = m - n + row % n + 1;
                (0..m).map(move |key| {
                    if key < end && key >= end.saturating_sub(window) {
                        0.0
                    } else {
                        f32::NEG_INFINITY
                    }
                })
            })
            .collect();
        let mask =
            Tensor::from_vec(mask, (self.group() * n, m), &Device::Cpu)?.to_device(q.device())?;
        let scores = (q.matmul(&k.t()?)?.to_dtype(DType::F32)? * f64::from(self.scale))?;
        let (scores, slope) = match self.softcap {
            Some(cap) => {
                let (capped, slope) = softcap::composed(&scores, cap)?;
                (capped, Some(slope))
            }
            None => (scores, None),
        };
        Ok((scores.broadcast_add(&mask)?, slope))
    }
}
