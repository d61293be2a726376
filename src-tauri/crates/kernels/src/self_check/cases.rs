//! Small random inputs for every operation, forward and backward, and what comes of them.

use crate::device::Operation;
use crate::{
    Adafactor, AdamW, Attention, ComputeType, Gelu, GgmlType, LayerNormGradients, Lion, Logits,
    Moments8bit, NoiseKey, Quantisation, QuantisedMatrix, Remainders, Rotation, Sgd, Span, Term,
    Transpose,
};
use candle_core::{DType, Device, Result, Tensor};

/// Rounding and the order of sums.
const ROUNDING: f32 = 1e-4;
/// bf16 has 8 bits, and the CPU spares small products from it.
const BF16: f32 = 3e-2;

/// One operation.
pub(super) struct Case {
    /// The function's name.
    pub(super) operation: &'static str,
    /// The kernels of ours it may use.
    pub(super) own: &'static [Operation],
    pub(super) tolerance: f32,
    /// Makes the same inputs on any device, and returns what the operation makes of them.
    pub(super) run: fn(&Device) -> Result<Vec<Tensor>>,
}

const fn case(
    operation: &'static str,
    own: &'static [Operation],
    run: fn(&Device) -> Result<Vec<Tensor>>,
) -> Case {
    let tolerance = ROUNDING;
    Case {
        operation,
        own,
        tolerance,
        run,
    }
}

