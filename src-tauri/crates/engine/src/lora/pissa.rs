//! The principal part of a matrix, from which PiSSA (Meng et al., 2024) starts an adapter.
//!
//! Only the largest singular vectors are wanted, so the singular value decomposition is taken
//! within a block Krylov space of the matrix (Musco and Musco, 2015), which holds them to rounding
//! after a few products. Every number follows from the matrix alone.

use crate::Result;
use attune_kernels::{Transpose, matmul};
use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Vectors of a block beyond those wanted.
const OVERSAMPLING: usize = 8;
/// Blocks of the Krylov space.
const BLOCKS: usize = 8;
/// A vector that loses this much of its length to those before it adds nothing.
const NEGLIGIBLE: f64 = 1e-5;

/// `A (r, in)` and `B (out, r)` such that `scale · B · A` is the best approximation of rank `r` of
/// `weight (out, in)`; the singular values are divided evenly between them.
pub(super) fn principal(weight: &Tensor, r: usize, scale: f64) -> Result<(Tensor, Tensor)> {
    let (out, _) = weight.dims2()?;
    let basis = krylov(weight, r + OVERSAMPLING)?;
    let size = basis.len();
    let q = tensor(&basis, out)?.to_device(weight.device())?;
    // (size, in): the matrix within the space.
    let inner: Vec<Vec<f64>> = rows(&matmul(&q, weight, Transpose::Neither)?)?;
    let mut gram = vec![vec![0.0; size]; size];
    for row in 0..size {
        for column in 0..=row {
            let product = dot(&inner[row], &inner[column]);
            (gram[row][column], gram[column][row]) = (product, product);
        }
    }
    let (squares, vectors) = eigenvectors(gram);
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|a, b| squares[*b].total_cmp(&squares[*a]));
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for index in order.into_iter().take(r) {
        let value = squares[index].max(0.0).sqrt();
        let half = (value / scale).sqrt();
        let combine = |parts: &[Vec<f64>], factor: f64| {
            let mut sum = vec![0.0; parts[0].len()];
            for (part, vector) in parts.iter().zip(&vectors) {
                let weight = vector[index] * factor;
                sum.iter_mut()
                    .zip(part)
                    .for_each(|(sum, x)| *sum += weight * x);
            }
            sum
        };
        b.push(combine(&basis, half));
        // σ · vᵀ = uᵀ · W, and A holds sqrt(σ / s) · vᵀ.
        a.push(combine(&inner, half / value.max(f64::MIN_POSITIVE)));
    }
    let a = tensor(&a, weight.dim(1)?)?;
    let b = tensor(&b, out)?.t()?.contiguous()?;
    let device = weight.device();
    Ok((a.to_device(device)?, b.to_device(device)?))
}

/// An orthonormal basis of the space that `W·G, (W·Wᵀ)·W·G, …` span, `G` random of `width` columns.
fn krylov(weight: &Tensor, width: usize) -> Result<Vec<Vec<f64>>> {
    let (out, input) = weight.dims2()?;
    let rank = out.min(input);
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let start: Vec<f32> = StandardNormal
        .sample_iter(&mut rng)
        .take(width * input)
        .collect();
    let start =
        Tensor::from_vec(start, (width, input), &Device::Cpu)?.to_device(weight.device())?;
    let mut block = matmul(&start, weight, Transpose::Right)?;
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for _ in 0..BLOCKS.max(rank.div_ceil(width)) {
        let before = basis.len();
        for mut vector in rows(&block)? {
            let length = dot(&vector, &vector).sqrt();
            // Twice: once leaves rounding of the size of what was taken away.
            for _ in 0..2 {
                for known in &basis {
                    let part = dot(&vector, known);
                    vector
                        .iter_mut()
                        .zip(known)
                        .for_each(|(x, k)| *x -= part * k);
                }
            }
            let left = dot(&vector, &vector).sqrt();
            if left > NEGLIGIBLE * length && basis.len() < rank {
                vector.iter_mut().for_each(|x| *x /= left);
                basis.push(vector);
            }
        }
        if basis.len() == before || basis.len() >= (BLOCKS * width).min(rank) {
            break;
        }
        let newest = tensor(&basis[before..], out)?.to_device(weight.device())?;
        let back = matmul(&newest, weight, Transpose::Neither)?;
        block = matmul(&back, weight, Transpose::Right)?;
    }
    Ok(basis)
}

