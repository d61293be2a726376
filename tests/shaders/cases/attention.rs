use crate::Outcome;
use crate::bench::{Bench, cuts, tensor};
use crate::buffer::{Stored, f32s, u32s, values};
use attune_kernels::{Attention, ComputeType, Span};
use candle_core::Tensor;

const BOUND: f64 = 1e-5;
/// Bytes of tiles of 32 and of 16 rows.
const TILE: usize = 32 * 33 * 4;
const NARROW: usize = 16 * 33 * 4;

/// Lengths of the spans, query heads, key heads, width of a head, window, cap, size of the numbers.
type Case = (
    &'static [usize],
    usize,
    usize,
    usize,
    Option<usize>,
    Option<f32>,
    f32,
);

const CASES: &[Case] = &[
    (&[1], 1, 1, 32, None, None, 1.0),
    (&[33, 1, 40], 4, 2, 64, Some(7), None, 1.0),
    (&[5, 70], 3, 1, 48, None, Some(2.0), 2.0),
    // Scores of several hundreds: one probability is one.
    (&[40], 2, 2, 64, None, None, 30.0),
    // All scores are the same.
    (&[20, 20], 2, 1, 8, Some(40), None, 1e-20),
];

/// Heads that other functions compute.
const WIDE: &[Case] = &[
    (&[3, 34], 2, 1, 80, Some(20), None, 1.0),
    (&[37], 2, 1, 128, None, Some(5.0), 1.0),
    (&[18, 17], 2, 1, 256, Some(9), None, 1.0),
];

pub fn run(bench: &mut Bench) -> Outcome<()> {
    let wide = if bench.is_spared() { &[] } else { WIDE };
    for stored in bench.stored.clone() {
        for case in CASES.iter().chain(wide) {
            run_case(bench, stored, case)?;
        }
    }
    cached(bench)
}

/// What each query row sees, and which query rows may see each key row.
fn ranges(spans: &[Span], window: usize) -> (Vec<u32>, Vec<u32>) {
    let (mut visible, mut seen_by) = (Vec::new(), Vec::new());
    for span in spans {
        let end = span.start + span.len;
        for row in span.start..end {
            let first = span.start.max((row + 1).saturating_sub(window));
            visible.extend([first as u32, row as u32 + 1]);
            seen_by.extend([row as u32, end.min(row.saturating_add(window)) as u32]);
        }
    }
    (visible, seen_by)
}

fn options(attention: &Attention, first: u32, count: u32) -> Vec<u8> {
    let heads = [
        attention.query_heads,
        attention.key_value_heads,
        attention.head_dim,
    ];
    let [query_heads, key_heads, head_dim] = heads.map(|size| size as u32);
    let cap = attention.softcap.unwrap_or(0.0);
    let mut bytes = u32s(&[first, first + count, 0, query_heads, key_heads, head_dim]);
    bytes.extend(f32s(&[attention.scale, cap]));
    bytes
}

/// The width of heads in a function's name.
fn width(head_dim: usize) -> usize {
    [64, 128, 256]
        .into_iter()
        .find(|width| head_dim <= *width)
        .unwrap()
}

fn flat(x: &Tensor) -> Outcome<Vec<f32>> {
    Ok(x.flatten_all()?.to_vec1()?)
}

