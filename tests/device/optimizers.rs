//! Three steps of each optimiser, its memory included.

use crate::compare::Inputs;
use attune_kernels::{
    Adafactor, AdamW, Lion, Moments8bit, Remainders, Sgd, adafactor_matrix, adafactor_vector,
    adamw, adamw8bit, lion, sgd,
};
use candle_core::{DType, Result, Tensor};

const STEPS: u64 = 3;

fn adamw_options(step: u64) -> AdamW {
    AdamW {
        learning_rate: 0.01,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.1,
        step,
        gradient_scale: 0.5,
    }
}

pub fn adamw_steps(on: &mut Inputs) -> Result<Vec<Tensor>> {
    let (mut parameter, mut moments) = (on.matrix(30, 20)?, on.zeros((2, 600))?);
    for step in 1..=STEPS {
        let options = adamw_options(step);
        adamw(&mut parameter, &mut moments, &on.matrix(30, 20)?, &options)?;
    }
    Ok(vec![parameter, moments])
}

/// The moments are the CPU's; the parameter must be where it was.
pub fn adamw8bit_steps(on: &mut Inputs) -> Result<Vec<Tensor>> {
    let (mut parameter, mut moments) = (on.matrix(30, 20)?, Moments8bit::zeros(600));
    for step in 1..=STEPS {
        let options = adamw_options(step);
        adamw8bit(&mut parameter, &mut moments, &on.matrix(30, 20)?, &options)?;
        assert!(parameter.device().same_device(&on.device));
    }
    let (codes, magnitudes) = moments.to_tensors()?;
    Ok(vec![parameter, codes.to_dtype(DType::F32)?, magnitudes])
}

/// f32 weights as bf16 on the device and the rest of them on the CPU, and a step of those.
pub fn masters_of_bf16(on: &mut Inputs) -> Result<Vec<Tensor>> {
    let (weights, moved) = (on.matrix(30, 20)?, on.matrix(30, 20)?);
    let (rounded, mut rest) = Remainders::split(&weights)?;
    let (before, joined) = (rounded.copy()?, rest.join(&rounded)?);
    rest.set(&rounded, &moved)?;
    assert!(rounded.device().same_device(&on.device) && rounded.dtype() == DType::BF16);
    assert!(joined.device().same_device(&on.device));
    let after = rest.join(&rounded)?;
    Ok(vec![before, joined, rounded, after])
}

pub fn lion_steps(on: &mut Inputs) -> Result<Vec<Tensor>> {
    let (mut parameter, mut momentum) = (on.matrix(30, 20)?, on.zeros(600)?);
    let options = Lion {
        learning_rate: 0.01,
        beta1: 0.9,
        beta2: 0.99,
        weight_decay: 0.1,
        gradient_scale: 0.5,
    };
    for _ in 0..STEPS {
        lion(&mut parameter, &mut momentum, &on.matrix(30, 20)?, &options)?;
    }
    Ok(vec![parameter, momentum])
}

pub fn sgd_steps(on: &mut Inputs) -> Result<Vec<Tensor>> {
    let (mut parameter, mut momentum) = (on.matrix(30, 20)?, on.zeros(600)?);
    let options = Sgd {
        learning_rate: 0.01,
        momentum: 0.9,
        weight_decay: 0.1,
        gradient_scale: 0.5,
    };
    for _ in 0..STEPS {
        sgd(&mut parameter, &mut momentum, &on.matrix(30, 20)?, &options)?;
    }
    Ok(vec![parameter, momentum])
}

pub fn adafactor_steps(on: &mut Inputs) -> Result<Vec<Tensor>> {
    let (mut matrix, mut rows, mut columns) = (on.matrix(30, 20)?, on.zeros(30)?, on.zeros(20)?);
    let (mut vector, mut squares) = (on.vector(25)?, on.zeros(25)?);
    for step in 1..=STEPS {
        let options = Adafactor {
            learning_rate: 0.01,
            weight_decay: 0.1,
            step,
            gradient_scale: 0.5,
        };
        let gradient = on.matrix(30, 20)?;
        adafactor_matrix(&mut matrix, &mut rows, &mut columns, &gradient, &options)?;
        adafactor_vector(&mut vector, &mut squares, &on.vector(25)?, &options)?;
    }
    Ok(vec![matrix, rows, columns, vector, squares])
}
