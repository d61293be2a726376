use crate::Outcome;
use crate::bench::{Bench, cuts, tensor};
use crate::buffer::{Stored, f32s, u32s};
use attune_kernels::{GgmlType, Quantisation, QuantisedMatrix, QuantisedParts, Transpose, matmul};

const BOUND: f64 = 2e-6;
/// Bytes of a tile.
const SHARED: [usize; 2] = [32 * 65 * 4; 2];

pub fn run(bench: &mut Bench) -> Outcome<()> {
    let q8_0 = Quantisation::Ggml(GgmlType::Q8_0);
    let q4_k = Quantisation::Ggml(GgmlType::Q4K);
    for stored in bench.stored.clone() {
        // Rows, columns, inner size: below a tile, across several, and blocks of NF4 that run on
        // from row to row, more of them than share an outer magnitude.
        for (quantisation, name, sizes) in [
            (
                Quantisation::Nf4,
                "nf4",
                [(1, 1, 1), (66, 65, 70), (2, 130, 141)],
            ),
            (q8_0, "q8_0", [(1, 3, 32), (70, 66, 96), (5, 130, 64)]),
            (q4_k, "q4_k", [(1, 1, 256), (3, 67, 512), (65, 5, 256)]),
        ] {
            for (rows, columns, inner) in sizes {
                let weight = bench.random(columns * inner, 0.5);
                let weight = tensor(&weight, (columns, inner))?;
                let weight = QuantisedMatrix::quantise(&weight, quantisation)?;
                for (accumulate, cut) in [(false, true), (true, false)] {
                    let name = format!("matmul_{name}");
                    case(bench, &name, stored, &weight, rows, accumulate, cut)?;
                    let name = format!("{name}_transposed");
                    case(bench, &name, stored, &weight, rows, accumulate, cut)?;
                }
            }
        }
    }
    Ok(())
}

fn case(
    bench: &mut Bench,
    name: &str,
    stored: Stored,
    weight: &QuantisedMatrix,
    rows: usize,
    accumulate: bool,
    cut: bool,
) -> Outcome<()> {
    let transposed = name.ends_with("transposed");
    let name = format!("{name}_{}", stored.suffix());
    let (columns, inner) = weight.dims();
    let (from, to) = if transposed {
        (columns, inner)
    } else {
        (inner, columns)
    };
    let x = stored.rounded(&bench.random(rows * from, 1.0));
    let before = stored.rounded(&bench.random(rows * to, 1.0));
    let way = if transposed {
        Transpose::Neither
    } else {
        Transpose::Right
    };
    let mut expected = matmul(&tensor(&x, (rows, from))?, weight, way)?;
    if accumulate {
        expected = (expected + tensor(&before, (rows, to))?)?;
    }

    let mut buffers = vec![stored.bytes(&x)];
    let mut mean_of_magnitudes = 0.0_f32;
    match weight.parts() {
        QuantisedParts::Nf4 {
            codes,
            magnitudes,
            outer_magnitudes,
            mean,
            map,
        } => {
            mean_of_magnitudes = mean;
            buffers.extend([codes.to_vec(), magnitudes.to_vec()]);
            buffers.extend([f32s(outer_magnitudes), f32s(map)]);
        }
        QuantisedParts::Ggml { blocks, .. } => buffers.push(blocks.to_vec()),
        QuantisedParts::Int8 { .. } => return Err("int8 has no shader".into()),
    }
    let result = buffers.len();
    buffers.push(if accumulate {
        stored.bytes(&before)
    } else {
        stored.room(rows * to)
    });
    buffers.push(vec![]);
    let parts = if cut {
        cuts(rows, 1)
    } else {
        vec![(0, rows as u32)]
    };
    for (first, count) in parts {
        let sizes = [columns as u32, inner as u32, u32::from(accumulate)];
        let mean = mean_of_magnitudes.to_bits();
        buffers[result + 1] = u32s(&[first, first + count, sizes[0], sizes[1], sizes[2], mean]);
        let grid = [to.div_ceil(64) as u32, count.div_ceil(64), 1];
        bench.dispatch(&name, grid, 256, &SHARED, &mut buffers)?;
    }
    bench.compare_stored(&name, stored, &buffers[result], &expected, BOUND)
}
