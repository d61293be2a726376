//! Tiled attention: scores exist for a tile of queries and keys at a time. Always in f32.

use super::launch::{Argument, File, Launch, unwritten};
use crate::attention::{Attention, Span};
use crate::dispatch::pieces;
use candle_core::{Device, Result, Tensor};

/// Query rows of a tile.
const QUERIES: usize = 32;
/// Key rows of a tile of the backward.
const KEYS: usize = 16;
const THREADS: usize = 128;
/// Bytes of a tile of 32 rows, and of one of 16.
const TILE: usize = 4224;
const HALF_TILE: usize = 2112;

#[derive(Clone, Copy)]
#[repr(C)]
struct Constants {
    first_row: u32,
    end_row: u32,
    first_head: u32,
    query_heads: u32,
    key_value_heads: u32,
    head_dim: u32,
    scale: f32,
    softcap: f32,
}

impl Constants {
    fn new(attention: &Attention, rows: &std::ops::Range<usize>) -> Self {
        Self {
            first_row: rows.start as u32,
            end_row: rows.end as u32,
            first_head: 0,
            query_heads: attention.query_heads as u32,
            key_value_heads: attention.key_value_heads as u32,
            head_dim: attention.head_dim as u32,
            scale: attention.scale,
            softcap: attention.softcap.unwrap_or(0.0),
        }
    }
}

/// The functions made for heads up to a width.
struct Functions {
    forward: &'static str,
    backward_query: &'static str,
    backward_key_value: &'static str,
}

fn functions(head_dim: usize) -> Option<Functions> {
    Some(match head_dim {
        0..=64 => Functions {
            forward: "attention_64_f32",
            backward_query: "attention_backward_query_64_f32",
            backward_key_value: "attention_backward_key_value_64_f32",
        },
        65..=128 => Functions {
            forward: "attention_128_f32",
            backward_query: "attention_backward_query_128_f32",
            backward_key_value: "attention_backward_key_value_128_f32",
        },
        129..=256 => Functions {
            forward: "attention_256_f32",
            backward_query: "attention_backward_query_256_f32",
            backward_key_value: "attention_backward_key_value_256_f32",
        },
        _ => return None,
    })
}

/// Pairs of rows, a first and one past the last.
fn ranges(ranges: Vec<u32>, device: &Device) -> Result<Tensor> {
    let count = ranges.len() / 2;
    Tensor::from_vec(ranges, (count, 2), device)
}

/// The keys that each query of a batch sees; `None` where the spans do not lie end to end.
fn visible(attention: &Attention, spans: &[Span], rows: usize) -> Option<Vec<u32>> {
    let mut visible = Vec::with_capacity(2 * rows);
    for span in spans {
        if visible.len() != 2 * span.start {
            return None;
        }
        for row in 0..span.len {
            let seen = attention.seen_from(row);
            visible.extend([seen.start + span.start, seen.end + span.start].map(|at| at as u32));
        }
    }
    (visible.len() == 2 * rows).then_some(visible)
}

/// The queries that may see each key.
fn seen_by(attention: &Attention, spans: &[Span]) -> Vec<u32> {
    let window = attention.window.unwrap_or(usize::MAX);
    let of_span = |span: &Span| {
        let end = span.start + span.len;
        (span.start..end).flat_map(move |key| {
            let last = end.min(key.saturating_add(window));
            [key as u32, last as u32]
        })
    };
    spans.iter().flat_map(of_span).collect()
}

pub(super) fn forward(
    attention: &Attention,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    spans: &[Span],
) -> Result<Option<(Tensor, Tensor)>> {
    let Some(visible) = visible(attention, spans, q.dim(0)?) else {
        return Ok(None);
    };
    let longest = spans.iter().map(|span| span.len).max().unwrap_or(0);
    attend(attention, (q, k, v), visible, longest)
}

pub(super) fn cached(
    attention: &Attention,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
) -> Result<Option<(Tensor, Tensor)>> {
    let (n, m) = (q.dim(0)?, k.dim(0)?);
    let seen = (m - n..m).map(|position| attention.seen_from(position));
    let visible = seen.flat_map(|seen| [seen.start as u32, seen.end as u32]);
    attend(attention, (q, k, v), visible.collect(), m)
}