/// Eigenvalues and, in columns, eigenvectors of a symmetric matrix by Jacobi's rotations.
fn eigenvectors(mut matrix: Vec<Vec<f64>>) -> (Vec<f64>, Vec<Vec<f64>>) {
    const SWEEPS: usize = 30;
    let size = matrix.len();
    let mut vectors = vec![vec![0.0; size]; size];
    (0..size).for_each(|index| vectors[index][index] = 1.0);
    let trace: f64 = (0..size).map(|index| matrix[index][index].abs()).sum();
    for _ in 0..SWEEPS {
        let mut rotated = false;
        for p in 0..size {
            for q in p + 1..size {
                let apart = matrix[p][q];
                if apart.abs() <= 1e-15 * trace / size as f64 {
                    continue;
                }
                rotated = true;
                let theta = (matrix[q][q] - matrix[p][p]) / (2.0 * apart);
                let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let cosine = t.hypot(1.0).recip();
                let sine = t * cosine;
                for row in matrix.iter_mut().chain(&mut vectors) {
                    let (x, y) = (row[p], row[q]);
                    (row[p], row[q]) = (cosine * x - sine * y, sine * x + cosine * y);
                }
                let (above, below) = matrix.split_at_mut(q);
                for (x, y) in above[p].iter_mut().zip(&mut below[0]) {
                    (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
                }
            }
        }
        if !rotated {
            break;
        }
    }
    let values = (0..size).map(|index| matrix[index][index]).collect();
    (values, vectors)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn rows(matrix: &Tensor) -> Result<Vec<Vec<f64>>> {
    let rows = matrix.to_device(&Device::Cpu)?.to_vec2::<f32>()?;
    let wide = |row: Vec<f32>| row.into_iter().map(f64::from).collect();
    Ok(rows.into_iter().map(wide).collect())
}

/// A matrix of these rows, in f32.
fn tensor(rows: &[Vec<f64>], width: usize) -> Result<Tensor> {
    let values: Vec<f32> = rows.iter().flatten().map(|x| *x as f32).collect();
    Ok(Tensor::from_vec(values, (rows.len(), width), &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// A matrix with known singular vectors: the principal part is found whatever its shape.
    #[test]
    fn the_principal_part_is_the_best_approximation() {
        for (out, input) in [(40, 30), (30, 40), (300, 200)] {
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let mut draw = |rows: usize, columns: usize| {
                let values: Vec<f32> = StandardNormal
                    .sample_iter(&mut rng)
                    .take(rows * columns)
                    .collect();
                Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
            };
            let orthonormal = |x: Tensor| {
                let width = x.dim(1).unwrap();
                let mut basis: Vec<Vec<f64>> = Vec::new();
                for mut vector in rows(&x).unwrap() {
                    for _ in 0..2 {
                        for known in &basis {
                            let part = dot(&vector, known);
                            vector
                                .iter_mut()
                                .zip(known)
                                .for_each(|(x, k)| *x -= part * k);
                        }
                    }
                    let length = dot(&vector, &vector).sqrt();
                    vector.iter_mut().for_each(|x| *x /= length);
                    basis.push(vector);
                }
                tensor(&basis, width).unwrap()
            };
            let (u, v) = (orthonormal(draw(20, out)), orthonormal(draw(20, input)));
            let values: Vec<f32> = (0..20).map(|index| 0.8_f32.powi(index)).collect();
            let product = |count: usize| {
                let part = |x: &Tensor| x.narrow(0, 0, count).unwrap();
                let values = Tensor::new(&values[..count], &Device::Cpu).unwrap();
                let scaled = part(&u).t().unwrap().broadcast_mul(&values).unwrap();
                scaled.matmul(&part(&v)).unwrap()
            };
            let (a, b) = principal(&product(20), 5, 2.0).unwrap();
            let found = (b.matmul(&a).unwrap() * 2.0).unwrap();
            let error = (found - product(5)).unwrap().abs().unwrap();
            let error = error.max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(error < 1e-5, "{out} × {input}: {error}");
        }
    }
}
