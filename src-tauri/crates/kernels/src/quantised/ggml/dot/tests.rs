use super::super::blocks::{self, PART};
use super::super::tests::random_blocks;
use super::super::{GgmlType, with_block};
use super::{ALIGNMENT, Rounded, Unpack, Variant};
use crate::{QuantisedMatrix, Transpose, matmul, matmul_for_inference};
use candle_core::{Device, Result, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn random(rng: &mut ChaCha8Rng, count: usize) -> Vec<f32> {
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// Every vector unit forms what the plain code forms, whatever the number of rows, also of the
/// largest codes; and a row's products do not depend on the rows beside it.
#[test]
fn vector_units_agree_with_plain_code() {
    let rng = &mut ChaCha8Rng::seed_from_u64(4);
    for ty in GgmlType::ALL {
        for blocks in [1, 2, 5] {
            let columns = blocks * ty.block_len();
            let mut bytes = vec![random_blocks(rng, ty, blocks)];
            let mut extreme = bytes[0].clone();
            extreme.iter_mut().for_each(|byte| *byte |= 0x33);
            bytes.push(extreme);
            let mut values = random(rng, 9 * columns);
            values[columns..2 * columns].fill(1.0);
            values[2 * columns..3 * columns].fill(0.0);
            // So small that the scale overflows: the one way to a code of -128.
            values[3 * columns..4 * columns].fill(-1e-40);
            let few = Rounded::of(&values, columns, ty.block_len());
            assert!(few.stride.is_multiple_of(ALIGNMENT));
            for bytes in &bytes {
                with_block!(ty, B => compare::<B>(ty, blocks::of(bytes), &few));
            }
        }
    }
}

fn compare<B: Unpack>(ty: GgmlType, row: &[B], few: &Rounded) {
    let mut expected = vec![0.0; few.rows];
    Variant::Reference.dot(row, few, 0, &mut expected);
    // What the terms would come to if all had one sign.
    let size: f32 = row
        .iter()
        .map(|block| {
            let [scale, minimum] = block.factors().map(f32::abs);
            (scale * 64.0 * 64.0 + minimum * 64.0) * (PART * B::PARTS) as f32
        })
        .sum();
    if !size.is_finite() {
        return;
    }
    for variant in Variant::available() {
        for count in 1..=super::AT_ONCE {
            let mut found = vec![0.0; count];
            variant.dot(row, few, 1, &mut found);
            for (found, expected) in found.iter().zip(&expected[1..]) {
                let apart = (found - expected).abs();
                assert!(
                    apart <= 1e-6 * size,
                    "{variant:?} {ty:?} {count}: {found} for {expected}, size {size}"
                );
            }
            let mut alone = [0.0];
            variant.dot(row, few, count, &mut alone);
            assert_eq!(
                alone[0].to_bits(),
                found[count - 1].to_bits(),
                "{variant:?} {ty:?}"
            );
        }
    }
}

/// What rounding to 8 bits takes away, beside the exact product: less than 0.8 % of its size in the
/// mean.
#[test]
fn rounded_products_are_near_exact_ones() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(5);
    for ty in GgmlType::ALL {
        for rows in [1, 3, 20, 130] {
            let (out, input) = (90, 512);
            let x = Tensor::from_vec(random(rng, rows * input), (rows, input), &Device::Cpu)?;
            let weight = Tensor::from_vec(random(rng, out * input), (out, input), &Device::Cpu)?;
            let weight = QuantisedMatrix::quantise(&weight, crate::Quantisation::Ggml(ty))?;
            let exact = matmul(&x, &weight, Transpose::Right)?;
            let found = matmul_for_inference(&x, &weight)?;
            let apart = (&found - &exact)?.sqr()?.sum_all()?.to_scalar::<f32>()?;
            let size = exact.sqr()?.sum_all()?.to_scalar::<f32>()?;
            let error = (apart / size).sqrt();
            assert!(error < 0.008, "{ty:?}, {rows} rows: {error}");
            // The rows one by one: the same bits.
            if rows == 20 {
                let found = found.to_vec2::<f32>()?;
                for (row, found) in found.iter().enumerate() {
                    let alone = matmul_for_inference(&x.narrow(0, row, 1)?, &weight)?;
                    assert_eq!(&alone.to_vec2::<f32>()?[0], found, "{ty:?}");
                }
            }
        }
    }
    Ok(())
}

/// A number that is none is not rounded to one.
#[test]
fn what_is_not_finite_stays_so() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(6);
    let weight = Tensor::from_vec(random(rng, 4 * 256), (4, 256), &Device::Cpu)?;
    for ty in GgmlType::ALL {
        let weight = QuantisedMatrix::quantise(&weight, crate::Quantisation::Ggml(ty))?;
        for bad in [f32::NAN, f32::INFINITY] {
            let mut values = random(rng, 256);
            values[77] = bad;
            let x = Tensor::from_vec(values, (1, 256), &Device::Cpu)?;
            let found = matmul_for_inference(&x, &weight)?.to_vec2::<f32>()?;
            assert!(found[0].iter().all(|value| !value.is_finite()), "{ty:?}");
        }
    }
    Ok(())
}
