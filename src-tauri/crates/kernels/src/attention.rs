//! Causal attention inside the samples of a packed batch, with grouped key/value heads.
//!
//! Neither the keys and values are repeated per query head nor is a whole `T × T` matrix kept:
//! scores exist for a block of query rows at a time, and the backward rebuilds them from the
//! saved log-sum-exp (Dao et al., 2022).

use crate::device::{Operation, own};
use crate::dispatch::{account, rows_within};
use crate::exp::exp;
use crate::gemm::{self, ComputeType, Into, Matrix};
use crate::softcap::{self, softcap, softcap_slope};
use crate::softmax::exponentials;
use crate::storage::{from_values, on_cpu, view};
use crate::vectorised::vectorised;
use candle_core::{D, Device, Result, Tensor};
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
            let own = own(q, Operation::Attention, |kernels| {
                kernels.attention(self, q, k, v, spans)
            })?;
            return own.map_or_else(|| self.forward_composed(q, k, v, spans), Ok);
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
                let q = q.narrow(0, span.start, span.len)?;
                let own = own(&q, Operation::Attention, |kernels| {
                    kernels.attention_cached(self, &q, k, v)
                })?;
                own.map_or_else(|| self.attend_composed(&q, k, v), Ok)
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
            let own = own(q, Operation::AttentionBackward, |kernels| {
                kernels.attention_backward(self, (q, k, v), spans, o, log_sum_exp, d_o)
            })?;
            return own.map_or_else(
                || self.backward_composed(q, k, v, spans, log_sum_exp, d_o),
                Ok,
            );
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
        self.seen_from(sequence.m - sequence.n + row)
    }

    /// The keys that the query at a position of its sequence sees.
    pub(crate) fn seen_from(&self, position: usize) -> std::ops::Range<usize> {
        let end = position + 1;
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

/// Query rows whose scores exist at once in a composition.
const BLOCK_COMPOSED: usize = 512;

/// A block of query rows of a composition.
struct BlockComposed {
    /// Of the sequence's queries.
    rows: std::ops::Range<usize>,
    /// What any of them sees.
    keys: std::ops::Range<usize>,
    /// Position of the first row in the sequence.
    first: usize,
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
        let (n, m) = (q.dim(0)?, k.dim(0)?);
        let (k, v) = (self.split_keys(k)?, self.split_keys(v)?);
        let parts = self.blocks_composed(q.device(), n, m).map(|block| {
            let BlockComposed { rows, keys, first } = block?;
            let part = |x: &Tensor| x.narrow(1, keys.start, keys.len())?.contiguous();
            let q = self.split_queries(&q.narrow(0, rows.start, rows.len())?)?;
            let scores = self.scores_composed(&q, &part(&k)?, first, keys.start)?.0;
            let log_sum_exp = scores.log_sum_exp(D::Minus1)?.unsqueeze(D::Minus1)?;
            let p = scores.broadcast_sub(&log_sum_exp)?.exp()?;
            let o = self.product_composed(&p, &part(&v)?)?;
            Ok((
                self.join_queries(&o, rows.len())?,
                self.join_queries(&log_sum_exp, rows.len())?,
            ))
        });
        join(parts.collect::<Result<_>>()?)
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
            let (q, d_o, log_sum_exp) = (part(q)?, part(d_o)?, part(log_sum_exp)?);
            let (k, v) = (self.split_keys(&part(k)?)?, self.split_keys(&part(v)?)?);
            let (mut dk_sum, mut dv_sum) = (k.zeros_like()?, v.zeros_like()?);
            for block in self.blocks_composed(q.device(), n, n) {
                let BlockComposed { rows, keys, first } = block?;
                let queries =
                    |x: &Tensor| self.split_queries(&x.narrow(0, rows.start, rows.len())?);
                let (q, d_o, log_sum_exp) = (queries(&q)?, queries(&d_o)?, queries(&log_sum_exp)?);
                let seen = |x: &Tensor| x.narrow(1, keys.start, keys.len())?.contiguous();
                let (k, v) = (seen(&k)?, seen(&v)?);
                let (scores, slope) = self.scores_composed(&q, &k, first, keys.start)?;
                let p = scores.broadcast_sub(&log_sum_exp)?.exp()?;
                let dp = self.product_composed(&d_o, &v.t()?)?;
                let delta = (&p * &dp)?.sum_keepdim(D::Minus1)?;
                let mut ds = ((&p * dp.broadcast_sub(&delta)?)? * f64::from(self.scale))?;
                if let Some(slope) = slope {
                    ds = (ds * slope)?;
                }
                dq.push(self.join_queries(&self.product_composed(&ds, &k)?, rows.len())?);
                let whole = |x: Tensor| x.pad_with_zeros(1, keys.start, n - keys.end);
                dk_sum = (dk_sum + whole(self.product_composed(&ds.t()?, &q)?)?)?;
                dv_sum = (dv_sum + whole(self.product_composed(&p.t()?, &d_o)?)?)?;
            }
            dk.push(self.join_keys(&dk_sum)?);
            dv.push(self.join_keys(&dv_sum)?);
        }
        Ok((
            Tensor::cat(&dq, 0)?,
            Tensor::cat(&dk, 0)?,
            Tensor::cat(&dv, 0)?,
        ))
    }

    /// The blocks of `n` queries over `m` keys, and their work accounted for.
    fn blocks_composed(
        &self,
        device: &Device,
        n: usize,
        m: usize,
    ) -> impl Iterator<Item = Result<BlockComposed>> {
        // Two products of a forward; a backward has five, and is accounted for as two of them.
        let work = 2 * m * self.query_width();
        let size = rows_within(device, work).min(BLOCK_COMPOSED);
        (0..n).step_by(size).map(move |start| {
            let rows = start..n.min(start + size);
            account(device, rows.len() * work)?;
            let first = m - n + start;
            let keys = self.seen_from(first).start..first + rows.len();
            Ok(BlockComposed { rows, keys, first })
        })
    }

    fn product_composed(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        self.compute.rounded(a)?.matmul(&self.compute.rounded(b)?)
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

    /// Scores of queries from position `first` on over keys from `start` on, with what is not
    /// visible at minus infinity, `(key_value_heads, group · rows, keys)`, and the slope of their
    /// cap, if they have one.
    fn scores_composed(
        &self,
        q: &Tensor,
        k: &Tensor,
        first: usize,
        start: usize,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let (rows, keys, device) = (q.dim(1)? / self.group(), k.dim(1)?, q.device());
        let positions = |from: usize, count: usize| -> Vec<f32> {
            (from..from + count)
                .map(|position| position as f32)
                .collect()
        };
        let queries = Tensor::from_vec(positions(first, rows), (rows, 1), device)?;
        let distance = queries.broadcast_sub(&Tensor::new(positions(start, keys), device)?)?;
        let mut visible = distance.ge(0.0)?;
        if let Some(window) = self.window {
            visible = (visible * distance.lt(window as f64)?)?;
        }
        let hidden = (distance.zeros_like()? + f64::NEG_INFINITY)?;
        let mask = visible.where_cond(&distance.zeros_like()?, &hidden)?;
        let scores = (self.product_composed(q, &k.t()?)? * f64::from(self.scale))?;
        let (scores, slope) = match self.softcap {
            Some(cap) => {
                let (capped, slope) = softcap::composed(&scores, cap)?;
                (capped, Some(slope))
            }
            None => (scores, None),
        };
        let masked = scores
            .reshape((self.key_value_heads, self.group(), rows, keys))?
            .broadcast_add(&mask)?
            .reshape(scores.shape())?;
        Ok((masked, slope))
    }
}
