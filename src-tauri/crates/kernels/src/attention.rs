//! Causal attention inside the samples of a packed batch, with grouped key/value heads.
//!
//! Neither the keys and values are repeated per query head nor is a whole `T × T` matrix kept:
//! scores exist for a block of positions at a time, for all query heads of a key head together, and
//! the backward rebuilds them from the saved log-sum-exp (Dao et al., 2022).

mod backward;
mod composed;
mod filled;
mod forward;

use crate::device::{Operation, own};
use crate::gemm::{self, ComputeType, How, Matrix, Product};
use crate::softcap::softcap;
use crate::storage::{on_cpu, view};
use candle_core::{Result, Tensor, bail};
use composed::join;
use std::ops::Range;

/// Query rows whose scores exist at once, at least and at most: all heads of a group at some
/// positions, so that its keys and values are packed once for them. The more rows, the rarer.
const ROWS: (usize, usize) = (64, 256);
/// Scores that exist at once, where so many rows have fewer: they stay in the second cache.
const SCORES: usize = 128 * 1024;

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

/// Some positions of a sequence and the query heads of one key head. Row `i` stands for position
/// `first + i / group` and the head `i % group` of the group.
#[derive(Clone)]
struct Block {
    key_head: usize,
    first: usize,
    positions: usize,
    /// The keys that any of its rows sees.
    keys: Range<usize>,
}

impl Attention {
    /// Attends each span of `q (N, query_heads · head_dim)` to the same span of `k` and `v
    /// (N, key_value_heads · head_dim)`. The spans lie end to end. Returns the mixed values, shaped
    /// as `q`, and the log-sum-exp of the scores `(N, query_heads)`, which the backward wants.
    pub fn forward(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        spans: &[Span],
    ) -> Result<(Tensor, Tensor)> {
        end_to_end(spans, q.dim(0)?)?;
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
        end_to_end(spans, q.dim(0)?)?;
        if !on_cpu(q) {
            let own = own(q, Operation::AttentionBackward, |kernels| {
                kernels.attention_backward(self, (q, k, v), spans, o, log_sum_exp, d_o)
            })?;
            return own.map_or_else(
                || self.backward_composed(q, k, v, spans, log_sum_exp, d_o),
                Ok,
            );
        }
        let (q, k, v) = (view(q)?, view(k)?, view(v)?);
        let (o, log_sum_exp, d_o) = (view(o)?, view(log_sum_exp)?, view(d_o)?);
        let sequences: Vec<_> = spans
            .iter()
            .map(|span| self.sequence(&q, &k, &v, *span))
            .collect();
        self.run_backward(&sequences, &o, &log_sum_exp, &d_o)
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
    fn visible(&self, sequence: &Sequence<'_>, row: usize) -> Range<usize> {
        self.seen_from(sequence.m - sequence.n + row)
    }

    /// The keys that the query at a position of its sequence sees.
    pub(crate) fn seen_from(&self, position: usize) -> Range<usize> {
        let end = position + 1;
        end.saturating_sub(self.window.unwrap_or(usize::MAX))..end
    }

    /// The blocks of a key head. How they are cut depends on the sequence alone.
    fn blocks(&self, sequence: &Sequence<'_>, key_head: usize) -> Vec<Block> {
        let rows = (SCORES / sequence.m.max(1)).clamp(ROWS.0, ROWS.1);
        let most = (rows / self.group()).max(1);
        (0..sequence.n)
            .step_by(most)
            .map(|first| {
                let positions = most.min(sequence.n - first);
                let last = self.visible(sequence, first + positions - 1);
                let keys = self.visible(sequence, first).start..last.end;
                Block {
                    key_head,
                    first,
                    positions,
                    keys,
                }
            })
            .collect()
    }

    /// A block's rows, `head_dim` wide, of what has a row of all query heads for each position.
    fn rows_of(&self, values: &[f32], block: &Block) -> Vec<f32> {
        let (width, group) = (self.query_width(), self.group() * self.head_dim);
        let mut rows = Vec::with_capacity(block.positions * group);
        for position in block.first..block.first + block.positions {
            rows.extend_from_slice(&values[position * width + block.key_head * group..][..group]);
        }
        rows
    }

    /// A block's keys or values, of all of them.
    fn keys_of<'a>(&self, values: &'a [f32], block: &Block) -> Matrix<'a> {
        let (d, width) = (self.head_dim, self.key_value_width());
        let offset = block.keys.start * width + block.key_head * d;
        Matrix::new(&values[offset..], block.keys.len(), d, width)
    }

    /// `scale · q · kᵀ` of a block's rows and keys, capped if they are.
    fn scores(&self, sequence: &Sequence<'_>, block: &Block, q: Matrix<'_>) -> Vec<f32> {
        let k = self.keys_of(sequence.k, block);
        let mut scores = product(self.scale, q, k.t(), self.compute.alone());
        if let Some(cap) = self.softcap {
            softcap(&mut scores, cap);
        }
        scores
    }

    /// What a row of a block sees, counted from the block's first key.
    fn visible_in(&self, sequence: &Sequence<'_>, block: &Block, row: usize) -> Range<usize> {
        let visible = self.visible(sequence, block.first + row / self.group());
        visible.start - block.keys.start..visible.end - block.keys.start
    }
}

/// `alpha · a · b`
fn product(alpha: f32, a: Matrix<'_>, b: Matrix<'_>, how: How) -> Vec<f32> {
    gemm::sum_of(&[Product { alpha, a, b }], how)
}

/// Refuses spans that leave rows out, or have some twice.
fn end_to_end(spans: &[Span], rows: usize) -> Result<()> {
    let end = spans
        .iter()
        .try_fold(0, |end, span| (span.start == end).then_some(end + span.len));
    if end != Some(rows) {
        bail!("attention: the samples {spans:?} do not lie end to end in {rows} rows");
    }
    Ok(())
}
