use crate::Outcome;
use crate::bench::{Bench, cuts, tensor};
use crate::buffer::{Stored, u32s};
use attune_kernels::{Gelu, geglu, geglu_backward, gelu, gelu_backward, swiglu, swiglu_backward};
use candle_core::Tensor;

const BOUND: f64 = 2e-6;

pub fn run(bench: &mut Bench) -> Outcome<()> {
    // Values up to 200: where the exponentials overflow.
    for (count, size) in [(1, 1.0), (300, 3.0), (1025, 200.0)] {
        for stored in bench.stored.clone() {
            let mut random = || stored.rounded(&bench.random(count, size));
            let (gate, up, dy) = (random(), random(), random());
            let (g, u, d) = (
                tensor(&gate, (1, count))?,
                tensor(&up, (1, count))?,
                tensor(&dy, (1, count))?,
            );
            let (exact, tanh) = (Gelu::Exact, Gelu::Tanh);
            let two = [&gate[..], &up];
            let three = [&gate[..], &up, &dy];
            let pair = |(a, b): (Tensor, Tensor)| vec![a, b];
            for (name, inputs, expected) in [
                ("swiglu", &two[..], vec![swiglu(&g, &u)?]),
                ("geglu_exact", &two, vec![geglu(&g, &u, exact)?]),
                ("geglu_tanh", &two, vec![geglu(&g, &u, tanh)?]),
                ("gelu_exact", &two[..1], vec![gelu(&g, exact)?]),
                ("gelu_tanh", &two[..1], vec![gelu(&g, tanh)?]),
                (
                    "swiglu_backward",
                    &three,
                    pair(swiglu_backward(&g, &u, &d)?),
                ),
                (
                    "geglu_exact_backward",
                    &three,
                    pair(geglu_backward(&g, &u, &d, exact)?),
                ),
                (
                    "geglu_tanh_backward",
                    &three,
                    pair(geglu_backward(&g, &u, &d, tanh)?),
                ),
                (
                    "gelu_exact_backward",
                    &two,
                    vec![gelu_backward(&g, &u, exact)?],
                ),
                (
                    "gelu_tanh_backward",
                    &two,
                    vec![gelu_backward(&g, &u, tanh)?],
                ),
            ] {
                case(bench, name, stored, inputs, &expected)?;
            }
        }
    }
    Ok(())
}

fn case(
    bench: &mut Bench,
    name: &str,
    stored: Stored,
    inputs: &[&[f32]],
    expected: &[Tensor],
) -> Outcome<()> {
    let name = format!("{name}_{}", stored.suffix());
    let count = inputs[0].len();
    let mut buffers: Vec<Vec<u8>> = inputs.iter().map(|x| stored.bytes(x)).collect();
    buffers.extend(expected.iter().map(|_| stored.room(count)));
    let constants = buffers.len();
    buffers.push(vec![]);
    for (first, part) in cuts(count, 1) {
        buffers[constants] = u32s(&[first, part]);
        bench.dispatch(&name, [part.div_ceil(256), 1, 1], 256, &[], &mut buffers)?;
    }
    for (actual, expected) in buffers[inputs.len()..].iter().zip(expected) {
        bench.compare_stored(&name, stored, actual, expected, BOUND)?;
    }
    Ok(())
}