fn run_case(bench: &mut Bench, stored: Stored, case: &Case) -> Outcome<()> {
    let (lengths, query_heads, key_heads, head_dim, window, softcap, size) = *case;
    let attention = Attention {
        query_heads,
        key_value_heads: key_heads,
        head_dim,
        scale: 1.0 / (head_dim as f32).sqrt(),
        window,
        softcap,
        compute: ComputeType::F32,
    };
    let mut spans = Vec::new();
    let mut rows = 0;
    for len in lengths {
        spans.push(Span {
            start: rows,
            len: *len,
        });
        rows += len;
    }
    let (visible, seen_by) = ranges(&spans, window.unwrap_or(usize::MAX));
    let (q_shape, k_shape) = ((rows, query_heads * head_dim), (rows, key_heads * head_dim));
    let mut random = |(rows, width): (usize, usize), size: f32| {
        tensor(
            &stored.rounded(&bench.random(rows * width, size)),
            (rows, width),
        )
    };
    let (q, k) = (random(q_shape, size)?, random(k_shape, size)?);
    let (v, d_o) = (random(k_shape, 1.0)?, random(q_shape, 1.0)?);
    let bytes = |x: &Tensor| -> Outcome<Vec<u8>> { Ok(stored.bytes(&flat(x)?)) };

    let suffix = stored.suffix();
    let heads = query_heads as u32;
    let (expected, log_sum_exp) = attention.forward(&q, &k, &v, &spans)?;
    let name = format!("attention_{}_{suffix}", width(head_dim));
    let mut forward = [
        bytes(&q)?,
        bytes(&k)?,
        bytes(&v)?,
        u32s(&visible),
        stored.room(q_shape.0 * q_shape.1),
        Stored::F32.room(rows * query_heads),
        vec![],
    ];
    for (first, count) in cuts(rows, 32) {
        forward[6] = options(&attention, first, count);
        let grid = [count.div_ceil(32), heads, 1];
        bench.dispatch(&name, grid, 128, &[TILE, TILE], &mut forward)?;
    }
    let bound = BOUND + f64::from(size * size) * 1e-7;
    bench.compare_stored(&name, stored, &forward[4], &expected, bound)?;
    bench.compare_f32(&name, &forward[5], &log_sum_exp, BOUND)?;

    // The backward of the result as it is stored.
    let o = tensor(&stored.rounded(&flat(&expected)?), q_shape)?;
    let name = format!("attention_delta_{suffix}");
    let mut delta = [
        bytes(&o)?,
        bytes(&d_o)?,
        Stored::F32.room(rows * query_heads),
        vec![],
    ];
    for (first, count) in cuts(rows, 1) {
        delta[3] = options(&attention, first, count);
        bench.dispatch(&name, [count, heads, 1], 32, &[], &mut delta)?;
    }
    let products = (&o * &d_o)?
        .reshape((rows * query_heads, head_dim))?
        .sum(1)?;
    bench.compare_f32(&name, &delta[2], &products, BOUND)?;

    let (dq, dk, dv) = attention.backward(&q, &k, &v, &spans, &o, &log_sum_exp, &d_o)?;
    let name = format!("attention_backward_query_{}_{suffix}", width(head_dim));
    let mut query = [
        bytes(&q)?,
        bytes(&k)?,
        bytes(&v)?,
        u32s(&visible),
        f32s(&flat(&log_sum_exp)?),
        delta[2].clone(),
        bytes(&d_o)?,
        stored.room(q_shape.0 * q_shape.1),
        vec![],
    ];
    for (first, count) in cuts(rows, 32) {
        query[8] = options(&attention, first, count);
        let grid = [count.div_ceil(32), heads, 1];
        bench.dispatch(&name, grid, 128, &[TILE; 4], &mut query)?;
    }
    // Where all but one probability is zero a gradient is a difference of nearly equal numbers. A
    // score of hundreds has an absolute error, which is a relative one of its probability.
    let (floor, bound) = (
        size * attention.scale,
        BOUND + f64::from(size * size) * 1e-7,
    );
    bench.compare_above(&name, stored, &query[7], &dq, floor, bound)?;

    let name = format!("attention_backward_key_value_{}_{suffix}", width(head_dim));
    let mut key_value = [
        bytes(&q)?,
        bytes(&k)?,
        bytes(&v)?,
        u32s(&visible),
        u32s(&seen_by),
        f32s(&flat(&log_sum_exp)?),
        delta[2].clone(),
        bytes(&d_o)?,
        stored.room(k_shape.0 * k_shape.1),
        stored.room(k_shape.0 * k_shape.1),
        vec![],
    ];
    let tiles = [NARROW, TILE, NARROW, TILE];
    for (first, count) in cuts(rows, 16) {
        key_value[10] = options(&attention, first, count);
        let grid = [count.div_ceil(16), key_heads as u32, 1];
        bench.dispatch(&name, grid, 128, &tiles, &mut key_value)?;
    }
    bench.compare_above(&name, stored, &key_value[8], &dk, floor, bound)?;
    bench.compare_stored(&name, stored, &key_value[9], &dv, bound)
}

/// The last rows of a longer sequence, as generation asks.
fn cached(bench: &mut Bench) -> Outcome<()> {
    let (n, m, head_dim) = (3, 50, 16);
    let attention = Attention {
        query_heads: 4,
        key_value_heads: 2,
        head_dim,
        scale: 0.25,
        window: Some(33),
        softcap: None,
        compute: ComputeType::F32,
    };
    let q = bench.random(n * 4 * head_dim, 1.0);
    let (k, v) = (
        bench.random(m * 2 * head_dim, 1.0),
        bench.random(m * 2 * head_dim, 1.0),
    );
    let cache = (
        tensor(&k, (m, 2 * head_dim))?,
        tensor(&v, (m, 2 * head_dim))?,
    );
    let spans = [Span { start: 0, len: n }];
    let (expected, log_sum_exp) =
        attention.cached(&tensor(&q, (n, 4 * head_dim))?, &spans, &[cache])?;
    let visible: Vec<u32> = (0..n)
        .flat_map(|row| [(m - n + row + 1 - 33) as u32, (m - n + row + 1) as u32])
        .collect();
    let name = "attention_64_f32";
    let mut buffers = [
        f32s(&q),
        f32s(&k),
        f32s(&v),
        u32s(&visible),
        Stored::F32.room(q.len()),
        Stored::F32.room(n * 4),
        options(&attention, 0, n as u32),
    ];
    bench.dispatch(name, [1, 4, 1], 128, &[TILE, TILE], &mut buffers)?;
    bench.compare_f32(name, &buffers[4], &expected, BOUND)?;
    bench.compare(name, &values(&buffers[5]), &flat(&log_sum_exp)?, BOUND)
}
