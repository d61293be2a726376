use crate::Outcome;
use crate::bench::{Bench, cuts, tensor};
use crate::buffer::{f32s, u32s};
use attune_kernels::{Rotation, rope};
use rand::Rng;

const BOUND: f64 = 1e-6;

pub fn run(bench: &mut Bench) -> Outcome<()> {
    // Rows, heads, width of a head, pairs that rotate: whole heads and parts of them.
    for (rows, heads, head_dim, pairs) in [
        (1, 1, 2, 1),
        (5, 3, 32, 16),
        (7, 2, 80, 10),
        (3, 5, 256, 128),
    ] {
        for stored in bench.stored.clone() {
            let name = format!("rope_{}", stored.suffix());
            let width = heads * head_dim;
            let x = stored.rounded(&bench.random(rows * width, 2.0));
            let places = 11;
            let cosines = bench.random(places * pairs, 1.2);
            let sines = bench.random(places * pairs, 1.2);
            let positions: Vec<u32> = (0..rows)
                .map(|_| bench.rng.random_range(0..places as u32))
                .collect();
            for (rotation, sign) in [(Rotation::Forward, 1.0_f32), (Rotation::Backward, -1.0)] {
                let expected = rope(
                    &tensor(&x, (rows, width))?,
                    head_dim,
                    &tensor(&cosines, (places, pairs))?,
                    &tensor(&sines, (places, pairs))?,
                    &positions,
                    rotation,
                )?;
                let mut buffers = [
                    stored.bytes(&x),
                    f32s(&cosines),
                    f32s(&sines),
                    u32s(&positions),
                    stored.room(rows * width),
                    vec![],
                ];
                let groups = (heads * (head_dim - pairs)).div_ceil(256) as u32;
                for (first, count) in cuts(rows, 1) {
                    let sizes = [first, heads as u32, head_dim as u32, pairs as u32];
                    buffers[5] = u32s(&sizes);
                    buffers[5].extend(sign.to_le_bytes());
                    bench.dispatch(&name, [groups, count, 1], 256, &[], &mut buffers)?;
                }
                bench.compare_stored(&name, stored, &buffers[4], &expected, BOUND)?;
            }
        }
    }
    Ok(())
}
