//! Lion (Chen et al., 2023): the sign of a momentum, as bitsandbytes and the paper compute it.

use crate::storage::{on_cpu, update, view};
use candle_core::{Result, Tensor};
use rayon::prelude::*;

/// The numbers of one step.
#[derive(Debug, Clone, Copy)]
pub struct Lion {
    /// η, after the schedule.
    pub learning_rate: f64,
    /// β₁: share of the momentum in the direction of the step.
    pub beta1: f64,
    /// β₂: decay of the momentum.
    pub beta2: f64,
    /// λ: decoupled decay of the parameter.
    pub weight_decay: f64,
    /// What the gradient is multiplied by first (clipping by the global norm).
    pub gradient_scale: f64,
}

/// Elements one task takes.
const CHUNK: usize = 64 * 1024;

/// Moves `parameter` by one step. `momentum` holds the parameter's `n` elements, zero before the
/// first step. All tensors are f32.
pub fn lion(
    parameter: &mut Tensor,
    momentum: &mut Tensor,
    gradient: &Tensor,
    options: &Lion,
) -> Result<()> {
    if !on_cpu(parameter) {
        return composed(parameter, momentum, gradient, options);
    }
    let (beta1, rest1) = (options.beta1 as f32, (1.0 - options.beta1) as f32);
    let (beta2, rest2) = (options.beta2 as f32, (1.0 - options.beta2) as f32);
    let rate = options.learning_rate as f32;
    let decay = (1.0 - options.learning_rate * options.weight_decay) as f32;
    let scale = options.gradient_scale as f32;
    let gradient = view(gradient)?;
    {
        let momentum = view(momentum)?;
        update(parameter, |parameter| {
            (
                parameter.par_chunks_mut(CHUNK),
                momentum.par_chunks(CHUNK),
                gradient.par_chunks(CHUNK),
            )
                .into_par_iter()
                .for_each(|(parameter, momentum, gradient)| {
                    for ((p, m), g) in parameter.iter_mut().zip(momentum).zip(gradient) {
                        let direction = beta1 * m + rest1 * (g * scale);
                        // As torch.sign: zero has no direction.
                        let sign = if direction == 0.0 {
                            0.0
                        } else {
                            direction.signum()
                        };
                        *p = *p * decay - rate * sign;
                    }
                });
        })?;
    }
    update(momentum, |momentum| {
        (momentum.par_chunks_mut(CHUNK), gradient.par_chunks(CHUNK))
            .into_par_iter()
            .for_each(|(momentum, gradient)| {
                for (m, g) in momentum.iter_mut().zip(gradient) {
                    *m = beta2 * *m + rest2 * (g * scale);
                }
            });
    })
}

pub(crate) fn composed(
    parameter: &mut Tensor,
    momentum: &mut Tensor,
    gradient: &Tensor,
    options: &Lion,
) -> Result<()> {
    let gradient = (gradient.flatten_all()? * options.gradient_scale)?;
    let direction = ((&*momentum * options.beta1)? + (&gradient * (1.0 - options.beta1))?)?;
    let change = (direction.sign()? * options.learning_rate)?.reshape(parameter.shape())?;
    let decay = 1.0 - options.learning_rate * options.weight_decay;
    *parameter = ((&*parameter * decay)? - change)?;
    *momentum = ((&*momentum * options.beta2)? + (gradient * (1.0 - options.beta2))?)?;
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
            let options = Lion {
                learning_rate: rate,
                beta1: 0.9,
                beta2: 0.99,
                weight_decay: 0.1,
                gradient_scale: 0.5,
            };
            lion(&mut a, &mut m, &gradient, &options)?;
            composed(&mut b, &mut n, &gradient, &options)?;
        }
        for (x, y) in [(&a, &b), (&m.reshape((2, 3))?, &n.reshape((2, 3))?)] {
            let apart = (x - y)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(apart < 1e-6, "{apart}");
        }
        Ok(())
    }
}
