use crate::Outcome;
use crate::bench::{Bench, cuts, tensor};
use crate::buffer::{Stored, f32s, u32s, values};
use attune_kernels::{Logits, linear_cross_entropy_rows};
use candle_core::{DType, Device, Tensor};
use rand::Rng;

const BOUND: f64 = 2e-6;

pub fn run(bench: &mut Bench) -> Outcome<()> {
    let plain = (1.0, None);
    for (rows, vocabulary, size, (scale, softcap)) in [
        (1, 1, 1.0, plain),
        (3, 33, 2.0, plain),
        (5, 300, 10.0, (0.7, Some(3.0))),
        (2, 777, 5.0, (1.0, Some(30.0))),
        // All but one probability is zero; and all are the same.
        (4, 130, 1e4, plain),
        (3, 64, 1e-30, plain),
    ] {
        let logits = bench.random(rows * vocabulary, size);
        let factors = bench.random(rows, 1.0);
        let mut targets: Vec<u32> = (0..rows)
            .map(|_| bench.rng.random_range(0..vocabulary as u32))
            .collect();
        targets[0] = vocabulary as u32 - 1;
        // With the identity for weights the product is the logits, and its gradient theirs.
        let head = Logits {
            scale,
            softcap,
            ..Logits::default()
        };
        let (losses, gradient) = linear_cross_entropy_rows(
            &tensor(&logits, (rows, vocabulary))?,
            &Tensor::eye(vocabulary, DType::F32, &Device::Cpu)?,
            &targets,
            head,
            &factors,
            None,
        )?;
        let losses: Vec<f32> = losses.iter().map(|loss| *loss as f32).collect();
        let threads = 256.min(vocabulary.next_multiple_of(32));
        let shared = [8 * threads / 32];
        let options = |first: u32| {
            let cap = softcap.unwrap_or(0.0);
            u32s(&[first, vocabulary as u32, scale.to_bits(), f32::to_bits(cap)])
        };

        let name = "cross_entropy_losses_f32";
        let mut alone = [
            f32s(&logits),
            u32s(&targets),
            Stored::F32.room(rows),
            vec![],
        ];
        for (first, count) in cuts(rows, 1) {
            alone[3] = options(first);
            bench.dispatch(name, [count, 1, 1], threads as u32, &shared, &mut alone)?;
        }
        bench.compare(name, &values(&alone[2]), &losses, BOUND)?;

        let name = "cross_entropy_f32";
        let mut both = [
            f32s(&logits),
            u32s(&targets),
            f32s(&factors),
            Stored::F32.room(rows),
            vec![],
        ];
        for (first, count) in cuts(rows, 1) {
            both[4] = options(first);
            bench.dispatch(name, [count, 1, 1], threads as u32, &shared, &mut both)?;
        }
        bench.compare(name, &values(&both[3]), &losses, BOUND)?;
        bench.compare_f32(name, &both[0], &gradient, BOUND)?;
    }
    Ok(())
}