pub(super) static ALL: &[Case] = &[
    case("rms_norm", &[Operation::RmsNorm], |device| {
        let (x, w) = (draw(device, 1, (70, 96))?, vector(device, 2, 96)?);
        Ok(vec![
            crate::rms_norm(&x, &w, 0.0, 1e-5)?,
            crate::rms_norm(&x, &w, 1.0, 1e-6)?,
        ])
    }),
    case(
        "rms_norm_backward",
        &[Operation::RmsNormBackward],
        |device| {
            let (x, w) = (draw(device, 1, (130, 96))?, vector(device, 2, 96)?);
            let dy = draw(device, 3, (130, 96))?;
            let mut dw = vector(device, 4, 96)?;
            let dx = crate::rms_norm_backward(&x, &w, 1.0, 1e-5, &dy, Some(&mut dw))?;
            let alone = crate::rms_norm_backward(&x, &w, 0.0, 1e-5, &dy, None)?;
            Ok(vec![dx, dw, alone])
        },
    ),
    case("layer_norm", &[], |device| {
        let (x, w) = (draw(device, 1, (70, 96))?, vector(device, 2, 96)?);
        let b = vector(device, 3, 96)?;
        Ok(vec![
            crate::layer_norm(&x, &w, Some(&b), 1e-5)?,
            crate::layer_norm(&x, &w, None, 1e-5)?,
        ])
    }),
    case("layer_norm_backward", &[], |device| {
        let (x, w) = (draw(device, 1, (130, 96))?, vector(device, 2, 96)?);
        let dy = draw(device, 3, (130, 96))?;
        let (mut dw, mut db) = (vector(device, 4, 96)?, vector(device, 5, 96)?);
        let gradients = LayerNormGradients {
            weight: Some(&mut dw),
            bias: Some(&mut db),
        };
        let dx = crate::layer_norm_backward(&x, &w, 1e-5, &dy, gradients)?;
        Ok(vec![dx, dw, db])
    }),
    case("rope", &[Operation::Rope], |device| {
        let angles = draw(device, 1, (40, 12))?;
        let (cos, sin) = (angles.cos()?, angles.sin()?);
        let positions: Vec<u32> = (0..70).map(|row| row * 7 % 40).collect();
        let mut turned = Vec::new();
        // All of a head, and a part.
        for head_dim in [24, 32] {
            let x = draw(device, 2, (70, 3 * head_dim))?;
            for rotation in [Rotation::Forward, Rotation::Backward] {
                turned.push(crate::rope(&x, head_dim, &cos, &sin, &positions, rotation)?);
            }
        }
        Ok(turned)
    }),
    case("swiglu", &[Operation::Gate], |device| {
        let (gate, up) = (draw(device, 1, (70, 90))?, draw(device, 2, (70, 90))?);
        Ok(vec![crate::swiglu(&(gate * 5.0)?, &up)?])
    }),
    case("swiglu_backward", &[Operation::GateBackward], |device| {
        let (gate, up) = (draw(device, 1, (70, 90))?, draw(device, 2, (70, 90))?);
        let dy = draw(device, 3, (70, 90))?;
        let (dgate, dup) = crate::swiglu_backward(&(gate * 5.0)?, &up, &dy)?;
        Ok(vec![dgate, dup])
    }),
    case("geglu", &[Operation::Gate], |device| {
        let (gate, up) = (draw(device, 1, (70, 90))?, draw(device, 2, (70, 90))?);
        let gated = |kind| crate::geglu(&(&gate * 3.0)?, &up, kind);
        Ok(vec![gated(Gelu::Exact)?, gated(Gelu::Tanh)?])
    }),
    case("geglu_backward", &[Operation::GateBackward], |device| {
        let (gate, up) = (draw(device, 1, (70, 90))?, draw(device, 2, (70, 90))?);
        let dy = draw(device, 3, (70, 90))?;
        let mut gradients = Vec::new();
        for kind in [Gelu::Exact, Gelu::Tanh] {
            let (dgate, dup) = crate::geglu_backward(&gate, &up, &dy, kind)?;
            gradients.extend([dgate, dup]);
        }
        Ok(gradients)
    }),
    case("gelu", &[Operation::Gelu], |device| {
        let x = (draw(device, 1, (70, 90))? * 3.0)?;
        Ok(vec![
            crate::gelu(&x, Gelu::Exact)?,
            crate::gelu(&x, Gelu::Tanh)?,
        ])
    }),
    case("gelu_backward", &[Operation::GeluBackward], |device| {
        let (x, dy) = (draw(device, 1, (70, 90))?, draw(device, 2, (70, 90))?);
        Ok(vec![
            crate::gelu_backward(&x, &dy, Gelu::Exact)?,
            crate::gelu_backward(&x, &dy, Gelu::Tanh)?,
        ])
    }),
    case("Attention::forward", &[Operation::Attention], |device| {
        let [q, k, v, _] = attention_inputs(device)?;
        let mut results = Vec::new();
        for attention in attentions(ComputeType::F32) {
            let (o, log_sum_exp) = attention.forward(&q, &k, &v, &SPANS)?;
            results.extend([o, log_sum_exp]);
        }
        Ok(results)
    }),
    case("Attention::cached", &[Operation::Attention], |device| {
        let [q, k, v, _] = attention_inputs(device)?;
        let (long, short) = ((k.clone(), v.clone()), (rows(&k, 0, 60)?, rows(&v, 0, 60)?));
        let spans = [Span { start: 0, len: 5 }, Span { start: 5, len: 1 }];
        let mut results = Vec::new();
        for attention in attentions(ComputeType::F32) {
            let caches = [long.clone(), short.clone()];
            let (o, log_sum_exp) = attention.cached(&rows(&q, 0, 6)?, &spans, &caches)?;
            results.extend([o, log_sum_exp]);
        }
        Ok(results)
    }),
    case(
        "Attention::backward",
        &[Operation::AttentionBackward],
        |device| {
            let mut results = Vec::new();
            for attention in attentions(ComputeType::F32) {
                results.extend(attention_gradients(&attention, device)?);
            }
            Ok(results)
        },
    ),
    Case {
        operation: "Attention::backward",
        own: &[],
        tolerance: BF16,
        run: |device| attention_gradients(&attentions(ComputeType::Bf16)[0], device),
    },
    case(
        "linear_cross_entropy",
        &[Operation::CrossEntropy, Operation::QuantisedProduct],
        |device| {
            let (hidden, weight) = (draw(device, 1, (45, 64))?, draw(device, 2, (1000, 64))?);
            let mut results = Vec::new();
            for head in heads() {
                let mut dweight = draw(device, 3, (1000, 64))?;
                let (loss, dhidden) = crate::linear_cross_entropy(
                    &hidden,
                    &weight,
                    &targets(45),
                    head,
                    0.3,
                    Some(&mut dweight),
                )?;
                results.extend([dhidden, dweight, Tensor::new(&[loss as f32], &Device::Cpu)?]);
            }
            Ok(results)
        },
    ),
    case(
        "linear_cross_entropy_rows",
        &[Operation::CrossEntropy, Operation::QuantisedProduct],
        |device| {
            let hidden = draw(device, 1, (45, 256))?;
            let weight = matrix(2, (900, 256), Quantisation::Ggml(GgmlType::Q8_0))?;
            let scales: Vec<f32> = (0..45).map(|row| row as f32 / 50.0 - 0.3).collect();
            let mut results = Vec::new();
            for head in heads() {
                let targets = targets(45);
                let (losses, dhidden) = crate::linear_cross_entropy_rows(
                    &hidden, &weight, &targets, head, &scales, None,
                )?;
                let losses: Vec<f32> = losses.into_iter().map(|loss| loss as f32).collect();
                results.extend([dhidden, Tensor::new(losses, &Device::Cpu)?]);
            }
            Ok(results)
        },
    ),
    case("linear_token_losses", &[Operation::TokenLosses], |device| {
        let (hidden, weight) = (draw(device, 1, (45, 64))?, draw(device, 2, (1000, 64))?);
        let mut results = Vec::new();
        for head in heads() {
            let losses = crate::linear_token_losses(&hidden, &weight, &targets(45), head)?;
            results.extend([
                Tensor::new(losses, &Device::Cpu)?,
                head.of(&hidden, &weight)?,
            ]);
        }
        Ok(results)
    }),
    case("matmul", &[], |device| {
        let a = draw(device, 1, (70, 50))?;
        let mut results = Vec::new();
        for dtype in [DType::F32, DType::BF16, DType::F16] {
            // Rounded before it is moved: where bf16 is stored as f16, it is the same number.
            let b = draw(&Device::Cpu, 2, (70, 90))?.to_dtype(dtype)?;
            let b = b.to_dtype(crate::stored_type(dtype, device))?;
            let b = b.to_device(device)?;
            let bt = b.t()?.contiguous()?;
            results.push(crate::matmul(&a, &b, Transpose::Left)?);
            let at = a.t()?.contiguous()?;
            results.push(crate::matmul(&at, &b, Transpose::Neither)?);
            results.push(crate::matmul(&at, &bt, Transpose::Right)?);
        }
        Ok(results)
    }),
    Case {
        operation: "matmul",
        own: &[],
        tolerance: BF16,
        run: |device| {
            let (a, b) = (draw(device, 1, (70, 64))?, draw(device, 2, (90, 64))?);
            Ok(vec![ComputeType::Bf16.matmul(&a, &b, Transpose::Right)?])
        },
    },
    case("matmul_add", &[], |device| {
        let (a, b) = (draw(device, 1, (70, 50))?, draw(device, 2, (90, 50))?);
        let mut sum = draw(device, 3, (70, 90))?;
        crate::matmul_add(&mut sum, 0.7, &a, &b, Transpose::Right)?;
        Ok(vec![sum])
    }),
    case("matmul_sum", &[], |device| {
        with_terms(device, |large, small| {
            Ok(vec![crate::matmul_sum(large, small)?])
        })
    }),
    case("matmul_sum_add", &[], |device| {
        with_terms(device, |large, small| {
            let mut sum = draw(device, 5, (70, 90))?;
            crate::matmul_sum_add(&mut sum, large, small)?;
            Ok(vec![sum])
        })
    }),
    case(
        "QuantisedMatrix",
        &[Operation::QuantisedProduct],
        |device| {
            let others = GgmlType::ALL.into_iter().map(Quantisation::Ggml);
            let mut results = Vec::new();
            for kind in [Quantisation::Nf4, Quantisation::Int8]
                .into_iter()
                .chain(others)
            {
                let weight = matrix(1, (90, 512), kind)?;
                let (x, dy) = (draw(device, 2, (70, 512))?, draw(device, 3, (70, 90))?);
                results.push(crate::matmul(&x, &weight, Transpose::Right)?);
                results.push(crate::matmul(&dy, &weight, Transpose::Neither)?);
            }
            // A block of NF4 that reaches over the end of a row, and past the last.
            let weight = matrix(1, (33, 77), Quantisation::Nf4)?;
            let (x, dy) = (draw(device, 2, (3, 77))?, draw(device, 3, (3, 33))?);
            results.push(crate::matmul(&x, &weight, Transpose::Right)?);
            results.push(crate::matmul(&dy, &weight, Transpose::Neither)?);
            Ok(results)
        },
    ),
    Case {
        operation: "matmul_for_inference",
        own: &[Operation::QuantisedProduct],
        // The CPU rounds the rows to 8 bits.
        tolerance: 2e-2,
        run: |device| {
            let weight = matrix(1, (90, 512), Quantisation::Ggml(GgmlType::Q4K))?;
            let x = draw(device, 2, (2, 512))?;
            let head = Logits::default();
            Ok(vec![
                crate::matmul_for_inference(&x, &weight)?,
                head.for_inference(&x, &weight)?,
            ])
        },
    },
    case("add", &[], |device| {
        Ok(vec![crate::add(
            &draw(device, 1, (70, 90))?,
            &draw(device, 2, (70, 90))?,
        )?])
    }),
    case("scaled", &[], |device| {
        Ok(vec![crate::scaled(&draw(device, 1, (70, 90))?, 0.3)?])
    }),
    case("add_scaled", &[], |device| {
        let (a, b) = (draw(device, 1, (70, 90))?, draw(device, 2, (70, 90))?);
        Ok(vec![crate::add_scaled(&a, &b, 0.3)?])
    }),
    case("add_bias", &[], |device| {
        let mut x = draw(device, 1, (70, 90))?;
        crate::add_bias(&mut x, &vector(device, 2, 90)?)?;
        Ok(vec![x])
    }),
    case("add_column_sums", &[], |device| {
        let mut sums = vector(device, 1, 90)?;
        crate::add_column_sums(&mut sums, &draw(device, 2, (70, 90))?)?;
        Ok(vec![sums])
    }),
    case("low_rank_row_norms", &[], |device| {
        let (b, a) = (draw(device, 1, (90, 4))?, draw(device, 2, (4, 64))?);
        let (wide, few) = (
            draw(device, 3, (90, 64))?,
            matrix(3, (90, 64), Quantisation::Nf4)?,
        );
        Ok(vec![
            crate::low_rank_row_norms(&wide, &b, &a, 0.7)?,
            crate::low_rank_row_norms(&few, &b, &a, 0.7)?,
        ])
    }),
    case("scale_columns", &[], |device| {
        Ok(vec![crate::scale_columns(
            &draw(device, 1, (70, 90))?,
            &vector(device, 2, 90)?,
        )?])
    }),
    case("add_column_products", &[], |device| {
        let (a, b) = (draw(device, 1, (70, 90))?, draw(device, 2, (70, 90))?);
        let (mut sums, divisors) = (vector(device, 3, 90)?, (vector(device, 4, 90)? + 2.0)?);
        crate::add_column_products(&mut sums, &a, &b, &divisors)?;
        Ok(vec![sums])
    }),
    case("add_rows", &[], |device| {
        let mut sum = draw(device, 1, (20, 90))?;
        let to: Vec<u32> = (0..70).map(|row| row * 3 % 20).collect();
        crate::add_rows(&mut sum, &to, &draw(device, 2, (70, 90))?)?;
        Ok(vec![sum])
    }),
    case("scale_rows", &[], |device| {
        let factors: Vec<f32> = (0..70).map(|row| row as f32 / 70.0 - 0.4).collect();
        Ok(vec![crate::scale_rows(
            &draw(device, 1, (70, 90))?,
            &factors,
        )?])
    }),
    case("row_products", &[], |device| {
        let (a, b) = (draw(device, 1, (70, 90))?, draw(device, 2, (70, 90))?);
        Ok(vec![Tensor::new(
            crate::row_products(&a, &b)?,
            &Device::Cpu,
        )?])
    }),
    case("embedding", &[], |device| {
        let (table, tokens) = (draw(device, 1, (50, 64))?, targets(45));
        let tokens: Vec<u32> = tokens.into_iter().map(|token| token % 50).collect();
        let few = matrix(1, (50, 64), Quantisation::Ggml(GgmlType::Q8_0))?;
        Ok(vec![
            crate::embedding(&table, &tokens)?,
            crate::embedding(&few, &tokens)?,
        ])
    }),
    case("embedding_backward", &[], |device| {
        let mut gradient = draw(device, 1, (50, 64))?;
        let tokens: Vec<u32> = targets(45).into_iter().map(|token| token % 50).collect();
        crate::embedding_backward(&mut gradient, &tokens, &draw(device, 2, (45, 64))?)?;
        Ok(vec![gradient])
    }),
    case("dropout", &[], |device| {
        let x = draw(device, 1, (70, 90))?;
        Ok(vec![crate::dropout(&x, 0.3, NoiseKey::new(&[1, 2]))?])
    }),
    case("add_uniform_noise", &[], |device| {
        let mut x = draw(device, 1, (70, 90))?;
        crate::add_uniform_noise(&mut x, &[0.5; 70], NoiseKey::new(&[3]))?;
        Ok(vec![x])
    }),
    case("squared_norm", &[], |device| {
        let norm = crate::squared_norm(&draw(device, 1, (70, 90))?)?;
        Ok(vec![Tensor::new(&[norm as f32], &Device::Cpu)?])
    }),
    case("adamw", &[Operation::AdamW], |device| {
        let mut parameter = draw(device, 1, (30, 40))?;
        let mut moments = Tensor::zeros((2, 1200), DType::F32, device)?;
        for step in 1..=3 {
            let gradient = draw(device, 1 + step, (30, 40))?;
            crate::adamw(&mut parameter, &mut moments, &gradient, &adamw(step))?;
        }
        Ok(vec![parameter, moments])
    }),
    case("adamw8bit", &[], |device| {
        let mut parameter = draw(device, 1, (30, 40))?;
        let mut moments = Moments8bit::zeros(1200);
        for step in 1..=3 {
            let gradient = draw(device, 1 + step, (30, 40))?;
            crate::adamw8bit(&mut parameter, &mut moments, &gradient, &adamw(step))?;
        }
        let (codes, magnitudes) = moments.to_tensors()?;
        Ok(vec![parameter, codes, magnitudes])
    }),
    case("adafactor_matrix", &[], |device| {
        let mut parameter = draw(device, 1, (30, 40))?;
        let zeros = |count: usize| Tensor::zeros(count, DType::F32, device);
        let (mut rows, mut columns) = (zeros(30)?, zeros(40)?);
        for step in 1..=3 {
            let (gradient, options) = (draw(device, 1 + step, (30, 40))?, adafactor(step));
            crate::adafactor_matrix(&mut parameter, &mut rows, &mut columns, &gradient, &options)?;
        }
        Ok(vec![parameter, rows, columns])
    }),
    case("adafactor_vector", &[], |device| {
        let mut parameter = vector(device, 1, 40)?;
        let mut squares = Tensor::zeros(40, DType::F32, device)?;
        for step in 1..=3 {
            let (gradient, options) = (vector(device, 1 + step, 40)?, adafactor(step));
            crate::adafactor_vector(&mut parameter, &mut squares, &gradient, &options)?;
        }
        Ok(vec![parameter, squares])
    }),
    case("lion", &[], |device| {
        let mut parameter = draw(device, 1, (30, 40))?;
        let mut momentum = Tensor::zeros(1200, DType::F32, device)?;
        let options = Lion {
            learning_rate: 0.1,
            beta1: 0.9,
            beta2: 0.99,
            weight_decay: 0.1,
            gradient_scale: 0.5,
        };
        for step in 1..=3 {
            let gradient = draw(device, 1 + step, (30, 40))?;
            crate::lion(&mut parameter, &mut momentum, &gradient, &options)?;
        }
        Ok(vec![parameter, momentum])
    }),
    case("sgd", &[], |device| {
        let mut parameter = draw(device, 1, (30, 40))?;
        let mut momentum = Tensor::zeros(1200, DType::F32, device)?;
        let options = Sgd {
            learning_rate: 0.1,
            momentum: 0.9,
            weight_decay: 0.1,
            gradient_scale: 0.5,
        };
        for step in 1..=3 {
            let gradient = draw(device, 1 + step, (30, 40))?;
            crate::sgd(&mut parameter, &mut momentum, &gradient, &options)?;
        }
        Ok(vec![parameter, momentum])
    }),
    case("Remainders", &[], |device| {
        // A device without bf16 has none of them: training keeps f32 there.
        let device = if crate::has_bf16(device) {
            device
        } else {
            &Device::Cpu
        };
        let (master, moved) = (draw(device, 1, (30, 40))?, draw(device, 2, (30, 40))?);
        let (rounded, mut remainders) = Remainders::split(&master)?;
        let (first, copy) = (remainders.join(&rounded)?, rounded.to_dtype(DType::F32)?);
        remainders.set(&rounded, &moved)?;
        Ok(vec![first, copy, remainders.join(&rounded)?])
    }),
];

