use crate::Outcome;
use crate::bench::{Bench, cuts, tensor};
use crate::buffer::{Stored, f32s, u32s};
use attune_kernels::{rms_norm, rms_norm_backward};

const BOUND: f64 = 2e-6;
const EPSILON: f32 = 1e-5;

pub fn run(bench: &mut Bench) -> Outcome<()> {
    for stored in bench.stored.clone() {
        for (rows, width, offset, size) in [
            (1, 1, 0.0, 1.0),
            (3, 7, 1.0, 1.0),
            (5, 64, 0.0, 100.0),
            (2, 257, 1.0, 1e-3),
            (130, 96, 0.0, 1.0),
        ] {
            case(bench, stored, (rows, width), offset, size)?;
        }
    }
    Ok(())
}

fn case(
    bench: &mut Bench,
    stored: Stored,
    (rows, width): (usize, usize),
    offset: f32,
    size: f32,
) -> Outcome<()> {
    let random = |bench: &mut Bench, count: usize| stored.rounded(&bench.random(count, size));
    let (x, dy) = (random(bench, rows * width), random(bench, rows * width));
    let (weight, before) = (bench.random(width, 1.0), bench.random(width, 1.0));
    let threads = 256.min(width.next_multiple_of(32));
    let shared = [4 * threads / 32];
    let suffix = stored.suffix();

    let name = format!("rms_norm_{suffix}");
    let options = |first: u32| u32s(&[first, width as u32, offset.to_bits(), EPSILON.to_bits()]);
    let mut forward = [
        stored.bytes(&x),
        f32s(&weight),
        stored.room(rows * width),
        vec![],
    ];
    for (first, count) in cuts(rows, 1) {
        forward[3] = options(first);
        bench.dispatch(&name, [count, 1, 1], threads as u32, &shared, &mut forward)?;
    }
    let shape = (rows, width);
    let (x, dy) = (tensor(&x, shape)?, tensor(&dy, shape)?);
    let (w, epsilon) = (tensor(&weight, (1, width))?.squeeze(0)?, f64::from(EPSILON));
    let expected = rms_norm(&x, &w, offset, epsilon)?;
    bench.compare_stored(&name, stored, &forward[2], &expected, BOUND)?;

    let mut gradient = tensor(&before, (1, width))?.squeeze(0)?.copy()?;
    let expected = rms_norm_backward(&x, &w, offset, epsilon, &dy, Some(&mut gradient))?;
    let values = |x: &candle_core::Tensor| -> Outcome<Vec<f32>> { Ok(x.flatten_all()?.to_vec1()?) };
    let name = format!("rms_norm_backward_{suffix}");
    let mut backward = [
        stored.bytes(&values(&x)?),
        f32s(&weight),
        stored.bytes(&values(&dy)?),
        stored.room(rows * width),
        Stored::F32.room(rows),
        vec![],
    ];
    for (first, count) in cuts(rows, 1) {
        backward[5] = options(first);
        bench.dispatch(&name, [count, 1, 1], threads as u32, &shared, &mut backward)?;
    }
    // Of a row of one element the two parts of the gradient cancel but for ε.
    let scales = crate::buffer::values(&backward[4]);
    let (d, mut floor) = (values(&dy)?, 0.0_f32);
    for (row, scale) in scales.iter().enumerate() {
        for column in 0..width {
            let part = scale * (weight[column] + offset) * d[row * width + column];
            floor = floor.max(part.abs());
        }
    }
    bench.compare_above(&name, stored, &backward[3], &expected, floor, BOUND)?;

    let name = format!("rms_norm_weight_partial_{suffix}");
    let parts = rows.div_ceil(64);
    let columns = width.div_ceil(256) as u32;
    let [x, _, dy, _, scales, _] = backward;
    let mut partial = [x, dy, scales, Stored::F32.room(parts * width), vec![]];
    for (first, count) in cuts(parts, 1) {
        partial[4] = u32s(&[first, rows as u32, width as u32]);
        bench.dispatch(&name, [columns, count, 1], 256, &[], &mut partial)?;
    }
    let [_, _, _, partial, _] = partial;
    let mut added = [partial, f32s(&before), u32s(&[parts as u32, width as u32])];
    bench.dispatch("add_partial_sums", [columns, 1, 1], 256, &[], &mut added)?;
    // Both are in the sum: it was read as stored, but is never rounded.
    bench.compare_f32(&name, &added[1], &gradient, BOUND)?;
    bench.compare_f32("add_partial_sums", &added[1], &gradient, BOUND)
}