fn attend(
    attention: &Attention,
    (q, k, v): (&Tensor, &Tensor, &Tensor),
    visible: Vec<u32>,
    longest: usize,
) -> Result<Option<(Tensor, Tensor)>> {
    let Some(functions) = functions(attention.head_dim) else {
        return Ok(None);
    };
    let ((rows, width), device) = (q.dims2()?, q.device());
    let visible = ranges(visible, device)?;
    let o = unwritten(device, (rows, width))?;
    let log_sum_exp = unwritten(device, (rows, attention.query_heads))?;
    let work = 2 * longest * width;
    for piece in pieces(device, rows, work, QUERIES) {
        Launch {
            file: File::Attention,
            function: functions.forward,
            arguments: &[
                Argument::Read(q),
                Argument::Read(k),
                Argument::Read(v),
                Argument::Read(&visible),
                Argument::Write(&o),
                Argument::Write(&log_sum_exp),
            ],
            constants: Constants::new(attention, &piece),
            grid: (piece.len().div_ceil(QUERIES), attention.query_heads, 1),
            threads: THREADS,
            memory: &[TILE, TILE],
            work: piece.len() * work,
        }
        .run(device)?;
    }
    Ok(Some((o, log_sum_exp)))
}

pub(super) fn backward(
    attention: &Attention,
    (q, k, v): (&Tensor, &Tensor, &Tensor),
    spans: &[Span],
    o: &Tensor,
    log_sum_exp: &Tensor,
    d_o: &Tensor,
) -> Result<Option<(Tensor, Tensor, Tensor)>> {
    let ((rows, width), device) = (q.dims2()?, q.device());
    let functions = functions(attention.head_dim);
    let visible = visible(attention, spans, rows);
    let (Some(functions), Some(visible)) = (functions, visible) else {
        return Ok(None);
    };
    let visible = ranges(visible, device)?;
    let seen_by = ranges(seen_by(attention, spans), device)?;
    let delta = unwritten(device, (rows, attention.query_heads))?;
    Launch {
        file: File::AttentionBackward,
        function: "attention_delta_f32",
        arguments: &[
            Argument::Read(o),
            Argument::Read(d_o),
            Argument::Write(&delta),
        ],
        constants: Constants::new(attention, &(0..rows)),
        grid: (rows, attention.query_heads, 1),
        threads: 32,
        memory: &[],
        work: rows * width,
    }
    .run(device)?;
    let longest = spans.iter().map(|span| span.len).max().unwrap_or(0);
    let dq = unwritten(device, (rows, width))?;
    let work = 3 * longest * width;
    for piece in pieces(device, rows, work, QUERIES) {
        Launch {
            file: File::AttentionBackward,
            function: functions.backward_query,
            arguments: &[
                Argument::Read(q),
                Argument::Read(k),
                Argument::Read(v),
                Argument::Read(&visible),
                Argument::Read(log_sum_exp),
                Argument::Read(&delta),
                Argument::Read(d_o),
                Argument::Write(&dq),
            ],
            constants: Constants::new(attention, &piece),
            grid: (piece.len().div_ceil(QUERIES), attention.query_heads, 1),
            threads: THREADS,
            memory: &[TILE; 4],
            work: piece.len() * work,
        }
        .run(device)?;
    }
    let (keys, key_width) = k.dims2()?;
    let (dk, dv) = (
        unwritten(device, (keys, key_width))?,
        unwritten(device, (keys, key_width))?,
    );
    let work = 4 * longest * width;
    for piece in pieces(device, keys, work, KEYS) {
        Launch {
            file: File::AttentionBackward,
            function: functions.backward_key_value,
            arguments: &[
                Argument::Read(q),
                Argument::Read(k),
                Argument::Read(v),
                Argument::Read(&visible),
                Argument::Read(&seen_by),
                Argument::Read(log_sum_exp),
                Argument::Read(&delta),
                Argument::Read(d_o),
                Argument::Write(&dk),
                Argument::Write(&dv),
            ],
            constants: Constants::new(attention, &piece),
            grid: (piece.len().div_ceil(KEYS), attention.key_value_heads, 1),
            threads: THREADS,
            memory: &[HALF_TILE, TILE, HALF_TILE, TILE],
            work: piece.len() * work,
        }
        .run(device)?;
    }
    Ok(Some((dq, dk, dv)))
}