/// Numbers of ±1, the same on every device.
fn draw(device: &Device, seed: u64, shape: (usize, usize)) -> Result<Tensor> {
    let mut values = Tensor::zeros(shape, DType::F32, &Device::Cpu)?;
    let magnitudes = vec![1.0; shape.0];
    // Drawn by the CPU, whatever the device: the draw is not what is to be compared.
    crate::device::with_pretence(None, || {
        crate::add_uniform_noise(&mut values, &magnitudes, NoiseKey::new(&[seed]))
    })?;
    values.to_device(device)
}

fn vector(device: &Device, seed: u64, count: usize) -> Result<Tensor> {
    draw(device, seed, (1, count))?.flatten_all()
}

fn rows(x: &Tensor, start: usize, count: usize) -> Result<Tensor> {
    x.narrow(0, start, count)?.contiguous()
}

fn matrix(seed: u64, shape: (usize, usize), kind: Quantisation) -> Result<QuantisedMatrix> {
    QuantisedMatrix::quantise(&draw(&Device::Cpu, seed, shape)?, kind)
}

fn targets(count: u32) -> Vec<u32> {
    (0..count).map(|row| row * 37 % 900).collect()
}

fn heads() -> [Logits; 2] {
    let capped = Logits {
        scale: 0.7,
        softcap: Some(2.0),
        ..Logits::default()
    };
    [Logits::default(), capped]
}

