//! Three steps of each optimiser, its memory included.

use crate::compare::Inputs;
use attune_kernels::{
    Adafactor, AdamW, Lion, Sgd, adafactor_matrix, adafactor_vector, adamw, lion, sgd,
};
use candle_core::{Result, Tensor};

const STEPS: u64 = 3;

pub fn adamw_steps(on: &mut Inputs) -> Result<Vec<Tensor>> {
    let (mut parameter, mut moments) = (on.matrix(30, 20)?, on.zeros((2, 600))?);
    for step in 1..=STEPS {
        let options = AdamW {
            learning_rate: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.1,
            step,
            gradient_scale: 0.5,
        };
        adamw(&mut parameter, &mut moments, &on.matrix(30, 20)?, &options)?;
    }
    Ok(vec![parameter, moments])
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
