//! Attention by candle's operations, for devices without a kernel of their own.

use super::{Attention, Span};
use crate::dispatch::{account, rows_within};
use crate::softcap;
use candle_core::{D, Device, Result, Tensor};
use std::ops::Range;

/// Lays the sequences' values and log-sum-exps end to end.
pub(super) fn join(parts: Vec<(Tensor, Tensor)>) -> Result<(Tensor, Tensor)> {
    let (o, log_sum_exp): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    Ok((Tensor::cat(&o, 0)?, Tensor::cat(&log_sum_exp, 0)?))
}

/// Query rows whose scores exist at once in a composition.
const BLOCK_COMPOSED: usize = 512;

/// A block of query rows of a composition.
struct BlockComposed {
    /// Of the sequence's queries.
    rows: Range<usize>,
    /// What any of them sees.
    keys: Range<usize>,
    /// Position of the first row in the sequence.
    first: usize,
}

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

    pub(super) fn attend_composed(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
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
