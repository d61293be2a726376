//! AdamW (Loshchilov and Hutter, 2019) as PyTorch computes it: one fused step per parameter.

use crate::device::{Operation, own};
use crate::storage::{on_cpu, update, view};
use candle_core::{Result, Tensor};
use rayon::prelude::*;

/// The numbers of one step.
#[derive(Debug, Clone, Copy)]
pub struct AdamW {
    /// η, after the schedule.
    pub learning_rate: f64,
    /// β₁: decay of the first moment.
    pub beta1: f64,
    /// β₂: decay of the second moment.
    pub beta2: f64,
    /// ε: added to the root of the second moment.
    pub epsilon: f64,
    /// λ: decoupled decay of the parameter.
    pub weight_decay: f64,
    /// t, counted from 1.
    pub step: u64,
    /// What the gradient is multiplied by first (clipping by the global norm).
    pub gradient_scale: f64,
}

/// Elements one task takes.
const CHUNK: usize = 64 * 1024;

/// Moves `parameter` by one step. `moments` is `(2, n)`: first and second moment of the
/// parameter's `n` elements, both zero before step 1. All tensors are f32.
pub fn adamw(
    parameter: &mut Tensor,
    moments: &mut Tensor,
    gradient: &Tensor,
    options: &AdamW,
) -> Result<()> {
    if !on_cpu(parameter) {
        let own = own(parameter, Operation::AdamW, |kernels| {
            kernels.adamw(parameter, moments, gradient, options)
        })?;
        return own.map_or_else(|| composed(parameter, moments, gradient, options), Ok);
    }
    let Derived { rate, root, decay } = options.derived();
    let (beta1, beta2) = (options.beta1 as f32, options.beta2 as f32);
    let (rest1, rest2) = ((1.0 - options.beta1) as f32, (1.0 - options.beta2) as f32);
    let scale = options.gradient_scale as f32;
    {
        let gradient = view(gradient)?;
        update(moments, |moments| {
            let (first, second) = moments.split_at_mut(gradient.len());
            (
                first.par_chunks_mut(CHUNK),
                second.par_chunks_mut(CHUNK),
                gradient.par_chunks(CHUNK),
            )
                .into_par_iter()
                .for_each(|(first, second, gradient)| {
                    for ((m, v), g) in first.iter_mut().zip(second).zip(gradient) {
                        let g = g * scale;
                        *m = beta1 * *m + rest1 * g;
                        *v = beta2 * *v + rest2 * g * g;
                    }
                });
        })?;
    }
    let (rate, root, epsilon, decay) = (
        rate as f32,
        root as f32,
        options.epsilon as f32,
        decay as f32,
    );
    let moments = view(moments)?;
    update(parameter, |parameter| {
        let (first, second) = moments.split_at(parameter.len());
        (
            parameter.par_chunks_mut(CHUNK),
            first.par_chunks(CHUNK),
            second.par_chunks(CHUNK),
        )
            .into_par_iter()
            .for_each(|(parameter, first, second)| {
                for ((p, m), v) in parameter.iter_mut().zip(first).zip(second) {
                    *p = *p * decay - rate * m / (v.sqrt() / root + epsilon);
                }
            });
    })
}

/// What the numbers of a step amount to.
pub(crate) struct Derived {
    /// η / (1 - β₁ᵗ)
    pub(crate) rate: f64,
    /// sqrt(1 - β₂ᵗ)
    pub(crate) root: f64,
    /// 1 - ηλ
    pub(crate) decay: f64,
}

impl AdamW {
    pub(crate) fn derived(&self) -> Derived {
        let step = self.step as i32;
        Derived {
            rate: self.learning_rate / (1.0 - self.beta1.powi(step)),
            root: (1.0 - self.beta2.powi(step)).sqrt(),
            decay: 1.0 - self.learning_rate * self.weight_decay,
        }
    }
}

pub(crate) fn composed(
    parameter: &mut Tensor,
    moments: &mut Tensor,
    gradient: &Tensor,
    options: &AdamW,
) -> Result<()> {
    let Derived { rate, root, decay } = options.derived();
    let gradient = (gradient.flatten_all()? * options.gradient_scale)?;
    let first = ((moments.get(0)? * options.beta1)? + (&gradient * (1.0 - options.beta1))?)?;
    let second = ((moments.get(1)? * options.beta2)? + (gradient.sqr()? * (1.0 - options.beta2))?)?;
    let change = ((&first * rate)? / ((second.sqrt()? / root)? + options.epsilon)?)?;
    *parameter = ((&*parameter * decay)? - change.reshape(parameter.shape())?)?;
    *moments = Tensor::stack(&[first, second], 0)?;
    Ok(())
}
