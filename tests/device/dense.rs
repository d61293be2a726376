//! Products, sums, norms and activations.

use crate::compare::{Inputs, number};
use attune_kernels::{
    ComputeType, Gelu, GgmlType, LayerNormGradients, Quantisation, QuantisedMatrix, Term,
    Transpose, add, add_bias, add_column_products, add_column_sums, add_scaled, geglu,
    geglu_backward, gelu, gelu_backward, layer_norm, layer_norm_backward, low_rank_row_norms,
    matmul, matmul_add, matmul_for_inference, matmul_sum, matmul_sum_add, rms_norm,
    rms_norm_backward, scale_columns, scaled, squared_norm, swiglu, swiglu_backward,
};
use candle_core::{DType, Result, Tensor};

pub fn products(on: &mut Inputs) -> Result<Vec<Tensor>> {
    let (a, b) = (on.matrix(37, 50)?, on.matrix(50, 29)?);
    let (at, bt) = (a.t()?.contiguous()?, b.t()?.contiguous()?);
    Ok(vec![
        matmul(&a, &b, Transpose::Neither)?,
        matmul(&at, &b, Transpose::Left)?,
        matmul(&a, &bt, Transpose::Right)?,
        matmul_for_inference(&a, &bt)?,
        // One row, and more than a tile.
        matmul(&a.narrow(0, 3, 1)?, &b, Transpose::Neither)?,
        matmul(
            &on.matrix(300, 260)?,
            &on.matrix(260, 270)?,
            Transpose::Neither,
        )?,
    ])
}

/// Forward and transposed, as a frozen base is used in both directions.
pub fn products_of_stored_weights(on: &mut Inputs) -> Result<Vec<Tensor>> {
    let (x, dy, w) = (on.matrix(19, 256)?, on.matrix(19, 64)?, on.matrix(64, 256)?);
    let mut products = Vec::new();
    for dtype in [DType::BF16, DType::F16] {
        let w = w.to_dtype(dtype)?;
        products.push(matmul(&x, &w, Transpose::Right)?);
        products.push(matmul(&dy, &w, Transpose::Neither)?);
    }
    for kind in [
        Quantisation::Nf4,
        Quantisation::Int8,
        Quantisation::Ggml(GgmlType::Q8_0),
        Quantisation::Ggml(GgmlType::Q4_0),
    ] {
        let w = QuantisedMatrix::quantise(&w, kind)?;
        products.push(matmul(&x, &w, Transpose::Right)?);
        products.push(matmul(&dy, &w, Transpose::Neither)?);
    }
    Ok(products)
}

pub fn products_added(on: &mut Inputs) -> Result<Vec<Tensor>> {
    let (x, w) = (on.matrix(37, 50)?, on.matrix(40, 50)?);
    let (u, b) = (on.matrix(37, 4)?, on.matrix(40, 4)?);
    let mut sum = on.matrix(37, 40)?;
    matmul_add(&mut sum, 0.5, &x, &w, Transpose::Right)?;
    let large = Term {
        scale: 1.0,
        a: &x,
        b: (&w).into(),
        transpose: Transpose::Right,
    };
    let small = Term {
        scale: 0.5,
        a: &u,
        b: (&b).into(),
        ..large
    };
    let both = matmul_sum(large, small)?;
    let mut added = on.matrix(37, 40)?;
    matmul_sum_add(&mut added, large, small)?;
    Ok(vec![sum, both, added])
}

/// Operands rounded to bf16, sums in f32.
pub fn products_in_bf16(on: &mut Inputs) -> Result<Vec<Tensor>> {
    let (a, b) = (on.matrix(37, 50)?, on.matrix(50, 29)?);
    Ok(vec![ComputeType::Bf16.matmul(
        &a,
        &b,
        Transpose::Neither,
    )?])
}

pub fn sums_and_factors(on: &mut Inputs) -> Result<Vec<Tensor>> {
    let (a, b) = (on.matrix(300, 200)?, on.matrix(300, 200)?);
    Ok(vec![
        add(&a, &b)?,
        scaled(&a, 0.3)?,
        add_scaled(&a, &b, 0.3)?,
        number(squared_norm(&a)?)?,
    ])
}

pub fn biases(on: &mut Inputs) -> Result<Vec<Tensor>> {
    let (mut x, bias) = (on.matrix(33, 21)?, on.vector(21)?);
    let mut gradient = on.vector(21)?;
    add_column_sums(&mut gradient, &x)?;
    add_bias(&mut x, &bias)?;
    Ok(vec![x, gradient])
}

pub fn norms(on: &mut Inputs) -> Result<Vec<Tensor>> {
    let (x, w, dy) = (on.matrix(130, 20)?, on.vector(20)?, on.matrix(130, 20)?);
    let bias = on.vector(20)?;
    let mut results = Vec::new();
    for offset in [0.0, 1.0] {
        let mut dw = on.zeros(20)?;
        results.push(rms_norm(&x, &w, offset, 1e-5)?);
        results.push(rms_norm_backward(&x, &w, offset, 1e-5, &dy, Some(&mut dw))?);
        results.push(rms_norm_backward(&x, &w, offset, 1e-5, &dy, None)?);
        results.push(dw);
    }
    let (mut dw, mut db) = (on.zeros(20)?, on.zeros(20)?);
    let gradients = LayerNormGradients {
        weight: Some(&mut dw),
        bias: Some(&mut db),
    };
    results.push(layer_norm(&x, &w, Some(&bias), 1e-5)?);
    results.push(layer_norm(&x, &w, None, 1e-5)?);
    results.push(layer_norm_backward(&x, &w, 1e-5, &dy, gradients)?);
    results.extend([dw, db]);
    Ok(results)
}

pub fn gates(on: &mut Inputs) -> Result<Vec<Tensor>> {
    let (gate, up, dy) = (on.matrix(40, 33)?, on.matrix(40, 33)?, on.matrix(40, 33)?);
    let mut results = vec![swiglu(&gate, &up)?];
    let (dgate, dup) = swiglu_backward(&gate, &up, &dy)?;
    results.extend([dgate, dup]);
    for kind in [Gelu::Exact, Gelu::Tanh] {
        results.push(gelu(&gate, kind)?);
        results.push(gelu_backward(&gate, &dy, kind)?);
        results.push(geglu(&gate, &up, kind)?);
        let (dgate, dup) = geglu_backward(&gate, &up, &dy, kind)?;
        results.extend([dgate, dup]);
    }
    Ok(results)
}

pub fn dora(on: &mut Inputs) -> Result<Vec<Tensor>> {
    let (w, b, a) = (on.matrix(24, 40)?, on.matrix(24, 4)?, on.matrix(4, 40)?);
    let (x, y) = (on.matrix(17, 24)?, on.matrix(17, 24)?);
    let norms = low_rank_row_norms(&w, &b, &a, 0.5)?;
    let mut gradient = on.vector(24)?;
    add_column_products(&mut gradient, &x, &y, &norms)?;
    let quantised = QuantisedMatrix::quantise(&w, Quantisation::Nf4)?;
    Ok(vec![
        scale_columns(&x, &norms)?,
        low_rank_row_norms(&quantised, &b, &a, 0.5)?,
        norms,
        gradient,
    ])
}
