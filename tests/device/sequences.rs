//! What knows positions, tokens and samples.

use crate::compare::{Inputs, number, numbers};
use attune_kernels::{
    Attention, ComputeType, Logits, NoiseKey, Rotation, Span, add_rows, add_uniform_noise, dropout,
    embedding, embedding_backward, linear_cross_entropy, linear_cross_entropy_rows,
    linear_token_losses, rope, row_products, scale_rows,
};
use candle_core::{Result, Tensor};

pub fn rotations(on: &mut Inputs) -> Result<Vec<Tensor>> {
    let x = on.matrix(9, 3 * 16)?;
    // A part of each head, and all of it.
    let mut results = Vec::new();
    for half in [6, 8] {
        let angles = on.matrix(32, half)?;
        let (cos, sin) = (angles.cos()?, angles.sin()?);
        let positions = [0, 1, 2, 3, 0, 1, 31, 7, 8];
        for rotation in [Rotation::Forward, Rotation::Backward] {
            results.push(rope(&x, 16, &cos, &sin, &positions, rotation)?);
        }
    }
    Ok(results)
}

const HEADS: Attention = Attention {
    query_heads: 4,
    key_value_heads: 2,
    head_dim: 10,
    scale: 0.3,
    window: None,
    softcap: None,
    compute: ComputeType::F32,
};

/// Two samples, the second longer than a block of query rows.
fn attend(on: &mut Inputs, attention: Attention) -> Result<Vec<Tensor>> {
    let (q, k, v) = (on.matrix(93, 40)?, on.matrix(93, 20)?, on.matrix(93, 20)?);
    let d_o = on.matrix(93, 40)?;
    let spans = [Span { start: 0, len: 13 }, Span { start: 13, len: 80 }];
    let (o, log_sum_exp) = attention.forward(&q, &k, &v, &spans)?;
    let (dq, dk, dv) = attention.backward(&q, &k, &v, &spans, &o, &log_sum_exp, &d_o)?;
    Ok(vec![o, log_sum_exp, dq, dk, dv])
}

pub fn attention(on: &mut Inputs) -> Result<Vec<Tensor>> {
    attend(on, HEADS)
}

pub fn attention_with_a_window_and_a_cap(on: &mut Inputs) -> Result<Vec<Tensor>> {
    let attention = Attention {
        window: Some(7),
        softcap: Some(2.0),
        ..HEADS
    };
    attend(on, attention)
}

/// One token more, and a prompt that goes on, each with keys from before.
pub fn attention_with_a_cache(on: &mut Inputs) -> Result<Vec<Tensor>> {
    let q = on.matrix(6, 40)?;
    let caches = [
        (on.matrix(12, 20)?, on.matrix(12, 20)?),
        (on.matrix(9, 20)?, on.matrix(9, 20)?),
    ];
    let spans = [Span { start: 0, len: 1 }, Span { start: 1, len: 5 }];
    let (o, log_sum_exp) = HEADS.cached(&q, &spans, &caches)?;
    Ok(vec![o, log_sum_exp])
}

fn losses(on: &mut Inputs, head: Logits) -> Result<Vec<Tensor>> {
    let (hidden, weight) = (on.matrix(21, 24)?, on.matrix(150, 24)?);
    let targets: Vec<u32> = (0..21).map(|row| row * 7 % 150).collect();
    let mut gradient = on.zeros((150, 24))?;
    let (loss, dhidden) =
        linear_cross_entropy(&hidden, &weight, &targets, head, 0.25, Some(&mut gradient))?;
    let scales: Vec<f32> = (0..21).map(|row| row as f32 / 21.0).collect();
    let (rows, by_row) =
        linear_cross_entropy_rows(&hidden, &weight, &targets, head, &scales, None)?;
    let alone = linear_token_losses(&hidden, &weight, &targets, head)?;
    Ok(vec![
        number(loss)?,
        dhidden,
        gradient,
        numbers(rows)?,
        by_row,
        numbers(alone.into_iter().map(f64::from))?,
        head.of(&hidden, &weight)?,
    ])
}

pub fn cross_entropy(on: &mut Inputs) -> Result<Vec<Tensor>> {
    losses(on, Logits::default())
}

pub fn cross_entropy_with_a_cap(on: &mut Inputs) -> Result<Vec<Tensor>> {
    let head = Logits {
        scale: 0.5,
        softcap: Some(3.0),
        ..Logits::default()
    };
    losses(on, head)
}

pub fn embeddings(on: &mut Inputs) -> Result<Vec<Tensor>> {
    let (table, dy) = (on.matrix(50, 12)?, on.matrix(6, 12)?);
    // A token that comes twice adds up.
    let tokens = [3, 49, 3, 0, 7, 3];
    let mut gradient = on.zeros((50, 12))?;
    embedding_backward(&mut gradient, &tokens, &dy)?;
    Ok(vec![embedding(&table, &tokens)?, gradient])
}

pub fn rows_of_experts(on: &mut Inputs) -> Result<Vec<Tensor>> {
    let (mut sum, x, y) = (on.matrix(9, 14)?, on.matrix(4, 14)?, on.matrix(4, 14)?);
    add_rows(&mut sum, &[8, 1, 0, 5], &x)?;
    let products = row_products(&x, &y)?.into_iter().map(f64::from);
    Ok(vec![
        sum,
        scale_rows(&x, &[0.5, -1.0, 0.0, 2.0])?,
        numbers(products)?,
    ])
}

/// A pure function of key and place: the same numbers on every device.
pub fn noise(on: &mut Inputs) -> Result<Vec<Tensor>> {
    let (x, mut noisy) = (on.matrix(20, 30)?, on.matrix(20, 30)?);
    add_uniform_noise(&mut noisy, &[0.1; 20], NoiseKey::new(&[3]))?;
    Ok(vec![dropout(&x, 0.3, NoiseKey::new(&[1, 2]))?, noisy])
}