const SPANS: [Span; 3] = [
    Span { start: 0, len: 75 },
    Span { start: 75, len: 1 },
    Span { start: 76, len: 44 },
];

/// Plain, with a window, and capped.
fn attentions(compute: ComputeType) -> [Attention; 3] {
    let plain = Attention {
        query_heads: 4,
        key_value_heads: 2,
        head_dim: 24,
        scale: 0.4,
        window: None,
        softcap: None,
        compute,
    };
    let window = Attention {
        window: Some(20),
        ..plain
    };
    let capped = Attention {
        softcap: Some(0.5),
        ..plain
    };
    [plain, window, capped]
}

/// Queries, keys, values and a gradient.
fn attention_inputs(device: &Device) -> Result<[Tensor; 4]> {
    Ok([
        draw(device, 1, (120, 96))?,
        draw(device, 2, (120, 48))?,
        draw(device, 3, (120, 48))?,
        draw(device, 4, (120, 96))?,
    ])
}

fn attention_gradients(attention: &Attention, device: &Device) -> Result<Vec<Tensor>> {
    let [q, k, v, d_o] = attention_inputs(device)?;
    // By the CPU, so that only the backward is compared.
    let (o, log_sum_exp) = crate::device::with_pretence(None, || -> Result<_> {
        let [q, k, v, _] = attention_inputs(&Device::Cpu)?;
        attention.forward(&q, &k, &v, &SPANS)
    })?;
    let (o, log_sum_exp) = (o.to_device(device)?, log_sum_exp.to_device(device)?);
    let (dq, dk, dv) = attention.backward(&q, &k, &v, &SPANS, &o, &log_sum_exp, &d_o)?;
    Ok(vec![dq, dk, dv])
}

/// A layer's product and its adapter's.
fn with_terms(
    device: &Device,
    work: impl FnOnce(Term<'_>, Term<'_>) -> Result<Vec<Tensor>>,
) -> Result<Vec<Tensor>> {
    let (x, w) = (draw(device, 1, (70, 50))?, draw(device, 2, (90, 50))?);
    let (u, b) = (draw(device, 3, (70, 4))?, draw(device, 4, (90, 4))?);
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
    work(large, small)
}

fn adamw(step: u64) -> AdamW {
    AdamW {
        learning_rate: 0.1,
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-8,
        weight_decay: 0.1,
        step,
        gradient_scale: 0.5,
    }
}

fn adafactor(step: u64) -> Adafactor {
    Adafactor {
        learning_rate: 0.1,
        weight_decay: 0.1,
        step,
        gradient_scale: 0.5,
    }
}
