//! Adafactor (Shazeer and Stern, 2018) with a given learning rate, as transformers' `Adafactor`
//! computes it with `relative_step=False` and `scale_parameter=False`: the second moment of a
//! matrix is kept as one number for each row and each column.

use crate::storage::{on_cpu, update, view};
use candle_core::{D, Result, Tensor};
use rayon::prelude::*;

/// ε₁, added to the squared gradient.
const EPSILON: f32 = 1e-30;
/// d: the update's root mean square is brought down to this.
const CLIP_THRESHOLD: f64 = 1.0;
/// Exponent of the decay β₂ = 1 - t^γ.
const DECAY_RATE: f64 = -0.8;
/// Elements one task takes.
const CHUNK: usize = 64 * 1024;

/// The numbers of one step.
#[derive(Debug, Clone, Copy)]
pub struct Adafactor {
    /// η, after the schedule.
    pub learning_rate: f64,
    /// λ: decoupled decay of the parameter.
    pub weight_decay: f64,
    /// t, counted from 1.
    pub step: u64,
    /// What the gradient is multiplied by first (clipping by the global norm).
    pub gradient_scale: f64,
}

impl Adafactor {
    fn beta2(&self) -> f64 {
        1.0 - (self.step as f64).powf(DECAY_RATE)
    }

    fn decay(&self) -> f64 {
        1.0 - self.learning_rate * self.weight_decay
    }
}

/// Moves a matrix `parameter (out, in)` by one step. `rows (out)` and `columns (in)` are the
/// factors of its second moment, zero before the first step. All tensors are f32.
pub fn adafactor_matrix(
    parameter: &mut Tensor,
    rows: &mut Tensor,
    columns: &mut Tensor,
    gradient: &Tensor,
    options: &Adafactor,
) -> Result<()> {
    if !on_cpu(parameter) {
        return matrix_composed(parameter, rows, columns, gradient, options);
    }
    let (out, input) = parameter.dims2()?;
    let (beta2, scale) = (options.beta2(), options.gradient_scale as f32);
    let gradient = view(gradient)?;
    let gradient: &[f32] = &gradient;
    let square = |g: &f32| f64::from((g * scale) * (g * scale) + EPSILON);
    let row_means: Vec<f64> = gradient
        .par_chunks(input)
        .map(|row| row.iter().map(square).sum::<f64>() / input as f64)
        .collect();
    let mut column_means = vec![0.0_f64; input];
    for row in gradient.chunks_exact(input) {
        for (mean, g) in column_means.iter_mut().zip(row) {
            *mean += square(g) / out as f64;
        }
    }
    blend(rows, &row_means, beta2)?;
    blend(columns, &column_means, beta2)?;
    let (rows, columns) = (view(rows)?, view(columns)?);
    let mean = rows.iter().map(|x| f64::from(*x)).sum::<f64>() / out as f64;
    let by_row: Vec<f32> = rows
        .iter()
        .map(|x| (f64::from(*x) / mean).sqrt().recip() as f32)
        .collect();
    let by_column: Vec<f32> = columns.iter().map(|x| x.sqrt().recip()).collect();
    let mut change = vec![0.0_f32; out * input];
    (
        change.par_chunks_mut(input),
        gradient.par_chunks(input),
        by_row.par_iter(),
    )
        .into_par_iter()
        .for_each(|(change, gradient, by_row)| {
            for ((change, g), by_column) in change.iter_mut().zip(gradient).zip(&by_column) {
                *change = by_row * by_column * (g * scale);
            }
        });
    apply(parameter, &change, options)
}

/// Moves any other parameter by one step. `squares` is the second moment of its `n` elements, zero
/// before the first step. All tensors are f32.
pub fn adafactor_vector(
    parameter: &mut Tensor,
    squares: &mut Tensor,
    gradient: &Tensor,
    options: &Adafactor,
) -> Result<()> {
    if !on_cpu(parameter) {
        return vector_composed(parameter, squares, gradient, options);
    }
    let scale = options.gradient_scale as f32;
    let gradient = view(gradient)?;
    let squared: Vec<f64> = gradient
        .iter()
        .map(|g| f64::from((g * scale) * (g * scale) + EPSILON))
        .collect();
    blend(squares, &squared, options.beta2())?;
    let squares = view(squares)?;
    let change: Vec<f32> = gradient
        .iter()
        .zip(squares.iter())
        .map(|(g, square)| g * scale * square.sqrt().recip())
        .collect();
    apply(parameter, &change, options)
}

/// `moment = β₂ · moment + (1 - β₂) · new`
fn blend(moment: &mut Tensor, new: &[f64], beta2: f64) -> Result<()> {
    update(moment, |moment| {
        for (moment, new) in moment.iter_mut().zip(new) {
            *moment = (beta2 * f64::from(*moment) + (1.0 - beta2) * new) as f32;
        }
    })
}

