//! Rows of a matrix by themselves: added where they came from, multiplied by a number each, and
//! multiplied with each other, as a mixture of experts wants them.

use crate::storage::{from_values, on_cpu, update, view};
use candle_core::{Device, Result, Tensor, bail};
use rayon::prelude::*;

/// Adds row `i` of `x (N, F)` to the row `rows[i]` of `sum (M, F)`, one after the other.
pub fn add_rows(sum: &mut Tensor, rows: &[u32], x: &Tensor) -> Result<()> {
    let ((count, width), (limit, columns)) = (x.dims2()?, sum.dims2()?);
    if count != rows.len() || width != columns || rows.iter().any(|row| *row as usize >= limit) {
        bail!("add_rows: {} rows of {width} do not fit", rows.len());
    }
    if !on_cpu(sum) {
        *sum = sum.index_add(&Tensor::new(rows, sum.device())?, x, 0)?;
        return Ok(());
    }
    let x = view(x)?;
    update(sum, |sum| {
        for (row, x) in rows.iter().zip(x.chunks_exact(width)) {
            let to = &mut sum[*row as usize * width..][..width];
            to.iter_mut().zip(x).for_each(|(to, x)| *to += x);
        }
    })
}

/// `x (N, F)`, each row multiplied by its factor.
pub fn scale_rows(x: &Tensor, factors: &[f32]) -> Result<Tensor> {
    let (count, width) = x.dims2()?;
    if count != factors.len() {
        bail!("scale_rows: {count} rows and {} factors", factors.len());
    }
    if !on_cpu(x) {
        return x.broadcast_mul(&Tensor::new(factors, x.device())?.unsqueeze(1)?);
    }
    let x = view(x)?;
    let mut y = vec![0.0; x.len()];
    (
        y.par_chunks_mut(width.max(1)),
        x.par_chunks(width.max(1)),
        factors.par_iter(),
    )
        .into_par_iter()
        .for_each(|(y, x, factor)| {
            for (y, x) in y.iter_mut().zip(x) {
                *y = factor * x;
            }
        });
    from_values(y, (count, width))
}

/// `Σ a · b` of each row, both `(N, F)`.
pub fn row_products(a: &Tensor, b: &Tensor) -> Result<Vec<f32>> {
    let (count, width) = a.dims2()?;
    if b.dims2()? != (count, width) {
        bail!("row_products: {:?} and {:?} differ", a.shape(), b.shape());
    }
    if !on_cpu(a) {
        return (a * b)?.sum(1)?.to_device(&Device::Cpu)?.to_vec1();
    }
    let (a, b) = (view(a)?, view(b)?);
    let mut sums = vec![0.0; count];
    (
        sums.par_iter_mut(),
        a.par_chunks(width.max(1)),
        b.par_chunks(width.max(1)),
    )
        .into_par_iter()
        .for_each(|(sum, a, b)| *sum = a.iter().zip(b).map(|(a, b)| a * b).sum());
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_scaled_multiplied_and_added_where_they_belong() -> Result<()> {
        let device = &Device::Cpu;
        let x = Tensor::new(&[[1.0_f32, 2.0, 3.0], [-1.0, 0.5, 4.0]], device)?;
        let scaled = scale_rows(&x, &[2.0, -1.0])?;
        assert_eq!(
            scaled.to_vec2::<f32>()?,
            [[2.0, 4.0, 6.0], [1.0, -0.5, -4.0]]
        );
        assert_eq!(row_products(&x, &scaled)?, [28.0, -17.25]);
        let mut sum = Tensor::ones((3, 3), candle_core::DType::F32, device)?;
        add_rows(&mut sum, &[2, 2], &x)?;
        let expected = [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 3.5, 8.0]];
        assert_eq!(sum.to_vec2::<f32>()?, expected);
        assert!(add_rows(&mut sum, &[3, 0], &x).is_err());
        assert!(scale_rows(&x, &[1.0]).is_err());
        Ok(())
    }
}
