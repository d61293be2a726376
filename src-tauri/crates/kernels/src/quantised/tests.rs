use super::*;
use crate::{Term, Transpose, low_rank_row_norms, matmul, matmul_add, matmul_sum};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const KINDS: [Quantisation; 2] = [Quantisation::Nf4, Quantisation::Int8];

/// The kinds that hold rows of so many columns.
fn kinds(columns: usize) -> impl Iterator<Item = Quantisation> {
    let of_ggml = GgmlType::ALL.into_iter();
    let of_ggml = of_ggml.filter(move |ty| columns.is_multiple_of(ty.block_len()));
    KINDS.into_iter().chain(of_ggml.map(Quantisation::Ggml))
}

fn random(rng: &mut ChaCha8Rng, (rows, columns): (usize, usize)) -> Result<Tensor> {
    let values: Vec<f32> = (0..rows * columns)
        .map(|_| rng.random_range(-1.0..1.0))
        .collect();
    Tensor::from_vec(values, (rows, columns), &Device::Cpu)
}

fn bits(tensor: &Tensor) -> Result<Vec<u32>> {
    let values = tensor.flatten_all()?.to_vec1::<f32>()?;
    Ok(values.into_iter().map(f32::to_bits).collect())
}

fn apart(a: &Tensor, b: &Tensor) -> Result<f32> {
    (a - b)?.abs()?.max_all()?.to_scalar()
}

/// How far from the numbers of [`random`] a kind may be.
fn tolerance(kind: Quantisation) -> f32 {
    match kind {
        Quantisation::Nf4 => 0.16,
        Quantisation::Int8 => 0.004,
        Quantisation::Ggml(GgmlType::Q8_0) => 0.005,
        Quantisation::Ggml(GgmlType::Q2K) => 0.4,
        Quantisation::Ggml(GgmlType::Q3K) => 0.3,
        Quantisation::Ggml(GgmlType::Q4_0 | GgmlType::Q4_1 | GgmlType::Q4K) => 0.14,
        Quantisation::Ggml(GgmlType::Q5_0 | GgmlType::Q5_1 | GgmlType::Q5K) => 0.07,
        Quantisation::Ggml(GgmlType::Q6K) => 0.04,
    }
}

/// An element comes back within half a step of its block's scale, whole or in part, also where a
/// block or a byte reaches over a row's end.
#[test]
fn elements_come_back() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(1);
    for shape in [(1, 1), (3, 7), (5, 64), (9, 333), (40, 513), (40, 512)] {
        let matrix = random(rng, shape)?;
        for kind in kinds(shape.1) {
            let tolerance = tolerance(kind);
            let quantised = QuantisedMatrix::quantise(&matrix, kind)?;
            assert_eq!(quantised.bytes(), kind.bytes(shape.0, shape.1), "{kind:?}");
            let whole = quantised.dequantise()?;
            let error = apart(&whole, &matrix)?;
            assert!(error < tolerance, "{kind:?} {shape:?}: {error}");
            let whole = whole.to_vec2::<f32>()?;
            for (row, whole) in whole.iter().enumerate() {
                let start = rng.random_range(0..shape.1);
                let columns = start..rng.random_range(start..shape.1) + 1;
                let mut part = vec![0.0; columns.len()];
                quantised.widen_row(row, columns.clone(), &mut part);
                assert_eq!(part, whole[columns], "{kind:?} {shape:?}");
            }
        }
    }
    Ok(())
}

/// Every product with a quantised matrix is bit for bit that with the matrix it stands for; but
/// for a thin one through its columns, which takes another way.
#[test]
fn products_are_those_of_the_dequantised_matrix() -> Result<()> {
    let rng = &mut ChaCha8Rng::seed_from_u64(2);
    for (rows, out, input) in [
        (1, 70, 50),
        (7, 33, 129),
        (37, 40, 50),
        (20, 1, 30),
        (30, 20, 1),
        (130, 300, 517),
        (3, 40, 256),
        (50, 70, 512),
    ] {
        let (x, dy) = (random(rng, (rows, input))?, random(rng, (rows, out))?);
        let weight = random(rng, (out, input))?;
        let (a, b) = (random(rng, (3, input))?, random(rng, (out, 3))?);
        let u = random(rng, (rows, 3))?;
        for kind in kinds(input) {
            let quantised = QuantisedMatrix::quantise(&weight, kind)?;
            let wide = quantised.dequantise()?;
            let what = format!("{kind:?}, {rows} rows, {out} × {input}");
            let y = matmul(&x, &quantised, Transpose::Right)?;
            let expected = matmul(&x, &wide, Transpose::Right)?;
            assert!(bits(&y)? == bits(&expected)?, "forward, {what}");
            let dx = matmul(&dy, &quantised, Transpose::Neither)?;
            let expected = matmul(&dy, &wide, Transpose::Neither)?;
            if rows.min(input) > 16 {
                assert!(bits(&dx)? == bits(&expected)?, "backward, {what}");
            }
            assert!(apart(&dx, &expected)? < 2e-5, "backward, {what}");
            let (mut sum, mut expected) = (dx.copy()?, dx);
            matmul_add(&mut sum, 1.0, &dy, &quantised, Transpose::Neither)?;
            matmul_add(&mut expected, 1.0, &dy, &wide, Transpose::Neither)?;
            assert!(apart(&sum, &expected)? < 4e-5, "added, {what}");
            let large = Term {
                scale: 1.0,
                a: &x,
                b: (&quantised).into(),
                transpose: Transpose::Right,
            };
            let small = Term {
                scale: 0.5,
                a: &u,
                b: (&b).into(),
                ..large
            };
            let sum = matmul_sum(large, small)?;
            let expected = matmul_sum(
                Term {
                    b: (&wide).into(),
                    ..large
                },
                small,
            )?;
            assert!(bits(&sum)? == bits(&expected)?, "with an adapter, {what}");
            let norms = low_rank_row_norms(&quantised, &b, &a, 0.5)?;
            let expected = low_rank_row_norms(&wide, &b, &a, 0.5)?;
            assert!(bits(&norms)? == bits(&expected)?, "norms, {what}");
        }
    }
    Ok(())
}

#[test]
fn a_matrix_that_is_not_finite_is_refused_by_its_place() -> Result<()> {
    let matrix = Tensor::new(&[[0.0_f32, 1.0], [2.0, f32::NAN]], &Device::Cpu)?;
    for kind in KINDS {
        let refused = QuantisedMatrix::quantise(&matrix, kind);
        let words = refused.map_or_else(|error| error.to_string(), |_| String::new());
        assert!(words.contains("row 1, column 1 is NaN"), "{words}");
    }
    Ok(())
}