/// Clips the change by its root mean square, decays the parameter and moves it.
fn apply(parameter: &mut Tensor, change: &[f32], options: &Adafactor) -> Result<()> {
    let squared: f64 = change.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    let root = (squared / change.len() as f64).sqrt();
    let rate = (options.learning_rate / (root / CLIP_THRESHOLD).max(1.0)) as f32;
    let decay = options.decay() as f32;
    update(parameter, |parameter| {
        (parameter.par_chunks_mut(CHUNK), change.par_chunks(CHUNK))
            .into_par_iter()
            .for_each(|(parameter, change)| {
                for (p, change) in parameter.iter_mut().zip(change) {
                    *p = *p * decay - rate * change;
                }
            });
    })
}

pub(crate) fn matrix_composed(
    parameter: &mut Tensor,
    rows: &mut Tensor,
    columns: &mut Tensor,
    gradient: &Tensor,
    options: &Adafactor,
) -> Result<()> {
    let (gradient, beta2) = ((gradient * options.gradient_scale)?, options.beta2());
    let squared = (gradient.sqr()? + f64::from(EPSILON))?;
    *rows = ((&*rows * beta2)? + (squared.mean(1)? * (1.0 - beta2))?)?;
    *columns = ((&*columns * beta2)? + (squared.mean(0)? * (1.0 - beta2))?)?;
    let by_row = rows
        .broadcast_div(&rows.mean(D::Minus1)?)?
        .sqrt()?
        .recip()?;
    let by_column = columns.sqrt()?.recip()?;
    let change = gradient
        .broadcast_mul(&by_row.unsqueeze(1)?)?
        .broadcast_mul(&by_column)?;
    apply_composed(parameter, &change, options)
}

pub(crate) fn vector_composed(
    parameter: &mut Tensor,
    squares: &mut Tensor,
    gradient: &Tensor,
    options: &Adafactor,
) -> Result<()> {
    let (gradient, beta2) = ((gradient * options.gradient_scale)?, options.beta2());
    let squared = (gradient.flatten_all()?.sqr()? + f64::from(EPSILON))?;
    *squares = ((&*squares * beta2)? + (squared * (1.0 - beta2))?)?;
    let change = (gradient * squares.sqrt()?.recip()?.reshape(parameter.shape())?)?;
    apply_composed(parameter, &change, options)
}

fn apply_composed(parameter: &mut Tensor, change: &Tensor, options: &Adafactor) -> Result<()> {
    let root = f64::from(change.sqr()?.mean_all()?.to_scalar::<f32>()?).sqrt();
    let rate = options.learning_rate / (root / CLIP_THRESHOLD).max(1.0);
    *parameter = ((&*parameter * options.decay())? - (change * rate)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    fn apart(a: &Tensor, b: &Tensor) -> Result<f32> {
        (a - b)?.abs()?.max_all()?.to_scalar()
    }

    /// The trainings recorded by tests/parity hold the kernel to the reference; this holds the
    /// composition to the kernel.
    #[test]
    fn agrees_with_the_composition() -> Result<()> {
        let device = &Device::Cpu;
        let start = Tensor::new(&[[0.5_f32, -1.0, 2.0], [0.1, 0.0, -0.3]], device)?;
        let gradient = Tensor::new(&[[0.2_f32, 0.1, -3.0], [-0.5, 0.7, 0.1]], device)?;
        let zeros = |count: usize| Tensor::zeros(count, DType::F32, device);
        let (mut a, mut b) = (start.copy()?, start.copy()?);
        let (mut rows, mut columns) = (zeros(2)?, zeros(3)?);
        let (mut rows2, mut columns2) = (zeros(2)?, zeros(3)?);
        let (mut c, mut d) = (start.flatten_all()?.copy()?, start.flatten_all()?.copy()?);
        let (mut squares, mut squares2) = (zeros(6)?, zeros(6)?);
        let flat = gradient.flatten_all()?;
        for step in 1..=3 {
            let options = Adafactor {
                learning_rate: 0.1,
                weight_decay: 0.1,
                step,
                gradient_scale: 0.5,
            };
            adafactor_matrix(&mut a, &mut rows, &mut columns, &gradient, &options)?;
            matrix_composed(&mut b, &mut rows2, &mut columns2, &gradient, &options)?;
            adafactor_vector(&mut c, &mut squares, &flat, &options)?;
            vector_composed(&mut d, &mut squares2, &flat, &options)?;
        }
        assert!(apart(&a, &b)? < 1e-6 && apart(&rows, &rows2)? < 1e-6);
        assert!(apart(&c, &d)? < 1e-6 && apart(&squares, &squares2)? < 1e-6);
        Ok(())
    }
}
