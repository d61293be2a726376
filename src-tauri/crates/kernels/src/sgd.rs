//! Stochastic gradient descent with momentum, as `torch.optim.SGD` computes it.

use crate::storage::{on_cpu, update, view};
use candle_core::{Result, Tensor};
use rayon::prelude::*;

/// The numbers of one step.
#[derive(Debug, Clone, Copy)]
pub struct Sgd {
    /// η, after the schedule.
    pub learning_rate: f64,
    /// μ: what is left of the step before.
    pub momentum: f64,
    /// λ: added to the gradient as `λ · parameter`.
    pub weight_decay: f64,
    /// What the gradient is multiplied by first (clipping by the global norm).
    pub gradient_scale: f64,
}

/// Elements one task takes.
const CHUNK: usize = 64 * 1024;

/// Moves `parameter` by one step. `momentum` holds the parameter's `n` elements, zero before the
/// first step. All tensors are f32.
pub fn sgd(
    parameter: &mut Tensor,
    momentum: &mut Tensor,
    gradient: &Tensor,
    options: &Sgd,
) -> Result<()> {
    if !on_cpu(parameter) {
        return composed(parameter, momentum, gradient, options);
    }
    let (mu, decay) = (options.momentum as f32, options.weight_decay as f32);
    let (rate, scale) = (options.learning_rate as f32, options.gradient_scale as f32);
    {
        let (gradient, parameter) = (view(gradient)?, view(parameter)?);
        update(momentum, |momentum| {
            (
                momentum.par_chunks_mut(CHUNK),
                gradient.par_chunks(CHUNK),
                parameter.par_chunks(CHUNK),
            )
                .into_par_iter()
                .for_each(|(momentum, gradient, parameter)| {
                    for ((m, g), p) in momentum.iter_mut().zip(gradient).zip(parameter) {
                        *m = mu * *m + (g * scale + decay * p);
                    }
                });
        })?;
    }
    let momentum = view(momentum)?;
    update(parameter, |parameter| {
        (parameter.par_chunks_mut(CHUNK), momentum.par_chunks(CHUNK))
            .into_par_iter()
            .for_each(|(parameter, momentum)| {
                for (p, m) in parameter.iter_mut().zip(momentum) {
                    *p -= rate * m;
                }
            });
    })
}

pub(crate) fn composed(
    parameter: &mut Tensor,
    momentum: &mut Tensor,
    gradient: &Tensor,
    options: &Sgd,
) -> Result<()> {
    let gradient = ((gradient * options.gradient_scale)? + (&*parameter * options.weight_decay)?)?;
    *momentum = ((&*momentum * options.momentum)? + gradient.flatten_all()?)?;
    let change = (&*momentum * options.learning_rate)?;
    *parameter = (&*parameter - change.reshape(parameter.shape())?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// The trainings recorded by tests/parity hold the kernel to the reference; this holds the
    /// composition to the kernel.
    #[test]
    fn agrees_with_the_composition() -> Result<()> {
        let start = Tensor::new(&[[0.5_f32, -1.0, 2.0], [0.1, 0.0, -0.3]], &Device::Cpu)?;
        let gradient = Tensor::new(&[[0.2_f32, 0.0, -3.0], [-0.5, 0.7, 0.1]], &Device::Cpu)?;
        let zeros = Tensor::zeros(6, candle_core::DType::F32, &Device::Cpu)?;
        let (mut a, mut b) = (start.copy()?, start);
        let (mut m, mut n) = (zeros.copy()?, zeros);
        for rate in [0.1, 0.05] {
            let options = Sgd {
                learning_rate: rate,
                momentum: 0.9,
                weight_decay: 0.1,
                gradient_scale: 0.5,
            };
            sgd(&mut a, &mut m, &gradient, &options)?;
            composed(&mut b, &mut n, &gradient, &options)?;
        }
        let apart = (a - b)?.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(apart < 1e-6, "{apart}");
        Ok(())
    }
}
